//! The state: all that is known of one school's people, to be kept between syncs.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, NaiveDate, Utc};
use mis_core::{Person, PersonKind, Property};
use serde::{Deserialize, Serialize};

use crate::{
    identity::{IdentityMap, PersonKey},
    member::{Former, List},
    part::Part,
    record_set::RecordSet,
    settings::{Keep, Settings},
    stay::{has_left, on_roll, stay},
};

/// What is known of one school's people. A new one knows nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RosterState {
    /// The records of each kind of people, and how they came.
    pub kinds: BTreeMap<PersonKind, KindState>,
    /// The groups as the host has them, by name. A group that was never read is not there.
    pub lists: BTreeMap<String, List>,
    /// Those who left a group lately.
    pub former: Vec<Former>,
    /// The number of the last change.
    pub seq: u64,
}

/// What is known of one kind of people.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct KindState {
    /// The records.
    pub records: RecordSet,
    /// The keys given out.
    pub keys: IdentityMap,
    /// When the last full answer that was believed was asked for.
    pub full_at: Option<DateTime<Utc>>,
    /// When the last answer that was believed was asked for.
    pub asked_at: Option<DateTime<Utc>>,
    /// What was asked for in the last full answer.
    pub properties: BTreeSet<Property>,
    /// What the school refused in the last full answer, or its MIS does not have.
    pub refused: BTreeSet<Property>,
    /// Parts whose permission seems lost: the values are those known before.
    pub lost: BTreeSet<Part>,
    /// Wonde's own count was that of the records of the last full answer.
    pub count_fitted: bool,
    /// Fingerprints of listed records with a last day that came and passed, and was believed. Whose they are cannot be read
    /// out of them: who has left is to be forgotten.
    pub left: BTreeSet<u64>,
    /// The ids are new, as after a change of the MIS, and a person is to say who is who.
    pub migrating: bool,
    /// Since when Wonde itself counts nobody.
    pub empty_since: Option<DateTime<Utc>>,
}

/// How far a read must reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SyncScope {
    /// All people.
    Full,
    /// Those changed since then.
    Since(DateTime<Utc>),
}

impl RosterState {
    /// How far each kind of people must be read: in full when asked so, at the first time, and when more is to be known of
    /// them than before; else from the last time on, with the overlap.
    pub fn scopes(&self, settings: &Settings, full: bool) -> BTreeMap<PersonKind, SyncScope> {
        let reach = |kind: &PersonKind, wanted: &BTreeSet<Property>| {
            let known = self
                .kinds
                .get(kind)
                .filter(|known| !full && !known.migrating)?;
            known.full_at?;
            let asked = known.asked_at?;
            let read =
                |property| known.properties.contains(property) || known.refused.contains(property);
            wanted
                .iter()
                .all(read)
                .then(|| SyncScope::Since(since(asked, &settings.keep)))
        };
        settings
            .needs()
            .iter()
            .map(|(kind, wanted)| (*kind, reach(kind, wanted).unwrap_or(SyncScope::Full)))
            .collect()
    }

    /// The group that has a person of this kind.
    pub fn group_of(&self, kind: PersonKind, person: &PersonKey) -> Option<&str> {
        self.lists
            .iter()
            .find(|(_, list)| list.kind == kind && list.members.contains_key(person))
            .map(|(name, _)| name.as_str())
    }
}

fn since(asked: DateTime<Utc>, keep: &Keep) -> DateTime<Utc> {
    asked.checked_sub_signed(keep.overlap).unwrap_or(asked)
}

/// Of several records of one person the one that speaks for them on a day: at the school rather than coming, coming
/// rather than left; then the one that began last, then the one that changed last.
pub(crate) fn speaks<'r>(
    records: impl IntoIterator<Item = &'r Person>,
    today: NaiveDate,
) -> Option<&'r Person> {
    records.into_iter().max_by_key(|record| {
        let standing = match (on_roll(record, today), has_left(record, today)) {
            (true, _) => 2,
            (false, false) => 1,
            (false, true) => 0,
        };
        (
            standing,
            stay(record, today).joins,
            record.changed_at,
            &record.id,
        )
    })
}
