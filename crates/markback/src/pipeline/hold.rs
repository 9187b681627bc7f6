//! Holding jobs for as long as they are worked on, so that a lease can be short: what a dead node held is free again soon.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use outbox::Held;

use super::Pipeline;

impl Pipeline {
    /// Renews the lease of a batch that takes long. Ends when all of it has been lost.
    pub(super) async fn hold(&self, held: &[Held], lease: &Lease) {
        loop {
            tokio::time::sleep(self.pace.lease / 3).await;
            let since = Instant::now();
            match self.store.outbox().renew(held, self.pace.lease).await {
                Ok(settled) if settled.lost.is_empty() => lease.renewed(since, self.pace.lease),
                // What is lost stays lost, and with it the batch, for its step is one transaction.
                Ok(settled) if settled.kept.is_empty() => {
                    tracing::warn!(
                        jobs = held.len(),
                        "others have taken over what was held too long"
                    );
                    return;
                }
                Ok(_) => {}
                Err(error) => tracing::warn!(%error, "a lease could not be renewed"),
            }
        }
    }
}

/// Until when a batch is ours, by this machine's clock: a process that was frozen finds it over.
pub(super) struct Lease {
    until: Mutex<Instant>,
}

impl Lease {
    pub(super) fn new(since: Instant, length: Duration) -> Self {
        Self {
            until: Mutex::new(since + length),
        }
    }

    fn renewed(&self, since: Instant, length: Duration) {
        *self.until.lock().unwrap_or_else(PoisonError::into_inner) = since + length;
    }

    /// Whether nobody else can have it yet.
    pub(super) fn holds(&self) -> bool {
        Instant::now() < *self.until.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
