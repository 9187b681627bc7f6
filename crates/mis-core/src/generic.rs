//! The adapter for an MIS that nobody has written one for: its groups work, and it says that marks do not.

use crate::{Capabilities, Descriptor, Source, shapes};

/// Taken by [`Registry::for_mis`](crate::Registry::for_mis) when no adapter answers to the MIS's name.
pub(crate) static DESCRIPTOR: Descriptor = Descriptor {
    id: "generic",
    name: "Any other MIS",
    wonde_names: &[],
    capabilities: Capabilities::READ_ONLY,
    quirks: crate::Quirks::NONE,
    notes: "Nobody has written an adapter for this MIS yet: people and groups are read, marks are not written.",
    source: Source {
        what: "Wonde reads the people and groups of every MIS it connects",
        date: "2026-11-23",
    },
    connect: |connection| shapes::read_only(&DESCRIPTOR, connection),
};
