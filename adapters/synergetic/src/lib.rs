//! Synergetic: people, groups and registers are read; marks are not taken.

use mis_wonde::{Descriptor, read_only, register_adapter};

/// Synergetic by Education Horizons.
pub static DESCRIPTOR: Descriptor = Descriptor::new("synergetic", "Synergetic", |context| {
    read_only(&DESCRIPTOR, context)
})
.with_aliases(&["Synergetic SIS"])
.with_notes("Used mostly in Australia: its schools are on another domain of Wonde.")
.with_source(
    "No vendor on Wonde lists it for writing attendance",
    "2026-11-23",
);

register_adapter!(DESCRIPTOR);
