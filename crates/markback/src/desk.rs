//! The front desk: somebody in the office signs a person in or out by hand, and sees before what mark that makes.
//!
//! An event of the front desk is an event like any other: it is checked by the same checks, decided by the same rules and
//! stored with an id of its own, so that a form that is sent twice makes one event.

use mis_core::{EventKind, HeldCode, PersonKind, SchoolId};
use roster::{IdKind, PersonKey, PersonMatch};
use serde_json::{Value, json};
use writeback::{Decision, Event};

use crate::{
    correction::Effect,
    people::person_of,
    pipeline::{
        InputProblem,
        intake::EventCheck,
        preview::{Asked, Expected, Withdrawing},
    },
    service::Markback,
};

/// What precedes the ids of events of the front desk.
const ID_PREFIX: &str = "desk-";

/// What somebody at the front desk enters.
#[derive(Clone, Debug, Default)]
pub struct Entry {
    /// The event's id, from [`new_id`].
    pub id: String,
    /// The person, by the id that [`Markback::id_for_events`] gives.
    pub person: String,
    /// Student, staff or parent.
    pub kind_of_person: Option<PersonKind>,
    /// In or out; in by default.
    pub out: bool,
    /// When: RFC 3339, with an offset from UTC.
    pub at: String,
    /// The answers to the group's fields; blank ones are ignored.
    pub answers: Vec<(String, String)>,
}

impl Entry {
    /// The event in the form in which intake takes it.
    pub fn to_json(&self) -> Value {
        let answers: serde_json::Map<_, _> = self
            .answers
            .iter()
            .filter(|(_, answer)| !answer.trim().is_empty())
            .map(|(field, answer)| (field.clone(), Value::from(answer.clone())))
            .collect();
        let kind = if self.out {
            EventKind::SignOut
        } else {
            EventKind::SignIn
        };
        json!({
            "id": self.id,
            "person": self.person,
            "kind_of_person": self.kind_of_person,
            "kind": kind,
            "at": self.at,
            "answers": answers,
        })
    }
}

/// An id for an event of the front desk that no other event has.
pub fn new_id() -> String {
    format!("{ID_PREFIX}{:032x}", rand::random::<u128>())
}

/// What an event would do.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Expectation {
    /// The event.
    pub event: Event,
    /// The decision as it would be made now.
    pub decision: Decision,
}

impl Expectation {
    /// What a decision about an event would do.
    pub(crate) fn new(event: Event, decision: Decision) -> Self {
        Self { event, decision }
    }

    /// The code that the register has now, as far as the decision looked.
    pub fn register(&self) -> Option<&HeldCode> {
        self.decision.found.as_ref()?.code.as_ref()
    }
}

/// Why it cannot be told what an event would do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExpectationError {
    /// The settings have no such school.
    #[error("the settings have no school with this id; add a [[school]] for it, or correct the id")]
    UnknownSchool,
    /// The event is invalid.
    #[error("{} of the event's values are invalid", .0.len())]
    Problems(Vec<InputProblem>),
    /// It cannot be decided now.
    #[error("it cannot be told now what mark this makes: {0}")]
    Undecided(String),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] outbox::Error),
}

impl Markback {
    /// What an event would do if it came in now: the same checks and the same decision, with what the register has now as
    /// far as it is known. Nothing is stored.
    ///
    /// # Errors
    /// Returns an error if the event is invalid or cannot be decided now, or if a database query fails.
    pub async fn expect(
        &self,
        school: &SchoolId,
        event: Value,
    ) -> Result<Expectation, ExpectationError> {
        self.expect_without(school, event, None).await
    }

    /// What an event would do in place of another that is withdrawn, as [`expect`](Self::expect) tells it. Further events of
    /// the session that are decided anew once the other is withdrawn are left as they are. Nothing is stored.
    ///
    /// # Errors
    /// Returns an error if the event is invalid or cannot be decided now, or if a database query fails.
    pub async fn expect_instead(
        &self,
        school: &SchoolId,
        event: Value,
        (wrong, effect): (&str, Effect),
    ) -> Result<Expectation, ExpectationError> {
        let withdrawn = Withdrawing {
            event: wrong,
            may_stand: effect != Effect::NothingWritten,
        };
        self.expect_without(school, event, Some(&withdrawn)).await
    }

    async fn expect_without(
        &self,
        school: &SchoolId,
        event: Value,
        withdrawn: Option<&Withdrawing<'_>>,
    ) -> Result<Expectation, ExpectationError> {
        let settings = self.settings();
        let known = settings
            .school(school)
            .ok_or(ExpectationError::UnknownSchool)?;
        let directory = self.people().of(school).await?;
        let check = EventCheck {
            service: &settings.service,
            school: known,
            directory: directory.as_deref(),
            now: self.store().now(),
        };
        let mut events = check
            .read(vec![event])
            .map_err(ExpectationError::Problems)?;
        let Some(event) = events.pop() else {
            return Err(ExpectationError::Problems(Vec::new()));
        };
        let asked = [Asked {
            event: event.clone(),
            planned: None,
        }];
        let expected = self.workers.preview_without(known, &asked, withdrawn);
        let mut expected = expected.await?;
        match expected.pop() {
            Some(Expected::Decided(decision)) => Ok(Expectation {
                event,
                decision: *decision,
            }),
            Some(Expected::Unknown(why)) => Err(ExpectationError::Undecided(why)),
            Some(Expected::Behind) | None => Err(ExpectationError::Undecided(
                "an earlier event is decided first".to_owned(),
            )),
        }
    }

    /// An id of a person by which the school's settings take events; `None` if the person has none, or if it is not theirs
    /// alone.
    ///
    /// # Errors
    /// Returns an error if a database query fails.
    pub async fn id_for_events(
        &self,
        school: &SchoolId,
        kind: PersonKind,
        key: &PersonKey,
    ) -> outbox::Result<Option<String>> {
        let settings = self.settings();
        let Some(known) = settings.school(school) else {
            return Ok(None);
        };
        let Some(directory) = self.people().of(school).await? else {
            return Ok(None);
        };
        let is_theirs = |id: &str| {
            let event = Event {
                id: String::new(),
                person: id.to_owned(),
                kind_of_person: Some(kind),
                kind: EventKind::SignIn,
                at: self.store().now().fixed_offset(),
                answers: Default::default(),
                automatic: false,
                remote: false,
            };
            match person_of(known, &directory, &event) {
                PersonMatch::One(entry) => entry.kind == kind && entry.key == *key,
                PersonMatch::Nobody | PersonMatch::Several(_) => false,
            }
        };
        // The id at the host is what the sign-in system uses in most schools.
        if known.persons.by.contains(&IdKind::Id) && is_theirs(key.as_str()) {
            return Ok(Some(key.to_string()));
        }
        let mut ids: Vec<_> = directory
            .ids()
            .filter(|(sort, _, entry)| {
                entry.kind == kind && entry.key == *key && known.persons.by.contains(sort)
            })
            .filter(|(_, id, _)| is_theirs(id))
            .map(|(sort, id, _)| (sort, id.to_owned()))
            .collect();
        ids.sort();
        Ok(ids.into_iter().next().map(|(_, id)| id))
    }
}
