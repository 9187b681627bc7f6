//! What was read of a school, before it is believed.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use mis_core::{Deletion, Person, PersonKind, Property};
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
