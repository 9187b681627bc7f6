//! Middleware: a time limit, and one log line without personal data.

use std::time::{Duration, Instant};

use axum::{
    extract::{MatchedPath, Request, State},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use tracing::Instrument as _;

use super::{
    error::{ApiError, Kind, LoggedError},
    request_id::{self, RequestId},
};
use markback::service::Markback;
use mis_core::SchoolId;

/// Ends requests that take too long. Events stored by then stay, and repeating the request is safe.
pub(super) async fn in_time(
    State(limit): State<Duration>,
    request: Request,
    next: Next,
) -> Response {
    let answer = tokio::time::timeout(limit, next.run(request));
    answer.await.unwrap_or_else(|_| {
        ApiError::new(
            Kind::TimedOut,
            format!(
                "no answer within {}; send the request again, events with the same ids are not stored twice",
                humantime::format_duration(limit)
            ),
        )
        .into_response()
    })
}

/// Logs each request in a span: method, route, status and time; for a refused one the school, if the settings have it,
/// and the kind of error. Never the address itself, which holds ids and secrets. Probes are logged at the level DEBUG.
/// The span and the response have the request's id.
pub(super) async fn watch(
    State(markback): State<Markback>,
    request: Request,
    next: Next,
) -> Response {
    let start = Instant::now();
    let method = request.method().clone();
    let pattern = request
        .extensions()
        .get::<MatchedPath>()
        .map_or("none", MatchedPath::as_str)
        .to_owned();
    let school = school(&markback, request.uri().path());
    let is_probe = matches!(pattern.as_str(), "/healthz" | "/readyz");
    let id = RequestId::of(request.headers());
    let span = tracing::info_span!("request", %method, path = pattern, id = id.as_str());
    async {
        let mut response = id.clone().scope(next.run(request)).await;
        response
            .headers_mut()
            .insert(request_id::HEADER, id.header());
        let status = response.status().as_u16();
        let milliseconds = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
        match response.extensions().get::<LoggedError>() {
            Some(LoggedError { kind, problems }) => {
                let school = school.as_ref().map_or("none", SchoolId::as_str);
                tracing::info!(status, milliseconds, school, ?kind, problems, "refused");
            }
            None if is_probe && response.status().is_success() => {
                tracing::debug!(status, milliseconds, "answered");
            }
            None => tracing::info!(status, milliseconds, "answered"),
        }
        response
    }
    .instrument(span)
    .await
}

/// The school in an address, if the settings have it: nothing else of the address may be logged.
fn school(markback: &Markback, path: &str) -> Option<SchoolId> {
    let named = path.strip_prefix("/v1/schools/")?.split('/').next()?;
    Some(markback.school(&SchoolId::from(named))?.id)
}
