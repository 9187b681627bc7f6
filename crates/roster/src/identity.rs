//! Identity: which records belong to one person, and the person's permanent id at the host.
//!
//! A record belongs to a person by its `upi`, otherwise by the MIS's own key, otherwise by Wonde's id. The first id of
//! a person remains their key, so that a pupil who enrols again is the same person to the host.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    fmt,
};

use chrono::NaiveDate;
use mis_core::Person;
use serde::{Deserialize, Serialize};

use crate::{migration::Migration, words::plain};

/// The permanent id of a person at the host: their first id at Wonde.
#[derive(
    Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(transparent)]
pub struct PersonKey(String);

impl PersonKey {
    /// Creates a key from its text.
    pub fn new(key: impl Into<String>) -> Self {
        Self(key.into())
    }

    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PersonKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for PersonKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// All current and former ids of one person.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Identity {
    /// Permanent ids (UPI).
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub upis: BTreeSet<String>,
    /// The MIS's own keys.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub mis_ids: BTreeSet<String>,
    /// Unique pupil numbers.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub upns: BTreeSet<String>,
    /// Ids at Wonde, including the current one.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub ids: BTreeSet<String>,
    /// Former ids at Wonde, each with the first day without a record.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub former: BTreeMap<String, NaiveDate>,
    /// The last day on which the MIS listed the person.
    pub seen: NaiveDate,
}

impl Identity {
    /// Whether the id, of any kind, belongs to this person.
    pub(crate) fn bears(&self, id: &str) -> bool {
        self.ids.contains(id) || self.upis.contains(id) || self.mis_ids.contains(id)
    }

    fn take_in(&mut self, other: Self) {
        self.upis.extend(other.upis);
        self.mis_ids.extend(other.mis_ids);
        self.upns.extend(other.upns);
        self.ids.extend(other.ids);
        self.former.extend(other.former);
        self.seen = self.seen.max(other.seen);
    }
}

/// The identities of people of one kind by key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct IdentityMap {
    people: BTreeMap<PersonKey, Identity>,
}

/// Keys that turned out to be of a person with an older key.
pub(crate) type Merged = BTreeMap<PersonKey, PersonKey>;

/// A key with the ids of several records that were joined under it.
pub(crate) type OnePerson = (PersonKey, Vec<String>);

/// The records of one person, in no order.
pub(crate) type Records<'r> = Vec<&'r Person>;

impl IdentityMap {
    /// All keys and identities.
    pub fn iter(&self) -> impl Iterator<Item = (&PersonKey, &Identity)> {
        self.people.iter()
    }

    /// The identity of a key.
    pub fn get(&self, key: &PersonKey) -> Option<&Identity> {
        self.people.get(key)
    }

    /// Restores stored data.
    pub fn insert(&mut self, key: PersonKey, identity: Identity) {
        self.people.insert(key, identity);
    }

