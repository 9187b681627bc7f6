//! The state of one school's people, kept between syncs.

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

/// The state of one school's people. A new one is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RosterState {
    /// The records of each kind of people and their origin.
    pub kinds: BTreeMap<PersonKind, KindState>,
    /// The groups as the host has them, by name. A group that was never read is missing.
    pub lists: BTreeMap<String, List>,
    /// Recent former members.
    pub former: Vec<Former>,
    /// The number of the last change.
    pub seq: u64,
}

/// The state of one kind of people.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct KindState {
    /// The records.
    pub records: RecordSet,
    /// The identities.
    pub keys: IdentityMap,
    /// When the last accepted full answer was requested.
    pub full_at: Option<DateTime<Utc>>,
    /// When the last accepted answer was requested.
    pub asked_at: Option<DateTime<Utc>>,
    /// The properties requested in the last full answer.
    pub properties: BTreeSet<Property>,
    /// The properties that the school did not grant in the last full answer or its MIS does not have.
    pub refused: BTreeSet<Property>,
    /// Parts whose permission seems lost; they keep their previous values.
    pub lost: BTreeSet<Part>,
    /// Whether Wonde's count matched the last full answer.
    pub count_fitted: bool,
    /// Fingerprints of listed records whose last day was accepted and has passed. They do not reveal the person,
    /// because data of people who left must be deleted.
    pub left: BTreeSet<u64>,
    /// Whether the ids are new after a change of the MIS and the matches need approval.
    pub migrating: bool,
    /// Since when Wonde's count is zero.
    pub empty_since: Option<DateTime<Utc>>,
}

/// The scope of a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum SyncScope {
    /// All people.
    Full,
    /// People changed since then.
    Since(DateTime<Utc>),
}

impl RosterState {
    /// The scope for each kind of people: full if requested, at the first sync, or if more properties are needed than
    /// before; otherwise since the last sync, with an overlap.
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

    /// The group of a person of this kind.
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

/// The record of a person that applies on a day, if there are several: current before future, future before
/// past; then the one that began last, then the one that changed last.
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
