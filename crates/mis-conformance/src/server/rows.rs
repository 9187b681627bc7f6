//! Rows in Wonde's format.

use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use serde_json::{Map, Value, json};

use super::kept::Kept;
use crate::standard::{self, CalledOff, Lesson, Repeated, Sort};

/// A time in Wonde's format.
pub(super) fn time(instant: DateTime<Utc>) -> Value {
    json!({"date": instant.format("%Y-%m-%d %H:%M:%S%.6f").to_string(), "timezone_type": 3, "timezone": "UTC"})
}

fn day(date: NaiveDate) -> Value {
    json!({"date": format!("{date} 00:00:00.000000"), "timezone_type": 3, "timezone": "Europe/London"})
}

pub(super) fn codes(school: u8, letters: &str, repeated: &[Repeated]) -> Vec<Value> {
    let line = |id: Option<String>| json!({"id": id, "code": letters, "description": format!("Code {letters}"), "type": "STATUTORY"});
    let mut lines = vec![line(standard::code_id(school, letters))];
    if let Some(repeated) = repeated.iter().find(|one| one.letters == letters) {
        lines.push(line(standard::second_id(school, letters)));
        for (line, active) in lines.iter_mut().zip(repeated.active) {
            if let (Some(line), Some(active)) = (line.as_object_mut(), active) {
                line.insert("active".to_owned(), json!(active));
            }
        }
    }
    lines
}

/// The entries of a school's calendar, on more than one page.
pub(super) fn events(school: u8) -> Vec<Value> {
    let day = |n: usize| standard::calendar_day(n);
    (0..standard::CALENDAR_DAYS)
        .map(|n| {
            json!({
                "id": format!("E{school}00{n}"), "mis_id": n.to_string(), "name": standard::calendar_name(n),
                "description": null, "location": null, "all_day": true,
                "start_at": format!("{}", day(n)), "end_at": format!("{}", day(n)),
            })
        })
        .chain([json!({
            "id": format!("E{school}100"), "mis_id": "100", "name": "Open evening", "description": null, "location": "Hall",
            "all_day": false,
            "start_at": time(day(0).and_time(NaiveTime::from_hms_opt(17, 0, 0).unwrap_or_default()).and_utc()),
            "end_at": time(day(0).and_time(NaiveTime::from_hms_opt(19, 0, 0).unwrap_or_default()).and_utc()),
        })])
        .collect()
}

/// A pupil with the requested includes.
pub(super) fn student(school: u8, pupil: usize, includes: &[&str]) -> Value {
    let mut row = Map::from_iter([
        (
            "id".to_owned(),
            json!(standard::id(school, Sort::Student, pupil)),
        ),
        ("upi".to_owned(), json!(format!("upi-{pupil}"))),
        ("mis_id".to_owned(), json!(pupil.to_string())),
        ("surname".to_owned(), json!(standard::SURNAME)),
        (
            "forename".to_owned(),
            json!(format!("{}{pupil}", standard::FORENAME)),
        ),
    ]);
    for include in includes {
        let value = match *include {
            "education_details" => {
                json!({"admission_date": day(joined()), "leaving_date": null, "current_nc_year": "8"})
            }
            "year" => group(school, "YEAR", "Year 8"),
            "registration" => group(school, "REGISTRATION", "8Q"),
            "classes" => standard::classes(pupil)
                .iter()
                .map(|class| class_row(school, *class))
                .collect(),
            _ => continue,
        };
        row.insert((*include).to_owned(), json!({"data": value}));
    }
    Value::Object(row)
}

/// The day on which every pupil and member of staff joined.
pub(crate) fn joined() -> NaiveDate {
    NaiveDate::from_ymd_opt(2025, 9, 1).unwrap_or_default()
}

fn class_row(school: u8, class: usize) -> Value {
    json!({"id": standard::id(school, Sort::Class, class), "mis_id": class.to_string(), "name": format!("Class {class}")})
}

