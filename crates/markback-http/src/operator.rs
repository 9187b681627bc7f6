//! Searching events over HTTP, and deciding about those that need a person.

use std::sync::Arc;

use axum::{Json, extract::State};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD as URL_SAFE_NO_PAD};
use chrono::{DateTime, Utc};
use mis_core::{PersonKind, SchoolId};
use roster::{Directory, IdKind};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    error::{ApiError, Kind},
    extract::{MaybeBody, Path, read_as},
    key::{self, Access},
    openapi::{ProblemBody, RequestBody, ResponseBody},
    query::{self, QueryParams},
};
use markback::{
    audit_log::AuditAction,
    operator::{self, Actor, OperatorError},
    service::{EventRecord, EventState, Markback},
    settings::nearest,
    store::EventFilter,
};

/// The default number of events in one answer.
const LIMIT: u32 = 100;
/// The most events in one answer.
const LIMIT_MAX: u32 = 1_000;

/// The sub-router.
pub(super) fn routes() -> OpenApiRouter<Markback> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(retry))
        .routes(routes!(discard))
        .routes(routes!(release))
        .routes(routes!(drop_held))
}

type EventBody = ResponseBody<EventRecord>;
type ListBody = ResponseBody<Listed>;
type DecidedBody = RequestBody<Decided>;

/// Seconds after which to retry while a school's people are read for the first time.
const READ_SOON: u32 = 30;

/// The parameters of a list of events.
const WORDS: [&str; 9] = [
    "state", "person", "group", "code", "date", "from", "to", "limit", "cursor",
];
/// The most times that the database is asked for one answer, if not every event that it finds fits.
const ROUNDS_MAX: usize = 5;
/// How many events are then read at a time.
const ROUND: u32 = 1_000;

/// A list of events.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "EventRecords")]
struct Listed {
    /// The events, those received last first. They may be fewer than the limit although there are more.
    events: Vec<EventRecord>,
    /// Where to go on, as `cursor`; absent if there are no more events.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// Who decides, and why.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[schemars(rename = "OperatorNote")]
#[serde(deny_unknown_fields, default)]
struct Decided {
    /// Who decides, for the event's history.
    by: Option<String>,
    /// Why, for the event's history.
    note: Option<String>,
}

/// The latest events
///
/// The events are those of the school that meet all conditions, the latest first.
#[utoipa::path(get, path = "/v1/schools/{school}/events", operation_id = "list_events", tag = "events",
    params(
        ("state" = Option<String>, Query, description = "States, separated by commas; `problem` stands for all that wait for a person.", example = "failed,rejected"),
        ("person" = Option<String>, Query, description = "The person's id, as it is in the events."),
        ("group" = Option<String>, Query, description = "The group that the person is in now."),
        ("code" = Option<String>, Query, description = "The attendance code of the mark that was decided on.", example = "L"),
        ("date" = Option<String>, Query, description = "The day of the events, at the school.", example = "2026-11-23"),
        ("from" = Option<String>, Query, description = "The first day.", example = "2026-11-23"),
        ("to" = Option<String>, Query, description = "The last day.", example = "2026-11-27"),
        ("limit" = Option<u32>, Query, description = "The most events in the answer: 100 unless given, at most 1000."),
        ("cursor" = Option<String>, Query, description = "The `next` of an earlier answer with the same conditions. Events that come in meanwhile are not in the rest of the list."),
    ),
    responses((status = 200, description = "The events.", body = ListBody)))]
async fn list(
    State(markback): State<Markback>,
    access: Access,
    Path(school): Path<String>,
    asked: QueryParams,
) -> Result<Json<Listed>, ApiError> {
    let school = known(&markback, &school)?;
    let asked = asked.only(&WORDS)?;
    let date = asked.day("date")?;
    let (from, to) = (asked.day("from")?.or(date), asked.day("to")?.or(date));
    if let (Some(from), Some(to)) = (from, to)
        && to < from
    {
        return Err(query::wrong(
            "to",
            asked.text("to"),
            "this day is before `from`",
            "change the two",
        ));
    }
    let limit = asked.number("limit")?.unwrap_or(LIMIT).clamp(1, LIMIT_MAX);
    let person = asked.text("person").map(str::to_owned);
    let filter = EventFilter {
        school: Some(school.clone()),
        states: states(asked.text("state"))?,
        person: person.clone(),
        from,
        to,
        after: asked.text("cursor").map(place).transpose()?,
        limit,
        accept_age: markback.settings().service.accept_age,
    };
    let group = match asked.text("group") {
        Some(group) => Some(people_of(&markback, &school, group).await?),
        None => None,
    };
    let code = asked.text("code").map(str::trim);
    let fits = |event: &EventRecord| {
        let own = event
            .decision
            .as_ref()
            .and_then(|decision| decision["mark"]["code"].as_str());
        code.is_none_or(|code| own.is_some_and(|own| own.eq_ignore_ascii_case(code)))
            && group.as_ref().is_none_or(|people| people.has(event))
    };
    let listed = async {
        let mut listed = if code.is_some() || group.is_some() {
            page(&markback, filter, ROUND, fits).await?
        } else {
            page(&markback, filter, limit, fits).await?
        };
        markback.tell_waiting(&mut listed.events).await?;
        Ok(listed)
    };
    let listed: outbox::Result<Listed> = listed.await;
    let listed = listed.map_err(|error| store_away(&error))?;
    if !listed.events.is_empty() {
        let look = access.entry(AuditAction::EventsListed).school(&school);
        let look = match person {
            // There are events, so it is an id.
            Some(person) => look.subject(person),
            None => look,
        };
        key::record(&markback, look.amount(listed.events.len())).await?;
    }
    Ok(Json(listed))
}

