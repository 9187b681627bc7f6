//! What the rules are shown: the group, what the MIS can keep, the code book, the register.

use std::fmt;

use chrono::{DateTime, FixedOffset, TimeDelta};
use chrono_tz::Tz;
use mis_core::{Ability, Capabilities, Code, CodeBook, EventKind, HeldCode, Quirks};
use serde::{Deserialize, Serialize};

use crate::{rule::Rule, rules::Rules, settings::GroupKind};

/// The group that takes the person.
#[derive(Clone, Copy, Debug)]
pub struct GroupContext<'a> {
    /// The group's name, for the steps.
    pub name: &'a str,
    /// Who is in it.
    pub kind: GroupKind,
    /// Its rules; `None` where it has no writeback settings.
    pub rules: Option<&'a Rules>,
}

/// What is known about the school and the register when an event is decided.
#[derive(Clone, Debug)]
pub struct View<'a> {
    /// What can be kept at this school.
    pub capabilities: Capabilities,
    /// What the MIS has refused this mark with: it goes without.
    pub refused_with: &'a [Ability],
    /// What the MIS does with single marks that the capabilities do not say.
    pub quirks: Quirks,
    /// The codes that may be written at this school.
    pub codes: &'a CodeBook,
    /// What the register holds of this pupil, date and session.
    pub register: RegisterView,
    /// The arrival already recorded for this pupil, date and session.
    pub arrival: Option<Arrival>,
    /// The latest event of this person before this one, by its `at`, that was not itself a double tap; `None` where there
    /// is none, or none as near as [`Rules::shortest_stay`]. Of two at the same instant the one decided first is the
    /// event before.
    pub previous: Option<Previous>,
    /// Whether a mark was planned for this event before, and it is decided again ahead of sending that. Our own record
    /// then no longer tells whether an unsent mark that it took the place of was ours.
    pub planned_before: bool,
    /// The events whose codes we have already for this pupil, date and session; the default where there are none.
    pub standing: Standing,
    /// The school's time zone: all clock comparisons are in it.
    pub timezone: Tz,
}

/// What could be seen of the register.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RegisterView {
    /// It was looked at.
    Looked {
        /// What it holds of this pupil, date and session; `None` for nothing.
        held: Option<RegisterMark>,
        /// Where that was read.
        source: RegisterSource,
        /// How old the view is, where that can be told.
        age: Option<TimeDelta>,
    },
    /// It could not be looked at, or nobody looked.
    CannotLook {
        /// Why, in words for the steps: no token, name or comment.
        why: String,
    },
}

/// Where a view of the register comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RegisterSource {
    /// Our own record of what we wrote.
    OurLedger,
    /// Wonde's copy of the MIS.
    Wonde,
    /// Whoever asked said so.
    Given,
}

/// What the register holds of one pupil in one session.
///
/// `Debug` does not show the comment: it is a child's data.
#[derive(Clone, PartialEq, Eq)]
pub struct RegisterMark {
    /// The code.
    pub code: HeldCode,
    /// The comment kept with it.
    pub comment: Option<String>,
    /// Whole minutes late; `None` also where the source does not tell.
    pub minutes_late: Option<u32>,
}

impl fmt::Debug for RegisterMark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RegisterMark")
            .field("code", &self.code)
            .field(
                "comment",
                &self.comment.as_ref().map(|_| format_args!("[hidden]")),
            )
            .field("minutes_late", &self.minutes_late)
            .finish()
    }
}

/// The event before one of the same person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Previous {
    /// Its id.
    pub event: String,
    /// In or out.
    pub kind: EventKind,
    /// When it was.
    pub at: DateTime<FixedOffset>,
}

/// An arrival that was recorded earlier: see [`Decision::arrival`](crate::Decision::arrival).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Arrival {
    /// The id of the event it came from.
    pub event: String,
    /// When the pupil signed in.
    pub at: DateTime<FixedOffset>,
}

/// Which events have had their say in a pupil's session, so that one delivered late does not stand above a later one.
///
/// Of the two the later stands. Both are kept, for an earlier arrival that turns up takes the place of `clock`, and what
/// that stood above may count again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// The sign-in whose code the clock chose.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock: Option<Arrival>,
    /// The latest event whose code an answer or the leaver code chose, with its mark.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chosen: Option<ChosenMark>,
}

/// A mark that an answer or the leaver code chose.
///
/// `Debug` does not show the comment: it is a child's data.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChosenMark {
    /// The id of the event it came from.
    pub event: String,
    /// When the pupil signed in or out.
    pub at: DateTime<FixedOffset>,
    /// Which of the two it was.
    pub kind: EventKind,
    /// The rule that chose the code.
    pub rule: Rule,
    /// The code.
    pub code: Code,
    /// The comment kept with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
}

impl fmt::Debug for ChosenMark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChosenMark")
            .field("event", &self.event)
            .field("at", &self.at)
            .field("rule", &self.rule)
            .field("code", &self.code)
            .finish_non_exhaustive()
    }
}
