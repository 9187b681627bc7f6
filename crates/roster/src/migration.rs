//! Migration of a school to another MIS: all ids are new, and the people are the same. They are matched before anybody
//! joins or leaves.
//!
//! Students are matched by their unique pupil number, which both MISs have. Others are matched by their email address,
//! otherwise by name and birth date, and an operator approves the matches.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    fmt,
    hash::Hash,
};

use chrono::NaiveDate;
use mis_core::{Person, PersonKind};
use serde::{Deserialize, Serialize};

use crate::{answer::Answer, identity::PersonKey, state::KindState, stay::has_left, words::plain};

/// The result of matching one kind of people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Migration {
    /// Which.
    pub kind: PersonKind,
    /// Certain matches.
    pub matched: Vec<Match>,
    /// Probable matches, to be approved.
    pub proposed: Vec<Match>,
    /// Records with several possible matches; they count as new.
    pub doubtful: Vec<Doubtful>,
    /// Records without a match.
    pub new: Vec<String>,
    /// People without a record.
    pub missing: Vec<PersonKey>,
}

/// A matched record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Match {
    /// Who.
    pub person: PersonKey,
    /// The record's id.
    pub id: String,
    /// The evidence.
    pub by: MatchedBy,
}

/// A record with several possible matches.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Doubtful {
    /// The record's id.
    pub id: String,
    /// The candidates.
    pub people: Vec<PersonKey>,
}

/// The evidence for a match.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum MatchedBy {
    /// The unchanged id at Wonde or UPI.
    Id,
    /// The unique pupil number.
    Upn,
    /// The email address.
    Email,
    /// Name and birth date.
    NameAndBirthDate,
}

impl fmt::Display for MatchedBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Id => "id",
            Self::Upn => "UPN",
            Self::Email => "email address",
            Self::NameAndBirthDate => "name and birth date",
        })
    }
}

impl Migration {
    /// Whether it needs approval.
    pub fn needs_a_person(&self) -> bool {
        !(self.proposed.is_empty()
            && self.doubtful.is_empty()
            && self.new.is_empty()
            && self.missing.is_empty())
    }

    /// The ids of the records whose people are certain.
    pub(crate) fn certain(&self) -> HashSet<&str> {
        self.matched.iter().map(|one| one.id.as_str()).collect()
    }
}

/// Whether most of a kind's people are missing and most received records are new, by ids that normally do not change.
pub(crate) fn most_are_new(
    known: &KindState,
    rows: &[Person],
    least: usize,
    today: NaiveDate,
) -> bool {
    let old: Vec<&Person> = here(known, today).collect();
    let news = rows.iter().filter(|row| !is_known(known, row)).count();
    let (ids, upis) = ids_of(rows);
    let gone = old
        .iter()
        .filter(|record| !stays(record, &ids, &upis))
        .count();
    gone >= least.max(1) && gone * 2 > old.len() && news * 2 > rows.len()
}

fn here(known: &KindState, today: NaiveDate) -> impl Iterator<Item = &Person> {
    known
        .records
        .iter()
        .filter(move |record| !has_left(record, today) && !record.pre_admission)
}

fn ids_of(rows: &[Person]) -> (HashSet<&str>, HashSet<&str>) {
    (
        rows.iter().map(|row| row.id.as_str()).collect(),
        rows.iter().filter_map(|row| row.upi.as_deref()).collect(),
    )
}

fn stays(record: &Person, ids: &HashSet<&str>, upis: &HashSet<&str>) -> bool {
    ids.contains(record.id.as_str()) || record.upi.as_deref().is_some_and(|upi| upis.contains(upi))
}

/// Whether somebody has the record's id or its permanent id.
fn is_known(known: &KindState, row: &Person) -> bool {
    known.records.get(&row.id).is_some()
        || row
            .upi
            .as_ref()
            .is_some_and(|upi| known.keys.iter().any(|(_, one)| one.upis.contains(upi)))
}

