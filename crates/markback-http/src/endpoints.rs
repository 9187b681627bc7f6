//! The endpoints for webhooks over HTTP: adding, listing, testing, rotating secrets, and sending again.

use axum::{Json, extract::State, http::StatusCode};
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    error::{ApiError, Kind, Problem},
    extract::{Body, Path, read_as},
    feed::cursor_of,
    key::Access,
    openapi::{ProblemBody, RequestBody, ResponseBody},
    query::{self, QueryParams},
};
use markback::{
    endpoints::{
        Delivery, DeliveryFilter, DeliveryState, Endpoint, EndpointError, NewEndpoint, Secret,
        Tested,
    },
    feed::FeedKind,
    service::Markback,
};
use mis_core::SchoolId;

/// The default and the largest number of deliveries in one answer.
const DELIVERIES: u32 = 50;
const DELIVERIES_MAX: u32 = 500;

type EndpointBody = ResponseBody<Endpoint>;
type EndpointsBody = ResponseBody<Listed>;
type AddedBody = ResponseBody<WithSecret>;
type NewBody = RequestBody<Wanted>;
type TestedBody = ResponseBody<Tested>;
type DeliveriesBody = ResponseBody<Deliveries>;
type ResendBody = RequestBody<Again>;
type ResentBody = ResponseBody<Resent>;

/// The sub-router.
pub(super) fn routes() -> OpenApiRouter<Markback> {
    OpenApiRouter::new()
        .routes(routes!(list, add))
        .routes(routes!(look, remove))
        .routes(routes!(enable))
        .routes(routes!(disable))
        .routes(routes!(rotate))
        .routes(routes!(test))
        .routes(routes!(deliveries))
        .routes(routes!(resend))
}

/// The endpoints for webhooks.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Endpoints")]
struct Listed {
    /// The endpoints, the oldest first.
    endpoints: Vec<Endpoint>,
}

/// An endpoint to add.
#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "NewEndpoint")]
#[serde(deny_unknown_fields)]
struct Wanted {
    /// Its address: https, and on the public internet unless the settings allow others.
    url: String,
    /// The school whose entries it gets; without it, all schools and what concerns no single one.
    #[serde(default)]
    school: Option<String>,
    /// The kinds of entries that it gets; without it, all.
    #[serde(default)]
    kinds: Option<Vec<FeedKind>>,
    /// What it is for, at most 200 characters.
    #[serde(default)]
    note: Option<String>,
}

/// An endpoint with its new secret.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "EndpointWithSecret")]
struct WithSecret {
    /// The endpoint.
    endpoint: Endpoint,
    /// The secret that signs its messages. It is never shown again.
    secret: String,
}

impl From<(Endpoint, Secret)> for WithSecret {
    fn from((endpoint, secret): (Endpoint, Secret)) -> Self {
        Self {
            endpoint,
            secret: secret.expose().to_owned(),
        }
    }
}

/// Deliveries to an endpoint.
#[derive(Serialize, JsonSchema)]
struct Deliveries {
    /// The deliveries, the newest entry first.
    deliveries: Vec<Delivery>,
}

/// What to send again: one entry, or all since a time.
#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "Resend")]
#[serde(deny_unknown_fields, default)]
#[derive(Default)]
struct Again {
    /// The cursor of one entry, which is sent again whatever became of it.
    entry: Option<String>,
    /// Sends all entries since then that failed, or that were never sent because the endpoint got nothing.
    since: Option<DateTime<Utc>>,
}

/// What is sent again.
#[derive(Serialize, JsonSchema)]
struct Resent {
    /// The number of entries.
    entries: u64,
}

/// The endpoints for webhooks
#[utoipa::path(get, path = "/v1/webhook-endpoints", operation_id = "list_webhook_endpoints", tag = "webhooks",
    responses((status = 200, description = "The endpoints.", body = EndpointsBody)))]
async fn list(State(markback): State<Markback>, access: Access) -> Result<Json<Listed>, ApiError> {
    let endpoints = markback.endpoints().list().await;
    let mut endpoints = endpoints.map_err(|error| rejected(error.into()))?;
    endpoints.retain(|endpoint| exists_for(&access, endpoint));
    Ok(Json(Listed { endpoints }))
}

/// Adds an endpoint for webhooks
///
/// Entries of the feed that are written from now on are sent to it as POST requests, signed by the Standard Webhooks scheme.
/// The answer has the secret, which is never shown again. A request that is not answered with 2xx within 15 seconds is sent
/// again after 5 seconds, 5 and 30 minutes, 2, 5 and 10 hours. Requests may come twice and out of order: `webhook-id` is the
/// same each time, and the cursors tell the order.
#[utoipa::path(post, path = "/v1/webhook-endpoints", operation_id = "add_webhook_endpoint", tag = "webhooks",
    request_body = NewBody,
    responses((status = 201, description = "The endpoint with its secret.", body = AddedBody)))]
