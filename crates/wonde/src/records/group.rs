//! Groups and classes.

use std::{convert::Infallible, fmt, str::FromStr};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Deserializer};

use super::{
    Included,
    people::Employee,
    student::Student,
    timetable::{Lesson, Subject},
};
use crate::{
    ClassId, GroupId,
    wire::{flag, instant, many, text},
};

/// A group of people, such as a year, a house or a campus \[D\].
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[non_exhaustive]
pub struct Group {
    /// The group's id.
    pub id: GroupId,
    /// The MIS's own key.
    #[serde(default, deserialize_with = "text")]
    pub mis_id: Option<String>,
    /// Its name.
    #[serde(default, deserialize_with = "text")]
    pub name: Option<String>,
    /// Its short name.
    #[serde(default, deserialize_with = "text")]
    pub code: Option<String>,
    /// The type of the group; `type` on the wire.
    #[serde(default, rename = "type", deserialize_with = "kind")]
    pub kind: Option<GroupType>,
    /// A description in the school's words.
    #[serde(default, deserialize_with = "text")]
    pub description: Option<String>,
    /// `include=students`.
    #[serde(default, deserialize_with = "many")]
    pub students: Option<Vec<Student>>,
    /// `include=employees`.
    #[serde(default, deserialize_with = "many")]
    pub employees: Option<Vec<Employee>>,
}

/// The type of a group \[D\]. Other words are kept as they are.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum GroupType {
    /// `REGISTRATION`: registered together.
    Registration,
    /// `YEAR`.
    Year,
    /// `HOUSE`.
    House,
    /// `BOARDING`.
    Boarding,
    /// `COURSE`.
    Course,
    /// `CAMPUS`.
    Campus,
    /// `USER`: made by somebody at the school.
    User,
    /// `MISC`.
    Misc,
    /// Another word.
    Other(String),
}

impl GroupType {
    /// The word on the wire.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Registration => "REGISTRATION",
            Self::Year => "YEAR",
            Self::House => "HOUSE",
            Self::Boarding => "BOARDING",
            Self::Course => "COURSE",
            Self::Campus => "CAMPUS",
            Self::User => "USER",
            Self::Misc => "MISC",
            Self::Other(word) => word,
        }
    }
}

impl fmt::Display for GroupType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for GroupType {
    type Err = Infallible;

    fn from_str(word: &str) -> Result<Self, Infallible> {
        Ok(match word.trim().to_ascii_uppercase().as_str() {
            "REGISTRATION" => Self::Registration,
            "YEAR" => Self::Year,
            "HOUSE" => Self::House,
            "BOARDING" => Self::Boarding,
            "COURSE" => Self::Course,
            "CAMPUS" => Self::Campus,
            "USER" => Self::User,
            "MISC" => Self::Misc,
            _ => Self::Other(word.to_owned()),
        })
    }
}

fn kind<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<GroupType>, D::Error> {
    Ok(text(deserializer)?.map(|word| {
        word.parse()
            .unwrap_or_else(|never: Infallible| match never {})
    }))
}

/// A class: pupils who are taught together \[D\].
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[non_exhaustive]
pub struct Class {
    /// The class's id.
    pub id: ClassId,
    /// The MIS's own key.
    #[serde(default, deserialize_with = "text")]
    pub mis_id: Option<String>,
    /// Its name.
    #[serde(default, deserialize_with = "text")]
    pub name: Option<String>,
    /// Its short name.
    #[serde(default, deserialize_with = "text")]
    pub code: Option<String>,
    /// A description in the school's words.
    #[serde(default, deserialize_with = "text")]
    pub description: Option<String>,
    /// `include=students`.
    #[serde(default, deserialize_with = "many")]
    pub students: Option<Vec<Student>>,
    /// The subject: an id unless `subject` is included.
    #[serde(default)]
    pub subject: Included<Subject>,
    /// Whether it replaces another class \[T\].
    #[serde(default, deserialize_with = "flag")]
    pub alternative: Option<bool>,
    /// When the deleted record was restored \[T\].
    #[serde(default, deserialize_with = "instant")]
    pub restored_at: Option<DateTime<Utc>>,
    /// When Wonde first had the record.
    #[serde(default, deserialize_with = "instant")]
    pub created_at: Option<DateTime<Utc>>,
    /// When Wonde last saw it change.
    #[serde(default, deserialize_with = "instant")]
    pub updated_at: Option<DateTime<Utc>>,
    /// `include=lessons`; it is not known which lessons are included \[?\].
    #[serde(default, deserialize_with = "many")]
    pub lessons: Option<Vec<Lesson>>,
    /// `include=employees`: who teaches it.
    #[serde(default, deserialize_with = "many")]
    pub employees: Option<Vec<Employee>>,
}

#[cfg(test)]
mod tests {
    use super::{Group, GroupType};

    #[test]
    fn every_group_type_round_trips() {
        for word in [
            "REGISTRATION",
            "YEAR",
            "HOUSE",
            "BOARDING",
            "COURSE",
            "CAMPUS",
            "USER",
            "MISC",
            "Chess club",
        ] {
            let kind: GroupType = word.parse().unwrap();
            assert_eq!(kind.to_string(), word);
            assert_eq!(matches!(kind, GroupType::Other(_)), word == "Chess club");
        }
    }

    #[test]
    fn group_types_ignore_letter_case() {
        let group: Group = serde_json::from_str(r#"{"id": "A1", "type": "Year"}"#).unwrap();
        assert_eq!(group.kind, Some(GroupType::Year));
    }
}
