//! Step 3: sends the marks of one school as one register.
//!
//! A mark whose decision is old, or which may have reached Wonde already, is decided again first, with the register read
//! anew.

#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use chrono::{DateTime, Utc};
use mis_core::{
    Ability, Accepted, Capabilities, Error, ErrorKind, Mark, MarkResult, Mis, Receipt, Recovery,
};
use outbox::{ClaimedJob, RetryAt};
use serde_json::json;
use writeback::{DecisionOutcome, Hold};

use super::{
    decide::{ContextReader, Decided, DecisionContext, Look, found_of, is_ours, update_of},
    effects::Effects,
    failure::{
        FailurePolicy, Next, Outage, Panicked, caught, is_longer, panicked_request, panics_of,
        split,
    },
    jobs::{ConfirmJob, SendJob, event_of_key},
    liveness::BatchProgress,
    looks::Looks,
    planned::PlannedMark,
    resend::{Resend, audit_reduced, reduce},
    together::Together,
    worker::WorkerConfig,
};
use crate::{
    lease::{LeaseExpired, WriteLease},
    ledger::Change,
    metrics,
    mirror::MaxAge,
    schools::{Schools, token_key},
    settings::School,
    store::{EventKey, EventState, EventUpdate, LedgerKey, NewSnapshot, Store, StoredEvent},
};

/// Begins the note of a job whose mark may have been written although no answer came.
const NO_ANSWER: &str = "sent, and no answer came";

/// Sends claimed marks.
#[derive(Debug)]
pub(super) struct Sender {
    pub(super) store: Store,
    pub(super) schools: Arc<Schools>,
    pub(super) contexts: ContextReader,
    pub(super) failures: FailurePolicy,
    pub(super) looks: Arc<Looks>,
    pub(super) together: Arc<Together>,
    pub(super) config: WorkerConfig,
}

impl Sender {
    /// Sends one school's claimed marks. What is known of them is committed even if the lease ends or a worker panics.
    pub(super) async fn send(
        &self,
        jobs: Vec<ClaimedJob>,
        lease: &Arc<WriteLease>,
        progress: &BatchProgress<'_>,
    ) -> outbox::Result<()> {
        let Some(school) = jobs.first().map(|job| job.partition.clone()) else {
            return Ok(());
        };
        let mut parts = vec![jobs];
        while let Some(jobs) = parts.pop() {
            let mut batch = Batch::new(self, &school, &jobs);
            match caught(batch.send(jobs.clone(), lease, progress)).await {
                Ok(sent) => {
                    if let Err(LeaseExpired) = sent? {
                        tracing::warn!(%school, "marks were not sent in time; the next worker reads the register first");
                        parts.clear();
                    }
                }
                Err(Panicked) => {
                    let left = jobs
                        .into_iter()
                        .filter(|job| !batch.effects.settle(job))
                        .collect::<Vec<_>>();
                    if batch.in_flight {
                        batch.all_panicked(&left).await?;
                    } else if let Some(job) = split(left, &mut parts) {
                        batch.fail_panicked(&job).await?;
                    }
                }
            }
            let effects = batch.into_effects();
            self.together
                .commit(&school, effects, self.config.lease)
                .await?;
            progress.made();
        }
        Ok(())
    }
}

/// A claimed mark.
struct Outgoing {
    job: ClaimedJob,
    planned: PlannedMark,
}

/// Marks of one school that are sent together, and what has become of them so far.
struct Batch<'a> {
    sender: &'a Sender,
    school_id: &'a str,
    /// How long marks wait that fail now.
    backoff: Duration,
    /// A register is being sent, or its answer is being processed.
    in_flight: bool,
    effects: Effects,
    /// Marks that were decided otherwise than planned, to be stored before they are sent.
    replanned: Effects,
    accepted: BTreeMap<Receipt, Vec<PlannedMark>>,
}

impl<'a> Batch<'a> {
    fn new(sender: &'a Sender, school_id: &'a str, jobs: &[ClaimedJob]) -> Self {
        Self {
            sender,
            school_id,
            backoff: sender.failures.backoff(jobs),
            in_flight: false,
            effects: Effects::default(),
            replanned: Effects::default(),
            accepted: BTreeMap::new(),
        }
    }

