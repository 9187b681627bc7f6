//! The effects of one step of the pipeline, and the transaction that writes them.
//!
//! Deciders, senders and confirmers change nothing themselves: each step returns [`Effects`], and [`Effects::commit`] is
//! the only place that writes them. It locks rows in the same order every time, so no two steps wait for each other:
//!
//! 1. the jobs in hand, whose fences roll the transaction back if another node has taken one over,
//! 2. the rows of their events, then those of held marks that are superseded,
//! 3. parts that snapshots share, sorted by hash,
//! 4. ledger rows, sorted by key,
//! 5. learned limits, then followed writebacks,
//! 6. pauses of schools and tokens,
//! 7. on PostgreSQL, the order of the queues, from adding the new jobs until the end of the transaction.
//!
//! What comes after that touches only rows that are locked already: events and ledger rows of superseded marks. Last, the
//! feed gets an entry for each event in a state that hosts follow.

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use chrono::TimeDelta;
use outbox::{ClaimedJob, ErrorKind, LeaseToken, NewJob, Recovery, Tx};
use serde_json::Value;

use super::{
    failure::{FailedJob, Next, Outage},
    jobs::event_of_key,
    resend::{Resend, Trial},
};
use crate::{
    ledger::Change,
    metrics,
    store::{
        EventKey, EventState, EventUpdate, Followed, LedgerKey, Limit, NewAudit, NewSnapshot,
        Store, WrittenParts,
    },
};

/// The outcome of an event whose mark was never sent.
const SUPERSEDED: &str =
    "a newer mark for the same pupil, date and session took its place before it was sent";
/// Begins the outcome of a withdrawn event whose mark did not get into the MIS.
const NOT_THERE: &str = "its mark is not in the MIS";
/// Begins the outcome of a withdrawn event whose mark was replaced by the one before.
const REPAIRED: &str = "the mark before it was written again";
/// Begins the outcome of a withdrawn event whose mark another has replaced.
const NOTHING_LEFT: &str = "nothing of its mark is left";
/// How long to wait before a failed transaction is tried again.
const RETRY_COMMIT: Duration = Duration::from_millis(200);

/// The changes that one step makes.
#[derive(Clone, Default)]
pub(super) struct Effects {
    /// Jobs that are done.
    pub(super) done: Vec<LeaseToken>,
    /// Jobs that failed, each with what to do next. Their events are updated accordingly.
    failed: Vec<FailedJob>,
    /// News of events.
    pub(super) events: Vec<EventUpdate>,
    /// Lines of the audit trail.
    pub(super) audit: Vec<NewAudit>,
    /// The inputs of decisions.
    pub(super) snapshots: Vec<NewSnapshot>,
    /// Changes to the ledger of marks.
    pub(super) ledger: Vec<(LedgerKey, Change)>,
    /// Limits of a school's MIS, each with the adapter's id and how long it is trusted.
    learned: Vec<(String, String, Limit, TimeDelta)>,
    /// Schools to pause because they did not answer properly.
    pub(super) outages: Vec<Outage>,
    /// Send jobs for newly planned marks, each with its session.
    pub(super) planned: Vec<(LedgerKey, NewJob)>,
    /// Marks that wait for a person's release, each with its session, its event and the job that ends the wait.
    pub(super) held: Vec<(LedgerKey, String, NewJob)>,
    /// Refused marks to send again.
    pub(super) resent: Vec<Resend>,
    /// Confirm jobs.
    pub(super) followed: Vec<(Followed, NewJob)>,
    /// For the metrics: how long after its intake each mark was accepted.
    pub(super) accepted_after: Vec<TimeDelta>,
    /// The same for confirmed marks.
    pub(super) confirmed_after: Vec<TimeDelta>,
}

impl Effects {
    /// Adds the effects of another step.
    pub(super) fn add(&mut self, other: Self) {
        self.done.extend(other.done);
        self.failed.extend(other.failed);
        self.events.extend(other.events);
        self.audit.extend(other.audit);
        self.snapshots.extend(other.snapshots);
        self.ledger.extend(other.ledger);
        self.learned.extend(other.learned);
        self.outages.extend(other.outages);
        self.planned.extend(other.planned);
        self.held.extend(other.held);
        self.resent.extend(other.resent);
        self.followed.extend(other.followed);
        self.accepted_after.extend(other.accepted_after);
        self.confirmed_after.extend(other.confirmed_after);
    }

