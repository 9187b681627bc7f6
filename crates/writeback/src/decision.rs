//! A decision: what is to be written or why nothing is, and the steps that led there.

use std::fmt;

use chrono::{NaiveDate, TimeDelta};
use mis_core::{Ability, AttendanceCodeId, HeldCode, Mark, Session};
use serde::{Deserialize, Serialize, Serializer, ser::SerializeStruct};

use crate::{
    rule::Rule,
    text::{count, listed},
    view::{Source, Standing},
};

/// What one event does to the register, and why.
///
/// `Serialize` gives the form for a reader of JSON, in which absent values are null:
/// `{"outcome":"write","mark":{"date","session","code","comment","minutes_late"},"dropped":[…],"steps":[…]}`,
/// `{"outcome":"skip","reason","detail","steps":[…]}`, or `{"outcome":"wait","detail","steps":[…]}` and the same with
/// `fail`. It holds the mark's comment; `Display`, `Debug` and the steps never do.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// What is to be done.
    pub outcome: Outcome,
    /// What led there, in plain words and in order. Codes and times, but never a comment or another answer's words.
    pub steps: Vec<String>,
    /// What the rules would have written but the MIS cannot keep.
    pub dropped: Vec<Ability>,
    /// The register as found; `None` where it was not looked at.
    pub found: Option<Found>,
    /// The school day and session of the event; `None` where it falls in none, or where that did not matter any more.
    pub session: Option<(NaiveDate, Session)>,
    /// Whether the event is an arrival to be recorded for its pupil, date and session, so that later sign-ins do not
    /// replace it: a sign-in that the clock judged, whether or not a mark came of it, and that no earlier arrival held
    /// back. An event that waits is none yet.
    pub arrival: bool,
    /// Which events stand for this pupil, date and session from now on; `None` where this one changes nothing about it.
    pub standing: Option<Standing>,
}

/// What is to be done about an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Write this mark.
    Write(Planned),
    /// Write nothing.
    Skip {
        /// Why.
        reason: SkipReason,
        /// More of it, in words; for [`SkipReason::Unsupported`] the word of the [`Ability`].
        detail: String,
    },
    /// Write nothing yet: look at the register and decide again.
    Wait {
        /// What it waits for.
        why: String,
    },
    /// Write nothing until a person has put something right, for waiting alone does not help. Then decide again.
    Fail {
        /// What is wrong, and what to do.
        why: String,
    },
}

/// A mark to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned {
    /// The mark.
    pub mark: Mark,
    /// The code's id at this school; `None` in a code book without ids.
    pub code_id: Option<AttendanceCodeId>,
    /// The rule that chose the code.
    pub rule: Rule,
}

/// Why nothing is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SkipReason {
    /// The event or its person's group does not write back.
    NotWrittenBack,
    /// The answer given says that the register is left alone.
    AnswerNotWritten,
    /// There is no school on that day.
    NotASchoolDay,
    /// The school day is over.
    OutsideSchoolDay,
    /// It came too soon after the event before it.
    DoubleTap,
    /// The MIS cannot keep it.
    Unsupported,
    /// In time, and the present mark is not written back.
    PresentWritebackOff,
    /// A sign-out, and no code for it.
    LeaverWritebackOff,
    /// The school's code book does not know the code.
    UnknownCode,
    /// The register holds a protected code.
    Protected,
    /// An earlier arrival in this session stands.
    AlreadyArrived,
    /// A later event has had its say in this session, and this one came in after it.
    LaterEventStands,
    /// The register already says so.
    AlreadyRecorded,
}

impl SkipReason {
    /// All reasons, in the order in which they are tried.
    pub const ALL: [Self; 13] = [
        Self::NotWrittenBack,
        Self::AnswerNotWritten,
        Self::NotASchoolDay,
        Self::OutsideSchoolDay,
        Self::DoubleTap,
        Self::Unsupported,
        Self::PresentWritebackOff,
        Self::LeaverWritebackOff,
        Self::UnknownCode,
        Self::Protected,
        Self::AlreadyArrived,
        Self::LaterEventStands,
        Self::AlreadyRecorded,
    ];