/// Matches the people of one kind to the new records.
pub(crate) fn compare(
    kind: PersonKind,
    known: &KindState,
    answer: &Answer,
    today: NaiveDate,
) -> Migration {
    let owners: HashMap<&str, &PersonKey> = known
        .keys
        .iter()
        .flat_map(|(key, one)| one.ids.iter().map(move |id| (id.as_str(), key)))
        .collect();
    let by_upi: HashMap<&str, &PersonKey> = known
        .keys
        .iter()
        .flat_map(|(key, one)| one.upis.iter().map(move |upi| (upi.as_str(), key)))
        .collect();
    let mut old: BTreeMap<&PersonKey, &Person> = here(known, today)
        .filter_map(|record| Some((*owners.get(record.id.as_str())?, record)))
        .collect();
    let mut migration = Migration {
        kind,
        matched: Vec::new(),
        proposed: Vec::new(),
        doubtful: Vec::new(),
        new: Vec::new(),
        missing: Vec::new(),
    };
    let mut rows: Vec<&Person> = Vec::new();
    for row in &answer.rows {
        let by_upi = || by_upi.get(row.upi.as_deref()?).copied();
        match owners.get(row.id.as_str()).copied().or_else(by_upi) {
            Some(key) => {
                old.remove(key);
                migration.matched.push(Match {
                    person: key.clone(),
                    id: row.id.clone(),
                    by: MatchedBy::Id,
                });
            }
            None => rows.push(row),
        }
    }
    let upn = |one: &Person| one.upn.clone();
    migration
        .matched
        .extend(pair(&mut old, &mut rows, MatchedBy::Upn, upn));
    let email = |one: &Person| {
        one.email
            .as_deref()
            .map(plain)
            .filter(|text| !text.is_empty())
    };
    migration
        .proposed
        .extend(pair(&mut old, &mut rows, MatchedBy::Email, email));
    let born = |one: &Person| Some((name(one)?, one.born?));
    migration
        .proposed
        .extend(pair(&mut old, &mut rows, MatchedBy::NameAndBirthDate, born));
    for row in rows {
        let alike = |one: &Person| {
            (email(row).is_some() && email(one) == email(row))
                || (name(row).is_some() && name(one) == name(row))
        };
        let people: Vec<_> = old
            .iter()
            .filter(|(_, one)| alike(one))
            .map(|(key, _)| (*key).clone())
            .collect();
        if people.is_empty() {
            migration.new.push(row.id.clone());
        } else {
            migration.doubtful.push(Doubtful {
                id: row.id.clone(),
                people,
            });
        }
    }
    migration.missing = old.into_keys().cloned().collect();
    migration
}

fn name(person: &Person) -> Option<String> {
    let name = format!(
        "{} {}",
        person.forename.as_deref()?,
        person.surname.as_deref()?
    );
    Some(plain(&name))
}

/// Pairs people and records by a value that exactly one of each has, and removes the pairs from both.
fn pair<S: Eq + Hash>(
    old: &mut BTreeMap<&PersonKey, &Person>,
    rows: &mut Vec<&Person>,
    by: MatchedBy,
    sign: impl Fn(&Person) -> Option<S>,
) -> Vec<Match> {
    // `None` where several have it.
    let mut before: HashMap<S, Option<PersonKey>> = HashMap::new();
    for (key, person) in old.iter() {
        if let Some(sign) = sign(person) {
            before
                .entry(sign)
                .and_modify(|one| *one = None)
                .or_insert_with(|| Some((*key).clone()));
        }
    }
    let mut counts: HashMap<S, usize> = HashMap::new();
    for sign in rows.iter().filter_map(|row| sign(row)) {
        *counts.entry(sign).or_default() += 1;
    }
    let mut pairs = Vec::new();
    rows.retain(|row| {
        let Some(sign) = sign(row) else { return true };
        let alone = counts.get(&sign) == Some(&1);
        let Some(key) = before.get(&sign).cloned().flatten().filter(|_| alone) else {
            return true;
        };
        pairs.push(Match {
            person: key,
            id: row.id.clone(),
            by,
        });
        false
    });
    let taken: BTreeSet<_> = pairs.iter().map(|pair| &pair.person).collect();
    old.retain(|key, _| !taken.contains(key));
    pairs
}