    /// Records the limit that a mark has proved, and adds it to the mark's audit line.
    pub(super) fn learn(&mut self, school: &str, trial: Option<&Trial>, line: &mut Value) {
        if let Some((mis, limit, trusted)) = trial.map(Trial::proved) {
            line["learned"] = limit.to_string().into();
            self.learned.push((school.to_owned(), mis, limit, trusted));
        }
    }

    /// Records a failed job of one event. The event's id is in the job's key, so this works for a job that cannot be read.
    pub(super) fn fail(&mut self, job: &ClaimedJob, next: Next) {
        let event = event_of_key(&job.key).map(|(_, event)| event.to_owned());
        self.fail_events(job, event, next);
    }

    /// Records a failed job of these events.
    pub(super) fn fail_events(
        &mut self,
        job: &ClaimedJob,
        events: impl IntoIterator<Item = String>,
        next: Next,
    ) {
        let events = events
            .into_iter()
            .map(|event| (job.partition.clone(), event));
        self.failed.push(FailedJob {
            lease: job.lease,
            events: events.collect(),
            next,
        });
    }

    /// Whether the effects settle this job.
    pub(super) fn settle(&self, job: &ClaimedJob) -> bool {
        self.done.contains(&job.lease) || self.failed.iter().any(|failed| failed.lease == job.lease)
    }

    /// Writes everything in one transaction, and retries for a while if the database fails.
    ///
    /// # Errors
    /// Returns an error if a job was taken over by another node or the database keeps failing; then nothing was written.
    pub(super) async fn commit(&self, store: &Store, retry_for: Duration) -> outbox::Result<()> {
        self.commit_again(store, retry_for, false).await
    }

    /// Does so after a transaction that failed, or that may have been committed.
    pub(super) async fn commit_again(
        &self,
        store: &Store,
        retry_for: Duration,
        mut may_be_committed: bool,
    ) -> outbox::Result<()> {
        let until = Instant::now() + retry_for;
        loop {
            match self.write_alone(store).await {
                // The commit whose answer was lost has closed these jobs.
                Err(error) if may_be_committed && error.kind() == ErrorKind::Lost => return Ok(()),
                Err(error) if error.recovery() != Recovery::Never && Instant::now() < until => {
                    may_be_committed |= error.recovery() == Recovery::Unknown;
                    tracing::warn!(%error, "the database did not commit a step; it is tried again");
                    tokio::time::sleep(RETRY_COMMIT).await;
                }
                done => return done,
            }
        }
    }

    /// Writes everything in one transaction.
    pub(super) async fn write_alone(&self, store: &Store) -> outbox::Result<()> {
        let mut tx = store.database().begin().await?;
        let (news, parts) = self.write(store, &mut tx).await?;
        tx.commit().await?;
        store.snapshots_committed(&parts);
        metrics::news(&news);
        metrics::accepted(self.accepted_after.iter().copied());
        metrics::confirmed(self.confirmed_after.iter().copied());
        Ok(())
    }

