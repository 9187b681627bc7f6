//! ScholarPack: people, groups and registers are read; marks are not taken.

use mis_core::{Capabilities, Descriptor, Quirks, Source, register_adapter, shapes};

/// ScholarPack by The Access Group.
pub static DESCRIPTOR: Descriptor = Descriptor {
    id: "scholarpack",
    name: "ScholarPack",
    wonde_names: &["Scholar Pack", "Access ScholarPack"],
    capabilities: Capabilities::READ_ONLY,
    quirks: Quirks::NONE,
    notes: "One vendor writes marks through a REST connection of ScholarPack's own; through Wonde none are taken.",
    source: Source {
        what: "Writeback table for schools at signinapp.com/docs/education/mis.html",
        date: "2026-11-23",
    },
    connect: |connection| shapes::read_only(&DESCRIPTOR, connection),
};

register_adapter!(DESCRIPTOR);
