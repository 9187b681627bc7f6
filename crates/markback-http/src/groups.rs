//! The schools' groups over HTTP: lists, changes after a cursor, and syncs.
//!
//! A group that has never been read is not empty: the answer is 503, so that no host treats it as empty.

use axum::{Json, extract::State, http::StatusCode};
use chrono::{DateTime, Utc};
use mis_core::SchoolId;
use roster::{Cause, Member};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use utoipa_axum::{router::OpenApiRouter, routes};
use writeback::settings::{Field, GroupKind, WritebackSettings};

use super::{
    error::{ApiError, Kind},
    extract::{MaybeBody, Path, read_as},
    key::{self, Access},
    openapi::{ProblemBody, RequestBody, ResponseBody},
    query::{self, QueryParams},
};
use markback::{
    audit_log::AuditAction,
    service::Markback,
    settings::{Group, School},
    store::{GroupChange, Horizon, MemberJson, SyncRecord},
    sync::SyncRequest,
};

/// The default and the largest number of syncs in one answer.
const SYNCS: u32 = 20;
const SYNCS_MAX: u32 = 200;
/// Seconds after which to retry while a group is read for the first time.
const READ_SOON: u32 = 30;

/// The sub-router.
pub(super) fn routes() -> OpenApiRouter<Markback> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(look))
        .routes(routes!(changes))
        .routes(routes!(sync))
        .routes(routes!(syncs))
        .routes(routes!(one_sync))
}

type GroupsBody = ResponseBody<Groups>;
type GroupBody = ResponseBody<GroupJson>;
type ChangesBody = ResponseBody<Feed>;
type SyncsBody = ResponseBody<Syncs>;
type SyncRecordBody = ResponseBody<SyncRecord>;
type SyncRequestBody = RequestBody<SyncBody>;

/// A school's groups.
#[derive(Serialize, JsonSchema)]
struct Groups {
    /// When the school was last synced.
    synced_at: Option<DateTime<Utc>>,
    /// The groups in the order of the settings.
    groups: Vec<Line>,
}

/// A group in a list.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "GroupInList")]
struct Line {
    /// Its name.
    name: String,
    /// The kind of people in it.
    kind: GroupKind,
    /// The number of people; `null` for a group that has never been read.
    people: Option<u64>,
    /// Whether events of its people become marks.
    writes_back: bool,
}

/// A group with its people, and what a sign-in screen needs for it.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Group")]
struct GroupJson {
    /// Its name.
    name: String,
    /// The kind of people in it.
    kind: GroupKind,
    /// The text to show to people of the group.
    message: Option<String>,
    /// The questions to ask.
    fields: Vec<Field>,
    /// How events become marks, as in the settings.
    writeback: Option<WritebackSettings>,
    /// When the school was last synced.
    synced_at: Option<DateTime<Utc>>,
    /// From where to follow changes of the group.
    cursor: String,
    /// Its people, in the order of their ids.
    people: Vec<MemberJson<Member>>,
}

/// Changes of a group.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "GroupChanges")]
struct Feed {
    /// The changes in order.
    changes: Vec<ChangeJson>,
    /// From where to go on.
    cursor: String,
    /// Whether there are more changes already.
    more: bool,
}

/// A change of a group. Applying one twice changes nothing.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "GroupChange")]
struct ChangeJson {
    /// The cursor after this change.
    cursor: String,
    /// When it was found.
    at: Option<DateTime<Utc>>,
    /// The person's id.
    id: String,
    #[serde(flatten)]
    what: What,
    /// The person as they are now; absent if they have left.
    #[serde(skip_serializing_if = "Option::is_none")]
    person: Option<MemberJson<Member>>,
}

/// What happened to the person.
#[derive(Serialize, Deserialize, JsonSchema)]
struct What {
    /// Whether the person joined the group, changed in it, or left it.
    change: ChangeWord,
    /// Of a person who changed: the names of the changed fields.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    fields: Option<Vec<String>>,
    /// Of a person who left: why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cause: Option<Cause>,
    /// Of a person who left: why, as text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    words: Option<String>,
}

/// What happened to a person of a group.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum ChangeWord {
    /// They joined.
    Joined,
    /// Their data changed.
    Changed,
    /// They left.
    Left,
}

/// Syncs of a school.
#[derive(Serialize, JsonSchema)]
struct Syncs {
    /// The latest first.
    syncs: Vec<SyncRecord>,
}

/// The requested sync.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[schemars(rename = "SyncRequest")]
#[serde(deny_unknown_fields, default)]
struct SyncBody {
    /// Whether to read everybody instead of what changed.
    full: Option<bool>,
    /// Whether to accept changes that the guard held back.
    accept: Option<bool>,
}

