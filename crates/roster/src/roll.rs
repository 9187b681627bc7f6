//! The roll: what is known of a school's people, record by record, as Wonde gave it.
//!
//! A record is the thing with an id at Wonde. A full answer replaces the roll, changes are laid over it: so after any
//! changes that Wonde tells of, it is what a full answer would give.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    hash::{DefaultHasher, Hash as _, Hasher as _},
};

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use mis_core::{DecodeIssue, Deletion, Person, PersonKind, Property};
use serde::{Deserialize, Serialize};

use crate::{
    answer::{Answer, Extent},
    guard::Guard,
    held::Doubt,
    part::Part,
    state,
    stay::{has_left, is_stale, stay},
};

/// The records of one kind of people by their id at Wonde.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Roll {
    records: BTreeMap<String, Person>,
}

/// What laying an answer over a roll came to.
pub(crate) struct Laid {
    pub(crate) roll: Roll,
    /// Why the answer is not believed as it is: nobody is taken out for it.
    pub(crate) doubt: Option<Doubt>,
    /// The answer is not believed at all: the roll is the old one.
    pub(crate) refused: bool,
    /// Parts whose old values stay, since their permission seems lost.
    pub(crate) lost: BTreeSet<Part>,
    /// Whether Wonde's own count was that of the records.
    pub(crate) count_fits: Option<bool>,
    /// Listed students who have left; see [`state::Known::left`].
    pub(crate) left: BTreeSet<u64>,
    /// Since when Wonde itself counts nobody.
    pub(crate) empty_since: Option<DateTime<Utc>>,
    /// There is nobody, and that is believed.
    pub(crate) emptied: bool,
}

/// How an answer is looked at.
pub(crate) struct Eyes<'a> {
    pub(crate) kind: PersonKind,
    pub(crate) guard: &'a Guard,
    /// Per cent of the records that may hold something unreadable.
    pub(crate) max_unread: u8,
    pub(crate) today: NaiveDate,
    /// A person has said that it is right.
    pub(crate) accept: bool,
    /// What is known of this kind besides the records.
    pub(crate) known: &'a state::Known,
    /// People of another kind came with this answer, so the region is right and the MIS is there.
    pub(crate) others_came: bool,
}

/// How long Wonde must count nobody before it is believed of a kind that had people.
const EMPTY_BELIEVED_AFTER: TimeDelta = TimeDelta::days(7);

impl Roll {
    /// All records.
    pub fn iter(&self) -> impl Iterator<Item = &Person> {
        self.records.values()
    }

