//! What every request goes through: a time limit, and one line in the log that tells no more than what was asked.

use std::time::{Duration, Instant};

use axum::{
    extract::{MatchedPath, Request, State},
    http::StatusCode,
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use tracing::Instrument as _;

use super::error::{ApiError, Kind};

/// Ends what takes too long. What was taken in by then stays, and the same ids again answer the same.
pub(super) async fn in_time(
    State(limit): State<Duration>,
    request: Request,
    next: Next,
) -> Response {
    let answer = tokio::time::timeout(limit, next.run(request));
    answer.await.unwrap_or_else(|_| {
        ApiError::new(
            StatusCode::GATEWAY_TIMEOUT,
            Kind::TimedOut,
            format!(
                "no answer within {}; send the same again, the same ids are not taken in twice",
                humantime::format_duration(limit)
            ),
        )
        .into_response()
    })
}

/// A span and a line for each request: its method, the address's pattern, the status and the time it took. Never the
/// address itself, for it holds ids and secrets.
pub(super) async fn watch(request: Request, next: Next) -> Response {
    let start = Instant::now();
    let method = request.method().clone();
    let pattern = request
        .extensions()
        .get::<MatchedPath>()
        .map_or("none", MatchedPath::as_str)
        .to_owned();
    let span = tracing::info_span!("request", %method, path = pattern);
    async {
        let response = next.run(request).await;
        tracing::info!(
            status = response.status().as_u16(),
            milliseconds = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX),
            "answered"
        );
        response
    }
    .instrument(span)
    .await
}
