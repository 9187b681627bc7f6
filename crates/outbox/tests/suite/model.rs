//! Random histories against a simple model of the queue, on both stores.
//!
//! All times are whole hours, so that the seconds in which a test runs on a server's own clock never matter.

mod reference;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use outbox::{
    BatchMode, ClaimRequest, Enqueued, JobId, LeaseToken, NewJob, Outbox, PauseUntil, Retention,
    RetryAt, on_tx,
};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::json;

use crate::support::*;
use reference::{Model, Open};

const HOUR: Duration = Duration::from_secs(3600);
const LEASE_HOURS: i64 = 10;
const QUEUES: [&str; 2] = ["q", "r"];
const PARTITIONS: [&str; 3] = ["", "x", "y"];

fn hours(n: i64) -> Duration {
    HOUR * u32::try_from(n).unwrap()
}

#[derive(Clone, Debug)]
enum Op {
    Enqueue(Vec<Spec>),
    /// Enqueue, and complete what was claimed by the n-th claim; then die before the commit.
    DieInTheMiddle(usize, Spec),
    Claim {
        worker: usize,
        queue: usize,
        limit: u32,
        batch: BatchMode,
    },
    /// The n-th job ever claimed, held or not any more: a worker that crashed simply never comes back to it.
    Complete(usize),
    Retry {
        nth: usize,
        hours: i64,
        absolute: bool,
    },
    Release(usize),
    Bury(usize),
    Renew(usize),
    RetryDead(usize),
    Discard(usize),
    Hasten(usize),
    Pause(usize, i64),
    Resume(usize),
    Advance(i64),
    SetBack(i64),
    Prune(i64),
}

#[derive(Clone, Debug)]
struct Spec {
    queue: usize,
    key: u8,
    line: Option<u8>,
    partition: usize,
    throttle_key: usize,
    supersede: bool,
    not_before: Option<i64>,
}

fn spec() -> impl Strategy<Value = Spec> {
    (
        0..QUEUES.len(),
        0..40_u8,
        prop::option::weighted(0.8, 0..4_u8),
        0..PARTITIONS.len(),
        prop_oneof![4 => Just(0), 1 => Just(2_usize)],
        prop::bool::weighted(0.3),
        prop::option::weighted(0.2, -2..20_i64),
    )
        .prop_map(
            |(queue, key, line, partition, throttle_key, supersede, not_before)| Spec {
                queue,
                key,
                line,
                partition,
                throttle_key,
                supersede: supersede && line.is_some(),
                not_before,
            },
        )
}

/// Claims the jobs of one partition without waiting for more.
const ONE: BatchMode = BatchMode::SinglePartition {
    gather: Duration::ZERO,
};

