//! A running service: its workers and its HTTP API, started and stopped together.

use std::{io::ErrorKind, net::SocketAddr, time::Duration};

use axum::Router;
use tokio::{
    net::TcpListener,
    task::{JoinError, JoinHandle},
};
use tokio_util::sync::CancellationToken;

use markback::{service::Markback, settings::ANSWER_AT_MOST};

/// The longest time that stopping may take. Unfinished batches are taken over when their leases expire.
pub const STOP_WITHIN: Duration = Duration::from_secs(30);
const _: () = assert!(ANSWER_AT_MOST.as_secs() < STOP_WITHIN.as_secs());

/// The workers and API of a service.
pub struct Running {
    /// Where the API listens.
    pub address: SocketAddr,
    stop: CancellationToken,
    workers: JoinHandle<()>,
    http: JoinHandle<()>,
    answer_within: Duration,
}

impl Running {
    /// Starts both. The address is bound before a worker claims anything.
    pub async fn start(markback: Markback) -> anyhow::Result<Self> {
        let router = crate::router(markback.clone())?;
        Self::serve(markback, router).await
    }

    /// The same with pages beside the API; see [`crate::router_with`].
    pub async fn start_with(markback: Markback, pages: Router) -> anyhow::Result<Self> {
        let router = crate::router_with(markback.clone(), pages)?;
        Self::serve(markback, router).await
    }

    async fn serve(markback: Markback, router: Router) -> anyhow::Result<Self> {
        let listen = markback.settings().service.listen;
        let limits = markback.settings().service.http.clone();
        let answer_within = limits.answer_within;
        let listener = TcpListener::bind(listen).await.map_err(|error| {
            let help = help_for(&error);
            anyhow::Error::from(error)
                .context(format!("the service cannot listen on {listen}; {help}"))
        })?;
        let address = listener.local_addr()?;
        let stop = CancellationToken::new();
        let told = stop.clone();
        let records = markback.clone();
        Ok(Self {
            address,
            workers: tokio::spawn({
                let stop = stop.clone();
                async move { markback.run(stop).await }
            }),
            http: tokio::spawn(async move {
                crate::serve(listener, router, limits, told).await;
                // The looks of the last requests. The workers may have ended before.
                records.write_records().await;
            }),
            answer_within,
            stop,
        })
    }

    /// Waits until either of the two ends by itself, which is an error.
    pub async fn ended(&mut self) -> anyhow::Error {
        tokio::select! {
            done = &mut self.workers => anyhow::anyhow!("the workers ended{}", why(done.err())),
            done = &mut self.http => anyhow::anyhow!("the API ended{}", why(done.err())),
        }
    }

    /// Accepts no more requests, finishes or hands back the batches in hand, and ends.
    ///
    /// # Errors
    /// Returns an error if that takes longer than [`STOP_WITHIN`] or a task failed.
    pub async fn stop(self) -> anyhow::Result<()> {
        self.stop.cancel();
        let (workers, http) = tokio::join!(
            within(STOP_WITHIN, self.workers),
            within(self.answer_within, self.http),
        );
        let Some(workers) = workers else {
            anyhow::bail!(
                "stopping took longer than {} seconds; what was in hand is taken up again when its lease expires",
                STOP_WITHIN.as_secs()
            );
        };
        ended_well("the workers", workers)?;
        match http {
            Some(http) => ended_well("the API", http),
            // All complete requests have been answered; the others never arrived in full.
            None => Ok(()),
        }
    }
}

/// The result of a task; a task that takes longer is aborted.
async fn within<T>(limit: Duration, mut task: JoinHandle<T>) -> Option<Result<T, JoinError>> {
    let done = tokio::time::timeout(limit, &mut task).await;
    if done.is_err() {
        task.abort();
    }
    done.ok()
}

/// What to do if an address cannot be bound.
fn help_for(error: &std::io::Error) -> &'static str {
    match error.kind() {
        ErrorKind::AddrInUse => {
            "another program uses it, perhaps this service itself: stop that, or change `listen` in the settings"
        }
        ErrorKind::AddrNotAvailable => {
            "the machine has no such address: set `listen` to one of its own in the settings, such as 127.0.0.1"
        }
        ErrorKind::PermissionDenied => {
            "a port below 1024 needs more rights than this user has: set `listen` to a higher one in the settings"
        }
        _ => "change `listen` in the settings",
    }
}

/// Checks how a task ended.
///
/// # Errors
/// Returns an error if it failed. A panic's message is not repeated, because it may quote a pupil's data.
pub fn ended_well(what: &str, ended: Result<(), JoinError>) -> anyhow::Result<()> {
    ended.map_err(|error| anyhow::anyhow!("{what} ended badly{}", why(Some(error))))
}

/// How a task ended.
fn why(error: Option<JoinError>) -> &'static str {
    match error {
        Some(error) if error.is_panic() => " with a panic; the log names its place",
        Some(_) => ", for they were told to",
        None => "",
    }
}
