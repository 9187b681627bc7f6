//! People and groups as the MIS knows them.

use std::{
    collections::BTreeSet,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};

/// Which of a school's people.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum PersonKind {
    /// A pupil.
    Student,
    /// A member of staff.
    Staff,
    /// A contact of a pupil.
    Parent,
}

/// A part of a person's record beyond the ids, the dates of joining and leaving, and whether staff are employed now.
///
/// A host names the properties it needs; nothing else is requested or passed on.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    schemars::JsonSchema,
    strum::Display,
    strum::IntoStaticStr,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Property {
    /// Forename and surname.
    Name,
    /// Year group of a student.
    Year,
    /// Registration (tutor) group of a student.
    Registration,
    /// House of a student.
    House,
    /// Boarding house of a student.
    Boarding,
    /// Campus of a student.
    Campus,
    /// Classes of a student or a member of staff.
    Classes,
    /// Groups of all types of a student or a member of staff.
    Groups,
    /// A student's contacts, and their relation to the student.
    Contacts,
    /// Whether a member of staff teaches.
    Teaching,
    /// What a member of staff does at the school.
    Roles,
    /// An email address.
    Email,
    /// A telephone number.
    Phone,
    /// As the MIS records it.
    Gender,
    /// The day of birth.
    DateOfBirth,
    /// The school's own number for a student.
    AdmissionNumber,
    /// The number of a student's card.
    Card,
}

impl Property {
    /// All properties, in the order of declaration.
    pub const ALL: [Self; 17] = [
        Self::Name,
        Self::Year,
        Self::Registration,
        Self::House,
        Self::Boarding,
        Self::Campus,
        Self::Classes,
        Self::Groups,
        Self::Contacts,
        Self::Teaching,
        Self::Roles,
        Self::Email,
        Self::Phone,
        Self::Gender,
        Self::DateOfBirth,
        Self::AdmissionNumber,
        Self::Card,
    ];

    /// What is read unless the host says otherwise.
    pub const DEFAULT: [Self; 3] = [Self::Name, Self::Year, Self::Registration];

    /// The name in settings and JSON.
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// Whether people of this kind can have it.
    pub fn is_of(self, kind: PersonKind) -> bool {
        match self {
            Self::Name | Self::Email | Self::Phone | Self::Gender | Self::DateOfBirth => true,
            Self::Classes | Self::Groups => kind != PersonKind::Parent,
            Self::Teaching | Self::Roles => kind == PersonKind::Staff,
            Self::Year
            | Self::Registration
            | Self::House
            | Self::Boarding
            | Self::Campus
            | Self::Contacts
            | Self::AdmissionNumber
            | Self::Card => kind == PersonKind::Student,
        }
    }
}

/// Which people to read, and which properties of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeopleQuery {
    /// Students, staff or parents.
    pub kind: PersonKind,
    /// Only those that changed since then; everybody without it.
    pub updated_after: Option<DateTime<Utc>>,
    /// The properties to read; those that people of this kind cannot have are ignored.
    pub properties: BTreeSet<Property>,
    /// People in one page, where the MIS has pages; its own default without it.
    pub page_size: Option<u16>,
    /// The students who are yet to start instead of the present ones; this needs a permission of its own.
    pub pre_admission: bool,
    /// Collects values that could not be read: such a value counts as none, and a record without an id is left out.
    /// Without it, the first of them ends the list with an error.
    pub issues: Option<Issues>,
}

/// A value or record of a list that could not be read. It never holds the value: only its place and the expected type.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct DecodeIssue {
    /// The record's id, if it could be read.
    pub id: Option<String>,
    /// The field: `date_of_birth`, `contacts[0].relationship.priority`. Empty for a row that is not a record at all.
    pub field: String,
    /// The page of the list, from 1.
    pub page: u32,
    /// What was expected there.
    pub expected: String,
    /// The whole record was left out; otherwise only the value.
    pub left_out: bool,
}

impl DecodeIssue {
    /// A value of a record that was left out.
    pub fn new(id: Option<String>, field: impl Into<String>, expected: impl Into<String>) -> Self {
        Self {
            id,
            field: field.into(),
            page: 1,
            expected: expected.into(),
            left_out: false,
        }
    }

