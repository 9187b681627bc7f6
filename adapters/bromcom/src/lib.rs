//! Bromcom: the AM and PM marks themselves are written, with comment and minutes late, also for early leavers.

use mis_core::{
    Capabilities, Descriptor, Quirks, SessionWriteback, Source, register_adapter, shapes,
};

/// Bromcom by Bromcom Computers.
pub static DESCRIPTOR: Descriptor = Descriptor {
    id: "bromcom",
    name: "Bromcom",
    wonde_names: &["Bromcom MIS", "Bromcom Cloud"],
    capabilities: Capabilities {
        session: SessionWriteback::Session,
        comment: true,
        minutes_late: true,
        early_leaver: true,
        comment_max: None,
        roster: true,
    },
    quirks: Quirks::NONE,
    notes: "Lesson marks can be written too, by the word of another vendor; session marks do not need them.",
    source: Source {
        what: "Writeback table for schools at signinapp.com/docs/education/mis.html",
        date: "2026-11-23",
    },
    connect: |connection| shapes::session_marks(&DESCRIPTOR, connection),
};

register_adapter!(DESCRIPTOR);
