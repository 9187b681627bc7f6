//! Corrections over HTTP: an event that was wrong is withdrawn, and another may replace it.

use axum::{Json, extract::State};
use mis_core::SchoolId;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa_axum::{router::OpenApiRouter, routes};
use writeback::Event;

use super::{
    error::{ApiError, Kind, Problem},
    events::Form,
    extract::{Body, Path},
    key::Access,
    openapi::{ProblemBody, RequestBody, ResponseBody},
    operator::{known, refused, store_away},
};
use markback::{
    correction::{Corrected, Correction, correct},
    operator::{Actor, OperatorError},
    service::{EventState, Markback},
};

/// The most corrections in one request.
const CORRECTIONS_MAX: usize = 500;

/// The sub-router.
pub(super) fn routes() -> OpenApiRouter<Markback> {
    OpenApiRouter::new()
        .routes(routes!(correct_one))
        .routes(routes!(correct_many))
}

type CorrectionBody = RequestBody<CorrectionForm>;
type CorrectedBody = ResponseBody<Corrected>;
type CorrectionsBody = RequestBody<Many<NamedForm>>;
type ResultsBody = ResponseBody<Results>;

/// Why an event was wrong, and what replaces it.
#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "Correction")]
#[serde(deny_unknown_fields)]
#[expect(
    dead_code,
    reason = "it describes a body; the replacement is read by intake's checks"
)]
struct CorrectionForm {
    /// Who corrects it, for the event's history.
    by: Option<String>,
    /// Why the event was wrong, at most 500 characters.
    #[schemars(length(min = 1))]
    reason: String,
    /// The event that replaces it, with an id of its own.
    replacement: Option<Event>,
}

/// A correction that names its event.
#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "EventCorrection")]
#[serde(deny_unknown_fields)]
#[expect(
    dead_code,
    reason = "it describes a body; the replacement is read by intake's checks"
)]
struct NamedForm {
    /// The id of the event that was wrong.
    event: String,
    /// Why the event was wrong, at most 500 characters.
    #[schemars(length(min = 1))]
    reason: String,
    /// The event that replaces it, with an id of its own.
    replacement: Option<Event>,
}

/// Corrections of several events.
#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "Corrections")]
#[serde(deny_unknown_fields)]
struct Many<T> {
    /// Who corrects them, for the events' histories.
    by: Option<String>,
    /// The corrections, at most 500. They are made in this order.
    #[schemars(length(min = 1, max = 500))]
    corrections: Vec<T>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct One {
    by: Option<String>,
    reason: String,
    replacement: Option<Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    event: String,
    reason: String,
    replacement: Option<Value>,
}

/// The results of several corrections.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "CorrectionResults")]
struct Results {
    /// The results, in the order of the request.
    corrections: Vec<CorrectionResult>,
}

/// The result of one correction: the event's state if it was withdrawn, otherwise its problems.
#[derive(Serialize, JsonSchema)]
struct CorrectionResult {
    /// The id of the event that was wrong; `null` if the correction names none.
    event: Option<String>,
    /// Its state; absent if it was not withdrawn.
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<EventState>,
    /// The event that replaces it, if any.
    #[serde(skip_serializing_if = "Option::is_none")]
    replacement: Option<Replacement>,
    /// Why it was not withdrawn; absent if it was.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    problems: Vec<Problem>,
}

/// An event that replaces a withdrawn one.
#[derive(Serialize, JsonSchema)]
struct Replacement {
    /// Its id.
    id: String,
    /// Its state.
    state: EventState,
}

/// Corrects an event that was wrong
///
/// The event is withdrawn, as if it had never been received, and its mark is repaired as far as an MIS can be: the mark
/// before is written again, or the event fails and tells what to do in the MIS. Nothing that somebody else has entered
/// since is overwritten. The same correction again has the same result; another one of the same event is a conflict.
#[utoipa::path(post, path = "/v1/schools/{school}/events/{event}/correct", operation_id = "correct_event", tag = "events",
    request_body = CorrectionBody,
    responses(
        (status = 200, description = "The withdrawn event, and the one that replaces it.", body = CorrectedBody),
        (status = 409, description = "The event was corrected in another way, or is being processed; or the replacement's id belongs to another event. Nothing was changed.", body = ProblemBody, content_type = "application/problem+json"),
    ))]
async fn correct_one(
    State(markback): State<Markback>,
    access: Access,
    Path((school, event)): Path<(String, String)>,
    Body(body): Body,
) -> Result<Json<Corrected>, ApiError> {
    let school = known(&markback, &school)?;
    let One {
        by,
        reason,
        replacement,
    } = serde_json::from_value(body).map_err(|_| {
        ApiError::invalid_input(Problem::of_body(
            "the body is not a correction",
            r#"send {"reason": "…"}, and if you like "by", and the "replacement", an event"#,
        ))
    })?;
    let correction = Correction {
        reason,
        replacement,
    };
    let actor = access.actor(by, None);
    let corrected = withdraw(&markback, &school, &event, &correction, &actor).await;
    let mut corrected = corrected.map_err(|error| no_correction(error, ""))?;
    for event in [Some(&mut corrected.event), corrected.replacement.as_mut()]
        .into_iter()
        .flatten()
    {
        let told = markback.tell_waiting(std::slice::from_mut(event)).await;
        told.map_err(|error| store_away(&error))?;
    }
    Ok(Json(corrected))
}

