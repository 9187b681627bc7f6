//! The names of people in events.

use std::sync::Arc;

use markback::{
    people::{KnownPerson, People},
    service::Markback,
    settings::School,
};
use mis_core::PersonKind;
use roster::Directory;

/// Names the people of one school's events.
pub(crate) struct Names {
    school: School,
    directory: Option<Arc<Directory>>,
    people: Option<Arc<People>>,
}

impl Names {
    /// The people of a school as last synced.
    pub(crate) async fn of(markback: &Markback, school: &School) -> outbox::Result<Self> {
        Ok(Self {
            school: school.clone(),
            directory: markback.people().of(&school.id).await?,
            people: markback.people().names(&school.id).await?,
        })
    }

    /// All people; `None` until they have been read.
    pub(crate) fn people(&self) -> Option<&People> {
        self.people.as_deref()
    }

    /// The person of an event.
    pub(crate) fn person(&self, id: &str, kind: Option<PersonKind>) -> Option<&KnownPerson> {
        let directory = self.directory.as_deref()?;
        let found = directory.lookup(id, &self.school.persons.by, kind).one()?;
        self.people.as_deref()?.get(found.kind, &found.key)
    }

    /// The name of an event's person, or the id in the event if nobody is known by it.
    pub(crate) fn name(&self, id: &str, kind: Option<PersonKind>) -> String {
        let person = self.person(id, kind);
        person.map_or_else(|| id.to_owned(), KnownPerson::name)
    }
}

/// What tells people of one name apart: `10B`, `Year 10`, `staff`, `parent`.
pub(crate) fn form(person: &KnownPerson) -> String {
    match person.kind {
        PersonKind::Student => {
            let form = person.registration.clone().or_else(|| person.year.clone());
            form.unwrap_or_default()
        }
        PersonKind::Staff => "staff".to_owned(),
        PersonKind::Parent => "parent".to_owned(),
    }
}