/// The first events of a search that fit, and where to go on. Reads `round` events at a time.
async fn page(
    markback: &Markback,
    mut filter: EventFilter,
    round: u32,
    fits: impl Fn(&EventRecord) -> bool,
) -> outbox::Result<Listed> {
    let limit = usize::try_from(filter.limit).unwrap_or(usize::MAX);
    // One more tells whether there are others.
    filter.limit = round.saturating_add(1);
    let round = usize::try_from(round).unwrap_or(usize::MAX);
    let mut events = Vec::new();
    for _ in 0..ROUNDS_MAX {
        let found = markback.store().search(&filter).await?;
        let (count, more) = (found.len(), found.len() > round);
        for (place, event) in found.into_iter().take(round).enumerate() {
            filter.after = event
                .received_at
                .map(|received_at| (received_at, event.id.clone()));
            if fits(&event) {
                events.push(event);
            }
            if events.len() == limit {
                let next = filter.after.filter(|_| place + 1 < count);
                return Ok(Listed {
                    events,
                    next: next.map(|after| cursor(&after)),
                });
            }
        }
        if !more {
            return Ok(Listed { events, next: None });
        }
    }
    let next = filter.after.map(|after| cursor(&after));
    Ok(Listed { events, next })
}

/// A place in a list of events, as an opaque text for clients.
fn cursor((received_at, id): &(DateTime<Utc>, String)) -> String {
    URL_SAFE_NO_PAD.encode(format!("1:{}:{id}", received_at.timestamp_millis()))
}

fn place(cursor: &str) -> Result<(DateTime<Utc>, String), ApiError> {
    let read = || {
        let text = String::from_utf8(URL_SAFE_NO_PAD.decode(cursor).ok()?).ok()?;
        let (ms, id) = text.strip_prefix("1:")?.split_once(':')?;
        let received_at = DateTime::from_timestamp_millis(ms.parse().ok()?)?;
        Some((received_at, id.to_owned()))
    };
    read().ok_or_else(|| {
        let help = "send the `next` of an earlier answer, or leave it out";
        query::wrong("cursor", None, "this is no cursor", help)
    })
}

/// Who is in a group now.
struct PeopleOf {
    group: String,
    by: Arc<[IdKind]>,
    directory: Arc<Directory>,
}

impl PeopleOf {
    fn has(&self, event: &EventRecord) -> bool {
        let kind = PersonKind::deserialize(&event.event["kind_of_person"]).ok();
        let found = self.directory.lookup(&event.person, &self.by, kind).one();
        found.is_some_and(|entry| entry.group.as_ref() == Some(&self.group))
    }
}

async fn people_of(
    markback: &Markback,
    school: &SchoolId,
    group: &str,
) -> Result<PeopleOf, ApiError> {
    let settings = markback
        .school(school)
        .ok_or_else(ApiError::unknown_school)?;
    if settings.group(group).is_none() {
        let names: Vec<_> = settings
            .groups
            .iter()
            .map(|group| group.name.as_str())
            .collect();
        let help = match nearest(group, names) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => "write the group's name as it is in the settings".to_owned(),
        };
        return Err(query::wrong(
            "group",
            Some(group),
            "the school has no such group",
            help,
        ));
    }
    let directory = markback.people().of(school).await;
    let directory = directory.map_err(|error| store_away(&error))?;
    Ok(PeopleOf {
        group: group.to_owned(),
        by: settings.persons.by.clone(),
        directory: directory.ok_or_else(people_unknown)?,
    })
}

fn people_unknown() -> ApiError {
    ApiError::unavailable(
        "the school's people have not been read yet, so it is not known who is in a group; see its syncs for the reason",
        READ_SOON,
    )
}

/// Decides an event again
///
/// The event failed or its mark was rejected, and the cause is put right.
#[utoipa::path(post, path = "/v1/schools/{school}/events/{event}/retry", operation_id = "retry_event", tag = "events",
    request_body = Option<DecidedBody>,
    responses(
        (status = 200, description = "The event as it is now.", body = EventBody),
        (status = 409, description = "The event's state does not allow it.", body = ProblemBody, content_type = "application/problem+json"),
    ))]
