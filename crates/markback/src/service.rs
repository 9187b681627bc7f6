//! The service as one value: opened from settings, it takes events in, works, and tells what became of them.

use std::{collections::BTreeMap, sync::Arc};

// Named, so that the linker keeps the crate that brings the adapters.
use mis_adapters as _;
use mis_core::{Registry, SchoolId};
use outbox::{Outbox, SystemClock};
use secrecy::ExposeSecret as _;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::{
    clock::SharedClock,
    directory::Directories,
    metrics::Metrics,
    mirror::Mirror,
    pipeline::Pipeline,
    queue,
    rate::Rates,
    rosters::Rosters,
    schools::Schools,
    settings::{SecretError, Settings},
    store::Store,
    waiting,
};

pub use crate::{
    pipeline::{Health, InputProblem, Intake, IntakeError, Pace, Taken, TakenOrNot},
    store::{EventRecord, EventState},
};

/// What a host decides about a service beside its settings.
#[derive(Clone, Debug)]
pub struct Options {
    /// The clock that everything goes by.
    pub clock: SharedClock,
    /// How the workers go about their work; as the settings say when left out.
    pub pace: Option<Pace>,
    /// The adapters to choose from; all that are linked into the program when left out.
    pub adapters: Option<Registry>,
    /// How the queue spreads its retries.
    pub retries: outbox::Settings,
    /// Where what is measured is kept; nothing is measured without.
    pub metrics: Option<Metrics>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            clock: Arc::new(SystemClock),
            pace: None,
            adapters: None,
            retries: outbox::Settings::default(),
            metrics: None,
        }
    }
}

/// Why a service could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The address of the store is not where the settings say.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The store does not open.
    #[error("the store {store} cannot be opened")]
    Store {
        /// Where it is, without a password.
        store: String,
        /// Why it does not.
        #[source]
        error: outbox::Error,
    },
    /// The adapters do not go together.
    #[error(transparent)]
    Adapters(#[from] mis_core::Error),
}

/// The service. Cheap to clone; clones are the same service.
#[derive(Clone, Debug)]
pub struct Markback {
    pub(crate) pipeline: Pipeline,
    intake: Intake,
    rosters: Rosters,
    clock: SharedClock,
    metrics: Option<Metrics>,
}

impl Markback {
    /// Opens the store and makes ready; nothing is sent before [`Markback::run`].
    ///
    /// # Errors
    /// When the store does not open, or the linked adapters do not go together.
    pub async fn open(settings: Settings, options: Options) -> Result<Self, OpenError> {
        let settings = Arc::new(settings);
        let pace = options
            .pace
            .unwrap_or_else(|| Pace::of(settings.service.pace));
        let url = settings.service.store_url()?;
        let unopened = |error| OpenError::Store {
            store: settings.service.store_told(),
            error,
        };
        let store = Store::open(url.expose_secret(), options.retries, options.clock.clone())
            .await
            .map_err(unopened)?;
        let directories = Directories::open(store.clone()).await.map_err(unopened)?;
        let registry = options.adapters.map_or_else(Registry::discover, Ok)?;
        let schools = Arc::new(Schools::new(
            settings.clone(),
            registry,
            options.clock.clone(),
            Rates::new(settings.service.rate_per_minute, &store),
        ));
        let mirror = Mirror::new(
            settings.clone(),
            store.clone(),
            schools.clone(),
            pace.clone(),
        );
        let pipeline = Pipeline {
            settings,
            store: store.clone(),
            schools,
            mirror,
            directories: Arc::new(directories),
            pace,
            pulse: Arc::default(),
            share: Arc::default(),
        };
        let rosters = Rosters::new(
            pipeline.settings.clone(),
            store,
            pipeline.schools.clone(),
            pipeline.directories.clone(),
            pipeline.pace.clone(),
        );
        let intake = Intake::open(pipeline.clone());
        Ok(Self {
            pipeline,
            intake,
            rosters,
            clock: options.clock,
            metrics: options.metrics,
        })
    }

    /// The settings.
    pub fn settings(&self) -> &Settings {
        &self.pipeline.settings
    }

