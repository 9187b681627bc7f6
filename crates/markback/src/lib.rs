//! Writes attendance from a sign-in system back into the school's MIS: the service, its settings and its command line.

pub mod api;
pub mod cli;
pub mod clock;
pub mod commands;
pub mod directory;
pub mod output;
pub mod pipeline;
pub mod schools;
pub mod service;
pub mod settings;
pub mod store;
