//! The school's day: periods, rooms and lessons.

use chrono::{DateTime, NaiveTime, Utc};
use serde::Deserialize;

use super::{Included, group::Class, people::Employee};
use crate::{
    ClassId, LessonId, PeriodId, RoomId, SubjectId,
    wire::{clock, flag, instant, text},
};

/// A period of the school's week \[T\].
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[non_exhaustive]
pub struct Period {
    /// The period's id.
    pub id: PeriodId,
    /// The MIS's own key.
    #[serde(default, deserialize_with = "text")]
    pub mis_id: Option<String>,
    /// Its name.
    #[serde(default, deserialize_with = "text")]
    pub name: Option<String>,
    /// The start in the school's local time, unlike a lesson's.
    #[serde(default, deserialize_with = "clock")]
    pub start_time: Option<NaiveTime>,
    /// The end in the school's local time.
    #[serde(default, deserialize_with = "clock")]
    pub end_time: Option<NaiveTime>,
    /// The day of the week, in the MIS's words.
    #[serde(default, deserialize_with = "text")]
    pub day: Option<String>,
}

/// A room.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[non_exhaustive]
pub struct Room {
    /// The room's id.
    pub id: RoomId,
    /// The MIS's own key.
    #[serde(default, deserialize_with = "text")]
    pub mis_id: Option<String>,
    /// Its name.
    #[serde(default, deserialize_with = "text")]
    pub name: Option<String>,
    /// Its short name.
    #[serde(default, deserialize_with = "text")]
    pub code: Option<String>,
}

/// A subject \[T\].
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct Subject {
    /// The subject's id.
    pub id: SubjectId,
    /// The MIS's own key.
    #[serde(default, deserialize_with = "text")]
    pub mis_id: Option<String>,
    /// Its name.
    #[serde(default, deserialize_with = "text")]
    pub name: Option<String>,
    /// Its short name.
    #[serde(default, deserialize_with = "text")]
    pub code: Option<String>,
    /// Whether it is taught.
    #[serde(default, deserialize_with = "flag")]
    pub active: Option<bool>,
    /// When Wonde first had the record.
    #[serde(default, deserialize_with = "instant")]
    pub created_at: Option<DateTime<Utc>>,
    /// When Wonde last saw it change.
    #[serde(default, deserialize_with = "instant")]
    pub updated_at: Option<DateTime<Utc>>,
}

/// A lesson: a class at a time \[T\].
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[non_exhaustive]
pub struct Lesson {
    /// The lesson's id.
    pub id: LessonId,
    /// The MIS's own key.
    #[serde(default, deserialize_with = "text")]
    pub mis_id: Option<String>,
    /// The class.
    #[serde(default)]
    pub class: Included<Class>,
    /// The room.
    #[serde(default)]
    pub room: Included<Room>,
    /// The period of the week.
    #[serde(default)]
    pub period: Included<Period>,
    /// The teacher.
    #[serde(default)]
    pub employee: Included<Employee>,
    /// The period on this date: a number \[T\] or a string \[C\] on the wire. SIMS stores marks per period instance,
    /// not per lesson \[T\].
    #[serde(default, deserialize_with = "text")]
    pub period_instance_id: Option<String>,
    /// The start in UTC; a period's `start_time` is local \[T\].
    #[serde(default, deserialize_with = "instant")]
    pub start_at: Option<DateTime<Utc>>,
    /// The end in UTC.
    #[serde(default, deserialize_with = "instant")]
    pub end_at: Option<DateTime<Utc>>,
    /// Whether it replaces another lesson \[T\].
    #[serde(default, deserialize_with = "flag")]
    pub alternative: Option<bool>,
    /// When Wonde first had the record.
    #[serde(default, deserialize_with = "instant")]
    pub created_at: Option<DateTime<Utc>>,
    /// When Wonde last saw it change.
    #[serde(default, deserialize_with = "instant")]
    pub updated_at: Option<DateTime<Utc>>,
    /// Whether it is cancelled. The property's name and existence are a guess \[?\].
    #[serde(default, deserialize_with = "flag")]
    pub cancelled: Option<bool>,
    /// Whether a register is taken in it. The property's name and existence are a guess \[?\].
    #[serde(default, deserialize_with = "flag")]
    pub registered: Option<bool>,
    /// Its status in the MIS's words. The property's name and existence are a guess \[?\].
    #[serde(default, deserialize_with = "text")]
    pub status: Option<String>,
}

impl Lesson {
    /// Whether marks may be written for it, as far as is known: it is not cancelled, and a register is taken.
    pub fn takes_marks(&self) -> bool {
        let word = self
            .status
            .as_deref()
            .map(|word| word.trim().to_ascii_lowercase());
        let called_off = matches!(word.as_deref(), Some("cancelled" | "canceled"));
        !called_off && self.cancelled != Some(true) && self.registered != Some(false)
    }

    /// The id of the class that is taught.
    pub fn class_id(&self) -> Option<ClassId> {
        self.class.id().cloned()
    }

    /// The id of the period of the week.
    pub fn period_id(&self) -> Option<PeriodId> {
        self.period.id().cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::Lesson;

    #[test]
    fn a_lesson_takes_marks_by_default() {
        for (more, takes) in [
            ("", true),
            (
                r#", "cancelled": null, "registered": null, "status": "planned""#,
                true,
            ),
            (r#", "cancelled": true"#, false),
            (r#", "registered": 0"#, false),
            (r#", "status": "Cancelled""#, false),
        ] {
            let lesson: Lesson = serde_json::from_str(&format!(r#"{{"id": "A1"{more}}}"#)).unwrap();
            assert_eq!(lesson.takes_marks(), takes, "{more}");
        }
    }
}
