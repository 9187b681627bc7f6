//! Who an event is about.

use std::sync::Arc;

use markback::{
    day::DayEvent,
    people::{KnownPerson, People},
    service::Markback,
    settings::School,
};
use mis_core::PersonKind;
use roster::{Directory, Entry, PersonMatch};

use crate::layout::{base, segment};

/// The people of a school, to name those of its events.
#[derive(Debug)]
pub struct Roll {
    school: School,
    directory: Option<Arc<Directory>>,
    people: Option<Arc<People>>,
}

/// A person as lists name them.
#[derive(Clone, PartialEq, Eq)]
pub struct Who {
    /// The name: `Amy Kay`. The id in the event if nobody is known by it.
    pub name: String,
    /// What tells people of one name apart: year and registration group, or the group.
    pub place: String,
    /// The address of the person's page; `None` for an id that is nobody's or that of several people.
    pub href: Option<String>,
}

impl Roll {
    /// The people of a school as last synced.
    ///
    /// # Errors
    /// Returns an error if the database query fails.
    pub async fn of(markback: &Markback, school: &School) -> outbox::Result<Self> {
        Ok(Self {
            school: school.clone(),
            directory: markback.people().of(&school.id).await?,
            people: markback.people().names(&school.id).await?,
        })
    }

    /// Whether the school's people have been read.
    pub fn is_known(&self) -> bool {
        self.directory.is_some()
    }

    /// All people, for a search.
    pub fn people(&self) -> Option<&People> {
        self.people.as_deref()
    }

    /// The person of an event in the directory.
    pub fn entry(&self, event: &DayEvent) -> Option<&Entry> {
        self.entry_of(&event.person, event.kind_of_person)
    }

    /// The person with this id in events.
    fn entry_of(&self, person: &str, kind: Option<PersonKind>) -> Option<&Entry> {
        let directory = self.directory.as_deref()?;
        directory
            .lookup(person, &self.school.persons.by, kind)
            .one()
    }

    /// The person with this id at the host, of this kind if it is given.
    pub fn find(&self, key: &str, kind: Option<PersonKind>) -> PersonMatch<'_> {
        match self.directory.as_deref() {
            Some(directory) => directory.lookup(key, &[roster::IdKind::Id], kind),
            None => PersonMatch::Nobody,
        }
    }

    /// The person with their name.
    pub fn known(&self, entry: &Entry) -> Option<&KnownPerson> {
        self.people.as_deref()?.get(entry.kind, &entry.key)
    }

    /// The person whom an event names by this id, of this kind if it says so.
    pub fn person(&self, id: &str, kind: Option<PersonKind>) -> Option<&KnownPerson> {
        let directory = self.directory.as_deref()?;
        let by = &self.school.persons.by;
        self.known(directory.lookup(id, by, kind).one()?)
    }

    /// Their name, or the id in the event if nobody is known by it.
    pub fn name(&self, id: &str, kind: Option<PersonKind>) -> String {
        let person = self.person(id, kind);
        person.map_or_else(|| id.to_owned(), KnownPerson::name)
    }

    /// The person of an event as lists name them.
    pub fn who(&self, event: &DayEvent) -> Who {
        self.who_is(&event.person, event.kind_of_person)
    }

    /// The person with this id in events as lists name them.
    pub fn who_is(&self, person: &str, kind: Option<PersonKind>) -> Who {
        match self.entry_of(person, kind) {
            Some(entry) => self.named(entry),
            None => Who {
                name: person.to_owned(),
                place: "not in the school’s list".to_owned(),
                href: None,
            },
        }
    }

    /// A person as lists name them.
    pub fn named(&self, entry: &Entry) -> Who {
        let known = self.known(entry);
        Who {
            name: known.map_or_else(|| entry.key.to_string(), KnownPerson::name),
            place: place(known, entry),
            href: Some(self.href(entry)),
        }
    }

    /// The address of a person's page.
    pub fn href(&self, entry: &Entry) -> String {
        person_href(&self.school, entry.kind, entry.key.as_str())
    }
}

/// The address of a person's page. A student's needs no kind.
pub fn person_href(school: &School, kind: PersonKind, key: &str) -> String {
    let kind = match kind {
        PersonKind::Student => "",
        PersonKind::Staff => "?kind=staff",
        PersonKind::Parent => "?kind=parent",
    };
    format!("{}/people/{}{kind}", base(&school.id), segment(key))
}

fn place(known: Option<&KnownPerson>, entry: &Entry) -> String {
    let kind = match entry.kind {
        PersonKind::Student => None,
        PersonKind::Staff => Some("staff"),
        PersonKind::Parent => Some("parent"),
    };
    let of_student = known.and_then(|known| match (&known.year, &known.registration) {
        (_, Some(registration)) => Some(registration.as_str()),
        (Some(year), None) => Some(year.as_str()),
        (None, None) => None,
    });
    let group = entry.group.as_deref();
    kind.or(of_student)
        .or(group)
        .unwrap_or("in no group")
        .to_owned()
}