async fn retry(
    State(markback): State<Markback>,
    access: Access,
    Path((school, event)): Path<(String, String)>,
    MaybeBody(body): MaybeBody,
) -> Result<Json<EventRecord>, ApiError> {
    let school = known(&markback, &school)?;
    let actor = actor(&access, body)?;
    let (store, settings) = (markback.store(), markback.settings());
    let done = operator::retry(store, &settings, &school, &event, &actor).await;
    with_waiting(&markback, done.map_err(refused)?).await
}

/// Discards an event
///
/// Nothing is written for it, for instance because somebody has entered the mark by hand.
#[utoipa::path(post, path = "/v1/schools/{school}/events/{event}/discard", operation_id = "discard_event", tag = "events",
    request_body = Option<DecidedBody>,
    responses(
        (status = 200, description = "The event as it is now.", body = EventBody),
        (status = 409, description = "The event's state does not allow it.", body = ProblemBody, content_type = "application/problem+json"),
    ))]
async fn discard(
    State(markback): State<Markback>,
    access: Access,
    Path((school, event)): Path<(String, String)>,
    MaybeBody(body): MaybeBody,
) -> Result<Json<EventRecord>, ApiError> {
    let school = known(&markback, &school)?;
    let actor = actor(&access, body)?;
    let done = operator::discard(markback.store(), &school, &event, &actor).await;
    done.map(Json).map_err(refused)
}

/// Releases a held mark
///
/// It is written.
#[utoipa::path(post, path = "/v1/schools/{school}/events/{event}/release", operation_id = "release_event", tag = "events",
    request_body = Option<DecidedBody>,
    responses(
        (status = 200, description = "The event as it is now.", body = EventBody),
        (status = 409, description = "The event's state does not allow it.", body = ProblemBody, content_type = "application/problem+json"),
    ))]
async fn release(
    State(markback): State<Markback>,
    access: Access,
    Path((school, event)): Path<(String, String)>,
    MaybeBody(body): MaybeBody,
) -> Result<Json<EventRecord>, ApiError> {
    let school = known(&markback, &school)?;
    let actor = actor(&access, body)?;
    let (store, settings) = (markback.store(), markback.settings());
    let done = operator::release(store, &settings, &school, &event, &actor).await;
    with_waiting(&markback, done.map_err(refused)?).await
}

/// Drops a held mark
///
/// It is not written.
#[utoipa::path(post, path = "/v1/schools/{school}/events/{event}/drop", operation_id = "drop_event", tag = "events",
    request_body = Option<DecidedBody>,
    responses(
        (status = 200, description = "The event as it is now.", body = EventBody),
        (status = 409, description = "The event's state does not allow it.", body = ProblemBody, content_type = "application/problem+json"),
    ))]
async fn drop_held(
    State(markback): State<Markback>,
    access: Access,
    Path((school, event)): Path<(String, String)>,
    MaybeBody(body): MaybeBody,
) -> Result<Json<EventRecord>, ApiError> {
    let school = known(&markback, &school)?;
    let actor = actor(&access, body)?;
    let done = operator::drop_held(markback.store(), &school, &event, &actor).await;
    done.map(Json).map_err(refused)
}

/// An event that is open again, with what it waits for.
async fn with_waiting(
    markback: &Markback,
    mut record: EventRecord,
) -> Result<Json<EventRecord>, ApiError> {
    let told = markback.tell_waiting(std::slice::from_mut(&mut record));
    told.await.map_err(|error| store_away(&error))?;
    Ok(Json(record))
}

pub(super) fn known(markback: &Markback, school: &str) -> Result<SchoolId, ApiError> {
    let school = SchoolId::from(school);
    match markback.school(&school) {
        Some(_) => Ok(school),
        None => Err(ApiError::unknown_school()),
    }
}

/// `failed,rejected`.
fn states(words: Option<&str>) -> Result<Vec<EventState>, ApiError> {
    let words = words.unwrap_or_default().split(',').map(str::trim);
    EventState::read_list(words.filter(|word| !word.is_empty())).map_err(|unknown| {
        query::wrong(
            "state",
            Some(&unknown.word),
            "there is no such state",
            unknown.help(),
        )
    })
}

fn actor(access: &Access, body: Option<Value>) -> Result<Actor, ApiError> {
    let decided: Decided = match body {
        None => Decided::default(),
        // The error does not quote the body.
        Some(body) => read_as(
            body,
            r#"send {"by": "…", "note": "…"}, either of them, or nothing"#,
        )?,
    };
    Ok(access.actor(decided.by, decided.note))
}

pub(super) fn refused(error: OperatorError) -> ApiError {
    let words = error.to_string();
    match error {
        OperatorError::UnknownSchool => ApiError::unknown_school(),
        OperatorError::UnknownEvent => ApiError::new(Kind::UnknownEvent, words),
        OperatorError::State(..) | OperatorError::Busy | OperatorError::Corrected => {
            ApiError::new(Kind::Conflict, words)
        }
        error => store_away(&error),
    }
}

pub(super) fn store_away(error: &impl std::fmt::Display) -> ApiError {
    ApiError::no_database(error, "nothing was changed, try again")
}
