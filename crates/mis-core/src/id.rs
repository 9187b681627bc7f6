//! Ids: opaque strings, one type for each kind, so that a student's id is never passed where a lesson's belongs.

use std::{convert::Infallible, fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, de::Error as _};

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        ///
        /// Opaque: kept as given and compared as a whole.
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// Wraps an id as the MIS gave it.
            pub fn new(id: impl Into<String>) -> Self {
                Self(id.into())
            }

            /// The id as the MIS gave it.
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
                let id = String::deserialize(deserializer)?;
                if id.is_empty() {
                    return Err(D::Error::custom("an id must not be empty"));
                }
                Ok(Self(id))
            }
        }
    )+};
}

ids! {
    /// A school's id.
    SchoolId,
    /// A student's id. At some MISs it changes when the student enrols again.
    StudentId,
    /// The id of a member of staff.
    EmployeeId,
    /// A class's id.
    ClassId,
    /// A lesson's id.
    LessonId,
    /// The id of an attendance code at one school. Ids of the same code differ between schools.
    AttendanceCodeId,
    /// The id of a row of a register.
    AttendanceId,
    /// What an MIS returns for marks that it has accepted but not yet written; it answers
    /// [`MisAdapter::outcome`](crate::MisAdapter::outcome).
    Receipt,
}

#[cfg(test)]
mod tests {
    use super::StudentId;

    #[test]
    fn an_id_is_not_empty() {
        assert_eq!(
            serde_json::from_str::<StudentId>(r#""A1""#).unwrap(),
            StudentId::from("A1")
        );
        for invalid in ["null", "\"\"", "true", "{}", "[]"] {
            assert!(
                serde_json::from_str::<StudentId>(invalid).is_err(),
                "{invalid}"
            );
        }
    }
}
