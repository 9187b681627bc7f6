//! Arbor: the mark of a session stands on the pupil's first lesson of it. Early leavers are not kept.

use mis_core::{
    Capabilities, Descriptor, Quirks, SessionWriteback, Source, register_adapter, shapes,
};

/// Arbor by Arbor Education.
pub static DESCRIPTOR: Descriptor = Descriptor {
    id: "arbor",
    name: "Arbor",
    wonde_names: &["Arbor MIS", "Arbor Education"],
    capabilities: Capabilities {
        session: SessionWriteback::FirstLesson,
        comment: true,
        minutes_late: true,
        early_leaver: false,
        comment_max: None,
        roster: true,
    },
    quirks: Quirks::NONE,
    notes: "A pupil without a lesson in the session cannot be marked.",
    source: Source {
        what: "Writeback table for schools at signinapp.com/docs/education/mis.html",
        date: "2026-11-23",
    },
    connect: |connection| shapes::first_lesson_marks(&DESCRIPTOR, connection),
};

register_adapter!(DESCRIPTOR);
