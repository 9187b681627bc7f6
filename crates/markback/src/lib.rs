//! Writes attendance from a sign-in system back into the school's MIS: the service and its settings, without HTTP and without a command line.

pub mod clock;
pub mod directory;
mod lease;
mod ledger;
mod maintenance;
pub mod metrics;
mod mirror;
pub mod operator;
pub mod pipeline;
pub mod queue;
pub mod rate;
pub mod rosters;
pub mod schools;
pub mod service;
pub mod settings;
pub mod store;
pub mod text;
pub mod waiting;