    /// Writes everything in the given transaction. Returns the updates of events, and the parts of snapshots to report to
    /// [`Store::snapshots_committed`] after the commit.
    pub(super) async fn write(
        &self,
        store: &Store,
        tx: &mut Tx,
    ) -> outbox::Result<(Vec<EventUpdate>, WrittenParts)> {
        store.outbox().complete(tx, &self.done).await?.all()?;
        store.update_events(tx, &self.events).await?;
        let superseded = self.supersede_held(store, tx).await?;
        store.audit(tx, &self.audit).await?;
        let parts = store.keep_snapshots(tx, &self.snapshots).await?;
        let mut changes = self.ledger.clone();
        changes.extend(self.resent.iter().map(Resend::claim_place));
        let forget =
            |(key, event): &(LedgerKey, String)| (key.clone(), Change::Forget(event.clone()));
        changes.extend(superseded.iter().map(forget));
        let mut applied = store.change_ledger(tx, &changes).await?;
        let in_place = applied.split_off(self.ledger.len());
        store.learn(tx, &self.learned).await?;
        let (followed, follow): (Vec<_>, Vec<_>) = self.followed.iter().cloned().unzip();
        store.follow_writebacks(tx, &followed).await?;
        for outage in &self.outages {
            outage.pause(store, tx).await?;
        }
        let failed = self.settle_failed(store, tx).await?;
        let mut follow = follow;
        let settled = self.events.iter().chain(&failed).filter_map(settled_key);
        let mut withdrawn = settle_withdrawn(store, tx, settled.collect(), &mut follow).await?;
        let queued = self.enqueue(store, tx, &in_place, follow).await?;
        let settled = queued.iter().filter_map(settled_key);
        withdrawn.extend(settle_withdrawn(store, tx, settled.collect(), &mut Vec::new()).await?);
        let superseded = superseded
            .iter()
            .map(|(key, event)| EventUpdate::of(&key.school, event).state(EventState::Superseded));
        let events = self.events.iter().cloned();
        // What became of a withdrawn event takes the place of the state that led to it.
        let of = |update: &EventUpdate| (update.school.clone(), update.id.clone());
        let replaced: HashSet<EventKey> = withdrawn.iter().map(of).collect();
        let news = events.chain(superseded).chain(failed).chain(queued);
        let news = news.filter(|update| !replaced.contains(&of(update)));
        let news: Vec<_> = news.chain(withdrawn).collect();
        store.publish_outcomes(tx, &news).await?;
        Ok((news, parts))
    }

    /// A newly planned mark takes the place of one of the same session that waits for release, held itself or not.
    async fn supersede_held(
        &self,
        store: &Store,
        tx: &mut Tx,
    ) -> outbox::Result<Vec<(LedgerKey, String)>> {
        let planned = self
            .planned
            .iter()
            .filter_map(|(key, job)| Some((key, event_of_key(&job.key)?.1)));
        let held = self
            .held
            .iter()
            .map(|(key, event, _)| (key, event.as_str()));
        let by: Vec<_> = planned.chain(held).collect();
        store.supersede_held(tx, &by, SUPERSEDED).await
    }

    /// Retries, pauses or dead-letters the failed jobs and tells their events why. Returns the updates.
    async fn settle_failed(&self, store: &Store, tx: &mut Tx) -> outbox::Result<Vec<EventUpdate>> {
        let outbox = store.outbox();
        let mut updates = Vec::new();
        for SameNext {
            next,
            leases,
            events,
        } in by_next(&self.failed)
        {
            let settled = match next {
                Next::Retry { when, why } => outbox.retry(tx, &leases, *when, why).await?,
                Next::Pause {
                    key,
                    length,
                    why,
                    needs_operator,
                } => {
                    tracing::warn!(%key, seconds = length.as_secs(), why, "paused; its jobs wait");
                    store.pause(tx, key, *length, why, *needs_operator).await?;
                    outbox.release(tx, &leases).await?
                }
                Next::Fail { why } => outbox.dead_letter(tx, &leases, why).await?,
            };
            settled.all()?;
            updates.extend(events.into_iter().map(|(school, id)| {
                let update = EventUpdate::of(school, id);
                match next {
                    Next::Fail { why } => update.state(EventState::Failed).outcome(why.clone()),
                    Next::Retry { why, .. } | Next::Pause { why, .. } => {
                        update.waiting(why.clone())
                    }
                }
            }));
        }
        store.update_events(tx, &updates).await?;
        Ok(updates)
    }

