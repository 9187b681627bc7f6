//! Writes: a register is validated as a whole and stored, and can then be read back.

use chrono::{DateTime, Days, Utc};
use mis_wonde::Session;
use serde_json::{Map, Value};

use super::{Kept, Place, Seen, World, not_found};
use crate::{
    answer::Answer,
    fixtures::Outcome,
    standard::{self, Lesson, Sort},
};

impl World {
    /// The initial marks: Eve has illness with a comment, Fay an unknown code, and Gus a note without a code, all
    /// entered the day before. Eve has another mark on another day, and Ada has one on a lesson that is not her first.
    pub(super) fn hold_standard_marks(&mut self, school: u8) {
        self.kept.retain(|kept| kept.school != school);
        let lessons = self
            .schools
            .get(&school)
            .map(|school| school.lessons.clone())
            .unwrap_or_default();
        for date in standard::DAYS {
            let first = |pupil| {
                standard::first_lesson(&lessons, pupil, date, Session::Am)
                    .map_or(Place::Session, |lesson| Place::Lesson(lesson.id.clone()))
            };
            let other = lessons
                .iter()
                .filter(|lesson| lesson.date == date)
                .max_by_key(|lesson| lesson.starts)
                .map_or(Place::Session, |lesson| Place::Lesson(lesson.id.clone()));
            let illness = standard::code_id(school, "I").unwrap_or_default();
            let other_code = standard::code_id(school, "O").unwrap_or_default();
            let nobodys = standard::id(school, Sort::Code, 99);
            let none = String::new();
            let before = Days::new(1);
            for (pupil, day, place, code, comment) in [
                (
                    standard::EVE,
                    date,
                    Place::Session,
                    &illness,
                    Some(standard::COMMENT),
                ),
                (
                    standard::EVE,
                    date,
                    first(standard::EVE),
                    &illness,
                    Some(standard::COMMENT),
                ),
                (standard::FAY, date, Place::Session, &nobodys, None),
                (standard::FAY, date, first(standard::FAY), &nobodys, None),
                (
                    standard::GUS,
                    date,
                    Place::Session,
                    &none,
                    Some(standard::COMMENT),
                ),
                (
                    standard::GUS,
                    date,
                    first(standard::GUS),
                    &none,
                    Some(standard::COMMENT),
                ),
                (
                    standard::EVE,
                    date - before,
                    Place::Session,
                    &other_code,
                    None,
                ),
                (standard::ADA, date, other, &other_code, None),
            ] {
                self.kept.push(Kept {
                    school,
                    student: standard::id(school, Sort::Student, pupil),
                    date: day,
                    session: if pupil == standard::ADA {
                        Session::Pm
                    } else {
                        Session::Am
                    },
                    place,
                    code: code.clone(),
                    comment: comment.map(str::to_owned),
                    minutes_late: None,
                    changed: standard::ten_past_nine(date - before, chrono_tz::Tz::UTC),
                    writeback: None,
                    times: 0,
                });
            }
        }
    }

    /// Stores a register completely or not at all.
    pub(super) fn write(&mut self, school: u8, sort: &str, seen: &Seen) -> Answer {
        let rows = seen.json();
        let rows = rows
            .as_ref()
            .and_then(|body| body.as_object())
            .filter(|body| body.len() == 1);
        let rows = rows
            .and_then(|body| body.get("attendance"))
            .and_then(Value::as_array);
        let Some(rows) = rows.filter(|rows| !rows.is_empty()) else {
            return self.answers.refused();
        };
        let id = format!("W{school}{:08}", self.writebacks.len() + 1);
        let marks: Option<Vec<Kept>> = rows
            .iter()
            .map(|row| self.read_mark(school, sort, row, &id))
            .collect();
        let Some(marks) = marks else {
            return self.answers.refused();
        };
        self.writebacks.push(id.clone());
        for mark in marks {
            self.keep(mark);
        }
        self.answers.accepted(&id)
    }

    fn keep(&mut self, mut mark: Kept) {
        let same = |kept: &Kept| {
            kept.student == mark.student
                && kept.date == mark.date
                && kept.session == mark.session
                && kept.place == mark.place
        };
        mark.times = 1 + self
            .kept
            .iter()
            .find(|kept| same(kept))
            .map_or(0, |kept| kept.times);
        self.kept.retain(|kept| !same(kept));
        self.kept.push(mark);
    }

