//! Step 2: decides what each event means for the register, by the rules of its person's group.
//!
//! A batch holds events of many schools. Each school is decided in a task of its own, with what the rules need read once;
//! schools that are decided at about the same time are committed together.

mod context;
pub(crate) mod preview;
pub(crate) mod view;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use chrono::{DateTime, Utc};
use mis_core::{EventKind, HeldCode, StudentId};
use outbox::{ClaimedJob, LeaseToken, RetryAt};
use roster::PersonMatch;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use writeback::{Arrival, Decision, DecisionOutcome, Event, Previous};

use super::{
    effects::Effects,
    failure::{FailurePolicy, Next, Outage, Panicked, caught, doubled, later, split},
    gathering::{Gathering, gathered_already},
    jobs::{DecideJob, SendJob},
    liveness::BatchProgress,
    planned::PlannedMark,
    worker::WorkerConfig,
};
use crate::{
    ledger::{Change, LedgerMark, LedgerRow, Stage},
    mirror::MaxAge,
    people::{PersonIndex, person_of, several},
    schools::{Schools, token_key},
    settings::{Group, School},
    store::{EventState, EventUpdate, LedgerKey, NewSnapshot, Store},
};

pub(crate) use context::school_day;
pub(super) use context::{ContextReader, Decided, DecisionContext, Look};
pub(super) use view::is_ours;

/// How long the first schools of a batch to be decided wait for the others.
const COMMIT_TOGETHER: Duration = Duration::from_millis(20);
/// About how many events of several schools are decided in one transaction; those of one school in a batch are not divided.
/// Intake waits for it on SQLite.
const EVENTS_AT_ONCE: usize = 100;
/// The codes of a pupil whom the school looks for: no reason is known yet, or there is none.
const MISSED: [&str; 2] = ["N", "O"];
/// The longest wait before an undecidable event's register is looked at again.
const LOOK_AGAIN_AT_MOST: Duration = Duration::from_secs(60);
const UNREADABLE: &str = "the event was withdrawn, and its stored mark cannot be read; was it written by another version? Look into \
     the MIS and put the mark right there, then discard the event";
/// The longest wait before it is checked again whether a school's people have been read.
const PEOPLE_RETRY: Duration = Duration::from_secs(5);

/// Decides claimed events.
#[derive(Debug)]
pub(super) struct Decider {
    pub(super) store: Store,
    pub(super) schools: Arc<Schools>,
    pub(super) people: Arc<PersonIndex>,
    pub(super) contexts: ContextReader,
    pub(super) failures: FailurePolicy,
    pub(super) config: WorkerConfig,
    /// The longest that a mark waits for others of its school.
    pub(super) gathering: Arc<Gathering>,
}

/// A claimed job with its event; the event is missing if it cannot be read.
#[derive(Clone)]
struct ClaimedEvent {
    job: ClaimedJob,
    event: Option<Event>,
    round: u32,
    /// Whether the mark of the event, which was withdrawn, is to be repaired.
    repairs: bool,
    /// The mark to repair.
    planned: Option<PlannedMark>,
}

/// An event whose person is known.
struct Case<'a> {
    job: ClaimedJob,
    event: Event,
    round: u32,
    student: StudentId,
    group: Option<&'a Group>,
    key: Option<LedgerKey>,
    /// The mark to repair, if the event was withdrawn.
    repaired: Option<PlannedMark>,
}

