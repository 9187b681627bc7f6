//! TASS: people, groups and registers are read; marks are not taken.

use mis_wonde::{Descriptor, read_only, register_adapter};

/// TASS, The Alpha School System.
pub static DESCRIPTOR: Descriptor =
    Descriptor::new("tass", "TASS", |context| read_only(&DESCRIPTOR, context))
        .with_aliases(&["TASS.web", "The Alpha School System"])
        .with_notes("Used mostly in Australia: its schools are on another domain of Wonde.")
        .with_source(
            "No vendor on Wonde lists it for writing attendance",
            "2026-11-23",
        );

register_adapter!(DESCRIPTOR);
