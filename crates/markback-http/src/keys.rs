//! The API's keys over HTTP: listing, making and revoking them.
//!
//! A key that sees some schools only handles the keys that see no others.

use std::collections::BTreeSet;

use axum::{Json, extract::State, http::StatusCode};
use chrono::{DateTime, Utc};
use mis_core::SchoolId;
use schemars::JsonSchema;
use secrecy::ExposeSecret as _;
use serde::{Deserialize, Serialize};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    error::{ApiError, Kind, Problem},
    extract::{Body, Path, read_as},
    key::Access,
    openapi::{RequestBody, ResponseBody},
};
use markback::{
    keys::{self, KeyError, KeyRecord, NewKey, Scope},
    service::Markback,
};

/// The sub-router.
pub(super) fn routes() -> OpenApiRouter<Markback> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(add))
        .routes(routes!(revoke))
}

type KeysBody = ResponseBody<Keys>;
type KeyBody = ResponseBody<KeyJson>;
type AddedBody = ResponseBody<Added>;
type NewKeyBody = RequestBody<Wanted>;

/// Keys of the API.
#[derive(Serialize, JsonSchema)]
struct Keys {
    /// The keys, the oldest first, with those that expired or were revoked in the last 90 days.
    keys: Vec<KeyJson>,
}

/// A key of the API, without its secret.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Key")]
struct KeyJson {
    /// `active`, `expired` or `revoked`.
    state: &'static str,
    #[serde(flatten)]
    record: KeyRecord,
}

/// A new key.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "AddedKey")]
struct Added {
    /// The key itself. Only this answer has it; the service keeps its hash.
    key: String,
    /// The key as it is listed.
    record: KeyJson,
}

/// A key to make.
#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "NewKey")]
#[serde(deny_unknown_fields)]
struct Wanted {
    /// What it is for, in 1 to 100 characters.
    #[schemars(length(min = 1, max = 100))]
    name: String,
    /// What it may do.
    #[schemars(length(min = 1))]
    scopes: BTreeSet<Scope>,
    /// The ids of the schools that exist for it; absent for all, also those that come later.
    #[serde(default)]
    #[schemars(with = "Option<BTreeSet<String>>")]
    schools: Option<BTreeSet<SchoolId>>,
    /// When it stops; absent for never.
    #[serde(default)]
    expires_at: Option<DateTime<Utc>>,
}

impl KeyJson {
    fn of(record: KeyRecord, now: DateTime<Utc>) -> Self {
        Self {
            state: record.state(now),
            record,
        }
    }
}

/// The keys of the API
#[utoipa::path(get, path = "/v1/keys", operation_id = "list_keys", tag = "keys",
    responses((status = 200, description = "The keys.", body = KeysBody)))]
async fn list(State(markback): State<Markback>, access: Access) -> Result<Json<Keys>, ApiError> {
    let found = markback.store().keys().await;
    let found = found.map_err(|error| store_away(&error))?;
    let now = markback.store().now();
    let keys = found
        .into_iter()
        .filter(|key| access.grant.sees_all_of(key.schools.as_ref()))
        .map(|key| KeyJson::of(key, now));
    Ok(Json(Keys {
        keys: keys.collect(),
    }))
}

/// Makes a key
///
/// Only this answer has the key itself. Every node accepts it within seconds. A key that expires cannot make one that is valid
/// for longer.
#[utoipa::path(post, path = "/v1/keys", operation_id = "add_key", tag = "keys",
    request_body = NewKeyBody,
    responses((status = 201, description = "The key.", body = AddedBody)))]
async fn add(
    State(markback): State<Markback>,
    access: Access,
    Body(body): Body,
) -> Result<(StatusCode, Json<Added>), ApiError> {
    let wanted: Wanted = read_as(
        body,
        r#"send {"name": "…", "scopes": ["events:write"]}, with "schools" and "expires_at" if you want them"#,
    )?;
    may_name(&markback, &access, wanted.schools.as_ref())?;
    if outlives(wanted.expires_at, access.expires_at) {
        return Err(invalid(
            "expires_at",
            "this key expires, so it cannot make one that is valid for longer",
            "name a time that is not later than when this key expires",
        ));
    }
    let new = NewKey {
        name: wanted.name,
        scopes: wanted.scopes,
        schools: wanted.schools,
        expires_at: wanted.expires_at,
    };
    let added = keys::add(markback.store(), &new, &access.actor(None, None)).await;
    let (key, record) = added.map_err(refused)?;
    markback.keys().look_again();
    let added = Added {
        key: key.expose_secret().to_owned(),
        record: KeyJson::of(record, markback.store().now()),
    };
    Ok((StatusCode::CREATED, Json(added)))
}

/// Revokes a key
///
/// Every node rejects it within seconds. A key that is revoked already stays as it is.
#[utoipa::path(post, path = "/v1/keys/{key}/revoke", operation_id = "revoke_key", tag = "keys",
    responses((status = 200, description = "The key as it is now.", body = KeyBody)))]
async fn revoke(
    State(markback): State<Markback>,
    access: Access,
    Path(key): Path<String>,
) -> Result<Json<KeyJson>, ApiError> {
    let store = markback.store();
    let found = store.key(&key).await.map_err(|error| store_away(&error))?;
    let seen = found.filter(|key| access.grant.sees_all_of(key.schools.as_ref()));
    if seen.is_none() {
        return Err(refused(KeyError::Unknown));
    }
    let revoked = keys::revoke(store, &key, &access.actor(None, None)).await;
    let revoked = revoked.map_err(refused)?;
    markback.keys().look_again();
    Ok(Json(KeyJson::of(revoked, store.now())))
}

/// A new key sees no school that the key which makes it does not see.
fn may_name(
    markback: &Markback,
    access: &Access,
    schools: Option<&BTreeSet<SchoolId>>,
) -> Result<(), ApiError> {
    let Some(schools) = schools else {
        return if access.grant.sees_all_of(None) {
            Ok(())
        } else {
            Err(invalid(
                "schools",
                "this key sees some schools only, so it cannot make one that sees all",
                "name the schools",
            ))
        };
    };
    let settings = markback.settings();
    let exists = |id: &SchoolId| settings.school(id).is_some() & access.grant.sees(id);
    if schools.iter().all(exists) {
        return Ok(());
    }
    Err(invalid(
        "schools",
        "the settings have no school with one of these ids",
        "correct the ids, or add the schools first",
    ))
}

/// Whether a key that stops then is valid for longer than one that stops at `own`; `None` is never.
fn outlives(new: Option<DateTime<Utc>>, own: Option<DateTime<Utc>>) -> bool {
    own.is_some_and(|own| new.is_none_or(|new| new > own))
}

fn refused(error: KeyError) -> ApiError {
    match error {
        KeyError::Invalid {
            field,
            message,
            help,
        } => {
            let field = if field == "expires" {
                "expires_at"
            } else {
                field
            };
            invalid(field, message, help)
        }
        KeyError::Unknown => ApiError::new(
            Kind::UnknownKey,
            "there is no key with this id; the list of keys has the ids",
        ),
        error => store_away(&error),
    }
}

fn invalid(field: &str, message: &str, help: &str) -> ApiError {
    ApiError::invalid_input(Problem {
        pointer: Some(format!("/{field}")),
        ..Problem::of_body(message, help)
    })
}

fn store_away(error: &impl std::fmt::Display) -> ApiError {
    ApiError::no_database(error, "nothing was changed, try again")
}
