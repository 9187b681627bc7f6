//! What was read of a school, before it is believed.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use mis_core::{DecodeIssue, Deletion, Person, PersonKind, Property};
use serde::{Deserialize, Serialize};

use crate::part::Part;

/// The answer about one kind of people.
///
/// `Debug` shows ids alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// When it was asked for.
    pub asked_at: DateTime<Utc>,
    /// All people, or only what changed since the last time.
    pub extent: Extent,
    /// What was asked for.
    pub properties: BTreeSet<Property>,
    /// What could not even be asked for: the school refuses it, or its MIS does not have it.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub refused: BTreeSet<Property>,
    /// Records, in the order they came.
    pub rows: Vec<Person>,
    /// What could not be read: values that are taken for none, and records that are not among the rows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub issues: Vec<DecodeIssue>,
    /// Of students: whether those yet to start are among the rows. `None` where they were not asked for, false where the
    /// school does not grant them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pre_admission: Option<bool>,
}

impl Answer {
    /// How many records could not be read in full.
    pub(crate) fn unread(&self) -> usize {
        let ids: BTreeSet<&str> = self
            .issues
            .iter()
            .filter(|issue| !issue.left_out)
            .filter_map(|issue| issue.id.as_deref())
            .collect();
        ids.len() + self.left_out()
    }

    /// How many records could not be read at all.
    pub(crate) fn left_out(&self) -> usize {
        self.issues.iter().filter(|issue| issue.left_out).count()
    }
}

/// How much an answer covers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Extent {
    /// All there are.
    Full {
        /// How many there are by Wonde's own count, where it tells.
        counted: Option<u64>,
    },
    /// What changed since the last time.
    Changes {
        /// Records that went, or came back.
        deletions: Vec<Deletion>,
        /// Parts that nobody has any more, looked up because the changed records had lost them.
        withdrawn: BTreeSet<Part>,
    },
}

/// Why nothing could be read of one kind of people; the others may be right all the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unreadable {
    /// What the error said.
    pub why: String,
}

/// Everything one pull brought, by kind of people. What no group asks for is not in it.
pub type Answers = BTreeMap<PersonKind, Result<Answer, Unreadable>>;
