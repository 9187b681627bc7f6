//! Reading what every MIS offers through Wonde, in our words.

use std::sync::Arc;

use chrono::{DateTime, Days, NaiveDate, Utc};
use futures::stream::TryStreamExt as _;
use wonde::{
    AttendanceCodeId, AttendanceId, LessonAttendance, LessonQuery, Session, SessionAttendance,
    StudentId, WritebackId, WritebackStatus,
};

use crate::{
    Ability, AttendanceCode, Code, CodeBook, Connection, Descriptor, Error, HeldCode, HeldMark,
    Lesson, RefusedMark, Result, WritebackOutcome, error::ErrorKind,
};

/// The school's code book, cached for the connection's `code_book_fresh`.
///
/// # Errors
/// Those of the read, and an answer without a single code: that is a withdrawn permission or the wrong region.
pub async fn code_book(connection: &Connection) -> Result<Arc<CodeBook>> {
    connection.code_book(None).await
}

pub(crate) async fn fetch_code_book(connection: &Connection) -> Result<CodeBook> {
    let (today, _) = connection.session_at(connection.now());
    let mut lines = connection.school().attendance_codes();
    let mut codes = Vec::new();
    while let Some(line) = lines.try_next().await? {
        if let Some(letters) = &line.code {
            codes.push(AttendanceCode {
                code: Code::new(letters),
                active: is_active(&line, today),
                since: line
                    .start_date
                    .or(line.created_at.map(|at| at.date_naive())),
                id: Some(line.id),
                description: line.description,
            });
        }
    }
    let book = CodeBook::new(codes);
    if book.is_empty() {
        return Err(Error::new(
            ErrorKind::Forbidden,
            format!(
                "school {} gave no attendance codes; ask the school for the attendance-codes permission, and check the region",
                connection.school().id()
            ),
        ));
    }
    Ok(book)
}

/// Whether a code is in use on a day, as far as its line tells.
fn is_active(line: &wonde::AttendanceCode, today: NaiveDate) -> Option<bool> {
    let outside = line.start_date.is_some_and(|first| today < first)
        || line.end_date.is_some_and(|last| last < today);
    if outside { Some(false) } else { line.active }
}

/// The lessons of a school day by the school's own clock, in the order of their start. A lesson without a start is no
/// use to anybody and left out, and so is one that is called off or takes no register, where the data tells.
///
/// # Errors
/// Those of the read.
pub async fn lessons(connection: &Connection, date: NaiveDate) -> Result<Vec<Lesson>> {
    let next = date.checked_add_days(Days::new(1)).unwrap_or(date);
    let query = LessonQuery {
        // The answer may reach further than asked, and whether the bounds count as inside is not known: a minute is
        // added on both sides, and the local date decides.
        start_after: Some(connection.start_of_day(date) - chrono::TimeDelta::minutes(1)),
        start_before: Some(connection.start_of_day(next) + chrono::TimeDelta::minutes(1)),
        ..LessonQuery::default()
    };
    let mut rows = connection.school().lessons(query);
    let mut lessons = Vec::new();
    while let Some(row) = rows.try_next().await? {
        let Some(starts) = row.start_at else { continue };
        if !row.takes_marks() {
            continue;
        }
        let (day, session) = connection.session_of_lesson(starts, row.end_at);
        if day == date {
            lessons.push(Lesson {
                class: row.class_id(),
                id: row.id,
                starts,
                ends: row.end_at,
                session,
            });
        }
    }
    lessons.sort_by(|a, b| (a.starts, &a.id).cmp(&(b.starts, &b.id)));
    Ok(lessons)
}