fn batch() -> impl Strategy<Value = BatchMode> {
    prop_oneof![
        4 => Just(BatchMode::Mixed),
        3 => Just(BatchMode::WholePartitions),
        3 => Just(ONE),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    let nth = 0..60_usize;
    prop_oneof![
        5 => prop::collection::vec(spec(), 1..4).prop_map(Op::Enqueue),
        1 => (nth.clone(), spec()).prop_map(|(nth, spec)| Op::DieInTheMiddle(nth, spec)),
        8 => (0..2_usize, 0..QUEUES.len(), 1..4_u32, batch())
            .prop_map(|(worker, queue, limit, batch)| Op::Claim { worker, queue, limit, batch }),
        5 => nth.clone().prop_map(Op::Complete),
        3 => (nth.clone(), 0..15_i64, prop::bool::weighted(0.3))
            .prop_map(|(nth, hours, absolute)| Op::Retry { nth, hours, absolute }),
        2 => nth.clone().prop_map(Op::Release),
        2 => nth.clone().prop_map(Op::Bury),
        1 => nth.clone().prop_map(Op::Renew),
        2 => nth.clone().prop_map(Op::RetryDead),
        1 => nth.clone().prop_map(Op::Discard),
        1 => nth.prop_map(Op::Hasten),
        2 => (1..PARTITIONS.len(), 1..30_i64).prop_map(|(partition, hours)| Op::Pause(partition, hours)),
        1 => (1..PARTITIONS.len()).prop_map(Op::Resume),
        4 => (1..25_i64).prop_map(Op::Advance),
        1 => (1..100_i64).prop_map(Op::SetBack),
        1 => (1..40_i64).prop_map(Op::Prune),
    ]
}

/// The store and the model side by side.
struct Run {
    s: Arc<Store>,
    workers: [Outbox; 2],
    model: Model,
    /// All jobs ever claimed, with what was handed out for them.
    hands: Vec<LeaseToken>,
    /// All numbers ever given.
    ids: Vec<JobId>,
}

impl Run {
    fn new(s: Arc<Store>) -> Self {
        let workers = [s.another_worker(), s.another_worker()];
        Self {
            s,
            workers,
            model: Model::default(),
            hands: Vec::new(),
            ids: Vec::new(),
        }
    }

    fn hand(&self, nth: usize) -> Option<LeaseToken> {
        self.hands.get(nth % self.hands.len().max(1)).copied()
    }

    fn id(&self, nth: usize) -> Option<JobId> {
        self.ids.get(nth % self.ids.len().max(1)).copied()
    }

    async fn step(&mut self, op: &Op) {
        match op {
            Op::Enqueue(specs) => self.enqueue(specs).await,
            Op::DieInTheMiddle(nth, spec) => self.die_in_the_middle(*nth, spec).await,
            Op::Claim {
                worker,
                queue,
                limit,
                batch,
            } => self.claim(*worker, *queue, *limit, *batch).await,
            Op::Advance(n) => {
                self.s.clock.advance(hours(*n));
                self.model.now += n;
            }
            Op::SetBack(n) => {
                self.s.clock.shift_ms(-n * 3_600_000);
                self.model.now -= n;
            }
            Op::Pause(partition, n) => {
                let partition = PARTITIONS[*partition];
                in_tx!(self.s, tx => self.s.outbox.pause(&mut tx, partition, PauseUntil::For(hours(*n)), ""));
                self.model.pause(partition, *n);
            }
            Op::Resume(partition) => {
                let partition = PARTITIONS[*partition];
                in_tx!(self.s, tx => self.s.outbox.resume(&mut tx, partition));
                self.model.resume(partition);
            }
            Op::Prune(n) => {
                // Half hours, so that nothing is exactly that old.
                let finished = hours(*n) + HOUR / 2;
                let removed = self
                    .s
                    .outbox
                    .prune(&Retention::new(finished))
                    .await
                    .unwrap();
                assert_eq!(removed, self.model.prune(*n), "prune");
            }
            Op::RetryDead(nth) | Op::Discard(nth) | Op::Hasten(nth) => {
                if let Some(id) = self.id(*nth) {
                    self.act_on(op, id).await;
                }
            }
            Op::Complete(nth)
            | Op::Release(nth)
            | Op::Bury(nth)
            | Op::Renew(nth)
            | Op::Retry { nth, .. } => {
                if let Some(held) = self.hand(*nth) {
                    self.settle(op, held).await;
                }
            }
        }
    }

    async fn job(&self, spec: &Spec) -> NewJob {
        let key = format!("k{}", spec.key);
        let mut job = NewJob::new(QUEUES[spec.queue], &key, json!(spec.key))
            .partition(PARTITIONS[spec.partition])
            .throttle_key(PARTITIONS[spec.throttle_key]);
        job.order_key = spec.line.map(|line| format!("l{line}"));
        job.supersede_key = spec.supersede.then(|| "m".to_owned());
        if let Some(n) = spec.not_before {
            job.not_before = Some(self.s.now().await + TimeDelta::hours(n));
        }
        job
    }

    async fn enqueue(&mut self, specs: &[Spec]) {
        let mut jobs = Vec::new();
        for spec in specs {
            jobs.push(self.job(spec).await);
        }
        let receipt = self.s.enqueue(&jobs).await;
        assert_eq!(receipt.jobs.len(), jobs.len());
        for ((spec, job), answer) in specs.iter().zip(&jobs).zip(&receipt.jobs) {
            let known = self.model.known(&job.queue, &job.key);
            match *answer {
                Enqueued::Duplicate(id) => assert_eq!(known, Some(id), "seen"),
                Enqueued::New(id) => {
                    assert_eq!(known, None, "new");
                    assert!(
                        self.ids.last().is_none_or(|last| *last < id),
                        "numbers rise"
                    );
                    self.ids.push(id);
                    self.model.add(id, job, spec.not_before);
                }
            }
        }
        let mut superseded: Vec<_> = receipt.superseded.iter().map(|by| (by.id, by.by)).collect();
        superseded.sort_unstable();
        let new: Vec<JobId> = receipt
            .jobs
            .iter()
            .filter_map(|job| match job {
                Enqueued::New(id) => Some(*id),
                Enqueued::Duplicate(_) => None,
            })
            .collect();
        assert_eq!(superseded, self.model.supersede(&new), "superseded");
    }

    async fn die_in_the_middle(&mut self, nth: usize, spec: &Spec) {
        let job = self.job(spec).await;
        let mut tx = self.s.begin().await;
        if let Some(held) = self.hand(nth) {
            let _ = self.s.outbox.complete(&mut tx, &[held]).await.unwrap();
        }
        self.s.outbox.enqueue(&mut tx, &[job]).await.unwrap();
        drop(tx);
        // Once the next transaction has begun on SQLite, the drop is done; on PostgreSQL its locks are waited for.
        self.settled_down().await;
    }

    /// Waits until no dropped transaction holds a lock any more, for a claim would step over what it holds.
    async fn settled_down(&self) {
        let mut tx = self.s.begin().await;
        if let outbox::Conn::Postgres(conn) = tx.conn() {
            sqlx::query("LOCK TABLE outbox_jobs IN ACCESS EXCLUSIVE MODE")
                .execute(conn)
                .await
                .unwrap();
        }
        tx.rollback().await.unwrap();
    }

    async fn claim(&mut self, worker: usize, queue: usize, limit: u32, batch: BatchMode) {
        let queue = QUEUES[queue];
        let lease = hours(LEASE_HOURS);
        let mut request = ClaimRequest::mixed(limit, lease);
        request.batch = batch;
        self.model.before_claim(worker, queue);
        let claimable = self.model.claimable(queue);
        let claimed = self.workers[worker].claim(queue, &request).await.unwrap();

        let partitions: BTreeSet<_> = claimed.iter().map(|job| job.partition.clone()).collect();
        let oldest = self.due(claimable.iter()).min();
        let mut choice = claimable.clone();
        if batch == ONE {
            assert!(partitions.len() <= 1, "one partition");
            choice.retain(|id| partitions.contains(&self.model.jobs[id].partition));
            assert_eq!(
                self.due(choice.iter()).min(),
                oldest,
                "the partition that waited longest"
            );
        }
        assert_eq!(
            claimed.len(),
            choice.len().min(limit as usize),
            "claimable: {claimable:?}"
        );
        let taken: BTreeSet<JobId> = claimed.iter().map(|job| job.id()).collect();
        let left: BTreeSet<JobId> = choice.difference(&taken).copied().collect();
        if batch == BatchMode::WholePartitions {
            self.assert_whole_partitions(&taken, &left);
        } else {
            self.assert_order(&taken, &left);
        }
        assert!(
            claimed.is_sorted_by_key(|job| self.model.jobs[&job.id()].seq),
            "oldest first"
        );
        for job in &claimed {
            assert!(
                claimable.contains(&job.id()),
                "{} is not claimable",
                job.id()
            );
            let expected = self.model.claim(job.id(), job.lease.fence, LEASE_HOURS);
            assert_eq!((job.attempts(), job.lapsed), expected, "job {}", job.id());
            self.hands.push(job.lease);
        }
    }

    /// The jobs that were taken have been due for at least as long as those that were left.
    fn assert_order(&self, taken: &BTreeSet<JobId>, left: &BTreeSet<JobId>) {
        let last = self.due(taken.iter()).max();
        let next = self.due(left.iter()).min();
        if let Some((last, next)) = last.zip(next) {
            assert!(last <= next, "the oldest are taken");
        }
    }

    /// The partitions that were taken have waited for at least as long as those that were left, and all but the last of them
    /// were taken as a whole.
    fn assert_whole_partitions(&self, taken: &BTreeSet<JobId>, left: &BTreeSet<JobId>) {
        let (taken, mut left) = (self.by_partition(taken), self.by_partition(left));
        let oldest = |jobs: &BTreeSet<JobId>| self.due(jobs.iter()).min();
        let last = taken.values().filter_map(oldest).max();
        let mut cut = 0;
        for (partition, jobs) in &taken {
            if let Some(left) = left.remove(partition) {
                self.assert_order(jobs, &left);
                assert_eq!(oldest(jobs), last, "the last partition is cut");
                cut += 1;
            }
        }
        assert!(cut <= 1, "one partition is cut");
        if let Some((last, next)) = last.zip(left.values().filter_map(oldest).min()) {
            assert!(last <= next, "the partitions that waited longest are taken");
        }
    }

    fn by_partition(&self, ids: &BTreeSet<JobId>) -> BTreeMap<String, BTreeSet<JobId>> {
        let mut partitions: BTreeMap<String, BTreeSet<JobId>> = BTreeMap::new();
        for id in ids {
            let partition = self.model.jobs[id].partition.clone();
            partitions.entry(partition).or_default().insert(*id);
        }
        partitions
    }

    fn due<'a>(&self, ids: impl Iterator<Item = &'a JobId>) -> impl Iterator<Item = i64> {
        ids.filter_map(|id| self.model.jobs.get(id))
            .map(|job| job.due)
    }

    async fn settle(&mut self, op: &Op, held: LeaseToken) {
        let s = Arc::clone(&self.s);
        let one = [held];
        let now = self.model.now;
        let settled = match op {
            Op::Complete(_) => in_tx!(s, tx => s.outbox.complete(&mut tx, &one)),
            Op::Release(_) => in_tx!(s, tx => s.outbox.release(&mut tx, &one)),
            Op::Bury(_) => in_tx!(s, tx => s.outbox.dead_letter(&mut tx, &one, "")),
            Op::Renew(_) => s.outbox.renew(&one, hours(LEASE_HOURS)).await.unwrap(),
            Op::Retry {
                hours: n, absolute, ..
            } => {
                let when = if *absolute {
                    RetryAt::At(s.now().await + TimeDelta::hours(*n))
                } else {
                    RetryAt::After(hours(*n))
                };
                in_tx!(s, tx => s.outbox.retry(&mut tx, &one, when, ""))
            }
            _ => unreachable!("not a way to settle"),
        };
        let job = self.model.held(held);
        assert_eq!(
            settled.kept.contains(&held.id),
            job.is_some(),
            "held: job {}",
            held.id
        );
        assert_eq!(settled.lost.is_empty(), job.is_some());
        let Some(job) = job else { return };
        match op {
            Op::Complete(_) => job.finish(now, reference::JobState::Done),
            Op::Bury(_) => job.finish(now, reference::JobState::Dead),
            Op::Release(_) => {
                job.attempts -= 1;
                job.wait(now, now);
            }
            Op::Renew(_) => job.hold(now, LEASE_HOURS),
            Op::Retry {
                hours: n, absolute, ..
            } => {
                if *absolute {
                    job.run_at = now + n;
                }
                job.wait(now, now + n);
            }
            _ => {}
        }
    }

    async fn act_on(&mut self, op: &Op, id: JobId) {
        let s = Arc::clone(&self.s);
        let now = self.model.now;
        match op {
            Op::RetryDead(_) => {
                let done = in_tx!(s, tx => s.outbox.retry_dead(&mut tx, &[id, id]));
                assert_eq!(done, self.model.retry_dead(id), "retry_dead");
            }
            Op::Discard(_) => {
                let done = in_tx!(s, tx => s.outbox.discard(&mut tx, &[id], ""));
                assert_eq!(done, self.model.discard(id), "discard");
            }
            _ => {
                let Some(job) = self.model.jobs.get_mut(&id) else {
                    return;
                };
                let done = in_tx!(s, tx => s.outbox.run_now(&mut tx, &job.queue, &[&job.key]));
                let may = job.open == Some(Open::Waiting) && job.due > now;
                assert_eq!(done.len(), usize::from(may), "run now");
                if may {
                    job.run_at = i64::MIN;
                    job.wait(now, now);
                }
            }
        }
    }

    /// In the end nothing is stranded: with time, everything open is claimed and done.
    async fn drain(&mut self) {
        for partition in &PARTITIONS[1..] {
            in_tx!(self.s, tx => self.s.outbox.resume(&mut tx, partition));
            self.model.resume(partition);
        }
        for _ in 0..1000 {
            if !self.model.jobs.values().any(|job| job.open.is_some()) {
                assert!(
                    self.s
                        .outbox
                        .stats()
                        .await
                        .unwrap()
                        .values()
                        .all(|queue| queue.oldest_open.is_none())
                );
                return;
            }
            self.step(&Op::Advance(24)).await;
            for queue in 0..QUEUES.len() {
                let first = self.hands.len();
                self.claim(0, queue, 100, BatchMode::Mixed).await;
                for nth in first..self.hands.len() {
                    self.step(&Op::Complete(nth)).await;
                }
            }
        }
        panic!("some jobs are stranded");
    }

    /// Each job of the model is in the store, in the same state.
    async fn compare(&self) {
        for job in self.model.jobs.values() {
            let found = self
                .s
                .outbox
                .find(&job.queue, &job.key)
                .await
                .unwrap()
                .unwrap();
            assert_eq!(
                (found.state, found.attempts),
                (job.state(), job.attempts),
                "job {}",
                found.id
            );
        }
    }
}

