//! PupilAsset: the AM and PM marks themselves are written, with comment and minutes late, also for early leavers.

use mis_wonde::{Ability, Capabilities, Descriptor, register_adapter, session_marks};

/// Pupil Asset by Juniper Education, now sold as Horizons.
pub static DESCRIPTOR: Descriptor = Descriptor::new("pupilasset", "PupilAsset", |context| {
    session_marks(&DESCRIPTOR, context)
})
.with_aliases(&["Horizons", "Juniper Horizons", "Juniper Pupil Asset"])
.with_capabilities(
    Capabilities::SESSION_MARKS
        .with(Ability::Comment)
        .with(Ability::MinutesLate)
        .with(Ability::EarlyLeaver),
)
.with_notes("Horizons is the newer name of the same product (support.parentseveningsystem.co.uk/article/427).")
.with_source("Writeback table for schools at signinapp.com/docs/education/mis.html", "2026-11-23");

register_adapter!(DESCRIPTOR);