/// The groups of a school
#[utoipa::path(get, path = "/v1/schools/{school}/groups", operation_id = "list_groups", tag = "groups",
    responses((status = 200, description = "The groups.", body = GroupsBody)))]
async fn list(
    State(markback): State<Markback>,
    Path(school): Path<String>,
) -> Result<Json<Groups>, ApiError> {
    let school = known(&markback, &school)?;
    let read = markback
        .store()
        .groups_read(&school.id)
        .await
        .map_err(store_away)?;
    let groups = school.groups.iter().map(|group| Line {
        name: group.name.clone(),
        kind: group.kind,
        people: read
            .as_ref()
            .and_then(|read| read.people.get(&group.name).copied()),
        writes_back: group.rules.is_some(),
    });
    Ok(Json(Groups {
        synced_at: read.as_ref().and_then(|read| read.synced_at),
        groups: groups.collect(),
    }))
}

/// A group and its people
///
/// Until the group has been read for the first time the answer is 503, so that it is not taken for empty.
#[utoipa::path(get, path = "/v1/schools/{school}/groups/{group}", operation_id = "get_group", tag = "groups",
    responses((status = 200, description = "The group.", body = GroupBody)))]
async fn look(
    State(markback): State<Markback>,
    access: Access,
    Path((school, group)): Path<(String, String)>,
) -> Result<Json<GroupJson>, ApiError> {
    let school = known(&markback, &school)?;
    let group = known_group(&school, &group)?;
    let page = markback.store().group_people(&school.id, &group.name).await;
    let page = page.map_err(store_away)?.ok_or_else(not_read)?;
    let look = access.entry(AuditAction::GroupShown).school(&school.id);
    let look = look.subject(&group.name).amount(page.people.len());
    key::record(&markback, look).await?;
    Ok(Json(GroupJson {
        name: group.name.clone(),
        kind: group.kind,
        message: group.message.clone(),
        fields: group.fields.clone(),
        writeback: group.writeback.clone(),
        synced_at: page.synced_at,
        cursor: page.cursor.to_string(),
        people: page.people.into_iter().map(MemberJson).collect(),
    }))
}

/// Changes of a group after a cursor
#[utoipa::path(get, path = "/v1/schools/{school}/groups/{group}/changes", operation_id = "list_group_changes", tag = "groups",
    params(("since" = Option<String>, Query, description = "The cursor of an earlier answer, of the group or of its changes; without it, all changes that are kept.")),
    responses(
        (status = 200, description = "The changes, at most 1000.", body = ChangesBody),
        (status = 410, description = "Changes after the cursor are no longer kept.", body = ProblemBody, content_type = "application/problem+json"),
    ))]
async fn changes(
    State(markback): State<Markback>,
    access: Access,
    Path((school, group)): Path<(String, String)>,
    asked: QueryParams,
) -> Result<Json<Feed>, ApiError> {
    let school = known(&markback, &school)?;
    let group = known_group(&school, &group)?;
    let asked = asked.only(&["since"])?;
    let since = match asked.text("since") {
        None => 0,
        Some(cursor) => cursor.parse().map_err(|_| {
            query::wrong(
                "since",
                Some(cursor),
                "this is no cursor",
                "send the cursor of an earlier answer, or leave it out",
            )
        })?,
    };
    let changes = markback
        .store()
        .group_changes(&school.id, &group.name, since)
        .await;
    match changes.map_err(store_away)?.ok_or_else(not_read)? {
        Horizon::Within(found) => {
            if !found.changes.is_empty() {
                let look = access.entry(AuditAction::GroupChangesShown);
                let look = look.school(&school.id).subject(&group.name);
                key::record(&markback, look.amount(found.changes.len())).await?;
            }
            Ok(Json(Feed {
                changes: found
                    .changes
                    .into_iter()
                    .map(change)
                    .collect::<Result<_, _>>()?,
                cursor: found.cursor.to_string(),
                more: found.more,
            }))
        }
        Horizon::Beyond => Err(ApiError::new(
            Kind::CursorGone,
            "changes after this cursor are no longer kept; read the group's list and continue from its cursor",
        )),
    }
}

/// A change with the person as they are now; a later change tells if they have left.
fn change(change: GroupChange) -> Result<ChangeJson, ApiError> {
    let what = serde_json::from_value(change.what).map_err(|error| {
        tracing::error!(%error, "a stored change of a group cannot be read");
        ApiError::new(Kind::Internal, "a stored change cannot be read")
    })?;
    Ok(ChangeJson {
        cursor: change.seq.to_string(),
        at: change.at,
        id: change.person,
        what,
        person: change.member.map(MemberJson),
    })
}

