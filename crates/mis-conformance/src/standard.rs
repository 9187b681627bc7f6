//! The standard school that every adapter is tested with: its people, codes and lessons, and the marks to write.
//!
//! Schools are numbered from 1 and differ only in their ids and the order of their codes. An id is `A`, the school's
//! number, a digit for the type of record, and eight digits: pupil 3 of school 1 is `A1100000003`.

use chrono::{DateTime, NaiveDate, NaiveTime, TimeZone as _, Utc};
use chrono_tz::Tz;
use mis_wonde::{EventKind, Mark, Session, StudentId};

/// A Monday in winter, when London is on UTC.
pub(crate) const WINTER: NaiveDate = date(2026, 11, 23);
/// A Monday in summer, when London is an hour ahead of UTC.
pub(crate) const SUMMER: NaiveDate = date(2026, 6, 15);
/// The days that have lessons.
pub(crate) const DAYS: [NaiveDate; 2] = [WINTER, SUMMER];

/// Texts that must never appear in an error or a `Debug` text.
pub(crate) const SECRETS: [&str; 4] =
    ["quetzal-token", "Quillfeather", "Adalind", "Missed the bus"];
/// The comment of marks; the last of [`SECRETS`].
pub(crate) const COMMENT: &str = "Missed the bus";
/// The family name of every pupil; one of [`SECRETS`].
pub(crate) const SURNAME: &str = "Quillfeather";
/// The given name of every pupil begins with it; one of [`SECRETS`].
pub(crate) const FORENAME: &str = "Adalind";

/// The letters in each school's code book.
pub(crate) const CODES: [&str; 7] = ["/", "\\", "L", "U", "M", "I", "O"];
/// Letters that are in no school's code book.
pub(crate) const UNKNOWN_CODE: &str = "QQ";

/// The type of a record, the second digit of its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sort {
    School = 0,
    Student = 1,
    Code = 2,
    Class = 3,
    Lesson = 4,
    Employee = 5,
    Contact = 6,
    Group = 7,
}

/// The id of the `n`th record of a type at a school.
pub(crate) fn id(school: u8, sort: Sort, n: usize) -> String {
    format!("A{school}{}{n:08}", sort as u8)
}

/// The id of a school.
pub(crate) fn school_id(school: u8) -> String {
    id(school, Sort::School, 1)
}

/// The token that gives access to this school only.
pub(crate) fn token(school: u8) -> String {
    format!("quetzal-token-{school}")
}

/// The id of a code at a school; it differs between schools.
pub(crate) fn code_id(school: u8, letters: &str) -> Option<String> {
    let place = CODES.iter().position(|code| *code == letters)?;
    let n = if school % 2 == 1 {
        place + 1
    } else {
        CODES.len() - place
    };
    Some(id(school, Sort::Code, n))
}

/// A second code of a school with the same letters as one of [`CODES`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Repeated {
    pub(crate) letters: &'static str,
    /// The field `active` of the standard school's code, and of the second.
    pub(crate) active: [Option<bool>; 2],
}

/// The id of the second code with these letters.
pub(crate) fn second_id(school: u8, letters: &str) -> Option<String> {
    let place = CODES.iter().position(|code| *code == letters)?;
    Some(id(school, Sort::Code, 50 + place))
}

/// The classes, each with the local time of its lessons on every day of [`DAYS`].
const TIMETABLE: [(usize, u32, u32); 6] = [
    (HISTORY, 9, 0),
    (MATHS, 10, 0),
    (MATHS, 11, 15),
    (BAND, 12, 30),
    (SPORT, 13, 30),
    (ART, 14, 30),
];
const HISTORY: usize = 1;
const MATHS: usize = 2;
const BAND: usize = 3;
const SPORT: usize = 4;
const ART: usize = 5;

/// A pupil with several lessons in the morning and in the afternoon.
pub(crate) const ADA: usize = 1;
/// A pupil whose first lessons are not the school's first.
pub(crate) const BEN: usize = 2;
/// A pupil without a lesson in the morning.
pub(crate) const CEM: usize = 3;
/// A pupil whose first afternoon lesson begins at 12:30, which in summer is 11:30 UTC.
pub(crate) const DOT: usize = 4;
/// A pupil who has a mark before anything is written.
pub(crate) const EVE: usize = 5;
/// A pupil whose mark has a code that is not in the code book.
pub(crate) const FAY: usize = 6;
/// A pupil who has a note in the morning, but no mark.
pub(crate) const GUS: usize = 7;
/// Further pupils, with the same lessons as Eve.
pub(crate) const PUPILS: usize = 12;

