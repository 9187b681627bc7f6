//! Who an event's person is: the school's people as the last sync left them in the store.
//!
//! Any process on the store may have synced, so a directory in memory is held against the store's before it is used,
//! once a second at most.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use mis_core::wonde::SchoolId;
use roster::Directory;

use crate::store::Store;

/// Schools whose directories are kept in memory. The least used goes first.
const SCHOOLS_KEPT: usize = 1_000;
/// How long a directory is used without a look at the store.
const TRUSTED_FOR: Duration = Duration::from_secs(1);

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
