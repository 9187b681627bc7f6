//! Who an event's person is: the school's people as the last sync left them in the store.
//!
//! Any process on the store may have synced, so a directory in memory is held against the store's before it is used,
//! once a second at most.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use mis_core::{PersonKind, SchoolId};
use roster::{Directory, Entry, Found};
use writeback::Event;

use crate::{settings::School, store::Store};

/// Schools whose directories are kept in memory. The least used goes first.
const SCHOOLS_KEPT: usize = 1_000;
/// How long a directory is used without a look at the store.
const TRUSTED_FOR: Duration = Duration::from_secs(1);

/// Whom an event names, by the ids that the school's settings allow.
pub(crate) fn person_of<'d>(school: &School, directory: &'d Directory, event: &Event) -> Found<'d> {
    directory.lookup(&event.person, &school.persons.by, event.kind_of_person)
}

/// The line in which an event waits: that of the person, by whatever id the event names them.
pub(crate) fn line_of(school: &School, directory: Option<&Directory>, event: &Event) -> String {
    let entry = directory.and_then(|directory| person_of(school, directory, event).one());
    entry.map_or_else(|| event.person.clone(), |entry| entry.key.to_string())
}

/// What to say where an event names nobody.
pub(crate) fn nobody(school: &School, event: &Event) -> String {
    let whom = match event.kind_of_person {
        None => "nobody",
        Some(PersonKind::Student) => "no student",
        Some(PersonKind::Staff) => "no member of staff",
        Some(PersonKind::Parent) => "no parent",
    };
    if *school.persons.by == roster::IdKind::DEFAULT {
        format!("the school has {whom} with this id")
    } else {
        let by: Vec<_> = school.persons.by.iter().map(ToString::to_string).collect();
        format!("the school has {whom} with this {}", by.join(" or "))
    }
}

/// What to say where an event's id is of several people, and what to do.
pub(crate) fn several(people: &[&Entry]) -> (String, &'static str) {
    let whose: Vec<_> = people.iter().map(|entry| whose(entry)).collect();
    let what = format!("the id is that of {}", whose.join(" and of "));
    let mut kinds: Vec<_> = people.iter().map(|entry| entry.kind).collect();
    kinds.dedup();
    let cure = if kinds.len() == people.len() {
        r#"say which with `"kind_of_person": "student"`, `"staff"` or `"parent"`"#
    } else {
        "name the person by another id, such as the one in the school's groups"
    };
    (what, cure)
}

fn whose(entry: &Entry) -> String {
    let whom = match entry.kind {
        PersonKind::Student => "a student",
        PersonKind::Staff => "a member of staff",
        PersonKind::Parent => "a parent",
    };
    match &entry.group {
        Some(group) => format!("{whom} ({}, in group {group:?})", entry.key),
        None => format!("{whom} ({}, in no group)", entry.key),
    }
}

/// The directories of all schools whose people are known.
#[derive(Debug)]
pub struct Directories {
    store: Store,
    kept: Mutex<HashMap<SchoolId, Kept>>,
    known: Mutex<HashSet<SchoolId>>,
}

#[derive(Clone, Debug)]
struct Kept {
    directory: Arc<Directory>,
    version: i64,
    looked: Instant,
    used: Instant,
}

impl Directories {
    /// Those of this store.
    ///
    /// # Errors
    /// As the store answers.
    pub async fn open(store: Store) -> outbox::Result<Self> {
        let known = store.schools_ready().await?.into_iter().collect();
        Ok(Self {
            store,
            kept: Mutex::default(),
            known: Mutex::new(known),
        })
    }

    /// Whether a school's people were read before, as far as this process has seen.
    pub fn knows(&self, school: &SchoolId) -> bool {
        self.known
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .contains(school)
    }

    /// A school's directory; `None` until its people were read for the first time.
    ///
    /// # Errors
    /// As the store answers.
    pub async fn of(&self, school: &SchoolId) -> outbox::Result<Option<Arc<Directory>>> {
        if let Some(kept) = self.kept(school)
            && kept.looked.elapsed() < TRUSTED_FOR
        {
            return Ok(Some(kept.directory));
        }
        let looked = Instant::now();
        let Some(version) = self.store.directory_version(school).await? else {
            return Ok(None);
        };
        let directory = match self.kept(school) {
            Some(kept) if kept.version == version => kept.directory,
            _ => Arc::new(Directory::from_ids(self.store.ids(school).await?)),
        };
        self.keep(school, &directory, version, looked);
        self.known
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(school.clone());
        Ok(Some(directory))
    }

    /// Looks at the store the next time, for it has changed.
    pub(crate) fn changed(&self, school: &SchoolId, ready: bool) {
        self.lock().remove(school);
        if ready {
            self.known
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .insert(school.clone());
        }
    }

    fn kept(&self, school: &SchoolId) -> Option<Kept> {
        let mut all = self.lock();
        let kept = all.get_mut(school)?;
        kept.used = Instant::now();
        Some(kept.clone())
    }

    fn keep(&self, school: &SchoolId, directory: &Arc<Directory>, version: i64, looked: Instant) {
        let mut all = self.lock();
        if all.len() >= SCHOOLS_KEPT && !all.contains_key(school) {
            let least_used = all.iter().min_by_key(|(_, kept)| kept.used);
            if let Some(least_used) = least_used.map(|(school, _)| school.clone()) {
                all.remove(&least_used);
            }
        }
        let kept = Kept {
            directory: directory.clone(),
            version,
            looked,
            used: looked,
        };
        all.insert(school.clone(), kept);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<SchoolId, Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