impl Decider {
    /// Decides claimed events and commits the decisions.
    pub(super) async fn decide(
        self: &Arc<Self>,
        jobs: Vec<ClaimedJob>,
        progress: &BatchProgress<'_>,
    ) -> outbox::Result<()> {
        let mut by_school: BTreeMap<String, Vec<ClaimedEvent>> = BTreeMap::new();
        for claimed in self.read_events(jobs).await? {
            let school = claimed.job.partition.clone();
            by_school.entry(school).or_default().push(claimed);
        }
        // Tasks, not futures: a future that is not polled while another's decision is committed would keep its database
        // connection, or a lock, from all the others.
        let mut deciding = JoinSet::new();
        let mut undecided = BTreeSet::new();
        let mut panicked = Vec::new();
        let known_slow = self.schools.slow();
        // Only one batch waits for a school that does not answer. Slow schools are not claimed for; these have become slow
        // since.
        let (slow_since, by_school): (Vec<_>, Vec<_>) = by_school
            .into_iter()
            .partition(|(school, _)| known_slow.contains(school));
        self.hand_back(slow_since.iter().flat_map(|(_, events)| events))
            .await;
        for (school, events) in by_school {
            undecided.insert(school.clone());
            let decider = self.clone();
            deciding.spawn(async move {
                let decided = caught(decider.decide_school(&school, events.clone())).await;
                (school, decided.map_err(|Panicked| events))
            });
        }
        // A school that does not answer delays no other's commit.
        let (mut patience, mut slow) = (COMMIT_TOGETHER, None);
        while !deciding.is_empty() {
            let mut all: Option<Effects> = None;
            let enough = tokio::time::sleep(patience);
            tokio::pin!(enough);
            while all
                .as_ref()
                .is_none_or(|all| all.events.len() < EVENTS_AT_ONCE)
            {
                tokio::select! {
                    next = deciding.join_next() => match next {
                        Some(Ok((school, decided))) => {
                            undecided.remove(&school);
                            match decided {
                                Ok(effects) => all.get_or_insert_default().add(effects?),
                                Err(events) => panicked.push((school, events)),
                            }
                        }
                        // The task was ended with the service.
                        Some(Err(_)) => {}
                        None => break,
                    },
                    () = &mut enough => break,
                }
            }
            if let Some(effects) = all {
                self.commit(&effects, progress).await?;
            }
            if enough.is_elapsed() || slow.is_some() {
                drop(slow.take());
                slow = Some(self.schools.waited_for(undecided.iter().cloned().collect()));
                patience = COMMIT_TOGETHER * 10;
            }
        }
        drop(slow);
        for (school, events) in panicked {
            self.decide_in_halves(&school, events, progress).await?;
        }
        Ok(())
    }

    async fn read_events(&self, jobs: Vec<ClaimedJob>) -> outbox::Result<Vec<ClaimedEvent>> {
        let parsed: Vec<_> = jobs
            .iter()
            .map(|job| job.parse::<DecideJob>().ok())
            .collect();
        let keys: Vec<_> = jobs
            .iter()
            .zip(&parsed)
            .filter_map(|(job, parsed)| {
                Some((job.partition.clone(), parsed.as_ref()?.event.clone()))
            })
            .collect();
        let stored = self.store.events_with_plans(&keys).await?;
        let claimed = jobs.into_iter().zip(parsed).map(|(job, parsed)| {
            let round = parsed.as_ref().map_or(0, |parsed| parsed.round);
            let stored =
                parsed.and_then(|parsed| stored.get(&(job.partition.clone(), parsed.event)));
            let repairs = stored.is_some_and(|stored| stored.repairs);
            ClaimedEvent {
                job,
                event: stored.and_then(|stored| serde_json::from_str(&stored.body).ok()),
                round,
                repairs,
                planned: stored.filter(|_| repairs).and_then(PlannedMark::read),
            }
        });
        Ok(claimed.collect())
    }

    /// Hands events back as if they had not been claimed.
    async fn hand_back(&self, events: impl Iterator<Item = &ClaimedEvent>) {
        let held: Vec<LeaseToken> = events.map(|claimed| claimed.job.lease).collect();
        if held.is_empty() {
            return;
        }
        let hand_back = async {
            let mut tx = self.store.database().begin().await?;
            let _ = self.store.outbox().release(&mut tx, &held).await?;
            tx.commit().await
        };
        if let Err(error) = hand_back.await {
            tracing::warn!(%error, "events could not be released; they become available when their lease expires");
        }
    }

