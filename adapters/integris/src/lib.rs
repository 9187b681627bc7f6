//! Integris: people, groups and registers are read; marks are not taken.

use mis_wonde::{Descriptor, read_only, register_adapter};

/// Integris by RM Education.
pub static DESCRIPTOR: Descriptor = Descriptor::new("integris", "Integris", |context| {
    read_only(&DESCRIPTOR, context)
})
.with_aliases(&["RM Integris", "RM Integris G2", "Integris G2"])
.with_notes("Two vendors agree that nothing is written back.")
.with_source(
    "Writeback table for schools at signinapp.com/docs/education/mis.html",
    "2026-11-23",
);

register_adapter!(DESCRIPTOR);
