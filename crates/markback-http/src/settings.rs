//! Settings as versions over HTTP: of schools and of templates.
//!
//! Both are changed by the same functions; a handler names what is changed. A school or a template that the settings file
//! keeps is shown, checked and tried, and a change of it is refused with the place where it can be changed.

use axum::{
    Json,
    extract::State,
    http::{HeaderName, header},
};
use chrono::NaiveDate;
use mis_core::SchoolId;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    error::{ApiError, Kind, Problem},
    extract::{Base, Body, MaybeBody, Path, read_as},
    key::{self, Access},
    openapi::{ProblemBody, RequestBody, ResponseBody},
    query::QueryParams,
};
use markback::{
    audit_log::AuditAction,
    configuration::{ChangeError, Configuration, HistoryEntry, PresentSettings, Written, diff},
    keys::Scope,
    overview::{self, TemplateOverview},
    service::Markback,
    settings,
    store::{SettingsKey, StoredVersion, WrittenMark},
    try_out::{Report, TrialError},
};

/// The longest text of settings in bytes.
const TEXT_MAX: usize = 256 * 1024;
const TEXT_HELP: &str =
    r#"send {"body": "…"} with the settings in TOML, and "by" and "note" if you like"#;
const NOTE_HELP: &str = r#"send {"by": "…", "note": "…"}, either of them, or nothing"#;

type PresentBody = ResponseBody<PresentSettings>;
type HistoryBody = ResponseBody<History>;
type VersionBody = ResponseBody<StoredVersion>;
type MarksBody = ResponseBody<Marks>;
type WrittenBody = ResponseBody<Written>;
type CheckedBody = ResponseBody<Checked>;
type DiffBody = ResponseBody<Difference>;
type ExportBody = ResponseBody<Exported>;
type TemplatesBody = ResponseBody<Templates>;
pub(super) type TextBody = RequestBody<Text>;
pub(super) type NoteBody = RequestBody<Note>;
type ActivationBody = RequestBody<Activation>;
type UndoBody = RequestBody<Undo>;
type TrialBody = RequestBody<Trial>;
type TrialReportBody = ResponseBody<Report>;

/// Seconds after which to retry while others try settings.
const TRY_AGAIN: u32 = 5;
/// The school days that are tried unless more are asked for, and the most.
const TRIAL_DAYS: u32 = 5;
const TRIAL_DAYS_MAX: u32 = 366;

/// The sub-router.
pub(super) fn routes() -> OpenApiRouter<Markback> {
    OpenApiRouter::new()
        .routes(routes!(present))
        .routes(routes!(history))
        .routes(routes!(version))
        .routes(routes!(marks))
        .routes(routes!(draft, put_draft, drop_draft))
        .routes(routes!(check))
        .routes(routes!(activate, cancel))
        .routes(routes!(undo))
        .routes(routes!(difference))
        .routes(routes!(export))
        .routes(routes!(try_out))
        .routes(routes!(templates))
        .routes(routes!(template, remove_template))
        .routes(routes!(template_history))
        .routes(routes!(template_version))
        .routes(routes!(
            template_draft,
            put_template_draft,
            drop_template_draft
        ))
        .routes(routes!(check_template))
        .routes(routes!(activate_template))
        .routes(routes!(undo_template))
        .routes(routes!(template_difference))
}

/// A text of settings.
#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "SettingsText")]
#[serde(deny_unknown_fields)]
pub(super) struct Text {
    /// The settings in TOML: of a school as in `[[school]]` without `id`, of a template as in `[[template]]` without `name`.
    pub(super) body: String,
    /// Who writes it; the key's name unless given.
    #[serde(default)]
    pub(super) by: Option<String>,
    /// Why, kept with the version.
    #[serde(default)]
    pub(super) note: Option<String>,
}

/// Who changes the settings, and why.
#[derive(Default, Deserialize, JsonSchema)]
#[schemars(rename = "SettingsNote")]
#[serde(deny_unknown_fields, default)]
pub(super) struct Note {
    /// Who; the key's name unless given.
    pub(super) by: Option<String>,
    /// Why, kept in the history.
    pub(super) note: Option<String>,
}

/// From when the settings rule, who decides that, and why.
#[derive(Default, Deserialize, JsonSchema)]
#[schemars(rename = "SettingsActivation")]
#[serde(deny_unknown_fields, default)]
struct Activation {
    /// The day from whose start at the school they rule, which is later than today; at once unless given.
    from: Option<NaiveDate>,
    /// Who; the key's name unless given.
    by: Option<String>,
    /// Why, kept in the history.
    note: Option<String>,
}

/// Which version to go back to.
#[derive(Default, Deserialize, JsonSchema)]
#[schemars(rename = "SettingsUndo")]
#[serde(deny_unknown_fields, default)]
struct Undo {
    /// The number of the version; the one that ruled before unless given.
    to: Option<u32>,
    /// Who; the key's name unless given.
    by: Option<String>,
    /// Why, kept in the history.
    note: Option<String>,
}

/// Settings to try.
#[derive(Default, Deserialize, JsonSchema)]
#[schemars(rename = "SettingsTrial")]
#[serde(deny_unknown_fields, default)]
struct Trial {
    /// The settings in TOML, as in `[[school]]` without `id`; the school's draft unless given.
    body: Option<String>,
    /// The number of school days; 5 unless given.
    #[schemars(range(min = 1, max = 366))]
    days: Option<u32>,
}

