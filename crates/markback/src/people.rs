//! Finds an event's person among the school's people as last synced.
//!
//! Any process on the same database may have synced, so a cached directory is checked against the database before use,
//! at most once a second. Only so many schools are cached; for events of the others, the database is asked about the people whom
//! they name.

mod names;

use std::{
    collections::{BTreeSet, HashSet},
    num::NonZeroUsize,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use lru::LruCache;
use mis_core::{PersonKind, SchoolId};
use roster::{Directory, Entry, IdKind, PersonMatch};
use writeback::Event;

pub use self::names::{KnownPerson, People, fold};
use crate::{settings::School, store::Store};

/// The most schools whose directories are cached.
const SCHOOLS_CACHED: NonZeroUsize = NonZeroUsize::MIN.saturating_add(999);
/// The most schools whose people are cached by name.
const NAMES_CACHED: NonZeroUsize = NonZeroUsize::MIN.saturating_add(49);
/// How long a cached directory is used without checking the database.
const CHECK_EVERY: Duration = Duration::from_secs(1);
/// How long a cached directory must not have been used before events of another school may take its place: where more schools
/// send events than are cached, each would otherwise read all people of its own and push out another's.
const IDLE_AFTER: Duration = Duration::from_secs(10 * 60);

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
    if *school.persons.by == IdKind::DEFAULT {
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
    /// The most recently used first, so the last one is idle the longest.
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
        Self::with_room(store, SCHOOLS_CACHED).await
    }

    async fn with_room(store: Store, schools: NonZeroUsize) -> outbox::Result<Self> {
        let known = store.schools_ready().await?.into_iter().collect();
        Ok(Self {
            store,
            cached: Mutex::new(LruCache::new(schools)),
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
        self.learn(school);
        Ok(Some(directory))
    }

    /// A directory in which these ids are found as in the whole one, if they are of these kinds; `None` until the school's people
    /// have been read for the first time.
    ///
    /// # Errors
    /// Returns an error if the database query fails.
    pub(crate) async fn owners(
        &self,
        school: &SchoolId,
        ids: &BTreeSet<&str>,
        by: &[IdKind],
    ) -> outbox::Result<Option<Arc<Directory>>> {
        if self.may_cache(school) {
            return self.of(school).await;
        }
        let owners = self.store.owners(school, ids, by).await?;
        if owners.is_some() {
            self.learn(school);
        }
        Ok(owners.map(Arc::new))
    }

    /// Whether a school is cached, or can be without pushing out one that is in use.
    fn may_cache(&self, school: &SchoolId) -> bool {
        let cached = self.cached();
        cached.contains(school)
            || cached.len() < cached.cap().get()
            || cached
                .peek_lru()
                .is_some_and(|(_, idle)| idle.checked.elapsed() >= IDLE_AFTER)
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
            self.learn(school);
        }
    }

    fn learn(&self, school: &SchoolId) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if !known.contains(school) {
            known.insert(school.clone());
        }
    }

    fn names_cached(&self) -> MutexGuard<'_, LruCache<SchoolId, (i64, Arc<People>)>> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn cached(&self) -> MutexGuard<'_, LruCache<SchoolId, CachedDirectory>> {
        self.cached.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use outbox::{SystemClock, on_tx};

    use super::*;

    const PEOPLE: &str = "INSERT INTO markback_roster_schools (school, seq, pruned_seq, known, ready, synced_ms) VALUES \
         ('A1', 1, 0, '{}', 1, 1), ('A2', 1, 0, '{}', 1, 1), ('A3', 1, 0, '{}', 0, 1);\
         INSERT INTO markback_roster_directory (school, kind, sort, id, person, present, grp) VALUES \
         ('A1', 'student', 'id', 'P1', 'P1', 'P1', 'Pupils'), ('A2', 'student', 'id', 'P1', 'P1', 'P8', NULL), \
         ('A2', 'student', 'id', 'P8', 'P1', 'P8', NULL), ('A2', 'parent', 'id', 'P1', 'P1', 'P1', 'Parents'), \
         ('A2', 'student', 'card', '77', 'P1', 'P8', NULL), ('A2', 'student', 'upn', '77', 'P2', 'P2', 'Pupils'), \
         ('A2', 'student', 'upi', '9', 'P1', 'P8', NULL), ('A2', 'student', 'upi', '9', 'P2', 'P2', 'Pupils')";

    async fn check(url: &str) {
        let clock = Arc::new(SystemClock);
        let store = Store::open(url, outbox::Settings::default(), clock).await;
        let store = store.unwrap();
        let mut tx = store.database().begin().await.unwrap();
        on_tx!(tx, conn => sqlx::raw_sql(PEOPLE).execute(conn).await.map(|_| ())).unwrap();
        tx.commit().await.unwrap();
        let index = PersonIndex::with_room(store, NonZeroUsize::MIN).await;
        let index = index.unwrap();
        let (first, second, unread) = ("A1".into(), "A2".into(), "A3".into());
        let by = [IdKind::Card, IdKind::Id, IdKind::Upi];
        let ids = BTreeSet::from(["P1", "P8", "77", "9", "nobody", "O'Hara\0"]);
        let cached = index.owners(&first, &ids, &by).await.unwrap().unwrap();
        assert_eq!(cached.find("P1").unwrap().group.as_deref(), Some("Pupils"));
        // Twice at a time, as two requests of one school.
        let (some, same) = tokio::join!(
            index.owners(&second, &ids, &by),
            index.owners(&second, &ids, &by)
        );
        let (some, same) = (some.unwrap().unwrap(), same.unwrap().unwrap());
        // It pushes out nobody who is in use, and holds what was asked for.
        assert!(index.cached().contains(&first));
        let whole = index.of(&second).await.unwrap().unwrap();
        for id in ids {
            for kind in [None, Some(PersonKind::Student), Some(PersonKind::Parent)] {
                let found = whole.lookup(id, &by, kind);
                assert_eq!(some.lookup(id, &by, kind), found, "{id} {kind:?}");
                assert_eq!(same.lookup(id, &by, kind), found, "{id} {kind:?}");
            }
        }
        assert!(
            matches!(whole.lookup("9", &by, None), PersonMatch::Several(two) if two.len() == 2)
        );
        let none = index.owners(&unread, &["P1"].into(), &by).await.unwrap();
        assert!(none.is_none() && !index.knows(&unread));
    }

    #[tokio::test]
    async fn without_room_for_a_school_only_those_whom_events_name_are_read() {
        check("sqlite::memory:").await;
        if let Some(server) = throwaway_postgres::shared().unwrap() {
            check(&server.create_database().unwrap()).await;
        }
    }
}