    async fn send(
        &mut self,
        jobs: Vec<ClaimedJob>,
        lease: &Arc<WriteLease>,
        progress: &BatchProgress<'_>,
    ) -> outbox::Result<Result<(), LeaseExpired>> {
        let marks = self.read_marks(jobs).await?;
        let school = self.sender.schools.settings_of(self.school_id);
        let Some(school) = school.as_ref() else {
            let why = format!(
                "school {} is no longer in the settings; add it, then retry the event",
                self.school_id
            );
            for one in &marks {
                self.fail(one, Next::Fail { why: why.clone() });
            }
            return Ok(Ok(()));
        };
        let mis = match self.sender.schools.mis(school).await {
            Ok(mis) => mis,
            Err(error) => {
                for one in &marks {
                    self.after_error(school, one, &error);
                }
                return Ok(Ok(()));
            }
        };
        let kept = self
            .sender
            .store
            .limited_capabilities(&school.id, &mis)
            .await?;
        let (stale, mut ready): (Vec<_>, Vec<_>) = marks
            .into_iter()
            .partition(|one| self.is_stale(one) || !fits(&one.planned.mark, kept));
        ready.extend(self.decide_again(school, stale).await?);
        self.keep_replanned().await?;
        // A mark whose writeback was refused, or over which a worker panicked, goes alone and so takes no other with it.
        let (together, alone): (Vec<_>, Vec<_>) = ready
            .into_iter()
            .partition(|one| one.planned.refusals == 0 && panics_of(&one.job) == 0);
        let registers = [together]
            .into_iter()
            .chain(alone.into_iter().map(|one| vec![one]));
        for register in registers.filter(|register| !register.is_empty()) {
            if let Err(over) = self.write(school, &mis, register, lease).await {
                return Ok(Err(over));
            }
            progress.made();
        }
        Ok(Ok(()))
    }

    /// Stores the marks that were decided otherwise than planned, before they are sent: if no answer comes, or this node dies,
    /// the next worker looks in the register for what was sent.
    async fn keep_replanned(&mut self) -> outbox::Result<()> {
        let replanned = std::mem::take(&mut self.replanned);
        if replanned.events.is_empty() {
            return Ok(());
        }
        let retry_for = self.sender.config.lease;
        replanned.commit(&self.sender.store, retry_for).await
    }

    /// Reads the marks of these jobs, and fails the jobs that have none.
    async fn read_marks(&mut self, jobs: Vec<ClaimedJob>) -> outbox::Result<Vec<Outgoing>> {
        let stored = self.stored(&jobs).await?;
        let mut marks = Vec::with_capacity(jobs.len());
        for job in jobs {
            match self.planned(&job, &stored) {
                Some(planned) => marks.push(Outgoing { job, planned }),
                None => {
                    let why = "the stored mark cannot be read; was it written by another version?"
                        .to_owned();
                    self.fail_job(&job, None, Next::Fail { why });
                    let forget = self.forget_unread(&job).await?;
                    self.effects.ledger.extend(forget);
                }
            }
        }
        Ok(marks)
    }

    async fn stored(&self, jobs: &[ClaimedJob]) -> outbox::Result<HashMap<EventKey, StoredEvent>> {
        let keys: Vec<_> = jobs
            .iter()
            .filter_map(|job| {
                Some((
                    self.school_id.to_owned(),
                    job.parse::<SendJob>().ok()?.event,
                ))
            })
            .collect();
        self.sender.store.events_with_plans(&keys).await
    }

    fn planned(
        &self,
        job: &ClaimedJob,
        stored: &HashMap<EventKey, StoredEvent>,
    ) -> Option<PlannedMark> {
        let event = job.parse::<SendJob>().ok()?.event;
        PlannedMark::read(stored.get(&(self.school_id.to_owned(), event))?)
    }

    /// Removes the plan of a job that cannot be read from the ledger.
    async fn forget_unread(&self, job: &ClaimedJob) -> outbox::Result<Option<(LedgerKey, Change)>> {
        let Some((_, event)) = event_of_key(&job.key) else {
            return Ok(None);
        };
        let record = self
            .sender
            .store
            .event(&self.school_id.into(), event)
            .await?;
        let key = record.and_then(|record| record.ledger_key());
        Ok(key.map(|key| (key, Change::Forget(event.to_owned()))))
    }

    /// Whether the register must be read before this mark goes: the mark may be in it, or the decision is old.
    fn is_stale(&self, one: &Outgoing) -> bool {
        let age = self.sender.store.now() - one.planned.planned_at;
        one.job.lapsed
            || is_unanswered(&one.job)
            || one.planned.refusals > 0
            || !one.planned.left_out.is_empty()
            || one.planned.released
            || one.planned.withdrawn
            || is_longer(age, self.sender.config.plan_fresh)
    }

