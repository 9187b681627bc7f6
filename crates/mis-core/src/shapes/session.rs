//! MISs that keep the mark of a session as such: AM or PM.

use std::future::ready;

use chrono::{DateTime, NaiveDate, Utc};
use futures::stream::{BoxStream, StreamExt as _, TryStreamExt as _};
use wonde::{AttendanceQuery, Paging, Session, SessionAttendance, SessionMark};

use super::{
    read,
    send::{Outgoing, as_kept, collect, comment_length, send_in_parts, with_codes},
};
use crate::{
    Connection, Descriptor, Mark, MarkResult, Register, RegisterQuery, RegisterRow, Result, Slot,
    adapter::check_marks,
};

/// The rows of registers that changed then: see [`MisAdapter::register_rows`](crate::MisAdapter::register_rows).
pub fn register_rows(
    connection: &Connection,
    query: RegisterQuery,
) -> BoxStream<'static, Result<RegisterRow>> {
    let query = AttendanceQuery {
        updated_after: query.updated_after,
        updated_before: query.updated_before,
        paging: Paging::Cursor,
        ..AttendanceQuery::default()
    };
    let rows = connection.school().session_attendance(query).err_into();
    read::coded_or_notes(connection, rows, SessionAttendance::attendance_code_id)
        .try_filter_map(async |row| Ok(read::session_row(row)))
        .boxed()
}

/// Where the marks of a day stand.
pub fn register_slots(date: NaiveDate) -> Vec<Slot> {
    [Session::Am, Session::Pm]
        .map(|session| Slot::Session(date, session))
        .into()
}

/// The register of a day out of rows that were read before.
///
/// # Errors
/// A code book that cannot be read.
pub async fn register_of(
    connection: &Connection,
    date: NaiveDate,
    read_at: DateTime<Utc>,
    rows: Vec<RegisterRow>,
) -> Result<Register> {
    let book = connection.code_book_for(read::code_ids(&rows)).await?;
    let marks = rows.into_iter().filter_map(|row| match row.slot {
        Slot::Session(day, session) if day == date => read::held_mark(&book, session, row),
        _ => None,
    });
    Ok(Register::new(date, read_at, marks))
}

/// The session marks held for a day: see [`MisAdapter::register`](crate::MisAdapter::register).
///
/// # Errors
/// Those of the reads.
pub async fn read_register(connection: &Connection, date: NaiveDate) -> Result<Register> {
    let read_at = connection.now();
    let rows = register_rows(connection, connection.register_query(date))
        .try_filter(|row| ready(row.date == Some(date)))
        .try_collect()
        .await?;
    register_of(connection, date, read_at, read::latest(rows)).await
}

/// Writes session marks: see [`MisAdapter::write`](crate::MisAdapter::write).
///
/// # Errors
/// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported), and a code book that cannot be read.
pub async fn write(
    connection: &Connection,
    descriptor: &'static Descriptor,
    marks: &[Mark],
) -> Result<Vec<MarkResult>> {
    check_marks(descriptor, connection.effective(descriptor), marks)?;
    if marks.is_empty() {
        return Ok(Vec::new());
    }
    let mut results = vec![None; marks.len()];
    let marks = as_kept(descriptor, marks, &mut results);
    let outgoing = with_codes(connection, &marks, &mut results)
        .await?
        .into_iter()
        .filter_map(|(place, code)| {
            marks.get(place).map(|mark| Outgoing {
                place,
                body: body(mark, code),
                lesson: None,
                comment: comment_length(mark),
            })
        })
        .collect();
    let school = connection.school();
    send_in_parts(outgoing, &mut results, |part| {
        let school = school.clone();
        async move { school.write_session_attendance(&part).await }
    })
    .await;
    Ok(collect(results))
}

fn body(mark: &Mark, code: wonde::AttendanceCodeId) -> SessionMark {
    SessionMark {
        student_id: mark.student.clone(),
        date: mark.date,
        session: mark.session,
        attendance_code_id: code,
        comment: mark.comment.clone(),
        minutes_late: mark.minutes_late,
        employee_id: mark.employee.clone(),
    }
}
