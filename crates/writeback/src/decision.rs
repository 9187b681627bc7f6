//! A decision: the mark to write or the reason for none, and the steps.

use std::fmt;

use chrono::{DateTime, NaiveDate, NaiveTime, TimeDelta, TimeZone as _, Utc};
use chrono_tz::Tz;
use mis_core::{Ability, AttendanceCodeId, HeldCode, Mark, Session};
use serde::{Deserialize, Serialize, Serializer, ser::SerializeStruct};

use crate::{
    rule::Rule,
    rules::local,
    text::{count, listed},
    view::{RegisterSource, Standing},
};

/// The effect of one event on the register, and the reason.
///
/// `Serialize` writes the JSON form for hosts, in which absent values are null:
/// `{"outcome":"write","mark":{"date","session","code","comment","minutes_late"},"dropped":[…],"steps":[…]}`, with
/// `"hold"`, the reason, if the mark waits for a person's release;
/// `{"outcome":"skip","reason","detail","steps":[…]}`, or `{"outcome":"wait","detail","steps":[…]}` and the same with
/// `fail`. It contains the mark's comment; `Display`, `Debug` and the steps never do.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// The outcome.
    pub outcome: DecisionOutcome,
    /// The steps of the decision as text, in order. They contain codes and times, but never a comment or another
    /// answer.
    pub steps: Vec<String>,
    /// Parts of the mark that were omitted because the MIS cannot store them.
    pub dropped: Vec<Ability>,
    /// The register before; `None` if it was not checked.
    pub found: Option<RegisterBefore>,
    /// The school day and session of the event; `None` if it is outside of them, or if they were not needed.
    pub session: Option<(NaiveDate, Session)>,
    /// Whether to record the event as the arrival of its pupil, date and session, so that later sign-ins do not replace
    /// it. An arrival is a sign-in whose code depends on the time, with or without a mark, and without an earlier
    /// arrival. A waiting event is not an arrival yet.
    pub arrival: bool,
    /// The new standing events of this pupil, date and session; `None` if they do not change.
    pub standing: Option<Standing>,
    /// Why the mark waits until a person releases it; `None` if it does not, or there is no mark.
    pub hold: Option<Hold>,
}

/// Why a mark waits for a person's release, and for how long.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Hold {
    /// Why, as text.
    pub why: String,
    /// How long it waits before it lapses; `None` until the end of the day.
    pub lapse_after: Option<TimeDelta>,
}

impl Hold {
    /// When a mark that is held from `held_at` on lapses: after `lapse_after`, or at the end of the school's day, but not
    /// before an hour has passed.
    pub fn lapses_at(&self, held_at: DateTime<Utc>, timezone: Tz) -> DateTime<Utc> {
        if let Some(after) = self.lapse_after {
            return held_at
                .checked_add_signed(after)
                .unwrap_or(DateTime::<Utc>::MAX_UTC);
        }
        let soonest = held_at
            .checked_add_signed(TimeDelta::hours(1))
            .unwrap_or(held_at);
        let midnight = local(held_at.fixed_offset(), timezone)
            .and_then(|local| local.date().succ_opt())
            .and_then(|next| {
                let midnight = next.and_time(NaiveTime::MIN);
                timezone.from_local_datetime(&midnight).earliest()
            });
        midnight.map_or(soonest, |midnight| midnight.to_utc().max(soonest))
    }
}

/// The outcome of a decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DecisionOutcome {
    /// Write this mark.
    Write(PlannedMark),
    /// Write nothing.
    Skip {
        /// Why.
        reason: SkipReason,
        /// Details as text; for [`SkipReason::Unsupported`] the name of the [`Ability`].
        detail: String,
    },
    /// Write nothing yet: read the register and decide again.
    Wait {
        /// The reason for waiting.
        why: String,
    },
    /// Write nothing until an operator fixes the cause; then decide again.
    Fail {
        /// The problem and its remedy.
        why: String,
    },
}

/// A mark to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedMark {
    /// The mark.
    pub mark: Mark,
    /// The code's id at this school; `None` in a code book without ids.
    pub code_id: Option<AttendanceCodeId>,
    /// The rule that chose the code.
    pub rule: Rule,
}

/// Why nothing is written.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    schemars::JsonSchema,
    strum::Display,
    strum::EnumString,
    strum::IntoStaticStr,
    strum::VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum SkipReason {
    /// The event was withdrawn, and nothing of its mark is left to repair.
    Withdrawn,
    /// The event or its person's group does not write back.
    NotWrittenBack,
    /// The answer has `write = false`.
    AnswerNotWritten,
    /// There is no school on that day.
    NotASchoolDay,
    /// The school's calendar has no school on that day.
    SchoolClosed,
    /// The school day is over.
    OutsideSchoolDay,
    /// It came too soon after the previous event.
    DoubleTap,
    /// The MIS does not support it.
    Unsupported,
    /// The pupil was in time, and present marks are off.
    PresentWritebackOff,
    /// A sign-out without a code.
    LeaverWritebackOff,
    /// The school's code book does not have the code.
    UnknownCode,
    /// The register holds a protected code.
    Protected,
    /// There is an earlier arrival in this session.
    AlreadyArrived,
    /// A later event of this session was decided before this one arrived.
    LaterEventStands,
    /// The register already has the mark.
    AlreadyRecorded,
}

