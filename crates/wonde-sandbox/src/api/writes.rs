//! Registers, and the outcome of their writebacks.

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use serde_json::{Map, Value, json};

use super::{Request, allowed, approved};
use crate::ids::Kind;
use crate::inner::Bearer;
use crate::mis::Register;
use crate::register::{Entry, Key, Slot};
use crate::reply::{Rejection, Reply};
use crate::school::School;
use crate::wire::{View, data, writeback_id};
use crate::writeback::{State, Writeback};

/// Accepts a register of session marks.
pub(crate) fn sessions(request: &Request<'_>) -> Reply {
    write(request, Register::Session)
}

/// Accepts a register of lesson marks.
pub(crate) fn lessons(request: &Request<'_>) -> Reply {
    write(request, Register::Lesson)
}

fn write(request: &Request<'_>, sort: Register) -> Reply {
    let n = allowed(request)?;
    let body: Value =
        serde_json::from_slice(request.body).map_err(|_| Rejection::invalid_json())?;
    let inner = request.inner;
    let Some(mut school) = inner.awake(n, request.now) else {
        return Err(Rejection::not_found("school"));
    };
    if school.region != request.region {
        return Ok(json!({"data": []}));
    }
    approved(&school)?;
    if !school.granted("attendance.write") {
        return Err(Rejection::forbidden("writing attendance"));
    }
    let marks = list(&body, inner.options.register_max)?;
    let count = marks.len();
    let read = Reader {
        school: &school,
        now: request.now,
        sort,
        partial: inner.options.partial,
    }
    .marks(marks)?;
    let writeback = Writeback {
        sort,
        accepted: request.now,
        due: request.now + inner.write_delay(),
        fate: request.fate.clone(),
        state: State::Open,
        settled: None,
        message: None,
        errors: read.errors,
        marks: read.marks,
        count,
    };
    let number = school.accept(writeback);
    let id = writeback_id(&school, number);
    inner.counts.marks(count);
    // Without a delay the register is in the MIS before the response is sent.
    school.wake(request.now);
    Ok(json!({ "writeback_id": id }))
}

/// The outcome of a register.
pub(crate) fn status(request: &Request<'_>, id: &str) -> Reply {
    let missing = || Rejection::not_found("writeback");
    let n = allowed(request).map_err(|r| if r.status == 404 { missing() } else { r })?;
    let school = request.inner.awake(n, request.now).ok_or_else(missing)?;
    if school.region != request.region {
        return Err(missing());
    }
    approved(&school)?;
    let (_, number) = school
        .ground
        .ids
        .read(id, Kind::Writeback)
        .ok_or_else(missing)?;
    let writeback = school.writebacks.get(number).ok_or_else(missing)?;
    let view = View {
        school: &school,
        now: request.now,
    };
    Ok(data(view.writeback(number, writeback)))
}

/// All writebacks of the schools that the token gives access to, the newest of each school first.
pub(crate) fn all(request: &Request<'_>) -> Reply {
    request.query.only(&[])?;
    let of_school = |n| {
        let seen = matches!(request.bearer, Bearer::All) || request.bearer == Bearer::School(n);
        let used = request.inner.asleep(n).is_some_and(|s| s.writebacks.any());
        let school = (seen && used).then(|| request.inner.awake(n, request.now));
        let Some(school) = school.flatten() else {
            return Vec::new();
        };
        if school.region != request.region || approved(&school).is_err() {
            return Vec::new();
        }
        let view = View {
            school: &school,
            now: request.now,
        };
        let rows = school.writebacks.newest_first();
        rows.map(|(number, writeback)| view.writeback(number, writeback))
            .collect()
    };
    // This is lazy: only the schools up to the end of the page are read.
    let rows = (0..request.inner.school_count()).flat_map(of_school);
    request.root_list().page((0..).zip(rows), |row| row)
}

