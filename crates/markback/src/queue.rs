//! The names of the queues, in which all work waits, and a worker for jobs that take long.

use std::time::Duration;

use outbox::{ClaimRequest, ClaimedJob, Wakeup};
use tokio_util::sync::CancellationToken;

use crate::store::Store;

/// Events to be decided, in line for each person.
pub const DECIDE: &str = "decide";
/// Marks to be sent, in line for each pupil.
pub const SEND: &str = "send";
/// Registers that Wonde took, to be followed.
pub const CONFIRM: &str = "confirm";
/// Syncs of people and groups, in line for each school.
pub const ROSTER: &str = "roster";
/// Full readings of registers, in line for each school.
pub const REGISTER: &str = "register";

/// All of them, the first three in the order of an event's way.
pub const ALL: [&str; 5] = [DECIDE, SEND, CONFIRM, ROSTER, REGISTER];

/// How often the lease of a job is renewed, at the latest.
const RENEW_EVERY: Duration = Duration::from_secs(5);

/// Takes one job after the other out of a queue, and holds each for as long as it takes.
#[derive(Clone, Copy)]
pub(crate) struct Worker<'a> {
    pub(crate) store: &'a Store,
    pub(crate) queue: &'static str,
    /// The longest wait before it looks for a job again.
    pub(crate) poll: Duration,
    pub(crate) lease: Duration,
}

impl Worker<'_> {
    /// Tells when there may be a job.
    pub(crate) fn wakeup(&self) -> Wakeup {
        self.store.outbox().wakeup(self.queue)
    }

    /// Waits for the next job; none comes after the worker was told to stop.
    pub(crate) async fn next(
        &self,
        wakeup: &mut Wakeup,
        stop: &CancellationToken,
    ) -> Option<ClaimedJob> {
        let outbox = self.store.outbox();
        while !stop.is_cancelled() {
            let claim = ClaimRequest::mixed(1, self.lease);
            let rest = match outbox.claim(self.queue, &claim).await {
                Ok(mut jobs) => match jobs.pop() {
                    Some(job) => return Some(job),
                    None => match outbox.next_due(self.queue).await {
                        Ok(Some(due)) => due.clamp(Duration::from_millis(5), self.poll),
                        _ => self.poll,
                    },
                },
                Err(error) => {
                    tracing::warn!(queue = self.queue, %error, "the store gives no work; it is asked again");
                    self.poll
                }
            };
            tokio::select! {
                () = stop.cancelled() => {}
                _ = wakeup.wait(rest) => {}
            }
        }
        None
    }

    /// Renews the lease of a job for as long as it is ours.
    pub(crate) async fn hold(&self, claimed: &ClaimedJob) {
        let every = RENEW_EVERY.min(self.lease / 3);
        loop {
            tokio::time::sleep(every).await;
            let renewed = self
                .store
                .outbox()
                .renew(&[claimed.lease], self.lease)
                .await;
            match renewed {
                Ok(settled) if settled.kept.is_empty() => return,
                Ok(_) => {}
                Err(error) => {
                    tracing::warn!(queue = self.queue, %error, "the lease of a job could not be renewed");
                }
            }
        }
    }

    /// Hands a job back as if it had not been claimed.
    pub(crate) async fn hand_back(&self, claimed: &ClaimedJob) -> outbox::Result<()> {
        let mut tx = self.store.database().begin().await?;
        let outbox = self.store.outbox();
        let _ = outbox.release(&mut tx, &[claimed.lease]).await?;
        tx.commit().await
    }
}