/// The versions of a school's settings or of a template.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "SettingsHistory")]
struct History {
    /// The versions, newest first.
    versions: Vec<HistoryEntry>,
}

/// The marks that a version wrote.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "WrittenMarks")]
struct Marks {
    /// The marks that are accepted, confirmed or unconfirmed, latest first.
    marks: Vec<WrittenMark>,
}

/// What a check has found.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "SettingsCheck")]
pub(super) struct Checked {
    /// Whether the settings could rule.
    ok: bool,
    /// What is wrong.
    problems: Vec<Finding>,
    /// Possible mistakes.
    hints: Vec<Finding>,
}

/// A problem of settings, or a hint.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "SettingsFinding")]
pub(super) struct Finding {
    /// The setting as a JSON pointer: `/group/1/writeback/am/late`. Empty for the whole text.
    pointer: String,
    #[serde(flatten)]
    problem: settings::Problem,
}

impl From<settings::Problem> for Finding {
    fn from(problem: settings::Problem) -> Self {
        Self {
            pointer: problem.pointer(),
            problem,
        }
    }
}

/// The lines in which two versions differ.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "SettingsDiff")]
struct Difference {
    /// The number of the one version.
    from: u32,
    /// The number of the other.
    to: u32,
    /// The lines in the unified form; empty if the texts are equal.
    diff: String,
}

/// Settings in the form of the settings file.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "SettingsExport")]
struct Exported {
    /// The school with the template that it names, in TOML. No token is in it.
    toml: String,
}

/// The templates.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Templates")]
struct Templates {
    /// The templates by name.
    templates: Vec<TemplateOverview>,
}

/// The ETag of a version, which a change names in `If-Match`.
type ETag = [(HeaderName, String); 1];

fn etag(version: &str) -> ETag {
    [(header::ETAG, format!("\"{version}\""))]
}

/// The settings of the file and of the database as they are now, also if another node changed them.
pub(super) async fn opened(markback: &Markback) -> Result<Configuration, ApiError> {
    let refreshed = markback.refresh_settings().await;
    refreshed.map_err(|error| store_away(&error))?;
    Ok(markback.configuration().await)
}

/// Goes by a change at once on this node. If that fails, the node follows within seconds.
pub(super) async fn follow(markback: &Markback) {
    if let Err(error) = markback.refresh_settings().await {
        tracing::warn!(%error, "changed settings could not be read at once; they are within seconds");
    }
}

/// The settings of a school that rule
///
/// With `owner` `file` they are kept by the settings file, and changes over the API are refused. `ETag` is the version, whose
/// number a change names in `If-Match`; with a draft, that is the draft's.
#[utoipa::path(get, path = "/v1/schools/{school}/settings", operation_id = "get_settings", tag = "settings",
    responses((status = 200, description = "The settings.", body = PresentBody, headers(("ETag" = String, description = "The version.")))))]
async fn present(
    State(markback): State<Markback>,
    Path(school): Path<String>,
) -> Result<(ETag, Json<PresentSettings>), ApiError> {
    show(&markback, &SettingsKey::school(school)).await
}

/// The versions of a school's settings
///
/// Who wrote each, when and why, and when it ruled, newest first. Versions never change.
#[utoipa::path(get, path = "/v1/schools/{school}/settings/versions", operation_id = "list_settings_versions", tag = "settings",
    responses(
        (status = 200, description = "The versions.", body = HistoryBody),
        (status = 409, description = "The settings file keeps the school.", body = ProblemBody, content_type = "application/problem+json"),
    ))]
async fn history(
    State(markback): State<Markback>,
    Path(school): Path<String>,
) -> Result<Json<History>, ApiError> {
    list_versions(&markback, &SettingsKey::school(school)).await
}

/// A version of a school's settings
#[utoipa::path(get, path = "/v1/schools/{school}/settings/versions/{number}", operation_id = "get_settings_version", tag = "settings",
    responses(
        (status = 200, description = "The version.", body = VersionBody, headers(("ETag" = String, description = "The version."))),
        (status = 409, description = "The settings file keeps the school.", body = ProblemBody, content_type = "application/problem+json"),
    ))]
async fn version(
    State(markback): State<Markback>,
    Path((school, number)): Path<(String, String)>,
) -> Result<(ETag, Json<StoredVersion>), ApiError> {
    show_version(&markback, &SettingsKey::school(school), &number).await
}

/// The marks that a version of a school's settings wrote
///
/// With whichever version of its template, latest first. An undo corrects none of them.
#[utoipa::path(get, path = "/v1/schools/{school}/settings/versions/{number}/marks", operation_id = "list_settings_marks", tag = "settings",
    responses(
        (status = 200, description = "The marks.", body = MarksBody),
        (status = 409, description = "The settings file keeps the school.", body = ProblemBody, content_type = "application/problem+json"),
    ))]
async fn marks(
    State(markback): State<Markback>,
    access: Access,
    Path((school, number)): Path<(String, String)>,
) -> Result<Json<Marks>, ApiError> {
    let key = SettingsKey::school(&school);
    let number = number_of(&number)?;
    let all = opened(&markback).await?;
    all.version(&key, Some(number)).await.map_err(not_changed)?;
    let school = SchoolId::from(school);
    let marks = markback.store().marks_written_by(&school, number).await;
    let marks = marks.map_err(|error| store_away(&error))?;
    if !marks.is_empty() {
        let look = access.entry(AuditAction::EventsListed).school(&school);
        let look = look.subject(format!("version {number}"));
        key::record(&markback, look.amount(marks.len())).await?;
    }
    Ok(Json(Marks { marks }))
}

