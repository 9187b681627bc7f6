//! Arbor: the mark of a session stands on the pupil's first lesson of it. Early leavers are not kept.

use mis_wonde::{Ability, Capabilities, Descriptor, first_lesson_marks, register_adapter};

/// Arbor by Arbor Education.
pub static DESCRIPTOR: Descriptor = Descriptor::new("arbor", "Arbor", |context| {
    first_lesson_marks(&DESCRIPTOR, context)
})
.with_aliases(&["Arbor MIS", "Arbor Education"])
.with_capabilities(
    Capabilities::FIRST_LESSON_MARKS
        .with(Ability::Comment)
        .with(Ability::MinutesLate),
)
.with_notes("A pupil without a lesson in the session cannot be marked.")
.with_source(
    "Writeback table for schools at signinapp.com/docs/education/mis.html",
    "2026-11-23",
);

register_adapter!(DESCRIPTOR);
