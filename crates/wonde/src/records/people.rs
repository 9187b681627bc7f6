//! Staff and pupils' contacts.

use chrono::{DateTime, NaiveDate, Utc};
use serde::Deserialize;

use super::{
    debug_only,
    group::{Class, Group},
    open::OpenRecord,
    student::Student,
};
use crate::{
    ContactId, EmployeeId,
    wire::{day, detail, flag, instant, many, text, whole},
};

/// A member of staff \[T\]. The lower half is only present if requested with `include`.
#[derive(Clone, PartialEq, Deserialize)]
#[non_exhaustive]
pub struct Employee {
    /// The member of staff's id.
    pub id: EmployeeId,
    /// Stays the same through enrolments.
    #[serde(default, deserialize_with = "text")]
    pub upi: Option<String>,
    /// The MIS's own key.
    #[serde(default, deserialize_with = "text")]
    pub mis_id: Option<String>,
    /// Form of address.
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
    /// A calendar date without a time zone.
    #[serde(default, deserialize_with = "day")]
    pub date_of_birth: Option<NaiveDate>,
    /// When Wonde first had the record.
    #[serde(default, deserialize_with = "instant")]
    pub created_at: Option<DateTime<Utc>>,
    /// When Wonde last saw it change.
    #[serde(default, deserialize_with = "instant")]
    pub updated_at: Option<DateTime<Utc>>,

    /// `include=employment_details`.
    #[serde(default, deserialize_with = "detail")]
    pub employment_details: Option<EmploymentDetails>,
    /// `include=contact_details`.
    #[serde(default, deserialize_with = "detail")]
    pub contact_details: Option<ContactDetails>,
    /// `include=extended_details`.
    #[serde(default, deserialize_with = "detail")]
    pub extended_details: Option<OpenRecord>,
    /// `include=roles` \[?\].
    #[serde(default, deserialize_with = "many")]
    pub roles: Option<Vec<Role>>,
    /// `include=groups`.
    #[serde(default, deserialize_with = "many")]
    pub groups: Option<Vec<Group>>,
    /// `include=classes`.
    #[serde(default, deserialize_with = "many")]
    pub classes: Option<Vec<Class>>,
}

/// A role of a member of staff \[?\].
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(from = "RoleRow")]
#[non_exhaustive]
pub struct Role {
    /// The role in the MIS's words: `Teacher`. It is not known whether Wonde calls it `role` or `name` \[?\].
    pub role: Option<String>,
}

/// The role on the wire. Both names may be present, which an alias would reject as a duplicate.
#[derive(Deserialize)]
struct RoleRow {
    #[serde(default, deserialize_with = "text")]
    role: Option<String>,
    #[serde(default, deserialize_with = "text")]
    name: Option<String>,
}

impl From<RoleRow> for Role {
    fn from(row: RoleRow) -> Self {
        Self {
            role: row.role.or(row.name),
        }
    }
}

/// A member of staff's employment, `employment_details` \[T\].
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct EmploymentDetails {
    /// Employed now.
    #[serde(default, deserialize_with = "flag")]
    pub current: Option<bool>,
    /// Teaches.
    #[serde(default, deserialize_with = "flag")]
    pub teaching_staff: Option<bool>,
    /// First day of employment.
    #[serde(default, deserialize_with = "day")]
    pub employment_start_date: Option<NaiveDate>,
    /// The role in the MIS's words \[T\].
    #[serde(default, deserialize_with = "text")]
    pub role_text: Option<String>,
    /// Last day of employment.
    #[serde(default, deserialize_with = "day")]
    pub employment_end_date: Option<NaiveDate>,
}