    /// Sets the page of the list, from 1.
    #[must_use]
    pub fn on_page(mut self, page: u32) -> Self {
        self.page = page;
        self
    }

    /// Says whether the whole record was left out.
    #[must_use]
    pub fn leaving_out(mut self, record: bool) -> Self {
        self.left_out = record;
        self
    }
}

/// The requested values of a list of people that could not be read. Clones share one list, and only clones are equal.
#[derive(Clone, Default)]
pub struct Issues(Arc<Mutex<Vec<DecodeIssue>>>);

impl Issues {
    /// Adds an issue.
    pub fn push(&self, issue: DecodeIssue) {
        self.lock().push(issue);
    }

    /// Takes the issues so far out of the list.
    pub fn take(&self) -> Vec<DecodeIssue> {
        std::mem::take(&mut self.lock())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<DecodeIssue>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PartialEq for Issues {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Issues {}

impl fmt::Debug for Issues {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Issues").field(&self.lock().len()).finish()
    }
}

/// The use of a field of a person's record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// It is always read: ids, and the dates of joining and leaving.
    Always,
    /// It is part of this property.
    For(Property),
    /// It is not used.
    Never,
}

/// The use of a field by its [path](DecodeIssue::field): `contacts[0].relationship.priority`.
pub fn needed_for(field: &str) -> Need {
    let mut names = field
        .split('.')
        .map(|name| name.split('[').next().unwrap_or_default());
    let (first, second) = (names.next().unwrap_or_default(), names.next());
    let group = |property| match second {
        None | Some("id" | "name" | "code" | "type") => Need::For(property),
        Some(_) => Need::Never,
    };
    match (first, second) {
        ("" | "id" | "upi" | "mis_id" | "updated_at", _) => Need::Always,
        ("forename" | "surname", _) => Need::For(Property::Name),
        ("gender", _) => Need::For(Property::Gender),
        ("date_of_birth", _) => Need::For(Property::DateOfBirth),
        ("year", _) => group(Property::Year),
        ("registration", _) => group(Property::Registration),
        ("house", _) => group(Property::House),
        ("boarding", _) => group(Property::Boarding),
        ("campus", _) => group(Property::Campus),
        ("classes", _) => group(Property::Classes),
        ("groups", _) => group(Property::Groups),
        ("roles", _) => Need::For(Property::Roles),
        ("contacts", None | Some("id" | "relationship")) => Need::For(Property::Contacts),
        ("education_details", None | Some("upn" | "admission_date" | "leaving_date")) => {
            Need::Always
        }
        ("education_details", Some("current_nc_year")) => Need::For(Property::Year),
        ("education_details", Some("admission_number")) => Need::For(Property::AdmissionNumber),
        (
            "employment_details",
            None | Some("current" | "employment_start_date" | "employment_end_date"),
        ) => Need::Always,
        ("employment_details", Some("teaching_staff")) => Need::For(Property::Teaching),
        ("contact_details", Some("phones")) => Need::For(Property::Phone),
        ("contact_details", None | Some("emails")) => Need::For(Property::Email),
        ("extended_details", _) => Need::For(Property::Card),
        _ => Need::Never,
    }
}

impl PeopleQuery {
    /// All people of a kind with the default properties.
    pub fn new(kind: PersonKind) -> Self {
        Self {
            kind,
            updated_after: None,
            properties: Property::DEFAULT.into(),
            page_size: None,
            pre_admission: false,
            issues: None,
        }
    }

    /// Collects values that cannot be read instead of failing.
    pub fn noting(mut self, issues: &Issues) -> Self {
        self.issues = Some(issues.clone());
        self
    }

    /// Only those that changed since then.
    pub fn changed_since(mut self, since: DateTime<Utc>) -> Self {
        self.updated_after = Some(since);
        self
    }

    /// Exactly these properties.
    pub fn with(mut self, properties: impl IntoIterator<Item = Property>) -> Self {
        self.properties = properties.into_iter().collect();
        self
    }

