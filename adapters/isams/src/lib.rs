//! iSAMS: the AM and PM marks themselves are written, with comment and minutes late, also for early leavers.

use mis_core::{
    Capabilities, Descriptor, Quirks, SessionWriteback, Source, register_adapter, shapes,
};

/// iSAMS by IRIS.
pub static DESCRIPTOR: Descriptor = Descriptor {
    id: "isams",
    name: "iSAMS",
    wonde_names: &["iSAMS REST", "iSAMS REST API", "IRIS iSAMS"],
    capabilities: Capabilities {
        session: SessionWriteback::Session,
        comment: true,
        minutes_late: true,
        early_leaver: true,
        comment_max: None,
        roster: true,
    },
    quirks: Quirks::NONE,
    notes: "Said of the REST connection. A school on the older batch connection is read only: move it to REST, or narrow it.",
    source: Source {
        what: "Writeback table for schools at signinapp.com/docs/education/mis.html",
        date: "2026-11-23",
    },
    connect: |connection| shapes::session_marks(&DESCRIPTOR, connection),
};

register_adapter!(DESCRIPTOR);
