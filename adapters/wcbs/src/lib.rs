//! WCBS: people, groups and registers are read; marks are not taken.

use mis_core::{Capabilities, Descriptor, Quirks, Source, register_adapter, shapes};

/// 3Sys by WCBS.
pub static DESCRIPTOR: Descriptor = Descriptor {
    id: "wcbs",
    name: "WCBS",
    wonde_names: &["3Sys", "WCBS 3Sys", "HUBmis"],
    capabilities: Capabilities::READ_ONLY,
    quirks: Quirks::NONE,
    notes: "One vendor states that it is read only, and none lists it for writing.",
    source: Source {
        what: "MIS table at mediabasedirect.help/en/articles/8630978",
        date: "2026-11-23",
    },
    connect: |connection| shapes::read_only(&DESCRIPTOR, connection),
};

register_adapter!(DESCRIPTOR);
