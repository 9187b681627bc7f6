//! Facility: the AM and PM marks themselves are written, also for early leavers; neither comment nor minutes late are kept.

use mis_core::{
    Capabilities, Descriptor, Quirks, SessionWriteback, Source, register_adapter, shapes,
};

/// Facility CMIS, first by Serco, then by Advanced Learning.
pub static DESCRIPTOR: Descriptor = Descriptor {
    id: "facility",
    name: "Facility",
    wonde_names: &["Facility CMIS", "CMIS", "Serco Facility"],
    capabilities: Capabilities {
        session: SessionWriteback::Session,
        comment: false,
        minutes_late: false,
        early_leaver: true,
        comment_max: None,
        roster: true,
    },
    quirks: Quirks::NONE,
    notes: "Progresso came after it from the same maker; schools on that go by Cloud School.",
    source: Source {
        what: "Writeback table for schools at signinapp.com/docs/education/mis.html",
        date: "2026-11-23",
    },
    connect: |connection| shapes::session_marks(&DESCRIPTOR, connection),
};

register_adapter!(DESCRIPTOR);
