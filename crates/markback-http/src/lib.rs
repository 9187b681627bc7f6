//! The HTTP API of a [`markback`] service.
//!
//! ```text
//! GET  /healthz                                               the process responds
//! GET  /readyz, /metrics                                      whether the node can work; its metrics
//! POST /v1/schools/{school}/events                            one event or a list; `?partial=true` stores the valid ones *
//! GET  /v1/schools/{school}/events                            the latest events *
//! GET  /v1/schools/{school}/events/{event}                    one event and its outcome *
//! POST /v1/schools/{school}/events/{event}/retry, …/discard   an operator's decision *
//! GET  /v1/schools/{school}/groups, …/{group}                 the groups and their people *
//! GET  /v1/schools/{school}/groups/{group}/changes?since=…    changes of a group *
//! POST /v1/schools/{school}/sync, GET …/syncs, …/syncs/{sync} syncs of the school's people *
//! POST /webhooks/wonde/{secret}                               Wonde's webhooks
//!
//! * with the bearer key
//! ```

mod connections;
mod corrections;
mod error;
mod events;
mod extract;
mod groups;
mod health;
mod key;
mod middleware;
mod openapi;
mod operator;
mod query;
mod request_id;
pub mod server;
mod webhooks;

use axum::{Router, extract::DefaultBodyLimit, middleware::from_fn_with_state};
use utoipa_axum::router::OpenApiRouter;

pub use self::{
    connections::serve,
    error::{ApiError, Kind, Problem},
    openapi::document,
};
use self::{key::Key, webhooks::Door};
use markback::{service::Markback, settings::SecretError};

/// The largest request body in bytes.
pub const BODY_MAX: usize = 1024 * 1024;

/// All routes of the service. The bearer key is read once.
///
/// # Errors
/// Returns an error if the settings name no bearer key, or a secret is not where they say.
pub fn router(markback: Markback) -> Result<Router, SecretError> {
    let answer_within = markback.settings().service.http.answer_within;
    let key = Key::new(markback.settings().service.api_key()?);
    let door = Door::new(markback.settings().service.webhook_secret()?);
    let guarded = guarded().route_layer(from_fn_with_state(key, key::guard));
    Ok(Router::from(guarded.merge(open(door)))
        .method_not_allowed_fallback(wrong_method)
        .fallback(nothing_there)
        .layer(DefaultBodyLimit::max(BODY_MAX))
        .layer(from_fn_with_state(answer_within, middleware::in_time))
        .layer(from_fn_with_state(markback.clone(), middleware::watch))
        .with_state(markback))
}

/// The routes that need a key. They are below `/v1`.
fn guarded() -> OpenApiRouter<Markback> {
    OpenApiRouter::new()
        .merge(events::routes())
        .merge(groups::routes())
        .merge(operator::routes())
        .merge(corrections::routes())
}

/// The routes that need no key.
fn open(door: Door) -> OpenApiRouter<Markback> {
    OpenApiRouter::new()
        .merge(health::routes())
        .merge(webhooks::routes(door))
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