    /// Assigns a key to every person among the records: the previous one, or their first id.
    pub(crate) fn assign<'r>(
        &mut self,
        rows: impl IntoIterator<Item = &'r Person>,
        today: NaiveDate,
        by_contact: bool,
    ) -> (BTreeMap<PersonKey, Records<'r>>, Merged, Vec<OnePerson>) {
        let mut people = one_person_each(rows);
        let mut joined = HashSet::new();
        if by_contact {
            (people, joined) = join_by_contact(people);
        }
        let keys = self.known(&people);
        let mut assigned = BTreeMap::new();
        let mut one_person = Vec::new();
        for (records, key) in people.into_iter().zip(keys) {
            let mut identity = identity_of(&records, today);
            let key = key.unwrap_or_else(|| self.new_key(&records));
            if records
                .first()
                .is_some_and(|first| joined.contains(first.id.as_str()))
            {
                let ids = records.iter().map(|record| record.id.clone()).collect();
                one_person.push((key.clone(), ids));
            }
            if let Some(before) = self.people.remove(&key) {
                let present = identity.ids.clone();
                identity.take_in(before);
                identity.seen = today;
                for id in identity.ids.difference(&present) {
                    identity.former.entry(id.clone()).or_insert(today);
                }
                identity.former.retain(|id, _| !present.contains(id));
            }
            self.people.insert(key.clone(), identity);
            assigned.insert(key, records);
        }
        let merged = self.merge(&assigned);
        (assigned, merged, one_person)
    }

    /// The previous key of each person, if any. Stronger evidence is checked for all people first, so that nobody takes
    /// a key to which another has a better claim.
    fn known(&self, people: &[Records<'_>]) -> Vec<Option<PersonKey>> {
        let index = Index::of(self);
        let mut keys: Vec<Option<PersonKey>> = vec![None; people.len()];
        let mut given: HashSet<&PersonKey> = HashSet::new();
        for claim in [Index::by_upi, Index::by_upn, Index::by_mis_id, Index::by_id] {
            for (records, key) in people.iter().zip(&mut keys) {
                if key.is_none()
                    && let Some(found) = records
                        .iter()
                        .filter_map(|record| claim(&index, record))
                        .find(|found| !given.contains(found))
                {
                    given.insert(found);
                    *key = Some(found.clone());
                }
            }
        }
        keys
    }

    /// The smallest of the person's ids, with a suffix if another person already has it.
    fn new_key(&self, records: &[&Person]) -> PersonKey {
        let ids: BTreeSet<_> = records.iter().map(|record| record.id.as_str()).collect();
        let first = ids.first().copied().unwrap_or_default();
        ids.iter()
            .copied()
            .map(PersonKey::new)
            .chain((2..).map(|n: u32| PersonKey::new(format!("{first}~{n}"))))
            .find(|key| !self.people.contains_key(key))
            .unwrap_or_else(|| PersonKey::new(first))
    }

    /// If the records of two people turn out to belong to one, the other key becomes an alias of that person.
    fn merge(&mut self, assigned: &BTreeMap<PersonKey, Records<'_>>) -> Merged {
        let mut merged = Merged::new();
        for (key, other, id) in self.shared_ids(assigned) {
            if assigned.contains_key(&other) {
                if let Some(identity) = self.people.get_mut(&other) {
                    identity.ids.remove(&id);
                }
            } else if let Some(identity) = self.people.remove(&other)
                && let Some(into) = self.people.get_mut(&key)
            {
                into.take_in(identity);
                into.ids.insert(other.as_str().to_owned());
                merged.insert(other, key);
            }
        }
        merged
    }

    /// Current ids that are stored under a second key: the person, that key, and the id.
    fn shared_ids(
        &self,
        assigned: &BTreeMap<PersonKey, Records<'_>>,
    ) -> Vec<(PersonKey, PersonKey, String)> {
        let owners: HashMap<&str, &PersonKey> = assigned
            .iter()
            .flat_map(|(key, records)| records.iter().map(move |record| (record.id.as_str(), key)))
            .collect();
        self.people
            .iter()
            .flat_map(|(other, identity)| identity.ids.iter().map(move |id| (other, id)))
            .filter_map(|(other, id)| {
                let owner = *owners.get(id.as_str())?;
                (owner != other).then(|| (owner.clone(), other.clone(), id.clone()))
            })
            .collect()
    }

    /// Gives people the ids of the records that match them in another MIS, including probable matches after
    /// approval. A key that belonged to somebody else in the old MIS is removed from that person.
    pub(crate) fn migrate(&mut self, migration: &Migration, rows: &[Person], accepted: bool) {
        let proposed = migration.proposed.iter().filter(|_| accepted);
        let owners: HashMap<&str, &PersonKey> = migration
            .matched
            .iter()
            .chain(proposed)
            .map(|one| (one.id.as_str(), &one.person))
            .collect();
        let mut mis_ids: HashMap<&str, Option<&PersonKey>> = HashMap::new();
        for row in rows {
            if let Some(mis_id) = &row.mis_id {
                mis_ids.insert(mis_id, owners.get(row.id.as_str()).copied());
            }
        }
        for (key, identity) in &mut self.people {
            identity.mis_ids.retain(|mis_id| {
                mis_ids
                    .get(mis_id.as_str())
                    .is_none_or(|owner| *owner == Some(key))
            });
        }
        for (id, person) in owners {
            if let Some(identity) = self.people.get_mut(person) {
                identity.ids.insert(id.to_owned());
            }
        }
    }

    /// Removes ids that no record has had since that day. A key is never removed.
    pub(crate) fn forget_former_ids(&mut self, before: NaiveDate) {
        for (key, identity) in &mut self.people {
            let old = |id: &String, since: &NaiveDate| *since < before && id != key.as_str();
            let gone: Vec<_> = identity
                .former
                .extract_if(.., |id, since| old(id, since))
                .map(|(id, _)| id)
                .collect();
            identity.ids.retain(|id| !gone.contains(id));
        }
    }

    /// Removes people who have not been seen since that day, except those to keep.
    pub(crate) fn forget(&mut self, before: NaiveDate, keep: impl Fn(&PersonKey) -> bool) {
        self.people
            .retain(|key, identity| identity.seen >= before || keep(key));
    }
}

