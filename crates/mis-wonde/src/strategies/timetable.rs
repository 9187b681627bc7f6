//! The students' first lessons of each morning and afternoon.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use futures::stream::TryStreamExt as _;
use mis_core::{ClassId, Lesson, LessonId, Mark, Result, Session, StudentId};
use tokio::sync::Mutex;

use super::read;
use crate::{
    Connection,
    convert::{error, id},
};

/// The first lessons of all students, read once a day for each school day.
///
/// A day is remembered only when it has been read to its end, so a cancelled call leaves nothing behind. Calls that
/// need the same day at the same time wait for one read of it.
#[derive(Debug, Default)]
pub struct Timetable {
    days: Mutex<VecDeque<(NaiveDate, Arc<Day>)>>,
}

/// The most school days to remember: today, and some for events that are delivered late. The oldest read is dropped
/// first.
const DAYS_KEPT: usize = 4;

/// The age of a remembered day at which a student without a lesson is a reason to read it again: there may be many such
/// students, and a read takes all lessons and all students.
const AGE_FOR_ANOTHER_LOOK: TimeDelta = TimeDelta::minutes(15);

/// The lessons of one school day, as read.
#[derive(Debug)]
pub(crate) struct Day {
    read_at: DateTime<Utc>,
    lessons: Arc<Vec<Lesson>>,
    first: HashMap<(StudentId, Session), LessonId>,
}

/// A day, and whether it was read just now rather than remembered.
#[derive(Clone, Debug)]
pub(crate) struct Look {
    pub(crate) day: Arc<Day>,
    pub(crate) fresh: bool,
}

impl Timetable {
    /// The lessons of a day, in the order of their start.
    ///
    /// # Errors
    /// Returns an error if the request fails.
    pub async fn lessons(
        &self,
        connection: &Connection,
        date: NaiveDate,
    ) -> Result<Arc<Vec<Lesson>>> {
        Ok(self.look(connection, date).await?.day.lessons())
    }

    /// A day, remembered or read.
    pub(crate) async fn look(&self, connection: &Connection, date: NaiveDate) -> Result<Look> {
        self.look_past(connection, date, None).await
    }

    /// A newer read of a day than the one that turned out to be wrong: one that was read since, or a new one.
    pub(crate) async fn look_again(
        &self,
        connection: &Connection,
        date: NaiveDate,
        wrong: &Look,
    ) -> Result<Look> {
        self.look_past(connection, date, Some(&wrong.day)).await
    }

    async fn look_past(
        &self,
        connection: &Connection,
        date: NaiveDate,
        wrong: Option<&Arc<Day>>,
    ) -> Result<Look> {
        let mut days = self.days.lock().await;
        let held = days.iter().find(|(held, _)| *held == date);
        if let Some((_, day)) = held
            && day.is_of_today(connection)
            && wrong.is_none_or(|wrong| !Arc::ptr_eq(wrong, day))
        {
            return Ok(Look {
                day: day.clone(),
                fresh: false,
            });
        }
        let day = Arc::new(read_day(connection, date).await?);
        days.retain(|(held, _)| *held != date);
        days.push_back((date, day.clone()));
        if days.len() > DAYS_KEPT {
            days.pop_front();
        }
        Ok(Look { day, fresh: true })
    }
}

impl Day {
    /// All lessons of the day, in the order of their start.
    pub(crate) fn lessons(&self) -> Arc<Vec<Lesson>> {
        self.lessons.clone()
    }

    /// The lesson that a mark is stored on.
    pub(crate) fn lesson_for(&self, mark: &Mark) -> Option<&LessonId> {
        self.first.get(&(mark.student.clone(), mark.session))
    }

    /// All first lessons, each with its pupil and session.
    pub(crate) fn first(&self) -> impl Iterator<Item = (&StudentId, Session, &LessonId)> {
        self.first
            .iter()
            .map(|((student, session), lesson)| (student, *session, lesson))
    }

    fn is_of_today(&self, connection: &Connection) -> bool {
        let clock = connection.clock();
        clock.session_at(self.read_at).0 == clock.session_at(connection.now()).0
    }
}

impl Look {
    /// Whether the timetable may have changed since, so that a rejected mark is reason to read it again.
    pub(crate) fn may_be_old(&self, connection: &Connection, mark: &Mark) -> bool {
        !self.fresh
            && (self.day.lesson_for(mark).is_some()
                || connection.now() - self.day.read_at >= AGE_FOR_ANOTHER_LOOK)
    }
}

/// Reads the lessons of a day and the classes of all pupils.
async fn read_day(connection: &Connection, date: NaiveDate) -> Result<Day> {
    let read_at = connection.now();
    let lessons = read::lessons(connection, date).await?;
    let by_class = first_of_each_class(&lessons);
    let mut students = connection
        .school()
        .students(wonde::PeopleQuery::new().include(["classes"]))
        .map_err(error);
    let mut first: HashMap<(StudentId, Session), &Lesson> = HashMap::new();
    while let Some(student) = students.try_next().await? {
        let (own, classes) = (id::<_, StudentId>(student.id.clone()), student.class_ids());
        for class in classes.map(|class| ClassId::new(class.as_str())) {
            for session in [Session::Am, Session::Pm] {
                if let Some(lesson) = by_class.get(&(&class, session)) {
                    let earliest = first.entry((own.clone(), session)).or_insert(lesson);
                    if (lesson.starts, &lesson.id) < (earliest.starts, &earliest.id) {
                        *earliest = lesson;
                    }
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

/// A class's first lesson of each session; the lessons come in the order of their start.
fn first_of_each_class(lessons: &[Lesson]) -> HashMap<(&ClassId, Session), &Lesson> {
    let mut first = HashMap::new();
    for lesson in lessons {
        if let (Some(class), Some(session)) = (&lesson.class, lesson.session) {
            first.entry((class, session)).or_insert(lesson);
        }
    }
    first
}