/// The draft of a school's settings
#[utoipa::path(get, path = "/v1/schools/{school}/settings/draft", operation_id = "get_settings_draft", tag = "settings",
    responses((status = 200, description = "The draft.", body = VersionBody, headers(("ETag" = String, description = "The version.")))))]
async fn draft(
    State(markback): State<Markback>,
    Path(school): Path<String>,
) -> Result<(ETag, Json<StoredVersion>), ApiError> {
    show_draft(&markback, &SettingsKey::school(school)).await
}

/// Writes a draft of a school's settings
///
/// A draft may have problems, which the answer lists; it does not rule before it is activated. `If-Match` names the newest
/// version that its author has seen; `*` goes on top of whichever is the newest. A text may name a place on the server
/// (`token_env`, `token_file`, `link`, `calendar.ical_file`) only if the settings that rule do, unless the key has the
/// scope `admin` and sees all schools.
#[utoipa::path(put, path = "/v1/schools/{school}/settings/draft", operation_id = "put_settings_draft", tag = "settings",
    params(("If-Match" = String, Header, description = "The number of the version that the draft is based on, or `*`.", example = "\"3\"")),
    request_body = TextBody,
    responses(
        (status = 200, description = "The draft as it was written.", body = WrittenBody, headers(("ETag" = String, description = "The version."))),
        (status = 409, description = "The settings file keeps the school.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 412, description = "Somebody else wrote a version meanwhile; `conflict` has both texts.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 428, description = "`If-Match` is missing.", body = ProblemBody, content_type = "application/problem+json"),
    ))]
async fn put_draft(
    State(markback): State<Markback>,
    access: Access,
    base: Base,
    Path(school): Path<String>,
    Body(body): Body,
) -> Result<(ETag, Json<Written>), ApiError> {
    write_draft(&markback, &access, base, &SettingsKey::school(school), body).await
}

/// Drops the draft of a school's settings
///
/// The text that rules is written as a new version, which rules at once, so the draft is no longer the newest.
#[utoipa::path(delete, path = "/v1/schools/{school}/settings/draft", operation_id = "drop_settings_draft", tag = "settings",
    params(("If-Match" = Option<String>, Header, description = "The number of the draft.", example = "\"4\"")),
    responses(
        (status = 200, description = "The version that rules.", body = WrittenBody, headers(("ETag" = String, description = "The version."))),
        (status = 409, description = "There is only a draft, or the settings file keeps the school.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 412, description = "Somebody else wrote a version meanwhile.", body = ProblemBody, content_type = "application/problem+json"),
    ))]
async fn drop_draft(
    State(markback): State<Markback>,
    access: Access,
    base: Base,
    Path(school): Path<String>,
) -> Result<(ETag, Json<Written>), ApiError> {
    discard_draft(&markback, &access, base, &SettingsKey::school(school)).await
}

/// Checks a text as a school's settings
///
/// Lists every problem and hint at once, each with its line and a pointer. Nothing is written.
#[utoipa::path(post, path = "/v1/schools/{school}/settings/check", operation_id = "check_settings", tag = "settings",
    request_body = TextBody,
    responses((status = 200, description = "What the check has found.", body = CheckedBody)))]
async fn check(
    State(markback): State<Markback>,
    access: Access,
    Path(school): Path<String>,
    Body(body): Body,
) -> Result<Json<Checked>, ApiError> {
    check_text(&markback, &access, &SettingsKey::school(school), body).await
}

/// Activates the draft of a school's settings, at once or from a day on
///
/// It rules at once on this node, and on every other within seconds; or from the start of the day `from` at the school.
/// `If-Match` names the draft. While a version waits for its day, no other is activated. Events are decided by what rules at
/// the time of the decision, whenever they happened. A version that has problems when its day begins does not rule before
/// they are gone; the settings and the problems of the school tell.
#[utoipa::path(post, path = "/v1/schools/{school}/settings/activate", operation_id = "activate_settings", tag = "settings",
    params(("If-Match" = String, Header, description = "The number of the draft, or `*`.", example = "\"4\"")),
    request_body = Option<ActivationBody>,
    responses(
        (status = 200, description = "The version that rules, or that is to.", body = WrittenBody, headers(("ETag" = String, description = "The version."))),
        (status = 409, description = "The newest version rules already, another one waits for its day, or the settings file keeps the school.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 412, description = "Somebody else wrote a version meanwhile; `conflict` has it.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 428, description = "`If-Match` is missing.", body = ProblemBody, content_type = "application/problem+json"),
    ))]
async fn activate(
    State(markback): State<Markback>,
    access: Access,
    base: Base,
    Path(school): Path<String>,
    MaybeBody(body): MaybeBody,
) -> Result<(ETag, Json<Written>), ApiError> {
    let_rule(&markback, &access, base, &SettingsKey::school(school), body).await
}

/// Cancels the activation of a version that waits for its day
///
/// The version stays as a draft.
#[utoipa::path(delete, path = "/v1/schools/{school}/settings/activate", operation_id = "cancel_settings_activation", tag = "settings",
    params(("If-Match" = Option<String>, Header, description = "The number of the version that waits.", example = "\"4\"")),
    responses(
        (status = 200, description = "The version that does not wait any more.", body = WrittenBody, headers(("ETag" = String, description = "The version."))),
        (status = 409, description = "The settings file keeps the school.", body = ProblemBody, content_type = "application/problem+json"),
    ))]
