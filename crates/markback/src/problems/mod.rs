//! What needs a person, by its cause: one unknown code, one revoked token, forty pupils without a lesson. Each cause has
//! words, a cure, and what can be done to all of its events at once.
//!
//! Before anything is done, a [`Preview`] says what it will do. What is done then is done to the events that the preview
//! named and to no other: one that has changed meanwhile is left alone, and the result says so. Events are taken in the
//! order in which they happened, so each person's stay in order.

mod act;
mod cause;
mod preview;

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, NaiveDate, Utc};
use mis_core::{EventKind, SchoolId};
use outbox::Pause;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strum::{EnumString, IntoStaticStr, VariantArray};

pub use self::{
    act::{ActionError, ActionResult, Deed, Done, act},
    cause::CauseKind,
    preview::{Expectation, Named, Preview, Previewed},
};
use crate::{
    configuration::{Scheduled, scheduled},
    endpoints::{Endpoint, EndpointState},
    schools::token_key,
    settings::Settings,
    store::{EventFilter, EventRecord, EventState, SettingsKey, Store},
};

/// The most events of a school that are looked at, oldest first.
pub const EVENTS_MAX: u32 = 5_000;
/// The most events of one preview, and of what is done after it.
pub const ACTION_MAX: usize = 500;
/// The days that are looked at if nobody says otherwise.
pub const DAYS: u64 = 14;

/// What can be done to all events of a cause.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    JsonSchema,
    EnumString,
    IntoStaticStr,
    VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Action {
    /// Decide them again, and write the marks.
    Retry,
    /// End them: nothing more happens to them.
    Discard,
    /// Write the held marks.
    Release,
    /// Never write the held marks.
    Drop,
}

impl Action {
    /// The name in addresses and JSON.
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// What can be done to an event in this state.
    fn of(state: EventState) -> &'static [Self] {
        match state {
            EventState::Held => &[Self::Release, Self::Drop],
            state if state.may_be_retried() => &[Self::Retry, Self::Discard],
            _ => &[],
        }
    }
}

/// What needs a person at one school.
#[derive(Clone, Debug, Default, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct Problems {
    /// By cause; the cause with most events first.
    pub causes: Vec<Cause>,
    /// Whether there are more events than were looked at.
    pub more: bool,
    /// Endpoints for webhooks that get nothing any more although they should: the school's, and those for all schools.
    pub endpoints: Vec<DeadEndpoint>,
    /// The version of the settings that is to rule from a day on and has problems.
    pub scheduled: Option<UnfitSettings>,
}

/// A version of the settings that is to rule from a day on and has problems.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct UnfitSettings {
    /// Its number.
    pub number: u32,
    /// The day, at the school.
    pub from: NaiveDate,
    /// It in a sentence. What is wrong is for those who may see the settings.
    pub text: String,
    /// What to do.
    pub cure: String,
}

impl UnfitSettings {
    /// `None` if it can rule.
    fn of(scheduled: &Scheduled) -> Option<Self> {
        scheduled.has_problems().then(|| Self {
            number: scheduled.number,
            from: scheduled.from,
            text: format!(
                "Version {} of the settings is to rule from {} on and cannot, because it has problems. Earlier ones rule.",
                scheduled.number,
                scheduled.from.format("%A %-d %B %Y")
            ),
            cure: "See what is wrong under Rules. Put it right, and the version rules from its day on; or cancel it, correct \
                   the draft, and activate that."
                .to_owned(),
        })
    }
}

/// An endpoint for webhooks that gets nothing any more, without its address, which may hold a secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct DeadEndpoint {
    /// Its id.
    pub id: String,
    /// The school whose entries it should get; `null` for all schools.
    pub school: Option<String>,
    /// `gone` or `dead`.
    pub state: EndpointState,
    /// What it is for.
    pub note: Option<String>,
    /// The last failure.
    pub error: Option<String>,
    /// What to do.
    pub cure: String,
}

impl DeadEndpoint {
    /// `None` if it gets what it should.
    fn of(endpoint: Endpoint) -> Option<Self> {
        endpoint.state.is_trouble().then(|| Self {
            cure: format!(
                "Once it works again: markback webhooks enable {id}, then markback webhooks resend {id} --since the day it failed.",
                id = endpoint.id
            ),
            id: endpoint.id,
            school: endpoint.school,
            state: endpoint.state,
            note: endpoint.note,
            error: endpoint.last_error,
        })
    }
}

impl Problems {
    /// The cause with this id.
    pub fn cause(&self, id: &str) -> Option<&Cause> {
        self.causes.iter().find(|cause| cause.id == id)
    }

    /// The number of events.
    pub fn events(&self) -> usize {
        self.causes.iter().map(|cause| cause.events.len()).sum()
    }
}

/// Events with one cause.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct Cause {
    /// The same for the same cause, as long as it lasts.
    pub id: String,
    /// Which sort of cause it is.
    pub kind: CauseKind,
    /// The state of its events.
    pub state: EventState,
    /// What it is, as a short sentence.
    pub title: String,
    /// What it means for the register.
    pub meaning: String,
    /// What to do, and where.
    pub cure: String,
    /// The number of events.
    pub count: usize,
    /// The number of people.
    pub people: usize,
    /// What can be done to all of its events.
    pub actions: Vec<Action>,
    /// When the first of its events was received.
    pub since: Option<DateTime<Utc>>,
    /// Its events, in the order in which they happened.
    pub events: Vec<ProblemEvent>,
}