impl SkipReason {
    /// All reasons, in the order in which they are checked.
    pub const ALL: &[Self] = <Self as strum::VariantArray>::VARIANTS;

    /// The name in records, metrics and JSON.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// The register before a decision, for audit records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegisterBefore {
    /// The code; `None` if there was none.
    pub code: Option<HeldCode>,
    /// The source.
    pub source: RegisterSource,
    /// The age of the data, if known.
    pub age: Option<TimeDelta>,
}

impl Decision {
    /// The mark to write, if any.
    pub fn planned(&self) -> Option<&PlannedMark> {
        match &self.outcome {
            DecisionOutcome::Write(planned) => Some(planned),
            DecisionOutcome::Skip { .. }
            | DecisionOutcome::Wait { .. }
            | DecisionOutcome::Fail { .. } => None,
        }
    }

    /// The reason for a skip, if any.
    pub fn skipped(&self) -> Option<SkipReason> {
        match &self.outcome {
            DecisionOutcome::Skip { reason, .. } => Some(*reason),
            DecisionOutcome::Write(_)
            | DecisionOutcome::Wait { .. }
            | DecisionOutcome::Fail { .. } => None,
        }
    }
}

/// The text for people instead of the name of an ability.
fn in_words(reason: SkipReason, detail: &str) -> &str {
    match (reason, detail.parse()) {
        (SkipReason::Unsupported, Ok(Ability::Session)) => "the MIS does not accept marks",
        (SkipReason::Unsupported, Ok(Ability::EarlyLeaver)) => {
            "the MIS does not accept marks for sign-outs"
        }
        _ => detail,
    }
}

/// One line, without the comment's text and the pupil's id.
impl fmt::Display for DecisionOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Write(PlannedMark { mark, .. }) => {
                write!(
                    f,
                    "write {} in {} of {}",
                    mark.code,
                    mark.session.as_str(),
                    mark.date
                )?;
                if let Some(minutes) = mark.minutes_late {
                    write!(f, ", {} late", count(i64::from(minutes), "minute"))?;
                }
                if mark.comment.is_some() {
                    f.write_str(", with a comment")?;
                }
                Ok(())
            }
            Self::Skip { reason, detail } => {
                write!(f, "no mark is written: {}", in_words(*reason, detail))
            }
            Self::Wait { why } => write!(f, "wait: {why}"),
            Self::Fail { why } => write!(f, "no mark is written, and somebody must act: {why}"),
        }
    }
}

/// The outcome, what was dropped, and the steps, a line each.
impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.outcome)?;
        if !self.dropped.is_empty() {
            write!(f, "\ndropped: {}", listed(&self.dropped))?;
        }
        for (place, step) in self.steps.iter().enumerate() {
            write!(f, "\n{:>3}. {step}", place + 1)?;
        }
        Ok(())
    }
}

impl Serialize for Decision {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.outcome {
            DecisionOutcome::Write(planned) => {
                let held = usize::from(self.hold.is_some());
                let mut out = serializer.serialize_struct("Decision", 4 + held)?;
                out.serialize_field("outcome", "write")?;
                out.serialize_field("mark", &MarkView::from(&planned.mark))?;
                out.serialize_field("dropped", &self.dropped)?;
                if let Some(hold) = &self.hold {
                    out.serialize_field("hold", &hold.why)?;
                }
                out.serialize_field("steps", &self.steps)?;
                out.end()
            }
            DecisionOutcome::Skip { reason, detail } => {
                let mut out = serializer.serialize_struct("Decision", 4)?;
                out.serialize_field("outcome", "skip")?;
                out.serialize_field("reason", reason)?;
                out.serialize_field("detail", detail)?;
                out.serialize_field("steps", &self.steps)?;
                out.end()
            }
            DecisionOutcome::Wait { why } => self.without_mark("wait", why, serializer),
            DecisionOutcome::Fail { why } => self.without_mark("fail", why, serializer),
        }
    }
}

impl Decision {
    fn without_mark<S: Serializer>(
        &self,
        outcome: &str,
        why: &str,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let mut out = serializer.serialize_struct("Decision", 3)?;
        out.serialize_field("outcome", outcome)?;
        out.serialize_field("detail", why)?;
        out.serialize_field("steps", &self.steps)?;
        out.end()
    }
}

/// The JSON form of a mark.
#[derive(Serialize)]
struct MarkView<'a> {
    date: NaiveDate,
    session: &'static str,
    code: &'a str,
    comment: Option<&'a str>,
    minutes_late: Option<u32>,
}

impl<'a> From<&'a Mark> for MarkView<'a> {
    fn from(mark: &'a Mark) -> Self {
        Self {
            date: mark.date,
            session: mark.session.as_str(),
            code: mark.code.as_str(),
            comment: mark.comment.as_deref(),
            minutes_late: mark.minutes_late,
        }
    }
}
