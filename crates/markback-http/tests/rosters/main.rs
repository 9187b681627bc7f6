//! Schools' people from the sandbox through the database to a client: syncs, groups, changes and crashes, on both
//! databases.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failed assertion may panic"
)]

mod crash;
mod feed;
mod http;
mod records;
mod stage;
mod syncing;