async fn cancel(
    State(markback): State<Markback>,
    access: Access,
    base: Base,
    Path(school): Path<String>,
) -> Result<(ETag, Json<Written>), ApiError> {
    let mut all = opened(&markback).await?;
    let key = SettingsKey::school(school);
    let actor = access.actor(None, None);
    let cancelled = all.cancel_scheduled(&key, base.number(), &actor).await;
    let cancelled = cancelled.map_err(not_changed)?;
    Ok((etag(&cancelled.number.to_string()), Json(cancelled)))
}

/// Goes back to an earlier version of a school's settings
///
/// The earlier text is written as a new version, which rules at once. It also brings back a school that was removed. Marks
/// that were written before stay.
#[utoipa::path(post, path = "/v1/schools/{school}/settings/undo", operation_id = "undo_settings", tag = "settings",
    params(("If-Match" = Option<String>, Header, description = "The number of the newest version that the caller has seen.", example = "\"4\"")),
    request_body = Option<UndoBody>,
    responses(
        (status = 200, description = "The version that rules.", body = WrittenBody, headers(("ETag" = String, description = "The version."))),
        (status = 409, description = "Nothing ruled before, or the settings file keeps the school.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 412, description = "Somebody else wrote a version meanwhile; `conflict` has it.", body = ProblemBody, content_type = "application/problem+json"),
    ))]
async fn undo(
    State(markback): State<Markback>,
    access: Access,
    base: Base,
    Path(school): Path<String>,
    MaybeBody(body): MaybeBody,
) -> Result<(ETag, Json<Written>), ApiError> {
    go_back(&markback, &access, base, &SettingsKey::school(school), body).await
}

/// The lines in which two versions of a school's settings differ
#[utoipa::path(get, path = "/v1/schools/{school}/settings/diff", operation_id = "diff_settings", tag = "settings",
    params(
        ("from" = Option<u32>, Query, description = "From this version; the one that rules unless given."),
        ("to" = Option<u32>, Query, description = "To this version; the newest unless given."),
    ),
    responses(
        (status = 200, description = "The difference.", body = DiffBody),
        (status = 409, description = "The settings file keeps the school.", body = ProblemBody, content_type = "application/problem+json"),
    ))]
async fn difference(
    State(markback): State<Markback>,
    Path(school): Path<String>,
    asked: QueryParams,
) -> Result<Json<Difference>, ApiError> {
    compare(&markback, &SettingsKey::school(school), asked).await
}

/// A school's settings in the form of the settings file
///
/// With the template that it names. No token is in it.
#[utoipa::path(get, path = "/v1/schools/{school}/settings/export", operation_id = "export_settings", tag = "settings",
    responses(
        (status = 200, description = "The text.", body = ExportBody),
        (status = 409, description = "The school is only a draft, or was removed.", body = ProblemBody, content_type = "application/problem+json"),
    ))]
async fn export(
    State(markback): State<Markback>,
    Path(school): Path<String>,
) -> Result<Json<Exported>, ApiError> {
    let all = opened(&markback).await?;
    if all.owner(&SettingsKey::school(&school)).is_none() {
        return Err(nothing_rules());
    }
    let toml = all.export(&[school]).await.map_err(not_read)?;
    Ok(Json(Exported { toml }))
}

/// Tries settings on the events of the last school days
///
/// Each event is decided by the text, or by the school's draft, beside the settings that rule. The answer says what differs:
/// first in words for each day, then event by event with both explanations. Events that cannot be compared are counted apart,
/// by reason. Nothing is changed or sent. A node runs two trials at once.
#[utoipa::path(post, path = "/v1/schools/{school}/settings/try", operation_id = "try_settings", tag = "settings",
    request_body = Option<TrialBody>,
    responses(
        (status = 200, description = "The differences.", body = TrialReportBody),
        (status = 409, description = "No version of the school's settings rules.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "Too many trials run, or the database cannot be reached.", body = ProblemBody, content_type = "application/problem+json"),
    ))]
async fn try_out(
    State(markback): State<Markback>,
    access: Access,
    Path(school): Path<String>,
    MaybeBody(body): MaybeBody,
) -> Result<Json<Report>, ApiError> {
    let help =
        r#"send {"body": "…", "days": 5} with the settings in TOML, either of them, or nothing"#;
    let Trial { body, days } = match body {
        None => Trial::default(),
        Some(body) => read_as(body, help)?,
    };
    let days = days.unwrap_or(TRIAL_DAYS);
    if !(1..=TRIAL_DAYS_MAX).contains(&days) {
        return Err(ApiError::invalid_input(Problem {
            pointer: Some("/days".to_owned()),
            value: Some(days.to_string()),
            message: "a trial takes from 1 to 366 school days".to_owned(),
            help: "write a number in between".to_owned(),
            ..Problem::default()
        }));
    }
    if let Some(text) = &body {
        check_length(text)?;
        let all = opened(&markback).await?;
        may_write(&all, &access, &SettingsKey::school(&school), text).await?;
    }
    let school = SchoolId::from(school);
    let report = markback.try_settings(&school, body.as_deref(), days).await;
    let report = report.map_err(not_tried)?;
    let look = access.entry(AuditAction::SettingsTried).school(&school);
    key::record(&markback, look.amount(report.differences.len())).await?;
    Ok(Json(report))
}

