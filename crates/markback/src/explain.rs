//! The decision about an event that is not stored, by a group's rules and a register that somebody names.

use mis_core::{Capabilities, Code, CodeBook, HeldCode, Quirks, Registry};
use writeback::{
    Decision, Event, RegisterMark, RegisterSource, RegisterView, Standing, View, decide,
};

use crate::{
    calendar::ReadClosures,
    pipeline::school_day,
    settings::{Group, School},
};

/// What a decision goes by besides the rules.
#[derive(Clone, Copy, Debug)]
pub struct Given<'a> {
    /// What the MIS keeps at the school.
    pub capabilities: Capabilities,
    /// How the MIS treats single marks.
    pub quirks: Quirks,
    /// The school's codes.
    pub codes: &'a CodeBook,
    /// The code in the register; `None` if it has none.
    pub held: Option<&'a str>,
    /// The closures that were read from elsewhere than the settings.
    pub closures: &'a ReadClosures,
}

/// The decision about an event by the rules of a group, as if nothing had happened before it and the register held the given
/// code.
pub fn explain(school: &School, group: &Group, event: &Event, given: &Given<'_>) -> Decision {
    let held = given.held.map(|code| RegisterMark {
        // As the code book spells it, for that is how a register read from Wonde has it.
        code: HeldCode::Known(
            given
                .codes
                .find(code)
                .map_or_else(|| Code::new(code), |line| line.code.clone()),
        ),
        comment: None,
        minutes_late: None,
    });
    let view = View {
        capabilities: given.capabilities,
        quirks: given.quirks,
        register: RegisterView::Looked {
            held,
            source: RegisterSource::Given,
            age: None,
        },
        refused_with: &[],
        codes: given.codes,
        arrival: None,
        previous: None,
        planned_before: false,
        standing: Standing::default(),
        school_day: school_day(school, event, given.closures),
        released: false,
        withdrawn: None,
        timezone: school.timezone,
    };
    let person = event.person.as_str().into();
    decide(event, &person, Some(group.as_rules()), &view)
}

/// What the MIS in a school's settings keeps, as its adapter declares, without what the settings switch off. `None` if the
/// settings name no MIS.
pub fn declared(registry: &Registry, school: &School) -> Option<(Capabilities, Quirks)> {
    let adapter = mis_wonde::for_mis(registry, school.mis.as_deref()?);
    let without = school.without.iter();
    let left = without.fold(adapter.capabilities, |left, ability| left.without(*ability));
    Some((left, adapter.quirks))
}