    /// Adds the new jobs. A refused mark goes again only if the ledger still has it `in_place`: otherwise it would overtake
    /// a newer one. Nobody can plan a newer one meanwhile, for the ledger's rows are locked. Returns the updates of events.
    async fn enqueue(
        &self,
        store: &Store,
        tx: &mut Tx,
        in_place: &[bool],
        follow: Vec<NewJob>,
    ) -> outbox::Result<Vec<EventUpdate>> {
        let (mut keys, mut jobs): (Vec<_>, Vec<_>) = self
            .planned
            .iter()
            .map(|(key, job)| (key, job.clone()))
            .unzip();
        let (mut updates, mut changes) = (Vec::new(), Vec::new());
        for (resend, in_place) in self.resent.iter().zip(in_place) {
            if *in_place {
                keys.push(&resend.key);
                jobs.push(resend.job.clone());
                updates.push(resend.queued());
                changes.extend(resend.new_plan());
            } else {
                updates.push(resend.superseded());
            }
        }
        jobs.extend(follow);
        jobs.extend(self.held.iter().map(|(.., job)| job.clone()));
        let receipt = store.outbox().enqueue(tx, &jobs).await?;
        for old in &receipt.superseded {
            let Some((school, event)) = event_of_key(&old.key) else {
                continue;
            };
            updates.push(
                EventUpdate::of(school, event)
                    .state(EventState::Superseded)
                    .outcome(SUPERSEDED),
            );
            // It was never sent, or a decision has waited until that was known.
            let by = receipt.jobs.iter().position(|job| job.id() == old.by);
            if let Some(key) = by.and_then(|place| keys.get(place)) {
                changes.push(((*key).clone(), Change::Forget(event.to_owned())));
            }
        }
        store.update_events(tx, &updates).await?;
        store.change_ledger(tx, &changes).await?;
        Ok(updates)
    }
}

/// The event of an update that ends it, for now.
fn settled_key(update: &EventUpdate) -> Option<EventKey> {
    let settled = update.state.is_some_and(EventState::is_final);
    settled.then(|| (update.school.clone(), update.id.clone()))
}

/// Withdrawn events whose states have settled: now that the outcome of its mark is known, the repair of one begins, with a
/// job in `jobs`; the other has nothing left to repair, or has been repaired. Returns the updates.
async fn settle_withdrawn(
    store: &Store,
    tx: &mut Tx,
    settled: Vec<EventKey>,
    jobs: &mut Vec<NewJob>,
) -> outbox::Result<Vec<EventUpdate>> {
    let mut updates = Vec::new();
    for event in store.withdrawn_among(tx, &settled).await? {
        let key = (event.school.as_str(), event.id.as_str());
        let update = EventUpdate::of(&event.school, &event.id);
        match (event.state, &event.repair) {
            (
                EventState::Confirmed | EventState::Unconfirmed | EventState::Failed,
                Some(repair),
            ) => {
                store.begin_repair(tx, key).await?;
                jobs.push(repair.job(&event.school, &event.id, event.round + 1));
                updates.push(update.state(EventState::Received));
            }
            (EventState::Rejected, Some(_)) => {
                store.end_withdrawn(tx, key, NOT_THERE, true).await?;
                updates.push(update.state(EventState::Withdrawn));
            }
            (EventState::Confirmed, None) => {
                store.end_withdrawn(tx, key, REPAIRED, true).await?;
                updates.push(update.state(EventState::Withdrawn));
            }
            (EventState::Skipped | EventState::Superseded, _) => {
                store.end_withdrawn(tx, key, NOTHING_LEFT, true).await?;
                updates.push(update.state(EventState::Withdrawn));
            }
            _ => {}
        }
    }
    Ok(updates)
}

/// Failed jobs that continue in the same way, with their events.
struct SameNext<'a> {
    next: &'a Next,
    leases: Vec<LeaseToken>,
    events: Vec<&'a (String, String)>,
}

/// An error usually fails all marks of a register at once.
fn by_next(failed: &[FailedJob]) -> Vec<SameNext<'_>> {
    let mut all: Vec<SameNext<'_>> = Vec::new();
    for job in failed {
        match all.iter_mut().find(|same| *same.next == job.next) {
            Some(same) => {
                same.leases.push(job.lease);
                same.events.extend(&job.events);
            }
            None => all.push(SameNext {
                next: &job.next,
                leases: vec![job.lease],
                events: job.events.iter().collect(),
            }),
        }
    }
    all
}
