//! The harness of the tests: a sandbox, a database, and services on them.
//!
//! [`ApiEnv`] and [`Env`] run everything in one process and on one clock, which stands still unless a test moves it or
//! waits, so a busy machine changes no result. Tests that start the program itself use a [`TestBed`], on the system's
//! clock.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::missing_panics_doc,
    clippy::indexing_slicing,
    reason = "tests may panic, and this module is only for tests"
)]

mod api;
mod bed;
mod command;
mod described;
mod settings_folder;

use std::{
    ops::Deref,
    sync::Arc,
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};
use markback::{
    pipeline::WorkerConfig,
    service::{Markback, Options},
};
use outbox::{Clock as _, TestClock};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use wonde_sandbox::SandboxOptions;

pub use api::{ApiEnv, Setup, answer};
pub use bed::TestBed;
pub use command::{CommandOutput, run, run_blocking};
pub use described::{Answered, described};
pub use settings_folder::SettingsFolder;

/// The bearer key of the API.
pub const KEY: &str = "the-key-of-the-tests";
/// The secret in the address for webhooks.
pub const SECRET: &str = "a-secret-of-the-webhooks";

/// How long a test waits in real time before it fails.
const PATIENCE: Duration = Duration::from_secs(120);
/// The real time between two checks of a test that waits.
const CHECK_EVERY: Duration = Duration::from_millis(5);

/// Options of a sandbox whose MIS stores a mark within 200 ms, whose copy is always fresh, and whose registers are
/// empty.
pub fn quick_sandbox() -> SandboxOptions {
    SandboxOptions {
        history_days: 0,
        write_delay: Duration::from_millis(200),
        extraction_every: Duration::ZERO,
        ..SandboxOptions::default()
    }
}

/// A time of day on a Monday in winter, when London is on UTC.
pub fn monday(time: &str) -> DateTime<Utc> {
    format!("2026-11-23T{time}:00Z").parse().unwrap()
}

/// Both databases: `None` for SQLite, and the address of a new PostgreSQL database if its server programs are
/// installed.
pub fn stores() -> Vec<Option<String>> {
    [None].into_iter().chain(postgres().map(Some)).collect()
}

/// The address of a new PostgreSQL database, if the server programs are installed.
pub fn postgres() -> Option<String> {
    let server = throwaway_postgres::shared().unwrap()?;
    Some(server.create_database().unwrap())
}

/// A [`TestBed`] whose sandbox and services share one clock, which moves only when a test moves it or waits.
#[derive(Debug)]
pub struct Env {
    /// The clock of the sandbox and of all services.
    pub clock: Arc<TestClock>,
    bed: TestBed,
}

impl Deref for Env {
    type Target = TestBed;

    fn deref(&self) -> &TestBed {
        &self.bed
    }
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
        let options = SandboxOptions {
            clock: Arc::new(move || time.now()),
            ..options
        };
        let bed = TestBed::start(store, options).await;
        Self { clock, bed }
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