    /// Reads the register anew and decides these marks again. Returns those that are still to be sent, as decided now.
    async fn decide_again(
        &mut self,
        school: &School,
        stale: Vec<Outgoing>,
    ) -> outbox::Result<Vec<Outgoing>> {
        if stale.is_empty() {
            return Ok(stale);
        }
        let keys: Vec<_> = stale
            .iter()
            .map(|one| one.planned.ledger_key(self.school_id))
            .collect();
        let now = self.sender.store.now();
        let contexts = &self.sender.contexts;
        let context = match contexts.read(school, &keys, MaxAge::Since(now)).await? {
            Ok(context) => context,
            Err(error) => {
                for one in &stale {
                    self.after_error(school, one, &error);
                }
                return Ok(Vec::new());
            }
        };
        Ok(stale
            .into_iter()
            .filter_map(|one| self.decide_one_again(&context, one))
            .collect())
    }

    fn decide_one_again(
        &mut self,
        context: &DecisionContext<'_>,
        mut one: Outgoing,
    ) -> Option<Outgoing> {
        let key = one.planned.ledger_key(self.school_id);
        let event = one.planned.event.id.as_str();
        let row = context.ledger.get(&key);
        let forgotten = row.is_none_or(|row| row.mark(event).is_none());
        let newest = row.and_then(|row| row.newest());
        if newest.is_some_and(|newest| {
            newest.event != event && (!forgotten || newest.planned_at > one.planned.planned_at)
        }) {
            self.effects.ledger.push(one.planned.forget(self.school_id));
            self.effects.done.push(one.job.lease);
            let update = self
                .update(&one)
                .state(EventState::Superseded)
                .outcome("a newer mark for the same pupil, date and session has replaced it");
            self.effects.events.push(update);
            return None;
        }
        let register = match context.registers.get(&key.date) {
            Some(Ok(register)) => register,
            unread => {
                let why = match unread {
                    Some(Err(why)) => why,
                    _ => "the register was not read",
                };
                self.retry(&one, why);
                return None;
            }
        };
        let held = register.held(&one.planned.mark.student, one.planned.mark.session);
        if held.is_some_and(|held| {
            is_ours(held, &one.planned.mark, one.planned.planned_at)
                && !row.is_some_and(|row| row.may_be_earlier(held, event))
        }) {
            self.found_in_register(&one, key);
            return None;
        }
        if one.planned.withdrawn && one.planned.repairs.is_none() {
            self.not_again(&one);
            return None;
        }
        let group = context.school.group(&one.planned.group);
        let student = one.planned.mark.student.clone();
        let Decided { decision, snapshot } = context.decide(
            &one.planned.event,
            &student,
            group,
            Some(&key),
            self.sender.store.now(),
            Look::Again(&one.planned),
        );
        if let DecisionOutcome::Wait { why } = &decision.outcome {
            self.retry(&one, why);
            return None;
        }
        let update = update_of(context, &one.planned.event, &student, &decision);
        let snapshot = snapshot.map(|snapshot| NewSnapshot {
            job: one.job.id().0,
            ..snapshot
        });
        if let Some(mark) = decision.planned() {
            let differs = one.planned.mark != mark.mark;
            one.planned.mark = mark.mark.clone();
            one.planned.rule = mark.rule;
            one.planned.dropped.clone_from(&decision.dropped);
            one.planned.found = found_of(&decision);
            one.planned.over = context.seen(&key);
            if one.planned.repairs.is_none() {
                one.planned.before = context.found(&key, &decision);
            }
            if let Some(hold) = &decision.hold {
                self.effects.snapshots.extend(snapshot);
                self.hold(context.school, one, hold, key, update);
                return None;
            }
            // `planned_at` stays: a change that the copy shows since then may be this very mark.
            if forgotten {
                self.effects.ledger.push((key.clone(), one.planned.plan()));
            }
            if differs {
                let replan = Change::Replan(one.planned.ledger_mark(None));
                self.replanned.ledger.push((key, replan));
                self.replanned.events.push(update.plan(&one.planned));
                self.replanned.snapshots.extend(snapshot);
            } else {
                self.effects.events.push(update);
                self.effects.snapshots.extend(snapshot);
            }
            return Some(one);
        }
        self.effects.snapshots.extend(snapshot);
        let more = json!({"why": decision.outcome.to_string()});
        let line = one.planned.audit("not sent", self.school_id, more);
        self.effects.audit.push(line);
        if let DecisionOutcome::Fail { why } = &decision.outcome {
            self.effects.events.push(update);
            self.fail(&one, Next::Fail { why: why.clone() });
        } else {
            self.effects.events.push(update.state(EventState::Skipped));
            self.effects.ledger.push(one.planned.forget(self.school_id));
            self.effects.done.push(one.job.lease);
        }
        None
    }

