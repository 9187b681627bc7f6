//! Bromcom: the AM and PM marks themselves are written, with comment and minutes late, also for early leavers.

use mis_wonde::{Ability, Capabilities, Descriptor, register_adapter, session_marks};

/// Bromcom by Bromcom Computers.
pub static DESCRIPTOR: Descriptor = Descriptor::new("bromcom", "Bromcom", |context| {
    session_marks(&DESCRIPTOR, context)
})
.with_aliases(&["Bromcom MIS", "Bromcom Cloud"])
.with_capabilities(
    Capabilities::SESSION_MARKS
        .with(Ability::Comment)
        .with(Ability::MinutesLate)
        .with(Ability::EarlyLeaver),
)
.with_notes(
    "Lesson marks can be written too, according to another vendor; session marks do not need them.",
)
.with_source(
    "Writeback table for schools at signinapp.com/docs/education/mis.html",
    "2026-11-23",
);

register_adapter!(DESCRIPTOR);
