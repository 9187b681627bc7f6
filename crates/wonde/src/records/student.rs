//! Pupils.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, Utc};
use serde::Deserialize;

use super::{
    Included,
    attendance::AttendanceSummary,
    debug_only,
    doctor::Doctor,
    group::{Class, Group},
    open::OpenRecord,
    people::{Contact, ContactDetails},
};
use crate::{
    ClassId, StudentId,
    wire::{day, detail, instant, many, text},
};

/// A pupil \[T\]. The lower half is only present if requested with `include`.
#[derive(Clone, PartialEq, Deserialize)]
#[non_exhaustive]
pub struct Student {
    /// The pupil's id. It changes when the pupil enrols again \[T\].
    pub id: StudentId,
    /// Stays the same through enrolments \[T\].
    #[serde(default, deserialize_with = "text")]
    pub upi: Option<String>,
    /// The MIS's own key.
    #[serde(default, deserialize_with = "text")]
    pub mis_id: Option<String>,
    /// Form of address \[D\].
    #[serde(default, deserialize_with = "text")]
    pub title: Option<String>,
    /// The initials.
    #[serde(default, deserialize_with = "text")]
    pub initials: Option<String>,
    /// The surname in use.
    #[serde(default, deserialize_with = "text")]
    pub surname: Option<String>,
    /// The forename in use.
    #[serde(default, deserialize_with = "text")]
    pub forename: Option<String>,
    /// Further names.
    #[serde(default, deserialize_with = "text")]
    pub middle_names: Option<String>,
    /// The surname by law.
    #[serde(default, deserialize_with = "text")]
    pub legal_surname: Option<String>,
    /// The forename by law.
    #[serde(default, deserialize_with = "text")]
    pub legal_forename: Option<String>,
    /// In the MIS's words.
    #[serde(default, deserialize_with = "text")]
    pub gender: Option<String>,
    /// In the person's own words \[D\].
    #[serde(default, deserialize_with = "text")]
    pub gender_identity: Option<String>,
    /// A calendar date without a time zone.
    #[serde(default, deserialize_with = "day")]
    pub date_of_birth: Option<NaiveDate>,
    /// When Wonde first saw the record.
    #[serde(default, deserialize_with = "instant")]
    pub created_at: Option<DateTime<Utc>>,
    /// When Wonde last saw it change.
    #[serde(default, deserialize_with = "instant")]
    pub updated_at: Option<DateTime<Utc>>,

