//! Changes: who joined a group, changed or left it, and why.

use std::{collections::BTreeSet, fmt};

use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};

use crate::{
    identity::PersonKey,
    member::{Field, Member},
};

/// One change of one group. Applying changes in the order of their numbers turns the old list into the new one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Change {
    /// The sequence number, consecutive over all groups of the school.
    pub seq: u64,
    /// When it was detected.
    pub at: DateTime<Utc>,
    /// The group.
    pub group: String,
    /// Who.
    pub person: PersonKey,
    /// The kind of change.
    #[serde(flatten)]
    pub kind: ChangeKind,
}

/// The kind of a change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "change")]
pub enum ChangeKind {
    /// The person joined the group.
    Joined {
        /// The member.
        member: Box<Member>,
    },
    /// The person's data changed.
    Changed {
        /// The member now.
        member: Box<Member>,
        /// The changed fields.
        fields: BTreeSet<Field>,
    },
    /// The person left the group.
    Left {
        /// Why.
        cause: Cause,
    },
}

/// Why a person left a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[schemars(rename = "CauseOfLeaving")]
#[serde(rename_all = "snake_case", tag = "why")]
pub enum Cause {
    /// The person's last day at the school has passed.
    LeftSchool {
        /// That day.
        on: NaiveDate,
    },
    /// The person's first day at the school is in the future.
    NotYetHere {
        /// That day.
        from: NaiveDate,
    },
    /// The person moved to another group.
    Moved {
        /// Which.
        to: String,
    },
    /// The group's conditions no longer apply.
    NotTaken,
    /// The settings exclude the person's id.
    Excluded,
    /// A parent's students have left the school.
    ChildrenLeft,
    /// A parent's students have moved to other groups.
    ChildrenMoved,
    /// A parent's students are no longer known at the school.
    ChildrenGone,
    /// The MIS deleted the record.
    Deleted,
    /// The MIS no longer lists the person.
    Gone,
    /// The person turned out to be the same as another.
    Merged {
        /// The remaining key.
        into: PersonKey,
    },
    /// The group was removed from the settings.
    GroupRemoved,
}

impl Cause {
    /// Whether the cause explains the departure by itself. All other departures count towards the guard's limits.
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
            Self::NotYetHere { from } => write!(f, "does not start at the school until {from}"),
            Self::Moved { to } => write!(f, "is in {to:?} now"),
            Self::NotTaken => f.write_str("no longer meets the group's conditions"),
            Self::Excluded => f.write_str("is excluded by the settings"),
            Self::ChildrenLeft | Self::ChildrenGone => {
                f.write_str("no longer has a child at the school")
            }
            Self::ChildrenMoved => {
                f.write_str("no longer has a child in the group's student groups")
            }
            Self::Deleted => f.write_str("was deleted from the MIS"),
            Self::Gone => f.write_str("is no longer listed by the MIS"),
            Self::Merged { into } => write!(f, "is the same person as {into}"),
            Self::GroupRemoved => f.write_str("the group was removed from the settings"),
        }
    }
}
