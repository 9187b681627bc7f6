//! Facility: the AM and PM marks themselves are written, also for early leavers; neither comment nor minutes late are
//! kept.

use mis_wonde::{Ability, Capabilities, Descriptor, register_adapter, session_marks};

/// Facility CMIS, first by Serco, then by Advanced Learning.
pub static DESCRIPTOR: Descriptor = Descriptor::new("facility", "Facility", |context| {
    session_marks(&DESCRIPTOR, context)
})
.with_aliases(&["Facility CMIS", "CMIS", "Serco Facility"])
.with_capabilities(Capabilities::SESSION_MARKS.with(Ability::EarlyLeaver))
.with_notes("Progresso is its successor by the same vendor; schools that use it are Cloud School.")
.with_source(
    "Writeback table for schools at signinapp.com/docs/education/mis.html",
    "2026-11-23",
);

register_adapter!(DESCRIPTOR);
