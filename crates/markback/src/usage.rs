//! Counts the requests of this node by token and purpose, and reports them to the database, where all nodes' are added up.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use mis_core::{RequestInfo, RequestPurpose};
use tokio_util::sync::CancellationToken;

use crate::store::Store;

/// How often this node's requests are reported.
const REPORT_EVERY: Duration = Duration::from_secs(60);

/// The requests that have not been reported yet.
#[derive(Debug, Default)]
pub(crate) struct Requests(Mutex<BTreeMap<(String, RequestPurpose), u64>>);

impl Requests {
    /// Counts a request with the token of this throttle key.
    pub(crate) fn count(&self, token_key: &str, request: RequestInfo) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *counts
            .entry((token_key.to_owned(), request.purpose))
            .or_default() += 1;
    }

    /// Reports from time to time, until told to stop, and then once more.
    pub(crate) async fn run(&self, store: &Store, stop: &CancellationToken) {
        while !stop.is_cancelled() {
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(REPORT_EVERY) => {}
            }
            if let Err(error) = self.report(store).await {
                tracing::debug!(%error, "the requests could not be counted in the database; they are with the next report");
            }
        }
    }

    async fn report(&self, store: &Store) -> outbox::Result<()> {
        let counts = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        if counts.is_empty() {
            return Ok(());
        }
        let rows: Vec<_> = counts
            .iter()
            .map(|((token, purpose), count)| (token.clone(), purpose.as_str(), *count))
            .collect();
        let reported = store.add_requests(&rows).await;
        if reported.is_err() {
            let mut left = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            for (key, count) in counts {
                *left.entry(key).or_default() += count;
            }
        }
        reported
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use outbox::SystemClock;

    use super::*;

    #[tokio::test]
    async fn what_could_not_be_reported_is_reported_later() {
        let settings = outbox::Settings::default();
        let open = Store::open("sqlite::memory:", settings, Arc::new(SystemClock));
        let store = open.await.unwrap();
        let requests = Requests::default();
        let request = RequestInfo::new("GET", Some(200), Duration::ZERO);
        for purpose in [
            RequestPurpose::Outcome,
            RequestPurpose::Outcome,
            RequestPurpose::People,
        ] {
            requests.count("token:env:A", request.with_purpose(purpose));
        }
        let closed = Store::open(
            "sqlite::memory:",
            outbox::Settings::default(),
            Arc::new(SystemClock),
        );
        let closed = closed.await.unwrap();
        closed.database().close().await;
        assert!(requests.report(&closed).await.is_err());
        requests.report(&store).await.unwrap();
        requests.report(&store).await.unwrap();
        let usage = store.usage().await.unwrap();
        let told: Vec<_> = usage
            .iter()
            .map(|one| (one.purpose.as_str(), one.last_day))
            .collect();
        assert_eq!(told, [("outcome", 2), ("people", 1)]);
    }
}