    /// Decides a batch over which a worker panicked in ever smaller parts, so that only the event that caused the panic is
    /// held up. Each part is committed before the next is begun.
    async fn decide_in_halves(
        &self,
        school: &str,
        events: Vec<ClaimedEvent>,
        progress: &BatchProgress<'_>,
    ) -> outbox::Result<()> {
        let mut parts = Vec::new();
        let mut panicked = Some(events);
        loop {
            let effects = if let Some(events) = panicked.take() {
                let Some(alone) = split(events, &mut parts) else {
                    continue;
                };
                let mut effects = Effects::default();
                effects.fail(&alone.job, self.failures.after_panic(&alone.job));
                effects
            } else if let Some(part) = parts.pop() {
                match caught(self.decide_school(school, part.clone())).await {
                    Ok(effects) => effects?,
                    Err(Panicked) => {
                        panicked = Some(part);
                        continue;
                    }
                }
            } else {
                return Ok(());
            };
            self.commit(&effects, progress).await?;
        }
    }

    async fn commit(&self, effects: &Effects, progress: &BatchProgress<'_>) -> outbox::Result<()> {
        effects.commit(&self.store, self.config.lease).await?;
        progress.made();
        Ok(())
    }

    async fn decide_school(
        &self,
        school: &str,
        events: Vec<ClaimedEvent>,
    ) -> outbox::Result<Effects> {
        let mut effects = Effects::default();
        let settings = self.schools.settings_of(school);
        let Some(settings) = settings.as_ref() else {
            for claimed in &events {
                let why = format!(
                    "school {school} is no longer in the settings; add it, then retry the event"
                );
                effects.fail(&claimed.job, Next::Fail { why });
            }
            return Ok(effects);
        };
        let read = events.iter().filter_map(|claimed| claimed.event.as_ref());
        let ids = read.map(|event| event.person.as_str()).collect();
        let by = &settings.persons.by;
        let Some(directory) = self.people.owners(&settings.id, &ids, by).await? else {
            let mut why = "the school's people have not been read yet".to_owned();
            if let Some(error) = self.store.sync_error(&settings.id).await? {
                why = format!("{why}: {error}");
            }
            let wait = PEOPLE_RETRY.min(self.config.backoff_max);
            for claimed in &events {
                self.retry(&mut effects, &claimed.job, wait, &why);
            }
            return Ok(effects);
        };
        let mut cases = Vec::with_capacity(events.len());
        for claimed in events {
            if claimed.repairs {
                match self.repair_case(settings, &claimed) {
                    Some(case) => cases.push(case),
                    None => effects.fail(
                        &claimed.job,
                        Next::Fail {
                            why: UNREADABLE.to_owned(),
                        },
                    ),
                }
                continue;
            }
            let ClaimedEvent {
                job, event, round, ..
            } = claimed;
            let found = match event {
                None => Err(
                    "the stored event cannot be read; was it written by another version?"
                        .to_owned(),
                ),
                Some(event) => match person_of(settings, &directory, &event) {
                    PersonMatch::One(entry) => Ok((event, entry)),
                    PersonMatch::Nobody => Err("no person at the school has this id; sync the groups, then retry the event".to_owned()),
                    PersonMatch::Several(people) => {
                        let (message, help) = several(&people);
                        Err(format!("{message}; {help}"))
                    }
                },
            };
            let (event, entry) = match found {
                Ok(found) => found,
                Err(why) => {
                    effects.fail(&job, Next::Fail { why });
                    continue;
                }
            };
            let group = entry.group.as_deref().and_then(|name| settings.group(name));
            // The sync that follows a change of the groups says in which of them everybody is now.
            if group.is_none() && entry.group.is_some() && !settings.groups.is_empty() {
                let why =
                    "the school's groups have changed, and its people are not read by them yet";
                self.retry(
                    &mut effects,
                    &job,
                    PEOPLE_RETRY.min(self.config.backoff_max),
                    why,
                );
                continue;
            }
            let student = StudentId::from(entry.id.as_str());
            let session = group
                .and_then(|group| group.rules.as_ref())
                .and_then(|rules| rules.session_of(event.at, settings.timezone));
            let key = session.map(|(date, session)| LedgerKey {
                school: school.to_owned(),
                student: student.clone(),
                date,
                session,
            });
            cases.push(Case {
                job,
                event,
                round,
                student,
                group,
                key,
                repaired: None,
            });
        }
        // An operator who has fixed something and retries an event need not wait until what was read before expires.
        let retried = cases.iter().filter(|case| case.round > 0);
        if let Some(at) = retried.map(|case| case.job.enqueued_at).max() {
            self.schools.forget_before(&settings.id, at).await;
            self.contexts.mirror.forget_before(&settings.id, at).await;
        }
        let mut previous = self.previous_events(school, &cases).await?;
        let backoff = self.failures.backoff(cases.iter().map(|case| &case.job));
        let context = match self.context(settings, &cases, &previous).await? {
            Ok(context) => context,
            Err(error) => {
                let next = self.failures.after(&error, settings, backoff);
                effects
                    .outages
                    .extend(Outage::of(&error, settings, backoff));
                for case in &cases {
                    let next = self.failures.limit(&case.job, next.clone());
                    effects.fail(&case.job, next);
                }
                return Ok(effects);
            }
        };
        if let Some(error) = &context.unread {
            self.schools.doubt(error, &settings.id);
            effects.outages.extend(Outage::of(error, settings, backoff));
        }
        let mut seen = HashSet::new();
        for case in cases {
            // Deciding many takes a while, and others, such as intake, share the thread.
            tokio::task::yield_now().await;
            // Two events of one pupil meet here only if a sync has found meanwhile that two ids are one person. The later
            // one waits for the outcome of the first.
            if case.key.clone().is_some_and(|key| !seen.insert(key)) {
                let why = "an earlier event of the same pupil is being decided";
                self.retry(&mut effects, &case.job, Duration::from_millis(100), why);
            } else if let Some(wait) = self.may_still_land(&context, &case).await? {
                let why = "an earlier mark of the same session was sent without a response; it may still be in transit";
                self.retry(&mut effects, &case.job, wait, why);
            } else {
                let previous = previous.remove(&case.event.id);
                self.decide_one(&mut effects, &context, case, previous);
            }
        }
        Ok(effects)
    }

