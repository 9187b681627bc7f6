//! What needs a person, by cause, over HTTP: what an action would do, and doing it.

use axum::{Json, extract::State};
use markback::{
    audit_log::AuditAction,
    problems::{self, Action, ActionError, Done, Named, Preview, Problems},
    service::Markback,
    settings::nearest,
};
use schemars::JsonSchema;
use serde::Deserialize;
use strum::VariantArray as _;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    error::{ApiError, Kind},
    extract::{Body, Path, read_as},
    key::{self, Access},
    openapi::{ProblemBody, RequestBody, ResponseBody},
    operator::{known, store_away},
    query::{self, QueryParams},
};

/// The sub-router.
pub(super) fn routes() -> OpenApiRouter<Markback> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(preview, act))
}

type ListBody = ResponseBody<Problems>;
type PreviewBody = ResponseBody<Preview>;
type DoneBody = ResponseBody<Done>;
type ActBody = RequestBody<Act>;

/// To which events something is done, by whom and why.
#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "ProblemAction")]
#[serde(deny_unknown_fields)]
struct Act {
    /// The events as the preview showed them, at most 500. One that has changed since is left alone.
    #[schemars(length(min = 1, max = 500))]
    events: Vec<Named>,
    /// Who decides, for the events' histories.
    by: Option<String>,
    /// Why, for the events' histories.
    note: Option<String>,
}

/// What needs a person, by cause
///
/// Events that need a person are grouped by their cause, with words, a cure and what can be done to all of them. Events
/// that wait because the school or its token rests are among them, and those of the days whose code the MIS does not have.
/// Endpoints for webhooks that get nothing any more are listed beside them.
#[utoipa::path(get, path = "/v1/schools/{school}/problems", operation_id = "list_problems", tag = "events",
    params(
        ("from" = Option<String>, Query, description = "The first day; 14 days ago unless given.", example = "2026-11-23"),
        ("to" = Option<String>, Query, description = "The last day.", example = "2026-11-27"),
    ),
    responses((status = 200, description = "The causes, the one with most events first.", body = ListBody)))]
async fn list(
    State(markback): State<Markback>,
    access: Access,
    Path(school): Path<String>,
    asked: QueryParams,
) -> Result<Json<Problems>, ApiError> {
    let school = known(&markback, &school)?;
    let asked = asked.only(&["from", "to"])?;
    let (from, to) = (asked.day("from")?, asked.day("to")?);
    if let (Some(from), Some(to)) = (from, to)
        && to < from
    {
        let (message, help) = ("this day is before `from`", "change the two");
        return Err(query::wrong("to", asked.text("to"), message, help));
    }
    let (store, settings) = (markback.store(), markback.settings());
    let found = problems::find(store, &settings, &school, from, to).await;
    let mut found = found.map_err(|error| store_away(&error))?;
    if !access.grant.sees_all_of(None) {
        found.endpoints.retain(|endpoint| endpoint.school.is_some());
    }
    if found.events() > 0 {
        let look = access.entry(AuditAction::EventsListed).school(&school);
        key::record(&markback, look.amount(found.events())).await?;
    }
    Ok(Json(found))
}

/// What an action would do
///
/// Says for each event of a cause what would become of it. Nothing is changed. To do it, send the events' ids, states and
/// rounds to the same address.
#[utoipa::path(get, path = "/v1/schools/{school}/problems/{cause}/{action}", operation_id = "preview_problem_action", tag = "events",
    responses(
        (status = 200, description = "What would be done, and what would become of each event.", body = PreviewBody),
        (status = 404, description = "There is no such school, cause or action.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "The action does not fit the cause.", body = ProblemBody, content_type = "application/problem+json"),
    ))]
async fn preview(
    State(markback): State<Markback>,
    access: Access,
    Path((school, cause, action)): Path<(String, String, String)>,
) -> Result<Json<Preview>, ApiError> {
    let school = known(&markback, &school)?;
    let action = action_of(&action)?;
    let preview = markback.preview_problem(&school, &cause, action).await;
    let preview = preview.map_err(refused)?;
    let look = access.entry(AuditAction::EventsListed).school(&school);
    key::record(&markback, look.amount(preview.events.len())).await?;
    Ok(Json(preview))
}

/// Acts on the events of a cause
///
/// Does to each named event what the preview said, in the order in which they happened. An event that is no longer as the
/// preview showed it is left alone, and the answer says so. If there is no answer, send the request again: what was done is
/// not done twice.
#[utoipa::path(post, path = "/v1/schools/{school}/problems/{cause}/{action}", operation_id = "act_on_problem", tag = "events",
    request_body = ActBody,
    responses(
        (status = 200, description = "What was done to each event.", body = DoneBody),
        (status = 404, description = "There is no such school or action.", body = ProblemBody, content_type = "application/problem+json"),
    ))]
async fn act(
    State(markback): State<Markback>,
    access: Access,
    Path((school, _, action)): Path<(String, String, String)>,
    Body(body): Body,
) -> Result<Json<Done>, ApiError> {
    let school = known(&markback, &school)?;
    let action = action_of(&action)?;
    let help = r#"send {"events": [{"id": "…", "state": "…", "round": 0}, …]} as the preview has them, and if you like "by" and "note""#;
    let Act { events, by, note } = read_as(body, help)?;
    let actor = access.actor(by, note);
    let (store, settings) = (markback.store(), markback.settings());
    let done = problems::act(store, &settings, &school, action, &events, &actor).await;
    done.map(Json).map_err(refused)
}

fn action_of(word: &str) -> Result<Action, ApiError> {
    word.parse().map_err(|_| {
        let known = Action::VARIANTS.iter().map(|action| action.as_str());
        let help = match nearest(word, known.clone()) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => format!("there are: {}", known.collect::<Vec<_>>().join(", ")),
        };
        ApiError::new(Kind::NotFound, format!("there is no such action; {help}"))
    })
}

fn refused(error: ActionError) -> ApiError {
    let words = error.to_string();
    match error {
        ActionError::UnknownSchool => ApiError::unknown_school(),
        ActionError::UnknownCause => ApiError::new(Kind::NotFound, words),
        ActionError::DoesNotFit => ApiError::new(Kind::Conflict, words),
        ActionError::TooMany(_) => ApiError::new(Kind::TooLarge, words),
        error => store_away(&error),
    }
}
