//! Changes that are held back until an operator approves them, and their messages.

use std::fmt;

use mis_core::PersonKind;
use serde::{Deserialize, Serialize};

use crate::{part::Part, settings::plural};

/// Why an answer is held back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "doubt")]
#[non_exhaustive]
pub enum HoldReason {
    /// The answer is empty.
    Empty {
        /// The previous number of records.
        before: usize,
    },
    /// The answer is shorter than Wonde's count, although they matched before.
    CutOff {
        /// The number of received records.
        received: usize,
        /// Wonde's count.
        counted: u64,
    },
    /// Too many people are missing at once.
    Shrunk {
        /// The previous number.
        before: usize,
        /// How many of them are missing without a leaving date.
        gone: usize,
    },
    /// Records without an id were received, and other records are missing.
    LeftOut {
        /// The number of records without an id.
        records: usize,
        /// How many people are missing without a leaving date.
        gone: usize,
    },
    /// Too many records contain unreadable values.
    Unread {
        /// How many do.
        records: usize,
        /// How many came.
        of: usize,
    },
    /// The answer could not be read.
    Unreadable {
        /// The error message.
        why: String,
    },
}

/// Something that was held back. Joiners and unaffected changes are applied anyway.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "what")]
#[non_exhaustive]
pub enum HeldBack {
    /// The removal of people of one kind, or the whole answer if it is implausible.
    Kind {
        /// Which.
        kind: PersonKind,
        /// Why.
        #[serde(flatten)]
        doubt: HoldReason,
    },
    /// Everybody without a certain match after a change of the MIS. They neither join nor leave.
    Migration {
        /// Which people.
        kind: PersonKind,
        /// Records with a certain match.
        matched: usize,
        /// Records with a probable match.
        proposed: usize,
        /// Records with several possible matches.
        doubtful: usize,
        /// Records without a match.
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
        /// How many would leave without an accounted cause.
        leaving: usize,
        /// How many would remain.
        after: usize,
    },
    /// A property that nobody has any more. The previous values are kept.
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
                        "Wonde returned no {whom} ({before} before): the region may be wrong, the permission withdrawn or \
                         the MIS offline. Their groups do not change; check all three, and accept if it is correct"
                    ),
                    HoldReason::CutOff { received, counted } => write!(
                        f,
                        "Wonde counts {counted} {whom} and returned {received}: the list seems to be incomplete. Nobody is \
                         removed; sync again, and accept if it is correct"
                    ),
                    HoldReason::Shrunk { before, gone } => write!(
                        f,
                        "{gone} of {before} {whom} are missing at once without a leaving date. Nobody is removed; \
                         check the MIS, and accept if it is correct"
                    ),
                    HoldReason::LeftOut { records, gone } => write!(
                        f,
                        "{records} records of {whom} have no id and {gone} {whom} are missing, possibly the same. Nobody is \
                         removed; ask Wonde about these records, and accept if the missing people have left"
                    ),
                    HoldReason::Unread { records, of } => write!(
                        f,
                        "{records} of {of} records of {whom} contain unreadable values, more than `sync.max_unread` \
                         allows. Their groups do not change; check the values, and accept if they do not matter"
                    ),
                    HoldReason::Unreadable { why } => write!(
                        f,
                        "the {whom} could not be read, and their groups do not change: {why}"
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
                "the school seems to have another MIS: of the {}, {matched} match for certain, {proposed} probably, \
                 {doubtful} are doubtful, {new} are new and {missing} are missing. Nobody else joins or leaves; check them, and \
                 accept if it is correct",
                plural(*kind)
            ),
            Self::Group {
                group,
                before,
                leaving,
                after,
            } => write!(
                f,
                "{leaving} of the {before} people in {group:?} would leave it at once and {after} would remain. Nobody is removed; \
                 check the MIS and the group's settings, and accept if it is correct"
            ),
            Self::Property { kind, part } => write!(
                f,
                "no {} have `{part}` any more, so the permission to read it seems lost. Known values are kept; ask the school \
                 for the permission, and accept if it is correct",
                plural(*kind)
            ),
        }
    }
}