    /// What deciding these events needs. The register's changes are only asked for if a decision depends on them.
    async fn context<'s>(
        &self,
        school: &'s School,
        cases: &[Case<'_>],
        previous: &HashMap<String, Previous>,
    ) -> outbox::Result<mis_core::Result<DecisionContext<'s>>> {
        let keys: Vec<_> = cases.iter().filter_map(|case| case.key.clone()).collect();
        let needs_register = |case: &Case<'_>| case.repaired.is_some() || case.round > 0;
        if !cases.iter().any(needs_register) {
            let context = self.contexts.read(school, &keys, MaxAge::Relaxed).await?;
            let suffices = |context: &DecisionContext<'_>| {
                context.is_recent(&self.contexts.mirror)
                    || self.are_decided_by_rules(context, cases, previous)
            };
            if context.as_ref().map_or(true, suffices) {
                return Ok(context);
            }
        }
        self.contexts.read(school, &keys, MaxAge::Window).await
    }

    fn are_decided_by_rules(
        &self,
        context: &DecisionContext<'_>,
        cases: &[Case<'_>],
        previous: &HashMap<String, Previous>,
    ) -> bool {
        let now = self.now();
        cases.iter().all(|case| {
            let Some(key) = &case.key else { return true };
            let (event, previous) = (&case.event, previous.get(&case.event.id).cloned());
            context.is_decided_by_rules(event, &case.student, case.group, key, now, previous)
        })
    }

    /// A withdrawn event whose mark is to be repaired, where that was written: the person or the settings may have changed.
    fn repair_case<'a>(&self, settings: &'a School, claimed: &ClaimedEvent) -> Option<Case<'a>> {
        let planned = claimed.planned.clone()?;
        Some(Case {
            job: claimed.job.clone(),
            event: planned.event.clone(),
            round: claimed.round,
            student: planned.mark.student.clone(),
            group: settings.group(&planned.group),
            key: Some(planned.ledger_key(settings.id.as_str())),
            repaired: Some(planned),
        })
    }

    /// How long an unanswered earlier mark of the session may still be on its way: a newer one sent at once could land
    /// before it, and the older would stand.
    async fn may_still_land(
        &self,
        context: &DecisionContext<'_>,
        case: &Case<'_>,
    ) -> outbox::Result<Option<Duration>> {
        let row = case.key.as_ref().and_then(|key| context.ledger.get(key));
        let newest = row.and_then(|row| row.newest());
        let Some(mark) =
            newest.filter(|mark| mark.stage() == Stage::Planned && mark.event != case.event.id)
        else {
            return Ok(None);
        };
        let earlier = self.store.event(&context.school.id, &mark.event).await?;
        let sent_at = earlier
            .filter(|earlier| earlier.state == EventState::Sent)
            .and_then(|earlier| earlier.sent_at);
        Ok(sent_at
            .and_then(|at| {
                (later(at, self.config.look_after) - self.now())
                    .to_std()
                    .ok()
            })
            .filter(|wait| !wait.is_zero()))
    }

    /// The event before each of these, where the two are close enough for a double tap.
    async fn previous_events(
        &self,
        school: &str,
        cases: &[Case<'_>],
    ) -> outbox::Result<HashMap<String, Previous>> {
        let asked: Vec<_> = cases
            .iter()
            .filter_map(|case| {
                let rules = case.group?.rules.as_ref()?;
                Some((&case.event, rules.shortest_stay()?))
            })
            .collect();
        self.store.events_before(school, &asked).await
    }

    fn decide_one(
        &self,
        effects: &mut Effects,
        context: &DecisionContext<'_>,
        case: Case<'_>,
        previous: Option<Previous>,
    ) {
        let school = context.school.id.as_str();
        let (event, key) = (&case.event, case.key.as_ref());
        let now = self.now();
        let look = match &case.repaired {
            Some(planned) => Look::Repair(planned),
            None => Look::First { previous },
        };
        let Decided { decision, snapshot } =
            context.decide(event, &case.student, case.group, key, now, look);
        if let DecisionOutcome::Wait { why } = &decision.outcome {
            let steps = case.job.attempts().saturating_sub(1).min(10);
            let wait = doubled(self.config.backoff, steps, LOOK_AGAIN_AT_MOST);
            self.retry(effects, &case.job, wait, why);
            return;
        }
        let update = update_of(context, event, &case.student, &decision);
        effects
            .snapshots
            .extend(snapshot.map(|snapshot| NewSnapshot {
                restarts: case.round > 0,
                job: case.job.id().0,
                ..snapshot
            }));
        if let (true, Some(key)) = (decision.arrival, key) {
            let arrival = Arrival {
                event: event.id.clone(),
                at: event.at,
            };
            effects.ledger.push((key.clone(), Change::Arrive(arrival)));
        }
        if let DecisionOutcome::Fail { why } = &decision.outcome {
            effects.events.push(update);
            effects.fail(&case.job, Next::Fail { why: why.clone() });
            return;
        }
        effects.done.push(case.job.lease);
        let (Some(mark), Some(key)) = (decision.planned(), key) else {
            if let (None, Some(key), Some(standing)) = (decision.planned(), key, &decision.standing)
            {
                let change = Change::Stand(standing.clone());
                effects.ledger.push((key.clone(), change));
            }
            let (state, outcome) = match (&case.repaired, &decision.outcome) {
                (Some(_), DecisionOutcome::Skip { detail, .. }) => {
                    (EventState::Withdrawn, Some(detail.clone()))
                }
                _ => (EventState::Skipped, None),
            };
            effects.events.push(EventUpdate {
                outcome,
                ..update.state(state)
            });
            return;
        };
        let against = context.standing_of(Some(key), event);
        let mut planned = PlannedMark {
            event: event.clone(),
            mark: mark.mark.clone(),
            group: case
                .group
                .map(|group| group.name.clone())
                .unwrap_or_default(),
            rule: mark.rule,
            dropped: decision.dropped.clone(),
            found: found_of(&decision),
            planned_at: now,
            refusals: 0,
            left_out: Vec::new(),
            trial: None,
            round: case.round,
            received_at: case.job.enqueued_at,
            standing: decision.standing.clone().unwrap_or_else(|| against.clone()),
            against,
            over: context.seen(key),
            before: context
                .found(key, &decision)
                .filter(|_| case.repaired.is_none()),
            repairs: case.repaired.as_ref().map(|planned| {
                let row = context.ledger.get(key);
                Box::new(first_mark(row, planned))
            }),
            withdrawn: case.repaired.is_some(),
            held: false,
            released: false,
        };
        if let Some(hold) = &decision.hold {
            let change = (key.clone(), PlannedMark::plan);
            let timezone = context.school.timezone;
            effects.hold(&mut planned, hold, change, update, self.now(), timezone);
            return;
        }
        let age = self.now() - case.job.enqueued_at;
        let window = self.gathering.settings().window;
        let already = gathered_already(window, age, is_missed(event, &decision));
        let job = SendJob::new_job(&planned, school, &token_key(context.school)).waited(already);
        effects.planned.push((key.clone(), job));
        effects
            .audit
            .push(planned.audit("planned", school, json!({})));
        effects.ledger.push((key.clone(), planned.plan()));
        effects
            .events
            .push(update.state(EventState::Planned).plan(&planned));
    }

    fn retry(&self, effects: &mut Effects, job: &ClaimedJob, wait: Duration, why: &str) {
        let next = Next::Retry {
            when: RetryAt::After(wait),
            why: why.to_owned(),
        };
        effects.fail(job, self.failures.limit(job, next));
    }

    fn now(&self) -> DateTime<Utc> {
        self.store.now()
    }
}

