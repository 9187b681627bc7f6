//! The harness of the tests: a sandbox, a database and services on them, in one process and on one clock.
//!
//! The clock stands still unless a test moves it or waits, so a busy machine changes no result.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::missing_panics_doc,
    clippy::indexing_slicing,
    reason = "tests may panic, and this module is only for tests"
)]

mod api;

use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};
use markback::{
    pipeline::WorkerConfig,
    service::{Markback, Options},
    settings::{self, Settings},
};
use mis_core::SchoolId;
use outbox::{Clock as _, TestClock};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use wonde_sandbox::{Sandbox, SandboxOptions};

pub use api::{ApiEnv, Setup, answer};

/// The bearer key of the API.
pub const KEY: &str = "the-key-of-the-tests";
/// The secret in the address for webhooks.
pub const SECRET: &str = "a-secret-of-the-webhooks";

/// How long a test waits in real time before it fails.
const PATIENCE: Duration = Duration::from_secs(120);
/// The real time between two checks of a test that waits.
const CHECK_EVERY: Duration = Duration::from_millis(5);

/// A time of day on a Monday in winter, when London is on UTC.
pub fn monday(time: &str) -> DateTime<Utc> {
    format!("2026-11-23T{time}:00Z").parse().unwrap()
}

/// Both databases: `None` for SQLite, and the address of a new PostgreSQL database if its server programs are installed.
pub fn stores() -> Vec<Option<String>> {
    [None].into_iter().chain(postgres().map(Some)).collect()
}

/// The address of a new PostgreSQL database, if the server programs are installed.
pub fn postgres() -> Option<String> {
    let server = throwaway_postgres::shared().unwrap()?;
    Some(server.create_database().unwrap())
}

/// A sandbox, a database, and a folder with the settings, the token and the keys.
#[derive(Debug)]
pub struct Env {
    /// The clock of the sandbox and of all services.
    pub clock: Arc<TestClock>,
    /// The sandbox.
    pub sandbox: Sandbox,
    /// The folder with the files `markback.toml`, `token`, `key` and `webhook-secret`, and the SQLite database
    /// `markback.db`.
    pub folder: TempDir,
    store: String,
}

impl Env {
    /// Starts a sandbox. The database is `store`, or an SQLite file.
    pub async fn start(
        start: DateTime<Utc>,
        store: Option<String>,
        options: SandboxOptions,
    ) -> Self {
        let clock = Arc::new(TestClock::at(start));
        let time = clock.clone();
        let sandbox = Sandbox::start(SandboxOptions {
            clock: Arc::new(move || time.now()),
            ..options
        })
        .await
        .unwrap();
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in [
            ("token", sandbox.token()),
            ("key", KEY.to_owned()),
            ("webhook-secret", SECRET.to_owned()),
        ] {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        let file = folder.path().join("markback.db");
        Self {
            clock,
            sandbox,
            store: store.unwrap_or_else(|| format!("sqlite:{}", file.display())),
            folder,
        }
    }

    /// The id of the school at this place: SIMS, Arbor, ScholarPack.
    pub fn school(&self, place: usize) -> SchoolId {
        SchoolId::from(self.sandbox.schools()[place].id.as_str())
    }

    /// The path of the settings file.
    pub fn settings_path(&self) -> PathBuf {
        self.folder.path().join("markback.toml")
    }

    /// Writes the settings file: first the top-level keys in `service`, then `tables`, then the first `schools` schools of
    /// the sandbox, each with the keys and tables in `school`.
    pub fn write_settings(&self, service: &str, tables: &str, schools: usize, school: &str) {
        let mut text = format!(
            "listen = '127.0.0.1:0'\napi_key_file = 'key'\nstore = '{}'\nwonde_url = '{}'\nrate_per_minute = 1000000\n\
             {service}\n{tables}\n",
            self.store,
            self.sandbox.base_url(),
        );
        for info in self.sandbox.schools().iter().take(schools) {
            text += &format!("\n[[school]]\nid = '{}'\n{school}\n", info.id);
        }
        std::fs::write(self.settings_path(), text).unwrap();
    }

    /// Loads the settings file.
    pub fn settings(&self) -> Settings {
        let loaded = settings::load(&self.settings_path());
        loaded.unwrap_or_else(|error| panic!("{error}")).settings
    }

    /// Opens a service with the settings file.
    pub async fn open(&self, options: Options) -> Markback {
        Markback::open(self.settings(), options).await.unwrap()
    }

    /// Options for a service on the clock, with workers that poll often.
    pub fn options(&self) -> Options {
        Options {
            clock: self.clock.clone(),
            workers: Some(worker_config()),
            ..Options::default()
        }
    }

    /// Waits until `condition` holds and moves the clock by `step` after each check that fails.
    ///
    /// # Panics
    /// If the condition does not hold in time; the message says `what` did not happen.
    pub async fn wait_until(
        &self,
        what: &str,
        step: Duration,
        mut condition: impl AsyncFnMut() -> bool,
    ) {
        wait_until(what, async || {
            let holds = condition().await;
            if !holds {
                self.clock.advance(step);
            }
            holds
        })
        .await;
    }
}

/// Waits until `condition` holds while no clock moves.
///
/// # Panics
/// If the condition does not hold in time; the message says `what` did not happen.
pub async fn wait_until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !condition().await {
        assert!(Instant::now() < end, "waited in vain until {what}");
        tokio::time::sleep(CHECK_EVERY).await;
    }
}

/// Workers that poll every 10 ms.
pub fn worker_config() -> WorkerConfig {
    WorkerConfig {
        poll: Duration::from_millis(10),
        ..WorkerConfig::default()
    }
}

/// The running workers of a service. Aborted when dropped.
#[derive(Debug)]
pub struct Workers {
    stop: CancellationToken,
    task: Option<JoinHandle<()>>,
}

impl Workers {
    /// Starts a service's workers.
    pub fn start(markback: &Markback) -> Self {
        let (markback, stop) = (markback.clone(), CancellationToken::new());
        let stopped = stop.clone();
        Self {
            stop,
            task: Some(tokio::spawn(async move { markback.run(stopped).await })),
        }
    }

    /// Lets the workers finish the batches in hand and stops them.
    pub async fn stop(mut self) {
        self.stop.cancel();
        if let Some(task) = self.task.take() {
            task.await.unwrap();
        }
    }

    /// Stops the workers in the middle of their work, like a power cut.
    pub async fn abort(mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
            let _ = task.await;
        }
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        if let Some(task) = self.task.take() {
            self.stop.cancel();
            task.abort();
        }
    }
}
