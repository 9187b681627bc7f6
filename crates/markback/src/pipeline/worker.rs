//! The workers: claim batches of jobs from the three queues and hand each to its stage, while keeping its lease.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use outbox::{ClaimRequest, ClaimedJob, LeaseToken, Shard};
use tokio::task::{Id, JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use super::{
    confirm::Confirmer,
    decide::{ContextReader, Decider},
    failure::{FailurePolicy, Panicked, caught},
    gathering::{Gathering, Reach},
    liveness::{Health, Liveness},
    looks::{Looks, Told},
    send::Sender,
    sharding::{STEAL_AFTER, Sharding, StealTimer},
    together::Together,
};
use crate::{
    clock::SharedClock,
    lease::WriteLease,
    mirror::Mirror,
    people::PersonIndex,
    queues,
    schools::Schools,
    settings::{Service, Settings, WorkerSettings},
    store::Store,
};

/// The shortest wait between two looks for jobs.
const REST_AT_LEAST: Duration = Duration::from_millis(5);
/// The longest pause after a look that found nothing.
const EMPTY_PAUSE_MAX: Duration = Duration::from_millis(250);
/// The pause between two looks at which schools' marks go now. It is at most a tenth of `poll`, and at most a quarter of
/// `gather.window`.
const GATHER_CHECK: Duration = Duration::from_millis(100);
/// Small batches are claimed in one transaction, up to about so many jobs. That is fewer than the events that are claimed at a
/// time to be decided, so on SQLite intake waits no longer for it.
const CLAIMED_AT_ONCE: usize = 100;
/// The shortest time between two claims of a few events to decide, and no more than a tenth of `poll`. In a stream of events
/// each claim and each commit then serves several; the first event after a pause is claimed at once.
const DECIDE_APART: Duration = Duration::from_millis(50);

/// How the workers work. `Default` fits a service on one machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorkerConfig {
    /// The longest wait of an idle worker before it looks for jobs again.
    pub poll: Duration,
    /// How long a claimed job is leased. The lease is renewed while the job is worked on; a dead node's jobs are taken over
    /// when it expires.
    pub lease: Duration,
    /// The most events decided in one batch.
    pub decide_max: u32,
    /// Such batches at the same time.
    pub deciders: usize,
    /// Registers sent at the same time. Most of the time they wait for Wonde's answers.
    pub senders: usize,
    /// The most writebacks of one school asked about in one batch.
    pub confirm_max: u32,
    /// Schools asked about their writebacks at the same time.
    pub confirmers: usize,
    /// How soon at the earliest a writeback is asked about first, before it is known how long the school's MIS takes; each
    /// further wait doubles, up to `confirm_at_least_every`.
    pub confirm_after: Duration,
    /// The longest time between two looks at a writeback.
    pub confirm_at_least_every: Duration,
    /// How long to wait for Wonde's answer before the register is read back as well.
    pub read_back_after: Duration,
    /// How long to leave a mark alone whose request was not answered, before the register is looked at: the mark takes a
    /// while to arrive.
    pub look_after: Duration,
    /// The longest first wait after the other side failed; doubled with each attempt.
    pub backoff: Duration,
    /// The longest such wait.
    pub backoff_max: Duration,
    /// The oldest decision that is sent without looking at the register again.
    pub plan_fresh: Duration,
    /// How long a problem that should pass by itself is retried before a person is asked.
    pub give_up_after: Duration,
}

impl Default for WorkerConfig {
    fn default() -> Self {
        Self::of(WorkerSettings::default())
    }
}

