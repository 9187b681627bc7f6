//! The path of an event, from intake to what the sandbox's MIS holds.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test may stop at the first surprise"
)]

mod calendar;
mod codes;
mod connections;
mod corrections;
mod desk;
mod gathering;
mod hold;
mod live_settings;
mod mark_before;
mod marks;
mod mirror;
mod panicking;
mod problems;
mod refused_extras;
mod returns;
mod stage;
mod trouble;
mod try_out;
mod workers;
mod wrong_marks;
