//! Writes attendance from a sign-in system back into the school's MIS: the service, its settings and its command line.

pub mod api;
pub mod cli;
pub mod clock;
pub mod commands;
pub mod directory;
mod house;
mod lease;
pub mod output;
pub mod pipeline;
mod queue;
pub mod rate;
pub mod rosters;
pub mod schools;
pub mod service;
pub mod settings;
pub mod sight;
pub mod store;
pub mod tending;
