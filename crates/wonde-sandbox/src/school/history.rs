//! The initial register: the days before, and absences known in advance.

use chrono::{Days, NaiveDate, TimeDelta};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::School;
use crate::mis::Register;
use crate::register::{Entry, Key, Slot};
use crate::world::timetable::{self, Lesson};
use crate::world::{Plan, night};

/// Fills the registers of the days before, and adds some absences on the first day.
pub(crate) fn write(school: &mut School, plan: &Plan) {
    let mut rng = plan.chance(5);
    let mut day = plan.today;
    let mut past = Vec::new();
    while past.len() < school.ground.history_days as usize {
        day = day - Days::new(1);
        if timetable::weekday(day).is_some() {
            past.push(day);
        }
    }
    for day in past.into_iter().rev() {
        for student in 0..school.world.students.len() {
            register(school, student, day, &mut rng, true);
        }
        seen(school, day);
    }
    if timetable::weekday(plan.today).is_some() {
        for student in 0..school.world.students.len() {
            register(school, student, plan.today, &mut rng, false);
        }
        seen(school, plan.today);
    }
}

/// A day's marks appeared in the API's copy in the following night, or at the start if that was earlier.
fn seen(school: &mut School, day: NaiveDate) {
    let at = (night(day) + TimeDelta::days(i64::from(day < school.ground.today)))
        .min(school.ground.start);
    school.copy(at);
}

/// Both sessions of one pupil. Without `taken`, only a known absence is entered (3 pupils in 100).
fn register(
    school: &mut School,
    student: usize,
    day: NaiveDate,
    rng: &mut ChaCha8Rng,
    taken: bool,
) {
    let lot = rng.random_range(0..100u32);
    let on_roll = school
        .world
        .students
        .get(student)
        .is_some_and(|s| s.on_roll(day));
    if !on_roll || (!taken && lot >= 3) {
        return;
    }
    let (morning, afternoon) = match lot {
        0 => (Some("M"), taken.then_some("\\")),
        1 | 2 => (Some("I"), Some("I")),
        3 => (Some("L"), Some("\\")),
        _ => (Some("/"), Some("\\")),
    };
    let at = night(day);
    let comment = (lot == 0).then_some("Orthodontist");
    for (code, slots) in [
        (morning, slots(school, student, day, true)),
        (afternoon, slots(school, student, day, false)),
    ] {
        let Some(code) = code.and_then(|c| school.find_letter(c)) else {
            continue;
        };
        for slot in slots {
            let entry = Entry {
                code: u16::try_from(code).ok(),
                comment: comment.filter(|_| school.shape.comment).map(Into::into),
                minutes_late: None,
                employee: None,
            };
            let key = Key {
                student: u32::try_from(student).unwrap_or_default(),
                date: day,
                slot,
            };
            school.teacher_sets(key, Some(entry), at);
        }
    }
}

/// Where this MIS stores a session: one session mark, or every lesson in it.
fn slots(school: &School, student: usize, day: NaiveDate, morning: bool) -> Vec<Slot> {
    if school.shape.register == Register::Session {
        return vec![if morning {
            Slot::Morning
        } else {
            Slot::Afternoon
        }];
    }
    let slot = if morning {
        Slot::Morning
    } else {
        Slot::Afternoon
    };
    let of_session = |l: &Lesson| school.session_of(l) == Some(slot);
    school
        .world
        .pupils_lessons(student, day)
        .filter(of_session)
        .filter_map(|l| u16::try_from(l.place).ok().map(Slot::Lesson))
        .collect()
}
