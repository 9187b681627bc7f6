//! Cloud School: the AM and PM marks themselves are written, also for early leavers; neither comment nor minutes late are kept.

use mis_core::{
    Capabilities, Descriptor, Quirks, SessionWriteback, Source, register_adapter, shapes,
};

/// Cloud School by Advanced Learning, known before as Progresso.
pub static DESCRIPTOR: Descriptor = Descriptor {
    id: "cloudschool",
    name: "Cloud School",
    wonde_names: &["Progresso", "Advanced Progresso", "Advanced Cloud School"],
    capabilities: Capabilities {
        session: SessionWriteback::Session,
        comment: false,
        minutes_late: false,
        early_leaver: true,
        comment_max: None,
        roster: true,
    },
    quirks: Quirks::NONE,
    notes: "By one source Progresso is the same product: no list has both. Should that be wrong, a Progresso school's marks are refused, and seen to be.",
    source: Source {
        what: "Writeback table for schools at signinapp.com/docs/education/mis.html",
        date: "2026-11-23",
    },
    connect: |connection| shapes::session_marks(&DESCRIPTOR, connection),
};

register_adapter!(DESCRIPTOR);