/// Reads the school's people
#[utoipa::path(post, path = "/v1/schools/{school}/sync", operation_id = "start_sync", tag = "groups",
    request_body = Option<SyncRequestBody>,
    responses((status = 202, description = "The sync that will run.", body = SyncRecordBody)))]
async fn sync(
    State(markback): State<Markback>,
    access: Access,
    Path(school): Path<String>,
    MaybeBody(body): MaybeBody,
) -> Result<(StatusCode, Json<SyncRecord>), ApiError> {
    let school = known(&markback, &school)?;
    let SyncBody { full, accept } = match body {
        None => SyncBody::default(),
        Some(body) => read_as(
            body,
            r#"send {"full": true, "accept": true}, either of them, or nothing"#,
        )?,
    };
    let ask = SyncRequest {
        full: full.unwrap_or_default(),
        accept: accept.unwrap_or_default(),
    };
    let id = markback
        .sync()
        .ask(&school, ask)
        .await
        .map_err(store_away)?;
    let action = if ask.accept {
        AuditAction::SyncAccepted
    } else {
        AuditAction::SyncStarted
    };
    let entry = access.entry(action).school(&school.id).subject(&id);
    let recorded = markback.audit_log().change(entry).await;
    recorded.map_err(store_away)?;
    let record = markback
        .store()
        .sync(&school.id, &id)
        .await
        .map_err(store_away)?;
    record
        .map(|record| (StatusCode::ACCEPTED, Json(record)))
        .ok_or_else(unknown_sync)
}

/// The latest syncs of a school
#[utoipa::path(get, path = "/v1/schools/{school}/syncs", operation_id = "list_syncs", tag = "groups",
    params(("limit" = Option<u32>, Query, description = "The most syncs in the answer: 20 unless given, at most 200.")),
    responses((status = 200, description = "The syncs.", body = SyncsBody)))]
async fn syncs(
    State(markback): State<Markback>,
    access: Access,
    Path(school): Path<String>,
    asked: QueryParams,
) -> Result<Json<Syncs>, ApiError> {
    let school = known(&markback, &school)?;
    let limit = asked.only(&["limit"])?.number("limit")?;
    let limit = limit.unwrap_or(SYNCS).min(SYNCS_MAX);
    let syncs = markback
        .store()
        .syncs(&school.id, limit)
        .await
        .map_err(store_away)?;
    if !syncs.is_empty() {
        let look = access.entry(AuditAction::SyncsShown).school(&school.id);
        key::record(&markback, look.amount(syncs.len())).await?;
    }
    Ok(Json(Syncs { syncs }))
}

/// A sync and its report
#[utoipa::path(get, path = "/v1/schools/{school}/syncs/{sync}", operation_id = "get_sync", tag = "groups",
    responses((status = 200, description = "The sync.", body = SyncRecordBody)))]
async fn one_sync(
    State(markback): State<Markback>,
    access: Access,
    Path((school, sync)): Path<(String, String)>,
) -> Result<Json<SyncRecord>, ApiError> {
    let school = known(&markback, &school)?;
    let record = markback
        .store()
        .sync(&school.id, &sync)
        .await
        .map_err(store_away)?;
    let record = record.ok_or_else(unknown_sync)?;
    let look = access.entry(AuditAction::SyncsShown).school(&school.id);
    key::record(&markback, look.subject(&record.id)).await?;
    Ok(Json(record))
}

fn known(markback: &Markback, school: &str) -> Result<School, ApiError> {
    let school = markback.school(&SchoolId::from(school));
    school.ok_or_else(ApiError::unknown_school)
}

fn known_group<'s>(school: &'s School, group: &str) -> Result<&'s Group, ApiError> {
    school.group(group).ok_or_else(|| {
        ApiError::new(
            Kind::UnknownGroup,
            "the settings have no group with this name at the school; encode spaces in it as %20",
        )
    })
}

fn not_read() -> ApiError {
    ApiError::unavailable(
        "the group has not been read yet, so its people are unknown; see the school's syncs for the reason",
        READ_SOON,
    )
}

fn unknown_sync() -> ApiError {
    ApiError::new(
        Kind::UnknownSync,
        "the school has no sync with this id; it never existed, or is past its retention",
    )
}

fn store_away(error: outbox::Error) -> ApiError {
    ApiError::no_database(&error, "nothing was changed, try again")
}
