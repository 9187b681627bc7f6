//! Holding jobs for as long as they are worked on, so that a lease can be short: what a dead node held is free again soon.

use std::convert::Infallible;

use outbox::Held;

use super::Pipeline;

impl Pipeline {
    /// Holds the jobs anew three times in each lease, and never ends. To be polled beside the work on them. A job that is
    /// done or lost meanwhile is no matter: its fence keeps it from being held again.
    pub(super) async fn hold_on(&self, held: &[Held]) -> Infallible {
        loop {
            tokio::time::sleep(self.pace.lease / 3).await;
            if let Err(error) = self.store.outbox().renew(held, self.pace.lease).await {
                tracing::warn!(%error, "jobs that are worked on could not be held; another node may take them over");
            }
        }
    }
}
