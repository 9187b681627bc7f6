//! The service: opened from settings, it receives events, works on them, and reports what became of them.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex as StdMutex, atomic::AtomicBool},
};

// Named so that the linker keeps the crate, which registers the adapters.
use mis_adapters as _;
use mis_core::{Registry, SchoolId};
use outbox::{Outbox, SystemClock};
use secrecy::ExposeSecret as _;
use serde_json::Value;
use tokio::sync::{Mutex, Semaphore};
use tokio_util::sync::CancellationToken;

use crate::{
    audit_log::{AuditLog, WRITE_EVERY},
    calendar::reading::{Fetching, Reread},
    clock::SharedClock,
    endpoints::{Courier, EndpointError, Endpoints},
    feed::Feed,
    keys::Keys,
    metrics::Metrics,
    mirror::Mirror,
    operator::Actor,
    people::PersonIndex,
    pipeline::Workers,
    queues,
    rate::Rates,
    schools::Schools,
    settings::{Layers, LiveSettings, LoadError, School, SecretError, Settings},
    store::Store,
    sync::PeopleSync,
    try_out::TRIALS,
    users::Users,
    waiting,
};

pub use crate::{
    changes::{ReloadError, Reloaded, last_good_file},
    pipeline::{
        Health, InputProblem, Intake, IntakeError, IntakeResult, ReceivedEvent, WorkerConfig,
    },
    store::{EventRecord, EventState},
};

/// Options of a service that are not in its settings.
#[derive(Clone, Debug)]
pub struct Options {
    /// The clock of the service.
    pub clock: SharedClock,
    /// How the workers work; `None` takes the settings'.
    pub workers: Option<WorkerConfig>,
    /// The adapters; `None` takes all that are linked into the program.
    pub adapters: Option<Registry>,
    /// The backoff of the queue.
    pub retries: outbox::Settings,
    /// The metrics recorder; `None` records nothing.
    pub metrics: Option<Metrics>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            clock: Arc::new(SystemClock),
            workers: None,
            adapters: None,
            retries: outbox::Settings::default(),
            metrics: None,
        }
    }
}