async fn add(
    State(markback): State<Markback>,
    access: Access,
    Body(body): Body,
) -> Result<(StatusCode, Json<WithSecret>), ApiError> {
    let wanted: Wanted = read_as(
        body,
        r#"send {"url": "https://…"}, and `school`, `kinds` and `note` if needed"#,
    )?;
    if wanted.school.is_none() && !access.grant.sees_all_of(None) {
        return Err(ApiError::invalid_input(Problem {
            pointer: Some("/school".to_owned()),
            message:
                "this key sees some schools only, so its endpoints get the entries of one school"
                    .to_owned(),
            help: "name the school".to_owned(),
            ..Problem::default()
        }));
    }
    let exists = |school: &str| {
        let school = SchoolId::from(school);
        markback.school(&school).is_some() & access.grant.sees(&school)
    };
    if let Some(school) = wanted.school.as_ref().filter(|school| !exists(school)) {
        return Err(ApiError::invalid_input(Problem {
            pointer: Some("/school".to_owned()),
            value: Some(school.clone()),
            message: "the settings have no school with this id".to_owned(),
            help: "correct it, or leave it out for all schools".to_owned(),
            ..Problem::default()
        }));
    }
    let url = wanted.url.parse().map_err(|_| {
        ApiError::invalid_input(Problem::of_body(
            "`url` is not the address of a web service",
            "write one that begins with https://",
        ))
    })?;
    let new = NewEndpoint {
        school: wanted.school,
        kinds: wanted.kinds.unwrap_or_default(),
        url,
        note: wanted.note,
    };
    let actor = access.actor(None, None);
    let added = markback.endpoints().add(new, &actor).await;
    let added = added.map_err(rejected)?;
    Ok((StatusCode::CREATED, Json(added.into())))
}

/// An endpoint for webhooks
#[utoipa::path(get, path = "/v1/webhook-endpoints/{endpoint}", operation_id = "get_webhook_endpoint", tag = "webhooks",
    responses((status = 200, description = "The endpoint.", body = EndpointBody)))]
async fn look(
    State(markback): State<Markback>,
    access: Access,
    Path(endpoint): Path<String>,
) -> Result<Json<Endpoint>, ApiError> {
    found(&markback, &access, &endpoint).await.map(Json)
}

/// Removes an endpoint and its log of deliveries
#[utoipa::path(delete, path = "/v1/webhook-endpoints/{endpoint}", operation_id = "remove_webhook_endpoint", tag = "webhooks",
    responses((status = 204, description = "It is removed.")))]
async fn remove(
    State(markback): State<Markback>,
    access: Access,
    Path(endpoint): Path<String>,
) -> Result<StatusCode, ApiError> {
    found(&markback, &access, &endpoint).await?;
    let actor = access.actor(None, None);
    let removed = markback.endpoints().remove(&endpoint, &actor).await;
    removed.map(|()| StatusCode::NO_CONTENT).map_err(rejected)
}

/// Lets an endpoint get entries again
///
/// What was written meanwhile is sent by `resend`.
#[utoipa::path(post, path = "/v1/webhook-endpoints/{endpoint}/enable", operation_id = "enable_webhook_endpoint", tag = "webhooks",
    responses((status = 200, description = "The endpoint.", body = EndpointBody)))]
async fn enable(
    State(markback): State<Markback>,
    access: Access,
    Path(endpoint): Path<String>,
) -> Result<Json<Endpoint>, ApiError> {
    set_state(&markback, &access, &endpoint, true).await
}

/// Lets an endpoint get nothing for now
#[utoipa::path(post, path = "/v1/webhook-endpoints/{endpoint}/disable", operation_id = "disable_webhook_endpoint", tag = "webhooks",
    responses((status = 200, description = "The endpoint.", body = EndpointBody)))]
async fn disable(
    State(markback): State<Markback>,
    access: Access,
    Path(endpoint): Path<String>,
) -> Result<Json<Endpoint>, ApiError> {
    set_state(&markback, &access, &endpoint, false).await
}

/// Gives an endpoint a new secret
///
/// For 24 hours messages are signed with both, so that the host can change it without losing one.
#[utoipa::path(post, path = "/v1/webhook-endpoints/{endpoint}/rotate", operation_id = "rotate_webhook_secret", tag = "webhooks",
    responses((status = 200, description = "The endpoint with its new secret.", body = AddedBody)))]
async fn rotate(
    State(markback): State<Markback>,
    access: Access,
    Path(endpoint): Path<String>,
) -> Result<Json<WithSecret>, ApiError> {
    found(&markback, &access, &endpoint).await?;
    let actor = access.actor(None, None);
    let rotated = markback.endpoints().rotate(&endpoint, &actor).await;
    rotated
        .map(|rotated| Json(rotated.into()))
        .map_err(rejected)
}

/// Sends a test message to an endpoint and tells how it answered
#[utoipa::path(post, path = "/v1/webhook-endpoints/{endpoint}/test", operation_id = "test_webhook_endpoint", tag = "webhooks",
    responses((status = 200, description = "How the endpoint answered.", body = TestedBody)))]
