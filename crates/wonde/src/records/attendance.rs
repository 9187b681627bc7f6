//! Attendance codes, and the marks of registers.

use std::{collections::BTreeMap, fmt, str::FromStr};

use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};

use super::{Included, debug_only, people::Employee, student::Student, timetable::Lesson};
use crate::{
    AttendanceCodeId, AttendanceId, EmployeeId, LessonId, StudentId,
    wire::{day, detail, flag, instant, text, whole},
};

/// A code that a register may hold \[T\].
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[non_exhaustive]
pub struct AttendanceCode {
    /// The id that a write takes. Each school has its own ids.
    pub id: AttendanceCodeId,
    /// The letter or letters: `/`, `L`.
    #[serde(default, deserialize_with = "text")]
    pub code: Option<String>,
    /// The meaning, in the school's words.
    #[serde(default, deserialize_with = "text")]
    pub description: Option<String>,
    /// The kind of code; the values are not known \[?\].
    #[serde(default, rename = "type", deserialize_with = "text")]
    pub kind: Option<String>,
    /// Whether the school still uses it. The property's name and existence are a guess \[?\].
    #[serde(default, alias = "is_active", deserialize_with = "flag")]
    pub active: Option<bool>,
    /// The first day on which it may be used. The property's name and existence are a guess \[?\].
    #[serde(
        default,
        alias = "active_from",
        alias = "valid_from",
        deserialize_with = "day"
    )]
    pub start_date: Option<NaiveDate>,
    /// The last day on which it may be used. The property's name and existence are a guess \[?\].
    #[serde(
        default,
        alias = "active_to",
        alias = "valid_to",
        deserialize_with = "day"
    )]
    pub end_date: Option<NaiveDate>,
    /// When Wonde first had it \[?\].
    #[serde(default, deserialize_with = "instant")]
    pub created_at: Option<DateTime<Utc>>,
}

/// A pupil's sessions, counted \[T\].
#[derive(Clone, PartialEq, Deserialize)]
#[non_exhaustive]
pub struct AttendanceSummary {
    /// The row's id, where it has one.
    #[serde(default, deserialize_with = "text")]
    pub id: Option<String>,
    /// The pupil.
    #[serde(default)]
    pub student: Included<Student>,
    /// Sessions in which the pupil was expected.
    #[serde(default, deserialize_with = "whole")]
    pub possible_marks: Option<u32>,
    /// Sessions present.
    #[serde(default, deserialize_with = "whole")]
    pub present: Option<u32>,
    /// Sessions absent with leave.
    #[serde(default, deserialize_with = "whole")]
    pub authorised_absences: Option<u32>,
    /// Sessions absent without leave.
    #[serde(default, alias = "unauthorised_absences", deserialize_with = "whole")]
    pub unauthorized_absences: Option<u32>,
    /// Sessions absent for no known reason.
    #[serde(default, deserialize_with = "whole")]
    pub unexplained_absences: Option<u32>,
    /// Sessions late, before the register closed.
    #[serde(default, deserialize_with = "whole")]
    pub late_before_registration: Option<u32>,
    /// Sessions late, after the register closed.
    #[serde(default, deserialize_with = "whole")]
    pub late_after_registration: Option<u32>,
    /// Sessions without a mark.
    #[serde(default, deserialize_with = "whole")]
    pub missing_marks: Option<u32>,
    /// Sessions at an approved activity elsewhere.
    #[serde(default, deserialize_with = "whole")]
    pub approved_education_activity: Option<u32>,
    /// Sessions in which attendance was not required.
    #[serde(default, deserialize_with = "whole")]
    pub attendance_not_required: Option<u32>,
    /// The number of marks per code.
    #[serde(default, deserialize_with = "detail")]
    pub attendance_codes: Option<BTreeMap<String, u32>>,
}

/// Half a school day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Session {
    /// The morning.
    #[serde(rename = "AM", alias = "am")]
    Am,
    /// The afternoon.
    #[serde(rename = "PM", alias = "pm")]
    Pm,
}

impl Session {
    /// `AM` or `PM`, as on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Am => "AM",
            Self::Pm => "PM",
        }
    }
}

impl fmt::Display for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Neither `AM` nor `PM`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a session; write AM or PM")]
pub struct NotASession;

impl FromStr for Session {
    type Err = NotASession;

    fn from_str(word: &str) -> Result<Self, NotASession> {
        match word.trim().to_ascii_uppercase().as_str() {
            "AM" => Ok(Self::Am),
            "PM" => Ok(Self::Pm),
            _ => Err(NotASession),
        }
    }
}

/// The mark of one pupil in one session, as read \[T\]. Wonde's copy may be an hour or two behind the MIS \[T\].
#[derive(Clone, PartialEq, Deserialize)]
#[serde(from = "SessionRow")]
#[non_exhaustive]
pub struct SessionAttendance {
    /// The row's id.
    pub id: Option<AttendanceId>,
    /// The school day, without a time zone.
    pub date: Option<NaiveDate>,
    /// The session, if `session_word` is known.
    pub session: Option<Session>,
    /// The session in Wonde's word.
    pub session_word: Option<String>,
    /// The comment.
    pub comment: Option<String>,
    /// Whole minutes late \[?\].
    pub minutes_late: Option<u32>,
    /// The pupil.
    pub student: Included<Student>,
    /// The member of staff who made it.
    pub employee: Included<Employee>,
    /// The code.
    pub attendance_code: Included<AttendanceCode>,
    /// When Wonde first had the row.
    pub created_at: Option<DateTime<Utc>>,
    /// When Wonde last saw it change.
    pub updated_at: Option<DateTime<Utc>>,
}

