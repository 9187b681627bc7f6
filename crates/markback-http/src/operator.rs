//! Searching events over HTTP, and deciding about those that need a person.

use axum::{
    Json, Router,
    extract::State,
    http::StatusCode,
    routing::{get, post},
};
use mis_core::SchoolId;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    error::{ApiError, Kind},
    extract::{MaybeBody, Path},
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
pub(super) fn routes() -> Router<Markback> {
    Router::new()
        .route("/v1/schools/{school}/events", get(list))
        .route("/v1/schools/{school}/events/{event}/retry", post(retry))
        .route("/v1/schools/{school}/events/{event}/discard", post(discard))
        .route("/v1/schools/{school}/events/{event}/release", post(release))
        .route("/v1/schools/{school}/events/{event}/drop", post(drop_held))
}

/// The parameters of a list of events.
const WORDS: [&str; 6] = ["state", "person", "date", "from", "to", "limit"];

#[derive(Serialize)]
struct Listed {
    events: Vec<EventRecord>,
}

/// Who decides, and why.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Decided {
    by: Option<String>,
    note: Option<String>,
}

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

fn known(markback: &Markback, school: &str) -> Result<SchoolId, ApiError> {
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
            query::wrong(
                "",
                None,
                "the body is not valid for this address",
                r#"send {"by": "…", "note": "…"}, either of them, or nothing"#,
            )
        })?,
    };
    Ok(Actor {
        by: decided.by,
        via: "API",
        note: decided.note,
        ..Actor::default()
    })
}

fn refused(error: OperatorError) -> ApiError {
    let words = error.to_string();
    match error {
        OperatorError::UnknownSchool => ApiError::unknown_school(),
        OperatorError::UnknownEvent => {
            ApiError::new(StatusCode::NOT_FOUND, Kind::UnknownEvent, words)
        }
        OperatorError::State(..) | OperatorError::Busy => {
            ApiError::new(StatusCode::CONFLICT, Kind::Conflict, words)
        }
        error => store_away(&error),
    }
}

fn store_away(error: &impl std::fmt::Display) -> ApiError {
    tracing::error!(%error, "the database could not be read for events");
    ApiError::unavailable(
        "the database cannot be reached; nothing was changed, try again",
        5,
    )
}
