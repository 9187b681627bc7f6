//! Writes attendance from a sign-in system back into the school's MIS.
//!
//! This is the service as a library, without HTTP and without a command line. A host opens it from [`settings`], hands in
//! events and runs it until it is told to stop:
//!
//! ```no_run
//! use std::path::Path;
//!
//! use markback::{
//!     service::{Markback, Options},
//!     settings,
//! };
//! use serde_json::json;
//! use tokio_util::sync::CancellationToken;
//!
//! # async fn open() -> Result<(), Box<dyn std::error::Error>> {
//! let settings = settings::load(Path::new("markback.toml"))?.settings;
//! let markback = Markback::open(settings, Options::default()).await?;
//!
//! let stop = CancellationToken::new();
//! let running = tokio::spawn({
//!     let (markback, stop) = (markback.clone(), stop.clone());
//!     async move { markback.run(stop).await }
//! });
//!
//! let school = "A1930499544".into();
//! let event = json!({
//!     "id": "e1", "person": "A123", "kind": "sign_in", "at": "2026-11-23T09:07:12Z",
//! });
//! markback.intake(&school, vec![event]).await?;
//! let record = markback.event(&school, "e1").await?;
//! println!("{:?}", record.map(|record| record.state));
//!
//! stop.cancel();
//! running.await?;
//! # Ok(())
//! # }
//! ```
//!
//! [`pipeline`] explains the path of an event.

pub mod adapters;
pub mod approvals;
pub mod audit_log;
pub mod calendar;
mod changes;
pub mod clock;
pub mod configuration;
pub mod correction;
pub mod data_subject;
pub mod day;
pub mod desk;
pub mod doctor;
pub mod endpoints;
pub mod explain;
pub mod feed;
pub mod forms;
pub mod hints;
pub mod keys;
mod lease;
mod ledger;
mod maintenance;
pub mod metrics;
mod mirror;
pub mod operator;
pub mod overview;
pub mod people;
pub mod pipeline;
pub mod problems;
pub mod queues;
pub mod rate;
pub mod replay_decision;
pub mod schools;
mod seal;
pub mod service;
pub mod settings;
pub mod slowed;
pub(crate) mod snapshot;
pub mod store;
pub mod sync;
pub mod targets;
pub mod text;
pub mod try_out;
mod usage;
pub mod users;
pub mod waiting;
