//! The records of a school's people as Wonde returned them.
//!
//! A full answer replaces the records, and an incremental answer is merged into them. After all changes that Wonde
//! reports, the result equals a full answer.

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
    held::HoldReason,
    part::Part,
    state,
    stay::{has_left, is_stale, stay},
};

/// The records of one kind of people by their id at Wonde.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RecordSet {
    records: BTreeMap<String, Person>,
}

/// The result of merging an answer.
pub(crate) struct MergeResult {
    pub(crate) records: RecordSet,
    /// Why the answer is implausible: it removes nobody.
    pub(crate) doubt: Option<HoldReason>,
    /// Whether the whole answer was rejected: the records are the old ones.
    pub(crate) refused: bool,
    /// Parts that keep their old values because their permission seems lost.
    pub(crate) lost: BTreeSet<Part>,
    /// Whether Wonde's count matched the records.
    pub(crate) count_fits: Option<bool>,
    /// Listed students who have left; see [`state::KindState::left`].
    pub(crate) left: BTreeSet<u64>,
    /// Since when Wonde's count is zero.
    pub(crate) empty_since: Option<DateTime<Utc>>,
    /// Whether the kind is confirmed to be empty.
    pub(crate) emptied: bool,
}

/// How to merge an answer.
pub(crate) struct MergePolicy<'a> {
    pub(crate) kind: PersonKind,
    pub(crate) guard: &'a Guard,
    /// The percentage of records that can contain unreadable values.
    pub(crate) max_unread: u8,
    pub(crate) today: NaiveDate,
    /// An operator has approved the answer.
    pub(crate) accept: bool,
    /// The state of this kind besides the records.
    pub(crate) known: &'a state::KindState,
    /// People of another kind were received, so the region is right and the MIS is reachable.
    pub(crate) others_came: bool,
}

/// How long Wonde's count must be zero before a kind that had people counts as empty.
const EMPTY_BELIEVED_AFTER: TimeDelta = TimeDelta::days(7);

impl RecordSet {
    /// All records.
    pub fn iter(&self) -> impl Iterator<Item = &Person> {
        self.records.values()
    }

    /// The record with this id.
    pub fn get(&self, id: &str) -> Option<&Person> {
        self.records.get(id)
    }

    /// The number of records.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether there are no records.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Restores stored data.
    pub fn insert(&mut self, record: Person) {
        self.records.insert(record.id.clone(), record);
    }

    /// Removes records that do not match.
    pub(crate) fn retain(&mut self, keep: impl Fn(&Person) -> bool) {
        self.records.retain(|_, record| keep(record));
    }

