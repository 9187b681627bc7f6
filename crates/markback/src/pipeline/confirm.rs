//! Step 4: follows each register that Wonde accepted until the outcome of its marks is known.
//!
//! Wonde's answer about the writeback settles most marks. What it leaves open is looked up in the register read back, and
//! when time is up the mark ends as unconfirmed.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use chrono::{DateTime, Utc};
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use mis_core::{Error, ErrorKind, Mis, Receipt, RefusedMark, WritebackOutcome};
use outbox::{ClaimedJob, RetryAt};
use serde_json::json;

use super::{
    decide::is_ours,
    effects::Effects,
    failure::{FailurePolicy, Next, Panicked, caught, is_longer, later},
    jobs::{ConfirmJob, writeback_of_key},
    looks::{Looks, Seen},
    planned::PlannedMark,
    resend::{Resend, audit_reduced, reduce},
    together::Together,
    worker::WorkerConfig,
};
use crate::{
    ledger::Change,
    mirror::{MaxAge, Mirror},
    schools::{Schools, token_key},
    settings::School,
    store::{EventState, EventUpdate, NewAudit, Store},
};

/// A mark that Wonde accepted and then refused this often is rejected.
const REFUSALS_MAX: u32 = 3;
/// How a mark is known to be in the MIS.
const BY_ANSWER: &str = "Wonde's answer";
const BY_REGISTER: &str = "the register read back";
/// What a mark waits for whose writeback is done with errors that may be about it.
const IN_DOUBT: &str = "Wonde reports the writeback as done with errors that may concern this mark; the register must show it";
/// The outcome of a mark that was overwritten before anybody saw it.
const REPLACED: &str =
    "a newer mark for the same pupil, date and session has replaced it in the MIS";
const UNREADABLE: &str = "the stored writeback cannot be read; was it written by another version?";

/// About how many events are updated in one transaction. Intake waits for it on SQLite.
const EVENTS_AT_ONCE: usize = 200;
/// Writebacks asked about at the same time.
const AT_ONCE: usize = 8;

/// Confirms accepted registers.
#[derive(Debug)]
pub(super) struct Confirmer {
    pub(super) store: Store,
    pub(super) schools: Arc<Schools>,
    pub(super) mirror: Mirror,
    pub(super) failures: FailurePolicy,
    pub(super) looks: Arc<Looks>,
    pub(super) together: Arc<Together>,
    pub(super) config: WorkerConfig,
    /// How long to wait for the outcome of a mark.
    pub(super) confirm_within: Duration,
}

impl Confirmer {
    /// Asks about one school's claimed writebacks and commits what became of their marks.
    pub(super) async fn confirm(&self, jobs: Vec<ClaimedJob>) -> outbox::Result<()> {
        let Some(school) = jobs.first().map(|job| job.partition.clone()) else {
            return Ok(());
        };
        let registers = self.read_registers(jobs).await?;
        let answers = self.ask(&registers).await;
        // All of them before the first commit: one that is not polled meanwhile would keep its database connection.
        let confirmed: Vec<Effects> = stream::iter(registers)
            .map(|register| self.confirm_or_catch(register, &answers))
            .buffer_unordered(AT_ONCE)
            .try_collect()
            .await?;
        let commit = async |some| self.together.commit(&school, some, self.config.lease).await;
        let mut some = Effects::default();
        for effects in confirmed {
            some.add(effects);
            if some.events.len() >= EVENTS_AT_ONCE {
                commit(std::mem::take(&mut some)).await?;
            }
        }
        commit(some).await
    }