    /// Parses one mark of a register; `None` if the school rejects it.
    fn read_mark(&self, school: u8, sort: &str, row: &Value, writeback: &str) -> Option<Kept> {
        let row = row.as_object()?;
        let text = |key: &str| row.get(key).and_then(Value::as_str);
        let about = self.schools.get(&school)?;
        let student = text("student_id")?;
        (!self.expelled.contains(student)).then_some(())?;
        let pupil =
            (1..=about.pupils).find(|n| standard::id(school, Sort::Student, *n) == student)?;
        let code = text("attendance_code_id")?;
        let is_own = standard::CODES.iter().any(|letters| {
            let second = about.repeated.iter().any(|one| one.letters == *letters);
            standard::code_id(school, letters).as_deref() == Some(code)
                || second && standard::second_id(school, letters).as_deref() == Some(code)
        });
        is_own.then_some(())?;
        let (date, session, place, keys): (_, _, _, &[&str]) = if sort == "session" {
            let session = text("session")?.parse().ok()?;
            (
                text("date")?.parse().ok()?,
                session,
                Place::Session,
                &["date", "session", "employee_id"],
            )
        } else {
            let id = text("lesson_id")?;
            let takes = |lesson: &&Lesson| lesson.id == id && lesson.called_off.is_none();
            let lesson = about.lessons.iter().find(takes)?;
            standard::classes(pupil)
                .contains(&lesson.class)
                .then_some(())?;
            (
                lesson.date,
                lesson.session,
                Place::Lesson(id.to_owned()),
                &["lesson_id"],
            )
        };
        knows_all(row, keys).then_some(())?;
        Some(Kept {
            school,
            student: student.to_owned(),
            date,
            session,
            place,
            code: code.to_owned(),
            comment: optional(row, "comment", |value| value.as_str().map(str::to_owned))?,
            minutes_late: optional(row, "minutes_late", |value| {
                value
                    .as_u64()
                    .and_then(|minutes| u32::try_from(minutes).ok())
                    .filter(|minutes| *minutes > 0)
            })?,
            changed: self.now,
            writeback: Some(writeback.to_owned()),
            times: 0,
        })
    }

    /// The status of a writeback.
    pub(super) fn writeback(&self, id: &str) -> Answer {
        if self.writebacks.iter().any(|known| known == id) {
            self.answers.outcome(self.outcome, id)
        } else {
            not_found()
        }
    }

    /// Sets the outcome of every writeback.
    pub(crate) fn settle(&mut self, outcome: Outcome) {
        self.outcome = outcome;
    }

    /// The marks of the requested register as Wonde's rows.
    pub(super) fn kept_rows(
        &self,
        school: u8,
        sort: &str,
        after: Option<DateTime<Utc>>,
        before: Option<DateTime<Utc>>,
    ) -> Vec<Value> {
        let mut rows = Vec::new();
        for (place, kept) in self.kept.iter().enumerate() {
            let fits = kept.school == school
                && after.is_none_or(|after| kept.changed > after)
                && before.is_none_or(|before| kept.changed < before);
            let row = match &kept.place {
                Place::Session if fits && sort == "session" => {
                    super::rows::session_mark(kept, place)
                }
                Place::Lesson(lesson) if fits && sort == "lesson" => {
                    super::rows::lesson_mark(kept, lesson, place)
                }
                _ => continue,
            };
            rows.push(row);
        }
        rows
    }
}

/// `Some(None)` if the key is missing, `None` if its value is invalid.
#[allow(
    clippy::option_option,
    reason = "outer: the value is valid; inner: the key exists"
)]
fn optional<T>(
    row: &Map<String, Value>,
    key: &str,
    read: impl Fn(&Value) -> Option<T>,
) -> Option<Option<T>> {
    row.get(key)
        .map_or(Some(None), |value| read(value).map(Some))
}

fn knows_all(row: &Map<String, Value>, keys: &[&str]) -> bool {
    let all = [
        "student_id",
        "attendance_code_id",
        "comment",
        "minutes_late",
    ];
    row.keys()
        .all(|key| all.contains(&key.as_str()) || keys.contains(&key.as_str()))
}
