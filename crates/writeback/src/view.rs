//! The input of the rules: group, capabilities, code book and register.

use std::fmt;

use chrono::{DateTime, FixedOffset, NaiveDate, TimeDelta};
use chrono_tz::Tz;
use mis_core::{Ability, Capabilities, Code, CodeBook, EventKind, HeldCode, Quirks, Session};
use serde::{Deserialize, Serialize};

use crate::{rule::Rule, rules::Rules, school_day::SchoolDay, settings::GroupKind};

/// The person's group.
#[derive(Clone, Copy, Debug)]
pub struct GroupContext<'a> {
    /// The name, for the steps.
    pub name: &'a str,
    /// The kind of people.
    pub kind: GroupKind,
    /// Its rules; `None` without writeback settings.
    pub rules: Option<&'a Rules>,
}

/// The school and the register when an event is decided.
#[derive(Clone, Debug)]
pub struct View<'a> {
    /// The capabilities at this school.
    pub capabilities: Capabilities,
    /// Parts of this mark that the MIS has rejected: they are omitted.
    pub refused_with: &'a [Ability],
    /// The MIS's quirks with single marks.
    pub quirks: Quirks,
    /// The codes that can be written at this school.
    pub codes: &'a CodeBook,
    /// The register of this pupil, date and session.
    pub register: RegisterView,
    /// The recorded arrival of this pupil, date and session.
    pub arrival: Option<Arrival>,
    /// The person's latest event before this one, by its `at`, that was not a double tap; `None` if there is none
    /// within [`Rules::shortest_stay`]. Of two events at the same instant, the one decided first is the previous one.
    pub previous: Option<Previous>,
    /// Whether a mark of this event was already planned and the event is decided again before sending. In that case our
    /// ledger no longer shows whether an unsent mark that it replaced was ours.
    pub planned_before: bool,
    /// The standing events of this pupil, date and session; the default if there are none.
    pub standing: Standing,
    /// What the school's calendar says about the event's day, by [`local_date`](crate::local_date).
    pub school_day: SchoolDay,
    /// Whether a person has released this event's mark, so that it is not held again.
    pub released: bool,
    /// What is known of the event's mark if the event was withdrawn after the mark was sent: then the mark is repaired.
    pub withdrawn: Option<Withdrawn>,
    /// The school's time zone, used for all comparisons.
    pub timezone: Tz,
}

/// The state of the register.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RegisterView {
    /// The register was read.
    Looked {
        /// The mark of this pupil, date and session, if any.
        held: Option<RegisterMark>,
        /// The source.
        source: RegisterSource,
        /// The age of the data, if known.
        age: Option<TimeDelta>,
    },
    /// The register was not read.
    CannotLook {
        /// The reason as text for the steps, without tokens, names or comments.
        why: String,
    },
}

/// The source of a register view.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RegisterSource {
    /// Our record of written marks.
    OurLedger,
    /// Wonde's copy of the MIS.
    Wonde,
    /// Given by the caller.
    Given,
}

/// The mark of one pupil and session in the register.
///
/// `Debug` does not show the comment, because it is a child's data.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegisterMark {
    /// The code.
    pub code: HeldCode,
    /// The comment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// Whole minutes late; `None` also if the source does not report them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
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

/// The mark of a withdrawn event, and what the register has of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Withdrawn {
    /// The school day of the mark.
    pub date: NaiveDate,
    /// The session of the mark.
    pub session: Session,
    /// The mark.
    pub mark: RegisterMark,
    /// What became of it.
    pub trace: WithdrawnTrace,
}

/// What the register has of the mark of a withdrawn event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WithdrawnTrace {
    /// The mark stands, and nobody else has changed it, as far as is known.
    Stands {
        /// The mark in whose place it was written; `None` if there was none.
        before: Option<RegisterMark>,
    },
    /// A newer mark of ours has taken its place, or will.
    Replaced,
    /// Somebody else has changed it since.
    Changed,
    /// The register does not tell which of the two it is.
    Unclear {
        /// Why, as text for the steps, without tokens, names or comments.
        why: String,
    },
    /// The register was not read.
    Unread {
        /// The reason as text for the steps, without tokens, names or comments.
        why: String,
    },
}

/// The previous event of the same person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Previous {
    /// Its id.
    pub event: String,
    /// In or out.
    pub kind: EventKind,
    /// When it was.
    pub at: DateTime<FixedOffset>,
}

/// A recorded arrival: see [`Decision::arrival`](crate::Decision::arrival).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Arrival {
    /// The id of its event.
    pub event: String,
    /// When the pupil signed in.
    pub at: DateTime<FixedOffset>,
}

/// The events that determine a pupil's session, so that an event delivered late does not override a later one.
///
/// The later of the two applies. Both are kept, because an earlier arrival replaces `clock`, and then `chosen` can
/// apply again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// The sign-in whose code the time chose.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock: Option<Arrival>,
    /// The latest event whose code came from an answer or the leaver code, with its mark.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chosen: Option<ChosenMark>,
}

/// A mark whose code came from an answer or the leaver code.
///
/// `Debug` does not show the comment, because it is a child's data.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChosenMark {
    /// The id of its event.
    pub event: String,
    /// When the pupil signed in or out.
    pub at: DateTime<FixedOffset>,
    /// Sign-in or sign-out.
    pub kind: EventKind,
    /// The rule that chose the code.
    pub rule: Rule,
    /// The code.
    pub code: Code,
    /// The comment.
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
