//! Arbor: the mark of a session stands on the pupil's first lesson of it. Early leavers are not kept.

use mis_core::{Capabilities, Descriptor, SessionWriteback, Source, register_adapter, shapes};

/// Arbor by The Key.
pub static DESCRIPTOR: Descriptor = Descriptor {
    id: "arbor",
    name: "Arbor",
    wonde_names: &["Arbor MIS"],
    capabilities: Capabilities {
        session: SessionWriteback::FirstLesson,
        comment: true,
        minutes_late: true,
        early_leaver: false,
        comment_max: None,
        roster: true,
    },
    notes: "The mark goes to the first lesson of the morning or afternoon; a pupil without a lesson there cannot be marked.",
    source: Source {
        what: "Capability table for sign-in systems on Wonde's writeback",
        date: "2026-11-23",
    },
    connect: |connection| shapes::first_lesson_marks(&DESCRIPTOR, connection),
};

register_adapter!(DESCRIPTOR);
