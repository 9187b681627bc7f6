//! The report of a sync, for people.

use std::collections::BTreeMap;

use mis_core::{DecodeIssue, PersonKind, Property};
use serde::{Deserialize, Serialize};

use crate::{
    change::{Change, ChangeKind},
    held::HeldBack,
    identity::PersonKey,
    migration::Migration,
    split::{Overlap, Ungrouped},
    stay::DecidedDates,
};

/// The report of a sync.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SyncReport {
    /// The groups by name.
    pub groups: BTreeMap<String, Tally>,
    /// The number of records by kind of people.
    pub records: BTreeMap<PersonKind, usize>,
    /// What was held back.
    pub held: Vec<HeldBack>,
    /// Properties that the school does not grant or its MIS does not have.
    pub refused: Vec<(PersonKind, Property)>,
    /// People in no group.
    pub ungrouped: Vec<Ungrouped>,
    /// People who meet the conditions of several groups.
    pub overlaps: Vec<Overlap>,
    /// Unreadable values and records.
    #[serde(default)]
    pub unread: Vec<Unread>,
    /// People with contradictory dates, and the decision.
    #[serde(default)]
    pub dates: Vec<DecidedDates>,
    /// People with several records that the settings combine.
    #[serde(default)]
    pub one_person: Vec<OnePerson>,
    /// The matches after a change of the MIS.
    #[serde(default)]
    pub migrations: Vec<Migration>,
    /// Whether groups include students who are yet to start although the school does not grant reading them.
    #[serde(default)]
    pub pre_admission_refused: bool,
}

/// A value or a record that could not be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Unread {
    /// Student, staff or parent.
    pub kind: PersonKind,
    /// The problem.
    #[serde(flatten)]
    pub issue: DecodeIssue,
}

/// Records that belong to one person because their name and email address or mobile number agree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct OnePerson {
    /// Student, staff or parent.
    pub kind: PersonKind,
    /// Who.
    pub person: PersonKey,
    /// The records' ids.
    pub records: Vec<String>,
}

/// The changes of one group as counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Tally {
    /// The current number of members.
    pub people: usize,
    /// The number that joined.
    pub joined: usize,
    /// The number that changed.
    pub changed: usize,
    /// The number that left.
    pub left: usize,
}

impl SyncReport {
    pub(crate) fn count(&mut self, changes: &[Change]) {
        for change in changes {
            let tally = self.groups.entry(change.group.clone()).or_default();
            match change.kind {
                ChangeKind::Joined { .. } => tally.joined += 1,
                ChangeKind::Changed { .. } => tally.changed += 1,
                ChangeKind::Left { .. } => tally.left += 1,
            }
        }
    }

    /// Whether anything is held back.
    pub fn is_held(&self) -> bool {
        !self.held.is_empty()
    }
}
