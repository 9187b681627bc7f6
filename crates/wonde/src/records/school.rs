//! Schools, where their data lives, and what they have granted.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::{
    SchoolId,
    wire::{self, detail, flag, instant, text},
};

/// A school, as `GET /schools` and `GET /schools/{id}` give it \[T\].
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[non_exhaustive]
pub struct School {
    /// The id under which all of its data is asked for.
    pub id: SchoolId,
    /// Its name.
    #[serde(default, deserialize_with = "text")]
    pub name: Option<String>,
    /// Its number within its local authority.
    #[serde(default, deserialize_with = "text")]
    pub establishment_number: Option<String>,
    /// England's unique reference number.
    #[serde(default, deserialize_with = "text")]
    pub urn: Option<String>,
    /// Primary, secondary and so on, in Wonde's words.
    #[serde(default, deserialize_with = "text")]
    pub phase_of_education: Option<String>,
    /// The local authority's code.
    #[serde(default, deserialize_with = "text")]
    pub la_code: Option<String>,
    /// The school's own clock, as an IANA name: `Europe/London`.
    #[serde(default, deserialize_with = "text")]
    pub timezone: Option<String>,
    /// The MIS by the name Wonde gives it. An open list: only `SIMS` is confirmed \[T\].
    #[serde(default, deserialize_with = "text")]
    pub mis: Option<String>,
    /// Where it stands.
    #[serde(default, deserialize_with = "detail")]
    pub address: Option<Address>,
    /// What Wonde can do with its MIS.
    #[serde(default, deserialize_with = "detail")]
    pub extended: Option<SchoolExtended>,
    /// Which of Wonde's regions holds its data. [`Client::at`](crate::Client::at) goes by it.
    #[serde(default, deserialize_with = "detail")]
    pub region: Option<Region>,
}

/// A school's address \[T\].
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[non_exhaustive]
pub struct Address {
    /// The first line.
    #[serde(default, rename = "address_line_1", deserialize_with = "text")]
    pub line_1: Option<String>,
    /// The second line.
    #[serde(default, rename = "address_line_2", deserialize_with = "text")]
    pub line_2: Option<String>,
    /// The town.
    #[serde(default, rename = "address_town", deserialize_with = "text")]
    pub town: Option<String>,
    /// The postcode.
    #[serde(default, rename = "address_postcode", deserialize_with = "text")]
    pub postcode: Option<String>,
    /// The country. Wonde gives an object \[T\]; a text is taken as its name \[?\].
    #[serde(default, rename = "address_country", deserialize_with = "country")]
    pub country: Option<Country>,
}

/// A country.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[non_exhaustive]
pub struct Country {
    /// Its code, such as `GBR`.
    #[serde(default, deserialize_with = "text")]
    pub code: Option<String>,
    /// Its name.
    #[serde(default, deserialize_with = "text")]
    pub name: Option<String>,
}

fn country<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Country>, D::Error> {
    use wire::relation::One;
    Ok(match One::deserialize(deserializer)? {
        One::Absent => None,
        One::Id(name) => Some(Country {
            code: None,
            name: Some(name),
        }),
        One::Full(country) => Some(country),
    })
}

/// What Wonde can do with a school's MIS \[T\].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct SchoolExtended {
    /// Data may be written into the MIS.
    #[serde(default, deserialize_with = "flag")]
    pub allows_writeback: Option<bool>,
    /// Lessons can be read.
    #[serde(default, deserialize_with = "flag")]
    pub has_timetables: Option<bool>,
    /// Attendance is kept for each lesson.
    #[serde(default, deserialize_with = "flag")]
    pub has_lesson_attendance: Option<bool>,
    /// When the school's audit was approved; only some schools have it \[T\].
    #[serde(default, deserialize_with = "instant")]
    pub audit_approved_at: Option<DateTime<Utc>>,
}

/// One of Wonde's regions, as a school is held in it \[D\].
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[non_exhaustive]
pub struct Region {
    /// The region's code.
    #[serde(default, deserialize_with = "text")]
    pub code: Option<String>,
    /// The host that holds the school's data. Any other host **answers without data, not with an error** \[D\].
    #[serde(default, deserialize_with = "text")]
    pub domain: Option<String>,
    /// The school's full address at that host.
    #[serde(default, deserialize_with = "text")]
    pub school_url: Option<String>,
    /// Numbers and codes that the region's authorities know the school by; names and forms vary.
    #[serde(default, deserialize_with = "detail")]
    pub identifiers: Option<BTreeMap<String, serde_json::Value>>,
}

