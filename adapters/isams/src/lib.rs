//! iSAMS: the AM and PM marks themselves are written, with comment and minutes late, also for early leavers.

use mis_wonde::{Ability, Capabilities, Descriptor, register_adapter, session_marks};

/// iSAMS by IRIS.
pub static DESCRIPTOR: Descriptor = Descriptor::new("isams", "iSAMS", |context| {
    session_marks(&DESCRIPTOR, context)
})
.with_aliases(&["iSAMS REST", "iSAMS REST API", "IRIS iSAMS"])
.with_capabilities(
    Capabilities::SESSION_MARKS
        .with(Ability::Comment)
        .with(Ability::MinutesLate)
        .with(Ability::EarlyLeaver),
)
.with_notes("Applies to the REST connection. A school on the older batch connection is read only: move it to REST, or restrict it with `without`.")
.with_source("Writeback table for schools at signinapp.com/docs/education/mis.html", "2026-11-23");

register_adapter!(DESCRIPTOR);
