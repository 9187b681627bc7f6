//! Attendance: codes, marks, writebacks and summaries.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};

use super::{View, data};
use crate::codes::Code;
use crate::ids::{Ids, Kind};
use crate::mis::Register;
use crate::query::Includes;
use crate::register::{Copied, Key, Slot};
use crate::school::School;
use crate::writeback::{Fate, Writeback};

/// A code of the API's own list; its id belongs to no school.
pub(crate) fn global_code(ids: &Ids, n: usize, code: &Code) -> Value {
    let n = u32::try_from(n).unwrap_or(u32::MAX);
    json!({
        "id": ids.text(crate::ids::MAX_SCHOOLS, Kind::Code, n),
        "code": code.letter,
        "description": code.description,
        "type": code.kind,
    })
}

/// The words for a session.
pub(crate) fn session(slot: Slot) -> Option<&'static str> {
    match slot {
        Slot::Morning => Some("AM"),
        Slot::Afternoon => Some("PM"),
        Slot::Lesson(_) => None,
    }
}

/// A mark in the API's copy.
pub(crate) struct Row<'a> {
    pub(crate) number: u32,
    pub(crate) key: &'a Key,
    pub(crate) copied: &'a Copied,
}

impl View<'_> {
    /// A code of the school's book.
    pub(crate) fn code(&self, n: usize) -> Value {
        let Some(code) = self.school.codes.get(n) else {
            return Value::Null;
        };
        let mut row = json!({
            "id": self.school.code_id(n),
            "mis_id": (n + 1).to_string(),
            "code": code.letter,
            "description": code.description,
            "type": code.kind,
        });
        if let Some(active) = code.active {
            row["active"] = json!(active);
        }
        if let Some(date) = code.start_date {
            row["start_date"] = self.date(date);
        }
        row
    }

    /// A session's mark.
    pub(crate) fn session_mark(&self, row: &Row<'_>, includes: &Includes) -> Value {
        let mut map = self.mark(row, Kind::SessionMark, includes);
        map.insert("date".into(), self.date(row.key.date));
        map.insert("session".into(), json!(session(row.key.slot)));
        self.veil("attendance-session", &mut map);
        Value::Object(map)
    }

    /// A lesson's mark.
    pub(crate) fn lesson_mark(&self, row: &Row<'_>, includes: &Includes) -> Value {
        let mut map = self.mark(row, Kind::LessonMark, includes);
        let lesson = match row.key.slot {
            Slot::Lesson(place) => self.school.world.lesson(row.key.date, usize::from(place)),
            _ => None,
        };
        let value = match (includes.get("lesson"), &lesson) {
            (Some(below), Some(lesson)) => data(self.lesson(lesson, below)),
            (_, Some(lesson)) => json!(self.school.lesson_id(lesson.date, lesson.place)),
            (_, None) => Value::Null,
        };
        map.insert("lesson".into(), value);
        self.veil("attendance-lesson", &mut map);
        Value::Object(map)
    }

    fn mark(&self, row: &Row<'_>, kind: Kind, includes: &Includes) -> Map<String, Value> {
        let school = self.school;
        let entry = &row.copied.entry;
        let (student, code) = (row.key.student as usize, entry.code.map(usize::from));
        let employee = entry.employee.map(|e| e as usize);
        let mut map = Map::new();
        map.insert("id".into(), json!(school.id(kind, row.number as usize)));
        map.insert(
            "student".into(),
            match includes.get("student") {
                Some(below) => data(self.student(student, below)),
                None => json!(school.id(Kind::Student, student)),
            },
        );
        map.insert(
            "employee".into(),
            match (includes.get("employee"), employee) {
                (Some(below), Some(e)) => data(self.employee(e, below)),
                (Some(_), None) => self.nowhere(),
                (None, e) => json!(e.map(|e| school.id(Kind::Employee, e))),
            },
        );
        map.insert(
            "attendance_code".into(),
            match (includes.get("attendance_code"), code) {
                (Some(_), Some(code)) => data(self.code(code)),
                (Some(_), None) => self.nowhere(),
                (None, code) => json!(code.map(|code| school.code_id(code))),
            },
        );
        map.insert("comment".into(), json!(entry.comment));
        if school.shape.minutes_late {
            map.insert("minutes_late".into(), json!(entry.minutes_late));
        }
        map.insert("created_at".into(), self.time(row.copied.created));
        map.insert("updated_at".into(), self.time(row.copied.updated));
        map
    }

    /// A pupil's attendance summary.
    pub(crate) fn summary(&self, student: usize, includes: &Includes) -> Value {
        let kinds = self.kinds(student);
        let mut map = json!({
            "id": self.school.id(Kind::Misc, SUMMARIES + student),
            "student": match includes.get("student") {
                Some(below) => data(self.student(student, below)),
                None => json!(self.school.id(Kind::Student, student)),
            },
            "possible_marks": kinds.possible,
            "present": kinds.present,
            "authorised_absences": kinds.authorised,
            "unauthorized_absences": kinds.unauthorised,
            "unexplained_absences": kinds.unexplained,
            "late_before_registration": kinds.late,
            "late_after_registration": kinds.late_after,
            "missing_marks": 0,
            "approved_education_activity": kinds.elsewhere,
            "attendance_not_required": kinds.not_required,
            "attendance_codes": kinds.codes,
            "created_at": self.time(self.school.plan().settled()),
            "updated_at": self.time(kinds.updated(self.school)),
        });
        if let Some(map) = map.as_object_mut() {
            self.veil("attendance-summaries", map);
        }
        map
    }

    /// The pupil whose summary has this id.
    pub(crate) fn summary_place(&self, id: &str) -> Option<usize> {
        self.school.place_of_misc(id)?.checked_sub(SUMMARIES)
    }

    /// Counts a pupil's marks in the copy.
    pub(crate) fn kinds(&self, student: usize) -> Kinds {
        let school = self.school;
        let mut kinds = Kinds::default();
        for (_, key, copied) in school.sessions.copies().chain(school.lessons.copies()) {
            let code = copied
                .entry
                .code
                .and_then(|n| school.codes.get(usize::from(n)));
            if let Some(code) = code.filter(|_| key.student as usize == student) {
                kinds.add(code, copied.updated);
            }
        }
        kinds
    }

    /// The outcome of a register.
    pub(crate) fn writeback(&self, number: u32, writeback: &Writeback) -> Value {
        let school = self.school;
        let errors: Vec<Value> = writeback
            .errors
            .iter()
            .map(|(place, why)| match writeback.fate {
                Fate::Lossy { named: false } => json!(why),
                _ => json!({"index": place, "message": why}),
            })
            .collect();
        json!({
            "id": writeback_id(school, number),
            "writeback_id": writeback_id(school, number),
            "school": school.id(Kind::School, 0),
            "type": sort(writeback.sort),
            "status": writeback.status(school.shape.words, self.now),
            "records": writeback.count,
            "message": writeback.message,
            "errors": errors,
            "created_at": self.time(writeback.accepted),
            "updated_at": self.time(writeback.settled.unwrap_or(writeback.accepted)),
        })
    }
}

