//! What is held back until a person has looked at it, and how that person is told.

use std::fmt;

use mis_core::PersonKind;
use serde::{Deserialize, Serialize};

use crate::{part::Part, settings::plural};

/// Why an answer is not believed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "doubt")]
pub enum HoldReason {
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
    /// Records without an id came, so that nobody can tell whose they are, and others are gone.
    LeftOut {
        /// How many could not be read.
        records: usize,
        /// How many are gone without a leaving date.
        gone: usize,
    },
    /// Too many records hold something that cannot be read.
    Unread {
        /// How many do.
        records: usize,
        /// How many came.
        of: usize,
    },
    /// It could not be read.
    Unreadable {
        /// What the error said.
        why: String,
    },
}

/// Something that was held back. Joiners and changes that are not in doubt go through all the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "what")]
pub enum HeldBack {
    /// The removal of people of one kind; where the answer as a whole cannot be believed, all of it.
    Kind {
        /// Which.
        kind: PersonKind,
        /// Why.
        #[serde(flatten)]
        doubt: HoldReason,
    },
    /// Everybody who is not certain after a change of the MIS: they neither join nor leave.
    Migration {
        /// Which people.
        kind: PersonKind,
        /// Records of people known before.
        matched: usize,
        /// Records that seem to be of people known before.
        proposed: usize,
        /// Records that may be of several people.
        doubtful: usize,
        /// Records of nobody known.
        new: usize,
        /// People without a record.
        missing: usize,
    },
    /// The removal of people from one group.
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

impl fmt::Display for HeldBack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kind { kind, doubt } => {
                let whom = plural(*kind);
                match doubt {
                    HoldReason::Empty { before } => write!(
                        f,
                        "Wonde gave no {whom} at all ({before} before): the region may be wrong, the permission withdrawn or \
                         the MIS offline. Their groups stay as they are; check all three, and accept if it is right"
                    ),
                    HoldReason::CutOff { received, counted } => write!(
                        f,
                        "Wonde counts {counted} {whom} and gave {received}: the list seems to be cut off. Nobody is \
                         taken out; sync again, and accept if it is right"
                    ),
                    HoldReason::Shrunk { before, gone } => write!(
                        f,
                        "{gone} of {before} {whom} are gone at once without a leaving date. Nobody is taken out; \
                         look into the MIS, and accept if it is right"
                    ),
                    HoldReason::LeftOut { records, gone } => write!(
                        f,
                        "{records} records of {whom} came without an id and {gone} {whom} are missing, perhaps the same. Nobody is \
                         taken out; ask Wonde about these records, and accept if the missing have left"
                    ),
                    HoldReason::Unread { records, of } => write!(
                        f,
                        "{records} of {of} records of {whom} hold something that cannot be read, more than `sync.max_unread` \
                         allows. Their groups stay as they are; see what it is, and accept if it does not matter"
                    ),
                    HoldReason::Unreadable { why } => write!(
                        f,
                        "the {whom} could not be read, and their groups stay as they are: {why}"
                    ),
                }
            }
            Self::Migration {
                kind,
                matched,
                proposed,
                doubtful,
                new,
                missing,
            } => write!(
                f,
                "the school seems to have another MIS: of the {}, {matched} are the same for certain, {proposed} seem to be, \
                 {doubtful} are doubtful, {new} are new and {missing} are missing. Nobody else joins or leaves; look at them, and \
                 accept if it is right",
                plural(*kind)
            ),
            Self::Group {
                group,
                before,
                leaving,
                after,
            } => write!(
                f,
                "{leaving} of the {before} people in {group:?} would leave it at once and {after} be in it. Nobody is taken out; \
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
