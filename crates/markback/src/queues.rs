//! The names of the queues, and a worker for long jobs.

use std::time::Duration;

use outbox::{ClaimRequest, ClaimedJob, Wakeup};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use crate::store::Store;

/// Events to decide, in order for each person.
pub const DECIDE: &str = "decide";
/// Marks to send, in order for each pupil.
pub const SEND: &str = "send";
/// Accepted registers to follow.
pub const CONFIRM: &str = "confirm";
/// Syncs of people and groups, in order for each school.
pub const ROSTER: &str = "roster";
/// Full readings of registers, in order for each school.
pub const REGISTER: &str = "register";

/// Held marks whose time is up.
pub const HOLD: &str = "hold";
/// Entries of the feed to deliver to endpoints.
pub const ENDPOINTS: &str = "endpoints";

/// All queues; the first three in the order of an event's path.
pub const ALL: [&str; 7] = [DECIDE, SEND, CONFIRM, ROSTER, REGISTER, HOLD, ENDPOINTS];

/// The longest time between two renewals of a lease.
const RENEW_EVERY: Duration = Duration::from_secs(5);

/// The longest pause between two looks at what is due at all schools.
const PAUSE_AT_MOST: Duration = Duration::from_secs(15);

/// How long to pause before the next look for what is due at all schools, after a look that took so long: where there are
/// very many, looking must not take more than a twentieth of the time.
pub(crate) fn pause_between_looks(poll: Duration, took: Duration) -> Duration {
    let shortest = poll.max(Duration::from_millis(100));
    shortest.max(took.saturating_mul(20).min(PAUSE_AT_MOST))
}

/// Works on one job of a queue at a time and keeps its lease.
#[derive(Clone, Copy)]
pub(crate) struct Worker<'a> {
    pub(crate) store: &'a Store,
    pub(crate) queue: &'static str,
    /// The longest wait before it looks for a job again.
    pub(crate) poll: Duration,
    pub(crate) lease: Duration,
}

impl Worker<'_> {
    /// Wakes when there may be a job. All workers of a queue share it, so that only one of them polls at a time.
    pub(crate) fn wakeup(&self) -> Mutex<Wakeup> {
        Mutex::new(self.store.outbox().wakeup(self.queue))
    }

    /// Waits for the next job; `None` once told to stop.
    pub(crate) async fn next(
        &self,
        wakeup: &Mutex<Wakeup>,
        stop: &CancellationToken,
    ) -> Option<ClaimedJob> {
        let mut wakeup = wakeup.lock().await;
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

    /// Renews the lease of a job until it is lost.
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

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::few_schools(1_000, 2, 1_000)]
    #[case::fast_polls(10, 2, 100)]
    #[case::many_schools(1_000, 150, 3_000)]
    #[case::a_database_that_hangs(1_000, 60_000, 15_000)]
    fn looking_at_all_schools_takes_a_small_share_of_the_time(
        #[case] poll: u64,
        #[case] took: u64,
        #[case] pause: u64,
    ) {
        let [poll, took, pause] = [poll, took, pause].map(Duration::from_millis);
        assert_eq!(pause_between_looks(poll, took), pause);
    }
}