/// The row on the wire, before its session is parsed.
#[derive(Deserialize)]
struct SessionRow {
    #[serde(default)]
    id: Option<AttendanceId>,
    #[serde(default, deserialize_with = "day")]
    date: Option<NaiveDate>,
    #[serde(default, deserialize_with = "text")]
    session: Option<String>,
    #[serde(default, deserialize_with = "text")]
    comment: Option<String>,
    #[serde(default, deserialize_with = "whole")]
    minutes_late: Option<u32>,
    #[serde(default)]
    student: Included<Student>,
    #[serde(default)]
    employee: Included<Employee>,
    #[serde(default)]
    attendance_code: Included<AttendanceCode>,
    #[serde(default, deserialize_with = "instant")]
    created_at: Option<DateTime<Utc>>,
    #[serde(default, deserialize_with = "instant")]
    updated_at: Option<DateTime<Utc>>,
}

impl From<SessionRow> for SessionAttendance {
    fn from(row: SessionRow) -> Self {
        Self {
            id: row.id,
            date: row.date,
            session: row.session.as_deref().and_then(|word| word.parse().ok()),
            session_word: row.session,
            comment: row.comment,
            minutes_late: row.minutes_late,
            student: row.student,
            employee: row.employee,
            attendance_code: row.attendance_code,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

/// The mark of one pupil in one lesson, as read. Its comment is documented \[D\]; the rest is assumed to be like that
/// of sessions \[?\].
#[derive(Clone, PartialEq, Deserialize)]
#[non_exhaustive]
pub struct LessonAttendance {
    /// The row's id.
    #[serde(default)]
    pub id: Option<AttendanceId>,
    /// The day, where it is given.
    #[serde(default, deserialize_with = "day")]
    pub date: Option<NaiveDate>,
    /// The comment.
    #[serde(default, deserialize_with = "text")]
    pub comment: Option<String>,
    /// Whole minutes late.
    #[serde(default, deserialize_with = "whole")]
    pub minutes_late: Option<u32>,
    /// The lesson.
    #[serde(default)]
    pub lesson: Included<Lesson>,
    /// The pupil.
    #[serde(default)]
    pub student: Included<Student>,
    /// The member of staff who made it.
    #[serde(default)]
    pub employee: Included<Employee>,
    /// The code.
    #[serde(default)]
    pub attendance_code: Included<AttendanceCode>,
    /// When Wonde first had the row.
    #[serde(default, deserialize_with = "instant")]
    pub created_at: Option<DateTime<Utc>>,
    /// When Wonde last saw it change.
    #[serde(default, deserialize_with = "instant")]
    pub updated_at: Option<DateTime<Utc>>,
}

macro_rules! mark_ids {
    ($($row:ident),+) => {$(
        impl $row {
            /// The id of the pupil whose mark it is.
            pub fn student_id(&self) -> Option<StudentId> {
                self.student.id().cloned()
            }

            /// The id of the mark's code.
            pub fn attendance_code_id(&self) -> Option<AttendanceCodeId> {
                self.attendance_code.id().cloned()
            }

            /// The id of who made the mark.
            pub fn employee_id(&self) -> Option<EmployeeId> {
                self.employee.id().cloned()
            }
        }
    )+};
}
mark_ids!(SessionAttendance, LessonAttendance);

impl LessonAttendance {
    /// The id of the lesson.
    pub fn lesson_id(&self) -> Option<LessonId> {
        self.lesson.id().cloned()
    }
}

/// A session mark to be written: an entry of `POST /schools/{id}/attendance/session` \[C\].
///
/// `None` is left out of the request.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct SessionMark {
    /// The pupil.
    pub student_id: StudentId,
    /// The school day.
    pub date: NaiveDate,
    /// The session.
    pub session: Session,
    /// The school's id of the code.
    pub attendance_code_id: AttendanceCodeId,
    /// A note with the mark. Not every MIS keeps it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// Whole minutes late. Not every MIS keeps them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub minutes_late: Option<u32>,
    /// The member of staff on whose behalf it is written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub employee_id: Option<EmployeeId>,
}

/// A lesson mark to be written: an entry of `POST /schools/{id}/attendance/lesson` \[C\].
///
/// `None` is left out of the request.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct LessonMark {
    /// The lesson.
    pub lesson_id: LessonId,
    /// The pupil.
    pub student_id: StudentId,
    /// The school's id of the code.
    pub attendance_code_id: AttendanceCodeId,
    /// A note with the mark \[T\].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// Whole minutes late \[T\].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub minutes_late: Option<u32>,
}

debug_only! {
    AttendanceSummary { id }
    SessionAttendance { id, date, session, minutes_late, student, attendance_code }
    LessonAttendance { id, date, lesson, minutes_late, student, attendance_code }
    SessionMark { student_id, date, session, attendance_code_id, minutes_late, employee_id }
    LessonMark { lesson_id, student_id, attendance_code_id, minutes_late }
}
