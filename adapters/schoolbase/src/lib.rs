//! School Base: the AM and PM marks themselves are written, also for early leavers; neither comment nor minutes late
//! are kept.

use mis_wonde::{Ability, Capabilities, Descriptor, register_adapter, session_marks};

/// School Base by Furlong Solutions.
pub static DESCRIPTOR: Descriptor = Descriptor::new("schoolbase", "School Base", |context| {
    session_marks(&DESCRIPTOR, context)
})
.with_aliases(&["Furlong School Base", "School Base Furlong"])
.with_capabilities(Capabilities::SESSION_MARKS.with(Ability::EarlyLeaver))
.with_notes(
    "A second vendor confirms that marks are written; neither mentions comments or minutes late.",
)
.with_source(
    "Writeback table for schools at signinapp.com/docs/education/mis.html",
    "2026-11-23",
);

register_adapter!(DESCRIPTOR);