impl WorkerConfig {
    /// The configuration in the settings.
    pub fn of(settings: WorkerSettings) -> Self {
        Self {
            poll: settings.poll,
            lease: settings.lease,
            decide_max: 250,
            deciders: 16,
            senders: 32,
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

/// All workers of this node.
#[derive(Debug)]
pub(crate) struct Workers {
    pub(super) decider: Arc<Decider>,
    pub(super) sender: Sender,
    confirmer: Confirmer,
    store: Store,
    schools: Arc<Schools>,
    config: WorkerConfig,
    gathering: Arc<Gathering>,
    /// Whether the configuration is that of the settings.
    is_of_settings: bool,
    looks: Arc<Looks>,
    sharding: Sharding,
    pub(super) liveness: Liveness,
}

impl Workers {
    pub(crate) fn new(
        settings: &Settings,
        config: WorkerConfig,
        store: Store,
        schools: Arc<Schools>,
        mirror: Mirror,
        people: Arc<PersonIndex>,
        clock: SharedClock,
    ) -> Arc<Self> {
        let service = &settings.service;
        let failures = FailurePolicy {
            schools: schools.clone(),
            clock,
            config,
            accept_age: service.accept_age,
        };
        let contexts = ContextReader {
            store: store.clone(),
            schools: schools.clone(),
            mirror: mirror.clone(),
            confirm_within: service.confirm_within,
        };
        let looks = Arc::new(Looks::new(&config));
        let gathering = Arc::new(Gathering::new(service.gather));
        let together = Arc::new(Together::new(store.clone()));
        Arc::new(Self {
            decider: Arc::new(Decider {
                store: store.clone(),
                schools: schools.clone(),
                people,
                contexts: contexts.clone(),
                failures: failures.clone(),
                config,
                gathering: gathering.clone(),
            }),
            sender: Sender {
                store: store.clone(),
                schools: schools.clone(),
                contexts,
                failures: failures.clone(),
                looks: looks.clone(),
                together: together.clone(),
                config,
            },
            confirmer: Confirmer {
                store: store.clone(),
                schools: schools.clone(),
                mirror,
                failures,
                looks: looks.clone(),
                together,
                config,
                confirm_within: service.confirm_within,
            },
            store,
            schools,
            config,
            gathering,
            is_of_settings: config == WorkerConfig::of(service.workers),
            looks,
            sharding: Sharding::default(),
            liveness: Liveness::default(),
        })
    }

    /// Goes by other settings of the service from now on, as far as that needs no restart: see [`Service::followed_by`].
    pub(crate) fn follow(&self, service: &Service) {
        self.gathering.follow(service.gather);
        if self.is_of_settings {
            self.looks.follow(&WorkerConfig::of(service.workers));
        }
    }

    /// The state of the workers.
    pub(crate) fn health(&self) -> Health {
        self.liveness.health()
    }

    /// A webhook tells of a register of this school: when to ask Wonde about it.
    pub(crate) fn told(&self, school: &str, writeback: &str, is_done: bool) -> Told {
        self.looks
            .told(school, writeback, self.store.now(), is_done)
    }

    /// A webhook tells that a writeback is done which is not known yet.
    pub(crate) fn told_early(&self, writeback: &str) {
        self.looks.told_early(writeback);
    }

    /// Works until told to stop, then finishes the batches in hand.
    pub(crate) async fn run(self: &Arc<Self>, stop: CancellationToken) {
        let _running = self.liveness.run();
        tokio::join!(
            self.run_queue(queues::DECIDE, self.config.deciders, &stop),
            self.run_queue(queues::SEND, self.config.senders, &stop),
            self.run_queue(queues::CONFIRM, self.config.confirmers, &stop),
            self.sharding.run(&self.store, &stop),
            self.schools.requests().run(&self.store, &stop),
        );
    }

    /// Claims a queue's jobs and works on up to `at_once` batches at the same time; waits when there is nothing to do.
    async fn run_queue(
        self: &Arc<Self>,
        queue: &'static str,
        at_once: usize,
        stop: &CancellationToken,
    ) {
        let outbox = self.store.outbox();
        let mut wakeup = outbox.wakeup(queue);
        let mut batches = Batches::default();
        let mut steal = StealTimer::new();
        let mut gathered = Gathered::default();
        let at_once = at_once.max(1);
        while !stop.is_cancelled() {
            self.liveness.heartbeat(queue);
            batches.forget_ended();
            if batches.tasks.len() >= at_once {
                // Not for longer than a poll, so that the heartbeat goes on.
                let _ = tokio::time::timeout(self.config.poll, batches.next_end()).await;
                continue;
            }
            let since = Instant::now();
            let busy = self.busy_schools(queue, at_once, &batches);
            let some_left_out = !busy.is_empty();
            let shard = self.sharding.shard();
            let claim = self.claim_of(queue).except(busy).shard(shard);
            let free = at_once - batches.tasks.len();
            let mut claimed = match queue {
                queues::SEND => self.claim_registers(&claim, free, &mut gathered).await,
                // One batch has many schools' events.
                queues::DECIDE => outbox.claim_each(queue, [claim.clone()], 1).await,
                _ => {
                    let claims = vec![claim.clone(); free];
                    outbox.claim_each(queue, claims, CLAIMED_AT_ONCE).await
                }
            };
            // Only idle workers steal, not those whose next jobs are on their way.
            let idle = batches.tasks.len() * 4 < at_once;
            if claimed.as_ref().is_ok_and(Vec::is_empty) && idle && steal.is_due(shard) {
                let overdue = claim.shard(Shard::ALL).overdue(STEAL_AFTER);
                claimed = outbox.claim_each(queue, [overdue], 1).await;
            }
            let rest = match claimed {
                Ok(claimed) if claimed.is_empty() => {
                    // Every commit wakes the workers. Looking in vain may take a quarter of the time, no more; and marks
                    // that are being gathered do not need a look after each wake-up.
                    let pause = (since.elapsed() * 3).min(EMPTY_PAUSE_MAX);
                    let gathered_until = gathered.until.saturating_duration_since(Instant::now());
                    tokio::time::sleep(pause.max(gathered_until)).await;
                    let poll = self.config.poll.max(REST_AT_LEAST);
                    // Nothing wakes the senders when marks have been gathered for long enough.
                    let longest = gathered
                        .next
                        .map_or(poll, |next| next.clamp(REST_AT_LEAST, poll));
                    match outbox.next_due(queue).await {
                        Ok(Some(due)) => due.clamp(REST_AT_LEAST, longest),
                        _ => longest,
                    }
                }
                Ok(claimed) => {
                    let jobs = claimed.iter().map(Vec::len).sum::<usize>();
                    let are_few = u32::try_from(jobs).is_ok_and(|n| n < self.config.decide_max);
                    for jobs in claimed {
                        let school = jobs.first().map(|job| job.partition.clone());
                        let school = school.filter(|_| queue != queues::DECIDE);
                        if let Some(school) = school.as_deref().filter(|_| queue == queues::SEND) {
                            self.gathering.record(school, jobs.len(), self.store.now());
                        }
                        let workers = self.clone();
                        batches.spawn(school, async move {
                            workers.work(queue, jobs, since).await;
                        });
                    }
                    if queue == queues::DECIDE && are_few {
                        let apart = DECIDE_APART.min(self.config.poll / 10);
                        tokio::time::sleep(apart.saturating_sub(since.elapsed())).await;
                    }
                    continue;
                }
                Err(error) => {
                    tracing::warn!(queue, %error, "jobs cannot be claimed; it is tried again");
                    self.config.poll
                }
            };
            tokio::select! {
                () = stop.cancelled() => {}
                _ = wakeup.wait(rest) => {}
                // A school that was left out may be claimed for again.
                () = self.schools.answered(), if queue == queues::DECIDE => {}
                () = batches.next_end(), if some_left_out && !batches.tasks.is_empty() => {}
            }
        }
        while batches.tasks.join_next().await.is_some() {}
    }

    /// Works on one batch and renews its lease meanwhile.
    async fn work(&self, queue: &'static str, jobs: Vec<ClaimedJob>, since: Instant) {
        let held: Vec<LeaseToken> = jobs.iter().map(|job| job.lease).collect();
        let lease = Arc::new(WriteLease::new(since, self.config.lease));
        let progress = self.liveness.batch(queue);
        let work = async {
            match queue {
                queues::DECIDE => self.decider.decide(jobs, &progress).await,
                queues::SEND => self.sender.send(jobs, &lease, &progress).await,
                _ => self.confirmer.confirm(jobs).await,
            }
        };
        let done = tokio::select! {
            done = caught(work) => done,
            () = self.renew(&held, &lease) => return,
        };
        // Nothing is lost: what was claimed can be claimed again when its lease expires.
        match done {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::warn!(queue, %error, "a step was not committed; it will be repeated");
            }
            Err(Panicked) => {
                tracing::error!(
                    queue,
                    "a worker panicked while it committed a step; it will be repeated"
                );
            }
        }
    }

    /// Renews the lease of a batch, so that leases can be short and a dead node's jobs are free soon. Returns when all of
    /// the batch has been lost.
    async fn renew(&self, held: &[LeaseToken], lease: &WriteLease) {
        let length = self.config.lease;
        loop {
            tokio::time::sleep(length / 3).await;
            let since = Instant::now();
            match self.store.outbox().renew(held, length).await {
                Ok(settled) if settled.lost.is_empty() => lease.renewed(since, length),
                // A lost job stays lost, and with it the batch, because a step is one transaction.
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

    /// Claims the marks of up to so many registers that go now, if there are any.
    async fn claim_registers(
        &self,
        claim: &ClaimRequest,
        most: usize,
        gathered: &mut Gathered,
    ) -> outbox::Result<Vec<Vec<ClaimedJob>>> {
        let outbox = self.store.outbox();
        if Instant::now() >= gathered.until {
            let since = Instant::now();
            let marks = gathered.reach.marks();
            let waiting = outbox.waiting(queues::SEND, claim, marks).await?;
            if waiting.is_empty() {
                *gathered = Gathered {
                    until: Instant::now() + self.gather_check(),
                    ..Gathered::default()
                };
                // What is due but paused is put off until its pause ends, so that it is not looked at every time.
                // While schools are left out, it may be only their marks that are due, and a claim would be in vain.
                return if claim.except.is_empty() {
                    outbox.claim_each(queues::SEND, [claim.clone()], 1).await
                } else {
                    Ok(Vec::new())
                };
            }
            let load = |school: &str| self.schools.load(school);
            let ready = self.gathering.ready(&waiting, load, self.store.now());
            let reach = gathered.reach;
            *gathered = Gathered {
                reach: reach.after(&waiting, ready.schools.len(), self.config.senders),
                schools: ready.schools,
                next: ready.next,
                // The question takes a few milliseconds where many marks wait, and must not take most of the time.
                until: Instant::now() + self.gather_check().max(4 * since.elapsed()),
            };
        }
        gathered
            .schools
            .retain(|school| !claim.except.contains(school));
        while !gathered.schools.is_empty() {
            let before = gathered.schools.len();
            let next = std::iter::from_fn(|| gathered.schools.pop_front()).take(most);
            let claims = next.map(|school| claim.clone().partition(school));
            let claimed = outbox
                .claim_each(queues::SEND, claims, CLAIMED_AT_ONCE)
                .await?;
            // Where nothing is due any more, no school is tried.
            if !claimed.is_empty() || gathered.schools.len() == before {
                return Ok(claimed);
            }
        }
        Ok(Vec::new())
    }

    fn claim_of(&self, queue: &str) -> ClaimRequest {
        let config = &self.config;
        match queue {
            queues::DECIDE => ClaimRequest::whole_partitions(config.decide_max, config.lease),
            queues::SEND => {
                let gather = self.gathering.settings();
                let most = u32::try_from(gather.max.get()).unwrap_or(u32::MAX);
                ClaimRequest::single_partition(most, config.lease, gather.window)
            }
            _ => ClaimRequest::single_partition(config.confirm_max, config.lease, Duration::ZERO),
        }
    }

    /// Schools that keep enough of this node's workers busy: one that does not answer must leave workers for the others.
    fn busy_schools(&self, queue: &str, at_once: usize, batches: &Batches) -> Vec<String> {
        let max = match queue {
            queues::DECIDE => return self.schools.slow().into_iter().collect(),
            queues::SEND => (at_once / 2).max(1),
            // A batch is large and asks about several writebacks at the same time.
            _ => 1,
        };
        let mut busy: HashMap<&str, usize> = HashMap::new();
        for school in batches.schools.values() {
            *busy.entry(school).or_default() += 1;
        }
        busy.into_iter()
            .filter(|(_, batches)| *batches >= max)
            .map(|(school, _)| school.to_owned())
            .collect()
    }

    /// The pause between two looks for schools whose marks go now.
    fn gather_check(&self) -> Duration {
        let window = self.gathering.settings().window;
        GATHER_CHECK.min(self.config.poll / 10).min(window / 4)
    }
}

/// The schools whose marks go now, as last looked up.
struct Gathered {
    /// How many marks are looked at next time.
    reach: Reach,
    schools: VecDeque<String>,
    /// How long until the next school's marks go.
    next: Option<Duration>,
    /// When it is looked up again.
    until: Instant,
}

impl Default for Gathered {
    fn default() -> Self {
        Self {
            reach: Reach::default(),
            schools: VecDeque::new(),
            next: None,
            until: Instant::now(),
        }
    }
}

/// The batches of a queue in hand.
#[derive(Default)]
struct Batches {
    tasks: JoinSet<()>,
    /// The school of each batch that has only one.
    schools: HashMap<Id, String>,
}

impl Batches {
    fn spawn(&mut self, school: Option<String>, work: impl Future<Output = ()> + Send + 'static) {
        let task = self.tasks.spawn(work);
        if let Some(school) = school {
            self.schools.insert(task.id(), school);
        }
    }

    fn forget_ended(&mut self) {
        while let Some(ended) = self.tasks.try_join_next_with_id() {
            self.forget(ended);
        }
    }

    /// Waits until a batch ends.
    async fn next_end(&mut self) {
        if let Some(ended) = self.tasks.join_next_with_id().await {
            self.forget(ended);
        }
    }

    fn forget(&mut self, ended: Result<(Id, ()), JoinError>) {
        let id = ended.map_or_else(|error| error.id(), |(id, ())| id);
        self.schools.remove(&id);
    }
}
