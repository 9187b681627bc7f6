//! SIMS: the AM and PM marks themselves are written, with comment and minutes late, also for early leavers.

use mis_wonde::{Ability, Capabilities, Descriptor, register_adapter, session_marks};

/// SIMS by Education Software Solutions.
pub static DESCRIPTOR: Descriptor = Descriptor::new("sims", "SIMS", |context| {
    session_marks(&DESCRIPTOR, context)
})
.with_aliases(&["SIMS .net", "SIMS Next Gen", "Capita SIMS", "ESS SIMS"])
.with_capabilities(
    Capabilities::SESSION_MARKS
        .with(Ability::Comment)
        .with(Ability::MinutesLate)
        .with(Ability::EarlyLeaver),
)
.with_notes(
    "Lesson marks are stored per period instance, not per lesson; session marks are not affected.",
)
.with_source(
    "Writeback table for schools at signinapp.com/docs/education/mis.html",
    "2026-11-23",
);

register_adapter!(DESCRIPTOR);
