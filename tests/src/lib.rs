//! What whole-system tests have in common: a sandbox with settings for its schools, and the program running on them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::missing_panics_doc,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test may stop at the first surprise"
)]

mod program;
pub mod torture;
mod world;

pub use program::{Answer, Said, Service, run};
pub use world::{World, at, school_day, sign_in};

/// The examples of the README are compiled, and run where they can be.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