    /// Whether a property is requested.
    pub fn wants(&self, property: Property) -> bool {
        self.properties.contains(&property)
    }
}

/// One person. `None` means "none", "not requested" or "not allowed to be read": not every MIS distinguishes the last
/// from the first.
///
/// `Debug` shows the kind and the id alone.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Person {
    /// Student, staff or parent.
    pub kind: PersonKind,
    /// The id of the record; at some MISs a student's changes on re-enrolment.
    pub id: String,
    /// The id that stays with a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upi: Option<String>,
    /// The MIS's own key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mis_id: Option<String>,
    /// Of a student: England's unique pupil number, which stays also when the school changes its MIS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upn: Option<String>,
    /// Of a student: the school's own number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub admission_number: Option<String>,
    /// Of a student: the number of the card.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub card: Option<String>,
    /// Given name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forename: Option<String>,
    /// Family name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub surname: Option<String>,
    /// Year group as the school names it: `7`, `Year 7`, `Reception`, `Lower Fourth`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub year: Option<String>,
    /// A shorter or official word for the same year, where the name need not be one: `7`, `R`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub year_code: Option<String>,
    /// Registration (tutor) group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registration: Option<String>,
    /// House.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub house: Option<String>,
    /// Boarding house.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boarding: Option<String>,
    /// Campus.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub campus: Option<String>,
    /// Classes; of a member of staff those taught.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub classes: Vec<Group>,
    /// Groups of all types.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<Group>,
    /// A student's contacts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub contacts: Vec<Relation>,
    /// First day at the school.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub joins: Option<NaiveDate>,
    /// Last day at the school.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leaves: Option<NaiveDate>,
    /// Of a student: is yet to start, and listed as such.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub pre_admission: bool,
    /// At the school now, whatever the dates say. Of staff by the MIS's word; a student's record says no such thing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current: Option<bool>,
    /// Of staff: teaches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub teaching: Option<bool>,
    /// Of staff: the person's roles, as the MIS names them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<String>,
    /// The first email address to try.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// The first telephone number to try, in no fixed form.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phone: Option<String>,
    /// The number of a mobile, in no fixed form; of people whose telephone number is requested.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mobile: Option<String>,
    /// As the MIS records it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gender: Option<String>,
    /// The day of birth.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub born: Option<NaiveDate>,
    /// When the record changed last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changed_at: Option<DateTime<Utc>>,
}

impl Person {
    /// A person of whom only the id is known.
    pub fn new(kind: PersonKind, id: impl Into<String>) -> Self {
        Self {
            kind,
            id: id.into(),
            upi: None,
            mis_id: None,
            upn: None,
            admission_number: None,
            card: None,
            forename: None,
            surname: None,
            year: None,
            year_code: None,
            registration: None,
            house: None,
            boarding: None,
            campus: None,
            classes: Vec::new(),
            groups: Vec::new(),
            contacts: Vec::new(),
            joins: None,
            leaves: None,
            pre_admission: false,
            current: None,
            teaching: None,
            roles: Vec::new(),
            email: None,
            phone: None,
            mobile: None,
            gender: None,
            born: None,
            changed_at: None,
        }
    }

    /// Whether a property has a value. An empty list is no value.
    pub fn has(&self, property: Property) -> bool {
        match property {
            Property::Name => self.forename.is_some() || self.surname.is_some(),
            Property::Year => self.year.is_some() || self.year_code.is_some(),
            Property::Registration => self.registration.is_some(),
            Property::House => self.house.is_some(),
            Property::Boarding => self.boarding.is_some(),
            Property::Campus => self.campus.is_some(),
            Property::Classes => !self.classes.is_empty(),
            Property::Groups => !self.groups.is_empty(),
            Property::Contacts => !self.contacts.is_empty(),
            Property::Teaching => self.teaching.is_some(),
            Property::Roles => !self.roles.is_empty(),
            Property::Email => self.email.is_some(),
            Property::Phone => self.phone.is_some(),
            Property::Gender => self.gender.is_some(),
            Property::DateOfBirth => self.born.is_some(),
            Property::AdmissionNumber => self.admission_number.is_some(),
            Property::Card => self.card.is_some(),
        }
    }