    /// The event was withdrawn, so its mark is not sent again. One that was sent without a response may be in the MIS.
    fn not_again(&mut self, one: &Outgoing) {
        let in_doubt = is_unanswered(&one.job) || one.job.lapsed;
        let (state, why) = if in_doubt {
            let why = "the event was withdrawn; its mark was sent without a response, and the register does not show it";
            (EventState::Unconfirmed, why)
        } else {
            self.effects.ledger.push(one.planned.forget(self.school_id));
            let why = "the event was withdrawn; its mark is not sent";
            (EventState::Withdrawn, why)
        };
        self.effects.done.push(one.job.lease);
        let line = one
            .planned
            .audit("not sent", self.school_id, json!({"why": why}));
        self.effects.audit.push(line);
        let update = self.update(one).state(state).outcome(why);
        self.effects.events.push(update);
    }

    /// Holds a mark after all: somebody else has entered one meanwhile, or the settings have changed.
    fn hold(
        &mut self,
        school: &School,
        mut one: Outgoing,
        hold: &Hold,
        key: LedgerKey,
        update: EventUpdate,
    ) {
        let change = (key, |planned: &PlannedMark| {
            Change::Hold(planned.event.id.clone())
        });
        let now = self.sender.store.now();
        self.effects
            .hold(&mut one.planned, hold, change, update, now, school.timezone);
        self.effects.done.push(one.job.lease);
    }

    async fn write(
        &mut self,
        school: &School,
        mis: &Mis,
        register: Vec<Outgoing>,
        lease: &Arc<WriteLease>,
    ) -> Result<(), LeaseExpired> {
        let marks: Vec<Mark> = register
            .iter()
            .map(|one| one.planned.mark.clone())
            .collect();
        let sent_at = self.sender.store.now();
        self.in_flight = true;
        let written = match caught(lease.write(mis.write(&marks))).await {
            Ok(Ok(written)) => written,
            Ok(Err(over)) => {
                self.in_flight = false;
                return Err(over);
            }
            Err(Panicked) => {
                for one in &register {
                    self.panicked(&one.job, Some(&one.planned));
                }
                self.in_flight = false;
                return Ok(());
            }
        };
        let mis = mis.descriptor().id;
        match written {
            Ok(results) => {
                metrics::sent(marks.len());
                for (one, result) in register.iter().zip(results) {
                    match result {
                        MarkResult::Accepted(accepted) => self.accept(one, &accepted, sent_at),
                        MarkResult::Written => self.written(one, sent_at),
                        MarkResult::Refused(error) => {
                            self.refuse(school, mis, one, &error, sent_at);
                        }
                        // It was held back, and the next worker reads the register first.
                        MarkResult::Failed(_) if lease.is_over() => {}
                        MarkResult::Failed(error) => self.after_error(school, one, &error),
                    }
                }
            }
            Err(_) if lease.is_over() => {}
            Err(error) => {
                for one in &register {
                    match error.kind() {
                        ErrorKind::Unsupported(_) | ErrorKind::InvalidMark => {
                            self.refuse(school, mis, one, &error, sent_at);
                        }
                        _ => self.after_error(school, one, &error),
                    }
                }
            }
        }
        self.in_flight = false;
        if lease.is_over() {
            return Err(LeaseExpired);
        }
        Ok(())
    }

    fn accept(&mut self, one: &Outgoing, accepted: &Accepted, sent_at: DateTime<Utc>) {
        let planned = &one.planned;
        self.effects.done.push(one.job.lease);
        let update = self.update(one).plan(planned);
        self.effects.events.push(EventUpdate {
            state: Some(EventState::Accepted),
            writeback: Some(accepted.receipt.to_string()),
            lesson: accepted.lesson.as_ref().map(ToString::to_string),
            sent_ms: Some(sent_at.timestamp_millis()),
            ..update
        });
        let mut more = json!({"writeback_id": accepted.receipt, "lesson": accepted.lesson, "sent_at": sent_at});
        let trial = planned.trial.as_ref().filter(|trial| trial.at_once);
        self.effects.learn(self.school_id, trial, &mut more);
        let line = planned.audit("accepted", self.school_id, more);
        self.effects.audit.push(line);
        let mark = planned.ledger_mark(Some(sent_at));
        let key = planned.ledger_key(self.school_id);
        self.effects.ledger.push((key, Change::Accept(mark)));
        let register = self.accepted.entry(accepted.receipt.clone());
        register.or_default().push(planned.clone());
    }

