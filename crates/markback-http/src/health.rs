//! Readiness and metrics of this node. Neither is about pupils, so no key is needed.

use axum::{
    Json,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse as _, Response},
};
use schemars::JsonSchema;
use serde::Serialize;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    error::{ApiError, Kind},
    openapi::{ProblemBody, ResponseBody},
};
use markback::{
    metrics::Levels,
    service::{Health, Markback},
};

/// The sub-router.
pub(super) fn routes() -> OpenApiRouter<Markback> {
    OpenApiRouter::new()
        .routes(routes!(alive))
        .routes(routes!(ready))
        .routes(routes!(metrics))
}

/// The process responds.
#[derive(Serialize, JsonSchema)]
struct Alive {
    /// Always `ok`.
    status: &'static str,
    /// The version of the service.
    version: &'static str,
}

/// The readiness of the node and its parts.
#[derive(Serialize, JsonSchema)]
struct Readiness {
    /// Whether the node can work.
    ready: bool,
    /// The state of the database.
    store: &'static str,
    /// The state of the workers.
    workers: String,
    /// The state of the settings.
    settings: String,
    /// How many schools' people are known.
    people: People,
}

/// How many schools' people this node knows. It receives events before that, so this alone does not make it unready.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "PeopleKnown")]
struct People {
    /// The schools in the settings.
    schools: usize,
    /// Those of them whose people are known.
    read: usize,
}

type AliveBody = ResponseBody<Alive>;
type ReadyBody = ResponseBody<Readiness>;

/// Whether the process responds
///
/// `/readyz` tells whether it can work.
#[utoipa::path(get, path = "/healthz", operation_id = "healthz", tag = "service",
    responses((status = 200, description = "It responds.", body = AliveBody)))]
async fn alive() -> Json<Alive> {
    Json(Alive {
        status: "ok",
        version: env!("CARGO_PKG_VERSION"),
    })
}

/// Whether the node can work
#[utoipa::path(get, path = "/readyz", operation_id = "readyz", tag = "service",
    responses(
        (status = 200, description = "The node can work.", body = ReadyBody),
        (status = 503, description = "The node cannot work.", body = ReadyBody),
    ))]
async fn ready(State(markback): State<Markback>) -> (StatusCode, Json<Readiness>) {
    let store = match markback.store().probe().await {
        Ok(()) => "reachable",
        Err(error) => {
            tracing::warn!(%error, "not ready: the database cannot be reached or has lost its tables");
            "out of reach"
        }
    };
    let health = markback.health();
    let workers = match health {
        Health::Well => "at work".to_owned(),
        Health::NotRunning => "not running".to_owned(),
        Health::Stuck(queue) => format!("no worker has looked at the queue {queue} for too long"),
        Health::Hung { queue, age } => format!(
            "one of the queue {queue} has been busy with the same batch for {}",
            humantime::format_duration(age)
        ),
        _ => "in an unknown state".to_owned(),
    };
    // A node with older settings still works by valid ones, so this does not make it unready.
    let settings = match (
        markback.file_is_refused(),
        markback.settings_troubles().await,
        markback.tokens_unread(),
    ) {
        (true, ..) => {
            "the settings file has problems, which the log tells; earlier settings rule".to_owned()
        }
        (false, 0, 0) => "in force".to_owned(),
        (false, 0, count) => format!(
            "schools whose token in the database is missing or cannot be used: {count}; the log tells why, and the others are served"
        ),
        (false, count, _) => format!(
            "{count} activated versions do not hold on this node, which the log tells; earlier ones rule"
        ),
    };
    let ready = store == "reachable" && health == Health::Well;
    let status = if ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let readiness = Readiness {
        ready,
        store,
        workers,
        settings,
        people: People {
            schools: markback.settings().schools.len(),
            read: schools_read(&markback),
        },
    };
    (status, Json(readiness))
}

/// The node's metrics, in Prometheus' text format
#[utoipa::path(get, path = "/metrics", operation_id = "metrics", tag = "service",
    responses(
        (status = 200, description = "The metrics.", body = String, content_type = "text/plain"),
        (status = 404, description = "No metrics are recorded here.", body = ProblemBody, content_type = "application/problem+json"),
    ))]
async fn metrics(State(markback): State<Markback>) -> Result<Response, ApiError> {
    let Some(metrics) = markback.metrics().cloned() else {
        return Err(ApiError::new(
            Kind::NotFound,
            "no metrics are recorded here; `markback serve` records them",
        ));
    };
    // Counters are reported even if the database cannot be reached.
    match levels(&markback).await {
        Ok(levels) => levels.set(),
        Err(error) => tracing::warn!(%error, "the queues' depths cannot be read"),
    }
    let form = (
        header::CONTENT_TYPE,
        "text/plain; version=0.0.4; charset=utf-8",
    );
    Ok(([form], metrics.render()).into_response())
}

async fn levels(markback: &Markback) -> outbox::Result<Levels> {
    Ok(Levels {
        queues: markback.outbox().stats().await?,
        open: markback.store().open_by_state().await?,
        pauses: markback.outbox().pauses().await?,
        schools: markback.settings().schools.len(),
        schools_read: schools_read(markback),
        calendars_unread: markback.store().calendars_unread().await?,
        endpoints: markback.endpoints().list().await?,
        now: markback.clock().now(),
    })
}

fn schools_read(markback: &Markback) -> usize {
    let known = |school: &&markback::settings::School| markback.people().knows(&school.id);
    markback.settings().schools.iter().filter(known).count()
}
