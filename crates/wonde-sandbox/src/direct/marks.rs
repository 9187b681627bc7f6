//! The register in the MIS, and a teacher's changes to it.

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::Handle;
use crate::error::Error;
use crate::ids::Kind;
use crate::mis;
use crate::register::{Entry, Key, Mark, Slot, Version};
use crate::school::School;
use crate::wire;

/// A mark in the MIS.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct MisMark {
    /// The mark's id in the API.
    pub id: String,
    /// The pupil.
    pub student_id: String,
    /// The day.
    pub date: NaiveDate,
    /// `AM` or `PM`. For a lesson mark, the session whose first lesson it is for this pupil, if any.
    pub session: Option<&'static str>,
    /// The lesson, on a lesson's mark.
    pub lesson_id: Option<String>,
    /// The code's letter.
    pub code: String,
    /// The code's id at this school.
    pub code_id: String,
    /// The comment, if the MIS stores one.
    pub comment: Option<String>,
    /// Minutes late, if the MIS stores them.
    pub minutes_late: Option<u16>,
    /// The member of staff who took the mark, if known.
    pub employee_id: Option<String>,
    /// The writeback that wrote it last; absent if a teacher did.
    pub writeback_id: Option<String>,
    /// How many writebacks have written this mark so far.
    pub writes: u32,
    /// When its content last changed.
    pub changed_at: DateTime<Utc>,
}

/// The history of one mark in the MIS.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct MarkHistory {
    /// The pupil.
    pub student_id: String,
    /// The day.
    pub date: NaiveDate,
    /// Oldest first. Writing the same content again adds no version.
    pub versions: Vec<MarkVersion>,
}

/// One version of a mark.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct MarkVersion {
    /// The code's letter; absent if the mark was cleared.
    pub code: Option<String>,
    /// When it was written into the MIS.
    pub changed_at: DateTime<Utc>,
    /// When the register that wrote it was accepted; absent if a teacher wrote it.
    pub accepted_at: Option<DateTime<Utc>>,
    /// When the API's copy first showed it; absent if it was replaced before an extraction.
    pub shown_at: Option<DateTime<Utc>>,
}

/// A mark that a teacher writes into the MIS, or clears.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TeacherMark {
    /// The pupil.
    pub student_id: String,
    /// The day; needed with `session`.
    #[serde(default)]
    pub date: Option<NaiveDate>,
    /// `AM` or `PM`. If the MIS stores marks of lessons, the pupil's first lesson of the session is marked.
    #[serde(default)]
    pub session: Option<String>,
    /// A lesson instead of a session.
    #[serde(default)]
    pub lesson_id: Option<String>,
    /// The code's letter, or its id. Without one the mark is cleared, or becomes a note where there is a comment.
    #[serde(default)]
    pub code: Option<String>,
    /// A comment.
    #[serde(default)]
    pub comment: Option<String>,
    /// Minutes late.
    #[serde(default)]
    pub minutes_late: Option<u16>,
}

impl Handle {
    /// All marks in a school's MIS, ordered by day, pupil and slot.
    pub fn mis_marks(&self, school: &str) -> Result<Vec<MisMark>, Error> {
        let school = self.awake(school)?;
        let sessions = school
            .sessions
            .marks()
            .map(|(n, m)| (Kind::SessionMark, n, m));
        let lessons = school
            .lessons
            .marks()
            .map(|(n, m)| (Kind::LessonMark, n, m));
        let mut marks: Vec<(Key, MisMark)> = sessions
            .chain(lessons)
            .filter_map(|(kind, n, mark)| mis_mark(&school, kind, n, mark).map(|m| (mark.key, m)))
            .collect();
        marks.sort_by_key(|(key, _)| (key.date, key.student, slot_order(key.slot)));
        Ok(marks.into_iter().map(|(_, mark)| mark).collect())
    }

    /// The history of all marks that a school's MIS has or had.
    pub fn mark_history(&self, school: &str) -> Result<Vec<MarkHistory>, Error> {
        let school = self.awake(school)?;
        let version = |version: &Version| MarkVersion {
            code: version
                .code
                .and_then(|code| school.codes.get(usize::from(code)))
                .map(|code| code.letter.to_owned()),
            changed_at: version.changed,
            accepted_at: version.writeback.map(|number| {
                let writeback = school.writebacks.get(number);
                writeback.map_or(version.changed, |writeback| writeback.accepted)
            }),
            shown_at: version.shown,
        };
        let history = |mark: &Mark| MarkHistory {
            student_id: school.id(Kind::Student, mark.key.student as usize),
            date: mark.key.date,
            versions: mark.versions.iter().map(version).collect(),
        };
        let marks = school.sessions.all().chain(school.lessons.all());
        Ok(marks.map(history).collect())
    }