async fn play(s: Arc<Store>, ops: Vec<Op>) {
    let mut run = Run::new(s);
    for op in &ops {
        run.step(op).await;
        run.compare().await;
    }
    run.drain().await;
}

fn cases(default: u32) -> Config {
    let cases = std::env::var("PROPTEST_CASES")
        .ok()
        .and_then(|n| n.parse().ok());
    Config {
        cases: cases.unwrap_or(default),
        max_shrink_iters: 2000,
        ..Config::default()
    }
}

fn check(config: Config, store: impl Fn(&tokio::runtime::Runtime) -> Arc<Store>) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    TestRunner::new(config)
        .run(&prop::collection::vec(op(), 1..60), |ops| {
            let s = store(&runtime);
            runtime.block_on(play(s, ops));
            Ok(())
        })
        .unwrap();
}

#[test]
fn any_history_goes_as_the_model_says_sqlite() {
    check(cases(150), |runtime| {
        Arc::new(runtime.block_on(Store::memory()))
    });
}

#[test]
fn any_history_goes_as_the_model_says_postgres() {
    let Some(server) = server() else { return };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _entered = runtime.enter();
    let url = server.create_database().unwrap();
    check(cases(30), |runtime| {
        runtime.block_on(async {
            let s = Store::open(url.clone(), None).await;
            let mut tx = s.begin().await;
            on_tx!(tx, conn => {
                sqlx::query("DELETE FROM outbox_jobs").execute(conn).await.map(drop)
            })
            .unwrap();
            on_tx!(tx, conn => {
                sqlx::query("DELETE FROM outbox_pauses").execute(conn).await.map(drop)
            })
            .unwrap();
            tx.commit().await.unwrap();
            Arc::new(s)
        })
    });
}
