//! Reading people and groups, which every MIS offers through Wonde.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use futures::stream::{BoxStream, StreamExt as _, TryStreamExt as _};
use wonde::{
    Class, Contact, ContactDetails, Employee, ExtendedDetails, Included, ListQuery, Paging,
    SchoolClient, Student,
};

use crate::{
    Ability, Connection, Deletion, Descriptor, Error, ErrorKind, Group, Issues, Need, PeopleQuery,
    Person, PersonKind, Property, Relation, Result,
    convert::{error, issue},
    needed_for,
};

/// People in Wonde's order, with the requested properties. The stream is the single error [`ErrorKind::Unsupported`] if
/// people may not be read.
pub fn people(
    connection: &Connection,
    descriptor: &'static Descriptor,
    query: PeopleQuery,
) -> BoxStream<'static, Result<Person>> {
    if let Err(error) = check_roster(connection, descriptor) {
        return none(error);
    }
    let kind = query.kind;
    let school = match &query.issues {
        None => connection.school().clone(),
        Some(issues) => noting(connection.school(), &query, issues),
    };
    let wire = wonde::PeopleQuery {
        include: includes(&query),
        updated_after: query.updated_after,
        per_page: query.page_size.unwrap_or(PAGE),
        // With page numbers a row is missed if an earlier one is removed during the reading: a student would seem to
        // leave.
        paging: Paging::Cursor,
        ..wonde::PeopleQuery::default()
    };
    let rows: BoxStream<'static, wonde::Result<Person>> = match kind {
        PersonKind::Student if query.pre_admission => school
            .students_pre_admission(wire)
            .map_ok(|row| Person {
                pre_admission: true,
                ..student(row)
            })
            .boxed(),
        PersonKind::Student => school.students(wire).map_ok(student).boxed(),
        PersonKind::Staff => school.employees(wire).map_ok(staff).boxed(),
        PersonKind::Parent => school.contacts(wire).map_ok(parent).boxed(),
    };
    rows.map_ok(move |person| person.trimmed(&query.properties))
        .map_err(error)
        .boxed()
}

/// A client that collects requested values that could not be read.
fn noting(school: &SchoolClient, query: &PeopleQuery, issues: &Issues) -> SchoolClient {
    let (issues, properties) = (issues.clone(), query.properties.clone());
    school.lenient(Arc::new(move |found| {
        let asked = match needed_for(&found.field) {
            Need::Always => true,
            Need::For(property) => properties.contains(&property),
            Need::Never => false,
        };
        if asked || found.left_out {
            issues.push(issue(found));
        }
    }))
}

/// Also checked without the guard.
fn check_roster(connection: &Connection, descriptor: &Descriptor) -> Result<()> {
    if connection.effective(descriptor).has(Ability::Roster) {
        Ok(())
    } else {
        Err(Error::unsupported(descriptor.name, Ability::Roster))
    }
}

fn none<T: Send + 'static>(error: Error) -> BoxStream<'static, Result<T>> {
    futures::stream::once(async { Err(error) }).boxed()
}

/// Wonde's own page size, which no region rejects; with included records a page is large enough.
const PAGE: u16 = 50;

/// The names of the records to include. A record that the school's MIS does not have fails the request, so only what is
/// needed is named.
fn includes(query: &PeopleQuery) -> Vec<String> {
    let always: &[&str] = match query.kind {
        PersonKind::Student => &["education_details"],
        PersonKind::Staff => &["employment_details"],
        PersonKind::Parent => &[],
    };
    let mut words: Vec<_> = always.iter().copied().map(str::to_owned).collect();
    for property in query
        .properties
        .iter()
        .filter(|property| property.is_of(query.kind))
    {
        let word = match property {
            Property::Year => "year",
            Property::Registration => "registration",
            Property::House => "house",
            Property::Boarding => "boarding",
            Property::Campus => "campus",
            Property::Classes => "classes",
            Property::Groups => "groups",
            Property::Contacts => "contacts",
            Property::Roles => "roles",
            Property::Email | Property::Phone => "contact_details",
            Property::Card => "extended_details",
            Property::Name
            | Property::Teaching
            | Property::Gender
            | Property::DateOfBirth
            | Property::AdmissionNumber => continue,
        };
        if !words.iter().any(|known| known == word) {
            words.push(word.to_owned());
        }
    }
    words
}

fn student(row: Student) -> Person {
    let education = row.education_details.unwrap_or_default();
    let details = row.contact_details.unwrap_or_default();
    Person {
        upi: row.upi,
        mis_id: row.mis_id,
        upn: education.upn,
        admission_number: education.admission_number,
        card: row.extended_details.as_ref().and_then(card),
        forename: row.forename,
        surname: row.surname,
        year_code: row
            .year
            .get()
            .and_then(|group| group.code.clone())
            .or(education.current_nc_year),
        year: name(row.year),
        registration: name(row.registration),
        house: name(row.house),
        boarding: name(row.boarding),
        campus: name(row.campus),
        classes: classes(row.classes),
        groups: row.groups.into_iter().flatten().map(group).collect(),
        contacts: row.contacts.into_iter().flatten().map(relation).collect(),
        joins: education.admission_date,
        leaves: education.leaving_date,
        email: email(&details),
        phone: phone(&details),
        mobile: details.phones.and_then(|phones| phones.mobile),
        gender: row.gender,
        born: row.date_of_birth,
        changed_at: row.updated_at,
        ..Person::new(PersonKind::Student, row.id)
    }
}

