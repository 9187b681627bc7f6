//! The common part of the whole-system tests: a sandbox with settings for its schools, and the program that runs on
//! them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::missing_panics_doc,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a failed assertion may panic"
)]

mod program;
pub mod torture;
mod world;

pub use markback_lab::harness::CommandOutput;
pub use program::{Answer, Service, run};
pub use world::{World, at, school_day, sign_in};

/// The examples of the README are compiled, and run if possible.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
