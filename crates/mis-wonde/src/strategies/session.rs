//! MISs that keep AM and PM marks.

use std::future::ready;

use chrono::{DateTime, NaiveDate, Utc};
use futures::stream::{BoxStream, StreamExt as _, TryStreamExt as _};
use wonde::{AttendanceQuery, Paging, SessionAttendance, SessionMark};

use super::{
    read,
    send::{Outgoing, as_kept, collect, comment_length, send_in_parts, with_codes},
};
use crate::{
    AttendanceCodeId, Connection, Descriptor, Mark, MarkResult, Register, RegisterQuery,
    RegisterRow, Result,
    convert::{error, id, wire_session},
};

/// The rows of registers that changed in this time: see
/// [`MisAdapter::register_rows`](crate::MisAdapter::register_rows).
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
    let rows = connection.school().session_attendance(query).map_err(error);
    read::coded_or_notes(connection, rows, SessionAttendance::attendance_code_id)
        .try_filter_map(async |row| Ok(read::session_row(row)))
        .boxed()
}

/// The register of a day from rows that were read before.
///
/// # Errors
/// Returns an error if the code book cannot be read.
pub async fn register_of(
    connection: &Connection,
    date: NaiveDate,
    read_at: DateTime<Utc>,
    rows: Vec<RegisterRow>,
) -> Result<Register> {
    let book = connection.code_book_for(read::code_ids(&rows)).await?;
    Ok(Register::from_rows(date, read_at, &book, rows))
}

/// The session marks of a day: see [`MisAdapter::register`](crate::MisAdapter::register).
///
/// # Errors
/// Returns an error if a request fails.
pub async fn read_register(connection: &Connection, date: NaiveDate) -> Result<Register> {
    let read_at = connection.now();
    let rows = register_rows(connection, connection.register_query(date))
        .try_filter(|row| ready(row.date == Some(date)))
        .try_collect()
        .await?;
    register_of(connection, date, read_at, RegisterRow::latest(rows)).await
}

/// Writes session marks: see [`MisAdapter::write`](crate::MisAdapter::write).
///
/// # Errors
/// Returns [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported), or an error if the code book cannot be read.
pub async fn write(
    connection: &Connection,
    descriptor: &'static Descriptor,
    marks: &[Mark],
) -> Result<Vec<MarkResult>> {
    descriptor.check_marks(connection.effective(descriptor), marks)?;
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

fn body(mark: &Mark, code: AttendanceCodeId) -> SessionMark {
    SessionMark {
        student_id: id(mark.student.clone()),
        date: mark.date,
        session: wire_session(mark.session),
        attendance_code_id: id(code),
        comment: mark.comment.clone(),
        minutes_late: mark.minutes_late,
        employee_id: mark.employee.clone().map(id),
    }
}
