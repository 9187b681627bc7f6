//! The pages, as a browser gets them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failed assertion may panic"
)]

mod connections;
mod live;
mod office;
mod person;
mod sign_in;
mod skeleton;
mod support;
mod today;
mod walk;
