//! A durable queue, in order per key, on SQLite and PostgreSQL.
//!
//! It lives in the host's own database, so that a row of the host and the job that follows from it are kept or lost
//! together, in one transaction. Several queues share one database; a job done in one and the job that follows in the
//! next are one transaction too.
//!
//! ```no_run
//! # async fn f() -> outbox::Result<()> {
//! use std::sync::Arc;
//! use std::time::Duration;
//! use outbox::{ClaimRequest, Database, NewJob, Outbox, Settings, SystemClock, When, on_tx};
//! use serde_json::json;
//!
//! let db = Database::open("sqlite:///var/lib/example/store.db").await?;
//! let outbox = Outbox::new(db.clone(), Settings::default(), Arc::new(SystemClock));
//! outbox.migrate().await?;
//!
//! // Take in: the host's row and its job.
//! let mut tx = db.begin().await?;
//! on_tx!(tx, conn => {
//!     sqlx::query("INSERT INTO events (id) VALUES ($1)").bind("e1").execute(conn).await.map(|done| done.rows_affected())
//! })?;
//! let job = NewJob::new("decide", "e1", json!({"event": "e1"})).order_key("s1/p7").lane("s1");
//! outbox.enqueue(&mut tx, &[job]).await?;
//! tx.commit().await?;
//!
//! // Work: claim, and finish together with what follows.
//! let mut bell = outbox.bell("decide");
//! loop {
//!     let jobs = outbox.claim("decide", &ClaimRequest::mixed(100, Duration::from_secs(60))).await?;
//!     if jobs.is_empty() {
//!         bell.wait(Duration::from_secs(1)).await;
//!         continue;
//!     }
//!     let held: Vec<_> = jobs.iter().map(|job| job.held).collect();
//!     let next: Vec<_> = jobs.iter().map(|job| NewJob::new("send", &job.key, job.payload.clone())).collect();
//!     let mut tx = db.begin().await?;
//!     outbox.complete(&mut tx, &held).await?.all()?; // lost to another worker? then nothing of this happens
//!     outbox.enqueue(&mut tx, &next).await?;
//!     tx.commit().await?;
//! }
//! # }
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
//!            │ │ │ └──── the lease lapses ──┘   └──── bury ────▶ dead
//!            │ │ └────────────── retry_dead ──────────────────────┤
//!            │ └── discard ─▶ discarded ◀──────── discard ────────┘
//!            └── a newer one ─▶ superseded
//! ```
//!
//! - **Once per key.** A key is known to its queue while the job is kept, finished or not ([`Outbox::prune`]).
//! - **In line.** Of the open jobs with one order key in one queue only the oldest can be claimed. A job that is retried
//!   keeps its place and those behind it wait; done, dead, superseded and discarded jobs make way. A dead letter that is
//!   opened again goes to the end of its line. On PostgreSQL too, the order of the numbers in a line is the order in
//!   which they were committed.
//! - **Leased.** A claim holds for a time, counts as an attempt and has a fence. A lease that lapsed can be claimed by
//!   another, and from then on the first holder can change nothing. [`Claimed::lapsed`] tells the next holder that an
//!   earlier one never answered.
//! - **At least once.** What a job does outside the database can have happened although its holder never said so.
//! - **Paused lanes.** A job has up to two lanes; when either is paused, it is not claimed.
//!
//! # Time
//!
//! All waiting is measured by the store's own clock: PostgreSQL's server clock, so that nodes need not agree; on SQLite the
//! given [`Clock`]. When it jumps forward, leases lapse and backoffs end early, which the fences make harmless. When it
//! jumps back, which a claim notices, whatever waits for a while (lease, backoff, pause) waits for what it still should,
//! counted from the new time; what the host wanted at a certain time (`not_before`, [`When::At`]) keeps that time.
//!
//! # Cost
//!
//! Every operation takes many jobs at once and runs one or a few statements for all of them: hand over batches. There
//! is no group commit inside: on SQLite each commit waits for the disk, so a host that takes in single events gathers those
//! that arrive during one commit and enqueues them in the next. Indexes hold open jobs only, so finished ones do not slow a claim.
//!
//! # Privacy
//!
//! A finished job loses its payload at once; its keys stay until [`Outbox::prune`]. Errors and `Debug` output show no
//! payload and no key; notes and reasons are the host's words, and must hold nothing personal.

mod claim;
mod clock;
mod database;
mod enqueue;
mod error;
mod job;
mod migrate;
mod outbox;
mod pause;
#[cfg(test)]
mod plans;
mod prune;
mod settings;
mod settle;
mod sql;
mod stats;
mod tend;
mod wake;

pub use clock::{Clock, SystemClock, TestClock};
pub use database::{Conn, Database, Engine, OpenOptions, Pool, Tx};
pub use error::{Error, ErrorKind, Recovery, Result};
pub use job::{
    Batch, ClaimRequest, Claimed, Enqueued, Held, JobId, KEY_MAX, NewJob, Receipt, Settled, Share,
    Superseded, When,
};
pub use migrate::{MIGRATIONS, Migrated, Migrations, Step};
pub use outbox::Outbox;
pub use pause::{Pause, Until};
pub use prune::Retention;
pub use settings::Settings;
pub use sql::Sql;
pub use stats::QueueStats;
pub use tend::{InLine, JobInfo, State};
pub use wake::Bell;
