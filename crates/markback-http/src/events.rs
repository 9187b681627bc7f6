//! Events over HTTP: taking them in, and telling what became of one.

use axum::{
    Json, Router,
    extract::State,
    http::StatusCode,
    routing::{get, post},
};
use mis_core::wonde::SchoolId;
use serde::Serialize;
use serde_json::Value;

use super::{
    error::{ApiError, Kind, Problem},
    extract::{Body, Path},
};
use markback::service::{EventRecord, EventState, InputProblem, IntakeError, Markback};

/// Seconds after which a store that could not be reached may be tried again.
const STORE_AGAIN: u32 = 5;

/// The sub-router.
pub(super) fn routes() -> Router<Markback> {
    Router::new()
        .route("/v1/schools/{school}/events", post(take_in))
        .route("/v1/schools/{school}/events/{event}", get(look))
}

/// What became of each event, in the order in which they came.
#[derive(Serialize)]
struct TakenIn {
    events: Vec<Receipt>,
}

#[derive(Serialize)]
struct Receipt {
    id: String,
    state: EventState,
}

async fn take_in(
    State(markback): State<Markback>,
    Path(school): Path<String>,
    Body(body): Body,
) -> Result<(StatusCode, Json<TakenIn>), ApiError> {
    let school = SchoolId::from(school.as_str());
    // Before the events are judged: whoever mistakes the school learns that first.
    if markback.settings().school(&school).is_none() {
        return Err(ApiError::unknown_school());
    }
    let (events, single) = events(body)?;
    let taken = markback
        .intake(&school, events)
        .await
        .map_err(|error| refused(error, single))?;
    let events = taken
        .into_iter()
        .map(|taken| Receipt {
            id: taken.id,
            state: taken.state,
        })
        .collect();
    Ok((StatusCode::ACCEPTED, Json(TakenIn { events })))
}

async fn look(
    State(markback): State<Markback>,
    Path((school, event)): Path<(String, String)>,
) -> Result<Json<EventRecord>, ApiError> {
    let school = SchoolId::from(school.as_str());
    if markback.settings().school(&school).is_none() {
        return Err(ApiError::unknown_school());
    }
    match markback.event(&school, &event).await {
        Ok(Some(record)) => Ok(Json(record)),
        Ok(None) => Err(ApiError::new(
            StatusCode::NOT_FOUND,
            Kind::UnknownEvent,
            "this school has no event of this id; it never came in, or its time of keeping is over",
        )),
        Err(error) => {
            tracing::error!(%error, "an event could not be read");
            Err(store_away())
        }
    }
}

/// The events in a body, and whether it was one that stood alone.
fn events(body: Value) -> Result<(Vec<Value>, bool), ApiError> {
    let what = match body {
        Value::Array(events) => return Ok((events, false)),
        Value::Object(_) => return Ok((vec![body], true)),
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
    };
    Err(invalid(vec![Problem {
        key: String::new(),
        value: None,
        what: format!("the body is {what}"),
        cure: "send an event as a JSON object, or a list of them".to_owned(),
    }]))
}

fn refused(error: IntakeError, single: bool) -> ApiError {
    match error {
        IntakeError::UnknownSchool { .. } => ApiError::unknown_school(),
        error @ IntakeError::TooMany { .. } => ApiError::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            Kind::TooLarge,
            error.to_string(),
        ),
        IntakeError::Problems(problems) => invalid(all_told(problems, single)),
        IntakeError::Conflict(problems) => wrong(
            StatusCode::CONFLICT,
            Kind::Conflict,
            all_told(problems, single),
        ),
        IntakeError::Unavailable { why } => {
            tracing::error!(error = %why, "events could not be taken in");
            store_away()
        }
    }
}

fn all_told(problems: Vec<InputProblem>, single: bool) -> Vec<Problem> {
    let told = problems.into_iter().map(|problem| told(problem, single));
    told.collect()
}

/// The problem as the client sees it: an event that stands alone has no number.
fn told(problem: InputProblem, single: bool) -> Problem {
    let key = match problem.key.strip_prefix("[0]") {
        Some(rest) if single => rest.trim_start_matches('.').to_owned(),
        _ => problem.key,
    };
    Problem {
        key,
        value: problem.value,
        what: problem.what,
        cure: problem.cure,
    }
}

fn invalid(problems: Vec<Problem>) -> ApiError {
    wrong(
        StatusCode::UNPROCESSABLE_ENTITY,
        Kind::InvalidInput,
        problems,
    )
}

fn wrong(status: StatusCode, kind: Kind, problems: Vec<Problem>) -> ApiError {
    let message = match problems.as_slice() {
        [one] => format!("{}; {}; nothing was taken in", at(one), one.cure),
        many => format!(
            "{} things are wrong with it; nothing was taken in",
            many.len()
        ),
    };
    ApiError::new(status, kind, message).with_problems(problems)
}

fn at(problem: &Problem) -> String {
    if problem.key.is_empty() {
        problem.what.clone()
    } else {
        format!("`{}`: {}", problem.key, problem.what)
    }
}

fn store_away() -> ApiError {
    ApiError::unavailable(
        "the store cannot be reached; nothing was taken in, send the same again",
        STORE_AGAIN,
    )
}