/// Corrects several events
///
/// Each correction has a result of its own: one that cannot be made does not prevent the others. If there is no answer, send
/// the request again: corrections that were made have the same result.
#[utoipa::path(post, path = "/v1/schools/{school}/corrections", operation_id = "correct_events", tag = "events",
    request_body = CorrectionsBody,
    responses((status = 200, description = "The results.", body = ResultsBody)))]
async fn correct_many(
    State(markback): State<Markback>,
    access: Access,
    Path(school): Path<String>,
    Body(body): Body,
) -> Result<Json<Results>, ApiError> {
    let school = known(&markback, &school)?;
    let help = r#"send {"corrections": [{"event": "…", "reason": "…"}, …]}, and if you like "by""#;
    let Many { by, corrections } = serde_json::from_value::<Many<Value>>(body).map_err(|_| {
        ApiError::invalid_input(Problem::of_body("the body has no corrections", help))
    })?;
    if corrections.is_empty() {
        let problem = Problem::of_body("there is no correction in it", help);
        return Err(ApiError::invalid_input(problem));
    }
    if corrections.len() > CORRECTIONS_MAX {
        return Err(ApiError::new(
            Kind::TooLarge,
            format!(
                "{} corrections in one request are too many; send at most {CORRECTIONS_MAX}",
                corrections.len()
            ),
        ));
    }
    let actor = access.actor(by, None);
    let mut results = Vec::with_capacity(corrections.len());
    for (place, given) in corrections.into_iter().enumerate() {
        let pointer = format!("/corrections/{place}");
        let event = given["event"].as_str().map(str::to_owned);
        let problems = match serde_json::from_value::<Named>(given) {
            Ok(named) => {
                let correction = Correction {
                    reason: named.reason,
                    replacement: named.replacement,
                };
                match withdraw(&markback, &school, &named.event, &correction, &actor).await {
                    Ok(corrected) => {
                        results.push(CorrectionResult::of(corrected));
                        continue;
                    }
                    Err(OperatorError::Store(error)) => return Err(store_away(&error)),
                    Err(error) => problems_of(error, &pointer),
                }
            }
            Err(_) => vec![Problem {
                pointer: Some(pointer),
                message: "this is not a correction".to_owned(),
                help: r#"send {"event": "…", "reason": "…"}, and if you like the "replacement", an event"#
                    .to_owned(),
                ..Problem::default()
            }],
        };
        results.push(CorrectionResult {
            event,
            state: None,
            replacement: None,
            problems,
        });
    }
    Ok(Json(Results {
        corrections: results,
    }))
}

impl CorrectionResult {
    fn of(corrected: Corrected) -> Self {
        let replacement = corrected.replacement.map(|event| Replacement {
            id: event.id,
            state: event.state,
        });
        Self {
            event: Some(corrected.event.id),
            state: Some(corrected.event.state),
            replacement,
            problems: Vec::new(),
        }
    }
}

async fn withdraw(
    markback: &Markback,
    school: &SchoolId,
    event: &str,
    correction: &Correction,
    actor: &Actor,
) -> Result<Corrected, OperatorError> {
    let settings = markback.settings();
    let (store, people) = (markback.store(), markback.people());
    correct(store, &settings, people, school, event, correction, actor).await
}

fn no_correction(error: OperatorError, pointer: &str) -> ApiError {
    match error {
        OperatorError::NoReason | OperatorError::Replacement(_) => {
            ApiError::not_stored(Kind::InvalidInput, problems_of(error, pointer))
        }
        OperatorError::ReplacementConflict(_) => {
            ApiError::not_stored(Kind::Conflict, problems_of(error, pointer))
        }
        error => refused(error),
    }
}

/// The problems of a correction at this place of the body.
fn problems_of(error: OperatorError, pointer: &str) -> Vec<Problem> {
    let replacement = |problem| {
        let problem = Form::Single.problem(problem);
        let field = problem.pointer.as_deref().unwrap_or_default();
        Problem {
            pointer: Some(format!("{pointer}/replacement{field}")),
            ..problem
        }
    };
    match error {
        OperatorError::Replacement(problems) => problems.into_iter().map(replacement).collect(),
        OperatorError::ReplacementConflict(problem) => vec![replacement(problem)],
        error => {
            let at = match &error {
                OperatorError::NoReason => "/reason",
                _ => "",
            };
            let words = error.to_string();
            let (message, help) = words.split_once("; ").unwrap_or((&words, ""));
            vec![Problem {
                pointer: Some(format!("{pointer}{at}")),
                message: message.to_owned(),
                help: help.to_owned(),
                ..Problem::default()
            }]
        }
    }
}
