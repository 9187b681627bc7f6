//! A fresh store for each test, and short words for what tests do with it.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use outbox::{
    ClaimRequest, ClaimedJob, Database, EnqueueReceipt, LeaseToken, NewJob, OpenOptions, Outbox,
    Settings, Settled, TestClock, Tx,
};
use serde_json::json;
use throwaway_postgres::Server;

pub(crate) const MINUTE: Duration = Duration::from_secs(60);
pub(crate) const LEASE: Duration = Duration::from_secs(600);

/// Runs each test on both stores.
macro_rules! both {
    ($($(#[$meta:meta])* async fn $name:ident($store:ident: &Store) $body:block)*) => {$(
        $(#[$meta])*
        mod $name {
            #[allow(unused_imports, reason = "not every test needs all")]
            use super::*;

            async fn run($store: &Store) $body

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn sqlite() {
                run(&Store::sqlite().await).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn postgres() {
                if let Some(store) = Store::postgres().await {
                    run(&store).await;
                }
            }
        }
    )*};
}

pub(crate) struct Store {
    pub(crate) outbox: Outbox,
    pub(crate) db: Database,
    pub(crate) clock: Arc<TestClock>,
    pub(crate) url: String,
    _folder: Option<tempfile::TempDir>,
}

pub(crate) fn settings() -> Settings {
    Settings::new(MINUTE, 8 * MINUTE)
}

/// The moment at which the clock of SQLite stands at first.
pub(crate) fn start() -> DateTime<Utc> {
    DateTime::from_timestamp(1_795_424_400, 0).unwrap()
}

pub(crate) fn server() -> Option<&'static Server> {
    throwaway_postgres::shared().unwrap()
}

impl Store {
    pub(crate) async fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", folder.path().join("store.db").display());
        Self::open(url, Some(folder)).await
    }

    pub(crate) async fn memory() -> Self {
        Self::open("sqlite::memory:".to_owned(), None).await
    }

    pub(crate) async fn postgres() -> Option<Self> {
        Some(Self::open(server()?.create_database().unwrap(), None).await)
    }

    pub(crate) async fn open(url: String, folder: Option<tempfile::TempDir>) -> Self {
        let clock = Arc::new(TestClock::at(start()));
        let (db, outbox) = node(&url, &clock).await;
        outbox.migrate().await.unwrap();
        Self {
            outbox,
            db,
            clock,
            url,
            _folder: folder,
        }
    }

    /// Another process on the same store, as far as the store can tell. (Not for SQLite in memory.)
    pub(crate) async fn another_node(&self) -> Self {
        let (db, outbox) = node(&self.url, &self.clock).await;
        Self {
            outbox,
            db,
            clock: Arc::clone(&self.clock),
            url: self.url.clone(),
            _folder: None,
        }
    }

    /// Another handle with the same connections.
    pub(crate) fn another_worker(&self) -> Outbox {
        let clock: Arc<TestClock> = Arc::clone(&self.clock);
        Outbox::new(self.db.clone(), settings(), clock)
    }

    pub(crate) async fn enqueue(&self, jobs: &[NewJob]) -> EnqueueReceipt {
        let mut tx = self.db.begin().await.unwrap();
        let receipt = self.outbox.enqueue(&mut tx, jobs).await.unwrap();
        tx.commit().await.unwrap();
        receipt
    }

    pub(crate) async fn claim(&self, limit: u32) -> Vec<ClaimedJob> {
        self.outbox
            .claim("q", &ClaimRequest::mixed(limit, LEASE))
            .await
            .unwrap()
    }

    /// Claims up to 100 and gives their keys.
    pub(crate) async fn claim_keys(&self) -> Vec<String> {
        keys(&self.claim(100).await)
    }

    pub(crate) async fn complete(&self, jobs: &[ClaimedJob]) -> Settled {
        let held = held(jobs);
        in_tx!(self, tx => self.outbox.complete(&mut tx, &held))
    }

    pub(crate) async fn begin(&self) -> Tx {
        self.db.begin().await.unwrap()
    }

    /// The wall-clock time the store goes by.
    pub(crate) async fn now(&self) -> DateTime<Utc> {
        self.outbox.now().await.unwrap()
    }
}

/// Runs one call in a transaction of its own.
macro_rules! in_tx {
    ($store:expr, $tx:ident => $call:expr) => {{
        let mut $tx = $store.db.begin().await.unwrap();
        let answer = $call.await.unwrap();
        $tx.commit().await.unwrap();
        answer
    }};
}
pub(crate) use in_tx;

async fn node(url: &str, clock: &Arc<TestClock>) -> (Database, Outbox) {
    let options = OpenOptions::default().max_connections(5);
    let db = Database::open_with(url, &options).await.unwrap();
    let clock: Arc<TestClock> = Arc::clone(clock);
    let outbox = Outbox::new(db.clone(), settings(), clock);
    (db, outbox)
}

/// A job of queue "q" with its key as payload.
pub(crate) fn job(key: &str) -> NewJob {
    NewJob::new("q", key, json!({ "key": key }))
}

/// A job of queue "q" in a line.
pub(crate) fn lined(key: &str, line: &str) -> NewJob {
    job(key).order_key(line)
}

pub(crate) fn keys(jobs: &[ClaimedJob]) -> Vec<String> {
    jobs.iter().map(|job| job.key.clone()).collect()
}

pub(crate) fn held(jobs: &[ClaimedJob]) -> Vec<LeaseToken> {
    jobs.iter().map(|job| job.lease).collect()
}
