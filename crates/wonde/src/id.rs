//! Ids: opaque strings with a type per kind, so that a pupil's id cannot be used as a lesson's.

use std::{convert::Infallible, fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize};

use crate::wire::scalar;

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        ///
        /// Opaque: kept and compared as given. A string on the wire; a number is accepted too \[?\].
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// Creates an id from Wonde's text.
            pub fn new(id: impl Into<String>) -> Self {
                Self(id.into())
            }

            /// The id as Wonde returned it.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }

        impl FromStr for $name {
            type Err = Infallible;

            fn from_str(id: &str) -> Result<Self, Infallible> {
                Ok(Self(id.to_owned()))
            }
        }

        impl From<&str> for $name {
            fn from(id: &str) -> Self {
                Self(id.to_owned())
            }
        }

        impl From<String> for $name {
            fn from(id: String) -> Self {
                Self(id)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                scalar::id(deserializer).map(Self)
            }
        }
    )+};
}

ids! {
    /// A school's id.
    SchoolId,
    /// A pupil's id. It changes when the pupil enrols again; the record's `upi` stays \[T\].
    StudentId,
    /// A member of staff's id.
    EmployeeId,
    /// The id of a pupil's contact, such as a parent.
    ContactId,
    /// A group's id.
    GroupId,
    /// A class's id.
    ClassId,
    /// The id of a period of the school's day.
    PeriodId,
    /// A lesson's id.
    LessonId,
    /// The id of a room.
    RoomId,
    /// The id of a subject.
    SubjectId,
    /// The id of a pupil's doctor.
    DoctorId,
    /// The id of an attendance code at one school. A write takes it, not the letter, and ids differ between schools.
    AttendanceCodeId,
    /// The id of a row of a register.
    AttendanceId,
    /// The id of a submitted register.
    WritebackId,
}

#[cfg(test)]
mod tests {
    use super::StudentId;

    #[test]
    fn ids_are_read_from_texts_and_numbers() {
        let ids: Vec<StudentId> = serde_json::from_str(r#"["A1", 42, "007"]"#).unwrap();
        assert_eq!(ids, ["A1".into(), "42".into(), "007".into()]);
        assert_eq!(serde_json::to_string(&ids).unwrap(), r#"["A1","42","007"]"#);
    }

    #[test]
    fn empty_values_are_not_ids() {
        for nothing in ["null", "\"\"", "true", "{}", "[]"] {
            assert!(
                serde_json::from_str::<StudentId>(nothing).is_err(),
                "{nothing}"
            );
        }
    }
}
