//! The path of an event: taken in, decided, sent, confirmed. Each step ends in one transaction that also starts the next.
//!
//! `intake` keeps an event and its first job; `decide` asks the rules; `send` writes registers; `confirm` follows what
//! Wonde took. All that they share about going on after an error is in `trouble`.

mod confirm;
mod decide;
mod hold;
mod intake;
pub(crate) mod job;
mod pulse;
mod send;
mod trouble;
mod view;

use std::{sync::Arc, time::Duration};

use outbox::{ClaimRequest, Claimed};
use tokio_util::sync::CancellationToken;

use crate::{directory::Directories, schools::Schools, settings::Settings, store::Store};

pub(crate) use trouble::GoOn;

pub use intake::{EVENTS_MAX, InputProblem, Intake, IntakeError, Taken};
pub use pulse::Health;
pub(crate) use pulse::Pulse;

/// The queues, in the order of an event's way.
pub mod queue {
    /// Events to be decided, in line for each person.
    pub const DECIDE: &str = "decide";
    /// Marks to be sent, in line for each pupil.
    pub const SEND: &str = "send";
    /// Registers that Wonde took, to be followed.
    pub const CONFIRM: &str = "confirm";
}

/// How the workers go about their work. `Default` fits a service on one machine.
#[derive(Clone, Debug)]
pub struct Pace {
    /// How long a worker with nothing to do waits at most before it looks again.
    pub poll: Duration,
    /// How long a claimed job is held; it is held anew while it is worked on, and a dead node's jobs are taken over after that.
    pub lease: Duration,
    /// Events decided in one go at most.
    pub decide_max: u32,
    /// Registers sent at the same time.
    pub senders: usize,
    /// Writebacks asked about in one go at most.
    pub confirm_max: u32,
    /// How soon a writeback is asked about first; each further time is later by half, up to a minute.
    pub confirm_after: Duration,
    /// How old a decision may be when its mark is sent; after that the register is looked at again first.
    pub plan_fresh: Duration,
    /// How long something that should pass by itself is tried before a person is asked.
    pub give_up_after: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            poll: Duration::from_secs(1),
            lease: Duration::from_secs(20),
            decide_max: 500,
            senders: 8,
            confirm_max: 100,
            confirm_after: Duration::from_secs(2),
            plan_fresh: Duration::from_secs(300),
            give_up_after: Duration::from_secs(24 * 60 * 60),
        }
    }
}

/// What every worker needs.
#[derive(Clone, Debug)]
pub struct Pipeline {
    pub(crate) settings: Arc<Settings>,
    pub(crate) store: Store,
    pub(crate) schools: Arc<Schools>,
    pub(crate) directories: Arc<Directories>,
    pub(crate) pace: Pace,
    pub(crate) pulse: Arc<Pulse>,
}

impl Pipeline {
    /// Works until told to stop, then ends what is in hand.
    pub async fn run(&self, stop: CancellationToken) {
        let _running = self.pulse.run();
        let senders = (0..self.pace.senders.max(1)).map(|_| self.work(queue::SEND, &stop));
        tokio::join!(
            self.work(queue::DECIDE, &stop),
            self.work(queue::CONFIRM, &stop),
            futures::future::join_all(senders),
        );
    }

    /// One worker's loop: claim, do, and when there is nothing to do, wait.
    async fn work(&self, queue: &'static str, stop: &CancellationToken) {
        let outbox = self.store.outbox();
        let mut bell = outbox.bell(queue);
        while !stop.is_cancelled() {
            self.pulse.beat(queue);
            let done = match outbox.claim(queue, &self.claim_of(queue)).await {
                Ok(jobs) if jobs.is_empty() => None,
                Ok(jobs) => {
                    let held: Vec<_> = jobs.iter().map(|job| job.held).collect();
                    Some(tokio::select! {
                        done = self.handle(queue, jobs) => done,
                        never = self.hold_on(&held) => match never {},
                    })
                }
                Err(error) => Some(Err(error)),
            };
            let rest = match done {
                Some(Ok(())) => continue,
                Some(Err(error)) => {
                    // What was claimed is claimable again when its lease lapses: nothing is lost.
                    tracing::warn!(queue, %error, "the store did not keep a step; it will be taken again");
                    self.pace.poll
                }
                None => match outbox.next_due(queue).await {
                    Ok(Some(due)) => due.clamp(Duration::from_millis(5), self.pace.poll),
                    _ => self.pace.poll,
                },
            };
            tokio::select! {
                () = stop.cancelled() => {}
                _ = bell.wait(rest) => {}
            }
        }
    }

    fn claim_of(&self, queue: &str) -> ClaimRequest {
        let gather = self.settings.service.gather;
        match queue {
            queue::DECIDE => ClaimRequest::mixed(self.pace.decide_max, self.pace.lease),
            queue::SEND => {
                let max = u32::try_from(gather.max.get()).unwrap_or(u32::MAX);
                ClaimRequest::one_lane(max, self.pace.lease, gather.window)
            }
            _ => ClaimRequest::mixed(self.pace.confirm_max, self.pace.lease),
        }
    }

    async fn handle(&self, queue: &str, jobs: Vec<Claimed>) -> outbox::Result<()> {
        match queue {
            queue::DECIDE => self.decide(jobs).await,
            queue::SEND => self.send(jobs).await,
            _ => self.confirm(jobs).await,
        }
    }
}