/// Groups records by person.
fn one_person_each<'r>(rows: impl IntoIterator<Item = &'r Person>) -> Vec<Records<'r>> {
    let mut by_upi: BTreeMap<&str, Records<'r>> = BTreeMap::new();
    let mut without = Vec::new();
    for row in rows {
        match &row.upi {
            Some(upi) => by_upi.entry(upi).or_default().push(row),
            None => without.push(row),
        }
    }
    let mut owner: HashMap<&str, Option<&str>> = HashMap::new();
    for (upi, records) in &by_upi {
        for mis_id in records.iter().filter_map(|record| record.mis_id.as_deref()) {
            // A key that two people share identifies nobody.
            owner
                .entry(mis_id)
                .and_modify(|known| *known = known.filter(|known| known == upi))
                .or_insert(Some(upi));
        }
    }
    let mut by_mis_id: BTreeMap<&str, Records<'r>> = BTreeMap::new();
    let mut alone = Vec::new();
    for row in without {
        let Some(mis_id) = row.mis_id.as_deref() else {
            alone.push(vec![row]);
            continue;
        };
        let known = owner.get(mis_id).copied().flatten();
        match known.and_then(|upi| by_upi.get_mut(upi)) {
            Some(records) => records.push(row),
            None => by_mis_id.entry(mis_id).or_default().push(row),
        }
    }
    by_upi
        .into_values()
        .chain(by_mis_id.into_values())
        .chain(alone)
        .collect()
}

/// Merges people with the same name and email address or mobile number: parents whom the MIS stores once per child.
/// The ids of their first records are kept.
fn join_by_contact(people: Vec<Records<'_>>) -> (Vec<Records<'_>>, HashSet<&str>) {
    let mut place: Vec<usize> = (0..people.len()).collect();
    fn root(place: &[usize], mut at: usize) -> usize {
        while let Some(&next) = place.get(at)
            && next != at
        {
            at = next;
        }
        at
    }
    let mut seen: HashMap<String, usize> = HashMap::new();
    for (at, records) in people.iter().enumerate() {
        for sign in records.iter().flat_map(|record| signs(record)) {
            let known = *seen.entry(sign).or_insert(at);
            let (one, other) = (root(&place, known), root(&place, at));
            if let Some(entry) = place.get_mut(one.max(other)) {
                *entry = one.min(other);
            }
        }
    }
    let mut joined: BTreeMap<usize, (usize, Records<'_>)> = BTreeMap::new();
    for (at, records) in people.into_iter().enumerate() {
        let (count, all) = joined.entry(root(&place, at)).or_default();
        *count += 1;
        all.extend(records);
    }
    let mut ids = HashSet::new();
    let people = joined.into_values().map(|(count, records)| {
        if count > 1 {
            ids.extend(records.first().map(|record| record.id.as_str()));
        }
        records
    });
    let people = people.collect();
    (people, ids)
}

/// The values that identify a person together with the name: each address and number.
fn signs(record: &Person) -> Vec<String> {
    let (Some(forename), Some(surname)) = (&record.forename, &record.surname) else {
        return Vec::new();
    };
    let name = format!("{}\n{}", plain(forename), plain(surname));
    let email = record.email.as_deref().map(plain);
    let mobile = record.mobile.as_deref().and_then(|mobile| {
        // The country's number may stand before it or not.
        let digits: Vec<char> = mobile.chars().filter(char::is_ascii_digit).collect();
        let last = digits.len().checked_sub(9)?;
        Some(digits.get(last..)?.iter().collect::<String>())
    });
    [email, mobile]
        .into_iter()
        .flatten()
        .filter(|sign| !sign.is_empty())
        .map(|sign| format!("{name}\n{sign}"))
        .collect()
}

fn identity_of(records: &[&Person], today: NaiveDate) -> Identity {
    Identity {
        upis: records.iter().filter_map(|r| r.upi.clone()).collect(),
        mis_ids: records.iter().filter_map(|r| r.mis_id.clone()).collect(),
        upns: records.iter().filter_map(|r| r.upn.clone()).collect(),
        ids: records.iter().map(|r| r.id.clone()).collect(),
        former: BTreeMap::new(),
        seen: today,
    }
}

/// Finds keys by id.
struct Index<'k> {
    upis: HashMap<&'k str, &'k PersonKey>,
    mis_ids: HashMap<&'k str, &'k PersonKey>,
    /// `None` for a number that two people share.
    upns: HashMap<&'k str, Option<&'k PersonKey>>,
    ids: HashMap<&'k str, &'k PersonKey>,
    people: &'k BTreeMap<PersonKey, Identity>,
}