    /// Asks about all of a school's registers at once, if there are several and none is in the way. What is not answered
    /// here is asked about register by register.
    async fn ask(&self, registers: &[Result<Register, Box<ClaimedJob>>]) -> Answers {
        let open: Vec<_> = registers
            .iter()
            .flatten()
            .filter(|register| !register.confirm.in_doubt)
            .collect();
        let [first, _, ..] = open.as_slice() else {
            return Answers::default();
        };
        let Some(school) = self.schools.settings_of(&first.job.partition) else {
            return Answers::default();
        };
        // An error is met again by each register, which knows what follows from it.
        let Ok(mis) = self.schools.mis(&school).await else {
            return Answers::default();
        };
        let receipts: Vec<_> = open
            .iter()
            .map(|register| register.confirm.writeback.clone())
            .collect();
        let answers = caught(mis.outcomes(&receipts)).await.unwrap_or_default();
        let now = self.store.now();
        let found: Vec<_> = open
            .iter()
            .zip(&answers)
            .filter_map(|(register, answer)| Some(register.seen(answer.as_ref().ok()?, now)))
            .collect();
        self.looks.saw(school.id.as_str(), &found, now);
        Answers(Mutex::new(receipts.into_iter().zip(answers).collect()))
    }

    /// Reads the jobs' registers. One whose open marks cannot all be read cannot be followed.
    async fn read_registers(
        &self,
        jobs: Vec<ClaimedJob>,
    ) -> outbox::Result<Vec<Result<Register, Box<ClaimedJob>>>> {
        let parsed: Vec<_> = jobs
            .into_iter()
            .map(|job| (job.parse::<ConfirmJob>().ok(), job))
            .collect();
        let key = |job: &ClaimedJob, event: &String| (job.partition.clone(), event.clone());
        let keys: Vec<_> = parsed
            .iter()
            .flat_map(|(confirm, job)| {
                let events = confirm.iter().flat_map(|confirm| &confirm.events);
                events.map(|event| key(job, event))
            })
            .collect();
        let stored = self.store.events_with_plans(&keys).await?;
        let registers = parsed.into_iter().map(|(confirm, job)| {
            let Some(confirm) = confirm else {
                return Err(Box::new(job));
            };
            let events = confirm.events.iter();
            let marks: Vec<_> = events
                .map(|event| PlannedMark::read(stored.get(&key(&job, event))?))
                .collect();
            let readable = |(place, mark): (usize, &Option<_>)| {
                mark.is_some() || confirm.settled.contains(&place)
            };
            if marks.iter().enumerate().all(readable) {
                Ok(Register {
                    job,
                    confirm,
                    marks,
                })
            } else {
                Err(Box::new(job))
            }
        });
        Ok(registers.collect())
    }

    async fn confirm_or_catch(
        &self,
        register: Result<Register, Box<ClaimedJob>>,
        answers: &Answers,
    ) -> outbox::Result<Effects> {
        let register = match register {
            Ok(register) => register,
            Err(job) => return self.give_up(&job, UNREADABLE).await,
        };
        let job = &register.job;
        match caught(self.confirm_one(&register, answers)).await {
            Ok(effects) => Ok(effects),
            Err(Panicked) => match self.failures.after_panic(job) {
                Next::Fail { why } => self.give_up(job, &why).await,
                next => {
                    let mut effects = Effects::default();
                    effects.fail_events(job, self.open_events(job).await?, next);
                    Ok(effects)
                }
            },
        }
    }

    /// Gives up a job that cannot be worked on. Its events end as well: nobody can tell what became of their marks.
    async fn give_up(&self, job: &ClaimedJob, why: &str) -> outbox::Result<Effects> {
        let mut effects = Effects::default();
        let writeback = writeback_of_key(&job.key);
        for event in self.open_events(job).await? {
            effects.events.push(
                EventUpdate::of(&job.partition, &event)
                    .state(EventState::Unconfirmed)
                    .outcome(unconfirmed(why)),
            );
            effects.audit.push(NewAudit {
                school: job.partition.clone(),
                event,
                what: EventState::Unconfirmed.as_str(),
                record: json!({"writeback_id": writeback, "why": why}),
            });
        }
        let why = why.to_owned();
        effects.fail_events(job, [], Next::Fail { why });
        Ok(effects)
    }

