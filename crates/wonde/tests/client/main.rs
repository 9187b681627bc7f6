//! The client over the wire.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failed assertion may panic"
)]

mod common;
mod environment;
mod failures;
mod hostile;
mod paging;
mod privacy;
mod reading;
mod resources;
mod root;
mod sandbox;
mod writing;
