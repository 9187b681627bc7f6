//! School Base: the AM and PM marks themselves are written, also for early leavers; neither comment nor minutes late are kept.

use mis_core::{
    Capabilities, Descriptor, Quirks, SessionWriteback, Source, register_adapter, shapes,
};

/// School Base by Furlong Solutions.
pub static DESCRIPTOR: Descriptor = Descriptor {
    id: "schoolbase",
    name: "School Base",
    wonde_names: &["Furlong School Base", "School Base Furlong"],
    capabilities: Capabilities {
        session: SessionWriteback::Session,
        comment: false,
        minutes_late: false,
        early_leaver: true,
        comment_max: None,
        roster: true,
    },
    quirks: Quirks::NONE,
    notes: "A second vendor confirms that marks are written; neither knows of comments or minutes late.",
    source: Source {
        what: "Writeback table for schools at signinapp.com/docs/education/mis.html",
        date: "2026-11-23",
    },
    connect: |connection| shapes::session_marks(&DESCRIPTOR, connection),
};

register_adapter!(DESCRIPTOR);
