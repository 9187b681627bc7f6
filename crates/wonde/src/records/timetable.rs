//! The school's day: periods, rooms and lessons.

use chrono::{DateTime, NaiveTime, Utc};
use serde::Deserialize;

use super::{Included, group::Class, people::Employee};
use crate::{
    ClassId, LessonId, PeriodId, RoomId,
    wire::{clock, instant, text},
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
    /// Its beginning by the school's own clock, unlike a lesson's.
    #[serde(default, deserialize_with = "clock")]
    pub start_time: Option<NaiveTime>,
    /// Its end by the school's own clock.
    #[serde(default, deserialize_with = "clock")]
    pub end_time: Option<NaiveTime>,
    /// The day of the week, in the MIS's word.
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

/// A lesson: a class at a time \[T\].
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[non_exhaustive]
pub struct Lesson {
    /// The lesson's id.
    pub id: LessonId,
    /// The MIS's own key.
    #[serde(default, deserialize_with = "text")]
    pub mis_id: Option<String>,
    /// Who is taught.
    #[serde(default)]
    pub class: Included<Class>,
    /// Where.
    #[serde(default)]
    pub room: Included<Room>,
    /// In which period of the week.
    #[serde(default)]
    pub period: Included<Period>,
    /// By whom.
    #[serde(default)]
    pub employee: Included<Employee>,
    /// The period on this very day. SIMS keeps marks by it, not by the lesson \[T\].
    #[serde(default, deserialize_with = "text")]
    pub period_instance_id: Option<String>,
    /// The beginning. In UTC, where a period's `start_time` is local \[T\].
    #[serde(default, deserialize_with = "instant")]
    pub start_at: Option<DateTime<Utc>>,
    /// The end.
    #[serde(default, deserialize_with = "instant")]
    pub end_at: Option<DateTime<Utc>>,
}

impl Lesson {
    /// The id of the class that is taught.
    pub fn class_id(&self) -> Option<ClassId> {
        self.class.id().cloned()
    }

    /// The id of the period of the week.
    pub fn period_id(&self) -> Option<PeriodId> {
        self.period.id().cloned()
    }
}