/// A person whom a school contacts about a pupil, such as a parent \[T\].
#[derive(Clone, PartialEq, Deserialize)]
#[non_exhaustive]
pub struct Contact {
    /// The contact's id.
    pub id: ContactId,
    /// Stays the same through enrolments.
    #[serde(default, deserialize_with = "text")]
    pub upi: Option<String>,
    /// The MIS's own key.
    #[serde(default, deserialize_with = "text")]
    pub mis_id: Option<String>,
    /// Form of address.
    #[serde(default, deserialize_with = "text")]
    pub title: Option<String>,
    /// The initials.
    #[serde(default, deserialize_with = "text")]
    pub initials: Option<String>,
    /// The surname.
    #[serde(default, deserialize_with = "text")]
    pub surname: Option<String>,
    /// The forename.
    #[serde(default, deserialize_with = "text")]
    pub forename: Option<String>,
    /// Further names.
    #[serde(default, deserialize_with = "text")]
    pub middle_names: Option<String>,
    /// In the MIS's words.
    #[serde(default, deserialize_with = "text")]
    pub gender: Option<String>,
    /// A calendar date without a time zone.
    #[serde(default, deserialize_with = "day")]
    pub date_of_birth: Option<NaiveDate>,
    /// When Wonde first had the record.
    #[serde(default, deserialize_with = "instant")]
    pub created_at: Option<DateTime<Utc>>,
    /// When Wonde last saw it change.
    #[serde(default, deserialize_with = "instant")]
    pub updated_at: Option<DateTime<Utc>>,

    /// The relationship to the pupil; only on a pupil's `contacts`.
    #[serde(default, deserialize_with = "detail")]
    pub relationship: Option<Relationship>,
    /// `include=contact_details`, or `contacts.contact_details` on pupils.
    #[serde(default, deserialize_with = "detail")]
    pub contact_details: Option<ContactDetails>,
    /// `include=students`: the person's pupils \[?\].
    #[serde(default, deserialize_with = "many")]
    pub students: Option<Vec<Student>>,
}

/// The relationship of a contact to a pupil \[?\].
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct Relationship {
    /// The relationship in the MIS's word: `Mother`.
    #[serde(default, deserialize_with = "text")]
    pub relationship: Option<String>,
    /// Has parental responsibility by law.
    #[serde(default, deserialize_with = "flag")]
    pub parental_responsibility: Option<bool>,
    /// The priority; 1 is contacted first.
    #[serde(default, deserialize_with = "whole")]
    pub priority: Option<u32>,
    /// Lives with the pupil.
    #[serde(default, deserialize_with = "flag")]
    pub lives_with_pupil: Option<bool>,
}

/// A person's `contact_details` \[T\]. Postal addresses are not read.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct ContactDetails {
    /// Telephone numbers.
    #[serde(default, deserialize_with = "detail")]
    pub phones: Option<Phones>,
    /// Email addresses.
    #[serde(default, deserialize_with = "detail")]
    pub emails: Option<Emails>,
    /// The salutation of letters.
    #[serde(default, deserialize_with = "text")]
    pub salutation: Option<String>,
}

/// Telephone numbers as the MIS has them, in no fixed form \[T\].
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct Phones {
    /// The general one.
    #[serde(default, deserialize_with = "text")]
    pub phone: Option<String>,
    /// The first to try.
    #[serde(default, deserialize_with = "text")]
    pub primary: Option<String>,
    /// At home.
    #[serde(default, deserialize_with = "text")]
    pub home: Option<String>,
    /// At work.
    #[serde(default, deserialize_with = "text")]
    pub work: Option<String>,
    /// Mobile.
    #[serde(default, deserialize_with = "text")]
    pub mobile: Option<String>,
}

/// Email addresses as the MIS has them \[T\].
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct Emails {
    /// The general one.
    #[serde(default, deserialize_with = "text")]
    pub email: Option<String>,
    /// The first to try.
    #[serde(default, deserialize_with = "text")]
    pub primary: Option<String>,
    /// At home.
    #[serde(default, deserialize_with = "text")]
    pub home: Option<String>,
    /// At work.
    #[serde(default, deserialize_with = "text")]
    pub work: Option<String>,
}

debug_only! {
    Employee { id }
    EmploymentDetails {}
    Role {}
    Contact { id }
    Relationship {}
    ContactDetails {}
    Phones {}
    Emails {}
}