    /// The record of this id.
    pub fn get(&self, id: &str) -> Option<&Person> {
        self.records.get(id)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Puts back what was stored.
    pub fn insert(&mut self, record: Person) {
        self.records.insert(record.id.clone(), record);
    }

    /// Takes records away for which this does not hold.
    pub(crate) fn retain(&mut self, keep: impl Fn(&Person) -> bool) {
        self.records.retain(|_, record| keep(record));
    }

    /// Lays an answer over the roll. What is in doubt takes nobody out; who is new or changed is taken in all the same.
    pub(crate) fn lay(&self, answer: &Answer, eyes: &Eyes<'_>) -> Laid {
        let full = matches!(answer.extent, Extent::Full { .. });
        let lost = if eyes.accept {
            BTreeSet::new()
        } else {
            self.lost(answer, eyes)
        };
        let (mut roll, counted) = match &answer.extent {
            Extent::Full { counted } => (self.kept_pre_admission(answer), *counted),
            Extent::Changes { deletions, .. } => (self.without(deletions, eyes.kind), None),
        };
        let mut laid = Laid {
            roll: Self::default(),
            doubt: None,
            refused: false,
            lost,
            count_fits: counted.map(|counted| {
                let coming = answer.rows.iter().filter(|row| row.pre_admission).count();
                counted == (answer.rows.len() - coming) as u64
            }),
            left: if full {
                BTreeSet::new()
            } else {
                eyes.known.left.clone()
            },
            empty_since: self.empty_since(answer, counted, eyes),
            emptied: false,
        };
        let rows = self.rows(answer, eyes, &mut laid);
        for row in &rows {
            roll.insert(row.clone());
        }
        if eyes.accept {
            laid.roll = roll;
            return laid;
        }
        if too_many_unread(answer, self.len(), eyes) {
            laid.doubt = Some(Doubt::Unread {
                records: answer.unread(),
                of: answer.rows.len() + answer.left_out(),
            });
            laid.refused = true;
            laid.roll = self.clone();
            return laid;
        }
        if full && answer.rows.is_empty() && is_believed_empty(self, answer, &laid, eyes) {
            laid.emptied = true;
        } else if let Err(doubt) = self.check(answer, &roll, counted, eyes) {
            laid.refused = answer.rows.is_empty() && full;
            laid.doubt = Some(doubt);
            roll = self.clone();
            for row in rows {
                roll.insert(row);
            }
        }
        laid.roll = roll;
        laid
    }

    /// The rows as they count: with the old values of what could not be read, and with what the list itself says about
    /// old leaving dates.
    fn rows(&self, answer: &Answer, eyes: &Eyes<'_>, laid: &mut Laid) -> Vec<Person> {
        let mut unread: HashMap<&str, Vec<&DecodeIssue>> = HashMap::new();
        for issue in answer.issues.iter().filter(|issue| !issue.left_out) {
            if let Some(id) = &issue.id {
                unread.entry(id).or_default().push(issue);
            }
        }
        let mut rows = Vec::with_capacity(answer.rows.len());
        for row in &answer.rows {
            let mut row = self.filled(row, &laid.lost);
            if let Some(before) = self.get(&row.id) {
                for issue in unread.get(row.id.as_str()).into_iter().flatten() {
                    fill(&mut row, before, &issue.field);
                }
            }
            self.listed(&mut row, eyes, &mut laid.left);
            rows.push(row);
        }
        rows
    }

    /// A student with an old last day who is listed is here, unless we saw that day come and pass: then the MIS lists
    /// those who have left.
    fn listed(&self, row: &mut Person, eyes: &Eyes<'_>, left: &mut BTreeSet<u64>) {
        let passed = stay(row, eyes.today)
            .leaves
            .filter(|last| *last < eyes.today);
        let Some(last) = passed.filter(|_| eyes.kind == PersonKind::Student) else {
            return;
        };
        let seen = |before: &Person| before.leaves == Some(last) && before.current != Some(true);
        if !is_stale(last, eyes.today)
            || eyes.known.left.contains(&fingerprint(&row.id, last))
            || self.get(&row.id).is_some_and(seen)
        {
            left.insert(fingerprint(&row.id, last));
        } else {
            row.current = Some(true);
        }
    }

    /// To begin a full answer with: those yet to start, where they were known and are not granted any more.
    fn kept_pre_admission(&self, answer: &Answer) -> Self {
        let mut kept = Self::default();
        if answer.pre_admission == Some(false) {
            for record in self.iter().filter(|record| record.pre_admission) {
                kept.insert(record.clone());
            }
        }
        kept
    }

    fn empty_since(
        &self,
        answer: &Answer,
        counted: Option<u64>,
        eyes: &Eyes<'_>,
    ) -> Option<DateTime<Utc>> {
        match &answer.extent {
            Extent::Changes { .. } => eyes.known.empty_since,
            Extent::Full { .. }
                if answer.rows.is_empty() && counted == Some(0) && eyes.others_came =>
            {
                eyes.known.empty_since.or(Some(answer.asked_at))
            }
            Extent::Full { .. } => None,
        }
    }

    /// Parts that seem to be kept back. In a full answer: somebody had one, and now nobody has. Of changes that cannot be
    /// said; what was looked up and what was lost before counts.
    fn lost(&self, answer: &Answer, eyes: &Eyes<'_>) -> BTreeSet<Part> {
        let wanted = answer.properties.union(&answer.refused).copied().collect();
        let parts = Part::of(eyes.kind, &wanted);
        match &answer.extent {
            Extent::Full { .. } => self.turned(answer, &parts),
            Extent::Changes { withdrawn, .. } => {
                let known = withdrawn.union(&eyes.known.lost).copied();
                known.filter(|part| parts.contains(part)).collect()
            }
        }
    }

    /// Parts that somebody of the answer had and no record of it has.
    pub(crate) fn turned(&self, answer: &Answer, parts: &[Part]) -> BTreeSet<Part> {
        let nobody_has = |part: &Part| !answer.rows.iter().any(|row| part.is_in(row));
        let somebody_had = |part: &Part| {
            answer
                .rows
                .iter()
                .filter_map(|row| self.get(&row.id))
                .any(|before| part.is_in(before))
        };
        parts
            .iter()
            .copied()
            .filter(|part| nobody_has(part) && somebody_had(part))
            .collect()
    }

    /// The row, with the old values of what is lost.
    fn filled(&self, row: &Person, lost: &BTreeSet<Part>) -> Person {
        let mut row = row.clone();
        if let Some(before) = self.get(&row.id) {
            for part in lost
                .iter()
                .filter(|part| !part.is_in(&row))
                .copied()
                .collect::<Vec<_>>()
            {
                part.copy(&mut row, before);
            }
        }
        row
    }

    /// Without the records that went. One that changed after that is another of the same id, or came back.
    fn without(&self, deletions: &[Deletion], kind: PersonKind) -> Self {
        let mut roll = self.clone();
        for deletion in deletions.iter().filter(|d| d.kind == kind && d.gone) {
            let newer = roll.get(&deletion.id).is_some_and(|record| {
                matches!((record.changed_at, deletion.at), (Some(changed), Some(gone)) if changed > gone)
            });
            if !newer {
                roll.records.remove(&deletion.id);
            }
        }
        roll
    }

    fn check(
        &self,
        answer: &Answer,
        roll: &Self,
        counted: Option<u64>,
        eyes: &Eyes<'_>,
    ) -> Result<(), Doubt> {
        let full = matches!(answer.extent, Extent::Full { .. });
        let nobody_as_before = self.is_empty() && eyes.known.full_at.is_some();
        if full && answer.rows.is_empty() && !nobody_as_before && *eyes.guard != Guard::OFF {
            return Err(Doubt::Empty { before: self.len() });
        }
        if let Some(counted) = counted
            && eyes.known.count_fitted
            && cut_off(answer.rows.len(), counted)
        {
            return Err(Doubt::CutOff {
                received: answer.rows.len(),
                counted,
            });
        }
        let here = |record: &&Person| !has_left(record, eyes.today);
        let before = self.iter().filter(here).count();
        let present = Known::of(roll);
        let gone = self
            .iter()
            .filter(here)
            .filter(|record| !present.knows(record))
            .count();
        if !eyes.guard.allows(before, roll.len(), gone) {
            return Err(Doubt::Shrunk { before, gone });
        }
        match answer.left_out() {
            records if full && records > 0 && gone > 0 => Err(Doubt::LeftOut { records, gone }),
            _ => Ok(()),
        }
    }
}

/// Whether so many records hold something unreadable that the answer is not to be gone by. A few may always.
fn too_many_unread(answer: &Answer, known: usize, eyes: &Eyes<'_>) -> bool {
    let all = known.max(answer.rows.len() + answer.left_out());
    let limit = Guard {
        max_shrink: eyes.max_unread,
        ..*eyes.guard
    };
    *eyes.guard != Guard::OFF && !limit.allows(all, all, answer.unread())
}

/// Whether there is nobody of a kind of which Wonde itself counts nobody: at once where there was nobody before, after a
/// while where there was.
fn is_believed_empty(roll: &Roll, answer: &Answer, laid: &Laid, eyes: &Eyes<'_>) -> bool {
    let for_long = |since| answer.asked_at - since >= EMPTY_BELIEVED_AFTER;
    answer.left_out() == 0
        && laid
            .empty_since
            .is_some_and(|since| roll.is_empty() || for_long(since))
        && eyes.others_came
}

/// A number that the same record with the same last day has always.
fn fingerprint(id: &str, last: NaiveDate) -> u64 {
    let mut hasher = DefaultHasher::new();
    (id, last).hash(&mut hasher);
    hasher.finish()
}

/// Takes over from the record before what could not be read now.
fn fill(row: &mut Person, before: &Person, field: &str) {
    match field {
        "education_details.admission_date" | "employment_details.employment_start_date" => {
            row.joins = before.joins;
        }
        "education_details.leaving_date" | "employment_details.employment_end_date" => {
            row.leaves = before.leaves;
        }
        "education_details" | "employment_details" => {
            for part in [Part::Upn, Part::Dates, Part::Current] {
                part.copy(row, before);
            }
        }
        _ => {
            let Some(part) = Part::of_field(field) else {
                return;
            };
            match part {
                // Of a list the entries that are missing now; what one that is there says is news.
                Part::Property(Property::Contacts) => {
                    let there: HashSet<String> =
                        row.contacts.iter().map(|one| one.contact.clone()).collect();
                    let missing = before.contacts.iter();
                    let missing = missing.filter(|one| !there.contains(&one.contact));
                    row.contacts.extend(missing.cloned());
                }
                Part::Property(Property::Classes) => add_missing(&mut row.classes, &before.classes),
                Part::Property(Property::Groups) => add_missing(&mut row.groups, &before.groups),
                part if !part.is_in(row) => part.copy(row, before),
                _ => {}
            }
        }
    }
}

fn add_missing(groups: &mut Vec<mis_core::Group>, before: &[mis_core::Group]) {
    for group in before {
        if !groups.iter().any(|known| known.id == group.id) {
            groups.push(group.clone());
        }
    }
}

/// Whether a list that was as long as counted before lacks more than may have changed while it was read.
fn cut_off(received: usize, counted: u64) -> bool {
    let missing = counted.saturating_sub(received as u64);
    missing > 2.max(counted / 100)
}

/// By what the people of a roll can be recognised.
struct Known<'r> {
    upis: HashSet<&'r str>,
    upns: HashSet<&'r str>,
    mis_ids: HashSet<&'r str>,
    ids: HashSet<&'r str>,
}

impl<'r> Known<'r> {
    fn of(roll: &'r Roll) -> Self {
        Self {
            upis: roll.iter().filter_map(|r| r.upi.as_deref()).collect(),
            upns: roll.iter().filter_map(|r| r.upn.as_deref()).collect(),
            mis_ids: roll.iter().filter_map(|r| r.mis_id.as_deref()).collect(),
            ids: roll.iter().map(|r| r.id.as_str()).collect(),
        }
    }

    fn knows(&self, record: &Person) -> bool {
        let within = |set: &HashSet<&str>, id: &Option<String>| {
            id.as_deref().is_some_and(|id| set.contains(id))
        };
        self.ids.contains(record.id.as_str())
            || within(&self.upis, &record.upi)
            || within(&self.upns, &record.upn)
            || (record.upi.is_none() && within(&self.mis_ids, &record.mis_id))
    }
}
