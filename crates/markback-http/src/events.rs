//! Events over HTTP: receiving them, and reading one.

use axum::{Json, extract::State, http::StatusCode};
use mis_core::SchoolId;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa_axum::{router::OpenApiRouter, routes};
use writeback::Event;

use super::{
    error::{ApiError, Kind, Problem},
    extract::{Body, Path},
    key::{self, Access},
    openapi::{ProblemBody, RequestBody, ResponseBody},
    query::QueryParams,
};
use markback::{
    audit_log::AuditAction,
    operator::Actor,
    service::{EventRecord, EventState, InputProblem, IntakeError, Markback, ReceivedEvent},
};

/// The sub-router.
pub(super) fn routes() -> OpenApiRouter<Markback> {
    OpenApiRouter::new()
        .routes(routes!(take_in))
        .routes(routes!(look))
}

type EventsBody = RequestBody<EventList>;
type TakenInBody = ResponseBody<TakenIn>;
type EventBody = ResponseBody<EventRecord>;

/// The form of a request with events that the document names. A single event and a bare list are accepted too.
#[derive(Deserialize, JsonSchema)]
#[expect(
    dead_code,
    reason = "it describes a body; intake reads event by event, to tell all problems at once"
)]
struct EventList {
    /// The events, at most 5000.
    #[schemars(length(min = 1, max = 5_000))]
    events: Vec<Event>,
}

/// The form of a request: where in its body the events are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// The body is one event.
    Single,
    /// The body is a list of events.
    List,
    /// The body is `{"events": […]}`.
    Wrapped,
}

impl Form {
    /// The pointer to a place that intake names as `[2].answers.Why?`.
    fn pointer(self, key: &str) -> String {
        let (index, field) = match key.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((index, field)) => (Some(index), field.trim_start_matches('.')),
            None => (None, key),
        };
        let mut pointer = match (self, index) {
            (Self::Single, _) | (_, None) => String::new(),
            (Self::List, Some(index)) => format!("/{index}"),
            (Self::Wrapped, Some(index)) => format!("/events/{index}"),
        };
        // Below an event there are fields, and below `answers` names that may hold dots.
        for segment in field.splitn(2, '.').filter(|segment| !segment.is_empty()) {
            pointer.push('/');
            pointer.push_str(&segment.replace('~', "~0").replace('/', "~1"));
        }
        pointer
    }

    pub(super) fn problem(self, problem: InputProblem) -> Problem {
        Problem {
            pointer: Some(self.pointer(&problem.key)),
            value: problem.value,
            message: problem.message,
            help: problem.help,
            ..Problem::default()
        }
    }

    fn problems(self, problems: impl IntoIterator<Item = InputProblem>) -> Vec<Problem> {
        problems
            .into_iter()
            .map(|problem| self.problem(problem))
            .collect()
    }
}

/// The results of a request.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "EventReceipts")]
struct TakenIn {
    /// The results, in the order of the request.
    events: Vec<Receipt>,
}

/// The result for one event: its state if it was received, otherwise its problems.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "EventReceipt")]
struct Receipt {
    /// The event's id; `null` if it has none.
    id: Option<String>,
    /// The event's state; absent if it was not received.
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<EventState>,
    /// Why it was not received; absent if it was.
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

/// Receives events
///
/// All are stored, or none if one of them is invalid; with `partial=true` the valid ones, and the results tell the problems
/// of the others. An event's id is its key: the same content again has the same result, and other content under a known
/// id is a conflict. Instead of `{"events": […]}` the body may be the list alone, or a single event. `null` in an
/// optional field is the same as leaving it out.
#[utoipa::path(post, path = "/v1/schools/{school}/events", operation_id = "send_events", tag = "events",
    params(("partial" = Option<bool>, Query, description = "Stores the valid events although others are invalid.")),
    request_body = EventsBody,
    responses(
        (status = 202, description = "The events are stored, and will be decided.", body = TakenInBody),
        (status = 409, description = "An id belongs to an event with other content; nothing was stored.", body = ProblemBody, content_type = "application/problem+json"),
    ))]
async fn take_in(
    State(markback): State<Markback>,
    access: Access,
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
    let (events, form) = events(body)?;
    let actor = access.actor(None, None);
    let events = if partial && form != Form::Single {
        good_ones(&markback, &actor, &school, events, form).await?
    } else {
        let taken = markback.intake_by(&actor, &school, events).await;
        let taken = taken.map_err(|error| refused(error, form))?;
        taken.into_iter().map(Receipt::from).collect()
    };
    Ok((StatusCode::ACCEPTED, Json(TakenIn { events })))
}

