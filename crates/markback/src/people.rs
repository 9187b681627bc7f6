//! Finds an event's person among the school's people as last synced.
//!
//! Any process on the same database may have synced, so a cached directory is checked against the database before use,
//! at most once a second.

mod names;

use std::{
    collections::HashSet,
    num::NonZeroUsize,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use lru::LruCache;
use mis_core::{PersonKind, SchoolId};
use roster::{Directory, Entry, PersonMatch};
use writeback::Event;

pub use self::names::{KnownPerson, People, fold};
use crate::{settings::School, store::Store};

/// The most schools whose directories are cached.
const SCHOOLS_CACHED: NonZeroUsize = NonZeroUsize::MIN.saturating_add(999);
/// The most schools whose people are cached by name.
const NAMES_CACHED: NonZeroUsize = NonZeroUsize::MIN.saturating_add(49);
/// How long a cached directory is used without checking the database.
const CHECK_EVERY: Duration = Duration::from_secs(1);

/// The person that an event names, by the ids that the school's settings allow.
pub(crate) fn person_of<'d>(
    school: &School,
    directory: &'d Directory,
    event: &Event,
) -> PersonMatch<'d> {
    directory.lookup(&event.person, &school.persons.by, event.kind_of_person)
}

/// The person whose events are decided in order with this one, whichever id the event uses.
pub(crate) fn line_of(school: &School, directory: Option<&Directory>, event: &Event) -> String {
    let entry = directory.and_then(|directory| person_of(school, directory, event).one());
    entry.map_or_else(|| event.person.clone(), |entry| entry.key.to_string())
}

/// The error message for an event that names nobody.
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

/// The error message and help for an event whose id belongs to several people.
pub(crate) fn several(people: &[&Entry]) -> (String, &'static str) {
    let whose: Vec<_> = people.iter().map(|entry| whose(entry)).collect();
    let what = format!("the id is that of {}", whose.join(" and of "));
    let mut kinds: Vec<_> = people.iter().map(|entry| entry.kind).collect();
    kinds.dedup();
    let help = if kinds.len() == people.len() {
        r#"say which with `"kind_of_person": "student"`, `"staff"` or `"parent"`"#
    } else {
        "name the person by another id, such as the one in the school's groups"
    };
    (what, help)
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

/// Finds people of all schools that have been synced.
#[derive(Debug)]
pub struct PersonIndex {
    store: Store,
    cached: Mutex<LruCache<SchoolId, CachedDirectory>>,
    names: Mutex<LruCache<SchoolId, (i64, Arc<People>)>>,
    known: Mutex<HashSet<SchoolId>>,
}

#[derive(Clone, Debug)]
struct CachedDirectory {
    directory: Arc<Directory>,
    version: i64,
    checked: Instant,
}

impl PersonIndex {
    /// Opens the index of this database.
    ///
    /// # Errors
    /// Returns an error if the database query fails.
    pub async fn open(store: Store) -> outbox::Result<Self> {
        let known = store.schools_ready().await?.into_iter().collect();
        Ok(Self {
            store,
            cached: Mutex::new(LruCache::new(SCHOOLS_CACHED)),
            names: Mutex::new(LruCache::new(NAMES_CACHED)),
            known: Mutex::new(known),
        })
    }

    /// Whether a school's people have been read, as far as this process knows.
    pub fn knows(&self, school: &SchoolId) -> bool {
        self.known
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .contains(school)
    }

    /// A school's directory; `None` until its people have been read for the first time.
    ///
    /// # Errors
    /// Returns an error if the database query fails.
    pub async fn of(&self, school: &SchoolId) -> outbox::Result<Option<Arc<Directory>>> {
        let cached = self.cached().get(school).cloned();
        if let Some(cached) = &cached
            && cached.checked.elapsed() < CHECK_EVERY
        {
            return Ok(Some(cached.directory.clone()));
        }
        let checked = Instant::now();
        let Some(version) = self.store.directory_version(school).await? else {
            return Ok(None);
        };
        let directory = match cached {
            Some(cached) if cached.version == version => cached.directory,
            _ => Arc::new(Directory::from_ids(self.store.ids(school).await?)),
        };
        let cached = CachedDirectory {
            directory: directory.clone(),
            version,
            checked,
        };
        self.cached().put(school.clone(), cached);
        self.known
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(school.clone());
        Ok(Some(directory))
    }

    /// A school's people with their names; `None` until its people have been read for the first time. They are those of the
    /// last sync, except that another process's sync may count a second later.
    ///
    /// # Errors
    /// Returns an error if the database query fails.
    pub async fn names(&self, school: &SchoolId) -> outbox::Result<Option<Arc<People>>> {
        let Some(version) = self.store.directory_version(school).await? else {
            return Ok(None);
        };
        let cached = self.names_cached().get(school).cloned();
        if let Some((of, people)) = cached
            && of == version
        {
            return Ok(Some(people));
        }
        let (Some(directory), Some(state)) =
            (self.of(school).await?, self.store.roster(school).await?)
        else {
            return Ok(None);
        };
        let people = Arc::new(People::new(&directory, &state));
        self.names_cached()
            .put(school.clone(), (version, people.clone()));
        Ok(Some(people))
    }

    /// Drops the cached directory, because the people have changed.
    pub(crate) fn changed(&self, school: &SchoolId, ready: bool) {
        self.cached().pop(school);
        if ready {
            self.known
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .insert(school.clone());
        }
    }

    fn names_cached(&self) -> MutexGuard<'_, LruCache<SchoolId, (i64, Arc<People>)>> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn cached(&self) -> MutexGuard<'_, LruCache<SchoolId, CachedDirectory>> {
        self.cached.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
