//! Cloud School: the AM and PM marks themselves are written, also for early leavers; neither comment nor minutes late
//! are kept.

use mis_wonde::{Ability, Capabilities, Descriptor, register_adapter, session_marks};

/// Cloud School by Advanced Learning, known before as Progresso.
pub static DESCRIPTOR: Descriptor = Descriptor::new("cloudschool", "Cloud School", |context| {
    session_marks(&DESCRIPTOR, context)
})
.with_aliases(&["Progresso", "Advanced Progresso", "Advanced Cloud School"])
.with_capabilities(
    Capabilities::SESSION_MARKS
        .with(Ability::EarlyLeaver),
)
.with_notes("According to one source Progresso is the same product: no list has both. If that is wrong, a Progresso school's marks are rejected, which the school can see.")
.with_source("Writeback table for schools at signinapp.com/docs/education/mis.html", "2026-11-23");

register_adapter!(DESCRIPTOR);
