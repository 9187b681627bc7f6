//! The audit log over HTTP: who changed what, and who looked at a person.

use axum::{Json, extract::State};
use chrono::{DateTime, Utc};
use mis_core::SchoolId;
use schemars::JsonSchema;
use serde::Serialize;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    error::ApiError,
    key::Access,
    openapi::ResponseBody,
    query::{self, QueryParams},
};
use markback::{
    audit_log::{AuditEntry, AuditFilter},
    service::Markback,
};

/// The default number of entries in one answer.
const LIMIT: u32 = 100;
/// The most entries in one answer.
const LIMIT_MAX: u32 = 1_000;
/// The parameters.
const WORDS: [&str; 5] = ["school", "by", "since", "cursor", "limit"];

/// The sub-router.
pub(super) fn routes() -> OpenApiRouter<Markback> {
    OpenApiRouter::new().routes(routes!(list))
}

type EntriesBody = ResponseBody<Entries>;

/// Entries of the audit log.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "AuditEntries")]
struct Entries {
    /// The entries, the latest first.
    entries: Vec<AuditEntry>,
    /// The cursor of the earlier entries; `null` if there are none.
    next: Option<String>,
}

/// The audit log
///
/// Who changed what, and who looked at a person, the latest first. Entries have ids only. A key that sees some schools only
/// gets the entries about these. Looks appear within a second.
#[utoipa::path(get, path = "/v1/audit", operation_id = "list_audit", tag = "audit",
    params(
        ("school" = Option<String>, Query, description = "The school that the entries are about."),
        ("by" = Option<String>, Query, description = "Who: a key's id or name, or a system user."),
        ("since" = Option<String>, Query, description = "The earliest time.", example = "2026-11-23T00:00:00Z"),
        ("cursor" = Option<String>, Query, description = "The `next` of an earlier answer."),
        ("limit" = Option<u32>, Query, description = "The most entries in the answer: 100 unless given, at most 1000."),
    ),
    responses((status = 200, description = "The entries.", body = EntriesBody)))]
async fn list(
    State(markback): State<Markback>,
    access: Access,
    asked: QueryParams,
) -> Result<Json<Entries>, ApiError> {
    let asked = asked.only(&WORDS)?;
    let school = asked.text("school").map(SchoolId::from);
    let schools = match (school, access.grant.schools()) {
        (Some(school), _) if access.grant.sees(&school) => Some(vec![school]),
        (Some(_), _) => Some(Vec::new()),
        (None, seen) => seen.map(|seen| seen.iter().cloned().collect()),
    };
    let since = asked.text("since").map(|text| {
        let read = DateTime::parse_from_rfc3339(text.trim());
        read.map(|at| at.with_timezone(&Utc)).map_err(|_| {
            query::wrong(
                "since",
                Some(text),
                "this is no time",
                "write a time such as 2026-11-23T00:00:00Z; encode a + as %2B",
            )
        })
    });
    let before = asked.text("cursor").map(|text| {
        text.parse().map_err(|_| {
            query::wrong(
                "cursor",
                Some(text),
                "this is no cursor",
                "send the `next` of an earlier answer, or leave it out",
            )
        })
    });
    let limit = asked.number("limit")?.unwrap_or(LIMIT).clamp(1, LIMIT_MAX);
    let filter = AuditFilter {
        schools,
        by: asked.text("by").map(str::to_owned),
        since: since.transpose()?,
        before: before.transpose()?,
        // One more tells whether there are earlier ones.
        limit: limit + 1,
    };
    let found = markback.store().audit_entries(&filter).await;
    let mut entries = found.map_err(|error| ApiError::no_database(&error, "try again"))?;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = entries.len() > limit;
    entries.truncate(limit);
    let last = entries.last().filter(|_| more);
    let next = last.map(|entry| entry.seq.to_string());
    Ok(Json(Entries { entries, next }))
}