/// An event of a cause. Holds a pupil's data: for authorised readers, never for a log.
#[derive(Clone, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct ProblemEvent {
    /// Its id.
    pub id: String,
    /// The person, by the sign-in system's id.
    pub person: String,
    /// Student, staff or parent, if the event says so.
    pub kind_of_person: Option<mis_core::PersonKind>,
    /// In or out.
    pub kind: Option<EventKind>,
    /// When it happened.
    pub at: Option<DateTime<Utc>>,
    /// Its state.
    pub state: EventState,
    /// How often it has been retried or released.
    pub round: u32,
    /// The school day of its mark, if one was decided.
    pub date: Option<NaiveDate>,
    /// `AM` or `PM`, if one was decided.
    pub session: Option<String>,
    /// The code of its mark, if one was decided.
    pub code: Option<String>,
    /// Why it needs a person, as text.
    pub why: String,
}

impl std::fmt::Debug for ProblemEvent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ProblemEvent")
            .field("id", &self.id)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

impl ProblemEvent {
    fn of(record: &EventRecord, why: String) -> Self {
        let event: Option<writeback::Event> = serde_json::from_value(record.event.clone()).ok();
        let mark = record.decision.as_ref().map(|decision| &decision["mark"]);
        Self {
            id: record.id.clone(),
            person: record.person.clone(),
            kind_of_person: event.as_ref().and_then(|event| event.kind_of_person),
            kind: event.as_ref().map(|event| event.kind),
            at: event.as_ref().map(|event| event.at.to_utc()),
            state: record.state,
            round: record.round,
            date: record.date.as_deref().and_then(|day| day.parse().ok()),
            session: record.session.clone(),
            code: mark.and_then(|mark| Some(mark["code"].as_str()?.to_owned())),
            why,
        }
    }
}

/// A school's problems on these days; a day counts as in [`EventFilter`]. Without `from`, those of the last [`DAYS`] days.
///
/// # Errors
/// Returns an error if a database query fails.
pub async fn find(
    store: &Store,
    settings: &Settings,
    school: &SchoolId,
    from: Option<NaiveDate>,
    to: Option<NaiveDate>,
) -> outbox::Result<Problems> {
    let earliest = store.now().date_naive() - chrono::Days::new(DAYS);
    let filter = EventFilter {
        school: Some(school.clone()),
        from: Some(from.unwrap_or(earliest)),
        to,
        limit: EVENTS_MAX + 1,
        accept_age: settings.service.accept_age,
        ..EventFilter::default()
    };
    let mut records = store.problem_events(&filter).await?;
    let more = records.len() > EVENTS_MAX as usize;
    records.truncate(EVENTS_MAX as usize);
    let pauses = store.outbox().pauses().await?;
    let token = settings.school(school).map(token_key);
    let pause = pauses
        .iter()
        .filter(|pause| pause.key == school.as_str() || Some(&pause.key) == token.as_ref())
        .max_by_key(|pause| pause.until);
    let endpoints = store.endpoints().await?.into_iter();
    let is_concerned = |endpoint: &Endpoint| {
        let of = endpoint.school.as_deref();
        of.is_none_or(|of| of == school.as_str())
    };
    let scheduled = scheduled(store, settings, &SettingsKey::from(school)).await?;
    Ok(Problems {
        scheduled: scheduled.as_ref().and_then(UnfitSettings::of),
        endpoints: endpoints
            .filter(is_concerned)
            .filter_map(DeadEndpoint::of)
            .collect(),
        ..by_cause(&records, pause, more)
    })
}

fn by_cause(records: &[EventRecord], pause: Option<&Pause>, more: bool) -> Problems {
    let mut causes: BTreeMap<String, Cause> = BTreeMap::new();
    for record in records {
        let Some(found) = cause::of(record, pause) else {
            continue;
        };
        let cause = causes.entry(found.id.clone()).or_insert_with(|| Cause {
            id: found.id,
            kind: found.kind,
            state: record.state,
            title: String::new(),
            meaning: String::new(),
            cure: String::new(),
            count: 0,
            people: 0,
            actions: Action::of(record.state).to_vec(),
            since: record.received_at,
            events: Vec::new(),
        });
        cause.since = cause.since.min(record.received_at);
        cause.events.push(ProblemEvent::of(record, found.why));
    }
    let mut causes: Vec<_> = causes.into_values().collect();
    for cause in &mut causes {
        // The order of reception is kept for events of the same instant.
        cause.events.sort_by_key(|event| event.at);
        cause.count = cause.events.len();
        let whys = cause.events.iter().map(|event| event.why.as_str());
        let words = cause::words(cause.kind, whys);
        (cause.title, cause.meaning, cause.cure) = (words.title, words.meaning, words.cure);
        let people: BTreeSet<_> = cause.events.iter().map(|event| &event.person).collect();
        cause.people = people.len();
    }
    causes.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.id.cmp(&b.id)));
    Problems {
        causes,
        more,
        ..Problems::default()
    }
}
