//! The API over HTTP.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a failed assertion may panic"
)]

mod endpoints;
mod events;
mod every_address;
mod feed;
mod keys;
mod problems;
mod retention;
mod rosters;
mod settings;
mod webhooks;