impl<'k> Index<'k> {
    fn of(ring: &'k IdentityMap) -> Self {
        let mut index = Self {
            upis: HashMap::new(),
            mis_ids: HashMap::new(),
            upns: HashMap::new(),
            ids: HashMap::new(),
            people: &ring.people,
        };
        for (key, identity) in &ring.people {
            index
                .upis
                .extend(identity.upis.iter().map(|id| (id.as_str(), key)));
            index
                .mis_ids
                .extend(identity.mis_ids.iter().map(|id| (id.as_str(), key)));
            for upn in &identity.upns {
                index
                    .upns
                    .entry(upn)
                    .and_modify(|owner| *owner = None)
                    .or_insert(Some(key));
            }
            index
                .ids
                .extend(identity.ids.iter().map(|id| (id.as_str(), key)));
        }
        index
    }

    fn by_upi(&self, record: &Person) -> Option<&'k PersonKey> {
        self.upis.get(record.upi.as_deref()?).copied()
    }

    /// By the MIS's own key, unless the `upi` says that it is somebody else.
    fn by_mis_id(&self, record: &Person) -> Option<&'k PersonKey> {
        let key = *self.mis_ids.get(record.mis_id.as_deref()?)?;
        let known = self.people.get(key)?;
        let another = |id: &Option<String>, known: &BTreeSet<String>| {
            id.as_ref()
                .is_some_and(|id| !known.is_empty() && !known.contains(id))
        };
        (!another(&record.upi, &known.upis) && !another(&record.upn, &known.upns)).then_some(key)
    }

    /// By the pupil number, which stays when the pupil comes from another list or the school changes its MIS.
    fn by_upn(&self, record: &Person) -> Option<&'k PersonKey> {
        *self.upns.get(record.upn.as_deref()?)?
    }

    fn by_id(&self, record: &Person) -> Option<&'k PersonKey> {
        self.ids.get(record.id.as_str()).copied()
    }
}

#[cfg(test)]
mod tests {
    use mis_core::PersonKind;
    use rstest::rstest;

    use super::*;

    fn row(id: &str, upi: &str, mis_id: &str) -> Person {
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        Person {
            upi: some(upi),
            mis_id: some(mis_id),
            ..Person::new(PersonKind::Student, id)
        }
    }

    fn day() -> NaiveDate {
        NaiveDate::from_ymd_opt(2026, 11, 23).unwrap()
    }

    fn keys(ring: &mut IdentityMap, rows: &[Person]) -> Vec<String> {
        let (people, ..) = ring.assign(rows, day(), false);
        rows.iter()
            .map(|row| {
                let (key, _) = people
                    .iter()
                    .find(|(_, records)| records.iter().any(|record| record.id == row.id))
                    .unwrap();
                key.to_string()
            })
            .collect()
    }

