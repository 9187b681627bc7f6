//! Engage: the AM and PM marks themselves are written, with a comment, also for early leavers; minutes late are not
//! kept.

use mis_wonde::{Ability, Capabilities, Descriptor, register_adapter, session_marks};

/// Engage by Double First.
pub static DESCRIPTOR: Descriptor = Descriptor::new("engage", "Engage", |context| {
    session_marks(&DESCRIPTOR, context)
})
.with_aliases(&["Engage MIS", "Double First Engage"])
.with_capabilities(
    Capabilities::SESSION_MARKS
        .with(Ability::Comment)
        .with(Ability::EarlyLeaver),
)
.with_notes("Vendors disagree: one states that Engage's API writes nothing back. The school's permissions decide.")
.with_source("Writeback table for schools at signinapp.com/docs/education/mis.html", "2026-11-23");

register_adapter!(DESCRIPTOR);
