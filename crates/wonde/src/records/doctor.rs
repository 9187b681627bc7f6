//! Doctors.

use chrono::{DateTime, Utc};
use serde::Deserialize;

use super::debug_only;
use crate::{
    DoctorId,
    wire::{instant, text},
};

/// A pupil's doctor \[D\].
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct Doctor {
    /// The doctor's id.
    pub id: DoctorId,
    /// The MIS's own key.
    #[serde(default, deserialize_with = "text")]
    pub mis_id: Option<String>,
    /// Form of address.
    #[serde(default, deserialize_with = "text")]
    pub title: Option<String>,
    /// The forename.
    #[serde(default, deserialize_with = "text")]
    pub forename: Option<String>,
    /// A further name.
    #[serde(default, deserialize_with = "text")]
    pub middle_name: Option<String>,
    /// The surname.
    #[serde(default, deserialize_with = "text")]
    pub surname: Option<String>,
    /// The practice.
    #[serde(default, deserialize_with = "text")]
    pub practice_name: Option<String>,
    /// The practice's telephone number.
    #[serde(default, deserialize_with = "text")]
    pub telephone: Option<String>,
    /// The building's number.
    #[serde(default, deserialize_with = "text")]
    pub building_number: Option<String>,
    /// The building's name.
    #[serde(default, deserialize_with = "text")]
    pub building_name: Option<String>,
    /// The street.
    #[serde(default, deserialize_with = "text")]
    pub street: Option<String>,
    /// The district.
    #[serde(default, deserialize_with = "text")]
    pub district: Option<String>,
    /// The town.
    #[serde(default, deserialize_with = "text")]
    pub town: Option<String>,
    /// The county.
    #[serde(default, deserialize_with = "text")]
    pub county: Option<String>,
    /// The postcode.
    #[serde(default, deserialize_with = "text")]
    pub postcode: Option<String>,
    /// The country.
    #[serde(default, deserialize_with = "text")]
    pub country: Option<String>,
    /// When Wonde first had the record.
    #[serde(default, deserialize_with = "instant")]
    pub created_at: Option<DateTime<Utc>>,
    /// When Wonde last saw it change.
    #[serde(default, deserialize_with = "instant")]
    pub updated_at: Option<DateTime<Utc>>,
}

debug_only! { Doctor { id } }
