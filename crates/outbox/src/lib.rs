//! A durable job queue for SQLite and PostgreSQL, ordered per key.
//!
//! The queue lives in the database of its host, so that a row of the host and the job that follows from it are written in
//! one transaction. Several queues share one database; completing a job in one queue and enqueueing the next step in
//! another is one transaction too.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> outbox::Result<()> {
//! use std::sync::Arc;
//! use std::time::Duration;
//! use outbox::{ClaimRequest, Database, NewJob, Outbox, Settings, SystemClock, on_tx, sqlx};
//! use serde_json::json;
//!
//! let db = Database::open("sqlite::memory:").await?;
//! let outbox = Outbox::new(db.clone(), Settings::default(), Arc::new(SystemClock));
//! outbox.migrate().await?;
//!
//! // Write a row of the host and its job in one transaction.
//! let mut tx = db.begin().await?;
//! on_tx!(tx, conn => {
//!     sqlx::raw_sql("CREATE TABLE events (id TEXT PRIMARY KEY)").execute(&mut *conn).await?;
//!     sqlx::query("INSERT INTO events (id) VALUES ($1)").bind("e1").execute(conn).await?;
//! });
//! let job = NewJob::new("decide", "e1", json!({"event": "e1"})).order_key("school/pupil").partition("school");
//! let receipt = outbox.enqueue(&mut tx, &[job]).await?;
//! assert_eq!(receipt.jobs.len(), 1);
//! tx.commit().await?;
//!
//! // Claim jobs; complete them and enqueue the next step in one transaction.
//! let mut wakeup = outbox.wakeup("decide");
//! let jobs = outbox.claim("decide", &ClaimRequest::mixed(100, Duration::from_secs(60))).await?;
//! if jobs.is_empty() {
//!     wakeup.wait(Duration::from_secs(1)).await;
//! }
//! let leases: Vec<_> = jobs.iter().map(|job| job.lease).collect();
//! let next: Vec<_> = jobs.iter().map(|job| NewJob::new("send", &job.key, job.payload.clone())).collect();
//! let mut tx = db.begin().await?;
//! outbox.complete(&mut tx, &leases).await?.all()?; // fails, and rolls back, if another worker claimed a job
//! let receipt = outbox.enqueue(&mut tx, &next).await?;
//! tx.commit().await?;
//! # assert_eq!(receipt.jobs.len(), 1);
//! # Ok(()) }
//! ```
//!
//! # The life of a job
//!
//! ```text
//!                  retry (backoff), release
//!              ┌──────────────────────────────┐
//!              ▼                              │
//! enqueue ─▶ open ──────── claim ────────▶ leased ── complete ─▶ done
//!            │ │ ▲ ▲                        │   │
//!            │ │ │ └─── the lease expires ──┘   └ dead_letter ─▶ dead
//!            │ │ └────────────── retry_dead ──────────────────────┤
//!            │ └── discard ─▶ discarded ◀──────── discard ────────┘
//!            └── a newer job ─▶ superseded
//! ```
//!
//! - **Once per key.** A queue recognises a key as long as its job is kept, finished or not ([`Outbox::prune`]).
//! - **Ordered.** Of the open jobs with one order key in one queue, only the oldest can be claimed. A retried job keeps
//!   its place, and later ones wait; finished jobs and dead letters no longer block. A dead letter that is retried goes
//!   behind all others. On PostgreSQL too, jobs with one order key are ordered as they were committed.
//! - **Leased.** A claim lasts for a limited time, counts as an attempt and increments the fence. After the lease expires
//!   another worker can claim the job, and then the first one can no longer change it. [`ClaimedJob::lapsed`] reports
//!   that an earlier holder never finished.
//! - **At least once.** The side effects of a job can have happened although its holder never completed it.
//! - **Paused.** A job has a partition and a throttle key; it is not claimed while either is paused.
//!
//! # Time
//!
//! All delays are measured by the database's clock: the server's clock on PostgreSQL, so that nodes need not agree, and
//! the given [`Clock`] on SQLite. If it jumps forward, leases expire and backoffs end early, which the fences make
//! harmless. If it jumps back, the next claim notices and moves leases, backoffs and pauses with it; absolute times of the
//! host (`not_before`, [`RetryAt::At`]) stay.
//!
//! # Performance
//!
//! Every operation takes many jobs at once and runs one or a few statements for all of them. There is no group commit
//! inside: on SQLite each commit waits for the disk, so a host that receives single events should gather those that arrive
//! during one commit and enqueue them in the next. Indexes cover open jobs only, so finished ones do not slow claims down.
//!
//! # Privacy
//!
//! A finished job loses its payload at once and keeps its keys until [`Outbox::prune`]. Errors and `Debug` output show
//! neither payloads nor keys; notes and reasons come from the host and must not contain personal data.
//!
//! # Features
//!
//! `sqlite` and `postgres`, both enabled by default. At least one is required.

#[cfg(not(any(feature = "sqlite", feature = "postgres")))]
compile_error!("outbox needs the feature `sqlite` or `postgres`");

#[macro_use]
mod database;

mod admin;
mod claim;
mod clock;
mod enqueue;
mod error;
mod job;
mod migrate;
mod outbox;
mod pause;
#[cfg(all(test, feature = "sqlite", feature = "postgres"))]
mod plans;
#[cfg(feature = "postgres")]
mod postgres;
mod prune;
mod settings;
mod settle;
mod sql;
#[cfg(feature = "sqlite")]
mod sqlite;
mod stats;
mod wake;

pub use sqlx;

pub use admin::{BlockedJob, JobInfo, JobState};
pub use clock::{Clock, SystemClock, TestClock};
pub use database::{Conn, Database, Engine, HostPool, HostTransaction, OpenOptions, Pool, Tx};
pub use error::{Error, ErrorKind, Recovery, Result};
pub use job::{
    BatchMode, ClaimRequest, ClaimedJob, EnqueueReceipt, Enqueued, JobId, KEY_MAX, LeaseToken,
    NewJob, RetryAt, Settled, Shard, SupersededJob, WaitingPartition,
};
pub use migrate::{MIGRATIONS, MigrationStatus, MigrationStep, Migrations};
pub use outbox::Outbox;
pub use pause::{Pause, PauseUntil};
pub use prune::Retention;
pub use settings::Settings;
pub use sql::Sql;
pub use stats::QueueStats;
pub use wake::Wakeup;