    /// The MIS has the mark already, so there is nothing to follow.
    fn written(&mut self, one: &Outgoing, sent_at: DateTime<Utc>) {
        let planned = &one.planned;
        self.effects.done.push(one.job.lease);
        let update = self.update(one).plan(planned);
        self.effects.events.push(EventUpdate {
            sent_ms: Some(sent_at.timestamp_millis()),
            ..update
                .state(EventState::Confirmed)
                .outcome("the MIS wrote it at once")
        });
        let mut more = json!({"by": "the MIS's answer", "sent_at": sent_at});
        self.effects
            .learn(self.school_id, planned.trial.as_ref(), &mut more);
        let line = planned.audit("confirmed", self.school_id, more);
        self.effects.audit.push(line);
        let mark = planned.ledger_mark(Some(sent_at));
        let key = planned.ledger_key(self.school_id);
        self.effects
            .ledger
            .push((key.clone(), Change::Accept(mark)));
        let event = planned.event.id.clone();
        self.effects.ledger.push((key, Change::Confirm(event)));
        let received = planned.received_at;
        self.effects.confirmed_after.push(sent_at - received);
    }

    /// Wonde refused a mark as it is. It may take it without its comment or its minutes late.
    fn refuse(
        &mut self,
        school: &School,
        mis: &str,
        one: &Outgoing,
        error: &Error,
        sent_at: DateTime<Utc>,
    ) {
        let outcome = match error.server_message() {
            Some(message) => format!("{error}; Wonde said: {message}"),
            None => error.to_string(),
        };
        self.effects.done.push(one.job.lease);
        let next = (error.kind() == ErrorKind::Refused)
            .then(|| reduce(&one.planned, mis, error.server_message(), true, false))
            .flatten();
        if let Some(next) = next {
            let more = json!({"sent_at": sent_at});
            let line = audit_reduced(self.school_id, &one.planned, &next, &outcome, more);
            self.effects.audit.push(line);
            self.effects
                .resent
                .push(Resend::reduced(school, next, None));
            return;
        }
        self.effects.ledger.push(one.planned.forget(self.school_id));
        let more = json!({"why": outcome, "sent_at": sent_at});
        let line = one.planned.audit("refused", self.school_id, more);
        self.effects.audit.push(line);
        let update = self.update(one);
        self.effects.events.push(EventUpdate {
            sent_ms: Some(sent_at.timestamp_millis()),
            ..update.state(EventState::Rejected).outcome(outcome)
        });
    }

    /// The register read again shows the mark.
    fn found_in_register(&mut self, one: &Outgoing, key: LedgerKey) {
        self.effects.done.push(one.job.lease);
        let change = Change::Confirm(one.planned.event.id.clone());
        self.effects.ledger.push((key, change));
        let more = json!({"by": "the register read back"});
        let line = one.planned.audit("confirmed", self.school_id, more);
        self.effects.audit.push(line);
        let update = self
            .update(one)
            .state(EventState::Confirmed)
            .outcome("the register shows it; it was read back because no response was received");
        self.effects.events.push(update);
    }

    /// A worker panicked while the register was in flight: the outcome of these jobs is unknown.
    async fn all_panicked(&mut self, jobs: &[ClaimedJob]) -> outbox::Result<()> {
        let stored = self.stored(jobs).await?;
        for job in jobs {
            let planned = self.planned(job, &stored);
            self.panicked(job, planned.as_ref());
        }
        Ok(())
    }

    /// A worker panicked over this job before anything was sent.
    async fn fail_panicked(&mut self, job: &ClaimedJob) -> outbox::Result<()> {
        let stored = self.stored(std::slice::from_ref(job)).await?;
        let planned = self.planned(job, &stored);
        let next = self.sender.failures.after_panic(job);
        self.fail_job(job, planned.as_ref(), next);
        Ok(())
    }