    /// The events whose marks are open in the job's writeback, even if the job cannot be read.
    async fn open_events(&self, job: &ClaimedJob) -> outbox::Result<Vec<String>> {
        let writeback = writeback_of_key(&job.key).unwrap_or_default();
        self.store.accepted_with(&job.partition, writeback).await
    }

    async fn confirm_one(&self, register: &Register, answers: &Answers) -> Effects {
        let school = self.schools.settings_of(&register.job.partition);
        let Some(school) = school.as_ref() else {
            let mut effects = Effects::default();
            effects.done.push(register.job.lease);
            for (_, mark) in register.open() {
                let why = "the school is no longer in the settings";
                end(&mut effects, register, mark, EventState::Unconfirmed, why);
            }
            return effects;
        };
        let step = Step {
            confirmer: self,
            school,
            register,
            effects: Effects::default(),
        };
        let mis = match self.schools.mis(school).await {
            Ok(mis) => mis,
            Err(error) => return step.cannot_ask(&error).await,
        };
        if register.confirm.in_doubt {
            return step.look_in_register(Some(&mis), IN_DOUBT).await;
        }
        let answer = match answers.take(&register.confirm.writeback) {
            Some(answer) => answer,
            None => {
                let answer = mis.outcome(&register.confirm.writeback).await;
                if let Ok(outcome) = &answer {
                    let now = self.store.now();
                    let seen = register.seen(outcome, now);
                    self.looks.saw(school.id.as_str(), &[seen], now);
                }
                answer
            }
        };
        match answer {
            Ok(WritebackOutcome::Done) => step.done(),
            Ok(WritebackOutcome::DoneInPart {
                refused,
                others_done,
            }) => step.done_in_part(mis.descriptor().id, &refused, others_done),
            Ok(WritebackOutcome::Refused { server_message }) => {
                step.all_refused(mis.descriptor().id, server_message.as_deref())
            }
            Ok(WritebackOutcome::Open { status }) => {
                let why = match status {
                    Some(status) => {
                        format!("Wonde has it and reports the writeback as \"{status}\"")
                    }
                    None => "Wonde has it and reports no status of the writeback yet".to_owned(),
                };
                step.still_open(Some(&mis), &why).await
            }
            Err(error) => step.cannot_ask(&error).await,
        }
    }
}

/// Answers about several registers that were asked for together.
#[derive(Default)]
struct Answers(Mutex<HashMap<Receipt, mis_core::Result<WritebackOutcome>>>);

impl Answers {
    fn take(&self, receipt: &Receipt) -> Option<mis_core::Result<WritebackOutcome>> {
        let mut answers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        answers.remove(receipt)
    }
}

/// A claimed register.
struct Register {
    job: ClaimedJob,
    confirm: ConfirmJob,
    /// Its marks in order. Only settled ones may be missing.
    marks: Vec<Option<PlannedMark>>,
}

impl Register {
    /// The marks whose outcome is not known yet, with their places.
    fn open(&self) -> impl Iterator<Item = (usize, &PlannedMark)> {
        self.open_after(&self.confirm.settled)
    }

    /// What this answer tells of the register.
    fn seen(&self, outcome: &WritebackOutcome, now: DateTime<Utc>) -> Seen<'_> {
        Seen {
            writeback: self.confirm.writeback.as_str(),
            age: now - self.confirm.accepted_at,
            is_settled: !matches!(outcome, WritebackOutcome::Open { .. }),
        }
    }

    fn open_after<'a>(
        &'a self,
        settled: &'a BTreeSet<usize>,
    ) -> impl Iterator<Item = (usize, &'a PlannedMark)> {
        let all = self.marks.iter().enumerate();
        all.filter(|(place, _)| !settled.contains(place))
            .filter_map(|(place, mark)| Some((place, mark.as_ref()?)))
    }
}

