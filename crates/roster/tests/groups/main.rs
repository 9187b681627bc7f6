//! Groups filled from a model MIS and kept right: everything between a change at the school and the host's list.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failed assertion may panic"
)]

mod basics;
mod guarding;
mod migrating;
mod model;
mod people;
mod properties;
mod records;
mod splitting;