    /// The word for records, metrics and JSON.
    pub fn word(self) -> &'static str {
        match self {
            Self::NotWrittenBack => "not_written_back",
            Self::AnswerNotWritten => "answer_not_written",
            Self::NotASchoolDay => "not_a_school_day",
            Self::OutsideSchoolDay => "outside_school_day",
            Self::DoubleTap => "double_tap",
            Self::Unsupported => "unsupported",
            Self::PresentWritebackOff => "present_writeback_off",
            Self::LeaverWritebackOff => "leaver_writeback_off",
            Self::UnknownCode => "unknown_code",
            Self::Protected => "protected",
            Self::AlreadyArrived => "already_arrived",
            Self::LaterEventStands => "later_event_stands",
            Self::AlreadyRecorded => "already_recorded",
        }
    }
}

impl fmt::Display for SkipReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// The register as found: what an audit record keeps of "before".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The code it held; `None` for nothing.
    pub code: Option<HeldCode>,
    /// Where it was read.
    pub source: Source,
    /// How old the view was, where that could be told.
    pub age: Option<TimeDelta>,
}

impl Decision {
    /// The mark to be written, if there is one.
    pub fn planned(&self) -> Option<&Planned> {
        match &self.outcome {
            Outcome::Write(planned) => Some(planned),
            Outcome::Skip { .. } | Outcome::Wait { .. } | Outcome::Fail { .. } => None,
        }
    }

    /// Why nothing is written, if nothing is.
    pub fn skipped(&self) -> Option<SkipReason> {
        match &self.outcome {
            Outcome::Skip { reason, .. } => Some(*reason),
            Outcome::Write(_) | Outcome::Wait { .. } | Outcome::Fail { .. } => None,
        }
    }
}

/// `AM` or `PM`.
pub(crate) fn session_word(session: Session) -> &'static str {
    match session {
        Session::Am => "AM",
        Session::Pm => "PM",
    }
}

/// What a person reads where programs read the name of an ability.
fn in_words(reason: SkipReason, detail: &str) -> &str {
    match (reason, detail.parse()) {
        (SkipReason::Unsupported, Ok(Ability::Session)) => "the MIS takes no marks",
        (SkipReason::Unsupported, Ok(Ability::EarlyLeaver)) => {
            "the MIS takes no marks for a sign-out"
        }
        _ => detail,
    }
}

/// One line, without the comment's text and the pupil's id.
impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Write(Planned { mark, .. }) => {
                write!(
                    f,
                    "write {} in {} of {}",
                    mark.code,
                    session_word(mark.session),
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
                write!(f, "nothing, {reason}: {}", in_words(*reason, detail))
            }
            Self::Wait { why } => write!(f, "wait: {why}"),
            Self::Fail { why } => write!(f, "nothing, a person must look: {why}"),
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
            Outcome::Write(planned) => {
                let mut out = serializer.serialize_struct("Decision", 4)?;
                out.serialize_field("outcome", "write")?;
                out.serialize_field("mark", &MarkView::from(&planned.mark))?;
                out.serialize_field("dropped", &self.dropped)?;
                out.serialize_field("steps", &self.steps)?;
                out.end()
            }
            Outcome::Skip { reason, detail } => {
                let mut out = serializer.serialize_struct("Decision", 4)?;
                out.serialize_field("outcome", "skip")?;
                out.serialize_field("reason", reason)?;
                out.serialize_field("detail", detail)?;
                out.serialize_field("steps", &self.steps)?;
                out.end()
            }
            Outcome::Wait { why } => self.without_mark("wait", why, serializer),
            Outcome::Fail { why } => self.without_mark("fail", why, serializer),
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

/// What a reader of JSON sees of a mark.
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
            session: session_word(mark.session),
            code: mark.code.as_str(),
            comment: mark.comment.as_deref(),
            minutes_late: mark.minutes_late,
        }
    }
}
