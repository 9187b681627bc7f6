//! MISs that keep the mark of a session on the pupil's first lesson of it.

use std::collections::{HashMap, hash_map::Entry};

use chrono::NaiveDate;
use futures::stream::TryStreamExt as _;
use wonde::{AttendanceCodeId, AttendanceQuery, LessonId, LessonMark, Session, StudentId};

pub use super::timetable::Timetable;
use super::{
    kept::{self, Before, Slot},
    read,
    send::{Coded, Outgoing, as_kept, collect, send_in_parts, with_codes},
    timetable::Look,
};
use crate::{
    Connection, Descriptor, Error, Mark, MarkResult, Register, Result, adapter::check_marks,
    error::ErrorKind,
};

/// The marks held on the pupils' first lessons of a day.
///
/// # Errors
/// Those of the reads.
pub async fn read_register(
    connection: &Connection,
    timetable: &Timetable,
    date: NaiveDate,
) -> Result<Register> {
    let read_at = connection.now();
    let book = connection.code_book(None).await?;
    let day = timetable.look(connection, date).await?.day;
    let sessions: HashMap<(&StudentId, &LessonId), Session> = day
        .first()
        .map(|(student, session, lesson)| ((student, lesson), session))
        .collect();
    let before = Before::of(connection, date, read_at, Some(&day)).await;
    let query = AttendanceQuery {
        updated_after: Some(before.since),
        ..AttendanceQuery::default()
    };
    let mut rows = connection.school().lesson_attendance(query);
    let mut read = HashMap::new();
    while let Some(row) = rows.try_next().await? {
        if let (Some(student), Some(lesson)) = (row.student_id(), row.lesson_id())
            && sessions.contains_key(&(&student, &lesson))
        {
            kept::add(
                &mut read,
                (student, Slot::Lesson(lesson)),
                read::Row::from(row),
            );
        }
    }
    let all = before
        .and(connection, date, read_at, Some(&day), read)
        .await;
    let marks = all.into_iter().filter_map(|((student, slot), row)| {
        let Slot::Lesson(lesson) = &slot else {
            return None;
        };
        let session = *sessions.get(&(&student, lesson))?;
        Some(read::held_mark(&book, student, session, row))
    });
    Ok(Register::new(date, read_at, marks))
}

/// Writes each mark onto the pupil's first lesson of its session: see [`MisAdapter::write`](crate::MisAdapter::write).
///
/// The timetable is remembered for the day. It is read again when a mark is refused that was put on a lesson of the
/// remembered one, and now and then for pupils who have no lesson there; marks whose lesson has changed are sent once more.
///
/// # Errors
/// [`ErrorKind::Unsupported`], and a code book or timetable that cannot be read.
pub async fn write(
    connection: &Connection,
    descriptor: &'static Descriptor,
    timetable: &Timetable,
    marks: &[Mark],
) -> Result<Vec<MarkResult>> {
    check_marks(descriptor, connection.effective(descriptor), marks)?;
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

/// Whether a mark was refused for a reason that another lesson might mend.
fn may_go_through(result: Option<&Option<MarkResult>>) -> bool {
    matches!(result, Some(Some(MarkResult::Refused(error))) if matches!(error.kind(), ErrorKind::NoLesson | ErrorKind::Refused))
}

/// Which of the refused marks have another lesson by now, with the timetable that says so.
///
/// Nothing of what was sent before may be lost here: where the timetable cannot be read, the marks it is for fail, so
/// that they are tried again later, and no others.
async fn look_again(
    connection: &Connection,
    timetable: &Timetable,
    marks: &[Mark],
    refused: Vec<Coded>,
    before: &Looks,
    results: &mut [Option<MarkResult>],
) -> (Vec<Coded>, Looks) {
    let stopped = results.iter().flatten().find_map(|result| match result {
        MarkResult::Failed(error) => Some(error.for_unsent()),
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
                // The token, the rate or the line stands against any further request.
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

/// Puts the marks on their lessons and sends them; a mark without a lesson is refused.
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
        lesson_id: lesson.clone(),
        student_id: mark.student.clone(),
        attendance_code_id: code.clone(),
        comment: mark.comment.clone(),
        minutes_late: mark.minutes_late,
    }
}

fn no_lesson(mark: &Mark) -> Error {
    Error::new(
        ErrorKind::NoLesson,
        format!(
            "student {} has no lesson in {} on {} that could bear the mark; check the timetable in the MIS",
            mark.student, mark.session, mark.date
        ),
    )
}
