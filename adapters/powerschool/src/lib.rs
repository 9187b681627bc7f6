//! PowerSchool: people, groups and registers are read; marks are not taken.

use mis_wonde::{Descriptor, read_only, register_adapter};

/// PowerSchool SIS by PowerSchool.
pub static DESCRIPTOR: Descriptor = Descriptor::new("powerschool", "PowerSchool", |context| {
    read_only(&DESCRIPTOR, context)
})
.with_aliases(&["PowerSchool SIS"])
.with_notes("Used at international schools: check the school's time zone.")
.with_source(
    "No vendor on Wonde lists it for writing attendance",
    "2026-11-23",
);

register_adapter!(DESCRIPTOR);
