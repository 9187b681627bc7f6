//! The adapter for MISs without an adapter of their own.

use mis_core::{Descriptor, Registry};

use crate::strategies;

/// The adapter for an MIS without its own: people and groups are read, marks are not written.
pub static GENERIC: Descriptor = Descriptor::new("generic", "Any other MIS", |context| {
    strategies::read_only(&GENERIC, context)
})
.with_notes("Nobody has written an adapter for this MIS yet: people and groups are read, marks are not written.")
.with_source(
    "Wonde reads the people and groups of every MIS it connects",
    "2026-11-23",
);

/// The adapter for an MIS by the name that Wonde gives it, or [`GENERIC`] if the registry has none.
pub fn for_mis(registry: &Registry, mis: &str) -> &'static Descriptor {
    registry.for_mis(mis).unwrap_or(&GENERIC)
}
