//! MISs that keep the mark of a session as such: AM or PM.

use std::collections::HashMap;

use chrono::NaiveDate;
use futures::stream::TryStreamExt as _;
use wonde::{AttendanceQuery, SessionMark};

use super::{
    kept::{self, Before, Slot},
    read,
    send::{Outgoing, as_kept, collect, send_in_parts, with_codes},
};
use crate::{Connection, Descriptor, Mark, MarkResult, Register, Result, adapter::check_marks};

/// The session marks held for a day.
///
/// # Errors
/// Those of the reads.
pub async fn read_register(connection: &Connection, date: NaiveDate) -> Result<Register> {
    let read_at = connection.now();
    let book = connection.code_book(None).await?;
    let before = Before::of(connection, date, read_at, None).await;
    let query = AttendanceQuery {
        updated_after: Some(before.since),
        ..AttendanceQuery::default()
    };
    let mut rows = connection.school().session_attendance(query);
    let mut read = HashMap::new();
    while let Some(row) = rows.try_next().await? {
        if row.date == Some(date)
            && let (Some(student), Some(session)) = (row.student_id(), row.session)
        {
            kept::add(
                &mut read,
                (student, Slot::Session(session)),
                read::Row::from(row),
            );
        }
    }
    let all = before.and(connection, date, read_at, None, read).await;
    let marks = all.into_iter().filter_map(|((student, slot), row)| {
        let Slot::Session(session) = slot else {
            return None;
        };
        Some(read::held_mark(&book, student, session, row))
    });
    Ok(Register::new(date, read_at, marks))
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
