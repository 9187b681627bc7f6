//! The schools over HTTP: their state, adding and removing them, who keeps their settings, their tokens, and pauses of syncs.

use axum::{Json, extract::State, http::StatusCode};
use chrono::{DateTime, NaiveDate, Utc};
use mis_core::SchoolId;
use schemars::JsonSchema;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    error::{ApiError, Kind, Problem},
    extract::{Base, Body, MaybeBody, Path, read_as},
    key::Access,
    openapi::{ProblemBody, RequestBody, ResponseBody},
    settings::{self, NoteBody, not_changed, note_of, opened, store_away},
};
use markback::{
    audit_log::AuditAction,
    configuration::{TokenError, TokenSet, Written},
    overview::{self, SchoolOverview},
    service::Markback,
    settings::SecretError,
    store::SettingsKey,
    sync::morning_of,
};

type ListedBody = ResponseBody<Listed>;
type SchoolBody = ResponseBody<SchoolOverview>;
type NewSchoolBody = RequestBody<NewSchool>;
type WrittenBody = ResponseBody<Written>;
type TokenBody = RequestBody<NewToken>;
type TokenSetBody = ResponseBody<TokenSet>;
type PauseBody = RequestBody<Pause>;
type PausedBody = ResponseBody<Paused>;

/// The sub-router.
pub(super) fn routes() -> OpenApiRouter<Markback> {
    OpenApiRouter::new()
        .routes(routes!(list, add))
        .routes(routes!(look, remove))
        .routes(routes!(adopt))
        .routes(routes!(set_token, remove_token))
        .routes(routes!(pause_syncs, resume_syncs))
        .routes(routes!(resume))
}

/// The schools.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Schools")]
struct Listed {
    /// The schools: those that rule in the order of the settings, then drafts and those that were removed.
    schools: Vec<SchoolOverview>,
}

/// A school to add to the database.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct NewSchool {
    /// Its id at Wonde.
    #[schemars(length(min = 1, max = 100))]
    id: String,
    /// Its settings in TOML, as in a `[[school]]` of the settings file without `id`.
    body: String,
    /// Write a draft only, which does not rule and may have problems.
    #[serde(default)]
    draft: bool,
    /// Who adds it; the key's name unless given.
    #[serde(default)]
    by: Option<String>,
    /// Why, kept with the version.
    #[serde(default)]
    note: Option<String>,
}

/// A school's token for Wonde.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct NewToken {
    /// The token. It is sealed and never shown again.
    #[schemars(length(min = 1, max = 4096))]
    token: String,
    /// Who sets it; the key's name unless given.
    #[serde(default)]
    by: Option<String>,
    /// Why, kept in the history.
    #[serde(default)]
    note: Option<String>,
}

/// Until when the scheduled syncs of a school are paused.
#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "NewSyncPause")]
#[serde(deny_unknown_fields)]
struct Pause {
    /// The day on which they go on, at the school.
    until: NaiveDate,
}

/// The pause of a school's scheduled syncs.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "SyncPause")]
struct Paused {
    /// When they go on; absent if they are not paused.
    sync_paused_until: Option<DateTime<Utc>>,
}

/// The schools with their state
///
/// Who keeps their settings, which version rules, and what is in the way of their events and syncs.
#[utoipa::path(get, path = "/v1/schools", operation_id = "list_schools", tag = "schools",
    responses((status = 200, description = "The schools.", body = ListedBody)))]
async fn list(State(markback): State<Markback>, access: Access) -> Result<Json<Listed>, ApiError> {
    let all = opened(&markback).await?;
    let schools = overview::schools(&all, markback.store()).await;
    let mut schools = schools.map_err(|error| store_away(&error))?;
    schools.retain(|school| access.grant.sees(&school.id.as_str().into()));
    Ok(Json(Listed { schools }))
}

