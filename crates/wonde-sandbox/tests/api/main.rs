//! The sandbox through its own door: every test talks HTTP to a real server.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test may stop at the first surprise"
)]

mod faults;
mod lab;
mod people;
mod program;
mod reading;
mod resources;
mod seed;
mod switches;
mod webhooks;
mod writing;
