//! MISs that store a session's mark on the student's first lesson in the session.

use std::{
    collections::{BTreeSet, HashMap, HashSet, hash_map::Entry},
    future::ready,
    pin::Pin,
};

use chrono::{DateTime, NaiveDate, Utc};
use futures::stream::{self, BoxStream, StreamExt as _, TryStreamExt as _};
use wonde::{AttendanceQuery, LessonAttendance, LessonMark, Paging};

pub use super::timetable::Timetable;
use super::{
    read,
    send::{
        Coded, Outgoing, as_kept, collect, comment_length, for_unsent, send_in_parts, with_codes,
    },
    timetable::Look,
};
use crate::{
    AttendanceCodeId, Connection, Descriptor, Error, ErrorKind, LessonId, Mark, MarkResult,
    Register, RegisterQuery, RegisterRow, Result, Session, Slot, StudentId,
    convert::{error, id},
};

/// The rows of registers that changed in this time: see
/// [`MisAdapter::register_rows`](crate::MisAdapter::register_rows).
///
/// A row may lack its day, so its lesson is requested along with it. What can be included differs by MIS: if this is
/// rejected, rows are requested without it from then on.
pub fn register_rows(
    connection: &Connection,
    query: RegisterQuery,
) -> BoxStream<'static, Result<RegisterRow>> {
    let connection = connection.clone();
    stream::once(async move {
        let mut rows = attendance(&connection, query, connection.lesson_includes()).peekable();
        let first = Pin::new(&mut rows).peek().await;
        let refused =
            matches!(first, Some(Err(failed)) if failed.kind() == wonde::ErrorKind::BadRequest);
        if refused && connection.lesson_includes() {
            connection.without_lesson_includes();
            rows = attendance(&connection, query, false).peekable();
        }
        read::coded_or_notes(
            &connection,
            rows.map_err(error),
            LessonAttendance::attendance_code_id,
        )
        .try_filter_map(move |row| ready(Ok(read::lesson_row(&connection, row))))
    })
    .flatten()
    .boxed()
}

fn attendance(
    connection: &Connection,
    query: RegisterQuery,
    with_lessons: bool,
) -> BoxStream<'static, wonde::Result<LessonAttendance>> {
    let query = AttendanceQuery {
        updated_after: query.updated_after,
        updated_before: query.updated_before,
        paging: Paging::Cursor,
        ..AttendanceQuery::default()
    };
    let query = query.include(with_lessons.then_some("lesson"));
    connection.school().lesson_attendance(query).boxed()
}

/// The slots of a day.
///
/// # Errors
/// Returns an error if the timetable cannot be read.
pub async fn register_slots(
    connection: &Connection,
    timetable: &Timetable,
    date: NaiveDate,
) -> Result<Vec<Slot>> {
    let day = timetable.look(connection, date).await?.day;
    let first: BTreeSet<&LessonId> = day.first().map(|(_, _, lesson)| lesson).collect();
    Ok(first.into_iter().cloned().map(Slot::Lesson).collect())
}

/// The register of a day from rows that were read before.
///
/// # Errors
/// Returns an error if the code book or the timetable cannot be read.
pub async fn register_of(
    connection: &Connection,
    timetable: &Timetable,
    date: NaiveDate,
    read_at: DateTime<Utc>,
    rows: Vec<RegisterRow>,
) -> Result<Register> {
    let book = connection.code_book_for(read::code_ids(&rows)).await?;
    let day = timetable.look(connection, date).await?.day;
    let sessions: HashMap<(&StudentId, &LessonId), Session> = day
        .first()
        .map(|(student, session, lesson)| ((student, lesson), session))
        .collect();
    let marks = rows.into_iter().filter_map(|row| {
        let Slot::Lesson(lesson) = &row.slot else {
            return None;
        };
        let session = *sessions.get(&(&row.student, lesson))?;
        row.into_mark(&book, session)
    });
    Ok(Register::new(date, read_at, marks))
}

/// The marks on the students' first lessons of a day: see [`MisAdapter::register`](crate::MisAdapter::register).
///
/// # Errors
/// Returns an error if a request fails.
pub async fn read_register(
    connection: &Connection,
    timetable: &Timetable,
    date: NaiveDate,
) -> Result<Register> {
    let read_at = connection.now();
    let slots = register_slots(connection, timetable, date).await?;
    let slots: HashSet<Slot> = slots.into_iter().collect();
    let rows = register_rows(connection, connection.register_query(date))
        .try_filter(|row| ready(slots.contains(&row.slot)))
        .try_collect()
        .await?;
    register_of(
        connection,
        timetable,
        date,
        read_at,
        RegisterRow::latest(rows),
    )
    .await
}

