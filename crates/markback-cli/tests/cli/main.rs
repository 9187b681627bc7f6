//! The commands of `markback`, run as processes.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a failed assertion may panic"
)]

mod command;
mod doctor;
mod endpoints;
mod intake;
mod keys;
mod mistakes;
mod offline;
mod pauses;
mod people;
mod person;
mod serve;
mod settings;
mod support;
mod tokens;
mod users;
