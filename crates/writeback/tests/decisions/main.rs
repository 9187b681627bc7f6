//! Decisions by the rules.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failed assertion may panic"
)]

mod common;
mod days;
mod hold;
mod properties;
mod repair;
mod rules;
mod settings;
mod worked_example;