/// Adds a school to the database
///
/// It rules at once on this node, and on every other within seconds. A text may name a place on the server only if the key
/// sees all schools.
#[utoipa::path(post, path = "/v1/schools", operation_id = "add_school", tag = "schools",
    request_body = NewSchoolBody,
    responses(
        (status = 201, description = "The first version of its settings.", body = WrittenBody),
        (status = 409, description = "There is such a school already.", body = ProblemBody, content_type = "application/problem+json"),
    ))]
async fn add(
    State(markback): State<Markback>,
    access: Access,
    Body(body): Body,
) -> Result<(StatusCode, Json<Written>), ApiError> {
    let help = r#"send {"id": "A…", "body": "…"} with the settings in TOML, and "draft", "by" and "note" if you like"#;
    let NewSchool {
        id,
        body,
        draft,
        by,
        note,
    } = read_as(body, help)?;
    let school = SchoolId::from(id.trim());
    if !access.grant.sees(&school) {
        return Err(invalid(
            "/id",
            "this key sees some schools only, and not this one",
            "use a key that sees the school",
        ));
    }
    let is_id = id.len() <= 100
        && !id.trim().is_empty()
        && id.trim().chars().all(|c| c.is_ascii_alphanumeric());
    if !is_id {
        return Err(invalid(
            "/id",
            "this is not the id of a school at Wonde",
            "write letters and digits, such as A1930499544",
        ));
    }
    settings::check_length(&body)?;
    let key = SettingsKey::from(&school);
    let mut all = opened(&markback).await?;
    settings::may_write(&all, &access, &key, &body).await?;
    let added = all.add(&key, &body, draft, &access.actor(by, note)).await;
    let added = added.map_err(not_changed)?;
    settings::follow(&markback).await;
    Ok((StatusCode::CREATED, Json(added)))
}

/// A school with its state
#[utoipa::path(get, path = "/v1/schools/{school}", operation_id = "get_school", tag = "schools",
    responses((status = 200, description = "The school.", body = SchoolBody)))]
async fn look(
    State(markback): State<Markback>,
    Path(school): Path<String>,
) -> Result<Json<SchoolOverview>, ApiError> {
    let all = opened(&markback).await?;
    let schools = overview::schools(&all, markback.store()).await;
    let schools = schools.map_err(|error| store_away(&error))?;
    let found = schools.into_iter().find(|one| one.id == school);
    found.map(Json).ok_or_else(ApiError::unknown_school)
}

/// Takes a school out of the database
///
/// Its versions and its events stay, and an undo of its settings brings it back. Nothing is written for it from now on.
#[utoipa::path(delete, path = "/v1/schools/{school}", operation_id = "remove_school", tag = "schools",
    params(("If-Match" = Option<String>, Header, description = "The number of the newest version that the caller has seen.", example = "\"4\"")),
    responses(
        (status = 200, description = "It is removed.", body = WrittenBody),
        (status = 409, description = "The settings file keeps it.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 412, description = "Somebody else wrote a version meanwhile; `conflict` has it.", body = ProblemBody, content_type = "application/problem+json"),
    ))]
async fn remove(
    State(markback): State<Markback>,
    access: Access,
    base: Base,
    Path(school): Path<String>,
) -> Result<Json<Written>, ApiError> {
    let mut all = opened(&markback).await?;
    let key = SettingsKey::school(school);
    let actor = access.actor(None, None);
    let removed = all.remove(&key, base.number(), &actor).await;
    let removed = removed.map_err(not_changed)?;
    settings::follow(&markback).await;
    Ok(Json(removed))
}

/// Moves a school from the settings file into the database
///
/// Its settings can then be changed over the API. The file's entry is ignored from then on; a note of the school asks to
/// remove it.
#[utoipa::path(post, path = "/v1/schools/{school}/adopt", operation_id = "adopt_school", tag = "schools",
    request_body = Option<NoteBody>,
    responses(
        (status = 200, description = "The first version of its settings.", body = WrittenBody),
        (status = 409, description = "The database has it already.", body = ProblemBody, content_type = "application/problem+json"),
    ))]