/// A refusal of a mark that Wonde had accepted.
#[derive(Clone, Copy)]
struct Refusal<'a> {
    /// The adapter's id of the MIS.
    mis: &'a str,
    /// Wonde's message.
    message: Option<&'a str>,
    /// Whether the message is about this mark, and not about any mark of the register.
    of_this_mark: bool,
}

/// One look at a register: every path through it ends with the effects.
struct Step<'a> {
    confirmer: &'a Confirmer,
    school: &'a School,
    register: &'a Register,
    effects: Effects,
}

impl Step<'_> {
    /// All open marks are in the MIS.
    fn done(mut self) -> Effects {
        self.effects.done.push(self.register.job.lease);
        for (_, mark) in self.register.open() {
            self.confirm(mark, BY_ANSWER);
        }
        self.effects
    }

    /// The writeback is done except for some marks. Those that are named were refused; the others are in the MIS if no
    /// refusal is left over. Otherwise the register has to show each of them.
    fn done_in_part(mut self, mis: &str, refused: &[RefusedMark], others_done: bool) -> Effects {
        let register = self.register;
        let mut matched = vec![false; refused.len()];
        let mut left = register.confirm.clone();
        for (place, mark) in register.marks.iter().enumerate() {
            let Some(mark) = mark else { continue };
            let (mut named, mut message) = (false, None);
            for (refusal, matched) in refused.iter().zip(&mut matched) {
                if refusal.is(&mark.mark.student, place) {
                    (named, *matched) = (true, true);
                    message = message.or(refusal.server_message.as_deref());
                }
            }
            if named && left.settled.insert(place) {
                self.refused(
                    mark,
                    Refusal {
                        mis,
                        message,
                        of_this_mark: true,
                    },
                );
            }
        }
        self.effects.done.push(register.job.lease);
        if others_done && matched.iter().all(|matched| *matched) {
            for (_, mark) in register.open_after(&left.settled) {
                self.confirm(mark, BY_ANSWER);
            }
        } else {
            left.in_doubt = true;
            let next = later(self.now(), self.confirmer.config.confirm_after);
            self.follow(&left, next, IN_DOUBT);
        }
        self.effects
    }

    /// The register was refused as a whole.
    fn all_refused(mut self, mis: &str, message: Option<&str>) -> Effects {
        self.effects.done.push(self.register.job.lease);
        let refusal = Refusal {
            mis,
            message,
            of_this_mark: self.register.marks.len() == 1,
        };
        for (_, mark) in self.register.open() {
            self.refused(mark, refusal);
        }
        self.effects
    }

    /// Wonde cannot be asked now.
    async fn cannot_ask(mut self, error: &Error) -> Effects {
        let failures = &self.confirmer.failures;
        let backoff = failures.backoff([&self.register.job]);
        match failures.after(error, self.school, backoff) {
            // Wonde knows the school but not the writeback: the register may still tell.
            _ if error.kind() == ErrorKind::NotFound => {
                let mis = self.confirmer.schools.mis(self.school).await.ok();
                self.still_open(mis.as_ref(), &error.to_string()).await
            }
            Next::Retry { why, .. } | Next::Fail { why } => self.still_open(None, &why).await,
            Next::Pause { why, .. } if self.is_over() => {
                self.effects.done.push(self.register.job.lease);
                for (_, mark) in self.register.open() {
                    self.end(mark, EventState::Unconfirmed, &unconfirmed(&why));
                }
                self.effects
            }
            pause => self.fail(pause),
        }
    }

    /// Wonde's answer settles nothing yet. After a while the register is read back as well.
    async fn still_open(self, mis: Option<&Mis>, why: &str) -> Effects {
        let waited = self.now() - self.register.confirm.accepted_at;
        let mis = mis.filter(|_| is_longer(waited, self.confirmer.config.read_back_after));
        self.look_in_register(mis, why).await
    }

    /// Looks for the open marks in the register, and again later for those that it does not show. Each is settled by
    /// itself: one that never shows delays no other.
    async fn look_in_register(mut self, mis: Option<&Mis>, why: &str) -> Effects {
        let (register, is_over) = (self.register, self.is_over());
        let shown = match mis {
            Some(mis) => self.shown(mis).await,
            None => BTreeSet::new(),
        };
        let replaced = self.replaced(&shown).await;
        if shown.is_empty() && replaced.is_empty() && !is_over {
            let when = RetryAt::At(self.next_look());
            let why = why.to_owned();
            return self.fail(Next::Retry { when, why });
        }
        self.effects.done.push(register.job.lease);
        let mut left = register.confirm.clone();
        for (place, mark) in register.open() {
            if shown.contains(&place) {
                self.confirm(mark, BY_REGISTER);
            } else if replaced.contains(&place) {
                self.end(mark, EventState::Superseded, REPLACED);
            } else if is_over {
                self.end(mark, EventState::Unconfirmed, &unconfirmed(why));
            } else {
                continue;
            }
            left.settled.insert(place);
        }
        let next = self.next_look();
        self.follow(&left, next, why);
        self.effects
    }

    /// The open marks that the register shows. Only a copy that was read after the acceptance can show them.
    async fn shown(&self, mis: &Mis) -> BTreeSet<usize> {
        let accepted_at = self.register.confirm.accepted_at;
        let mut shown = BTreeSet::new();
        for (place, mark) in self.register.open() {
            let register = self
                .confirmer
                .mirror
                .register(self.school, mis, mark.mark.date, MaxAge::Since(accepted_at))
                .await;
            // If it cannot be read, it is not asked for again for every mark.
            let Ok(register) = register else { break };
            let held = register.held(&mark.mark.student, mark.mark.session);
            if held.is_some_and(|held| is_ours(held, &mark.mark, mark.planned_at)) {
                shown.insert(place);
            }
        }
        shown
    }

    /// The other open marks in whose place the MIS is known to have a later one of ours: they will never show.
    async fn replaced(&self, shown: &BTreeSet<usize>) -> BTreeSet<usize> {
        let school = self.school.id.as_str();
        let missing: Vec<_> = self
            .register
            .open()
            .filter(|(place, _)| !shown.contains(place))
            .map(|(place, mark)| (place, mark.ledger_key(school), &mark.event.id))
            .collect();
        let keys: Vec<_> = missing.iter().map(|(_, key, _)| key.clone()).collect();
        // If the database cannot be read now, the next look tells.
        let ledger = self.confirmer.store.ledger(&keys).await.unwrap_or_default();
        missing
            .iter()
            .filter(|(_, key, event)| ledger.get(key).is_some_and(|row| row.is_replaced(event)))
            .map(|(place, _, _)| *place)
            .collect()
    }

    /// A refused register of several marks does not say which of them was at fault, so each is sent again alone. So is a
    /// mark that was named: its own answer is more certain. A mark alone is tried a few more times, because the MIS may
    /// have been away.
    fn refused(&mut self, mark: &PlannedMark, refusal: Refusal<'_>) {
        let Refusal {
            mis,
            message,
            of_this_mark,
        } = refusal;
        let school = self.school.id.as_str();
        let answer = message.map_or_else(
            || "gave no reason".to_owned(),
            |message| format!("said: {message}"),
        );
        let why = format!("Wonde {answer}");
        let mut more = json!({"writeback_id": self.register.confirm.writeback});
        let refusals = if self.register.marks.len() == 1 {
            mark.refusals.saturating_add(1)
        } else {
            mark.refusals.max(1)
        };
        let again = PlannedMark {
            refusals,
            ..mark.clone()
        };
        let backoff = self.confirmer.config.backoff.saturating_mul(2 * refusals);
        let from = later(self.now(), backoff);
        // A message about this mark is believed at once. Without one the MIS may have been away, so a part is left out
        // only after the mark alone was refused again.
        let only_if_named = refusals + 1 < REFUSALS_MAX;
        let next = of_this_mark
            .then(|| reduce(&again, mis, message, false, only_if_named))
            .flatten();
        if let Some(next) = next {
            let line = audit_reduced(school, mark, &next, &why, more);
            self.effects.audit.push(line);
            let resend = Resend::reduced(self.school, next, Some(from));
            self.effects.resent.push(resend);
            return;
        }
        more["why"] = why.into();
        self.effects.audit.push(mark.audit("refused", school, more));
        if refusals >= REFUSALS_MAX {
            let outcome = format!("the MIS refused it: Wonde {answer}");
            let update = update_of(school, mark, EventState::Rejected, &outcome);
            self.effects.events.push(update);
            self.effects.ledger.push(mark.forget(school));
            return;
        }
        let why = format!("its writeback was refused ({answer}); it is sent again separately");
        let resend = Resend::unchanged(self.school, again, from, why);
        self.effects.resent.push(resend);
    }

    fn confirm(&mut self, mark: &PlannedMark, by: &str) {
        let school = self.school.id.as_str();
        let age = self.now() - mark.received_at;
        self.effects.confirmed_after.push(age);
        let change = Change::Confirm(mark.event.id.clone());
        self.effects.ledger.push((mark.ledger_key(school), change));
        let mut more = json!({"writeback_id": self.register.confirm.writeback, "by": by});
        let trial = mark.trial.as_ref().filter(|trial| !trial.at_once);
        self.effects.learn(school, trial, &mut more);
        self.effects
            .audit
            .push(mark.audit("confirmed", school, more));
        let outcome = format!("the MIS has it, according to {by}");
        let update = update_of(school, mark, EventState::Confirmed, &outcome);
        self.effects.events.push(update);
    }

    fn end(&mut self, mark: &PlannedMark, state: EventState, outcome: &str) {
        end(&mut self.effects, self.register, mark, state, outcome);
    }

    /// Follows what is left of the register, if anything is.
    fn follow(&mut self, left: &ConfirmJob, next: DateTime<Utc>, why: &str) {
        let school = self.school.id.as_str();
        let mut is_empty = true;
        for (_, mark) in self.register.open_after(&left.settled) {
            let update = EventUpdate::of(school, &mark.event.id).waiting(why);
            self.effects.events.push(update);
            is_empty = false;
        }
        if !is_empty {
            let job = left.new_job(school, &token_key(self.school), next);
            let followed = left.followed_by(school, &job);
            self.effects.followed.push((followed, job));
        }
    }

    fn fail(mut self, next: Next) -> Effects {
        let events: Vec<_> = self
            .register
            .open()
            .map(|(_, mark)| mark.event.id.clone())
            .collect();
        self.effects.fail_events(&self.register.job, events, next);
        self.effects
    }

    /// Whether the outcome has been waited for long enough.
    fn is_over(&self) -> bool {
        let waited = self.now() - self.register.confirm.accepted_at;
        is_longer(waited, self.confirmer.confirm_within)
    }

    fn next_look(&self) -> DateTime<Utc> {
        let looks = self.register.job.attempts();
        self.confirmer
            .looks
            .again(self.school.id.as_str(), self.now(), looks)
    }

    fn now(&self) -> DateTime<Utc> {
        self.confirmer.store.now()
    }
}

/// Ends a mark that is not known to be in the MIS.
fn end(
    effects: &mut Effects,
    register: &Register,
    mark: &PlannedMark,
    state: EventState,
    outcome: &str,
) {
    let school = &register.job.partition;
    let more = json!({"writeback_id": register.confirm.writeback, "why": outcome});
    effects.audit.push(mark.audit(state.as_str(), school, more));
    effects.events.push(update_of(school, mark, state, outcome));
}

fn update_of(school: &str, mark: &PlannedMark, state: EventState, outcome: &str) -> EventUpdate {
    EventUpdate::of(school, &mark.event.id)
        .state(state)
        .outcome(outcome)
}

fn unconfirmed(why: &str) -> String {
    format!("it could not be determined in time whether the MIS has it: {why}")
}
