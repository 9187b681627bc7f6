//! The decision about an event that is not stored, by a group's rules and a register that somebody names.

use mis_core::{Ability, Capabilities, Code, CodeBook, HeldCode, Quirks, Registry, SchoolId};
use roster::PersonMatch;
use serde_json::Value;
use writeback::{
    Decision, Event, RegisterMark, RegisterSource, RegisterView, Standing, View, check_answers,
    decide,
};

use crate::{
    calendar::{ReadClosures, reading::kept_closures},
    desk::{Expectation, ExpectationError},
    people::person_of,
    pipeline::{InputProblem, intake::EventCheck, school_day},
    service::Markback,
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

/// A register and a group that somebody names, in place of what the service knows.
#[derive(Clone, Debug, Default)]
pub struct Supposed {
    /// The code in the register; `None` if it has none.
    pub held: Option<String>,
    /// The group whose rules decide; `None` takes that of the event's person. With a group, the school need not have the
    /// person.
    pub group: Option<String>,
}

impl Markback {
    /// What would be decided about an event with a register that somebody names, as if nothing had happened before it. The
    /// school's MIS, codes and closures count as they are. Nothing is stored.
    ///
    /// # Errors
    /// Returns an error if the event is invalid or cannot be decided now, or if a database query fails.
    pub async fn suppose(
        &self,
        school: &SchoolId,
        event: Value,
        supposed: &Supposed,
    ) -> Result<Expectation, ExpectationError> {
        let settings = self.settings();
        let known = settings
            .school(school)
            .ok_or(ExpectationError::UnknownSchool)?;
        let named = supposed.group.as_deref();
        let directory = match named {
            Some(_) => None,
            None => self.people().of(school).await?,
        };
        let check = EventCheck {
            service: &settings.service,
            school: known,
            directory: directory.as_deref(),
            now: self.store().now(),
        };
        let read = check.read(vec![event]);
        let mut events = read.map_err(ExpectationError::Problems)?;
        let event = events
            .pop()
            .ok_or_else(|| ExpectationError::Problems(Vec::new()))?;
        let of_person = || {
            let found = person_of(known, directory.as_deref()?, &event);
            match found {
                PersonMatch::One(entry) => entry.group.as_deref(),
                PersonMatch::Nobody | PersonMatch::Several(_) => None,
            }
        };
        let group = named.or_else(of_person).and_then(|name| known.group(name));
        let group = group.ok_or_else(|| {
            let why = "the person is in no group of the school, or its people have not been read yet; name a `group`";
            ExpectationError::Undecided(why.to_owned())
        })?;
        if named.is_some() {
            let problems: Vec<_> = check_answers(&event, &group.fields)
                .into_iter()
                .map(|found| InputProblem {
                    key: format!("[0].{}", found.key),
                    // An answer may be a child's own words.
                    value: None,
                    message: found.message,
                    help: found.help,
                })
                .collect();
            if !problems.is_empty() {
                return Err(ExpectationError::Problems(problems));
            }
        }
        let undecided = |error: mis_core::Error| ExpectationError::Undecided(error.to_string());
        let mis = self.schools().mis(known).await.map_err(undecided)?;
        let capabilities = self.store().limited_capabilities(school, &mis).await?;
        let codes = match capabilities.has(Ability::Session) {
            true => mis.code_book().await.map_err(undecided)?,
            false => std::sync::Arc::default(),
        };
        let closures = kept_closures(self.store(), known).await?;
        let given = Given {
            capabilities,
            quirks: mis.quirks(),
            codes: &codes,
            held: supposed.held.as_deref(),
            closures: &closures,
        };
        let decision = explain(known, group, &event, &given);
        Ok(Expectation::new(event, decision))
    }
}
