//! Syncs of the schools' people and groups, scheduled and on demand.
//!
//! A sync is a queued job, so nodes share the work, another node takes over from a dead one, and paused schools and
//! tokens are respected. What a sync has read is stored after each kind of people, so it continues after a crash. Its
//! result is written in one transaction with the end of its job.

mod report;
mod schedule;
mod school;
mod work;

use std::sync::Arc;

use chrono::{DateTime, NaiveDate, TimeDelta, TimeZone, Utc};
use mis_core::{Mis, SchoolId};
use outbox::NewJob;
use roster::{Progress, SyncOutcome};
use serde::{Deserialize, Serialize};

use crate::{
    people::PersonIndex,
    pipeline::WorkerConfig,
    queues,
    schools::{Schools, token_key},
    settings::{LiveSettings, School},
    store::{NewSync, Store, SyncWhy},
};

pub use self::report::{migration, summary};
pub(crate) use self::schedule::Rhythm;

/// Observes the progress of syncs.
pub type SyncObserver = Arc<dyn Fn(&SchoolId, Progress) + Send + Sync>;

/// The syncs of all schools. Cheap to clone.
#[derive(Clone)]
pub struct PeopleSync {
    settings: LiveSettings,
    store: Store,
    schools: Arc<Schools>,
    people: Arc<PersonIndex>,
    config: WorkerConfig,
    observer: Option<SyncObserver>,
}

impl std::fmt::Debug for PeopleSync {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PeopleSync").finish_non_exhaustive()
    }
}

/// What a sync should do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncRequest {
    /// Read everything, not only changes.
    pub full: bool,
    /// Apply changes that were held back, because a person has checked them. Reads everything.
    pub accept: bool,
}

/// A queued sync.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct SyncJob {
    school: SchoolId,
    id: String,
    ask: SyncRequest,
}

/// A sync to enqueue.
struct Wanted<'a> {
    school: &'a School,
    why: SyncWhy,
    id: String,
    ask: SyncRequest,
}

impl Wanted<'_> {
    fn job(&self) -> NewJob {
        let school = &self.school.id;
        let job = SyncJob {
            school: school.clone(),
            id: self.id.clone(),
            ask: self.ask,
        };
        // Plain ids and flags always serialise.
        let payload = serde_json::to_value(&job).unwrap_or_default();
        let job = NewJob::new(queues::ROSTER, format!("{school}/{}", self.id), payload)
            .order_key(format!("roster/{school}"))
            .partition(school.as_str())
            .throttle_key(token_key(self.school));
        match self.why {
            // Somebody waits for this sync, so it is never superseded.
            SyncWhy::Asked => job,
            why => job.supersede_key(<&str>::from(why)),
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

impl PeopleSync {
    /// Syncs of these schools in this store.
    pub fn new(
        settings: LiveSettings,
        store: Store,
        schools: Arc<Schools>,
        people: Arc<PersonIndex>,
        config: WorkerConfig,
    ) -> Self {
        Self {
            settings,
            store,
            schools,
            people,
            config,
            observer: None,
        }
    }

    /// Reports the progress of each sync to an observer.
    #[must_use]
    pub fn with_observer(mut self, observer: SyncObserver) -> Self {
        self.observer = Some(observer);
        self
    }

    /// Requests a sync of a school and returns its id. Requests within the same millisecond share one sync.
    ///
    /// # Errors
    /// Returns an error if the database query fails.
    pub async fn ask(&self, school: &School, ask: SyncRequest) -> outbox::Result<String> {
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

    /// Requests a sync because the settings of the school's groups changed in this generation. All nodes that find out
    /// share one.
    pub(crate) async fn ask_for_settings(
        &self,
        school: &School,
        generation: i64,
    ) -> outbox::Result<()> {
        let wanted = Wanted {
            school,
            why: SyncWhy::Asked,
            id: format!("settings-{generation}"),
            ask: SyncRequest {
                full: true,
                accept: false,
            },
        };
        self.enqueue(&[wanted]).await
    }

    /// Enqueues syncs that are not queued yet. They supersede waiting syncs for the same reason.
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

    /// Removes the people of schools that are no longer in the settings, after the time for which leavers are kept.
    ///
    /// # Errors
    /// Returns an error if the database query fails.
    pub async fn forget_strangers(&self) -> outbox::Result<()> {
        let settings = self.settings.current();
        let keep = TimeDelta::from_std(settings.service.sync.keep_former);
        let Some(before) = self
            .store
            .now()
            .checked_sub_signed(keep.unwrap_or(TimeDelta::MAX))
        else {
            return Ok(());
        };
        let known = |school: &SchoolId| settings.school(school).is_some();
        self.store.drop_rosters(known, before).await
    }

    /// The result that a sync would have now. Nothing is stored.
    ///
    /// # Errors
    /// Returns an error if the database or the MIS cannot be read.
    pub async fn preview(
        &self,
        school: &School,
        ask: SyncRequest,
    ) -> Result<SyncOutcome, PreviewError> {
        let state = self.store.roster_or_new(&school.id).await?;
        let mis = self.schools.reader(school, true).await?;
        Ok(self.read_and_apply(&mis, school, &state, ask).await?)
    }
}

impl PeopleSync {
    /// The result of a full sync if the school's people were those of another school, which stands for the same school
    /// in its next MIS. Nothing is stored. `None` before the people have been read for the first time.
    ///
    /// # Errors
    /// Returns an error if the database or the MIS cannot be read.
    pub async fn rehearse(
        &self,
        school: &School,
        other: &Mis,
    ) -> Result<Option<SyncOutcome>, PreviewError> {
        let Some(state) = self.store.roster(&school.id).await? else {
            return Ok(None);
        };
        let ask = SyncRequest {
            full: true,
            accept: false,
        };
        Ok(Some(self.read_and_apply(other, school, &state, ask).await?))
    }
}

/// The time at which a day begins in a school's time zone. `None` if there is no such day.
pub fn morning_of(day: NaiveDate, timezone: impl TimeZone) -> Option<DateTime<Utc>> {
    // Where the clocks jump over midnight, the day begins an hour later.
    [0, 1].into_iter().find_map(|hour| {
        let local = day.and_hms_opt(hour, 0, 0)?;
        Some(
            timezone
                .from_local_datetime(&local)
                .earliest()?
                .with_timezone(&Utc),
        )
    })
}

/// Why a sync cannot be rehearsed.
#[derive(Debug, thiserror::Error)]
pub enum PreviewError {
    /// The database cannot be read.
    #[error("the store cannot be read: {0}")]
    Store(#[from] outbox::Error),
    /// The MIS cannot be read.
    #[error(transparent)]
    Mis(#[from] mis_core::Error),
}
