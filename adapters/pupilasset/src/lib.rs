//! PupilAsset: the AM and PM marks themselves are written, with comment and minutes late, also for early leavers.

use mis_core::{
    Capabilities, Descriptor, Quirks, SessionWriteback, Source, register_adapter, shapes,
};

/// Pupil Asset by Juniper Education, now sold as Horizons.
pub static DESCRIPTOR: Descriptor = Descriptor {
    id: "pupilasset",
    name: "PupilAsset",
    wonde_names: &["Horizons", "Juniper Horizons", "Juniper Pupil Asset"],
    capabilities: Capabilities {
        session: SessionWriteback::Session,
        comment: true,
        minutes_late: true,
        early_leaver: true,
        comment_max: None,
        roster: true,
    },
    quirks: Quirks::NONE,
    notes: "Horizons is the newer name of the same product (support.parentseveningsystem.co.uk/article/427).",
    source: Source {
        what: "Writeback table for schools at signinapp.com/docs/education/mis.html",
        date: "2026-11-23",
    },
    connect: |connection| shapes::session_marks(&DESCRIPTOR, connection),
};

register_adapter!(DESCRIPTOR);
