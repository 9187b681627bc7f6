//! Looking through events over HTTP, and deciding about those that need a person.

use axum::{
    Json, Router,
    extract::{Query, State, rejection::QueryRejection},
    http::StatusCode,
    routing::{get, post},
};
use chrono::NaiveDate;
use mis_core::wonde::SchoolId;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    error::{ApiError, Kind, Problem},
    extract::{MaybeBody, Path},
};
use markback::{
    service::{EventRecord, EventState, Markback},
    store::EventFilter,
    tending::{self, TendError, Tender},
};

/// Events in one answer when the question does not say.
const LIMIT: u32 = 100;
/// The most events in one answer.
const LIMIT_MAX: u32 = 1_000;

/// The sub-router.
pub(super) fn routes() -> Router<Markback> {
    Router::new()
        .route("/v1/schools/{school}/events", get(list))
        .route("/v1/schools/{school}/events/{event}/retry", post(retry))
        .route("/v1/schools/{school}/events/{event}/discard", post(discard))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    state: Option<String>,
    person: Option<String>,
    date: Option<NaiveDate>,
    from: Option<NaiveDate>,
    to: Option<NaiveDate>,
    limit: Option<u32>,
}

#[derive(Serialize)]
struct Listed {
    events: Vec<EventRecord>,
}

/// Who decides and why.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Decided {
    by: Option<String>,
    note: Option<String>,
}

async fn list(
    State(markback): State<Markback>,
    Path(school): Path<String>,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Result<Json<Listed>, ApiError> {
    let school = known(&markback, &school)?;
    let Query(asked) = asked.map_err(|error| wrong_question(error.body_text()))?;
    let filter = EventFilter {
        school: Some(school),
        states: states(asked.state.as_deref())?,
        person: asked.person,
        from: asked.date.or(asked.from),
        to: asked.date.or(asked.to),
        limit: asked.limit.unwrap_or(LIMIT).min(LIMIT_MAX),
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
    let tender = tender(body)?;
    let (store, settings) = (markback.store(), markback.settings());
    let done = tending::retry(store, settings, &school, &event, &tender).await;
    let mut record = done.map_err(refused)?;
    let told = markback.tell_waiting(std::slice::from_mut(&mut record));
    told.await.map_err(|error| store_away(&error))?;
    Ok(Json(record))
}

async fn discard(
    State(markback): State<Markback>,
    Path((school, event)): Path<(String, String)>,
    MaybeBody(body): MaybeBody,
) -> Result<Json<EventRecord>, ApiError> {
    let school = known(&markback, &school)?;
    let tender = tender(body)?;
    let done = tending::discard(markback.store(), &school, &event, &tender).await;
    done.map(Json).map_err(refused)
}

fn known(markback: &Markback, school: &str) -> Result<SchoolId, ApiError> {
    let school = SchoolId::from(school);
    match markback.settings().school(&school) {
        Some(_) => Ok(school),
        None => Err(ApiError::unknown_school()),
    }
}

/// `failed,rejected`.
fn states(words: Option<&str>) -> Result<Vec<EventState>, ApiError> {
    let words = words.unwrap_or_default().split(',').map(str::trim);
    words
        .filter(|word| !word.is_empty())
        .map(|word| {
            EventState::of(word).ok_or_else(|| {
                let all: Vec<_> = EventState::ALL.map(EventState::word).into();
                wrong_question(format!("`state` takes these words: {}", all.join(", ")))
            })
        })
        .collect()
}

fn tender(body: Option<Value>) -> Result<Tender, ApiError> {
    let decided: Decided = match body {
        None => Decided::default(),
        // What is wrong with it is told without repeating it.
        Some(body) => serde_json::from_value(body).map_err(|_| {
            wrong_question(r#"the body takes {"by": "…", "note": "…"} or nothing"#.to_owned())
        })?,
    };
    Ok(Tender {
        by: decided.by,
        via: "API",
        note: decided.note,
    })
}

fn wrong_question(what: String) -> ApiError {
    ApiError::new(
        StatusCode::UNPROCESSABLE_ENTITY,
        Kind::InvalidInput,
        what.clone(),
    )
    .with_problems(vec![Problem {
        key: String::new(),
        value: None,
        what,
        cure: "correct it and ask again".to_owned(),
    }])
}

fn refused(error: TendError) -> ApiError {
    let words = error.to_string();
    match error {
        TendError::UnknownSchool => ApiError::unknown_school(),
        TendError::UnknownEvent => ApiError::new(StatusCode::NOT_FOUND, Kind::UnknownEvent, words),
        TendError::State(..) | TendError::Busy => {
            ApiError::new(StatusCode::CONFLICT, Kind::Conflict, words)
        }
        TendError::Store(error) => store_away(&error),
    }
}

fn store_away(error: &outbox::Error) -> ApiError {
    tracing::error!(%error, "the store could not be asked about events");
    ApiError::unavailable(
        "the store cannot be reached; nothing was changed, ask again",
        5,
    )
}
