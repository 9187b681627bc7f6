//! The path of an event: taken in, decided, sent, confirmed. Each step ends in one transaction that also starts the next.
//!
//! `intake` keeps an event and its first job; `decide` asks the rules; `send` writes registers; `confirm` follows what
//! Wonde took. All that they share about going on after an error is in `trouble`.

mod again;
mod confirm;
mod decide;
mod hold;
mod intake;
pub(crate) mod job;
pub(crate) mod panics;
mod partial;
mod pulse;
mod records;
mod scene;
mod send;
mod share;
mod trial;
mod trouble;
mod unreadable;
pub(crate) mod view;

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use outbox::{ClaimRequest, ClaimedJob, LeaseToken, Shard};
use tokio::task::{Id, JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::{
    directory::Directories,
    lease::Lease,
    mirror::Mirror,
    queue,
    schools::Schools,
    settings::{Pacing, Settings},
    store::Store,
};

use panics::{Panicked, caught};
pub(crate) use trouble::GoOn;

pub use intake::{EVENTS_MAX, InputProblem, Intake, IntakeError, Taken};
pub use partial::TakenOrNot;
pub use pulse::Health;
pub(crate) use pulse::Pulse;
use share::Leftovers;
pub(crate) use share::Shared;

/// How the workers go about their work. `Default` fits a service on one machine.
#[derive(Clone, Debug)]
pub struct Pace {
    /// How long a worker with nothing to do waits at most before it looks again.
    pub poll: Duration,
    /// How long a claimed job is held; it is held anew while it is worked on, and a dead node's jobs are taken over after that.
    pub lease: Duration,
    /// Events decided in one go at most.
    pub decide_max: u32,
    /// Such goes at the same time.
    pub deciders: usize,
    /// Registers sent at the same time.
    pub senders: usize,
    /// Writebacks of one school asked about in one go at most.
    pub confirm_max: u32,
    /// Schools asked about their writebacks at the same time.
    pub confirmers: usize,
    /// How soon a writeback is asked about first; each further wait is twice as long, up to `confirm_at_least_every`.
    pub confirm_after: Duration,
    /// The longest time between two looks at a writeback.
    pub confirm_at_least_every: Duration,
    /// How long Wonde's own word is waited for before the register is read back as well.
    pub read_back_after: Duration,
    /// How long a mark whose request was never answered is left alone before the register is looked at: what was sent takes
    /// a while to get there.
    pub look_after: Duration,
    /// The longest first wait after the other side failed; doubled with each further attempt.
    pub backoff: Duration,
    /// No such wait is longer.
    pub backoff_max: Duration,
    /// How old a decision may be when its mark is sent; after that the register is looked at again first.
    pub plan_fresh: Duration,
    /// How long something that should pass by itself is tried before a person is asked.
    pub give_up_after: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self::of(Pacing::default())
    }
}

