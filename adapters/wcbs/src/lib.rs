//! WCBS: people, groups and registers are read; marks are not taken.

use mis_wonde::{Descriptor, read_only, register_adapter};

/// 3Sys by WCBS.
pub static DESCRIPTOR: Descriptor =
    Descriptor::new("wcbs", "WCBS", |context| read_only(&DESCRIPTOR, context))
        .with_aliases(&["3Sys", "WCBS 3Sys", "HUBmis"])
        .with_notes("One vendor states that it is read only, and none lists it for writing.")
        .with_source(
            "MIS table at mediabasedirect.help/en/articles/8630978",
            "2026-11-23",
        );

register_adapter!(DESCRIPTOR);