/// The templates
///
/// A key that sees some schools only gets the templates that these name.
#[utoipa::path(get, path = "/v1/templates", operation_id = "list_templates", tag = "settings",
    responses((status = 200, description = "The templates.", body = TemplatesBody)))]
async fn templates(
    State(markback): State<Markback>,
    access: Access,
) -> Result<Json<Templates>, ApiError> {
    let all = opened(&markback).await?;
    let found = overview::templates(&all, markback.store()).await;
    let mut templates = found.map_err(|error| store_away(&error))?;
    templates.retain(|template| exists_for(&markback, &access, &template.name));
    Ok(Json(Templates { templates }))
}

/// A template that rules
#[utoipa::path(get, path = "/v1/templates/{template}", operation_id = "get_template", tag = "settings",
    responses((status = 200, description = "The template.", body = PresentBody, headers(("ETag" = String, description = "The version.")))))]
async fn template(
    State(markback): State<Markback>,
    access: Access,
    Path(template): Path<String>,
) -> Result<(ETag, Json<PresentSettings>), ApiError> {
    show(&markback, &seen(&markback, &access, template)?).await
}

/// Removes a template
///
/// Its versions stay, and an undo brings it back.
#[utoipa::path(delete, path = "/v1/templates/{template}", operation_id = "remove_template", tag = "settings",
    params(("If-Match" = Option<String>, Header, description = "The number of the newest version that the caller has seen.", example = "\"4\"")),
    responses(
        (status = 200, description = "It is removed.", body = WrittenBody),
        (status = 409, description = "The settings file keeps it.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 412, description = "Somebody else wrote a version meanwhile.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "Schools still name it.", body = ProblemBody, content_type = "application/problem+json"),
    ))]
async fn remove_template(
    State(markback): State<Markback>,
    access: Access,
    base: Base,
    Path(template): Path<String>,
) -> Result<Json<Written>, ApiError> {
    let key = changed(&markback, &access, template)?;
    let mut all = opened(&markback).await?;
    let actor = access.actor(None, None);
    let removed = all.remove(&key, base.number(), &actor).await;
    let removed = removed.map_err(not_changed)?;
    follow(&markback).await;
    Ok(Json(removed))
}

/// The versions of a template
#[utoipa::path(get, path = "/v1/templates/{template}/versions", operation_id = "list_template_versions", tag = "settings",
    responses(
        (status = 200, description = "The versions.", body = HistoryBody),
        (status = 409, description = "The settings file keeps it.", body = ProblemBody, content_type = "application/problem+json"),
    ))]
async fn template_history(
    State(markback): State<Markback>,
    access: Access,
    Path(template): Path<String>,
) -> Result<Json<History>, ApiError> {
    list_versions(&markback, &seen(&markback, &access, template)?).await
}

/// A version of a template
#[utoipa::path(get, path = "/v1/templates/{template}/versions/{number}", operation_id = "get_template_version", tag = "settings",
    responses(
        (status = 200, description = "The version.", body = VersionBody, headers(("ETag" = String, description = "The version."))),
        (status = 409, description = "The settings file keeps it.", body = ProblemBody, content_type = "application/problem+json"),
    ))]
async fn template_version(
    State(markback): State<Markback>,
    access: Access,
    Path((template, number)): Path<(String, String)>,
) -> Result<(ETag, Json<StoredVersion>), ApiError> {
    show_version(&markback, &seen(&markback, &access, template)?, &number).await
}

/// The draft of a template
#[utoipa::path(get, path = "/v1/templates/{template}/draft", operation_id = "get_template_draft", tag = "settings",
    responses((status = 200, description = "The draft.", body = VersionBody, headers(("ETag" = String, description = "The version.")))))]
async fn template_draft(
    State(markback): State<Markback>,
    access: Access,
    Path(template): Path<String>,
) -> Result<(ETag, Json<StoredVersion>), ApiError> {
    show_draft(&markback, &seen(&markback, &access, template)?).await
}

/// Writes a draft of a template
///
/// A name that no template has begins a new one; `If-Match` is then `*`.
#[utoipa::path(put, path = "/v1/templates/{template}/draft", operation_id = "put_template_draft", tag = "settings",
    params(("If-Match" = String, Header, description = "The number of the version that the draft is based on, or `*`.", example = "\"3\"")),
    request_body = TextBody,
    responses(
        (status = 200, description = "The draft as it was written.", body = WrittenBody, headers(("ETag" = String, description = "The version."))),
        (status = 409, description = "The settings file keeps it.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 412, description = "Somebody else wrote a version meanwhile; `conflict` has both texts.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 428, description = "`If-Match` is missing.", body = ProblemBody, content_type = "application/problem+json"),
    ))]
async fn put_template_draft(
    State(markback): State<Markback>,
    access: Access,
    base: Base,
    Path(template): Path<String>,
    Body(body): Body,
) -> Result<(ETag, Json<Written>), ApiError> {
    let key = changed(&markback, &access, template)?;
    write_draft(&markback, &access, base, &key, body).await
}

/// Drops the draft of a template
#[utoipa::path(delete, path = "/v1/templates/{template}/draft", operation_id = "drop_template_draft", tag = "settings",
    params(("If-Match" = Option<String>, Header, description = "The number of the draft.", example = "\"4\"")),
    responses(
        (status = 200, description = "The version that rules.", body = WrittenBody, headers(("ETag" = String, description = "The version."))),
        (status = 409, description = "There is only a draft, or the settings file keeps it.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 412, description = "Somebody else wrote a version meanwhile.", body = ProblemBody, content_type = "application/problem+json"),
    ))]