fn staff(row: Employee) -> Person {
    let employment = row.employment_details.unwrap_or_default();
    let details = row.contact_details.unwrap_or_default();
    Person {
        upi: row.upi,
        mis_id: row.mis_id,
        forename: row.forename,
        surname: row.surname,
        classes: classes(row.classes),
        groups: row.groups.into_iter().flatten().map(group).collect(),
        joins: employment.employment_start_date,
        leaves: employment.employment_end_date,
        current: employment.current,
        teaching: employment.teaching_staff,
        roles: row
            .roles
            .into_iter()
            .flatten()
            .filter_map(|role| role.role)
            .collect(),
        email: email(&details),
        phone: phone(&details),
        mobile: details.phones.and_then(|phones| phones.mobile),
        gender: row.gender,
        born: row.date_of_birth,
        changed_at: row.updated_at,
        ..Person::new(PersonKind::Staff, row.id)
    }
}

fn parent(row: Contact) -> Person {
    let details = row.contact_details.unwrap_or_default();
    Person {
        upi: row.upi,
        mis_id: row.mis_id,
        forename: row.forename,
        surname: row.surname,
        email: email(&details),
        phone: phone(&details),
        mobile: details.phones.and_then(|phones| phones.mobile),
        gender: row.gender,
        born: row.date_of_birth,
        changed_at: row.updated_at,
        ..Person::new(PersonKind::Parent, row.id)
    }
}

fn name(group: Included<wonde::Group>) -> Option<String> {
    let group = group.into_full()?;
    group.name.or(group.code)
}

fn group(row: wonde::Group) -> Group {
    Group {
        id: row.id.into(),
        kind: row.kind.map(|kind| kind.to_string()),
        name: row.name.or(row.code),
    }
}

fn classes(rows: Option<Vec<Class>>) -> Vec<Group> {
    let class = |row: Class| Group {
        id: row.id.into(),
        kind: None,
        name: row.name.or(row.code),
    };
    rows.into_iter().flatten().map(class).collect()
}

fn relation(row: Contact) -> Relation {
    let relationship = row.relationship.unwrap_or_default();
    Relation {
        relationship: relationship.relationship,
        parental_responsibility: relationship.parental_responsibility,
        priority: relationship.priority,
        lives_with: relationship.lives_with_pupil,
        ..Relation::new(row.id)
    }
}

fn email(details: &ContactDetails) -> Option<String> {
    let emails = details.emails.as_ref()?;
    [&emails.primary, &emails.email, &emails.home, &emails.work]
        .into_iter()
        .find_map(Clone::clone)
}

/// The number of a student's card. Wonde's name for it is not known \[?\].
fn card(details: &ExtendedDetails) -> Option<String> {
    ["card_number", "card_id", "smart_card_number"]
        .into_iter()
        .find_map(|name| match details.get(name)? {
            serde_json::Value::String(number) if !number.trim().is_empty() => {
                Some(number.trim().to_owned())
            }
            serde_json::Value::Number(number) => Some(number.to_string()),
            _ => None,
        })
}

fn phone(details: &ContactDetails) -> Option<String> {
    let phones = details.phones.as_ref()?;
    [
        &phones.primary,
        &phones.mobile,
        &phones.phone,
        &phones.home,
        &phones.work,
    ]
    .into_iter()
    .find_map(Clone::clone)
}

/// The groups that the MIS sorts people into; see [`people`].
pub fn groups(
    connection: &Connection,
    descriptor: &'static Descriptor,
) -> BoxStream<'static, Result<Group>> {
    if let Err(error) = check_roster(connection, descriptor) {
        return none(error);
    }
    connection
        .school()
        .groups(ListQuery::default())
        .map_ok(group)
        .map_err(error)
        .boxed()
}

/// The people whose records were removed or restored since then; see [`people`].
pub fn deletions(
    connection: &Connection,
    descriptor: &'static Descriptor,
    since: Option<DateTime<Utc>>,
) -> BoxStream<'static, Result<Deletion>> {
    if let Err(error) = check_roster(connection, descriptor) {
        return none(error);
    }
    connection
        .school()
        .deletions(since)
        .try_filter_map(|row| async move {
            let kind = row.kind.as_deref().and_then(person_kind);
            Ok(kind.map(|kind| Deletion {
                kind,
                gone: row.is_gone(),
                at: row.deleted_at,
                id: row.id,
            }))
        })
        .map_err(error)
        .boxed()
}

/// Wonde's names for the kinds of deleted rows are not documented: singular, plural and both cases are accepted.
fn person_kind(word: &str) -> Option<PersonKind> {
    match word.trim().to_ascii_lowercase().trim_end_matches('s') {
        "student" => Some(PersonKind::Student),
        "employee" | "staff" => Some(PersonKind::Staff),
        "contact" => Some(PersonKind::Parent),
        _ => None,
    }
}

/// Wonde's own count of people of a kind; `None` if it gives none.
///
/// # Errors
/// Returns [`ErrorKind::Unsupported`] if people may not be read, and an error if the request fails, unless the count is
/// not permitted or does not exist: then there is no count.
pub async fn people_count(
    connection: &Connection,
    descriptor: &'static Descriptor,
    kind: PersonKind,
) -> Result<Option<u64>> {
    check_roster(connection, descriptor)?;
    let word = match kind {
        PersonKind::Student => "students",
        PersonKind::Staff => "employees",
        PersonKind::Parent => "contacts",
    };
    match connection.school().counts(&[word]).await.map_err(error) {
        Ok(counts) => Ok(counts.get(word)),
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::Forbidden | ErrorKind::NotFound | ErrorKind::Refused | ErrorKind::Decode
            ) =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}