    /// `include=education_details`.
    #[serde(default, deserialize_with = "detail")]
    pub education_details: Option<EducationDetails>,
    /// `include=extended_details`.
    #[serde(default, deserialize_with = "detail")]
    pub extended_details: Option<ExtendedDetails>,
    /// `include=contact_details`.
    #[serde(default, deserialize_with = "detail")]
    pub contact_details: Option<ContactDetails>,
    /// `include=contacts`; each then has its [`relationship`](Contact::relationship) to this pupil.
    #[serde(default, deserialize_with = "many")]
    pub contacts: Option<Vec<Contact>>,
    /// `include=year`: the year group.
    #[serde(default)]
    pub year: Included<Group>,
    /// `include=registration`: the registration group.
    #[serde(default)]
    pub registration: Included<Group>,
    /// `include=house`.
    #[serde(default)]
    pub house: Included<Group>,
    /// `include=boarding`.
    #[serde(default)]
    pub boarding: Included<Group>,
    /// `include=campus`.
    #[serde(default)]
    pub campus: Included<Group>,
    /// `include=attendance_summary`: its sessions, counted \[T\].
    #[serde(default, deserialize_with = "detail")]
    pub attendance_summary: Option<AttendanceSummary>,
    /// `include=permissions` \[T\].
    #[serde(default, deserialize_with = "detail")]
    pub permissions: Option<OpenRecord>,
    /// `include=identifiers` \[T\].
    #[serde(default, deserialize_with = "detail")]
    pub identifiers: Option<OpenRecord>,
    /// `include=photo` \[T\].
    #[serde(default, deserialize_with = "detail")]
    pub photo: Option<OpenRecord>,
    /// `include=siblings` \[T\].
    #[serde(default, deserialize_with = "many")]
    pub siblings: Option<Vec<Student>>,
    /// `include=doctors` \[T\].
    #[serde(default, deserialize_with = "many")]
    pub doctors: Option<Vec<Doctor>>,
    /// `include=achievements` \[T\].
    #[serde(default, deserialize_with = "many")]
    pub achievements: Option<Vec<OpenRecord>>,
    /// `include=behaviours` \[T\].
    #[serde(default, deserialize_with = "many")]
    pub behaviours: Option<Vec<OpenRecord>>,
    /// `include=exclusions` \[T\].
    #[serde(default, deserialize_with = "many")]
    pub exclusions: Option<Vec<OpenRecord>>,
    /// `include=medical_conditions` \[T\].
    #[serde(default, deserialize_with = "many")]
    pub medical_conditions: Option<Vec<OpenRecord>>,
    /// `include=medical_events` \[T\].
    #[serde(default, deserialize_with = "many")]
    pub medical_events: Option<Vec<OpenRecord>>,
    /// `include=medical_notes` \[T\].
    #[serde(default, deserialize_with = "many")]
    pub medical_notes: Option<Vec<OpenRecord>>,
    /// `include=results`: results of assessment \[T\].
    #[serde(default, deserialize_with = "many")]
    pub results: Option<Vec<OpenRecord>>,
    /// `include=sen_needs`: special educational needs \[T\].
    #[serde(default, deserialize_with = "many")]
    pub sen_needs: Option<Vec<OpenRecord>>,
    /// `include=user_defined_fields` \[T\].
    #[serde(default, deserialize_with = "many")]
    pub user_defined_fields: Option<Vec<OpenRecord>>,
    /// `include=in_care_date_ranges` \[T\].
    #[serde(default, deserialize_with = "many")]
    pub in_care_date_ranges: Option<Vec<OpenRecord>>,
    /// `include=sen_date_ranges` \[T\].
    #[serde(default, deserialize_with = "many")]
    pub sen_date_ranges: Option<Vec<OpenRecord>>,
    /// `include=fsm_date_ranges`: free school meals \[T\].
    #[serde(default, deserialize_with = "many")]
    pub fsm_date_ranges: Option<Vec<OpenRecord>>,
    /// `include=upfsm_date_ranges`: universal free school meals \[T\].
    #[serde(default, deserialize_with = "many")]
    pub upfsm_date_ranges: Option<Vec<OpenRecord>>,
    /// `include=child_protection_plan_date_ranges` \[T\].
    #[serde(default, deserialize_with = "many")]
    pub child_protection_plan_date_ranges: Option<Vec<OpenRecord>>,
    /// `include=groups`.
    #[serde(default, deserialize_with = "many")]
    pub groups: Option<Vec<Group>>,
    /// `include=classes`.
    #[serde(default, deserialize_with = "many")]
    pub classes: Option<Vec<Class>>,
}

impl Student {
    /// The ids of the pupil's classes; none unless `classes` was included.
    pub fn class_ids(&self) -> impl Iterator<Item = &ClassId> {
        self.classes.iter().flatten().map(|class| &class.id)
    }
}

/// A pupil's `education_details` \[T\].
#[derive(Clone, Default, PartialEq, Deserialize)]
#[non_exhaustive]
pub struct EducationDetails {
    /// England's unique pupil number.
    #[serde(default, deserialize_with = "text")]
    pub upn: Option<String>,
    /// An earlier one.
    #[serde(default, deserialize_with = "text")]
    pub former_upn: Option<String>,
    /// The unique learner number.
    #[serde(default, deserialize_with = "text")]
    pub learner_number: Option<String>,
    /// The school's number for the pupil.
    #[serde(default, deserialize_with = "text")]
    pub admission_number: Option<String>,
    /// First day at the school.
    #[serde(default, deserialize_with = "day")]
    pub admission_date: Option<NaiveDate>,
    /// Last day at the school.
    #[serde(default, deserialize_with = "day")]
    pub leaving_date: Option<NaiveDate>,
    /// The year of England's national curriculum; a string because of `R` and `N1`.
    #[serde(default, deserialize_with = "text")]
    pub current_nc_year: Option<String>,
}

/// Further properties of a pupil, `extended_details`. They differ by MIS, and many are special category data: request
/// them only with a reason.
#[derive(Clone, Default, PartialEq, Deserialize)]
#[serde(transparent)]
pub struct ExtendedDetails(BTreeMap<String, serde_json::Value>);

impl ExtendedDetails {
    /// A property by Wonde's name, if it is present and not null.
    pub fn get(&self, name: &str) -> Option<&serde_json::Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    /// The names of all properties, with or without a value.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

debug_only! {
    Student { id }
    EducationDetails {}
    ExtendedDetails {}
}
