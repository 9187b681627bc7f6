//! What a sync came to, for people to read.

use std::collections::BTreeMap;

use mis_core::{PersonKind, Property};
use serde::{Deserialize, Serialize};

use crate::{
    change::{Change, What},
    held::Held,
    split::{Overlap, Stray},
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
