//! MISs that keep the mark of a session as such: AM or PM.

use std::{collections::HashMap, sync::Arc};

use async_trait::async_trait;
use chrono::{DateTime, NaiveDate, Utc};
use futures::stream::{BoxStream, TryStreamExt as _};
use wonde::{AttendanceQuery, SessionMark, WritebackId};

use super::{
    kept::{self, Before, Slot},
    people, read,
    send::{Outgoing, collect, send_in_parts, with_codes},
};
use crate::{
    Capabilities, CodeBook, Connection, Deletion, Descriptor, Group, Lesson, Mark, MarkResult,
    MisAdapter, PeopleQuery, Person, PersonKind, Register, Result, WritebackOutcome,
    adapter::check_marks,
};

/// A whole adapter for an MIS that keeps session marks, for the descriptor's `connect`.
pub fn session_marks(
    descriptor: &'static Descriptor,
    connection: Connection,
) -> Arc<dyn MisAdapter> {
    Arc::new(SessionMarks {
        descriptor,
        connection,
    })
}

#[derive(Debug)]
struct SessionMarks {
    descriptor: &'static Descriptor,
    connection: Connection,
}

#[async_trait]
impl MisAdapter for SessionMarks {
    fn descriptor(&self) -> &'static Descriptor {
        self.descriptor
    }

    fn capabilities(&self) -> Capabilities {
        self.connection.effective(self.descriptor)
    }

    async fn code_book(&self) -> Result<Arc<CodeBook>> {
        read::code_book(&self.connection).await
    }

    async fn register(&self, date: NaiveDate) -> Result<Register> {
        read_register(&self.connection, date).await
    }

    fn people(&self, query: PeopleQuery) -> BoxStream<'static, Result<Person>> {
        people::people(&self.connection, self.descriptor, query)
    }

    fn groups(&self) -> BoxStream<'static, Result<Group>> {
        people::groups(&self.connection, self.descriptor)
    }

    fn deletions(&self, since: Option<DateTime<Utc>>) -> BoxStream<'static, Result<Deletion>> {
        people::deletions(&self.connection, self.descriptor, since)
    }

    async fn people_count(&self, kind: PersonKind) -> Result<Option<u64>> {
        people::people_count(&self.connection, self.descriptor, kind).await
    }

    async fn lessons(&self, date: NaiveDate) -> Result<Arc<Vec<Lesson>>> {
        read::lessons(&self.connection, date).await.map(Arc::new)
    }

    async fn write(&self, marks: &[Mark]) -> Result<Vec<MarkResult>> {
        write(&self.connection, self.descriptor, marks).await
    }

    async fn outcome(&self, writeback: &WritebackId) -> Result<WritebackOutcome> {
        read::outcome(&self.connection, self.descriptor, writeback).await
    }
}

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

/// Writes session marks: see [`MisAdapter::write`].
///
/// # Errors
/// [`ErrorKind::Unsupported`], and a code book that cannot be read.
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
    let outgoing = with_codes(connection, marks, &mut results)
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