impl Pace {
    /// As the settings say it.
    pub fn of(settings: Pacing) -> Self {
        Self {
            poll: settings.poll,
            lease: settings.lease,
            decide_max: 500,
            deciders: 16,
            senders: 8,
            confirm_max: 100,
            confirmers: 16,
            confirm_after: settings.confirm_after,
            confirm_at_least_every: settings.confirm_at_least_every,
            read_back_after: settings.read_back_after,
            look_after: settings.look_after,
            backoff: settings.backoff,
            backoff_max: settings.backoff_max,
            plan_fresh: settings.plan_fresh,
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
    pub(crate) mirror: Mirror,
    pub(crate) directories: Arc<Directories>,
    pub(crate) pace: Pace,
    pub(crate) pulse: Arc<Pulse>,
    pub(crate) share: Arc<Shared>,
}

/// The batches in hand that are of one school each, with the school's lane.
type InHand = HashMap<Id, String>;

/// Takes a batch that has ended, well or badly, out of those in hand.
fn forget(in_hand: &mut InHand, ended: Result<(Id, ()), JoinError>) {
    let id = ended.map_or_else(|error| error.id(), |(id, ())| id);
    in_hand.remove(&id);
}

/// How long before a transaction that the store did not take is tried again.
const KEEP_AGAIN: Duration = Duration::from_millis(200);

impl Pipeline {
    /// Works until told to stop, then ends what is in hand.
    pub async fn run(&self, stop: CancellationToken) {
        let _running = self.pulse.run();
        tokio::join!(
            self.work(queue::DECIDE, self.pace.deciders, &stop),
            self.work(queue::SEND, self.pace.senders, &stop),
            self.work(queue::CONFIRM, self.pace.confirmers, &stop),
            self.keep_share(&stop),
        );
    }

    /// Claims a queue's jobs and handles several batches at the same time; when there is nothing to do, waits.
    async fn work(&self, queue: &'static str, at_once: usize, stop: &CancellationToken) {
        let outbox = self.store.outbox();
        let mut wakeup = outbox.wakeup(queue);
        let mut batches: JoinSet<()> = JoinSet::new();
        let mut in_hand = InHand::new();
        let mut leftovers = Leftovers::new();
        while !stop.is_cancelled() {
            self.pulse.beat(queue);
            while let Some(ended) = batches.try_join_next_with_id() {
                forget(&mut in_hand, ended);
            }
            if batches.len() >= at_once.max(1) {
                // Not for longer than a poll, so that it shows that somebody is there.
                if let Ok(Some(ended)) =
                    tokio::time::timeout(self.pace.poll, batches.join_next_with_id()).await
                {
                    forget(&mut in_hand, ended);
                }
                continue;
            }
            let since = Instant::now();
            let crowded = self.crowded(queue, at_once, &in_hand);
            let some_left_alone = !crowded.is_empty();
            let claim = self.claim_of(queue).except(crowded).shard(self.share.get());
            let mut claimed = outbox.claim(queue, &claim).await;
            // What others leave lying is for hands that have nothing to do, not for those whose work is on its way.
            let idle = batches.len() * 4 < at_once.max(1);
            if claimed.as_ref().is_ok_and(Vec::is_empty) && idle && leftovers.are_due(claim.shard) {
                let late = claim.shard(Shard::ALL).overdue(share::OVERDUE);
                claimed = outbox.claim(queue, &late).await;
            }
            let rest = match claimed {
                Ok(jobs) if jobs.is_empty() => {
                    // Others ring for each thing they do. To look and find nothing may take a quarter of the time, no more;
                    // and what is being gathered needs no answer to every ring.
                    let mut pause = (since.elapsed() * 3).min(LOOK_IN_VAIN);
                    if queue == queue::SEND {
                        let gathering = (self.settings.service.gather.window / 4).min(GATHER_LOOK);
                        pause = pause.max(gathering);
                    }
                    tokio::time::sleep(pause).await;
                    let longest = self.longest_rest(queue);
                    match outbox.next_due(queue).await {
                        Ok(Some(due)) => due.clamp(SHORTEST_REST, longest),
                        _ => longest,
                    }
                }
                Ok(jobs) => {
                    let lane = jobs.first().map(|job| job.partition.clone());
                    let pipeline = self.clone();
                    let batch =
                        batches.spawn(async move { pipeline.handle(queue, jobs, since).await });
                    if let Some(lane) = lane.filter(|_| queue != queue::DECIDE) {
                        in_hand.insert(batch.id(), lane);
                    }
                    continue;
                }
                Err(error) => {
                    tracing::warn!(queue, %error, "the store gives no work; it is asked again");
                    self.pace.poll
                }
            };
            tokio::select! {
                () = stop.cancelled() => {}
                _ = wakeup.wait(rest) => {}
                // Then a school that was left alone may be claimed for.
                () = self.schools.answered(), if queue == queue::DECIDE => {}
                Some(ended) = batches.join_next_with_id(), if some_left_alone => forget(&mut in_hand, ended),
            }
        }
        while batches.join_next().await.is_some() {}
    }

    /// Nobody rings when marks have been gathered for long enough, so senders look at least once in a gathering.
    fn longest_rest(&self, queue: &str) -> Duration {
        let window = self.settings.service.gather.window;
        let poll = self.pace.poll.max(SHORTEST_REST);
        if queue == queue::SEND && !window.is_zero() {
            window.clamp(SHORTEST_REST, poll)
        } else {
            poll
        }
    }

    /// Hands jobs back as if they had not been claimed.
    async fn hand_back(&self, jobs: &[ClaimedJob]) {
        let held: Vec<LeaseToken> = jobs.iter().map(|job| job.lease).collect();
        let hand_back = async {
            let mut tx = self.store.database().begin().await?;
            let _ = self.store.outbox().release(&mut tx, &held).await?;
            tx.commit().await
        };
        if let Err(error) = hand_back.await {
            tracing::warn!(%error, "events could not be handed back; they are free when their lease expires");
        }
    }

    /// The schools that have enough of this node's hands: one that does not answer must leave hands for the others.
    fn crowded(&self, queue: &str, at_once: usize, in_hand: &InHand) -> Vec<String> {
        let of_one_school = match queue {
            queue::DECIDE => return self.schools.slow().into_iter().collect(),
            queue::SEND => (at_once / 2).max(1),
            // Its batch is large, and asks about several writebacks at the same time.
            _ => 1,
        };
        let mut hands: HashMap<&str, usize> = HashMap::new();
        for lane in in_hand.values() {
            *hands.entry(lane).or_default() += 1;
        }
        hands
            .into_iter()
            .filter(|(_, hands)| *hands >= of_one_school)
            .map(|(lane, _)| lane.to_owned())
            .collect()
    }

    fn claim_of(&self, queue: &str) -> ClaimRequest {
        let gather = self.settings.service.gather;
        match queue {
            queue::DECIDE => ClaimRequest::mixed(self.pace.decide_max, self.pace.lease),
            queue::SEND => {
                let max = u32::try_from(gather.max.get()).unwrap_or(u32::MAX);
                ClaimRequest::single_partition(max, self.pace.lease, gather.window)
            }
            _ => ClaimRequest::single_partition(
                self.pace.confirm_max,
                self.pace.lease,
                Duration::ZERO,
            ),
        }
    }

    /// Handles one batch, holding its lease meanwhile.
    async fn handle(&self, queue: &'static str, jobs: Vec<ClaimedJob>, since: Instant) {
        let held: Vec<LeaseToken> = jobs.iter().map(|job| job.lease).collect();
        let lease = Arc::new(Lease::new(since, self.pace.lease));
        let progress = self.pulse.batch(queue);
        let work = async {
            match queue {
                queue::DECIDE => self.decide(jobs, &progress).await,
                queue::SEND => self.send(jobs, &lease, &progress).await,
                _ => self.confirm(jobs).await,
            }
        };
        let done = tokio::select! {
            done = caught(work) => done,
            () = self.hold(&held, &lease) => return,
        };
        // What was claimed is claimable again when its lease lapses: nothing is lost.
        match done {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::warn!(queue, %error, "the store did not keep a step; it will be taken again");
            }
            Err(Panicked) => {
                tracing::error!(
                    queue,
                    "a worker panicked while it noted a step; it will be taken again"
                );
            }
        }
    }

    /// Runs a step's transaction until the store has kept it or never will.
    pub(crate) async fn until_kept<F, T>(&self, note: F) -> outbox::Result<()>
    where
        F: Fn() -> T,
        T: Future<Output = outbox::Result<()>>,
    {
        let until = Instant::now() + self.pace.lease;
        let mut may_be_kept = false;
        loop {
            match note().await {
                Err(error) if may_be_kept && error.kind() == outbox::ErrorKind::Lost => {
                    return Ok(());
                }
                Err(error)
                    if error.recovery() != outbox::Recovery::Never && Instant::now() < until =>
                {
                    may_be_kept |= error.recovery() == outbox::Recovery::Unknown;
                    tracing::warn!(%error, "the store did not keep a step; it is tried again");
                    tokio::time::sleep(KEEP_AGAIN).await;
                }
                done => return done,
            }
        }
    }
}

/// No worker looks for work more often than this.
const SHORTEST_REST: Duration = Duration::from_millis(5);
/// The longest pause after one has looked for work and found none.
const LOOK_IN_VAIN: Duration = Duration::from_millis(250);
/// How often at most the senders look whether enough has been gathered.
const GATHER_LOOK: Duration = Duration::from_millis(50);
