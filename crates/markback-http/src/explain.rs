//! What would be decided about an event that is not stored, over HTTP.

use axum::{Json, extract::State};
use mis_core::SchoolId;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    error::{ApiError, Problem},
    events::Form,
    extract::{Body, Path, read_as},
    key::{self, Access},
    openapi::{RequestBody, ResponseBody},
    operator::store_away,
};
use markback::{
    audit_log::AuditAction,
    desk::{Expectation, ExpectationError},
    explain::Supposed,
    service::Markback,
    settings::nearest,
};

/// Seconds after which to retry while the MIS does not answer, or its people are not known.
const EXPLAIN_AGAIN: u32 = 10;

type QuestionBody = RequestBody<Question>;
type ExplanationBody = ResponseBody<Explanation>;

/// The sub-router.
pub(super) fn routes() -> OpenApiRouter<Markback> {
    OpenApiRouter::new().routes(routes!(explain))
}

/// An event to explain.
#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "ExplainQuestion")]
#[serde(deny_unknown_fields)]
struct Question {
    /// The event, as it would be sent.
    #[schemars(with = "writeback::Event")]
    event: Value,
    /// A register in place of the present one; as if nothing had happened before the event.
    #[serde(default)]
    register: Option<Register>,
    /// The group whose rules decide, with a `register` only; that of the person unless given. With a group, the school need not
    /// have the person.
    #[serde(default)]
    group: Option<String>,
}

/// What the register has of the session.
#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "ExplainRegister")]
#[serde(deny_unknown_fields)]
struct Register {
    /// The code; absent or `null` if there is none.
    #[serde(default)]
    code: Option<String>,
}

/// What would be decided about an event.
#[derive(Serialize, JsonSchema)]
struct Explanation {
    /// `write`, `skip`, `wait` or `fail`.
    outcome: String,
    /// The outcome in words.
    text: String,
    /// How it was decided, step by step.
    steps: Vec<String>,
    /// The attendance code of the mark; absent if none would be written.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<String>,
    /// The decision as it is kept with events.
    #[schemars(with = "serde_json::Map<String, Value>")]
    decision: Value,
}

impl From<Expectation> for Explanation {
    fn from(Expectation { decision, .. }: Expectation) -> Self {
        let code = decision
            .planned()
            .map(|planned| planned.mark.code.to_string());
        let text = decision.outcome.to_string();
        let steps = decision.steps.clone();
        let decision = serde_json::to_value(&decision).unwrap_or_default();
        Self {
            outcome: decision["outcome"].as_str().unwrap_or_default().to_owned(),
            text,
            steps,
            code,
            decision,
        }
    }
}

/// What would be decided about an event
///
/// The same checks and the same decision as if the event were sent now, by what the register has and what happened before, or
/// with a register that the request names. Nothing is stored or sent to the MIS.
#[utoipa::path(post, path = "/v1/schools/{school}/explain", operation_id = "explain_event", tag = "events",
    request_body = QuestionBody,
    responses((status = 200, description = "The decision.", body = ExplanationBody)))]
async fn explain(
    State(markback): State<Markback>,
    access: Access,
    Path(school): Path<String>,
    Body(body): Body,
) -> Result<Json<Explanation>, ApiError> {
    let help = r#"send {"event": {…}}, and "register": {"code": "M"} and "group" if you like"#;
    let Question {
        event,
        register,
        group,
    } = read_as(body, help)?;
    let school = SchoolId::from(school);
    let settings = markback
        .school(&school)
        .ok_or_else(ApiError::unknown_school)?;
    if let Some(name) = group.as_deref() {
        let names = settings.groups.iter().map(|group| group.name.as_str());
        let fault = if register.is_none() {
            Some((
                "a group is named without a register",
                "leave it out, or add `register`".to_owned(),
            ))
        } else if settings.group(name).is_none() {
            let help = match nearest(name, names) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => "write the group's name as it is in the settings".to_owned(),
            };
            Some(("the school has no such group", help))
        } else {
            None
        };
        if let Some((message, help)) = fault {
            return Err(ApiError::invalid_input(Problem {
                pointer: Some("/group".to_owned()),
                value: Some(name.to_owned()),
                message: message.to_owned(),
                help,
                ..Problem::default()
            }));
        }
    }
    let explained = match register {
        None => markback.expect(&school, event).await,
        Some(register) => {
            let held = register.code.filter(|code| !code.trim().is_empty());
            markback
                .suppose(&school, event, &Supposed { held, group })
                .await
        }
    };
    let explained = explained.map_err(not_explained)?;
    let look = access.entry(AuditAction::EventExplained).school(&school);
    key::record(&markback, look.subject(&explained.event.person)).await?;
    Ok(Json(explained.into()))
}

fn not_explained(error: ExpectationError) -> ApiError {
    match error {
        ExpectationError::UnknownSchool => ApiError::unknown_school(),
        ExpectationError::Problems(problems) => {
            let problems = problems.into_iter().map(|problem| {
                let problem = Form::Single.problem(problem);
                let field = problem.pointer.as_deref().unwrap_or_default();
                Problem {
                    pointer: Some(format!("/event{field}")),
                    ..problem
                }
            });
            ApiError::not_stored(super::error::Kind::InvalidInput, problems.collect())
        }
        ExpectationError::Store(error) => store_away(&error),
        error => ApiError::unavailable(error.to_string(), EXPLAIN_AGAIN),
    }
}