fn list(body: &Value, max: Option<usize>) -> Result<&[Value], Rejection> {
    let reject =
        |message: &str| Rejection::invalid(&[("attendance".to_owned(), message.to_owned())]);
    let object = body
        .as_object()
        .ok_or_else(|| reject("The body must be an object with attendance."))?;
    if let Some(key) = object.keys().find(|k| *k != "attendance") {
        return Err(Rejection::invalid(&[(
            key.clone(),
            "This field is not known.".to_owned(),
        )]));
    }
    let list = object
        .get("attendance")
        .and_then(Value::as_array)
        .ok_or_else(|| reject("The attendance field must be a list."))?;
    match max {
        _ if list.is_empty() => Err(reject("The attendance field is required.")),
        Some(max) if list.len() > max => {
            Err(reject(&format!("A register can have at most {max} marks.")))
        }
        _ => Ok(list),
    }
}

#[derive(Default)]
struct Read {
    marks: Vec<(usize, Key, Entry)>,
    errors: Vec<(usize, String)>,
}

/// Why a mark is rejected.
struct Bad {
    field: &'static str,
    message: &'static str,
    /// The mark is well-formed but refers to a record that this school does not have.
    foreign: bool,
}

fn malformed(field: &'static str, message: &'static str) -> Bad {
    Bad {
        field,
        message,
        foreign: false,
    }
}

fn foreign(field: &'static str, message: &'static str) -> Bad {
    Bad {
        field,
        message,
        foreign: true,
    }
}

struct Reader<'a> {
    school: &'a School,
    now: DateTime<Utc>,
    sort: Register,
    partial: bool,
}

impl Reader<'_> {
    /// All marks, or all errors: one bad mark rejects the register, unless `partial` accepts foreign ones.
    fn marks(&self, list: &[Value]) -> Result<Read, Rejection> {
        let mut read = Read::default();
        let mut errors = Vec::new();
        for (place, value) in list.iter().enumerate() {
            match self.mark(value) {
                Ok((key, entry)) => read.marks.push((place, key, entry)),
                Err(bad) if bad.foreign && self.partial => {
                    read.errors.push((place, bad.message.to_owned()))
                }
                Err(bad) => errors.push((
                    format!("attendance.{place}.{}", bad.field),
                    bad.message.to_owned(),
                )),
            }
        }
        if errors.is_empty() {
            Ok(read)
        } else {
            Err(Rejection::invalid(&errors))
        }
    }

    fn mark(&self, value: &Value) -> Result<(Key, Entry), Bad> {
        let map = value
            .as_object()
            .ok_or(malformed("mark", "Each mark must be an object."))?;
        self.only_known(map)?;
        let student = text(map, "student_id")?;
        let code = text(map, "attendance_code_id")?;
        let (date, slot) = match self.sort {
            Register::Session => session(map)?,
            Register::Lesson => self.lesson(map)?,
        };
        let entry = Entry {
            comment: comment(map)?.map(Into::into),
            minutes_late: minutes(map)?,
            employee: self.employee(map)?,
            code: Some(
                self.school
                    .find_code(code)
                    .and_then(|n| u16::try_from(n).ok())
                    .ok_or(foreign(
                        "attendance_code_id",
                        "The attendance code is not one of this school's.",
                    ))?,
            ),
        };
        let student = self
            .school
            .find_student(student, self.now)
            .and_then(|n| u32::try_from(n).ok())
            .ok_or(foreign("student_id", "The student is not at this school."))?;
        Ok((
            Key {
                student,
                date,
                slot,
            },
            entry,
        ))
    }

    fn only_known(&self, map: &Map<String, Value>) -> Result<(), Bad> {
        let place: &[&str] = match self.sort {
            Register::Session => &["date", "session", "employee_id"],
            Register::Lesson => &["lesson_id", "employee_id"],
        };
        let always = [
            "student_id",
            "attendance_code_id",
            "comment",
            "minutes_late",
        ];
        match map
            .keys()
            .find(|k| !always.contains(&k.as_str()) && !place.contains(&k.as_str()))
        {
            Some(_) => Err(malformed("mark", "The mark has a field that is not known.")),
            None => Ok(()),
        }
    }

    fn lesson(&self, map: &Map<String, Value>) -> Result<(NaiveDate, Slot), Bad> {
        let id = text(map, "lesson_id")?;
        let lesson = self.school.find_lesson(id).ok_or(foreign(
            "lesson_id",
            "The lesson is not one of this school's.",
        ))?;
        let place = u16::try_from(lesson.place)
            .map_err(|_| malformed("lesson_id", "The lesson is out of range."))?;
        Ok((lesson.date, Slot::Lesson(place)))
    }

    fn employee(&self, map: &Map<String, Value>) -> Result<Option<u32>, Bad> {
        let Some(value) = optional(map, "employee_id") else {
            return Ok(None);
        };
        let id = value
            .as_str()
            .ok_or(malformed("employee_id", "The employee must be an id."))?;
        self.school
            .find_employee(id)
            .and_then(|n| u32::try_from(n).ok())
            .map(Some)
            .ok_or(foreign(
                "employee_id",
                "The employee is not at this school.",
            ))
    }
}

