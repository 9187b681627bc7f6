//! Schools, where their data lives, and what they have granted.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::{
    SchoolId,
    wire::{self, detail, flag, instant, text},
};

/// A school, as `GET /schools` and `GET /schools/{id}` return it \[T\].
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[non_exhaustive]
pub struct School {
    /// The school's id, used in all requests about it.
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
    /// The phase, such as primary or secondary, in Wonde's words.
    #[serde(default, deserialize_with = "text")]
    pub phase_of_education: Option<String>,
    /// The local authority's code.
    #[serde(default, deserialize_with = "text")]
    pub la_code: Option<String>,
    /// The school's time zone, as an IANA name: `Europe/London`.
    #[serde(default, deserialize_with = "text")]
    pub timezone: Option<String>,
    /// The MIS by the name Wonde gives it. An open list: only `SIMS` is confirmed \[T\].
    #[serde(default, deserialize_with = "text")]
    pub mis: Option<String>,
    /// The postal address.
    #[serde(default, deserialize_with = "detail")]
    pub address: Option<Address>,
    /// The capabilities of its MIS.
    #[serde(default, deserialize_with = "detail")]
    pub extended: Option<SchoolExtended>,
    /// The region that holds its data. [`Client::at`](crate::Client::at) uses it.
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

/// The capabilities of a school's MIS \[T\].
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

/// The region of Wonde that a school belongs to \[D\].
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
    /// Numbers and codes that the region's authorities use for the school. `urn` is a number \[T\].
    #[serde(default, deserialize_with = "detail")]
    pub identifiers: Option<BTreeMap<String, serde_json::Value>>,
}

/// The state of a school and its MIS, as `GET /meta/schools/{id}` returns it \[T\].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct SchoolMeta {
    /// The MIS can be reached. While it cannot, writes wait.
    #[serde(default, deserialize_with = "flag")]
    pub online: Option<bool>,
    /// The school has approved the application.
    #[serde(default, deserialize_with = "flag")]
    pub approved: Option<bool>,
    /// The school has passed Wonde's audit.
    #[serde(default, deserialize_with = "flag")]
    pub audited: Option<bool>,
    /// The school keeps attendance codes of its own.
    #[serde(default, deserialize_with = "flag")]
    pub custom_attendance_codes: Option<bool>,
}

/// A permission that a school can grant an application, as `GET /meta/schools/{id}/permissions` returns it \[T\].
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct Permission {
    /// Its machine-readable name.
    #[serde(default, deserialize_with = "text")]
    pub identity: Option<String>,
    /// Its display name.
    #[serde(default, deserialize_with = "text")]
    pub name: Option<String>,
    /// What it covers.
    #[serde(default, deserialize_with = "text")]
    pub description: Option<String>,
    /// The parent permission \[T\].
    #[serde(default, deserialize_with = "text")]
    pub parent: Option<String>,
    /// The group that it is listed under \[T\].
    #[serde(default, deserialize_with = "text")]
    pub group: Option<String>,
    /// The time from which it is active \[T\].
    #[serde(default, deserialize_with = "instant")]
    pub active_from: Option<DateTime<Utc>>,
    /// Whether the school may refuse it and still approve the application \[T\]\[?\].
    #[serde(default, deserialize_with = "flag")]
    pub optional: Option<bool>,
    /// Whether it has passed Wonde's audit \[T\].
    #[serde(default, deserialize_with = "flag")]
    pub audited: Option<bool>,
    /// Whether the school has granted it.
    #[serde(default, deserialize_with = "flag")]
    pub approved: Option<bool>,
}

impl Permission {
    /// Whether this is the permission to write attendance. Its name is not known \[?\]: identity or name must mention
    /// both attendance and writing.
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

/// The result of requesting or revoking access \[C\].
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct AccessChange {
    /// Whether Wonde accepted it.
    #[serde(default, deserialize_with = "flag")]
    pub success: Option<bool>,
    /// The new state of the access, in Wonde's words.
    #[serde(default, deserialize_with = "text")]
    pub state: Option<String>,
    /// A message for people.
    #[serde(default, deserialize_with = "text")]
    pub message: Option<String>,
}

/// The access control list of a school, as `GET /meta/schools/{id}/acl` returns it \[T\].
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct AccessList {
    /// Whether the listed people are included or excluded; the values are not known \[?\].
    #[serde(default, deserialize_with = "text")]
    pub mode: Option<String>,
    /// The listed people.
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
    /// The type of person, if it was requested.
    pub kind: Option<String>,
}

/// The entry on the wire: an id, or an object with id and type.
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

/// A contact at a school for a request for access \[T\].
#[derive(Clone, Default, PartialEq, Eq, Serialize)]
#[allow(missing_docs, reason = "the names are self-explanatory")]
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
    // One half in each field is not enough.
    #[case("attendance.read", "May write", false)]
    fn permissions_to_write_attendance_are_recognised(
        #[case] identity: &str,
        #[case] name: &str,
        #[case] is: bool,
    ) {
        let permission = Permission {
            identity: Some(identity.to_owned()),
            name: Some(name.to_owned()),
            ..Permission::default()
        };
        assert_eq!(permission.is_attendance_write(), is);
    }
}
