//! MISs that keep the mark of a session on the pupil's first lesson of it.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use async_trait::async_trait;
use chrono::{DateTime, NaiveDate, Utc};
use futures::stream::{BoxStream, TryStreamExt as _};
use tokio::sync::Mutex;
use wonde::{
    AttendanceQuery, ClassId, LessonId, LessonMark, PeopleQuery as WirePeopleQuery, Session,
    StudentId, WritebackId,
};

use super::{
    people, read,
    send::{Codes, Outgoing, collect, send_in_parts},
};
use crate::{
    Capabilities, CodeBook, Connection, Deletion, Descriptor, Error, Group, Lesson, Mark,
    MarkResult, MisAdapter, PeopleQuery, Person, PersonKind, Register, Result, WritebackOutcome,
    adapter::check_marks, error::ErrorKind,
};

/// A whole adapter for an MIS that keeps session marks on first lessons, for the descriptor's `connect`.
pub fn first_lesson_marks(
    descriptor: &'static Descriptor,
    connection: Connection,
) -> Arc<dyn MisAdapter> {
    Arc::new(FirstLessonMarks {
        descriptor,
        connection,
        timetable: Timetable::default(),
    })
}

#[derive(Debug)]
struct FirstLessonMarks {
    descriptor: &'static Descriptor,
    connection: Connection,
    timetable: Timetable,
}

#[async_trait]
impl MisAdapter for FirstLessonMarks {
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
        read_register(&self.connection, &self.timetable, date).await
    }

    fn people(&self, query: PeopleQuery) -> BoxStream<'static, Result<Person>> {
        people::people(&self.connection, query)
    }

    fn groups(&self) -> BoxStream<'static, Result<Group>> {
        people::groups(&self.connection)
    }

    fn deletions(&self, since: Option<DateTime<Utc>>) -> BoxStream<'static, Result<Deletion>> {
        people::deletions(&self.connection, since)
    }

    async fn people_count(&self, kind: PersonKind) -> Result<Option<u64>> {
        people::people_count(&self.connection, kind).await
    }

    async fn lessons(&self, date: NaiveDate) -> Result<Arc<Vec<Lesson>>> {
        Ok(self
            .timetable
            .day(&self.connection, date, None)
            .await?
            .lessons
            .clone())
    }

    async fn write(&self, marks: &[Mark]) -> Result<Vec<MarkResult>> {
        write(&self.connection, self.descriptor, &self.timetable, marks).await
    }

    async fn outcome(&self, writeback: &WritebackId) -> Result<WritebackOutcome> {
        read::outcome(&self.connection, self.descriptor, writeback).await
    }
}

/// Which lesson is a pupil's first of a session: the school's lessons of a day and the pupils' classes, read once and
/// remembered for the days asked for last.
#[derive(Debug, Default)]
pub struct Timetable {
    days: Mutex<BTreeMap<NaiveDate, Arc<Day>>>,
}

/// Days remembered at most: today, and one or two that late-delivered events belong to.
const DAYS_KEPT: usize = 3;

#[derive(Debug)]
struct Day {
    read_at: DateTime<Utc>,
    lessons: Arc<Vec<Lesson>>,
    first: HashMap<(StudentId, Session), LessonId>,
}

impl Timetable {
    /// The day's first lessons, from memory unless it is older than `at_least`.
    async fn day(
        &self,
        connection: &Connection,
        date: NaiveDate,
        at_least: Option<DateTime<Utc>>,
    ) -> Result<Arc<Day>> {
        let mut days = self.days.lock().await;
        if let Some(day) = days.get(&date)
            && at_least.is_none_or(|at_least| day.read_at >= at_least)
        {
            return Ok(day.clone());
        }
        let day = Arc::new(read_day(connection, date).await?);
        days.insert(date, day.clone());
        while days.len() > DAYS_KEPT {
            days.pop_first();
        }
        Ok(day)
    }
}

