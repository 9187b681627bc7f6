//! Events over HTTP: receiving them, and reading one.

use axum::{
    Json, Router,
    extract::State,
    http::StatusCode,
    routing::{get, post},
};
use mis_core::SchoolId;
use serde::Serialize;
use serde_json::Value;

use super::{
    error::{ApiError, Kind, Problem},
    extract::{Body, Path},
    query::QueryParams,
};
use markback::service::{
    EventRecord, EventState, InputProblem, IntakeError, Markback, ReceivedEvent,
};

/// Seconds after which to retry when the database cannot be reached.
const STORE_AGAIN: u32 = 5;

/// The sub-router.
pub(super) fn routes() -> Router<Markback> {
    Router::new()
        .route("/v1/schools/{school}/events", post(take_in))
        .route("/v1/schools/{school}/events/{event}", get(look))
}

/// The results of a request, in its order.
#[derive(Serialize)]
struct TakenIn {
    events: Vec<Receipt>,
}

/// The result for one event: its state if it was received, otherwise its problems.
#[derive(Serialize)]
struct Receipt {
    id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<EventState>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    problems: Vec<Problem>,
}

impl From<ReceivedEvent> for Receipt {
    fn from(taken: ReceivedEvent) -> Self {
        Self {
            id: Some(taken.id),
            state: Some(taken.state),
            problems: Vec::new(),
        }
    }
}

async fn take_in(
    State(markback): State<Markback>,
    Path(school): Path<String>,
    asked: QueryParams,
    Body(body): Body,
) -> Result<(StatusCode, Json<TakenIn>), ApiError> {
    let school = SchoolId::from(school.as_str());
    // Before the events are checked, so that a wrong school is reported first.
    if markback.school(&school).is_none() {
        return Err(ApiError::unknown_school());
    }
    let partial = asked.only(&["partial"])?.flag("partial")?;
    let (events, single) = events(body)?;
    let events = if partial && !single {
        good_ones(&markback, &school, events).await?
    } else {
        let taken = markback.intake(&school, events).await;
        let taken = taken.map_err(|error| refused(error, single))?;
        taken.into_iter().map(Receipt::from).collect()
    };
    Ok((StatusCode::ACCEPTED, Json(TakenIn { events })))
}

/// Receives the valid events and reports the problems of the others. An error if none is valid.
async fn good_ones(
    markback: &Markback,
    school: &SchoolId,
    events: Vec<Value>,
) -> Result<Vec<Receipt>, ApiError> {
    let id = |event: &Value| event["id"].as_str().map(str::to_owned);
    let ids: Vec<_> = events.iter().map(id).collect();
    let taken = markback.intake_valid(school, events).await;
    let taken = taken.map_err(|error| refused(error, false))?;
    if taken.iter().all(Result::is_err) {
        let problems = taken.into_iter().filter_map(Result::err).flatten();
        return Err(invalid(
            problems.map(|problem| shown(problem, false)).collect(),
        ));
    }
    let receipts = ids.into_iter().zip(taken).map(|(id, taken)| match taken {
        Ok(taken) => Receipt::from(taken),
        Err(problems) => Receipt {
            id,
            state: None,
            problems: problems.into_iter().map(field_of).collect(),
        },
    });
    Ok(receipts.collect())
}

async fn look(
    State(markback): State<Markback>,
    Path((school, event)): Path<(String, String)>,
) -> Result<Json<EventRecord>, ApiError> {
    let school = SchoolId::from(school.as_str());
    if markback.school(&school).is_none() {
        return Err(ApiError::unknown_school());
    }
    match markback.event(&school, &event).await {
        Ok(Some(record)) => Ok(Json(record)),
        Ok(None) => Err(ApiError::new(
            StatusCode::NOT_FOUND,
            Kind::UnknownEvent,
            "this school has no event with this id; it was never received, or is past its retention",
        )),
        Err(error) => {
            tracing::error!(%error, "an event could not be read");
            Err(store_away())
        }
    }
}

/// The events in a body, and whether it is a single event. A list may also have the form of the response.
fn events(body: Value) -> Result<(Vec<Value>, bool), ApiError> {
    let kind = match body {
        Value::Array(events) if events.is_empty() => {
            return Err(invalid(vec![Problem {
                key: String::new(),
                value: None,
                message: "there is no event in it".to_owned(),
                help: "send an event as a JSON object, or a list of them".to_owned(),
            }]));
        }
        Value::Array(list) => return Ok((list, false)),
        Value::Object(mut fields) => {
            return match fields.remove("events") {
                Some(list @ Value::Array(_)) if fields.is_empty() => events(list),
                Some(list) => {
                    fields.insert("events".to_owned(), list);
                    Ok((vec![Value::Object(fields)], true))
                }
                None => Ok((vec![Value::Object(fields)], true)),
            };
        }
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
    };
    Err(invalid(vec![Problem {
        key: String::new(),
        value: None,
        message: format!("the body is {kind}"),
        help: "send an event as a JSON object, or a list of them".to_owned(),
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
        IntakeError::Problems(problems) => invalid(all_shown(problems, single)),
        IntakeError::Conflict(problems) => wrong(
            StatusCode::CONFLICT,
            Kind::Conflict,
            all_shown(problems, single),
        ),
        error => {
            tracing::error!(%error, "events could not be stored");
            store_away()
        }
    }
}

fn all_shown(problems: Vec<InputProblem>, single: bool) -> Vec<Problem> {
    let shown = problems.into_iter().map(|problem| shown(problem, single));
    shown.collect()
}

/// The problem as the client sees it: without an index for a single event.
fn shown(problem: InputProblem, single: bool) -> Problem {
    if single {
        return field_of(problem);
    }
    Problem {
        key: problem.key,
        value: problem.value,
        message: problem.message,
        help: problem.help,
    }
}

/// The problem with the field alone as its key, without the event's index.
fn field_of(problem: InputProblem) -> Problem {
    let field = problem
        .key
        .split_once(']')
        .map_or("", |(_, field)| field.trim_start_matches('.'));
    Problem {
        key: field.to_owned(),
        ..shown(problem, false)
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
        [one] => format!("{}; {}; nothing was stored", at(one), one.help),
        many => format!("{} problems; nothing was stored", many.len()),
    };
    ApiError::new(status, kind, message).with_problems(problems)
}

fn at(problem: &Problem) -> String {
    if problem.key.is_empty() {
        problem.message.clone()
    } else {
        format!("`{}`: {}", problem.key, problem.message)
    }
}

fn store_away() -> ApiError {
    ApiError::unavailable(
        "the database cannot be reached; nothing was stored, send the request again",
        STORE_AGAIN,
    )
}
