//! Marks: what a register says of one pupil in one session, to be written or as held.

use std::{collections::HashMap, fmt};

use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};
use wonde::{AttendanceCodeId, EmployeeId, LessonId, Session, StudentId, WritebackId};

use crate::{Code, Error};

/// Which side of a visit to school an event or a mark belongs to.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// Somebody arrived.
    SignIn,
    /// Somebody left.
    SignOut,
}

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::SignIn => "sign_in",
            Self::SignOut => "sign_out",
        })
    }
}

/// One entry to be written into a register.
///
/// `Debug` does not show the comment: it is a child's data.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// Whom it is for: the pupil's present id at Wonde.
    pub student: StudentId,
    /// The school's own calendar day.
    pub date: NaiveDate,
    /// Morning or afternoon.
    pub session: Session,
    /// What the register is to say; it must stand in the school's code book.
    pub code: Code,
    /// What caused it. A mark written for a sign-out needs the `early_leaver` capability.
    pub cause: EventKind,
    /// A comment to be kept with the mark.
    pub comment: Option<String>,
    /// Whole minutes late, at least 1.
    pub minutes_late: Option<u32>,
    /// The member of staff named as the taker of the mark.
    pub employee: Option<EmployeeId>,
}

impl fmt::Debug for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mark")
            .field("student", &self.student)
            .field("date", &self.date)
            .field("session", &self.session)
            .field("code", &self.code)
            .field("cause", &self.cause)
            .field("comment", &self.comment.as_ref().map(|_| Hidden))
            .field("minutes_late", &self.minutes_late)
            .field("employee", &self.employee)
            .finish()
    }
}

/// One entry that a register holds, as read.
///
/// `Debug` does not show the comment: it is a child's data.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldMark {
    /// Whom it is for.
    pub student: StudentId,
    /// Morning or afternoon.
    pub session: Session,
    /// What the register says.
    pub code: HeldCode,
    /// The comment kept with the mark.
    pub comment: Option<String>,
    /// Whole minutes late; `None` also where the MIS or its copy does not tell.
    pub minutes_late: Option<u32>,
    /// When Wonde's copy of it changed last, where it tells.
    pub changed_at: Option<DateTime<Utc>>,
}

impl fmt::Debug for HeldMark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HeldMark")
            .field("student", &self.student)
            .field("session", &self.session)
            .field("code", &self.code)
            .field("comment", &self.comment.as_ref().map(|_| Hidden))
            .field("minutes_late", &self.minutes_late)
            .field("changed_at", &self.changed_at)
            .finish()
    }
}

/// The code of a held mark.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HeldCode {
    /// A code that the school's code book knows.
    Known(Code),
    /// Something is recorded, but its id stands in no code book we could read. It is not "nothing".
    Unreadable(AttendanceCodeId),
}

/// The marks of one school day, as Wonde's copy has them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Register {
    date: NaiveDate,
    read_at: DateTime<Utc>,
    marks: HashMap<(StudentId, Session), HeldMark>,
}

impl Register {
    /// The register of a day out of rows in the order they were read. Of two rows for one pupil and session the one
    /// changed last counts; of two alike, the later in the list.
    pub fn new(
        date: NaiveDate,
        read_at: DateTime<Utc>,
        rows: impl IntoIterator<Item = HeldMark>,
    ) -> Self {
        let mut marks: HashMap<_, HeldMark> = HashMap::new();
        for row in rows {
            let key = (row.student.clone(), row.session);
            if marks
                .get(&key)
                .is_none_or(|held| row.changed_at >= held.changed_at)
            {
                marks.insert(key, row);
            }
        }
        Self {
            date,
            read_at,
            marks,
        }
    }

    /// The school's own calendar day.
    pub fn date(&self) -> NaiveDate {
        self.date
    }

    /// When Wonde was asked. Its copy of the MIS may be an hour or two older than that.
    pub fn read_at(&self) -> DateTime<Utc> {
        self.read_at
    }

    /// What the register holds of this pupil in this session.
    pub fn held(&self, student: &StudentId, session: Session) -> Option<&HeldMark> {
        self.marks.get(&(student.clone(), session))
    }

    /// All marks, one at most for each pupil and session, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &HeldMark> {
        self.marks.values()
    }
}

/// One lesson of a school day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lesson {
    /// Wonde's id.
    pub id: LessonId,
    /// The class that is taught, where it is told.
    pub class: Option<wonde::ClassId>,
    /// When it begins.
    pub starts: DateTime<Utc>,
    /// When it ends, where that is told.
    pub ends: Option<DateTime<Utc>>,
    /// The session whose register is taken in it: see [`Connection::session_of_lesson`](crate::Connection::session_of_lesson).
    /// `None` for one before the school's day, such as a breakfast club.
    pub session: Option<Session>,
}

