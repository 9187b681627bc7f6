//! Holding jobs for as long as they are worked on, so that a lease can be short: what a dead node held is free again soon.

use std::time::Instant;

use outbox::LeaseToken;

use super::Pipeline;
use crate::lease::Lease;

impl Pipeline {
    /// Renews the lease of a batch that takes long. Ends when all of it has been lost.
    pub(super) async fn hold(&self, held: &[LeaseToken], lease: &Lease) {
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
