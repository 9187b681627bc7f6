//! What a sync came to, for people to read.

use std::collections::BTreeMap;

use mis_core::{DecodeIssue, PersonKind, Property};
use serde::{Deserialize, Serialize};

use crate::{
    change::{Change, What},
    held::Held,
    identity::PersonKey,
    migration::Migration,
    split::{Overlap, Stray},
    stay::DecidedDates,
};

/// What a sync came to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The groups by name.
    pub groups: BTreeMap<String, Tally>,
    /// Records known, by kind of people.
    pub records: BTreeMap<PersonKind, usize>,
    /// What was held back.
    pub held: Vec<Held>,
    /// What the school refuses to tell, or its MIS does not have.
    pub refused: Vec<(PersonKind, Property)>,
    /// Those whom no group takes.
    pub strays: Vec<Stray>,
    /// Those whom more than one group takes.
    pub overlaps: Vec<Overlap>,
    /// What could not be read.
    #[serde(default)]
    pub unread: Vec<Unread>,
    /// Those whose dates contradict each other or what else the MIS says, and how that was decided.
    #[serde(default)]
    pub dates: Vec<DecidedDates>,
    /// Those of whom the MIS keeps several records that the settings make one person.
    #[serde(default)]
    pub one_person: Vec<OnePerson>,
    /// Who is who after a change of the MIS.
    #[serde(default)]
    pub migrations: Vec<Migration>,
    /// Groups take students who are yet to start, and the school does not grant reading them.
    #[serde(default)]
    pub pre_admission_refused: bool,
}

/// A value or a record that could not be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unread {
    /// Student, staff or parent.
    pub kind: PersonKind,
    /// What it was.
    #[serde(flatten)]
    pub issue: DecodeIssue,
}

/// Records that are one person because their names and an address or a mobile's number agree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OnePerson {
    /// Student, staff or parent.
    pub kind: PersonKind,
    /// Who.
    pub person: PersonKey,
    /// The records' ids.
    pub records: Vec<String>,
}

/// What happened to one group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// How many are in it now.
    pub people: usize,
    /// How many joined.
    pub joined: usize,
    /// Of how many something else is known now.
    pub changed: usize,
    /// How many left.
    pub left: usize,
}

impl Report {
    pub(crate) fn count(&mut self, changes: &[Change]) {
        for change in changes {
            let tally = self.groups.entry(change.group.clone()).or_default();
            match change.what {
                What::Joined { .. } => tally.joined += 1,
                What::Changed { .. } => tally.changed += 1,
                What::Left { .. } => tally.left += 1,
            }
        }
    }

    /// Whether anything waits for a person.
    pub fn is_held(&self) -> bool {
        !self.held.is_empty()
    }
}
