//! Searching events over HTTP, and deciding about those that need a person.

use axum::{Json, extract::State};
use mis_core::SchoolId;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    error::{ApiError, Kind, Problem},
    extract::{MaybeBody, Path},
    openapi::{Given, Of, Trouble},
    query::{self, QueryParams},
};
use markback::{
    operator::{self, Actor, OperatorError},
    service::{EventRecord, EventState, Markback},
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

type EventBody = Of<EventRecord>;
type ListBody = Of<Listed>;
type DecidedBody = Given<Decided>;

/// The parameters of a list of events.
const WORDS: [&str; 6] = ["state", "person", "date", "from", "to", "limit"];

/// A list of events.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "EventRecords")]
struct Listed {
    /// The events, the latest first.
    events: Vec<EventRecord>,
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
        ("person" = Option<String>, Query, description = "The person's id."),
        ("date" = Option<String>, Query, description = "The day of the events, at the school.", example = "2026-11-23"),
        ("from" = Option<String>, Query, description = "The first day.", example = "2026-11-23"),
        ("to" = Option<String>, Query, description = "The last day.", example = "2026-11-27"),
        ("limit" = Option<u32>, Query, description = "The most events in the answer: 100 unless given, at most 1000."),
    ),
    responses((status = 200, description = "The events.", body = ListBody)))]
async fn list(
    State(markback): State<Markback>,
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
    let filter = EventFilter {
        school: Some(school),
        states: states(asked.text("state"))?,
        person: asked.text("person").map(str::to_owned),
        from,
        to,
        limit: asked.number("limit")?.unwrap_or(LIMIT).min(LIMIT_MAX),
        accept_age: markback.settings().service.accept_age,
    };
    let listed = async {
        let mut events = markback.store().search(&filter).await?;
        markback.tell_waiting(&mut events).await?;
        Ok(Listed { events })
    };
    let listed: outbox::Result<_> = listed.await;
    listed.map(Json).map_err(|error| store_away(&error))
}

/// Decides an event again
///
/// The event failed or its mark was rejected, and the cause is put right.
#[utoipa::path(post, path = "/v1/schools/{school}/events/{event}/retry", operation_id = "retry_event", tag = "events",
    request_body = Option<DecidedBody>,
    responses(
        (status = 200, description = "The event as it is now.", body = EventBody),
        (status = 409, description = "The event's state does not allow it.", body = Trouble, content_type = "application/problem+json"),
    ))]
async fn retry(
    State(markback): State<Markback>,
    Path((school, event)): Path<(String, String)>,
    MaybeBody(body): MaybeBody,
) -> Result<Json<EventRecord>, ApiError> {
    let school = known(&markback, &school)?;
    let actor = actor(body)?;
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
        (status = 409, description = "The event's state does not allow it.", body = Trouble, content_type = "application/problem+json"),
    ))]
async fn discard(
    State(markback): State<Markback>,
    Path((school, event)): Path<(String, String)>,
    MaybeBody(body): MaybeBody,
) -> Result<Json<EventRecord>, ApiError> {
    let school = known(&markback, &school)?;
    let actor = actor(body)?;
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
        (status = 409, description = "The event's state does not allow it.", body = Trouble, content_type = "application/problem+json"),
    ))]
async fn release(
    State(markback): State<Markback>,
    Path((school, event)): Path<(String, String)>,
    MaybeBody(body): MaybeBody,
) -> Result<Json<EventRecord>, ApiError> {
    let school = known(&markback, &school)?;
    let actor = actor(body)?;
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
        (status = 409, description = "The event's state does not allow it.", body = Trouble, content_type = "application/problem+json"),
    ))]
async fn drop_held(
    State(markback): State<Markback>,
    Path((school, event)): Path<(String, String)>,
    MaybeBody(body): MaybeBody,
) -> Result<Json<EventRecord>, ApiError> {
    let school = known(&markback, &school)?;
    let actor = actor(body)?;
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

fn actor(body: Option<Value>) -> Result<Actor, ApiError> {
    let decided: Decided = match body {
        None => Decided::default(),
        // The error does not quote the body.
        Some(body) => serde_json::from_value(body).map_err(|_| {
            ApiError::invalid_input(Problem::of_body(
                "the body is not valid for this address",
                r#"send {"by": "…", "note": "…"}, either of them, or nothing"#,
            ))
        })?,
    };
    Ok(Actor {
        by: decided.by,
        via: "API",
        note: decided.note,
    })
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
    tracing::error!(%error, "the database could not be read for events");
    ApiError::unavailable(
        "the database cannot be reached; nothing was changed, try again",
        5,
    )
}
