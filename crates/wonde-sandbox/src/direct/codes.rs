//! Changes of a school's codes and timetable.

use chrono::{Datelike as _, NaiveDate, NaiveTime, TimeDelta};
use serde::Deserialize;

use super::Handle;
use crate::error::Error;
use crate::school::{Hours, School};
use crate::world::model::{Class, Period, Times};
use crate::world::timetable::weekday;

/// A change of a code in a school's list; `None` leaves a property unchanged.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CodeChange {
    /// Whether the list has the code. The register may use it even if not.
    #[serde(default)]
    pub listed: Option<bool>,
    /// The list's `active`.
    #[serde(default)]
    pub active: Option<bool>,
    /// The list's `start_date`.
    #[serde(default)]
    pub start_date: Option<NaiveDate>,
}

/// A weekly lesson of a few pupils in addition to the timetable.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewLesson {
    /// A day on which it takes place.
    pub date: NaiveDate,
    /// The start in local time.
    pub start: NaiveTime,
    /// The end in local time.
    pub end: NaiveTime,
    /// The pupils.
    pub students: Vec<String>,
}

impl Handle {
    /// Adds a code with the same letters as the one with this letter or id, and returns its id.
    pub fn repeat_code(
        &self,
        school: &str,
        code: &str,
        change: CodeChange,
    ) -> Result<String, Error> {
        let mut school = self.awake(school)?;
        let n = find(&school, code)?;
        let again = school.codes.get(n).cloned();
        let n = school.codes.len();
        school.codes.extend(again);
        set(&mut school, n, change);
        Ok(school.code_id(n))
    }

    /// Changes the list's entry of the code with this letter or id.
    pub fn change_code(&self, school: &str, code: &str, change: CodeChange) -> Result<(), Error> {
        let mut school = self.awake(school)?;
        let n = find(&school, code)?;
        set(&mut school, n, change);
        Ok(())
    }

    /// Sets the start of a school's sessions, which decides the first lessons of the morning and the afternoon.
    pub fn set_hours(&self, school: &str, hours: Hours) -> Result<(), Error> {
        self.awake(school)?.hours = hours;
        Ok(())
    }

    /// Adds a lesson to the timetable and returns its id on the date.
    pub fn add_lesson(&self, school: &str, new: &NewLesson) -> Result<String, Error> {
        let now = self.now();
        let mut school = self.awake(school)?;
        let impossible = || Error::Impossible(format!("there are no lessons on {}", new.date));
        if (new.date - school.ground.today).abs() > TimeDelta::days(300) {
            return Err(impossible());
        }
        let day = weekday(new.date).ok_or_else(impossible)?;
        let mut students = Vec::with_capacity(new.students.len());
        for id in &new.students {
            let found = school.find_student(id, now);
            students.push(found.ok_or_else(|| Error::unknown("student", id))?);
        }
        let times = Times::at(school.plan().settled());
        let world = &mut school.world;
        let (class, period) = (world.classes.len(), world.periods.len());
        world.periods.push(Period {
            name: format!("{}:{}", new.date.weekday(), period + 1),
            weekday: u8::try_from(day).unwrap_or_default(),
            start: new.start,
            end: new.end,
        });
        world.classes.push(Class {
            name: format!("Extra {}", class + 1),
            subject: None,
            teacher: None,
            room: 0,
            slots: Vec::new(),
            times,
        });
        for n in students {
            if let Some(student) = world.students.get_mut(n) {
                student.classes.push(class);
            }
        }
        let lessons = world.week.get_mut(day).ok_or_else(impossible)?;
        let place = lessons.len();
        lessons.push((class, period));
        school.lesson_id(new.date, place).ok_or_else(impossible)
    }
}

fn find(school: &School, code: &str) -> Result<usize, Error> {
    school
        .find_letter(code)
        .or_else(|| school.find_code(code))
        .ok_or_else(|| Error::unknown("attendance code", code))
}

fn set(school: &mut School, n: usize, change: CodeChange) {
    if let Some(code) = school.codes.get_mut(n) {
        code.listed = change.listed.unwrap_or(code.listed);
        code.active = change.active.or(code.active);
        code.start_date = change.start_date.or(code.start_date);
    }
}