    /// The clock that everything goes by.
    pub fn clock(&self) -> &SharedClock {
        &self.clock
    }

    /// The store.
    pub fn store(&self) -> &Store {
        &self.pipeline.store
    }

    /// The queue.
    pub fn outbox(&self) -> &Outbox {
        self.pipeline.store.outbox()
    }

    /// What was measured, if anything is.
    pub fn metrics(&self) -> Option<&Metrics> {
        self.metrics.as_ref()
    }

    /// How the workers are.
    pub fn health(&self) -> Health {
        self.pipeline.pulse.health()
    }

    /// The schools' lines to Wonde.
    pub fn schools(&self) -> &Arc<Schools> {
        &self.pipeline.schools
    }

    /// Who the schools' people are.
    pub fn directories(&self) -> &Arc<Directories> {
        &self.pipeline.directories
    }

    /// What is kept of the schools' registers.
    pub(crate) fn mirror(&self) -> &Mirror {
        &self.pipeline.mirror
    }

    /// The syncs of the schools' people.
    pub fn rosters(&self) -> &Rosters {
        &self.rosters
    }

    /// Takes in events of one school: all of them or none. See [`Intake::take`].
    ///
    /// # Errors
    /// As [`IntakeError`] says.
    pub async fn intake(
        &self,
        school: &SchoolId,
        events: Vec<Value>,
    ) -> Result<Vec<Taken>, IntakeError> {
        self.intake.take(school, events).await
    }

    /// Takes in those events that are good, and tells for each what became of it. See [`Intake::take_good`].
    ///
    /// # Errors
    /// As [`IntakeError`] says.
    pub async fn intake_good(
        &self,
        school: &SchoolId,
        events: Vec<Value>,
    ) -> Result<Vec<TakenOrNot>, IntakeError> {
        self.intake.take_good(school, events).await
    }

    /// All that is known of one event; `None` for one that was never taken in, or is past retention.
    ///
    /// # Errors
    /// As the store answers.
    pub async fn event(&self, school: &SchoolId, id: &str) -> outbox::Result<Option<EventRecord>> {
        let mut event = self.store().event(school, id).await?;
        self.tell_waiting(event.as_mut_slice()).await?;
        Ok(event)
    }

    /// Fills in what the open ones among these events wait for.
    ///
    /// # Errors
    /// As the store answers.
    pub async fn tell_waiting(&self, events: &mut [EventRecord]) -> outbox::Result<()> {
        waiting::tell(self.store(), self.settings(), events).await
    }

    /// How many events are in each state, by school.
    ///
    /// # Errors
    /// As the store answers.
    pub async fn tally(&self) -> outbox::Result<BTreeMap<(SchoolId, EventState), u64>> {
        self.store().tally().await
    }

    /// Whether every event has come to its end.
    ///
    /// # Errors
    /// As the store answers.
    pub async fn is_settled(&self) -> outbox::Result<bool> {
        Ok(self.store().open_events().await? == 0)
    }

    /// Works until told to stop, then ends what is in hand; what is left is taken up at the next start.
    ///
    /// What rests because an operator had to remove a cause is tried again at once: a start may well follow on that.
    pub async fn run(&self, stop: CancellationToken) {
        match self.start_afresh().await {
            Ok(ended) => {
                for lane in ended {
                    tracing::info!(%lane, "it rested until its cause was removed; it is tried again at this start");
                }
            }
            Err(error) => {
                tracing::warn!(%error, "pauses of before this start could not be ended; they end by themselves");
            }
        }
        tokio::join!(
            self.pipeline.run(stop.clone()),
            self.run_maintenance(stop.clone()),
            self.pipeline.mirror.run(stop.clone()),
            self.rosters.run(stop),
        );
    }

    async fn start_afresh(&self) -> outbox::Result<Vec<String>> {
        let ended = self.store().end_operator_pauses().await?;
        let mut tx = self.store().database().begin().await?;
        // A sync that met such a cause waits by itself; the school's events wait for it.
        self.outbox().hasten_all(&mut tx, queue::ROSTER).await?;
        tx.commit().await?;
        Ok(ended)
    }
}