/// How a school and its MIS stand, as `GET /meta/schools/{id}` gives it \[T\].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct SchoolMeta {
    /// The MIS can be reached. While it cannot, writes wait.
    #[serde(default, deserialize_with = "flag")]
    pub online: Option<bool>,
    /// The school has approved the application.
    #[serde(default, deserialize_with = "flag")]
    pub approved: Option<bool>,
    /// The school has been through Wonde's audit.
    #[serde(default, deserialize_with = "flag")]
    pub audited: Option<bool>,
    /// The school keeps attendance codes of its own.
    #[serde(default, deserialize_with = "flag")]
    pub custom_attendance_codes: Option<bool>,
}

/// One thing that a school can allow an application, as `GET /meta/schools/{id}/permissions` gives it \[T\].
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct Permission {
    /// What Wonde's machinery calls it.
    #[serde(default, deserialize_with = "text")]
    pub identity: Option<String>,
    /// What people call it.
    #[serde(default, deserialize_with = "text")]
    pub name: Option<String>,
    /// What it covers.
    #[serde(default, deserialize_with = "text")]
    pub description: Option<String>,
    /// The permission that this one is part of \[T\].
    #[serde(default, deserialize_with = "text")]
    pub parent: Option<String>,
    /// What it is listed under \[T\].
    #[serde(default, deserialize_with = "text")]
    pub group: Option<String>,
    /// From when on it counts \[T\].
    #[serde(default, deserialize_with = "instant")]
    pub active_from: Option<DateTime<Utc>>,
    /// Whether the school may refuse it and still approve the application \[T\]\[?\].
    #[serde(default, deserialize_with = "flag")]
    pub optional: Option<bool>,
    /// Whether it has been through Wonde's audit \[T\].
    #[serde(default, deserialize_with = "flag")]
    pub audited: Option<bool>,
    /// Whether the school has given it.
    #[serde(default, deserialize_with = "flag")]
    pub approved: Option<bool>,
}

impl Permission {
    /// Whether this is the leave to write attendance. What Wonde calls it is not known \[?\]: identity or name must speak
    /// of both attendance and writing.
    pub fn is_attendance_write(&self) -> bool {
        [&self.identity, &self.name]
            .into_iter()
            .flatten()
            .any(|words| {
                let words = words.to_lowercase();
                words.contains("attendance") && words.contains("writ")
            })
    }
}

/// What became of a wish for access, or of the wish to give it back \[C\].
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct AccessChange {
    /// Whether Wonde took it.
    #[serde(default, deserialize_with = "flag")]
    pub success: Option<bool>,
    /// Where the access stands now, in Wonde's word.
    #[serde(default, deserialize_with = "text")]
    pub state: Option<String>,
    /// Wonde's words for people.
    #[serde(default, deserialize_with = "text")]
    pub message: Option<String>,
}

/// Whose data a token may see at a school, as `GET /meta/schools/{id}/acl` gives it \[T\].
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct AccessList {
    /// Whether those listed are let in or kept out; the words are not known \[?\].
    #[serde(default, deserialize_with = "text")]
    pub mode: Option<String>,
    /// Who is listed.
    #[serde(default)]
    pub ids: Vec<AccessListEntry>,
}

/// A person on an [`AccessList`] \[T\].
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(from = "AccessListRow")]
#[non_exhaustive]
pub struct AccessListEntry {
    /// The person's id.
    pub id: String,
    /// What sort of person it is, where that was asked for.
    pub kind: Option<String>,
}

/// The entry as it comes: an id alone, or with its type.
#[derive(Deserialize)]
#[serde(untagged)]
enum AccessListRow {
    Id(String),
    Typed {
        id: String,
        #[serde(rename = "type")]
        kind: Option<String>,
    },
}

impl From<AccessListRow> for AccessListEntry {
    fn from(row: AccessListRow) -> Self {
        match row {
            AccessListRow::Id(id) => Self { id, kind: None },
            AccessListRow::Typed { id, kind } => Self { id, kind },
        }
    }
}

/// Somebody at a school whom Wonde may speak to about a wish for access \[T\].
#[derive(Clone, Default, PartialEq, Eq, Serialize)]
#[allow(missing_docs, reason = "the names say it all")]
#[non_exhaustive]
pub struct SchoolContact {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phone_number: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email_address: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notes: Option<String>,
}

super::debug_only! { SchoolContact {} }

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::Permission;

    #[rstest]
    #[case("attendance.write", "", true)]
    #[case("", "Attendance Writeback", true)]
    #[case("write-session-attendance", "Write attendance", true)]
    #[case("attendance.read", "Attendance", false)]
    #[case("achievements.write", "Write achievements", false)]
    // Half of it in each field is two other things.
    #[case("attendance.read", "May write", false)]
    fn the_leave_to_write_attendance(#[case] identity: &str, #[case] name: &str, #[case] is: bool) {
        let permission = Permission {
            identity: Some(identity.to_owned()),
            name: Some(name.to_owned()),
            ..Permission::default()
        };
        assert_eq!(permission.is_attendance_write(), is);
    }
}