    /// Writes or clears a mark, or leaves a note, as a teacher.
    pub fn set_mark(&self, school: &str, mark: &TeacherMark) -> Result<(), Error> {
        let now = self.now();
        let mut school = self.awake(school)?;
        let student = school
            .find_student(&mark.student_id, now)
            .ok_or_else(|| Error::unknown("student", &mark.student_id))?;
        let (date, slot) = place(&school, student, mark)?;
        let entry = match &mark.code {
            None if mark.comment.is_none() => None,
            code => Some(Entry {
                code: code
                    .as_deref()
                    .map(|code| {
                        let found = school.find_letter(code).or_else(|| school.find_code(code));
                        found
                            .and_then(|n| u16::try_from(n).ok())
                            .ok_or_else(|| Error::unknown("attendance code", code))
                    })
                    .transpose()?,
                comment: mark.comment.as_deref().map(Into::into),
                minutes_late: mark.minutes_late,
                employee: None,
            }),
        };
        let student = u32::try_from(student).unwrap_or(u32::MAX);
        school.teacher_sets(
            Key {
                student,
                date,
                slot,
            },
            entry,
            now,
        );
        Ok(())
    }

    /// Extracts a school's register immediately. Returns false if the MIS is offline.
    pub fn extract_now(&self, school: &str) -> Result<bool, Error> {
        let now = self.now();
        Ok(self.awake(school)?.extract_now(now))
    }

    /// The time of the last extraction of a school's register.
    pub fn extracted_at(&self, school: &str) -> Result<DateTime<Utc>, Error> {
        Ok(self.awake(school)?.extraction.last)
    }

    /// The number of registers that wait to be written into a school's MIS.
    pub fn waiting(&self, school: &str) -> Result<usize, Error> {
        Ok(self.awake(school)?.writebacks.waiting())
    }

    /// Cancels a lesson: it is no longer listed, and marks for it are rejected.
    pub fn cancel_lesson(&self, school: &str, lesson: &str) -> Result<(), Error> {
        let mut school = self.awake(school)?;
        let found = school
            .find_lesson(lesson)
            .ok_or_else(|| Error::unknown("lesson", lesson))?;
        school.cancelled.insert((found.date, found.place));
        Ok(())
    }
}

fn slot_order(slot: Slot) -> (u8, u16) {
    match slot {
        Slot::Morning => (0, 0),
        Slot::Afternoon => (1, 0),
        Slot::Lesson(n) => (2, n),
    }
}

fn mis_mark(school: &School, kind: Kind, number: u32, mark: &Mark) -> Option<MisMark> {
    let entry = mark.entry.as_ref()?;
    let key = &mark.key;
    let student = key.student as usize;
    let (session, lesson_id) = match key.slot {
        Slot::Lesson(place) => {
            let place = usize::from(place);
            let carries = school.carries_session(student, key.date, place);
            (
                carries.and_then(wire::session),
                school.lesson_id(key.date, place),
            )
        }
        slot => (wire::session(slot), None),
    };
    let code = usize::from(entry.code?);
    Some(MisMark {
        id: school.id(kind, number as usize),
        student_id: school.id(Kind::Student, student),
        date: key.date,
        session,
        lesson_id,
        code: school
            .codes
            .get(code)
            .map(|c| c.letter.to_owned())
            .unwrap_or_default(),
        code_id: school.code_id(code),
        comment: entry.comment.as_deref().map(str::to_owned),
        minutes_late: entry.minutes_late,
        employee_id: entry
            .employee
            .map(|e| school.id(Kind::Employee, e as usize)),
        writeback_id: mark.writeback.map(|n| wire::writeback_id(school, n)),
        writes: mark.writes,
        changed_at: mark.changed,
    })
}

/// The slot of a teacher's mark.
fn place(school: &School, student: usize, mark: &TeacherMark) -> Result<(NaiveDate, Slot), Error> {
    if let Some(id) = &mark.lesson_id {
        let lesson = school
            .find_lesson(id)
            .ok_or_else(|| Error::unknown("lesson", id))?;
        let place = u16::try_from(lesson.place).map_err(|_| Error::unknown("lesson", id))?;
        return Ok((lesson.date, Slot::Lesson(place)));
    }
    let missing =
        || Error::Impossible("give a date with a session AM or PM, or a lesson_id".to_owned());
    let date = mark.date.ok_or_else(missing)?;
    if (date - school.ground.today).abs() > TimeDelta::days(10_000) {
        return Err(Error::Impossible(format!("{date} is too far away")));
    }
    let slot = match mark.session.as_deref() {
        Some("AM") => Slot::Morning,
        Some("PM") => Slot::Afternoon,
        _ => return Err(missing()),
    };
    if school.shape.register == mis::Register::Session {
        return Ok((date, slot));
    }
    school
        .world
        .pupils_lessons(student, date)
        .find(|l| school.carries_session(student, date, l.place) == Some(slot))
        .and_then(|l| u16::try_from(l.place).ok())
        .map(|place| (date, Slot::Lesson(place)))
        .ok_or_else(|| Error::Impossible("the pupil has no lesson in that session".to_owned()))
}