async fn read_day(connection: &Connection, date: NaiveDate) -> Result<Day> {
    let read_at = connection.now();
    let lessons = read::lessons(connection, date).await?;
    let mut by_class: HashMap<&ClassId, Vec<&Lesson>> = HashMap::new();
    for lesson in &lessons {
        if let Some(class) = &lesson.class {
            by_class.entry(class).or_default().push(lesson);
        }
    }
    let query = WirePeopleQuery {
        include: vec!["classes".to_owned()],
        ..WirePeopleQuery::default()
    };
    let mut students = connection.school().students(query);
    let mut first: HashMap<(StudentId, Session), &Lesson> = HashMap::new();
    while let Some(student) = students.try_next().await? {
        for class in student.class_ids() {
            for lesson in by_class.get(&class).into_iter().flatten() {
                let earliest = first
                    .entry((student.id.clone(), lesson.session))
                    .or_insert(lesson);
                if (lesson.starts, &lesson.id) < (earliest.starts, &earliest.id) {
                    *earliest = lesson;
                }
            }
        }
    }
    let first = first
        .into_iter()
        .map(|(key, lesson)| (key, lesson.id.clone()))
        .collect();
    Ok(Day {
        read_at,
        lessons: Arc::new(lessons),
        first,
    })
}

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
    let day = timetable.day(connection, date, None).await?;
    let sessions: HashMap<(&StudentId, &LessonId), Session> = day
        .first
        .iter()
        .map(|((student, session), lesson)| ((student, lesson), *session))
        .collect();
    let query = AttendanceQuery {
        updated_after: Some(connection.register_since(date)),
        ..AttendanceQuery::default()
    };
    let mut rows = connection.school().lesson_attendance(query);
    let mut marks = Vec::new();
    while let Some(row) = rows.try_next().await? {
        if let (Some(student), Some(lesson)) = (row.student_id(), row.lesson_id())
            && let Some(session) = sessions.get(&(&student, &lesson))
        {
            marks.push(read::held_mark(
                &book,
                student.clone(),
                *session,
                read::Row::from(row),
            ));
        }
    }
    Ok(Register::new(date, read_at, marks))
}

/// Writes each mark onto the pupil's first lesson of its session: see [`MisAdapter::write`].
///
/// The timetable is read again when a pupil has no lesson in the remembered one, and when a mark is refused whose
/// lesson has changed since.
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
    let started = connection.now();
    let mut results = vec![None; marks.len()];
    let all: Vec<usize> = (0..marks.len()).collect();
    let tried = attempt(connection, timetable, marks, &all, None, &mut results).await?;

    let again: Vec<usize> = all
        .into_iter()
        .filter(|place| match results.get(*place) {
            Some(Some(MarkResult::Refused(error))) => {
                matches!(error.kind(), ErrorKind::NoLesson | ErrorKind::Refused)
            }
            _ => false,
        })
        .collect();
    let mut moved = Vec::new();
    for place in again {
        let Some(mark) = marks.get(place) else {
            continue;
        };
        let day = timetable.day(connection, mark.date, Some(started)).await?;
        if day.first.get(&(mark.student.clone(), mark.session)) != tried.get(&place) {
            moved.push(place);
        }
    }
    if !moved.is_empty() {
        attempt(
            connection,
            timetable,
            marks,
            &moved,
            Some(started),
            &mut results,
        )
        .await?;
    }
    Ok(collect(results))
}

/// Sends the marks at these places, and tells which lesson each was put on.
async fn attempt(
    connection: &Connection,
    timetable: &Timetable,
    marks: &[Mark],
    places: &[usize],
    at_least: Option<DateTime<Utc>>,
    results: &mut [Option<MarkResult>],
) -> Result<HashMap<usize, LessonId>> {
    let mut codes = Codes::of(connection).await?;
    let mut outgoing = Vec::with_capacity(places.len());
    let mut tried = HashMap::new();
    for &place in places {
        let (Some(mark), Some(slot)) = (marks.get(place), results.get_mut(place)) else {
            continue;
        };
        let code = match codes.id(mark).await {
            Ok(code) => code,
            Err(error) if error.kind() == ErrorKind::UnknownCode => {
                *slot = Some(MarkResult::Refused(error));
                continue;
            }
            Err(error) => return Err(error),
        };
        let day = timetable.day(connection, mark.date, at_least).await?;
        match day.first.get(&(mark.student.clone(), mark.session)) {
            Some(lesson) => {
                tried.insert(place, lesson.clone());
                outgoing.push(Outgoing {
                    place,
                    body: body(mark, lesson, code),
                    lesson: Some(lesson.clone()),
                });
            }
            None => *slot = Some(MarkResult::Refused(no_lesson(mark))),
        }
    }
    let school = connection.school();
    send_in_parts(outgoing, results, |part| {
        let school = school.clone();
        async move { school.write_lesson_attendance(&part).await }
    })
    .await;
    Ok(tried)
}

fn body(mark: &Mark, lesson: &LessonId, code: wonde::AttendanceCodeId) -> LessonMark {
    LessonMark {
        lesson_id: lesson.clone(),
        student_id: mark.student.clone(),
        attendance_code_id: code,
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