/// The classes of a pupil.
pub(crate) fn classes(pupil: usize) -> &'static [usize] {
    match pupil {
        ADA => &[HISTORY, MATHS, SPORT, ART],
        BEN => &[MATHS, ART],
        CEM => &[SPORT],
        DOT => &[MATHS, BAND, SPORT],
        _ => &[HISTORY, SPORT],
    }
}

/// One lesson of a school.
#[derive(Clone, Debug)]
pub(crate) struct Lesson {
    pub(crate) id: String,
    pub(crate) class: usize,
    pub(crate) starts: DateTime<Utc>,
    pub(crate) date: NaiveDate,
    pub(crate) session: Session,
    /// How its row shows that it takes no marks, if it takes none.
    pub(crate) called_off: Option<CalledOff>,
}

/// How a row shows that a lesson takes no marks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CalledOff {
    Cancelled,
    Status,
    Unregistered,
}

/// All lessons of a school, unordered.
pub(crate) fn lessons(school: u8, zone: Tz) -> Vec<Lesson> {
    let mut lessons = Vec::new();
    for (day, date) in DAYS.into_iter().enumerate() {
        for (place, (class, hour, minute)) in TIMETABLE.into_iter().enumerate().rev() {
            let time = NaiveTime::from_hms_opt(hour, minute, 0).unwrap_or_default();
            let Some(starts) = zone.from_local_datetime(&date.and_time(time)).earliest() else {
                continue;
            };
            lessons.push(Lesson {
                id: id(school, Sort::Lesson, (day + 1) * 100 + place + 1),
                class,
                starts: starts.to_utc(),
                date,
                session: if hour < 12 { Session::Am } else { Session::Pm },
                called_off: None,
            });
        }
    }
    lessons
}

/// A pupil's first lesson in a session at the standard school.
pub(crate) fn first_lesson(
    lessons: &[Lesson],
    pupil: usize,
    date: NaiveDate,
    session: Session,
) -> Option<&Lesson> {
    lessons
        .iter()
        .filter(|lesson| {
            lesson.date == date
                && lesson.session == session
                && lesson.called_off.is_none()
                && classes(pupil).contains(&lesson.class)
        })
        .min_by_key(|lesson| lesson.starts)
}

/// A plain mark for a sign-in of pupil `n` of school 1 on the winter's day.
pub(crate) fn mark(pupil: usize, session: Session, code: &str) -> Mark {
    mark_at(1, pupil, WINTER, session, code)
}

/// A plain mark for a sign-in.
pub(crate) fn mark_at(
    school: u8,
    pupil: usize,
    date: NaiveDate,
    session: Session,
    code: &str,
) -> Mark {
    Mark {
        student: StudentId::new(id(school, Sort::Student, pupil)),
        date,
        session,
        code: code.into(),
        cause: EventKind::SignIn,
        comment: None,
        minutes_late: None,
        employee: None,
    }
}

/// The time of every clock in a case: ten past nine in the morning.
pub(crate) fn ten_past_nine(date: NaiveDate, zone: Tz) -> DateTime<Utc> {
    let time = NaiveTime::from_hms_opt(9, 10, 0).unwrap_or_default();
    zone.from_local_datetime(&date.and_time(time))
        .earliest()
        .map_or_else(|| date.and_time(time).and_utc(), |local| local.to_utc())
}

const fn date(year: i32, month: u32, day: u32) -> NaiveDate {
    match NaiveDate::from_ymd_opt(year, month, day) {
        Some(date) => date,
        None => NaiveDate::MIN,
    }
}

/// The number of whole days in the school's calendar.
pub(crate) const CALENDAR_DAYS: usize = 4;

/// The days in the school's calendar, a week apart.
pub(crate) fn calendar_day(n: usize) -> NaiveDate {
    WINTER + chrono::Days::new(7 * n as u64)
}

/// What happens on such a day.
pub(crate) fn calendar_name(n: usize) -> String {
    format!("Training day {n}")
}