/// Receives the valid events and reports the problems of the others. An error if none is valid.
async fn good_ones(
    markback: &Markback,
    actor: &Actor,
    school: &SchoolId,
    events: Vec<Value>,
    form: Form,
) -> Result<Vec<Receipt>, ApiError> {
    let id = |event: &Value| event["id"].as_str().map(str::to_owned);
    let ids: Vec<_> = events.iter().map(id).collect();
    let taken = markback.intake_valid_by(actor, school, events).await;
    let taken = taken.map_err(|error| refused(error, form))?;
    if taken.iter().all(Result::is_err) {
        let problems = taken.into_iter().filter_map(Result::err).flatten();
        return Err(invalid(form.problems(problems)));
    }
    let receipts = ids.into_iter().zip(taken).map(|(id, taken)| match taken {
        Ok(taken) => Receipt::from(taken),
        Err(problems) => Receipt {
            id,
            state: None,
            problems: form.problems(problems),
        },
    });
    Ok(receipts.collect())
}

/// An event and its outcome
#[utoipa::path(get, path = "/v1/schools/{school}/events/{event}", operation_id = "get_event", tag = "events",
    responses((status = 200, description = "The event.", body = EventBody)))]
async fn look(
    State(markback): State<Markback>,
    access: Access,
    Path((school, event)): Path<(String, String)>,
) -> Result<Json<EventRecord>, ApiError> {
    let school = SchoolId::from(school.as_str());
    if markback.school(&school).is_none() {
        return Err(ApiError::unknown_school());
    }
    match markback.event(&school, &event).await {
        Ok(Some(record)) => {
            let look = access.entry(AuditAction::EventShown).school(&school);
            key::record(&markback, look.subject(event)).await?;
            Ok(Json(record))
        }
        Ok(None) => Err(ApiError::new(
            Kind::UnknownEvent,
            "this school has no event with this id; it was never received, or is past its retention",
        )),
        Err(error) => Err(store_away(&error)),
    }
}

/// The events in a body, and its form.
fn events(body: Value) -> Result<(Vec<Value>, Form), ApiError> {
    let help = "send an event as a JSON object, or a list of them";
    let kind = match body {
        Value::Array(events) if events.is_empty() => {
            return Err(invalid(vec![Problem::of_body(
                "there is no event in it",
                help,
            )]));
        }
        Value::Array(list) => return Ok((list, Form::List)),
        Value::Object(mut fields) => {
            return match fields.remove("events") {
                Some(list @ Value::Array(_)) if fields.is_empty() => {
                    events(list).map(|(list, _)| (list, Form::Wrapped))
                }
                Some(list) => {
                    fields.insert("events".to_owned(), list);
                    Ok((vec![Value::Object(fields)], Form::Single))
                }
                None => Ok((vec![Value::Object(fields)], Form::Single)),
            };
        }
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
    };
    Err(invalid(vec![Problem::of_body(
        format!("the body is {kind}"),
        help,
    )]))
}

fn refused(error: IntakeError, form: Form) -> ApiError {
    match error {
        IntakeError::UnknownSchool { .. } => ApiError::unknown_school(),
        error @ IntakeError::TooMany { .. } => ApiError::new(Kind::TooLarge, error.to_string()),
        IntakeError::Problems(problems) => invalid(form.problems(problems)),
        IntakeError::Conflict(problems) => {
            ApiError::not_stored(Kind::Conflict, form.problems(problems))
        }
        error => store_away(&error),
    }
}

fn invalid(problems: Vec<Problem>) -> ApiError {
    ApiError::not_stored(Kind::InvalidInput, problems)
}

fn store_away(error: &impl std::fmt::Display) -> ApiError {
    ApiError::no_database(error, "nothing was stored, send the request again")
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(Form::Single, "[0].at", "/at")]
    #[case(Form::Single, "[0]", "")]
    #[case(Form::List, "[3].at", "/3/at")]
    #[case(Form::Wrapped, "[3]", "/events/3")]
    #[case(
        Form::Wrapped,
        "[3].answers.Mr. A/B ~?",
        "/events/3/answers/Mr. A~1B ~0?"
    )]
    fn a_place_is_a_pointer_into_the_body(
        #[case] form: Form,
        #[case] key: &str,
        #[case] pointer: &str,
    ) {
        assert_eq!(form.pointer(key), pointer);
    }
}