/// The mark of a withdrawn event that is to be repaired.
fn first_mark(row: Option<&LedgerRow>, planned: &PlannedMark) -> LedgerMark {
    let event = planned.event.id.as_str();
    let kept = row.and_then(|row| row.unrepaired(event).mark(event).cloned());
    kept.unwrap_or_else(|| planned.first_mark())
}

/// Whether the register has the pupil who signs in as missing: somebody may be looking for them, so the mark does not wait
/// for others.
fn is_missed(event: &Event, decision: &Decision) -> bool {
    let found = decision
        .found
        .as_ref()
        .and_then(|found| found.code.as_ref());
    event.kind == EventKind::SignIn
        && matches!(found, Some(HeldCode::Known(code)) if MISSED.contains(&code.as_str()))
}

/// The update that records a decision with its event.
pub(super) fn update_of(
    context: &DecisionContext<'_>,
    event: &Event,
    student: &StudentId,
    decision: &Decision,
) -> EventUpdate {
    let (day, session) = decision.session.unzip();
    EventUpdate {
        student: Some(student.to_string()),
        day: day.map(|day| day.to_string()),
        session: session.map(|session| session.as_str().to_owned()),
        decision: serde_json::to_string(decision).ok(),
        settings: Some(context.settings.clone()),
        ..EventUpdate::of(context.school.id.as_str(), &event.id)
    }
}

/// The register as the decision found it, for the audit trail.
pub(super) fn found_of(decision: &Decision) -> Value {
    decision.found.as_ref().map_or(Value::Null, |found| {
        json!({
            "code": found.code,
            "source": found.source,
            "age_seconds": found.age.map(|age| age.num_seconds()),
        })
    })
}