    #[rstest]
    #[case::the_same_record(row("A1", "u", "m"), row("A1", "u", "m"), true)]
    #[case::enrolled_again(row("A1", "u", "m"), row("A2", "u", "n"), true)]
    #[case::by_the_mis_key(row("A1", "", "m"), row("A2", "", "m"), true)]
    #[case::upi_seen_later(row("A1", "", "m"), row("A2", "u", "m"), true)]
    #[case::upi_not_seen_any_more(row("A1", "u", "m"), row("A2", "", "m"), true)]
    #[case::mis_key_used_again(row("A1", "u", "m"), row("A2", "v", "m"), false)]
    #[case::by_the_id_alone(row("A1", "", ""), row("A1", "", ""), true)]
    #[case::another(row("A1", "u", "m"), row("A2", "v", "n"), false)]
    #[case::nothing_in_common(row("A1", "", ""), row("A2", "", ""), false)]
    fn a_person_keeps_the_first_id(
        #[case] before: Person,
        #[case] after: Person,
        #[case] same: bool,
    ) {
        let mut ring = IdentityMap::default();
        assert_eq!(keys(&mut ring, &[before]), ["A1"]);
        let id = after.id.clone();
        assert_eq!(
            keys(&mut ring, &[after]),
            [if same { "A1".to_owned() } else { id }]
        );
    }

    #[test]
    fn old_ids_remain_aliases() {
        let mut ring = IdentityMap::default();
        keys(&mut ring, &[row("A9", "u", "")]);
        keys(&mut ring, &[row("A2", "u", "")]);
        keys(&mut ring, &[row("A5", "u", "")]);
        let identity = ring.get(&PersonKey::new("A9")).unwrap();
        assert!(["A9", "A2", "A5", "u"].iter().all(|id| identity.bears(id)));
    }

    #[test]
    fn records_of_siblings_parents_are_one_person() {
        let mut ring = IdentityMap::default();
        let rows = [row("C2", "u", "1"), row("C1", "u", "2"), row("C3", "", "2")];
        assert_eq!(keys(&mut ring, &rows), ["C1", "C1", "C1"]);
    }

    #[test]
    fn a_shared_mis_key_identifies_nobody() {
        let mut ring = IdentityMap::default();
        let rows = [row("A1", "u", "m"), row("A2", "v", "m"), row("A3", "", "m")];
        assert_eq!(keys(&mut ring, &rows), ["A1", "A2", "A3"]);
    }

    #[test]
    fn two_merged_people_keep_the_older_key() {
        let mut ring = IdentityMap::default();
        keys(&mut ring, &[row("A1", "u", ""), row("A2", "", "m")]);
        let rows = [row("A1", "u", ""), row("A2", "u", "m")];
        let (people, merged, _) = ring.assign(&rows, day(), false);
        assert_eq!(people.len(), 1);
        assert_eq!(
            merged,
            Merged::from([(PersonKey::new("A2"), PersonKey::new("A1"))])
        );
        assert!(ring.get(&PersonKey::new("A1")).unwrap().bears("A2"));
    }

    #[test]
    fn a_split_person_leaves_the_key_to_the_better_match() {
        let mut ring = IdentityMap::default();
        keys(&mut ring, &[row("A1", "u", "m"), row("A2", "u", "m")]);
        let rows = [row("A1", "v", ""), row("A2", "u", "m")];
        assert_eq!(keys(&mut ring, &rows), ["A1~2", "A1"]);
        let rows = [row("A2", "u", "m"), row("A1", "v", "")];
        assert_eq!(keys(&mut ring, &rows), ["A1", "A1~2"]);
    }

    #[test]
    fn people_not_seen_for_long_are_deleted() {
        let mut ring = IdentityMap::default();
        keys(&mut ring, &[row("A1", "u", "")]);
        let tomorrow = day().succ_opt().unwrap();
        ring.forget(tomorrow, |key| key.as_str() == "A1");
        assert!(ring.get(&PersonKey::new("A1")).is_some());
        ring.forget(tomorrow, |_| false);
        assert!(ring.get(&PersonKey::new("A1")).is_none());
    }
}