/// What became of one mark of a register that was to be written; same place in the list as the mark.
#[derive(Clone, Debug)]
pub enum MarkResult {
    /// Wonde took it in. It is not in the MIS yet: ask for the outcome of the writeback.
    Accepted(Accepted),
    /// It cannot be written as it is, now or later. The error says why; other marks went through.
    Refused(Error),
    /// It was not written, or nobody knows: the error's [`Recovery`](wonde::Recovery) says how to go on.
    Failed(Error),
}

/// Wonde's word that it will pass a mark on to the MIS.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accepted {
    /// The writeback to ask about; all marks of one request share it.
    pub writeback: WritebackId,
    /// The lesson that bears the mark, where the MIS keeps session marks on lessons.
    pub lesson: Option<LessonId>,
}

/// How far a writeback has come.
///
/// `Debug` does not show what the MIS said: it may quote the mark.
#[derive(Clone, PartialEq, Eq)]
pub enum WritebackOutcome {
    /// The MIS has it.
    Done,
    /// It is done, and yet something is said against single marks of it: those may not be in the MIS.
    DoneInPart {
        /// The marks that are named as not written.
        refused: Vec<RefusedMark>,
        /// Whether those are all of them for certain. Where not, no mark of the register counts as written until the
        /// register read back shows it.
        others_done: bool,
    },
    /// The MIS or Wonde would not have it. `said` is Wonde's wording for the operator; it may quote the mark, so it is kept out of logs.
    Refused {
        /// Wonde's wording, if it gave any.
        said: Option<String>,
    },
    /// Still on its way, or a word that we do not know; settle it by reading the register back.
    Open {
        /// The status word as given.
        word: Option<String>,
    },
}

impl fmt::Debug for WritebackOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done => f.write_str("Done"),
            Self::DoneInPart {
                refused,
                others_done,
            } => f
                .debug_struct("DoneInPart")
                .field("refused", refused)
                .field("others_done", others_done)
                .finish(),
            Self::Refused { said } => f
                .debug_struct("Refused")
                .field("said", &said.as_ref().map(|_| Hidden))
                .finish(),
            Self::Open { word } => f.debug_struct("Open").field("word", word).finish(),
        }
    }
}

/// A mark of a writeback that is named as not written, in the way that the answer names it.
///
/// `Debug` does not show what was said: it may quote the mark.
#[derive(Clone, PartialEq, Eq)]
pub struct RefusedMark {
    /// Its pupil, where that is told.
    pub student: Option<StudentId>,
    /// Its place among the marks of the writeback, from zero, where that is told.
    pub place: Option<usize>,
    /// Wonde's wording, if it gave any.
    pub said: Option<String>,
}

impl RefusedMark {
    /// Whether it is this one of the writeback's marks. Of a pupil who has several in it, each is meant: a
    /// place may be counted otherwise, an id may not.
    pub fn is(&self, student: &StudentId, place: usize) -> bool {
        match &self.student {
            Some(named) => named == student,
            None => self.place == Some(place),
        }
    }
}

impl fmt::Debug for RefusedMark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RefusedMark")
            .field("student", &self.student)
            .field("place", &self.place)
            .field("said", &self.said.as_ref().map(|_| Hidden))
            .finish()
    }
}

/// Stands where a value was that nobody but its owner should see.
pub(crate) struct Hidden;

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[hidden]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_no_comment() {
        let mark = Mark {
            student: "A1".into(),
            date: NaiveDate::from_ymd_opt(2026, 11, 23).unwrap(),
            session: Session::Am,
            code: "L".into(),
            cause: EventKind::SignIn,
            comment: Some("overslept again".into()),
            minutes_late: Some(7),
            employee: None,
        };
        let held = HeldMark {
            student: "A1".into(),
            session: Session::Am,
            code: HeldCode::Known("L".into()),
            comment: Some("overslept again".into()),
            minutes_late: None,
            changed_at: None,
        };
        assert!(!format!("{mark:?}{held:?}").contains("overslept"));
        let refused = vec![RefusedMark {
            student: None,
            place: Some(0),
            said: Some("overslept again".into()),
        }];
        let outcome = WritebackOutcome::DoneInPart {
            refused,
            others_done: true,
        };
        assert!(!format!("{outcome:?}").contains("overslept"));
    }
}
