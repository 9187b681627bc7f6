//! TASS: people, groups and registers are read; marks are not taken.

use mis_core::{Capabilities, Descriptor, Quirks, Source, register_adapter, shapes};

/// TASS, The Alpha School System.
pub static DESCRIPTOR: Descriptor = Descriptor {
    id: "tass",
    name: "TASS",
    wonde_names: &["TASS.web", "The Alpha School System"],
    capabilities: Capabilities::READ_ONLY,
    quirks: Quirks::NONE,
    notes: "Connected mostly in Australia: its schools live on another domain of Wonde's.",
    source: Source {
        what: "No vendor on Wonde lists it for writing attendance",
        date: "2026-11-23",
    },
    connect: |connection| shapes::read_only(&DESCRIPTOR, connection),
};

register_adapter!(DESCRIPTOR);