/// A writeback's id.
pub(crate) fn writeback_id(school: &School, number: u32) -> String {
    school.id(Kind::Writeback, number as usize)
}

/// The type of a writeback.
pub(crate) fn sort(sort: Register) -> &'static str {
    match sort {
        Register::Session => "attendance_session",
        Register::Lesson => "attendance_lesson",
    }
}

/// The first number of summaries among ids of the kind `Misc`.
const SUMMARIES: usize = 1_000_000;

/// The number of a pupil's sessions of each kind.
#[derive(Clone, Debug, Default)]
pub(crate) struct Kinds {
    possible: u32,
    present: u32,
    late: u32,
    late_after: u32,
    authorised: u32,
    unauthorised: u32,
    unexplained: u32,
    elsewhere: u32,
    not_required: u32,
    codes: BTreeMap<&'static str, u32>,
    updated: Option<DateTime<Utc>>,
}

impl Kinds {
    fn add(&mut self, code: &Code, updated: DateTime<Utc>) {
        self.updated = self.updated.max(Some(updated));
        *self.codes.entry(code.letter).or_default() += 1;
        if code.kind == "ATTENDANCE_NOT_REQUIRED" {
            self.not_required += 1;
            return;
        }
        self.possible += 1;
        match (code.kind, code.letter) {
            ("LATE", _) => {
                self.present += 1;
                self.late += 1;
            }
            ("AUTHORISED_ABSENCE", _) => self.authorised += 1,
            ("UNAUTHORISED_ABSENCE", letter) => {
                self.unauthorised += 1;
                self.late_after += u32::from(letter == "U");
                self.unexplained += u32::from(letter == "N" || letter == "O");
            }
            ("APPROVED_EDUCATIONAL_ACTIVITY", _) => {
                self.present += 1;
                self.elsewhere += 1;
            }
            _ => self.present += 1,
        }
    }

    /// When the latest of the marks was copied.
    pub(crate) fn updated(&self, school: &School) -> DateTime<Utc> {
        self.updated.unwrap_or_else(|| school.plan().settled())
    }
}