async fn drop_template_draft(
    State(markback): State<Markback>,
    access: Access,
    base: Base,
    Path(template): Path<String>,
) -> Result<(ETag, Json<Written>), ApiError> {
    let key = changed(&markback, &access, template)?;
    discard_draft(&markback, &access, base, &key).await
}

/// Checks a text as a template
///
/// With all schools of the database that name it. Nothing is written.
#[utoipa::path(post, path = "/v1/templates/{template}/check", operation_id = "check_template", tag = "settings",
    request_body = TextBody,
    responses((status = 200, description = "What the check has found.", body = CheckedBody)))]
async fn check_template(
    State(markback): State<Markback>,
    access: Access,
    Path(template): Path<String>,
    Body(body): Body,
) -> Result<Json<Checked>, ApiError> {
    let key = changed(&markback, &access, template)?;
    check_text(&markback, &access, &key, body).await
}

/// Activates the draft of a template
///
/// Only if every school of the database that names it still holds. It rules at once on this node, and on every other within
/// seconds.
#[utoipa::path(post, path = "/v1/templates/{template}/activate", operation_id = "activate_template", tag = "settings",
    params(("If-Match" = String, Header, description = "The number of the draft, or `*`.", example = "\"4\"")),
    request_body = Option<NoteBody>,
    responses(
        (status = 200, description = "The version that rules.", body = WrittenBody, headers(("ETag" = String, description = "The version."))),
        (status = 409, description = "The newest version rules already, or the settings file keeps it.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 412, description = "Somebody else wrote a version meanwhile; `conflict` has it.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 428, description = "`If-Match` is missing.", body = ProblemBody, content_type = "application/problem+json"),
    ))]
async fn activate_template(
    State(markback): State<Markback>,
    access: Access,
    base: Base,
    Path(template): Path<String>,
    MaybeBody(body): MaybeBody,
) -> Result<(ETag, Json<Written>), ApiError> {
    let key = changed(&markback, &access, template)?;
    let_rule(&markback, &access, base, &key, body).await
}

/// Goes back to an earlier version of a template
#[utoipa::path(post, path = "/v1/templates/{template}/undo", operation_id = "undo_template", tag = "settings",
    params(("If-Match" = Option<String>, Header, description = "The number of the newest version that the caller has seen.", example = "\"4\"")),
    request_body = Option<UndoBody>,
    responses(
        (status = 200, description = "The version that rules.", body = WrittenBody, headers(("ETag" = String, description = "The version."))),
        (status = 409, description = "Nothing ruled before, or the settings file keeps it.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 412, description = "Somebody else wrote a version meanwhile; `conflict` has it.", body = ProblemBody, content_type = "application/problem+json"),
    ))]
async fn undo_template(
    State(markback): State<Markback>,
    access: Access,
    base: Base,
    Path(template): Path<String>,
    MaybeBody(body): MaybeBody,
) -> Result<(ETag, Json<Written>), ApiError> {
    let key = changed(&markback, &access, template)?;
    go_back(&markback, &access, base, &key, body).await
}

/// The lines in which two versions of a template differ
#[utoipa::path(get, path = "/v1/templates/{template}/diff", operation_id = "diff_template", tag = "settings",
    params(
        ("from" = Option<u32>, Query, description = "From this version; the one that rules unless given."),
        ("to" = Option<u32>, Query, description = "To this version; the newest unless given."),
    ),
    responses(
        (status = 200, description = "The difference.", body = DiffBody),
        (status = 409, description = "The settings file keeps it.", body = ProblemBody, content_type = "application/problem+json"),
    ))]
async fn template_difference(
    State(markback): State<Markback>,
    access: Access,
    Path(template): Path<String>,
    asked: QueryParams,
) -> Result<Json<Difference>, ApiError> {
    compare(&markback, &seen(&markback, &access, template)?, asked).await
}

async fn show(
    markback: &Markback,
    key: &SettingsKey,
) -> Result<(ETag, Json<PresentSettings>), ApiError> {
    let all = opened(markback).await?;
    let present = all.look_at(key).await.map_err(not_read)?;
    let present = present.ok_or_else(|| not_changed(ChangeError::Unknown { key: key.clone() }))?;
    let version = match (present.number, &present.version) {
        (Some(number), _) => number.to_string(),
        (None, Some(version)) => version.clone(),
        (None, None) => present.newest.unwrap_or_default().to_string(),
    };
    Ok((etag(&version), Json(present)))
}

async fn list_versions(markback: &Markback, key: &SettingsKey) -> Result<Json<History>, ApiError> {
    let all = opened(markback).await?;
    let versions = all.history(key).await.map_err(not_changed)?;
    Ok(Json(History { versions }))
}

async fn show_version(
    markback: &Markback,
    key: &SettingsKey,
    number: &str,
) -> Result<(ETag, Json<StoredVersion>), ApiError> {
    let number = number_of(number)?;
    let all = opened(markback).await?;
    let version = all.version(key, Some(number)).await.map_err(not_changed)?;
    Ok((etag(&number.to_string()), Json(version)))
}

async fn show_draft(
    markback: &Markback,
    key: &SettingsKey,
) -> Result<(ETag, Json<StoredVersion>), ApiError> {
    let all = opened(markback).await?;
    let draft = all
        .draft_of(key)
        .await
        .map_err(|error| store_away(&error))?;
    let draft = draft.ok_or_else(|| not_changed(ChangeError::NoDraft { key: key.clone() }))?;
    Ok((etag(&draft.number.to_string()), Json(draft)))
}