/// An optional field; `null` counts as absent because some of Wonde's own clients send it.
fn optional<'a>(map: &'a Map<String, Value>, field: &str) -> Option<&'a Value> {
    map.get(field).filter(|value| !value.is_null())
}

fn text<'a>(map: &'a Map<String, Value>, field: &'static str) -> Result<&'a str, Bad> {
    map.get(field)
        .and_then(Value::as_str)
        .filter(|t| !t.is_empty())
        .ok_or(malformed(field, "This field is required and must be text."))
}

/// A date as `YYYY-MM-DD`.
pub(super) fn date(text: &str) -> Option<NaiveDate> {
    NaiveDate::parse_from_str(text, "%Y-%m-%d")
        .ok()
        .filter(|d| d.format("%Y-%m-%d").to_string() == text)
        .filter(|d| d.signed_duration_since(NaiveDate::default()).abs() < TimeDelta::days(40_000))
}

fn session(map: &Map<String, Value>) -> Result<(NaiveDate, Slot), Bad> {
    let wrong = malformed("date", "The date must be written as YYYY-MM-DD.");
    let date = text(map, "date")?;
    // Wonde's Ruby client sends midnight with a time zone.
    let day = match DateTime::parse_from_str(date, "%Y-%m-%d %H:%M:%S %z") {
        Ok(_) => date.get(..10).unwrap_or(date),
        Err(_) => date,
    };
    let date = self::date(day).ok_or(wrong)?;
    let slot = match text(map, "session")? {
        "AM" => Slot::Morning,
        "PM" => Slot::Afternoon,
        _ => return Err(malformed("session", "The session must be AM or PM.")),
    };
    Ok((date, slot))
}

fn comment(map: &Map<String, Value>) -> Result<Option<&str>, Bad> {
    match optional(map, "comment") {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.as_str()).filter(|t| !t.is_empty())),
        Some(_) => Err(malformed("comment", "The comment must be text.")),
    }
}

/// Minutes late, as a number or as its digits.
fn minutes(map: &Map<String, Value>) -> Result<Option<u16>, Bad> {
    let Some(value) = optional(map, "minutes_late") else {
        return Ok(None);
    };
    let digits = |text: &str| {
        text.bytes()
            .all(|b| b.is_ascii_digit())
            .then(|| text.parse().ok())?
    };
    value
        .as_u64()
        .or_else(|| value.as_str().and_then(digits))
        .and_then(|n| u16::try_from(n).ok())
        .filter(|n| *n <= 1_440)
        .map(Some)
        .ok_or(malformed(
            "minutes_late",
            "Minutes late must be a whole number from 0 to 1440.",
        ))
}
