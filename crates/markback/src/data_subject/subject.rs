//! Whose data it is.

use std::collections::BTreeSet;

use mis_core::{PersonKind, SchoolId};
use roster::{Directory, Entry, IdKind, PersonMatch};
use writeback::Event;

use crate::{
    people::{PersonIndex, person_of, several},
    settings::Settings,
    store::{KeptRow, Store},
};

/// A person of a school by all ids that are known.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Subject {
    /// The school.
    pub school: SchoolId,
    /// The id that was asked for.
    pub asked: String,
    /// The person in the directory; `None` if the school does not have them, or no longer.
    pub(crate) entry: Option<Entry>,
    /// All ids of any kind.
    ids: BTreeSet<String>,
    /// The ids at Wonde, by which registers and records go.
    pub(crate) students: BTreeSet<String>,
    directory: Option<std::sync::Arc<Directory>>,
}

/// Why it is not certain who is meant.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SubjectError {
    /// The id belongs to several people.
    #[error(
        "{what}; name the person by the id in the school's groups, or say which with --kind student, staff or parent"
    )]
    Several {
        /// Whose it is, by ids.
        what: String,
    },
    /// The database query failed.
    #[error(transparent)]
    Store(#[from] outbox::Error),
}

/// The person that events of a school name by this id. With `kind`, only people of that kind are considered. An id that the
/// school's people do not have is taken for one of somebody who has left.
///
/// # Errors
/// Returns an error if the id belongs to several people, or if the database query fails.
pub async fn find(
    store: &Store,
    settings: &Settings,
    school: &SchoolId,
    id: &str,
    kind: Option<PersonKind>,
) -> Result<Subject, SubjectError> {
    let people = PersonIndex::open(store.clone()).await?;
    let directory = people.of(school).await?;
    let by = settings
        .school(school)
        .map_or(IdKind::DEFAULT.to_vec(), |school| {
            school.persons.by.to_vec()
        });
    let entry = match &directory {
        None => None,
        Some(directory) => {
            let found = match directory.lookup(id, &by, kind) {
                PersonMatch::Nobody => directory.lookup(id, &[IdKind::Id], kind),
                found => found,
            };
            match found {
                PersonMatch::Nobody => None,
                PersonMatch::One(entry) => Some(entry.clone()),
                PersonMatch::Several(people) => {
                    let (what, _) = several(&people);
                    return Err(SubjectError::Several { what });
                }
            }
        }
    };
    let mut subject = Subject {
        school: school.clone(),
        asked: id.to_owned(),
        ids: BTreeSet::from([id.to_owned()]),
        students: BTreeSet::new(),
        entry: None,
        directory,
    };
    match (&entry, &subject.directory) {
        (Some(entry), Some(directory)) => {
            for (sort, id, owner) in directory.ids() {
                if owner.key == entry.key && owner.kind == entry.kind {
                    subject.ids.insert(id.to_owned());
                    if sort == IdKind::Id {
                        subject.students.insert(id.to_owned());
                    }
                }
            }
            subject.students.insert(entry.id.clone());
        }
        _ => {
            subject.students.insert(id.to_owned());
        }
    }
    subject.entry = entry;
    Ok(subject)
}

impl Subject {
    /// Whether the school's people as last synced have them.
    pub fn is_known(&self) -> bool {
        self.entry.is_some()
    }

    /// The id in the school's groups, or the one that was asked for.
    pub fn key(&self) -> &str {
        self.entry
            .as_ref()
            .map_or(self.asked.as_str(), |entry| entry.key.as_str())
    }

    pub(crate) fn all_ids(&self) -> BTreeSet<String> {
        let mut ids = self.ids.clone();
        ids.insert(self.key().to_owned());
        ids.extend(self.students.iter().cloned());
        ids
    }

    /// The ids that name nobody else: the key and those at Wonde.
    pub(crate) fn named(&self) -> BTreeSet<&str> {
        let ids = self.students.iter().map(String::as_str);
        ids.chain([self.key()]).collect()
    }

    pub(crate) fn is_kind(&self, word: &str) -> bool {
        let Some(entry) = &self.entry else {
            return true;
        };
        word == match entry.kind {
            PersonKind::Student => "student",
            PersonKind::Staff => "staff",
            PersonKind::Parent => "parent",
        }
    }

    pub(crate) fn may_be_student(&self) -> bool {
        self.is_kind("student")
    }

    /// Whether an event is this person's; `None` if its id belongs to several people.
    pub(crate) fn owns(&self, settings: &Settings, event: &KeptRow) -> Option<bool> {
        if let Some(student) = event.text("student") {
            if self.students.contains(student) {
                return Some(self.may_be_student());
            }
            // It was decided for another pupil, unless nobody knows this one any more.
            if self.entry.is_some() {
                return Some(false);
            }
        }
        let body = event.0.get("body").cloned().unwrap_or_default();
        let Ok(body) = serde_json::from_value::<Event>(body) else {
            return Some(event.text("person") == Some(self.asked.as_str()));
        };
        let Some(directory) = &self.directory else {
            return Some(true);
        };
        let found = match settings.school(&self.school) {
            Some(school) => person_of(school, directory, &body),
            None => directory.lookup(&body.person, &IdKind::DEFAULT, body.kind_of_person),
        };
        match (found, &self.entry) {
            (PersonMatch::One(found), Some(entry)) => Some(found == entry),
            (PersonMatch::One(_), None) => Some(false),
            (PersonMatch::Several(people), Some(entry)) => {
                if people.contains(&entry) {
                    None
                } else {
                    Some(false)
                }
            }
            (PersonMatch::Several(_), None) => Some(false),
            // The settings may name other kinds of ids than when it came.
            (PersonMatch::Nobody, Some(entry)) => {
                let all = [
                    IdKind::Id,
                    IdKind::Upi,
                    IdKind::MisId,
                    IdKind::Upn,
                    IdKind::AdmissionNumber,
                    IdKind::Card,
                ];
                let owners = directory.lookup(&body.person, &all, body.kind_of_person);
                Some(owners.one() == Some(entry))
            }
            (PersonMatch::Nobody, None) => Some(body.person == self.asked),
        }
    }
}