async fn write_draft(
    markback: &Markback,
    access: &Access,
    base: Base,
    key: &SettingsKey,
    body: Value,
) -> Result<(ETag, Json<Written>), ApiError> {
    let Text { body, by, note } = text_of(body)?;
    let base = base.required()?;
    let mut all = opened(markback).await?;
    may_write(&all, access, key, &body).await?;
    let actor = access.actor(by, note);
    let written = all.draft(key, &body, base, &actor).await;
    let written = written.map_err(not_changed)?;
    Ok((etag(&written.number.to_string()), Json(written)))
}

async fn discard_draft(
    markback: &Markback,
    access: &Access,
    base: Base,
    key: &SettingsKey,
) -> Result<(ETag, Json<Written>), ApiError> {
    let mut all = opened(markback).await?;
    let actor = access.actor(None, None);
    let written = all.drop_draft(key, base.number(), &actor).await;
    ruling(markback, written).await
}

async fn check_text(
    markback: &Markback,
    access: &Access,
    key: &SettingsKey,
    body: Value,
) -> Result<Json<Checked>, ApiError> {
    let Text { body, .. } = text_of(body)?;
    let all = opened(markback).await?;
    may_write(&all, access, key, &body).await?;
    let name = format!("{key}, draft");
    let (problems, hints) = match all.check(key, &name, &body).await {
        Ok(hints) => (Vec::new(), hints),
        Err(ChangeError::Problems { problems, hints }) => (problems, hints),
        Err(error) => return Err(not_changed(error)),
    };
    let found =
        |findings: Vec<settings::Problem>| findings.into_iter().map(Finding::from).collect();
    Ok(Json(Checked {
        ok: problems.is_empty(),
        problems: found(problems),
        hints: found(hints),
    }))
}

async fn let_rule(
    markback: &Markback,
    access: &Access,
    base: Base,
    key: &SettingsKey,
    body: Option<Value>,
) -> Result<(ETag, Json<Written>), ApiError> {
    let help = r#"send {"from": "2027-01-05", "by": "…", "note": "…"}, any of them, or nothing"#;
    let Activation { from, by, note } = match body {
        None => Activation::default(),
        Some(body) => read_as(body, help)?,
    };
    let base = base.required()?;
    let mut all = opened(markback).await?;
    let actor = access.actor(by, note);
    let written = match from {
        Some(from) => all.activate_from(key, base, from, &actor).await,
        None => all.activate(key, base, &actor).await,
    };
    ruling(markback, written).await
}

async fn go_back(
    markback: &Markback,
    access: &Access,
    base: Base,
    key: &SettingsKey,
    body: Option<Value>,
) -> Result<(ETag, Json<Written>), ApiError> {
    let help =
        r#"send {"to": 3} with the number of a version, "by" and "note", any of them, or nothing"#;
    let Undo { to, by, note } = match body {
        None => Undo::default(),
        Some(body) => read_as(body, help)?,
    };
    let mut all = opened(markback).await?;
    let actor = access.actor(by, note);
    let written = all.undo_from(key, to, base.number(), &actor).await;
    ruling(markback, written).await
}

/// The answer to a change that rules, after this node goes by it.
async fn ruling(
    markback: &Markback,
    written: Result<Written, ChangeError>,
) -> Result<(ETag, Json<Written>), ApiError> {
    let written = written.map_err(not_changed)?;
    follow(markback).await;
    Ok((etag(&written.number.to_string()), Json(written)))
}

async fn compare(
    markback: &Markback,
    key: &SettingsKey,
    asked: QueryParams,
) -> Result<Json<Difference>, ApiError> {
    let asked = asked.only(&["from", "to"])?;
    let (from, to) = (asked.number("from")?, asked.number("to")?);
    let all = opened(markback).await?;
    let newest = all.history(key).await.map_err(not_changed)?;
    let newest = newest.first().map(|one| one.version);
    let from = all.version(key, from).await.map_err(not_changed)?;
    let to = all.version(key, to.or(newest)).await.map_err(not_changed)?;
    let name = |version: &StoredVersion| format!("version {}", version.number);
    Ok(Json(Difference {
        diff: diff(&from.body, &to.body, &name(&from), &name(&to)),
        from: from.number,
        to: to.number,
    }))
}

/// A text that is not too long.
pub(super) fn text_of(body: Value) -> Result<Text, ApiError> {
    let text: Text = read_as(body, TEXT_HELP)?;
    check_length(&text.body)?;
    Ok(text)
}

/// Checks that a text is not too long.
pub(super) fn check_length(text: &str) -> Result<(), ApiError> {
    if text.len() <= TEXT_MAX {
        return Ok(());
    }
    Err(ApiError::invalid_input(Problem {
        pointer: Some("/body".to_owned()),
        message: format!("the settings are longer than {TEXT_MAX} bytes"),
        help: "move what schools share into a template".to_owned(),
        ..Problem::default()
    }))
}

pub(super) fn note_of(body: Option<Value>) -> Result<Note, ApiError> {
    body.map_or_else(|| Ok(Note::default()), |body| read_as(body, NOTE_HELP))
}

/// Whether a text names no other places on the server than the settings that rule. One who administers all schools may name
/// any.
pub(super) async fn may_write(
    all: &Configuration,
    access: &Access,
    key: &SettingsKey,
    text: &str,
) -> Result<(), ApiError> {
    if access.grant.allows(Scope::Admin) && access.grant.sees_all_of(None) {
        return Ok(());
    }
    all.check_places(key, text).await.map_err(not_read)
}

