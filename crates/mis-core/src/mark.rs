//! Marks: the register's entry for one student in one session, to be written or as held.

use std::{collections::HashMap, fmt};

use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};

use crate::{
    AttendanceCodeId, ClassId, Code, CodeBook, EmployeeId, Error, LessonId, Receipt, RegisterRow,
    Session, Slot, StudentId,
};

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
    strum::Display,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum EventKind {
    /// Somebody arrived.
    SignIn,
    /// Somebody left.
    SignOut,
}

/// One entry to be written into a register.
///
/// `Debug` does not show the comment: it is a child's data.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// The student's present id.
    pub student: StudentId,
    /// The school's own calendar day.
    pub date: NaiveDate,
    /// Morning or afternoon.
    pub session: Session,
    /// The code to write; it must be in the school's code book.
    pub code: Code,
    /// The event that caused it. A mark for a sign-out needs the `early_leaver` capability.
    pub cause: EventKind,
    /// A comment to keep with the mark.
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
    /// The student.
    pub student: StudentId,
    /// Morning or afternoon.
    pub session: Session,
    /// The code in the register.
    pub code: HeldCode,
    /// The comment kept with the mark.
    pub comment: Option<String>,
    /// Whole minutes late; `None` also where the MIS does not tell.
    pub minutes_late: Option<u32>,
    /// When it changed last, if known.
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
    /// Something is recorded, but no readable code book has its id. It does not count as an empty place.
    Unreadable(AttendanceCodeId),
}

/// The marks of one school day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Register {
    date: NaiveDate,
    read_at: DateTime<Utc>,
    marks: HashMap<(StudentId, Session), HeldMark>,
}

impl Register {
    /// The register of a day from marks in the order of reading. Of two for one student and session the one that
    /// changed last counts; of two that changed at the same time, the later in the list.
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

    /// The register of a day from rows of its AM and PM slots; other rows are left out.
    pub fn from_rows(
        date: NaiveDate,
        read_at: DateTime<Utc>,
        book: &CodeBook,
        rows: impl IntoIterator<Item = RegisterRow>,
    ) -> Self {
        let marks = rows.into_iter().filter_map(|row| match row.slot {
            Slot::Session(day, session) if day == date => row.into_mark(book, session),
            _ => None,
        });
        Self::new(date, read_at, marks)
    }

    /// The school's own calendar day.
    pub fn date(&self) -> NaiveDate {
        self.date
    }

    /// When it was read. A gateway's copy of the MIS may be older than that.
    pub fn read_at(&self) -> DateTime<Utc> {
        self.read_at
    }

    /// The mark of this student in this session.
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
    /// The lesson's id.
    pub id: LessonId,
    /// The class that is taught, if known.
    pub class: Option<ClassId>,
    /// When it begins.
    pub starts: DateTime<Utc>,
    /// When it ends, if known.
    pub ends: Option<DateTime<Utc>>,
    /// The session whose register is taken in it; see
    /// [`SchoolClock::session_of_lesson`](crate::SchoolClock::session_of_lesson). `None` for a lesson before the
    /// school's day, such as a breakfast club.
    pub session: Option<Session>,
}

/// The result of one mark; results come in the order of the marks.
#[derive(Clone, Debug)]
#[must_use = "a mark may have been refused or may have failed"]
pub enum MarkResult {
    /// It was accepted and will be passed on to the MIS. It is not in the MIS yet:
    /// [`MisAdapter::outcome`](crate::MisAdapter::outcome) answers how far it has come.
    Accepted(Accepted),
    /// It is in the MIS. There is nothing to follow.
    Written,
    /// It cannot be written as it is, now or later. The error says why; other marks went through.
    Refused(Error),
    /// It was not written, or that is not known: the error's [`Recovery`](crate::Recovery) says how to go on.
    Failed(Error),
}

/// The confirmation that a mark will be passed on to the MIS.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
#[must_use = "the receipt tells what becomes of the mark"]
pub struct Accepted {
    /// What to ask with; all marks of one request share it.
    pub receipt: Receipt,
    /// The lesson that carries the mark, where the MIS keeps session marks on lessons.
    pub lesson: Option<LessonId>,
}

impl Accepted {
    /// A mark that was accepted under this receipt.
    pub fn new(receipt: impl Into<Receipt>) -> Self {
        Self {
            receipt: receipt.into(),
            lesson: None,
        }
    }

    /// Names the lesson that carries the mark.
    pub fn on_lesson(mut self, lesson: LessonId) -> Self {
        self.lesson = Some(lesson);
        self
    }
}

/// How far the marks of a receipt have come.
///
/// `Debug` does not show the MIS's message: it may quote the mark.
#[derive(Clone, PartialEq, Eq)]
pub enum WritebackOutcome {
    /// The MIS has it.
    Done,
    /// It is done, but errors are reported for single marks: those may not be in the MIS.
    DoneInPart {
        /// The marks that are reported as not written.
        refused: Vec<RefusedMark>,
        /// Whether those are certainly all. Otherwise no mark of the register counts as written until the register read
        /// back shows it.
        others_done: bool,
    },
    /// It was rejected. The message is for the operator; it may quote the mark, so it is kept out of logs.
    Refused {
        /// The other side's message, if there is one.
        server_message: Option<String>,
    },
    /// Still on its way, or in an unknown state; settle it by reading the register back.
    Open {
        /// The status as given.
        status: Option<String>,
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
            Self::Refused { server_message } => f
                .debug_struct("Refused")
                .field("server_message", &server_message.as_ref().map(|_| Hidden))
                .finish(),
            Self::Open { status } => f.debug_struct("Open").field("status", status).finish(),
        }
    }
}

/// A mark that is reported as not written, identified in the way that the answer identifies it.
///
/// `Debug` does not show the message: it may quote the mark.
#[derive(Clone, PartialEq, Eq)]
pub struct RefusedMark {
    /// Its student, if the answer names one.
    pub student: Option<StudentId>,
    /// Its place among the marks of the request, from zero, if the answer gives one.
    pub place: Option<usize>,
    /// The other side's message, if there is one.
    pub server_message: Option<String>,
}

impl RefusedMark {
    /// Whether it is this mark of the request. If a student is named, all marks of the student are meant: places may be
    /// counted differently, ids may not.
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
            .field(
                "server_message",
                &self.server_message.as_ref().map(|_| Hidden),
            )
            .finish()
    }
}

/// Replaces a value that `Debug` must not show.
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
            server_message: Some("overslept again".into()),
        }];
        let outcome = WritebackOutcome::DoneInPart {
            refused,
            others_done: true,
        };
        assert!(!format!("{outcome:?}").contains("overslept"));
    }
}
