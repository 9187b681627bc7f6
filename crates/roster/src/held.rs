//! What is held back until a person has looked at it, and how that person is told.

use std::fmt;

use mis_core::PersonKind;
use serde::{Deserialize, Serialize};

use crate::{part::Part, settings::plural};

/// Why an answer is not believed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "doubt")]
pub enum Doubt {
    /// It has nobody in it.
    Empty {
        /// How many records there were.
        before: usize,
    },
    /// It is shorter than Wonde's own count, which it was as long as before.
    CutOff {
        /// Records that came.
        received: usize,
        /// Records counted.
        counted: u64,
    },
    /// Too many are gone at once.
    Shrunk {
        /// How many there were.
        before: usize,
        /// How many of them are gone without a leaving date.
        gone: usize,
    },
    /// It could not be read.
    Unreadable {
        /// What the error said.
        why: String,
    },
}

/// Something that was held back: the old list stays.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "what")]
pub enum Held {
    /// All that was read of one kind of people.
    Kind {
        /// Which.
        kind: PersonKind,
        /// Why.
        #[serde(flatten)]
        doubt: Doubt,
    },
    /// The change of one group.
    Group {
        /// Which.
        group: String,
        /// How many people are in it.
        before: usize,
        /// How many would leave without being accounted for.
        leaving: usize,
        /// How many would be in it then.
        after: usize,
    },
    /// A property of which nobody has a value any more: the values known before stay.
    Property {
        /// Whose.
        kind: PersonKind,
        /// Which.
        part: Part,
    },
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kind { kind, doubt } => {
                let whom = plural(*kind);
                match doubt {
                    Doubt::Empty { before } => write!(
                        f,
                        "Wonde gave no {whom} at all ({before} before): the region may be wrong, the permission withdrawn or \
                         the MIS offline. Their groups stay as they are; check all three, and accept if it is right"
                    ),
                    Doubt::CutOff { received, counted } => write!(
                        f,
                        "Wonde counts {counted} {whom} and gave {received}: the list seems to be cut off. Their groups stay \
                         as they are; sync again, and accept if it is right"
                    ),
                    Doubt::Shrunk { before, gone } => write!(
                        f,
                        "{gone} of {before} {whom} are gone at once without a leaving date. Their groups stay as they are; \
                         look into the MIS, and accept if it is right"
                    ),
                    Doubt::Unreadable { why } => write!(
                        f,
                        "the {whom} could not be read, and their groups stay as they are: {why}"
                    ),
                }
            }
            Self::Group {
                group,
                before,
                leaving,
                after,
            } => write!(
                f,
                "{leaving} of the {before} people in {group:?} would leave it at once and {after} be in it. It stays as it is; \
                 look into the MIS and the group's settings, and accept if it is right"
            ),
            Self::Property { kind, part } => write!(
                f,
                "no {} have `{part}` any more, so the permission to read it seems lost. What was known stays; ask the school \
                 for the permission, and accept if it is right",
                plural(*kind)
            ),
        }
    }
}
