//! Data read from a school, before it is checked.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use mis_core::{DecodeIssue, Deletion, Person, PersonKind, Property};
use serde::{Deserialize, Serialize};

use crate::part::Part;

/// The data read about one kind of people.
///
/// `Debug` shows only ids.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Answer {
    /// When it was requested.
    pub asked_at: DateTime<Utc>,
    /// Whether it covers all people or only changes.
    pub extent: Extent,
    /// The requested properties.
    pub properties: BTreeSet<Property>,
    /// Properties that the school does not grant or its MIS does not have.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub refused: BTreeSet<Property>,
    /// The records, in the order received.
    pub rows: Vec<Person>,
    /// Decoding problems: values treated as missing, and records that were left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub issues: Vec<DecodeIssue>,
    /// For students: whether the rows include those yet to start. `None` if they were not requested, false if the
    /// school does not grant them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pre_admission: Option<bool>,
}

impl Answer {
    /// The number of records that could not be read in full.
    pub(crate) fn unread(&self) -> usize {
        let ids: BTreeSet<&str> = self
            .issues
            .iter()
            .filter(|issue| !issue.left_out)
            .filter_map(|issue| issue.id.as_deref())
            .collect();
        ids.len() + self.left_out()
    }

    /// The number of records that could not be read at all.
    pub(crate) fn left_out(&self) -> usize {
        self.issues.iter().filter(|issue| issue.left_out).count()
    }
}

/// The extent of an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Extent {
    /// All records.
    Full {
        /// The total according to Wonde, if given.
        counted: Option<u64>,
    },
    /// Changes since the last read.
    Changes {
        /// Deleted and restored records.
        deletions: Vec<Deletion>,
        /// Parts that nobody has any more. They were checked because the changed records had lost them.
        withdrawn: BTreeSet<Part>,
    },
}

/// The error that prevented reading one kind of people. The other kinds can still be valid.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Unreadable {
    /// The error message.
    pub why: String,
}

/// The results of one pull by kind of people, limited to kinds that a group needs.
pub type Answers = BTreeMap<PersonKind, Result<Answer, Unreadable>>;
