//! Writes attendance from a sign-in system back into the school's MIS: the service and its settings, without HTTP and without a command line.

pub mod clock;

mod lease;
mod ledger;
mod maintenance;
pub mod metrics;
mod mirror;
pub mod operator;
pub mod people;
pub mod pipeline;
pub mod queues;
pub mod rate;
pub mod schools;
pub mod service;
pub mod settings;
pub mod store;
pub mod sync;
pub mod text;
pub mod waiting;
