//! Reading code books, lessons, registers and outcomes, which every MIS offers through Wonde.

use std::{future::ready, sync::Arc};

use chrono::{Days, NaiveDate};
use futures::stream::{self, BoxStream, Stream, StreamExt as _, TryStreamExt as _};
use wonde::{LessonAttendance, LessonQuery, SessionAttendance, Writeback, WritebackStatus};

use crate::{
    Ability, AttendanceCode, AttendanceCodeId, Code, CodeBook, Connection, Descriptor, Error,
    ErrorKind, Lesson, Receipt, RefusedMark, RegisterRow, Result, Slot, WritebackOutcome,
    convert::{error, id, session},
};

/// The school's code book, cached for the connection's `code_book_fresh`.
///
/// # Errors
/// Returns an error if the request fails or the answer has no codes: that is a withdrawn permission or the wrong
/// region.
pub async fn code_book(connection: &Connection) -> Result<Arc<CodeBook>> {
    connection.code_book(None).await
}

pub(crate) async fn fetch_code_book(connection: &Connection) -> Result<CodeBook> {
    let (today, _) = connection.clock().session_at(connection.now());
    let mut lines = connection.school().attendance_codes().map_err(error);
    let mut codes = Vec::new();
    while let Some(line) = lines.try_next().await? {
        if let Some(letters) = &line.code {
            codes.push(AttendanceCode {
                code: Code::new(letters),
                active: is_active(&line, today),
                since: line
                    .start_date
                    .or(line.created_at.map(|at| at.date_naive())),
                id: Some(id(line.id)),
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

/// Whether a code is in use on a day, if its line shows it.
fn is_active(line: &wonde::AttendanceCode, today: NaiveDate) -> Option<bool> {
    let outside = line.start_date.is_some_and(|first| today < first)
        || line.end_date.is_some_and(|last| last < today);
    if outside { Some(false) } else { line.active }
}

/// The lessons of a school day by the school's own clock, in the order of their start. Lessons
/// without a start are left out, and so are lessons that the data marks as called off or without a register.
///
/// # Errors
/// Returns an error if the request fails.
pub async fn lessons(connection: &Connection, date: NaiveDate) -> Result<Vec<Lesson>> {
    let next = date.checked_add_days(Days::new(1)).unwrap_or(date);
    let clock = connection.clock();
    let query = LessonQuery {
        // The answer may exceed the requested bounds, and it is not known whether they are inclusive: a minute is added
        // on both sides, and the local date decides.
        start_after: Some(clock.start_of_day(date) - chrono::TimeDelta::minutes(1)),
        start_before: Some(clock.start_of_day(next) + chrono::TimeDelta::minutes(1)),
        ..LessonQuery::default()
    };
    let mut rows = connection.school().lessons(query).map_err(error);
    let mut lessons = Vec::new();
    while let Some(row) = rows.try_next().await? {
        let Some(starts) = row.start_at else { continue };
        if !row.takes_marks() {
            continue;
        }
        let (day, session) = clock.session_of_lesson(starts, row.end_at);
        if day == date {
            lessons.push(Lesson {
                class: row.class_id().map(id),
                id: id(row.id),
                starts,
                ends: row.end_at,
                session,
            });
        }
    }
    lessons.sort_by(|a, b| (a.starts, &a.id).cmp(&(b.starts, &b.id)));
    Ok(lessons)
}

/// How far the marks of a receipt have come.
///
/// # Errors
/// Returns [`ErrorKind::Unsupported`] for an MIS that takes no marks, and an error if the request fails.
pub async fn outcome(
    connection: &Connection,
    descriptor: &'static Descriptor,
    receipt: &Receipt,
) -> Result<WritebackOutcome> {
    if !connection.effective(descriptor).has(Ability::Session) {
        return Err(Error::unsupported(descriptor.name, Ability::Session));
    }
    let answer = connection
        .school()
        .writeback(&wonde::WritebackId::new(receipt.as_str()))
        .await
        .map_err(error)?;
    Ok(outcome_of(answer))
}

pub(crate) fn outcome_of(answer: Writeback) -> WritebackOutcome {
    match answer.status {
        WritebackStatus::Done if answer.failures.is_empty() && !answer.unclear => {
            WritebackOutcome::Done
        }
        WritebackStatus::Done => WritebackOutcome::DoneInPart {
            others_done: !answer.unclear,
            refused: answer
                .failures
                .into_iter()
                .map(|failure| RefusedMark {
                    student: failure.student.map(id),
                    place: failure.place,
                    server_message: failure.said,
                })
                .collect(),
        },
        WritebackStatus::Rejected => WritebackOutcome::Refused {
            server_message: match (answer.message, answer.failures.as_slice()) {
                (Some(all), [one]) => Some(match &one.said {
                    Some(said) if *said != all => format!("{all} {said}"),
                    _ => all,
                }),
                (all, _) => all,
            },
        },
        WritebackStatus::Open => WritebackOutcome::Open {
            status: answer.word,
        },
    }
}

/// A row of a register of session marks; `None` if it lacks a student or a session.
pub(crate) fn session_row(row: SessionAttendance) -> Option<RegisterRow> {
    let date = row.date?;
    Some(RegisterRow {
        id: row.id.clone().map(id),
        student: id(row.student_id()?),
        slot: Slot::Session(date, session(row.session?)),
        date: Some(date),
        code: row.attendance_code_id().map(id),
        comment: row.comment,
        minutes_late: row.minutes_late,
        changed_at: row.updated_at,
    })
}

/// A row of a register of lessons; `None` if it lacks a student or a lesson.
pub(crate) fn lesson_row(connection: &Connection, row: LessonAttendance) -> Option<RegisterRow> {
    let starts = row.lesson.get().and_then(|lesson| lesson.start_at);
    Some(RegisterRow {
        id: row.id.clone().map(id),
        student: id(row.student_id()?),
        slot: Slot::Lesson(id(row.lesson_id()?)),
        date: starts
            .map(|starts| connection.clock().session_at(starts).0)
            .or(row.date),
        code: row.attendance_code_id().map(id),
        comment: row.comment,
        minutes_late: row.minutes_late,
        changed_at: row.updated_at,
    })
}

/// The most rows without a single code among them that count as notes.
const NOTES_AT_MOST: usize = 20;

/// The rows of a register, with an error at the end if there are many and none of them has a code: Wonde also gives
/// `null` for values that the token may not read, and such a register would look empty.
pub(crate) fn coded_or_notes<R: Send + 'static>(
    connection: &Connection,
    rows: impl Stream<Item = Result<R>> + Send + 'static,
    code_of: fn(&R) -> Option<wonde::AttendanceCodeId>,
) -> BoxStream<'static, Result<R>> {
    let school = connection.school().id().clone();
    let (mut read, mut coded) = (0_usize, false);
    rows.map(Some)
        .chain(stream::once(ready(None)))
        .filter_map(move |row| {
            ready(match row {
                Some(row) => {
                    read += 1;
                    coded |= row.as_ref().map_or(true, |row| code_of(row).is_some());
                    Some(row)
                }
                None if coded || read <= NOTES_AT_MOST => None,
                None => Some(Err(Error::new(
                    ErrorKind::Forbidden,
                    format!(
                        "the register of school {school} has {read} rows and not one with an attendance code; ask the school \
                         for the permission to read the attendance code of its marks"
                    ),
                ))),
            })
        })
        .boxed()
}

/// The ids of the codes of these rows.
pub(crate) fn code_ids(rows: &[RegisterRow]) -> impl Iterator<Item = &AttendanceCodeId> {
    rows.iter().filter_map(|row| row.code.as_ref())
}