    /// Merges an answer. An implausible answer removes nobody; new and changed records are merged anyway.
    pub(crate) fn merge(&self, answer: &Answer, policy: &MergePolicy<'_>) -> MergeResult {
        let full = matches!(answer.extent, Extent::Full { .. });
        let lost = if policy.accept {
            BTreeSet::new()
        } else {
            self.lost(answer, policy)
        };
        let (mut records, counted) = match &answer.extent {
            Extent::Full { counted } => (self.kept_pre_admission(answer), *counted),
            Extent::Changes { deletions, .. } => (self.without(deletions, policy.kind), None),
        };
        let mut result = MergeResult {
            records: Self::default(),
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
                policy.known.left.clone()
            },
            empty_since: self.empty_since(answer, counted, policy),
            emptied: false,
        };
        let rows = self.rows(answer, policy, &mut result);
        for row in &rows {
            records.insert(row.clone());
        }
        if policy.accept {
            result.records = records;
            return result;
        }
        if too_many_unread(answer, self.len(), policy) {
            result.doubt = Some(HoldReason::Unread {
                records: answer.unread(),
                of: answer.rows.len() + answer.left_out(),
            });
            result.refused = true;
            result.records = self.clone();
            return result;
        }
        if full && answer.rows.is_empty() && is_believed_empty(self, answer, &result, policy) {
            result.emptied = true;
        } else if let Err(doubt) = self.check(answer, &records, counted, policy) {
            result.refused = answer.rows.is_empty() && full;
            result.doubt = Some(doubt);
            records = self.clone();
            for row in rows {
                records.insert(row);
            }
        }
        result.records = records;
        result
    }

    /// The rows, with the old values where a value could not be read, and with corrected old leaving dates.
    fn rows(
        &self,
        answer: &Answer,
        policy: &MergePolicy<'_>,
        result: &mut MergeResult,
    ) -> Vec<Person> {
        let mut unread: HashMap<&str, Vec<&DecodeIssue>> = HashMap::new();
        for issue in answer.issues.iter().filter(|issue| !issue.left_out) {
            if let Some(id) = &issue.id {
                unread.entry(id).or_default().push(issue);
            }
        }
        let mut rows = Vec::with_capacity(answer.rows.len());
        for row in &answer.rows {
            let mut row = self.filled(row, &result.lost);
            if let Some(before) = self.get(&row.id) {
                for issue in unread.get(row.id.as_str()).into_iter().flatten() {
                    fill(&mut row, before, &issue.field);
                }
            }
            self.listed(&mut row, policy, &mut result.left);
            rows.push(row);
        }
        rows
    }

    /// A listed student with an old last day is at the school, unless we saw that day pass: then the MIS lists leavers.
    fn listed(&self, row: &mut Person, policy: &MergePolicy<'_>, left: &mut BTreeSet<u64>) {
        let passed = stay(row, policy.today)
            .leaves
            .filter(|last| *last < policy.today);
        let Some(last) = passed.filter(|_| policy.kind == PersonKind::Student) else {
            return;
        };
        let seen = |before: &Person| before.leaves == Some(last) && before.current != Some(true);
        if !is_stale(last, policy.today)
            || policy.known.left.contains(&fingerprint(&row.id, last))
            || self.get(&row.id).is_some_and(seen)
        {
            left.insert(fingerprint(&row.id, last));
        } else {
            row.current = Some(true);
        }
    }

    /// The initial rows of a full answer: known students yet to start, if they are no longer granted.
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
        policy: &MergePolicy<'_>,
    ) -> Option<DateTime<Utc>> {
        match &answer.extent {
            Extent::Changes { .. } => policy.known.empty_since,
            Extent::Full { .. }
                if answer.rows.is_empty() && counted == Some(0) && policy.others_came =>
            {
                policy.known.empty_since.or(Some(answer.asked_at))
            }
            Extent::Full { .. } => None,
        }
    }

    /// Parts that seem to be withheld. In a full answer: somebody had one, and now nobody has. In an incremental
    /// answer: the parts that were checked or were lost before.
    fn lost(&self, answer: &Answer, policy: &MergePolicy<'_>) -> BTreeSet<Part> {
        let wanted = answer.properties.union(&answer.refused).copied().collect();
        let parts = Part::of(policy.kind, &wanted);
        match &answer.extent {
            Extent::Full { .. } => self.turned(answer, &parts),
            Extent::Changes { withdrawn, .. } => {
                let known = withdrawn.union(&policy.known.lost).copied();
                known.filter(|part| parts.contains(part)).collect()
            }
        }
    }

    /// Parts that people in the answer had before and none of its records has now.
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

    /// The row, with the old values of lost parts.
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

    /// Removes deleted records. A record that changed after its deletion was restored or reuses the id.
    fn without(&self, deletions: &[Deletion], kind: PersonKind) -> Self {
        let mut records = self.clone();
        for deletion in deletions.iter().filter(|d| d.kind == kind && d.gone) {
            let newer = records.get(&deletion.id).is_some_and(|record| {
                matches!((record.changed_at, deletion.at), (Some(changed), Some(gone)) if changed > gone)
            });
            if !newer {
                records.records.remove(&deletion.id);
            }
        }
        records
    }

    fn check(
        &self,
        answer: &Answer,
        records: &Self,
        counted: Option<u64>,
        policy: &MergePolicy<'_>,
    ) -> Result<(), HoldReason> {
        let full = matches!(answer.extent, Extent::Full { .. });
        let nobody_as_before = self.is_empty() && policy.known.full_at.is_some();
        if full && answer.rows.is_empty() && !nobody_as_before && *policy.guard != Guard::OFF {
            return Err(HoldReason::Empty { before: self.len() });
        }
        if let Some(counted) = counted
            && policy.known.count_fitted
            && cut_off(answer.rows.len(), counted)
        {
            return Err(HoldReason::CutOff {
                received: answer.rows.len(),
                counted,
            });
        }
        let here = |record: &&Person| !has_left(record, policy.today);
        let before = self.iter().filter(here).count();
        let present = Known::of(records);
        let gone = self
            .iter()
            .filter(here)
            .filter(|record| !present.knows(record))
            .count();
        if !policy.guard.allows(before, records.len(), gone) {
            return Err(HoldReason::Shrunk { before, gone });
        }
        match answer.left_out() {
            records if full && records > 0 && gone > 0 => {
                Err(HoldReason::LeftOut { records, gone })
            }
            _ => Ok(()),
        }
    }
}

/// Whether too many records contain unreadable values to accept the answer. A few are always allowed.
fn too_many_unread(answer: &Answer, known: usize, policy: &MergePolicy<'_>) -> bool {
    let all = known.max(answer.rows.len() + answer.left_out());
    let limit = Guard {
        max_shrink: policy.max_unread,
        ..*policy.guard
    };
    *policy.guard != Guard::OFF && !limit.allows(all, all, answer.unread())
}

/// Whether a kind that Wonde counts as empty is confirmed to be empty: at once if there was nobody before, after a
/// while otherwise.
fn is_believed_empty(
    records: &RecordSet,
    answer: &Answer,
    result: &MergeResult,
    policy: &MergePolicy<'_>,
) -> bool {
    let for_long = |since| answer.asked_at - since >= EMPTY_BELIEVED_AFTER;
    answer.left_out() == 0
        && result
            .empty_since
            .is_some_and(|since| records.is_empty() || for_long(since))
        && policy.others_came
}

/// A stable number for a record and its last day.
fn fingerprint(id: &str, last: NaiveDate) -> u64 {
    let mut hasher = DefaultHasher::new();
    (id, last).hash(&mut hasher);
    hasher.finish()
}

/// Copies unreadable values from the previous record.
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

/// Whether a list whose length matched the count before now lacks more than can have changed while it was read.
fn cut_off(received: usize, counted: u64) -> bool {
    let missing = counted.saturating_sub(received as u64);
    missing > 2.max(counted / 100)
}

/// The ids by which people can be recognised.
struct Known<'r> {
    upis: HashSet<&'r str>,
    upns: HashSet<&'r str>,
    mis_ids: HashSet<&'r str>,
    ids: HashSet<&'r str>,
}

impl<'r> Known<'r> {
    fn of(records: &'r RecordSet) -> Self {
        Self {
            upis: records.iter().filter_map(|r| r.upi.as_deref()).collect(),
            upns: records.iter().filter_map(|r| r.upn.as_deref()).collect(),
            mis_ids: records.iter().filter_map(|r| r.mis_id.as_deref()).collect(),
            ids: records.iter().map(|r| r.id.as_str()).collect(),
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