    fn panicked(&mut self, job: &ClaimedJob, planned: Option<&PlannedMark>) {
        let (error, is_last) = panicked_request(job);
        match planned {
            _ if is_last => {
                let why = error.to_string();
                self.fail_job(job, planned, Next::Fail { why });
            }
            Some(planned) => self.unknown(job, planned, &error),
            None => self.fail_job(job, None, self.sender.failures.after_panic(job)),
        }
    }

    /// The request was sent and its outcome is unknown.
    fn unknown(&mut self, job: &ClaimedJob, planned: &PlannedMark, error: &Error) {
        let sent_at = self.sender.store.now();
        let why = format!("{NO_ANSWER} ({error})");
        let more = json!({"why": why, "sent_at": sent_at});
        let line = planned.audit("sent", self.school_id, more);
        self.effects.audit.push(line);
        self.effects.events.push(EventUpdate {
            sent_ms: Some(sent_at.timestamp_millis()),
            ..EventUpdate::of(self.school_id, &planned.event.id).state(EventState::Sent)
        });
        let wait = self.sender.config.look_after.saturating_add(self.backoff);
        let when = RetryAt::After(wait);
        self.fail_job(job, Some(planned), Next::Retry { when, why });
    }

    fn after_error(&mut self, school: &School, one: &Outgoing, error: &Error) {
        if self.effects.outages.is_empty() {
            let outage = Outage::of(error, school, self.backoff);
            self.effects.outages.extend(outage);
        }
        if error.recovery() == Recovery::Unknown {
            return self.unknown(&one.job, &one.planned, error);
        }
        let failures = &self.sender.failures;
        let next = failures.limit(&one.job, failures.after(error, school, self.backoff));
        self.fail(one, next);
    }

    fn retry(&mut self, one: &Outgoing, why: &str) {
        let next = Next::Retry {
            when: RetryAt::After(self.backoff),
            why: why.to_owned(),
        };
        self.fail(one, self.sender.failures.limit(&one.job, next));
    }

    fn fail(&mut self, one: &Outgoing, next: Next) {
        self.fail_job(&one.job, Some(&one.planned), next);
    }

    /// Records a failed job, which may be one whose mark cannot be read.
    fn fail_job(&mut self, job: &ClaimedJob, planned: Option<&PlannedMark>, mut next: Next) {
        // However often it is put off, the note keeps that the mark may have been written.
        if let Next::Retry { why, .. } | Next::Pause { why, .. } = &mut next
            && is_unanswered(job)
            && !why.starts_with(NO_ANSWER)
        {
            *why = format!("{NO_ANSWER}; and now: {why}");
        }
        if let (Next::Fail { .. }, Some(planned)) = (&next, planned) {
            self.effects.ledger.push(planned.forget(self.school_id));
        }
        self.effects.fail(job, next);
    }

    fn update(&self, one: &Outgoing) -> EventUpdate {
        EventUpdate::of(self.school_id, &one.planned.event.id)
    }

    /// The effects, with a job for each accepted register that follows it.
    fn into_effects(mut self) -> Effects {
        let now = self.sender.store.now();
        let school = self.sender.schools.settings_of(self.school_id);
        let token_key = school.as_ref().map(token_key).unwrap_or_default();
        for (writeback, marks) in self.accepted {
            let received = marks.iter().map(|planned| now - planned.received_at);
            self.effects.accepted_after.extend(received);
            let confirm = ConfirmJob {
                writeback,
                accepted_at: now,
                events: marks.into_iter().map(|planned| planned.event.id).collect(),
                settled: BTreeSet::new(),
                in_doubt: false,
            };
            let writeback = confirm.writeback.as_str();
            let first = self.sender.looks.first(self.school_id, writeback, now);
            let job = confirm.new_job(self.school_id, &token_key, first);
            let followed = confirm.followed_by(self.school_id, &job);
            self.effects.followed.push((followed, job));
        }
        self.effects
    }
}

fn is_unanswered(job: &ClaimedJob) -> bool {
    let note = job.note.as_deref();
    note.is_some_and(|note| note.starts_with(NO_ANSWER))
}

/// Whether the school keeps everything in the mark; what it did not keep when the mark was planned is not in it.
fn fits(mark: &Mark, kept: Capabilities) -> bool {
    let comment = mark.comment.as_ref().is_none_or(|comment| {
        let length = comment.chars().count();
        kept.has(Ability::Comment)
            && kept
                .comment_max
                .is_none_or(|max| length <= usize::from(max))
    });
    comment && (mark.minutes_late.is_none() || kept.has(Ability::MinutesLate))
}
