//! Integris: people, groups and registers are read; marks are not taken.

use mis_core::{Capabilities, Descriptor, Quirks, Source, register_adapter, shapes};

/// Integris by RM Education.
pub static DESCRIPTOR: Descriptor = Descriptor {
    id: "integris",
    name: "Integris",
    wonde_names: &["RM Integris", "RM Integris G2", "Integris G2"],
    capabilities: Capabilities::READ_ONLY,
    quirks: Quirks::NONE,
    notes: "Two vendors agree that nothing is written back.",
    source: Source {
        what: "Writeback table for schools at signinapp.com/docs/education/mis.html",
        date: "2026-11-23",
    },
    connect: |connection| shapes::read_only(&DESCRIPTOR, connection),
};

register_adapter!(DESCRIPTOR);
