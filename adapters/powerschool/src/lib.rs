//! PowerSchool: people, groups and registers are read; marks are not taken.

use mis_core::{Capabilities, Descriptor, Quirks, Source, register_adapter, shapes};

/// PowerSchool SIS by PowerSchool.
pub static DESCRIPTOR: Descriptor = Descriptor {
    id: "powerschool",
    name: "PowerSchool",
    wonde_names: &["PowerSchool SIS"],
    capabilities: Capabilities::READ_ONLY,
    quirks: Quirks::NONE,
    notes: "Met at international schools: mind the school's own time zone.",
    source: Source {
        what: "No vendor on Wonde lists it for writing attendance",
        date: "2026-11-23",
    },
    connect: |connection| shapes::read_only(&DESCRIPTOR, connection),
};

register_adapter!(DESCRIPTOR);
