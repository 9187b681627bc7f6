//! Keeping the schools' people and groups right: syncs by the clock and on demand, one school after the other or side by side.
//!
//! A sync is a job of the queue, so that several nodes share the work, one that dies is taken over, and a school or token
//! that must rest does. What a sync has read is stored after each kind of people, and gone on with after a crash. What it
//! comes to is kept in one transaction with the end of its job.

mod report;
mod schedule;
mod sync;
mod work;

use std::sync::Arc;

use chrono::TimeDelta;
use mis_core::{Mis, SchoolId};
use outbox::NewJob;
use roster::{Outcome, Progress};
use serde::{Deserialize, Serialize};

use crate::{
    directory::Directories,
    pipeline::Pace,
    queue,
    schools::{Schools, token_lane},
    settings::{School, Settings},
    store::{NewSync, Store, SyncWhy},
};

pub use self::report::{migration, summary};
pub(crate) use self::schedule::Rhythm;

/// Who is told how far a sync has come.
pub type Watch = Arc<dyn Fn(&SchoolId, Progress) + Send + Sync>;

/// The syncs of all schools. Cheap to clone.
#[derive(Clone)]
pub struct Rosters {
    settings: Arc<Settings>,
    store: Store,
    schools: Arc<Schools>,
    directories: Arc<Directories>,
    pace: Pace,
    watch: Option<Watch>,
}

impl std::fmt::Debug for Rosters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rosters").finish_non_exhaustive()
    }
}

/// What kind of sync is wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ask {
    /// Everything is read, not only what changed.
    pub full: bool,
    /// A person has looked at what was held: it goes through. Everything is read.
    pub accept: bool,
}

/// A sync as it waits in the queue.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct SyncJob {
    school: SchoolId,
    id: String,
    ask: Ask,
}

/// A sync to be put in the queue.
struct Wanted<'a> {
    school: &'a School,
    why: SyncWhy,
    id: String,
    ask: Ask,
}

impl Wanted<'_> {
    fn job(&self) -> NewJob {
        let school = &self.school.id;
        let job = SyncJob {
            school: school.clone(),
            id: self.id.clone(),
            ask: self.ask,
        };
        // Ids and two flags: there is nothing in it that JSON could refuse.
        let payload = serde_json::to_value(&job).unwrap_or_default();
        let job = NewJob::new(queue::ROSTER, format!("{school}/{}", self.id), payload)
            .order_key(format!("roster/{school}"))
            .lane(school.as_str())
            .second_lane(token_lane(self.school));
        match self.why {
            // Somebody waits for this very one.
            SyncWhy::Asked => job,
            why => job.supersede_key(why.word()),
        }
    }

    fn sync(&self) -> NewSync<'_> {
        NewSync {
            school: &self.school.id,
            id: &self.id,
            why: self.why,
            full: self.ask.full || self.ask.accept,
        }
    }
}

impl Rosters {
    /// The syncs of these schools on this store.
    pub fn new(
        settings: Arc<Settings>,
        store: Store,
        schools: Arc<Schools>,
        directories: Arc<Directories>,
        pace: Pace,
    ) -> Self {
        Self {
            settings,
            store,
            schools,
            directories,
            pace,
            watch: None,
        }
    }

    /// The same, telling somebody how far each sync has come.
    #[must_use]
    pub fn watched(mut self, watch: Watch) -> Self {
        self.watch = Some(watch);
        self
    }

    /// Asks for a sync of a school. Answers its id; asked for again within the same millisecond, it is the same sync.
    ///
    /// # Errors
    /// As the store answers.
    pub async fn ask(&self, school: &School, ask: Ask) -> outbox::Result<String> {
        let mut id = format!("asked-{}", self.store.now().format("%Y%m%dT%H%M%S%.3fZ"));
        if ask.accept {
            id.push_str("-accept");
        }
        let wanted = Wanted {
            school,
            why: SyncWhy::Asked,
            id: id.clone(),
            ask,
        };
        self.enqueue(&[wanted]).await?;
        Ok(id)
    }

    /// Puts syncs in the queue that were not there before. Those that only waited for the same make way.
    async fn enqueue(&self, wanted: &[Wanted<'_>]) -> outbox::Result<()> {
        let jobs: Vec<_> = wanted.iter().map(Wanted::job).collect();
        let mut tx = self.store.database().begin().await?;
        let receipt = self.store.outbox().enqueue(&mut tx, &jobs).await?;
        for (wanted, enqueued) in wanted.iter().zip(&receipt.jobs) {
            if matches!(enqueued, outbox::Enqueued::New(_)) {
                self.store.note_sync(&mut tx, &wanted.sync()).await?;
            }
        }
        for superseded in &receipt.superseded {
            if let Some((school, id)) = superseded.key.split_once('/') {
                self.store.drop_sync(&mut tx, school, id).await?;
            }
        }
        tx.commit().await
    }

    /// Forgets the people of schools that are not in the settings any more, as long after as those of somebody who left.
    ///
    /// # Errors
    /// As the store answers.
    pub async fn forget_strangers(&self) -> outbox::Result<()> {
        let keep = TimeDelta::from_std(self.settings.service.sync.keep_former);
        let Some(before) = self
            .store
            .now()
            .checked_sub_signed(keep.unwrap_or(TimeDelta::MAX))
        else {
            return Ok(());
        };
        let known = |school: &SchoolId| self.settings.school(school).is_some();
        self.store.drop_rosters(known, before).await
    }

    /// What a sync would come to now. Nothing is kept.
    ///
    /// # Errors
    /// As the store answers, and those of the reads.
    pub async fn preview(&self, school: &School, ask: Ask) -> Result<Outcome, PreviewError> {
        let state = self.store.roster_or_new(&school.id).await?;
        let mis = self.schools.reader(school, true).await?;
        Ok(self.read_and_apply(&mis, school, &state, ask).await?)
    }
}

impl Rosters {
    /// What a full sync would come to if the people of the school were those of another one, which stands for the same
    /// school in the MIS to come. Nothing is kept. `None` before the people were read for the first time.
    ///
    /// # Errors
    /// As the store answers, and those of the reads.
    pub async fn rehearse(
        &self,
        school: &School,
        other: &Mis,
    ) -> Result<Option<Outcome>, PreviewError> {
        let Some(state) = self.store.roster(&school.id).await? else {
            return Ok(None);
        };
        let ask = Ask {
            full: true,
            accept: false,
        };
        Ok(Some(self.read_and_apply(other, school, &state, ask).await?))
    }
}

/// Why it cannot be told what a sync would come to.
#[derive(Debug, thiserror::Error)]
pub enum PreviewError {
    /// The store does not answer.
    #[error("the store cannot be read: {0}")]
    Store(#[from] outbox::Error),
    /// The MIS does not.
    #[error(transparent)]
    Mis(#[from] mis_core::Error),
}
