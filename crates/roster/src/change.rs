//! Changes: who joined a group, changed or left it, and why.

use std::{collections::BTreeSet, fmt};

use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};

use crate::{
    identity::PersonKey,
    member::{Field, Member},
};

/// One change of one group. Applied in the order of their numbers, changes make the old list into the new.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Its number: one more than that of the change before it, over all groups of the school.
    pub seq: u64,
    /// When it was found.
    pub at: DateTime<Utc>,
    /// The group.
    pub group: String,
    /// Who.
    pub person: PersonKey,
    /// What happened.
    #[serde(flatten)]
    pub kind: ChangeKind,
}

/// What happened to a person in a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "change")]
pub enum ChangeKind {
    /// Is in the group from now on.
    Joined {
        /// As they are.
        member: Box<Member>,
    },
    /// Is in the group as before, with something else known of them.
    Changed {
        /// As they are now.
        member: Box<Member>,
        /// What is different.
        fields: BTreeSet<Field>,
    },
    /// Is in the group no more.
    Left {
        /// Why.
        cause: Cause,
    },
}

/// Why somebody left a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "why")]
pub enum Cause {
    /// The last day at the school has passed.
    LeftSchool {
        /// That day.
        on: NaiveDate,
    },
    /// The first day at the school is yet to come.
    NotYetHere {
        /// That day.
        from: NaiveDate,
    },
    /// Another group takes them.
    Moved {
        /// Which.
        to: String,
    },
    /// The conditions of the group do not hold for them any more.
    NotTaken,
    /// The settings take them out by id.
    Excluded,
    /// Of a parent: the students they were there for have left the school.
    ChildrenLeft,
    /// Of a parent: the students they were there for are in other groups now.
    ChildrenMoved,
    /// Of a parent: none of the students they were there for is known at the school any more.
    ChildrenGone,
    /// The MIS deleted the record.
    Deleted,
    /// The MIS does not list them any more.
    Gone,
    /// They turned out to be the same person as another.
    Merged {
        /// The key that stays.
        into: PersonKey,
    },
    /// The group is not in the settings any more.
    GroupRemoved,
}

impl Cause {
    /// Whether it is a cause of its own, so that nobody needs to look. Whoever leaves otherwise counts for the guard.
    pub fn accounts(&self) -> bool {
        match self {
            Self::LeftSchool { .. }
            | Self::Moved { .. }
            | Self::Excluded
            | Self::ChildrenLeft
            | Self::ChildrenMoved
            | Self::Merged { .. }
            | Self::GroupRemoved => true,
            Self::NotYetHere { .. }
            | Self::NotTaken
            | Self::ChildrenGone
            | Self::Deleted
            | Self::Gone => false,
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LeftSchool { on } => write!(f, "left the school on {on}"),
            Self::NotYetHere { from } => write!(f, "starts at the school on {from} only"),
            Self::Moved { to } => write!(f, "is in {to:?} now"),
            Self::NotTaken => f.write_str("is not taken by the group's conditions any more"),
            Self::Excluded => f.write_str("is excluded by the settings"),
            Self::ChildrenLeft | Self::ChildrenGone => {
                f.write_str("has no child at the school any more")
            }
            Self::ChildrenMoved => {
                f.write_str("has no child in the group's student groups any more")
            }
            Self::Deleted => f.write_str("was deleted from the MIS"),
            Self::Gone => f.write_str("is not listed by the MIS any more"),
            Self::Merged { into } => write!(f, "is the same person as {into}"),
            Self::GroupRemoved => f.write_str("the group was taken out of the settings"),
        }
    }
}
