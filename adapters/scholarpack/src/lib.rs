//! ScholarPack: people, groups and registers are read; marks are not taken.

use mis_wonde::{Descriptor, read_only, register_adapter};

/// ScholarPack by The Access Group.
pub static DESCRIPTOR: Descriptor = Descriptor::new("scholarpack", "ScholarPack", |context| {
    read_only(&DESCRIPTOR, context)
})
.with_aliases(&["Scholar Pack", "Access ScholarPack"])
.with_notes("One vendor writes marks through ScholarPack's own REST connection; they are not accepted through Wonde.")
.with_source("Writeback table for schools at signinapp.com/docs/education/mis.html", "2026-11-23");

register_adapter!(DESCRIPTOR);
