//! Writes attendance from a sign-in system back into the school's MIS: the service, its settings and its command line.

pub mod cli;
pub mod commands;
pub mod output;
pub mod settings;