/// How far a writeback has come.
///
/// # Errors
/// Those of the read, and [`ErrorKind::Unsupported`] for an MIS that takes no marks.
pub async fn outcome(
    connection: &Connection,
    descriptor: &'static Descriptor,
    writeback: &WritebackId,
) -> Result<WritebackOutcome> {
    if !connection.effective(descriptor).has(Ability::Session) {
        return Err(Error::unsupported(descriptor.name, Ability::Session));
    }
    let answer = connection.school().writeback(writeback).await?;
    Ok(match answer.status {
        WritebackStatus::Done if answer.failures.is_empty() && !answer.unclear => {
            WritebackOutcome::Done
        }
        WritebackStatus::Done => WritebackOutcome::DoneInPart {
            others_done: !answer.unclear,
            refused: answer
                .failures
                .into_iter()
                .map(|failure| RefusedMark {
                    student: failure.student,
                    place: failure.place,
                    said: failure.said,
                })
                .collect(),
        },
        WritebackStatus::Refused => WritebackOutcome::Refused {
            said: match (answer.message, answer.failures.as_slice()) {
                (Some(all), [one]) => Some(match &one.said {
                    Some(said) if *said != all => format!("{all} {said}"),
                    _ => all,
                }),
                (all, _) => all,
            },
        },
        WritebackStatus::Open => WritebackOutcome::Open { word: answer.word },
    })
}

/// What session and lesson rows of Wonde's registers have in common.
#[derive(Clone)]
pub(crate) struct Row {
    id: Option<AttendanceId>,
    code: Option<AttendanceCodeId>,
    comment: Option<String>,
    minutes_late: Option<u32>,
    changed_at: Option<DateTime<Utc>>,
}

impl Row {
    /// The id of its code. A row without one is a note and no mark.
    pub(crate) fn code(&self) -> Option<&AttendanceCodeId> {
        self.code.as_ref()
    }

    /// When Wonde's copy of it changed last, where it tells.
    pub(crate) fn changed_at(&self) -> Option<DateTime<Utc>> {
        self.changed_at
    }

    /// Whether this one counts for a pupil's place in the register where another was read before it: the same row as
    /// it is now; or else the one that changed last, of two alike the later in the list. A note takes no mark's place.
    pub(crate) fn replaces(&self, other: &Self) -> bool {
        let same_row = self.id.is_some() && self.id == other.id;
        match (&self.code, &other.code) {
            _ if same_row => true,
            (None, Some(_)) => false,
            (Some(_), None) => true,
            _ => self.changed_at >= other.changed_at,
        }
    }
}

macro_rules! row_of {
    ($($kind:ident),+) => {$(
        impl From<$kind> for Row {
            fn from(row: $kind) -> Self {
                Self {
                    code: row.attendance_code_id(),
                    id: row.id,
                    comment: row.comment,
                    minutes_late: row.minutes_late,
                    changed_at: row.updated_at,
                }
            }
        }
    )+};
}
row_of!(SessionAttendance, LessonAttendance);

/// How many rows of a register are read, and how many of them bear a code.
#[derive(Default)]
pub(crate) struct Tally {
    rows: usize,
    coded: usize,
}

/// Rows without a single code among them that pass for notes.
const NOTES_AT_MOST: usize = 20;

impl Tally {
    /// Counts one row, of whatever day.
    pub(crate) fn count(&mut self, code: Option<&AttendanceCodeId>) {
        self.rows += 1;
        self.coded += usize::from(code.is_some());
    }

    /// Whether the rows may be notes where they bear no code. Wonde gives `null` for what the token may not read as well,
    /// and a register read like that would seem to be empty.
    ///
    /// # Errors
    /// When there are many rows and none with a code.
    pub(crate) fn check(self, connection: &Connection) -> Result<()> {
        if self.coded > 0 || self.rows <= NOTES_AT_MOST {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::Forbidden,
            format!(
                "the register of school {} has {} rows and not one with an attendance code; ask the school for the permission \
                 to read the attendance code of its marks",
                connection.school().id(),
                self.rows
            ),
        ))
    }
}

/// A register's row in our words; `None` for one without a code, which is a note and no mark. A code whose id the book
/// does not know is still a mark.
pub(crate) fn held_mark(
    book: &CodeBook,
    student: StudentId,
    session: Session,
    row: Row,
) -> Option<HeldMark> {
    let id = row.code?;
    Some(HeldMark {
        student,
        session,
        code: match book.by_id(&id) {
            Some(line) => HeldCode::Known(line.code.clone()),
            None => HeldCode::Unreadable(id),
        },
        comment: row.comment.filter(|text| !text.trim().is_empty()),
        minutes_late: row.minutes_late,
        changed_at: row.changed_at,
    })
}
