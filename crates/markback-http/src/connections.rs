//! Serves connections: closes slow and silent ones in time, turns away those that are too many, and shuts down gracefully.

use std::{convert::Infallible, future::ready, time::Duration};

use axum::{Router, extract::ConnectInfo, response::IntoResponse as _, serve::Listener};
use hyper::{
    body::Incoming,
    server::conn::http1,
    service::{Service as _, service_fn},
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
    service::TowerToHyperService,
};
use markback::{metrics, settings::Http};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_io_timeout::TimeoutStream;
use tokio_util::sync::CancellationToken;

use super::error::ApiError;

/// How long a connection that is turned away may take to send a request and to take the answer.
const REFUSE_WITHIN: Duration = Duration::from_secs(1);
/// The most connections that are being turned away. One more is closed without an answer.
const REFUSED_MAX: usize = 100;

/// Serves HTTP/1.1 until told to stop, then finishes the requests in progress. A connection is closed if no complete
/// request head arrives within `head_within`. One more than `connections` is answered with 503 and closed.
pub async fn serve(
    mut listener: TcpListener,
    router: Router,
    limits: Http,
    stop: CancellationToken,
) {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(limits.head_within);
    let graceful = GracefulShutdown::new();
    // Dropped with this function, so that no connection outlives it.
    let mut connections = JoinSet::new();
    let mut refused = JoinSet::new();
    loop {
        let (stream, peer) = tokio::select! {
            () = stop.cancelled() => break,
            Some(_) = connections.join_next() => continue,
            Some(_) = refused.join_next() => continue,
            accepted = Listener::accept(&mut listener) => accepted,
        };
        if connections.len() >= limits.connections {
            metrics::turned_away("connections");
            if refused.len() < REFUSED_MAX {
                refused.spawn(refuse(stream));
            }
            continue;
        }
        let router = TowerToHyperService::new(router.clone());
        let service = service_fn(move |mut request: hyper::Request<Incoming>| {
            request.extensions_mut().insert(ConnectInfo(peer));
            router.call(request)
        });
        // An answer that its client does not take would hold the connection, and a stream its place, for ever.
        let mut stream = TimeoutStream::new(stream);
        stream.set_write_timeout(Some(limits.write_within));
        let stream = TokioIo::new(Box::pin(stream));
        let connection = graceful.watch(http.serve_connection(stream, service));
        connections.spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection ended early");
            }
        });
    }
    drop(listener);
    graceful.shutdown().await;
}

/// Answers one request with 503.
async fn refuse(stream: TcpStream) {
    let answer = service_fn(|_: hyper::Request<Incoming>| {
        let error = ApiError::unavailable(
            "the service has as many connections as `http.connections` in its settings allows; try again",
            1,
        );
        ready(Ok::<_, Infallible>(error.into_response()))
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(REFUSE_WITHIN)
        .keep_alive(false);
    let connection = http.serve_connection(TokioIo::new(stream), answer);
    // A client that does not read the answer goes without it.
    let _ = tokio::time::timeout(REFUSE_WITHIN * 2, connection).await;
}