async fn test(
    State(markback): State<Markback>,
    access: Access,
    Path(endpoint): Path<String>,
) -> Result<Json<Tested>, ApiError> {
    found(&markback, &access, &endpoint).await?;
    let tested = markback.endpoints().test(&endpoint).await;
    tested.map(Json).map_err(rejected)
}

/// The deliveries to an endpoint
#[utoipa::path(get, path = "/v1/webhook-endpoints/{endpoint}/deliveries", operation_id = "list_webhook_deliveries", tag = "webhooks",
    params(
        ("state" = Option<String>, Query, description = "`waiting`, `delivered` or `failed`."),
        ("before" = Option<String>, Query, description = "The cursor of an entry: only deliveries of earlier ones."),
        ("limit" = Option<u32>, Query, description = "The most deliveries in the answer: 50 unless given, at most 500."),
    ),
    responses((status = 200, description = "The deliveries, the newest entry first.", body = DeliveriesBody)))]
async fn deliveries(
    State(markback): State<Markback>,
    access: Access,
    Path(endpoint): Path<String>,
    asked: QueryParams,
) -> Result<Json<Deliveries>, ApiError> {
    found(&markback, &access, &endpoint).await?;
    let asked = asked.only(&["state", "before", "limit"])?;
    let state = asked.text("state").map(|word| {
        word.parse::<DeliveryState>().map_err(|_| {
            let help = "write waiting, delivered or failed, or leave it out";
            query::wrong("state", Some(word), "there is no such state", help)
        })
    });
    let filter = DeliveryFilter {
        before: asked
            .text("before")
            .map(|text| cursor_of("before", text))
            .transpose()?,
        state: state.transpose()?,
        limit: asked
            .number("limit")?
            .unwrap_or(DELIVERIES)
            .clamp(1, DELIVERIES_MAX),
    };
    let found = markback.endpoints().deliveries(&endpoint, &filter).await;
    found
        .map(|deliveries| Json(Deliveries { deliveries }))
        .map_err(rejected)
}

/// Sends entries to an endpoint again
#[utoipa::path(post, path = "/v1/webhook-endpoints/{endpoint}/resend", operation_id = "resend_webhooks", tag = "webhooks",
    request_body = ResendBody,
    responses(
        (status = 202, description = "How many entries are sent again.", body = ResentBody),
        (status = 409, description = "The entry is on its way, or not kept any more.", body = ProblemBody, content_type = "application/problem+json"),
    ))]
async fn resend(
    State(markback): State<Markback>,
    access: Access,
    Path(endpoint): Path<String>,
    Body(body): Body,
) -> Result<(StatusCode, Json<Resent>), ApiError> {
    found(&markback, &access, &endpoint).await?;
    let help = r#"send {"entry": "…"} with a cursor, or {"since": "2026-11-23T09:00:00Z"}"#;
    let again: Again = read_as(body, help)?;
    let (endpoints, actor) = (markback.endpoints(), access.actor(None, None));
    let entries = match (again.entry, again.since) {
        (Some(entry), None) => {
            let entry = cursor_of("entry", &entry)?;
            let resent = endpoints.resend(&endpoint, entry, &actor).await;
            resent.map(|()| 1)
        }
        (None, Some(since)) => endpoints.resend_since(&endpoint, since, &actor).await,
        _ => {
            let what = "either an entry or a time is needed";
            return Err(ApiError::invalid_input(Problem::of_body(what, help)));
        }
    };
    let entries = entries.map_err(rejected)?;
    Ok((StatusCode::ACCEPTED, Json(Resent { entries })))
}

/// An endpoint that exists for the key.
async fn found(markback: &Markback, access: &Access, id: &str) -> Result<Endpoint, ApiError> {
    let found = markback.endpoints().get(id).await.map_err(rejected)?;
    if exists_for(access, &found) {
        Ok(found)
    } else {
        Err(rejected(EndpointError::Unknown))
    }
}

/// A key that sees some schools only sees the endpoints of these.
fn exists_for(access: &Access, endpoint: &Endpoint) -> bool {
    match &endpoint.school {
        Some(school) => access.grant.sees(&SchoolId::from(school.as_str())),
        None => access.grant.sees_all_of(None),
    }
}

async fn set_state(
    markback: &Markback,
    access: &Access,
    id: &str,
    enabled: bool,
) -> Result<Json<Endpoint>, ApiError> {
    found(markback, access, id).await?;
    let actor = access.actor(None, None);
    let changed = markback.endpoints().enable(id, enabled, &actor).await;
    changed.map(Json).map_err(rejected)
}

fn rejected(error: EndpointError) -> ApiError {
    match error {
        EndpointError::Unknown => ApiError::new(Kind::UnknownEndpoint, error.to_string()),
        EndpointError::NotResent => ApiError::new(Kind::Conflict, error.to_string()),
        EndpointError::Target(_) | EndpointError::TooLong => {
            ApiError::invalid_input(Problem::of_body(
                error.to_string(),
                "send the address of a service that may be called",
            ))
        }
        error => ApiError::no_database(&error, "try again"),
    }
}
