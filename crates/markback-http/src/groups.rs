//! The schools' groups over HTTP: lists, changes after a cursor, and syncs.
//!
//! A group that has never been read is not empty: the answer is 503, so that no host treats it as empty.

use axum::{
    Json, Router,
    extract::State,
    http::StatusCode,
    routing::{get, post},
};
use chrono::{DateTime, Utc};
use mis_core::SchoolId;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use writeback::settings::{Field, GroupKind, WritebackSettings};

use super::{
    error::{ApiError, Kind},
    extract::{MaybeBody, Path},
    query::{self, QueryParams},
};
use markback::{
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
pub(super) fn routes() -> Router<Markback> {
    Router::new()
        .route("/v1/schools/{school}/groups", get(list))
        .route("/v1/schools/{school}/groups/{group}", get(look))
        .route("/v1/schools/{school}/groups/{group}/changes", get(changes))
        .route("/v1/schools/{school}/sync", post(sync))
        .route("/v1/schools/{school}/syncs", get(syncs))
        .route("/v1/schools/{school}/syncs/{sync}", get(one_sync))
}

#[derive(Serialize)]
struct Groups<'a> {
    synced_at: Option<DateTime<Utc>>,
    groups: Vec<Line<'a>>,
}

#[derive(Serialize)]
struct Line<'a> {
    name: &'a str,
    kind: GroupKind,
    /// `None` for a group that has never been read.
    people: Option<u64>,
    writes_back: bool,
}

/// A group as a host needs it.
#[derive(Serialize)]
struct GroupJson<'a> {
    name: &'a str,
    kind: GroupKind,
    message: Option<&'a str>,
    fields: &'a [Field],
    writeback: Option<&'a WritebackSettings>,
    synced_at: Option<DateTime<Utc>>,
    cursor: String,
    people: Vec<MemberJson<'a>>,
}

#[derive(Serialize)]
struct Feed {
    changes: Vec<Value>,
    cursor: String,
    more: bool,
}

/// The requested sync.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct SyncBody {
    full: Option<bool>,
    accept: Option<bool>,
}

async fn list(
    State(markback): State<Markback>,
    Path(school): Path<String>,
) -> Result<Json<Value>, ApiError> {
    let school = known(&markback, &school)?;
    let read = markback
        .store()
        .groups_read(&school.id)
        .await
        .map_err(store_away)?;
    let groups = school.groups.iter().map(|group| Line {
        name: &group.name,
        kind: group.kind,
        people: read
            .as_ref()
            .and_then(|read| read.people.get(&group.name).copied()),
        writes_back: group.rules.is_some(),
    });
    shown(&Groups {
        synced_at: read.as_ref().and_then(|read| read.synced_at),
        groups: groups.collect(),
    })
}

async fn look(
    State(markback): State<Markback>,
    Path((school, group)): Path<(String, String)>,
) -> Result<Json<Value>, ApiError> {
    let school = known(&markback, &school)?;
    let group = known_group(&school, &group)?;
    let page = markback.store().group_people(&school.id, &group.name).await;
    let page = page.map_err(store_away)?.ok_or_else(not_read)?;
    shown(&GroupJson {
        name: &group.name,
        kind: group.kind,
        message: group.message.as_deref(),
        fields: &group.fields,
        writeback: group.writeback.as_ref(),
        synced_at: page.synced_at,
        cursor: page.cursor.to_string(),
        people: page.people.iter().map(MemberJson).collect(),
    })
}

async fn changes(
    State(markback): State<Markback>,
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
        Horizon::Within(found) => Ok(Json(Feed {
            changes: found.changes.into_iter().map(change).collect(),
            cursor: found.cursor.to_string(),
            more: found.more,
        })),
        Horizon::Beyond => Err(ApiError::new(
            StatusCode::GONE,
            Kind::CursorGone,
            "changes after this cursor are no longer kept; read the group's list and continue from its cursor",
        )),
    }
}

/// A change with the person as they are now; a later change tells if they have left.
fn change(change: GroupChange) -> Value {
    let mut body = change.what;
    if let Some(fields) = body.as_object_mut() {
        fields.insert("cursor".to_owned(), json!(change.seq.to_string()));
        fields.insert("at".to_owned(), json!(change.at));
        fields.insert("id".to_owned(), json!(change.person));
        if let Some(member) = &change.member {
            fields.insert("person".to_owned(), json!(MemberJson(member)));
        }
    }
    body
}

async fn sync(
    State(markback): State<Markback>,
    Path(school): Path<String>,
    MaybeBody(body): MaybeBody,
) -> Result<(StatusCode, Json<SyncRecord>), ApiError> {
    let school = known(&markback, &school)?;
    let SyncBody { full, accept } = match body {
        None => SyncBody::default(),
        Some(body) => serde_json::from_value(body).map_err(|_| {
            query::wrong(
                "",
                None,
                "the body is not valid for this address",
                r#"send {"full": true, "accept": true}, either of them, or nothing"#,
            )
        })?,
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
    let record = markback
        .store()
        .sync(&school.id, &id)
        .await
        .map_err(store_away)?;
    record
        .map(|record| (StatusCode::ACCEPTED, Json(record)))
        .ok_or_else(unknown_sync)
}

async fn syncs(
    State(markback): State<Markback>,
    Path(school): Path<String>,
    asked: QueryParams,
) -> Result<Json<Value>, ApiError> {
    let school = known(&markback, &school)?;
    let limit = asked.only(&["limit"])?.number("limit")?;
    let limit = limit.unwrap_or(SYNCS).min(SYNCS_MAX);
    let syncs = markback
        .store()
        .syncs(&school.id, limit)
        .await
        .map_err(store_away)?;
    shown(&json!({"syncs": syncs}))
}

async fn one_sync(
    State(markback): State<Markback>,
    Path((school, sync)): Path<(String, String)>,
) -> Result<Json<SyncRecord>, ApiError> {
    let school = known(&markback, &school)?;
    let record = markback
        .store()
        .sync(&school.id, &sync)
        .await
        .map_err(store_away)?;
    record.map(Json).ok_or_else(unknown_sync)
}

fn known(markback: &Markback, school: &str) -> Result<School, ApiError> {
    let school = markback.school(&SchoolId::from(school));
    school.ok_or_else(ApiError::unknown_school)
}

fn known_group<'s>(school: &'s School, group: &str) -> Result<&'s Group, ApiError> {
    school.group(group).ok_or_else(|| {
        ApiError::new(
            StatusCode::NOT_FOUND,
            Kind::UnknownGroup,
            "the settings have no group with this name at the school; encode spaces in it as %20",
        )
    })
}

fn shown(value: &impl Serialize) -> Result<Json<Value>, ApiError> {
    serde_json::to_value(value).map(Json).map_err(|error| {
        tracing::error!(%error, "a response could not be serialised");
        ApiError::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            Kind::Internal,
            "the answer could not be written",
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
        StatusCode::NOT_FOUND,
        Kind::UnknownSync,
        "the school has no sync with this id; it never existed, or is past its retention",
    )
}

fn store_away(error: outbox::Error) -> ApiError {
    tracing::error!(%error, "the database could not be read for groups");
    ApiError::unavailable(
        "the database cannot be reached; nothing was changed, try again",
        5,
    )
}
