//! What adapters over Wonde have in common.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failed assertion may panic"
)]

mod common;
mod first_lesson;
mod outcomes;
mod people;
mod register_reads;