/// A template that exists for the key.
fn seen(markback: &Markback, access: &Access, name: String) -> Result<SettingsKey, ApiError> {
    let key = SettingsKey::template(name);
    if exists_for(markback, access, &key.name) {
        Ok(key)
    } else {
        Err(not_changed(ChangeError::Unknown { key }))
    }
}

/// A template that the key may change: it concerns all schools that name it.
fn changed(markback: &Markback, access: &Access, name: String) -> Result<SettingsKey, ApiError> {
    let key = seen(markback, access, name)?;
    if access.grant.sees_all_of(None) {
        return Ok(key);
    }
    Err(ApiError::new(
        Kind::Forbidden,
        "this key sees some schools only, and a template may concern others; use a key that sees all schools",
    ))
}

fn exists_for(markback: &Markback, access: &Access, template: &str) -> bool {
    access.grant.sees_all_of(None)
        || markback.settings().schools.iter().any(|school| {
            school.template.as_deref() == Some(template) && access.grant.sees(&school.id)
        })
}

fn number_of(text: &str) -> Result<u32, ApiError> {
    text.parse().map_err(|_| {
        ApiError::new(
            Kind::UnknownVersion,
            "this is not the number of a version; the list of versions has them all",
        )
    })
}

/// No version rules, so there is nothing to compare with or to hand out.
pub(super) fn nothing_rules() -> ApiError {
    ApiError::new(
        Kind::Conflict,
        "no version of the school's settings rules; activate its draft, or undo its removal",
    )
}

/// The answer for settings that were not changed.
pub(super) fn not_changed(error: ChangeError) -> ApiError {
    let words = error.to_string();
    let kind = match error {
        ChangeError::Unknown { key } if key.scope == markback::store::Scope::School => {
            return ApiError::unknown_school();
        }
        ChangeError::Unknown { .. } => {
            return ApiError::new(
                Kind::UnknownTemplate,
                "there is no template with this name; the list of templates has them all",
            );
        }
        ChangeError::OfFile { .. } => {
            return ApiError::new(
                Kind::SettingsInFile,
                format!("{words}, or over the API with `adopt`"),
            );
        }
        ChangeError::UnknownVersion { .. }
        | ChangeError::NoDraft { .. }
        | ChangeError::NotScheduled { .. } => Kind::UnknownVersion,
        ChangeError::PastDay { from, today, .. } => {
            return ApiError::invalid_input(Problem {
                pointer: Some("/from".to_owned()),
                value: Some(from.to_string()),
                message: format!("this day has begun already: at the school it is {today}"),
                help: "send a later day, or no `from` to activate it now".to_owned(),
                ..Problem::default()
            });
        }
        ChangeError::TemplateFromDay { .. } => {
            return ApiError::invalid_input(Problem {
                pointer: Some("/from".to_owned()),
                message: "a template is activated at once, because a day begins at another time in each time zone"
                    .to_owned(),
                help: "send no `from`; or name a new template in the schools' own settings, and activate these from a day on"
                    .to_owned(),
                ..Problem::default()
            });
        }
        ChangeError::Place { .. } => Kind::Forbidden,
        ChangeError::FourEyes { .. }
        | ChangeError::FourEyesForNew { .. }
        | ChangeError::NeverRuled { .. } => Kind::FourEyes,
        ChangeError::Problems { problems, .. } => {
            let detail = match problems.as_slice() {
                [one] => format!("{one}; nothing was changed"),
                many => format!("{} problems; nothing was changed", many.len()),
            };
            let problems = problems.into_iter().map(in_settings).collect();
            return ApiError::new(Kind::InvalidSettings, detail).with_problems(problems);
        }
        ChangeError::Conflict(conflict) => {
            return ApiError::new(Kind::SettingsChanged, words).with_conflict(conflict);
        }
        ChangeError::File(error) => {
            tracing::error!(%error, "the settings file cannot be read");
            return ApiError::unavailable("the settings file cannot be read at the moment", 5);
        }
        ChangeError::Store(error) => return store_away(&error),
        // Exists, RulesAlready, NothingBefore, OnlyDraft, and what may come.
        _ => Kind::Conflict,
    };
    ApiError::new(kind, words)
}

fn not_tried(error: TrialError) -> ApiError {
    match error {
        TrialError::NothingRules => nothing_rules(),
        TrialError::Draft(error) => not_changed(error),
        TrialError::Store(error) => store_away(&error),
        error => ApiError::unavailable(error.to_string(), TRY_AGAIN),
    }
}

/// The answer if the settings file has mistakes since it was taken, so that its texts cannot be read.
fn not_read(error: ChangeError) -> ApiError {
    match error {
        ChangeError::Problems { .. } => ApiError::unavailable(
            "the settings file has mistakes, so its texts cannot be shown; correct the file",
            60,
        ),
        error => not_changed(error),
    }
}

fn in_settings(problem: settings::Problem) -> Problem {
    Problem {
        value: problem.value,
        message: problem.message,
        help: problem.help,
        setting: Some(problem.key).filter(|key| !key.is_empty()),
        line: problem.line,
        ..Problem::default()
    }
}

pub(super) fn store_away(error: &impl std::fmt::Display) -> ApiError {
    ApiError::no_database(error, "nothing was changed, try again")
}
