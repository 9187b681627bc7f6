//! The records of Wonde's responses. Unless stated otherwise, `None` means that a property is empty **or** that the
//! token may not see it: Wonde sends `null` for both \[D\].
//!
//! `Debug` of a person shows only the id.

use serde::{Deserialize, Deserializer, de::DeserializeOwned};

use crate::wire::relation::One;

pub(crate) mod attendance;
pub(crate) mod counts;
pub(crate) mod doctor;
pub(crate) mod failures;
pub(crate) mod group;
pub(crate) mod open;
pub(crate) mod people;
pub(crate) mod school;
pub(crate) mod status;
pub(crate) mod student;
pub(crate) mod timetable;
pub(crate) mod writeback;

/// Writes a `Debug` that shows the named fields and says that there are more.
macro_rules! debug_only {
    ($($record:ident { $($field:ident),* })+) => {$(
        impl std::fmt::Debug for $record {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_struct(stringify!($record))$(.field(stringify!($field), &self.$field))*.finish_non_exhaustive()
            }
        }
    )+};
}
pub(crate) use debug_only;

/// A record that other records can reference by its id.
pub trait Record: DeserializeOwned {
    /// The type of its id.
    type Id: From<String>;

    /// Its id.
    fn id(&self) -> &Self::Id;
}

macro_rules! records {
    ($($record:ty => $id:ident),+ $(,)?) => {$(
        impl Record for $record {
            type Id = crate::$id;

            fn id(&self) -> &Self::Id {
                &self.id
            }
        }
    )+};
}

records! {
    school::School => SchoolId,
    student::Student => StudentId,
    people::Employee => EmployeeId,
    people::Contact => ContactId,
    group::Group => GroupId,
    group::Class => ClassId,
    timetable::Period => PeriodId,
    timetable::Room => RoomId,
    timetable::Subject => SubjectId,
    timetable::Lesson => LessonId,
    attendance::AttendanceCode => AttendanceCodeId,
    doctor::Doctor => DoctorId,
}

/// A related record: an id unless it was requested with `include` \[T\].
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub enum Included<T: Record> {
    /// None, or not allowed.
    #[default]
    Absent,
    /// The id alone.
    Id(T::Id),
    /// The record itself.
    Full(Box<T>),
}

impl<T: Record> Included<T> {
    /// The id, whichever form it has.
    pub fn id(&self) -> Option<&T::Id> {
        match self {
            Self::Absent => None,
            Self::Id(id) => Some(id),
            Self::Full(record) => Some(record.id()),
        }
    }

    /// The record itself, if it was included.
    pub fn get(&self) -> Option<&T> {
        match self {
            Self::Full(record) => Some(record),
            Self::Absent | Self::Id(_) => None,
        }
    }

    /// The record itself, if it was included.
    pub fn into_full(self) -> Option<T> {
        match self {
            Self::Full(record) => Some(*record),
            Self::Absent | Self::Id(_) => None,
        }
    }

    /// Whether there is neither an id nor a record.
    pub fn is_absent(&self) -> bool {
        matches!(self, Self::Absent)
    }
}

impl<'de, T: Record> Deserialize<'de> for Included<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Boxed at once: records contain records, and parsing one must not need stack space for all of them.
        Ok(match One::<Box<T>>::deserialize(deserializer)? {
            One::Absent => Self::Absent,
            One::Id(id) => Self::Id(id.into()),
            One::Full(record) => Self::Full(record),
        })
    }
}
