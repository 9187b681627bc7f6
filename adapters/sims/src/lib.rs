//! SIMS: the AM and PM marks themselves are written, with comment and minutes late, also for early leavers.

use mis_core::{
    Capabilities, Descriptor, Quirks, SessionWriteback, Source, register_adapter, shapes,
};

/// SIMS by Education Software Solutions.
pub static DESCRIPTOR: Descriptor = Descriptor {
    id: "sims",
    name: "SIMS",
    wonde_names: &["SIMS .net", "SIMS Next Gen", "Capita SIMS", "ESS SIMS"],
    capabilities: Capabilities {
        session: SessionWriteback::Session,
        comment: true,
        minutes_late: true,
        early_leaver: true,
        comment_max: None,
        roster: true,
    },
    quirks: Quirks::NONE,
    notes: "Lesson marks are kept per period instance, not per lesson; session marks are not touched by that.",
    source: Source {
        what: "Writeback table for schools at signinapp.com/docs/education/mis.html",
        date: "2026-11-23",
    },
    connect: |connection| shapes::session_marks(&DESCRIPTOR, connection),
};

register_adapter!(DESCRIPTOR);
