//! Engage: the AM and PM marks themselves are written, with a comment, also for early leavers; minutes late are not kept.

use mis_core::{
    Capabilities, Descriptor, Quirks, SessionWriteback, Source, register_adapter, shapes,
};

/// Engage by Double First.
pub static DESCRIPTOR: Descriptor = Descriptor {
    id: "engage",
    name: "Engage",
    wonde_names: &["Engage MIS", "Double First Engage"],
    capabilities: Capabilities {
        session: SessionWriteback::Session,
        comment: true,
        minutes_late: false,
        early_leaver: true,
        comment_max: None,
        roster: true,
    },
    quirks: Quirks::NONE,
    notes: "Vendors disagree: one says that Engage's API writes nothing back. What the school grants decides.",
    source: Source {
        what: "Writeback table for schools at signinapp.com/docs/education/mis.html",
        date: "2026-11-23",
    },
    connect: |connection| shapes::session_marks(&DESCRIPTOR, connection),
};

register_adapter!(DESCRIPTOR);
