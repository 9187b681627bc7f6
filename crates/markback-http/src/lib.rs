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

mod brake;
mod connections;
mod error;
mod events;
mod extract;
mod groups;
mod health;
mod key;
mod middleware;
mod operator;
mod query;
pub mod server;
mod webhooks;

use axum::{
    Json, Router, extract::DefaultBodyLimit, http::StatusCode, middleware::from_fn_with_state,
    routing::get,
};
use serde_json::{Value, json};

use self::key::Guard;
pub use self::{
    connections::serve,
    error::{ApiError, Kind},
};
use markback::{service::Markback, settings::SecretError};

/// The largest request body in bytes.
pub const BODY_MAX: usize = 1024 * 1024;

/// All routes of the service. The bearer key is read once.
///
/// # Errors
/// Returns an error if the settings name no bearer key, or a secret is not where they say.
pub fn router(markback: Markback) -> Result<Router, SecretError> {
    let answer_within = markback.settings().service.http.answer_within;
    let guard = Guard::new(markback.clone(), &markback.settings().service.api_key()?);
    let guarded = Router::new()
        .merge(events::routes())
        .merge(groups::routes())
        .merge(operator::routes())
        .route_layer(from_fn_with_state(guard, key::guard));
    let open = Router::new()
        .route("/healthz", get(healthz))
        .merge(health::routes())
        .merge(webhooks::routes(
            markback.settings().service.webhook_secret()?,
        ));
    Ok(Router::new()
        .merge(guarded)
        .merge(open)
        .method_not_allowed_fallback(wrong_method)
        .fallback(nothing_there)
        .layer(DefaultBodyLimit::max(BODY_MAX))
        .layer(from_fn_with_state(answer_within, middleware::in_time))
        .layer(from_fn_with_state(markback.clone(), middleware::watch))
        .with_state(markback))
}

/// The process responds; `/readyz` tells whether it can work.
async fn healthz() -> Json<Value> {
    Json(json!({"status": "ok", "version": env!("CARGO_PKG_VERSION")}))
}

async fn nothing_there() -> ApiError {
    ApiError::new(
        StatusCode::NOT_FOUND,
        Kind::NotFound,
        "there is nothing at this address",
    )
}

async fn wrong_method() -> ApiError {
    ApiError::new(
        StatusCode::METHOD_NOT_ALLOWED,
        Kind::MethodNotAllowed,
        "this address accepts other methods only; see the header Allow",
    )
}