/// Why a service could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The database address is not where the settings say.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The database cannot be opened.
    #[error("the store {store} cannot be opened")]
    Store {
        /// Its address without the password.
        store: String,
        /// Why.
        #[source]
        error: outbox::Error,
    },
    /// The settings of the file and of the database exclude each other.
    #[error(transparent)]
    Settings(#[from] LoadError),
    /// The adapters conflict.
    #[error(transparent)]
    Adapters(#[from] mis_core::Error),
    /// The client for webhooks cannot be set up.
    #[error(transparent)]
    Endpoints(#[from] EndpointError),
}

/// The service. Cheap to clone; clones are the same service.
#[derive(Clone, Debug)]
pub struct Markback {
    settings: LiveSettings,
    pub(crate) layers: Arc<Mutex<Layers>>,
    pub(crate) file_refused: Arc<AtomicBool>,
    /// Why schools' sealed tokens cannot be used, with the number of schools.
    pub(crate) tokens_unread: Arc<StdMutex<BTreeMap<String, usize>>>,
    pub(crate) fetching: Fetching,
    /// The places for trials of settings.
    pub(crate) trials: Arc<Semaphore>,
    store: Store,
    schools: Arc<Schools>,
    people: Arc<PersonIndex>,
    mirror: Mirror,
    intake: Intake,
    keys: Arc<Keys>,
    audit_log: Arc<AuditLog>,
    users: Arc<Users>,
    pub(crate) workers: Arc<Workers>,
    sync: PeopleSync,
    feed: Feed,
    endpoints: Endpoints,
    courier: Courier,
    config: WorkerConfig,
    clock: SharedClock,
    metrics: Option<Metrics>,
}

impl Markback {
    /// Opens the database and prepares the service. Nothing is sent before [`Markback::run`].
    ///
    /// # Errors
    /// Returns an error if the database cannot be opened or the linked adapters conflict.
    pub async fn open(settings: Settings, options: Options) -> Result<Self, OpenError> {
        let settings = Arc::new(settings.of_file());
        let config = options
            .workers
            .unwrap_or_else(|| WorkerConfig::of(settings.service.workers));
        let url = settings.service.store_url()?;
        let unopened = |error| OpenError::Store {
            store: settings.service.store_told(),
            error,
        };
        let store = Store::open(url.expose_secret(), options.retries, options.clock.clone())
            .await
            .map_err(unopened)?;
        let rows = store.settings_since(0).await.map_err(unopened)?;
        let layers = Layers::of(settings.clone(), &rows, None);
        let conflicts = layers.conflicts();
        if !conflicts.is_empty() {
            return Err(LoadError::Problems {
                problems: conflicts,
                hints: Vec::new(),
            }
            .into());
        }
        layers.tell(None);
        let live = LiveSettings::new(layers.settings());
        let people = Arc::new(PersonIndex::open(store.clone()).await.map_err(unopened)?);
        let registry = options.adapters.map_or_else(Registry::discover, Ok)?;
        let schools = Arc::new(Schools::new(
            live.clone(),
            registry,
            options.clock.clone(),
            Rates::new(settings.service.rate_per_minute, &store),
        ));
        let mirror = Mirror::new(live.clone(), store.clone(), schools.clone(), config);
        let workers = Workers::new(
            &settings,
            config,
            store.clone(),
            schools.clone(),
            mirror.clone(),
            people.clone(),
            options.clock.clone(),
        );
        let sync = PeopleSync::new(
            live.clone(),
            store.clone(),
            schools.clone(),
            people.clone(),
            config,
        );
        let feed = Feed::new(
            store.clone(),
            config.poll,
            settings.service.feed.streams.get(),
        );
        let endpoints = Endpoints::new(store.clone(), &settings.service);
        let intake = Intake::start(live.clone(), store.clone(), people.clone());
        let markback = Self {
            keys: Arc::new(Keys::new(store.clone())),
            audit_log: Arc::new(AuditLog::new(store.clone())),
            users: Arc::new(Users::new(store.clone())),
            settings: live,
            layers: Arc::new(Mutex::new(layers)),
            file_refused: Arc::default(),
            tokens_unread: Arc::default(),
            fetching: Fetching::default(),
            trials: Arc::new(Semaphore::new(TRIALS)),
            schools,
            people,
            mirror,
            intake,
            workers,
            sync,
            feed,
            courier: endpoints.courier()?,
            endpoints,
            store,
            config,
            clock: options.clock,
            metrics: options.metrics,
        };
        markback.look_at_sealed_tokens();
        Ok(markback)
    }

    /// The settings that rule now. They may be replaced at any time: take them once for each request.
    pub fn settings(&self) -> Arc<Settings> {
        self.settings.current()
    }

    /// The settings that rule now and may be replaced.
    pub(crate) fn live_settings(&self) -> &LiveSettings {
        &self.settings
    }

    /// The settings of a school that rule now.
    pub fn school(&self, id: &SchoolId) -> Option<School> {
        self.settings.current().school(id).cloned()
    }

    /// The clock of the service.
    pub fn clock(&self) -> &SharedClock {
        &self.clock
    }

    /// The database.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The queue.
    pub fn outbox(&self) -> &Outbox {
        self.store.outbox()
    }

    /// The metrics, if they are recorded.
    pub fn metrics(&self) -> Option<&Metrics> {
        self.metrics.as_ref()
    }

    /// The state of the workers.
    pub fn health(&self) -> Health {
        self.workers.health()
    }

    /// The schools' connections.
    pub fn schools(&self) -> &Arc<Schools> {
        &self.schools
    }

    /// The index of the schools' people.
    pub fn people(&self) -> &Arc<PersonIndex> {
        &self.people
    }

    /// The mirror of the schools' registers.
    pub(crate) fn mirror(&self) -> &Mirror {
        &self.mirror
    }

    /// The keys of the API.
    pub fn keys(&self) -> &Arc<Keys> {
        &self.keys
    }

    /// Signs in the users of the pages.
    pub fn users(&self) -> &Arc<Users> {
        &self.users
    }

    /// The audit log.
    pub fn audit_log(&self) -> &Arc<AuditLog> {
        &self.audit_log
    }

    /// The syncs of the schools' people.
    pub fn sync(&self) -> &PeopleSync {
        &self.sync
    }

    /// The feed of outcomes, changes of groups and notices.
    pub fn feed(&self) -> &Feed {
        &self.feed
    }

    /// The endpoints for webhooks.
    pub fn endpoints(&self) -> &Endpoints {
        &self.endpoints
    }

    /// Receives events of one school: all of them or none. See [`Intake::submit`]. The audit log names this program as their
    /// sender.
    ///
    /// # Errors
    /// Returns an [`IntakeError`] if the request was refused.
    pub async fn intake(
        &self,
        school: &SchoolId,
        events: Vec<Value>,
    ) -> Result<Vec<ReceivedEvent>, IntakeError> {
        self.intake_by(&Actor::program(), school, events).await
    }

    /// Receives events of one school from somebody: all of them or none. See [`Intake::submit`].
    ///
    /// # Errors
    /// Returns an [`IntakeError`] if the request was refused.
    pub async fn intake_by(
        &self,
        actor: &Actor,
        school: &SchoolId,
        events: Vec<Value>,
    ) -> Result<Vec<ReceivedEvent>, IntakeError> {
        self.intake.submit(school, events, actor).await
    }

    /// Receives the valid ones of these events and returns the result for each. See [`Intake::submit_valid`]. The audit log
    /// names this program as their sender.
    ///
    /// # Errors
    /// Returns an [`IntakeError`] if the request was refused.
    pub async fn intake_valid(
        &self,
        school: &SchoolId,
        events: Vec<Value>,
    ) -> Result<Vec<IntakeResult>, IntakeError> {
        self.intake_valid_by(&Actor::program(), school, events)
            .await
    }

    /// Receives the valid ones of somebody's events and returns the result for each. See [`Intake::submit_valid`].
    ///
    /// # Errors
    /// Returns an [`IntakeError`] if the request was refused.
    pub async fn intake_valid_by(
        &self,
        actor: &Actor,
        school: &SchoolId,
        events: Vec<Value>,
    ) -> Result<Vec<IntakeResult>, IntakeError> {
        self.intake.submit_valid(school, events, actor).await
    }

    /// Everything about one event; `None` if it was never received or is past its retention.
    ///
    /// # Errors
    /// Returns an error if the database query fails.
    pub async fn event(&self, school: &SchoolId, id: &str) -> outbox::Result<Option<EventRecord>> {
        let mut event = self.store().event(school, id).await?;
        self.tell_waiting(event.as_mut_slice()).await?;
        Ok(event)
    }

    /// Fills in what the open events wait for.
    ///
    /// # Errors
    /// Returns an error if the database query fails.
    pub async fn tell_waiting(&self, events: &mut [EventRecord]) -> outbox::Result<()> {
        waiting::tell(self.store(), &self.settings(), events).await
    }

    /// The number of events in each state, by school. Reads every stored event.
    ///
    /// # Errors
    /// Returns an error if the database query fails.
    pub async fn tally(&self) -> outbox::Result<BTreeMap<(SchoolId, EventState), u64>> {
        self.store().tally().await
    }

    /// Whether every event has reached a final state.
    ///
    /// # Errors
    /// Returns an error if the database query fails.
    pub async fn is_settled(&self) -> outbox::Result<bool> {
        Ok(self.store().open_events().await? == 0)
    }

    /// Works until told to stop, then finishes the batches in hand. The rest continues at the next start.
    ///
    /// Pauses that only an operator can end are ended first, because a restart often follows a fix.
    pub async fn run(&self, stop: CancellationToken) {
        match self.start_afresh().await {
            Ok(ended) => {
                for lane in ended {
                    tracing::info!(%lane, "the pause needed an operator; it ends with this start");
                }
            }
            Err(error) => {
                tracing::warn!(%error, "earlier pauses could not be ended; they end by themselves");
            }
        }
        self.tell_secrets_in_clear().await;
        // Before the first decision.
        self.begin_what_is_due().await;
        self.read_calendars(&self.settings(), Reread::All).await;
        self.wake_calendars();
        tokio::join!(
            self.workers.run(stop.clone()),
            self.run_maintenance(stop.clone()),
            self.follow_settings(stop.clone()),
            self.run_calendars(stop.clone()),
            self.mirror.run(stop.clone()),
            self.workers.run_lapses(stop.clone()),
            self.feed.run(stop.clone()),
            self.courier
                .run(self.config.poll, self.config.lease, stop.clone()),
            self.run_records(stop.clone()),
            self.sync.run(stop),
        );
    }

    /// Writes looks and uses of keys every second until told to stop, and then once more.
    async fn run_records(&self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(WRITE_EVERY) => {}
            }
            self.write_records().await;
        }
    }

    /// Writes the looks at people and the uses of keys that are not written yet. A host that answers requests calls it
    /// after the last one; otherwise [`run`](Self::run) writes them every second.
    pub async fn write_records(&self) {
        if let Err(error) = self.audit_log.write().await {
            tracing::warn!(%error, "looks at people could not be written into the audit log; they are tried again");
        }
        if let Err(error) = self.keys.write_uses().await {
            tracing::debug!(%error, "the last uses of keys could not be written; they are tried again");
        }
    }

    /// Says once that endpoints' secrets are not sealed.
    async fn tell_secrets_in_clear(&self) {
        let endpoints = match self.store().endpoint_secrets_in_clear().await {
            Ok(0) => return,
            Ok(endpoints) => endpoints,
            Err(error) => {
                tracing::debug!(%error, "whether endpoints' secrets are sealed cannot be read");
                return;
            }
        };
        let what_to_do = match self.settings().service.names_seal_key() {
            true => "`markback token reseal` seals them",
            false => {
                "name a key in `seal_key_env` or `seal_key_file`, and run `markback token reseal`"
            }
        };
        tracing::warn!(
            endpoints,
            "secrets of webhook endpoints are in the database in clear; {what_to_do}"
        );
    }

    async fn start_afresh(&self) -> outbox::Result<Vec<String>> {
        let ended = self.store().end_operator_pauses().await?;
        let mut tx = self.store().database().begin().await?;
        // A sync that met such a cause is retried by itself; the school's events wait for it.
        self.outbox().run_all_now(&mut tx, queues::ROSTER).await?;
        tx.commit().await?;
        Ok(ended)
    }
}
