//! Reading what every MIS offers through Wonde, in our words.

use std::sync::Arc;

use chrono::{Days, NaiveDate};
use futures::stream::TryStreamExt as _;
use wonde::{
    LessonAttendance, LessonQuery, Session, SessionAttendance, WritebackId, WritebackStatus,
};

use crate::{
    Ability, AttendanceCode, Code, CodeBook, Connection, Descriptor, Error, HeldCode, HeldMark,
    Lesson, RefusedMark, RegisterRow, Result, Slot, WritebackOutcome, error::ErrorKind,
};

/// The school's code book, cached for the connection's `code_book_fresh`.
///
/// # Errors
/// Those of the read, and an answer without a single code: that is a withdrawn permission or the wrong region.
pub async fn code_book(connection: &Connection) -> Result<Arc<CodeBook>> {
    connection.code_book(None).await
}

pub(crate) async fn fetch_code_book(connection: &Connection) -> Result<CodeBook> {
    let mut lines = connection.school().attendance_codes();
    let mut codes = Vec::new();
    while let Some(line) = lines.try_next().await? {
        if let Some(letters) = line.code {
            codes.push(AttendanceCode {
                code: Code::new(letters),
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
        let (day, session) = connection.session_at(starts);
        if day == date {
            lessons.push(Lesson {
                class: row.class_id(),
                id: row.id,
                starts,
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

/// A row of a register of session marks. One that does not say whose it is, or of which session, is no use to anybody.
pub(crate) fn session_row(row: SessionAttendance) -> Option<RegisterRow> {
    let date = row.date?;
    Some(RegisterRow {
        student: row.student_id()?,
        slot: Slot::Session(date, row.session?),
        date: Some(date),
        code: row.attendance_code_id(),
        comment: row.comment,
        minutes_late: row.minutes_late,
        changed_at: row.updated_at,
    })
}

/// A row of a register of lessons. One that does not say whose it is, or of which lesson, is no use to anybody.
pub(crate) fn lesson_row(connection: &Connection, row: LessonAttendance) -> Option<RegisterRow> {
    let starts = row.lesson.get().and_then(|lesson| lesson.start_at);
    Some(RegisterRow {
        student: row.student_id()?,
        slot: Slot::Lesson(row.lesson_id()?),
        date: starts
            .map(|starts| connection.session_at(starts).0)
            .or(row.date),
        code: row.attendance_code_id(),
        comment: row.comment,
        minutes_late: row.minutes_late,
        changed_at: row.updated_at,
    })
}

/// A register's row in our words. A code whose id the book does not know is still a mark.
pub(crate) fn held_mark(book: &CodeBook, session: Session, row: RegisterRow) -> HeldMark {
    let known = row.code.and_then(|id| book.by_id(&id));
    HeldMark {
        student: row.student,
        session,
        code: known.map_or(HeldCode::Unreadable, |line| {
            HeldCode::Known(line.code.clone())
        }),
        comment: row.comment.filter(|text| !text.trim().is_empty()),
        minutes_late: row.minutes_late,
        changed_at: row.changed_at,
    }
}