async fn adopt(
    State(markback): State<Markback>,
    access: Access,
    Path(school): Path<String>,
    MaybeBody(body): MaybeBody,
) -> Result<Json<Written>, ApiError> {
    let note = note_of(body)?;
    let mut all = opened(&markback).await?;
    let actor = access.actor(note.by, note.note);
    let adopted = all.adopt(std::slice::from_ref(&school), &actor).await;
    let adopted = adopted.map_err(not_changed)?.into_iter().next();
    settings::follow(&markback).await;
    adopted.map(Json).ok_or_else(ApiError::unknown_school)
}

/// Sets a school's token for Wonde
///
/// It is sealed with the key that the settings name, and never shown again. Every node uses it within seconds. A school that
/// is only a draft can have one.
#[utoipa::path(put, path = "/v1/schools/{school}/token", operation_id = "set_token", tag = "schools",
    request_body = TokenBody,
    responses(
        (status = 200, description = "The token is kept; `elsewhere` names another place that counts instead.", body = TokenSetBody),
        (status = 409, description = "The settings file keeps the school, or names no key for sealing.", body = ProblemBody, content_type = "application/problem+json"),
    ))]
async fn set_token(
    State(markback): State<Markback>,
    access: Access,
    Path(school): Path<String>,
    Body(body): Body,
) -> Result<Json<TokenSet>, ApiError> {
    let help = r#"send {"token": "…"}, and "by" and "note" if you like"#;
    let NewToken { token, by, note } = read_as(body, help)?;
    let token = SecretString::from(token);
    let all = opened(&markback).await?;
    let actor = access.actor(by, note);
    let set = all.set_token(&school.into(), &token, &actor).await;
    let set = set.map_err(token_not_set)?;
    settings::follow(&markback).await;
    Ok(Json(set))
}

/// Removes a school's token from the database
#[utoipa::path(delete, path = "/v1/schools/{school}/token", operation_id = "remove_token", tag = "schools",
    responses(
        (status = 204, description = "It is removed."),
        (status = 409, description = "The database has no token for the school.", body = ProblemBody, content_type = "application/problem+json"),
    ))]
async fn remove_token(
    State(markback): State<Markback>,
    access: Access,
    Path(school): Path<String>,
) -> Result<StatusCode, ApiError> {
    let all = opened(&markback).await?;
    let actor = access.actor(None, None);
    let removed = all.remove_token(&school.into(), &actor).await;
    removed.map_err(token_not_set)?;
    settings::follow(&markback).await;
    Ok(StatusCode::NO_CONTENT)
}

/// Pauses a school's scheduled syncs
///
/// For holidays, in which an MIS may be rebuilt. The groups stay as they are. A sync that is asked for still runs.
#[utoipa::path(put, path = "/v1/schools/{school}/sync/pause", operation_id = "pause_syncs", tag = "groups",
    request_body = PauseBody,
    responses((status = 200, description = "The pause.", body = PausedBody)))]
async fn pause_syncs(
    State(markback): State<Markback>,
    access: Access,
    Path(school): Path<String>,
    Body(body): Body,
) -> Result<Json<Paused>, ApiError> {
    let Pause { until: day } = read_as(body, r#"send {"until": "2027-09-01"}"#)?;
    let school = markback.school(&school.into());
    let school = school.ok_or_else(ApiError::unknown_school)?;
    let until = morning_of(day, school.timezone).filter(|until| *until > markback.store().now());
    let Some(until) = until else {
        return Err(invalid(
            "/until",
            "this day has begun already",
            "name the day on which scheduled syncs go on",
        ));
    };
    set_pause(&markback, &access, &school.id, Some(until)).await
}

/// Lets a school's scheduled syncs go on
#[utoipa::path(delete, path = "/v1/schools/{school}/sync/pause", operation_id = "resume_syncs", tag = "groups",
    responses((status = 200, description = "They are on.", body = PausedBody)))]
