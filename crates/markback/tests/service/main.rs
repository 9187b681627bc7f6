//! Parts of the service that are tested on their own; `pipeline` has the way of an event.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failed assertion may panic"
)]

mod configuration;
mod scheduled;
mod settings;
mod support;
mod tokens;
