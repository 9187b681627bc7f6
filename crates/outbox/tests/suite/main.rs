//! One suite for both stores: each test runs on SQLite and on PostgreSQL, and what only one of them can get wrong has
//! a file of its own.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test may stop at the first surprise"
)]

#[macro_use]
mod support;

mod admin;
mod clock;
mod concurrency;
mod enqueue;
mod lease;
mod model;
mod opening;
mod partitions;
mod postgres_orders;
mod postgres_restart;
mod retry;
mod wake;
