//! Tests of the sandbox over HTTP.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failed assertion may panic"
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