/// Writes each mark on the pupil's first lesson in its session: see [`MisAdapter::write`](crate::MisAdapter::write).
///
/// The timetable is remembered for the day. It is read again when a mark on one of its lessons is rejected, and from
/// time to time for students who have no lesson in it; marks whose lesson has changed are sent once more.
///
/// # Errors
/// Returns [`ErrorKind::Unsupported`], or an error if the code book or the timetable cannot be read.
pub async fn write(
    connection: &Connection,
    descriptor: &'static Descriptor,
    timetable: &Timetable,
    marks: &[Mark],
) -> Result<Vec<MarkResult>> {
    descriptor.check_marks(connection.effective(descriptor), marks)?;
    if marks.is_empty() {
        return Ok(Vec::new());
    }
    let mut results = vec![None; marks.len()];
    let marks = &as_kept(descriptor, marks, &mut results)[..];
    let coded = with_codes(connection, marks, &mut results).await?;
    let mut looks = HashMap::new();
    for mark in coded.iter().filter_map(|(place, _)| marks.get(*place)) {
        if let Entry::Vacant(unseen) = looks.entry(mark.date) {
            unseen.insert(timetable.look(connection, mark.date).await?);
        }
    }
    send(connection, marks, &coded, &looks, &mut results).await;

    let refused = coded
        .into_iter()
        .filter(|(place, _)| may_go_through(results.get(*place)))
        .collect();
    let (moved, looks) =
        look_again(connection, timetable, marks, refused, &looks, &mut results).await;
    send(connection, marks, &moved, &looks, &mut results).await;
    Ok(collect(results))
}

/// The timetable by date.
type Looks = HashMap<NaiveDate, Look>;

/// Whether a mark was rejected for a reason that another lesson may remove.
fn may_go_through(result: Option<&Option<MarkResult>>) -> bool {
    matches!(result, Some(Some(MarkResult::Refused(error))) if matches!(error.kind(), ErrorKind::NoLesson | ErrorKind::Refused))
}

/// The rejected marks that have another lesson by now, with the timetable that shows it.
///
/// The results of marks that were sent must not be lost: if the timetable cannot be read, only the marks that need it
/// fail, to be tried again later.
async fn look_again(
    connection: &Connection,
    timetable: &Timetable,
    marks: &[Mark],
    refused: Vec<Coded>,
    before: &Looks,
    results: &mut [Option<MarkResult>],
) -> (Vec<Coded>, Looks) {
    let stopped = results.iter().flatten().find_map(|result| match result {
        MarkResult::Failed(error) => Some(for_unsent(error)),
        _ => None,
    });
    let mut looks: HashMap<NaiveDate, Result<Look>> = HashMap::new();
    let mut moved = Vec::new();
    for (place, code) in refused {
        let (Some(mark), Some(slot)) = (marks.get(place), results.get_mut(place)) else {
            continue;
        };
        let Some(old) = before
            .get(&mark.date)
            .filter(|look| look.may_be_old(connection, mark))
        else {
            continue;
        };
        let look = match looks.entry(mark.date) {
            Entry::Occupied(seen) => seen.into_mut(),
            Entry::Vacant(unseen) => unseen.insert(match &stopped {
                // The token, the rate limit or the network prevents any further request.
                Some(error) => Err(error.clone()),
                None => timetable.look_again(connection, mark.date, old).await,
            }),
        };
        match look {
            Ok(new) if new.day.lesson_for(mark) != old.day.lesson_for(mark) => {
                moved.push((place, code));
            }
            Ok(_) => {}
            Err(error) => *slot = Some(MarkResult::Failed(error.clone())),
        }
    }
    let looks = looks
        .into_iter()
        .filter_map(|(date, look)| Some((date, look.ok()?)))
        .collect();
    (moved, looks)
}

/// Assigns the marks to lessons and sends them; a mark without a lesson is rejected.
async fn send(
    connection: &Connection,
    marks: &[Mark],
    coded: &[Coded],
    looks: &Looks,
    results: &mut [Option<MarkResult>],
) {
    let mut outgoing = Vec::with_capacity(coded.len());
    for (place, code) in coded {
        let (Some(mark), Some(slot)) = (marks.get(*place), results.get_mut(*place)) else {
            continue;
        };
        match looks
            .get(&mark.date)
            .and_then(|look| look.day.lesson_for(mark))
        {
            Some(lesson) => outgoing.push(Outgoing {
                place: *place,
                body: body(mark, lesson, code),
                lesson: Some(lesson.clone()),
                comment: comment_length(mark),
            }),
            None => *slot = Some(MarkResult::Refused(no_lesson(mark))),
        }
    }
    let school = connection.school();
    send_in_parts(outgoing, results, |part| {
        let school = school.clone();
        async move { school.write_lesson_attendance(&part).await }
    })
    .await;
}

fn body(mark: &Mark, lesson: &LessonId, code: &AttendanceCodeId) -> LessonMark {
    LessonMark {
        lesson_id: id(lesson.clone()),
        student_id: id(mark.student.clone()),
        attendance_code_id: id(code.clone()),
        comment: mark.comment.clone(),
        minutes_late: mark.minutes_late,
    }
}

fn no_lesson(mark: &Mark) -> Error {
    Error::new(
        ErrorKind::NoLesson,
        format!(
            "student {} has no lesson in {} on {} that could carry the mark; check the timetable in the MIS",
            mark.student, mark.session, mark.date
        ),
    )
}