/// The types and names of a school's groups.
pub(crate) const GROUPS: [(&str, &str); 4] = [
    ("YEAR", "Year 8"),
    ("REGISTRATION", "8Q"),
    ("HOUSE", "Oak"),
    ("MISC", "Chess club"),
];

pub(super) fn group(school: u8, kind: &str, name: &str) -> Value {
    let n = GROUPS
        .iter()
        .position(|group| *group == (kind, name))
        .map_or(99, |place| place + 1);
    json!({"id": standard::id(school, Sort::Group, n), "mis_id": n.to_string(), "name": name, "code": name, "type": kind})
}

pub(super) fn employee(school: u8, n: usize, includes: &[&str]) -> Value {
    let mut row = json!({
        "id": standard::id(school, Sort::Employee, n),
        "upi": format!("upi-staff-{n}"),
        "mis_id": n.to_string(),
        "surname": standard::SURNAME,
        "forename": standard::FORENAME,
    });
    if includes.contains(&"employment_details")
        && let Some(row) = row.as_object_mut()
    {
        let details = json!({"current": true, "teaching_staff": true, "employment_start_date": day(joined()), "employment_end_date": null});
        row.insert("employment_details".to_owned(), json!({"data": details}));
    }
    row
}

pub(super) fn contact(school: u8, n: usize) -> Value {
    json!({
        "id": standard::id(school, Sort::Contact, n),
        "upi": format!("upi-contact-{n}"),
        "mis_id": n.to_string(),
        "surname": standard::SURNAME,
        "forename": standard::FORENAME,
    })
}

pub(super) fn deletion(school: u8, kind: &str, n: usize) -> Value {
    let gone = time(standard::ten_past_nine(joined(), chrono_tz::Tz::UTC));
    json!({"type": kind, "id": standard::id(school, Sort::Student, n), "mis_id": n.to_string(), "deleted_at": gone, "restored_at": null})
}

pub(super) fn lesson(school: u8, lesson: &Lesson) -> Value {
    let mut row = json!({
        "id": lesson.id,
        "class": standard::id(school, Sort::Class, lesson.class),
        "room": null,
        "period": null,
        "employee": null,
        "start_at": time(lesson.starts),
        "end_at": time(lesson.starts + chrono::TimeDelta::minutes(50)),
    });
    let said = match lesson.called_off {
        None => return row,
        Some(CalledOff::Cancelled) => ("cancelled", json!(true)),
        Some(CalledOff::Status) => ("status", json!("cancelled")),
        Some(CalledOff::Unregistered) => ("registered", json!(false)),
    };
    if let Some(row) = row.as_object_mut() {
        row.insert(said.0.to_owned(), said.1);
    }
    row
}

/// The common fields of rows of both kinds of register.
fn mark(kept: &Kept, place: usize) -> Map<String, Value> {
    Map::from_iter([
        ("id".to_owned(), json!(format!("M{place}"))),
        ("date".to_owned(), day(kept.date)),
        ("student".to_owned(), json!(kept.student)),
        (
            "attendance_code".to_owned(),
            json!(Some(&kept.code).filter(|code| !code.is_empty())),
        ),
        ("employee".to_owned(), Value::Null),
        ("comment".to_owned(), json!(kept.comment)),
        ("minutes_late".to_owned(), json!(kept.minutes_late)),
        ("created_at".to_owned(), time(kept.changed)),
        ("updated_at".to_owned(), time(kept.changed)),
    ])
}

pub(super) fn session_mark(kept: &Kept, place: usize) -> Value {
    let mut row = mark(kept, place);
    row.insert("session".to_owned(), json!(kept.session.as_str()));
    Value::Object(row)
}

pub(super) fn lesson_mark(kept: &Kept, lesson: &str, place: usize) -> Value {
    let mut row = mark(kept, place);
    row.insert("lesson".to_owned(), json!(lesson));
    Value::Object(row)
}
