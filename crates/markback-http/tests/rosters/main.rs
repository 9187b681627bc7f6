//! Schools' people from the sandbox into the store and out to the host: syncs, groups, changes, crashes, on both stores.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test may stop at the first surprise"
)]

mod crash;
mod feed;
mod http;
mod records;
mod stage;
mod syncing;