    /// Copies a property from another record, also if it has no value there.
    pub fn copy(&mut self, property: Property, from: &Self) {
        match property {
            Property::Name => {
                self.forename.clone_from(&from.forename);
                self.surname.clone_from(&from.surname);
            }
            Property::Year => {
                self.year.clone_from(&from.year);
                self.year_code.clone_from(&from.year_code);
            }
            Property::Registration => self.registration.clone_from(&from.registration),
            Property::House => self.house.clone_from(&from.house),
            Property::Boarding => self.boarding.clone_from(&from.boarding),
            Property::Campus => self.campus.clone_from(&from.campus),
            Property::Classes => self.classes.clone_from(&from.classes),
            Property::Groups => self.groups.clone_from(&from.groups),
            Property::Contacts => self.contacts.clone_from(&from.contacts),
            Property::Teaching => self.teaching = from.teaching,
            Property::Roles => self.roles.clone_from(&from.roles),
            Property::Email => self.email.clone_from(&from.email),
            Property::Phone => {
                self.phone.clone_from(&from.phone);
                self.mobile.clone_from(&from.mobile);
            }
            Property::Gender => self.gender.clone_from(&from.gender),
            Property::DateOfBirth => self.born = from.born,
            Property::AdmissionNumber => self.admission_number.clone_from(&from.admission_number),
            Property::Card => self.card.clone_from(&from.card),
        }
    }

    /// The person with only these properties.
    pub fn trimmed(mut self, properties: &BTreeSet<Property>) -> Self {
        let nobody = Self::new(self.kind, "");
        for property in Property::ALL {
            if !(properties.contains(&property) && property.is_of(self.kind)) {
                self.copy(property, &nobody);
            }
        }
        self
    }
}

impl fmt::Debug for Person {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Person")
            .field("kind", &self.kind)
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// The relation of a contact to one student; a parent of two may have a different relation to each. `None` if not
/// known.
///
/// `Debug` shows the id alone.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Relation {
    /// The contact's id.
    pub contact: String,
    /// As the MIS names it: `Mother`.
    pub relationship: Option<String>,
    /// Has parental responsibility by law.
    pub parental_responsibility: Option<bool>,
    /// The order in which to contact people: 1 before 2.
    pub priority: Option<u32>,
    /// Lives with the student.
    pub lives_with: Option<bool>,
}

impl Relation {
    /// A contact of whom only the id is known.
    pub fn new(contact: impl Into<String>) -> Self {
        Self {
            contact: contact.into(),
            relationship: None,
            parental_responsibility: None,
            priority: None,
            lives_with: None,
        }
    }
}

impl fmt::Debug for Relation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Relation")
            .field("contact", &self.contact)
            .finish_non_exhaustive()
    }
}

/// A person's record that was removed or restored. A student who enrolled again has another record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deletion {
    /// Student, staff or parent.
    pub kind: PersonKind,
    /// The id that the record had.
    pub id: String,
    /// Whether it is gone; otherwise it came back since.
    pub gone: bool,
    /// When it went.
    pub at: Option<DateTime<Utc>>,
}

/// One group or class that the MIS sorts people into.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[schemars(rename = "PersonGroup")]
pub struct Group {
    /// The group's id.
    pub id: String,
    /// The group's type: `YEAR`, `REGISTRATION`, `HOUSE` ...; `None` for a class.
    pub kind: Option<String>,
    /// The group's name.
    pub name: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ada() -> Person {
        Person {
            forename: Some("Ada".into()),
            surname: Some("Lovelace".into()),
            year: Some("Year 7".into()),
            house: Some("Curie".into()),
            email: Some("ada@pupils.example".into()),
            contacts: vec![Relation {
                relationship: Some("Mother".into()),
                ..Relation::new("C1")
            }],
            ..Person::new(PersonKind::Student, "A1")
        }
    }

    #[test]
    fn debug_shows_only_ids() {
        let shown = format!("{:?} {:?}", ada(), ada().contacts);
        for secret in ["Ada", "Lovelace", "Year 7", "ada@", "Mother"] {
            assert!(!shown.contains(secret), "{shown}");
        }
        assert!(shown.contains("A1") && shown.contains("C1"));
    }

    #[test]
    fn trimmed_keeps_only_the_named_properties() {
        let kept = ada().trimmed(&[Property::Name].into());
        assert_eq!(kept.forename.as_deref(), Some("Ada"));
        assert!(
            Property::ALL
                .iter()
                .all(|p| kept.has(*p) == (*p == Property::Name))
        );
    }

    #[test]
    fn property_names_match_the_settings() {
        for property in Property::ALL {
            assert_eq!(
                serde_json::to_value(property).unwrap(),
                serde_json::json!(property.as_str())
            );
        }
    }
}