async fn resume_syncs(
    State(markback): State<Markback>,
    access: Access,
    Path(school): Path<String>,
) -> Result<Json<Paused>, ApiError> {
    set_pause(&markback, &access, &school.into(), None).await
}

/// Ends a school's pause
///
/// For instance because its cause is removed. If it is not, the next request pauses it again. A pause of the token that the
/// school shares with others is ended only by a key that sees all of them.
#[utoipa::path(post, path = "/v1/schools/{school}/resume", operation_id = "resume_school", tag = "schools",
    responses(
        (status = 200, description = "The school with its state.", body = SchoolBody),
        (status = 409, description = "The school is not paused, or its token is, which other schools share.", body = ProblemBody, content_type = "application/problem+json"),
    ))]
async fn resume(
    State(markback): State<Markback>,
    access: Access,
    Path(school): Path<String>,
) -> Result<Json<SchoolOverview>, ApiError> {
    let id = SchoolId::from(school.as_str());
    let settings = markback.settings();
    let shared = overview::schools_of_token(&settings, &id);
    let may_end_token = shared.iter().all(|other| access.grant.sees(other));
    let ended = overview::end_pauses(markback.store(), &settings, &id, may_end_token).await;
    let ended = ended.map_err(|error| store_away(&error))?;
    if ended.is_empty() {
        let why = if may_end_token {
            "the school is not paused"
        } else {
            "the school is not paused itself, and its token is shared with schools that this key does not see"
        };
        return Err(ApiError::new(Kind::Conflict, why));
    }
    for key in ended {
        let entry = access.entry(AuditAction::PauseEnded).school(&id);
        let recorded = markback.audit_log().change(entry.subject(key)).await;
        recorded.map_err(|error| store_away(&error))?;
    }
    look(State(markback), Path(school)).await
}

async fn set_pause(
    markback: &Markback,
    access: &Access,
    school: &SchoolId,
    until: Option<DateTime<Utc>>,
) -> Result<Json<Paused>, ApiError> {
    let paused = markback.store().pause_syncs(school, until).await;
    paused.map_err(|error| store_away(&error))?;
    let action = match until {
        Some(_) => AuditAction::SyncsPaused,
        None => AuditAction::SyncsResumed,
    };
    let recorded = markback
        .audit_log()
        .change(access.entry(action).school(school))
        .await;
    recorded.map_err(|error| store_away(&error))?;
    Ok(Json(Paused {
        sync_paused_until: until,
    }))
}

fn invalid(pointer: &str, message: &str, help: &str) -> ApiError {
    ApiError::invalid_input(Problem {
        pointer: Some(pointer.to_owned()),
        message: message.to_owned(),
        help: help.to_owned(),
        ..Problem::default()
    })
}

fn token_not_set(error: TokenError) -> ApiError {
    let words = error.to_string();
    match error {
        TokenError::Unknown { .. } => ApiError::unknown_school(),
        TokenError::OfFile { .. } => ApiError::new(Kind::SettingsInFile, words),
        TokenError::NotAToken(_) => invalid("/token", &words, "send the token as Wonde shows it"),
        TokenError::Secret(SecretError::NotNamed) => ApiError::new(
            Kind::Conflict,
            "the settings name no key for sealing tokens; add `seal_key_file` or `seal_key_env`, and restart the service",
        ),
        TokenError::Secret(error) => {
            tracing::error!(%error, "the key for sealing tokens cannot be used");
            ApiError::new(
                Kind::Conflict,
                "the key for sealing tokens cannot be used; the log of the service says why",
            )
        }
        TokenError::Store(error) => store_away(&error),
        _ => ApiError::new(Kind::Conflict, words),
    }
}
