//! The HTTP API of a [`markback`] service.
//!
//! ```text
//! GET  /healthz                                               the process responds
//! GET  /readyz, /metrics                                      whether the node can work; its metrics
//! GET  /openapi.json, /docs, /problems                        the description of the API, as a document and as pages
//! POST /v1/schools/{school}/events                            one event or a list; `?partial=true` stores the valid ones *
//! GET  /v1/schools/{school}/events                            the latest events *
//! GET  /v1/schools/{school}/events/{event}                    one event and its outcome *
//! POST /v1/schools/{school}/events/{event}/retry, …/discard   an operator's decision *
//! GET  /v1/schools/{school}/problems                          what needs a person, by cause *
//! GET, POST …/problems/{cause}/{action}                       what an action would do to all of it; doing it *
//! GET  /v1/schools/{school}/groups, …/{group}                 the groups and their people *
//! GET  /v1/schools/{school}/groups/{group}/changes?since=…    changes of a group *
//! POST /v1/schools/{school}/sync, GET …/syncs, …/syncs/{sync} syncs of the school's people *
//! GET, POST /v1/schools, GET, DELETE /v1/schools/{school}    the schools and their state *
//! POST /v1/schools/{school}/adopt, PUT, DELETE …/token        where settings are kept; the token for Wonde *
//! GET /v1/schools/{school}/settings, …/versions, …/draft ...  settings as versions; the same for /v1/templates *
//! GET  /v1/adapters, /v1/schools/{school}/adapter             what MISs keep, and what is in force at a school *
//! POST /v1/schools/{school}/doctor, …/explain, …/resume       checks of a school and of an event; ends of pauses *
//! GET, POST /v1/keys, POST /v1/keys/{key}/revoke             the API's keys *
//! GET  /v1/audit                                              who changed what, and who looked at a person *
//! POST /webhooks/wonde/{secret}                               Wonde's webhooks
//!
//! * with a bearer key that has the scope for it
//! ```

mod adapters;
mod audit;
mod connections;
mod corrections;
mod endpoints;
mod error;
mod events;
mod explain;
mod extract;
mod feed;
mod groups;
mod health;
mod key;
mod key_rates;
mod keys;
mod middleware;
mod openapi;
mod operator;
mod problems;
mod query;
mod reference;
mod request_id;
mod schools;
pub mod server;
mod settings;
mod slots;
mod webhooks;
mod wrong_keys;

use std::sync::Arc;

use axum::{
    Extension, Router,
    extract::DefaultBodyLimit,
    http::{HeaderValue, Method, header},
    middleware::from_fn_with_state,
    routing::any,
};
use tokio::sync::Semaphore;
use tower_http::{compression::CompressionLayer, cors::CorsLayer};
use utoipa_axum::router::OpenApiRouter;

pub use self::{
    connections::serve,
    error::{ApiError, Kind, Problem},
    openapi::document,
};
use self::{extract::BodyMax, key::Guard, key_rates::KeyRates, webhooks::WebhookSecret};
use markback::{service::Markback, settings::SecretError};

/// All routes of the API. The key of the settings is read once; without one, only the keys of the database open them.
///
/// # Errors
/// Returns an error if a secret is not where the settings say.
pub fn router(markback: Markback) -> Result<Router, SecretError> {
    let api = api(&markback)?.fallback(nothing_there);
    Ok(around(api, markback))
}

/// The routes of the API, and pages beside them. The pages answer at every address that is not the API's; below `/v1` the
/// API alone answers.
///
/// # Errors
/// Returns an error if a secret is not where the settings say.
pub fn router_with(markback: Markback, pages: Router) -> Result<Router, SecretError> {
    let api = api(&markback)?.route("/v1/{*elsewhere}", any(nothing_there));
    Ok(around(api.merge(pages.with_state(())), markback))
}

/// The routes of the API.
fn api(markback: &Markback) -> Result<Router<Markback>, SecretError> {
    let settings = markback.settings();
    let limits = &settings.service.http;
    let of_settings = match settings.service.api_key() {
        Err(SecretError::NotNamed) => None,
        key => Some(key?),
    };
    let rates = KeyRates::new(limits.key_rate, limits.key_burst);
    let guard = Guard::new(markback.clone(), of_settings.as_ref(), rates);
    let secret = WebhookSecret::new(settings.service.webhook_secret()?);
    let slots = Arc::new(Semaphore::new(limits.requests.min(Semaphore::MAX_PERMITS)));
    let guarded = guarded()
        .route_layer(from_fn_with_state(slots, slots::bounded))
        .route_layer(from_fn_with_state(guard, key::guard));
    Ok(Router::from(guarded.merge(open(secret))).method_not_allowed_fallback(wrong_method))
}

/// What is around all routes: limits, compression, cross-origin requests, the log.
fn around(router: Router<Markback>, markback: Markback) -> Router {
    let settings = markback.settings();
    let limits = &settings.service.http;
    let router = router
        .layer(DefaultBodyLimit::max(limits.body_max))
        .layer(Extension(BodyMax(limits.body_max)))
        .layer(from_fn_with_state(
            limits.answer_within,
            middleware::in_time,
        ))
        .layer(CompressionLayer::new());
    let router = match cors(&limits.allow_origins) {
        Some(cors) => router.layer(cors),
        None => router,
    };
    router
        .layer(from_fn_with_state(markback.clone(), middleware::watch))
        .with_state(markback)
}

/// Lets pages of these origins call the API; `None` if there are none.
fn cors(origins: &[String]) -> Option<CorsLayer> {
    let origins: Vec<HeaderValue> = origins
        .iter()
        .filter_map(|origin| origin.parse().ok())
        .collect();
    let methods = [
        Method::GET,
        Method::POST,
        Method::PUT,
        Method::PATCH,
        Method::DELETE,
    ];
    let layer = CorsLayer::new()
        .allow_origin(origins.clone())
        .allow_methods(methods)
        .allow_headers([
            header::AUTHORIZATION,
            header::CONTENT_TYPE,
            header::IF_MATCH,
            request_id::HEADER,
        ])
        .expose_headers([header::RETRY_AFTER, header::ETAG, request_id::HEADER]);
    (!origins.is_empty()).then_some(layer)
}

/// The routes that need a key. They are below `/v1`.
fn guarded() -> OpenApiRouter<Markback> {
    OpenApiRouter::new()
        .merge(events::routes())
        .merge(groups::routes())
        .merge(operator::routes())
        .merge(corrections::routes())
        .merge(problems::routes())
        .merge(feed::routes())
        .merge(endpoints::routes())
        .merge(keys::routes())
        .merge(schools::routes())
        .merge(adapters::routes())
        .merge(explain::routes())
        .merge(settings::routes())
        .merge(audit::routes())
}

/// The routes that need no key.
fn open(secret: WebhookSecret) -> OpenApiRouter<Markback> {
    OpenApiRouter::new()
        .merge(health::routes())
        .merge(reference::routes())
        .merge(webhooks::routes(secret))
}

async fn nothing_there() -> ApiError {
    ApiError::new(Kind::NotFound, "there is nothing at this address")
}

async fn wrong_method() -> ApiError {
    ApiError::new(
        Kind::MethodNotAllowed,
        "this address accepts other methods only; see the header Allow",
    )
}
