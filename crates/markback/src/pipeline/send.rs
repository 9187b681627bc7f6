//! Sending: the marks bound for one school go out as one register.

mod outcomes;
#[cfg(test)]
mod tests;

use std::{collections::BTreeSet, sync::Arc};

use mis_core::{Ability, Capabilities, Error, ErrorKind, Mark, MarkResult, Mis, Recovery};
use outbox::Claimed;
use serde_json::json;
use writeback::Outcome;

use self::outcomes::{Outcomes, Outgoing};
use super::{
    Pipeline,
    again::Again,
    job::{ConfirmJob, SendJob, event_of_key},
    panics::{self, Panicked, caught, panics_of, split},
    pulse::Progress,
    records::{audit_of, found, news_of, plan},
    scene::{Look, Scene},
    trouble::{Away, GoOn, is_longer, later},
    view::is_ours,
};
use crate::{
    lease::{Lease, LeaseOver},
    ledger::Change,
    metrics,
    schools::token_lane,
    settings::School,
    store::{EventState, EventUpdate, LedgerKey},
};

impl Pipeline {
    /// Sends one school's claimed marks. What is known of them is noted whatever comes in between: the end of the lease,
    /// or a panic.
    pub(super) async fn send(
        &self,
        jobs: Vec<Claimed>,
        lease: &Arc<Lease>,
        progress: &Progress<'_>,
    ) -> outbox::Result<()> {
        let Some(lane) = jobs.first().map(|job| job.lane.clone()) else {
            return Ok(());
        };
        let mut parts = vec![jobs];
        while let Some(jobs) = parts.pop() {
            let mut outcomes = Outcomes {
                backoff: self.backoff(&jobs),
                ..Outcomes::default()
            };
            let work = self.send_part(&mut outcomes, &lane, jobs.clone(), lease, progress);
            match caught(work).await {
                Ok(sent) => {
                    if let Err(LeaseOver) = sent? {
                        tracing::warn!(school = %lane, "marks were held for too long and not sent; whoever has them now looks first");
                        parts.clear();
                    }
                }
                Err(Panicked) => {
                    let left = jobs.into_iter().filter(|job| !outcomes.tells_of(job));
                    let left: Vec<_> = left.collect();
                    if outcomes.in_flight {
                        for job in &left {
                            self.panicked(&mut outcomes, &lane, job);
                        }
                    } else if let Some(job) = split(left, &mut parts) {
                        let go_on = self.after_panic(&job);
                        outcomes.held_up(&lane, &job, go_on);
                    }
                }
            }
            let school = self.schools.settings_of(&lane);
            let token_lane = school.map(token_lane).unwrap_or_default();
            self.until_kept(|| self.note_sends(&lane, &token_lane, &outcomes))
                .await?;
            progress.made();
        }
        Ok(())
    }

    /// Sends some of a school's claimed marks, and gathers in `outcomes` what becomes of them.
    async fn send_part(
        &self,
        outcomes: &mut Outcomes,
        lane: &str,
        jobs: Vec<Claimed>,
        lease: &Arc<Lease>,
        progress: &Progress<'_>,
    ) -> outbox::Result<Result<(), LeaseOver>> {
        let mut outgoing = Vec::with_capacity(jobs.len());
        for job in jobs {
            match job.parse::<SendJob>() {
                Ok(send) => outgoing.push(Outgoing { job, send }),
                Err(_) => {
                    let why = "the stored mark cannot be read; was it written by another version?"
                        .to_owned();
                    outcomes.held_up(lane, &job, GoOn::GiveUp { why });
                    outcomes
                        .ledger
                        .extend(self.forget_plan_of(lane, &job).await?);
                }
            }
        }
        let Some(school) = self.schools.settings_of(lane) else {
            let why =
                format!("school {lane} is no longer in the settings; add it, then retry the event");
            for one in outgoing {
                outcomes.trouble(lane, &one, GoOn::GiveUp { why: why.clone() });
            }
            return Ok(Ok(()));
        };
        match self.schools.mis(school).await {
            Ok(mis) => {
                self.send_school(outcomes, school, &mis, outgoing, lease, progress)
                    .await
            }
            Err(error) => {
                for one in &outgoing {
                    self.after_error(outcomes, school, one, &error);
                }
                Ok(Ok(()))
            }
        }
    }

    /// The plan in the ledger that belongs to a job which cannot be read.
    async fn forget_plan_of(
        &self,
        lane: &str,
        job: &Claimed,
    ) -> outbox::Result<Option<(LedgerKey, Change)>> {
        let Some(event) = event_of_key(lane, &job.key) else {
            return Ok(None);
        };
        let record = self.store.event(&lane.into(), event).await?;
        let key = record.and_then(|record| record.ledger_key());
        Ok(key.map(|key| (key, Change::Forget(event.to_owned()))))
    }

    async fn send_school(
        &self,
        outcomes: &mut Outcomes,
        school: &School,
        mis: &Mis,
        outgoing: Vec<Outgoing>,
        lease: &Arc<Lease>,
        progress: &Progress<'_>,
    ) -> outbox::Result<Result<(), LeaseOver>> {
        let limits = self
            .store
            .limits(school.id.as_str(), mis.descriptor().id)
            .await?;
        let kept = limits
            .into_iter()
            .fold(mis.capabilities(), |kept, limit| limit.narrow(kept));
        let (stale, mut ready): (Vec<_>, Vec<_>) = outgoing
            .into_iter()
            .partition(|one| self.wants_a_look(one) || !fits(&one.send.mark, kept));
        ready.extend(self.look_again(outcomes, school, stale).await?);
        // A mark whose writeback was refused goes alone, so that it takes no other with it. So does one with which a
        // worker panicked.
        let (together, alone): (Vec<_>, Vec<_>) = ready
            .into_iter()
            .partition(|one| one.send.refusals == 0 && panics_of(&one.job) == 0);
        let registers = [together]
            .into_iter()
            .chain(alone.into_iter().map(|one| vec![one]));
        for register in registers.filter(|register| !register.is_empty()) {
            if let Err(over) = self.write(outcomes, school, mis, register, lease).await {
                return Ok(Err(over));
            }
            progress.made();
        }
        Ok(Ok(()))
    }

    /// Whether the register must be looked at before this mark goes: it may be there already, or the decision is old.
    fn wants_a_look(&self, one: &Outgoing) -> bool {
        one.job.lapsed
            || one.is_unanswered()
            || one.send.refusals > 0
            || !one.send.left_out.is_empty()
            || is_longer(self.now() - one.send.planned_at, self.pace.plan_fresh)
    }

    /// Looks at the register anew and decides again. Answers those that are still to be sent, as decided now.
    async fn look_again(
        &self,
        outcomes: &mut Outcomes,
        school: &School,
        stale: Vec<Outgoing>,
    ) -> outbox::Result<Vec<Outgoing>> {
        if stale.is_empty() {
            return Ok(stale);
        }
        let keys = stale
            .iter()
            .map(|one| one.send.ledger_key(school.id.as_str()))
            .collect();
        let scene = match self.scene(school, keys, Some(self.now())).await? {
            Ok(scene) => scene,
            Err(error) => {
                for one in &stale {
                    self.after_error(outcomes, school, one, &error);
                }
                return Ok(Vec::new());
            }
        };
        Ok(stale
            .into_iter()
            .filter_map(|one| self.decide_again(outcomes, &scene, one))
            .collect())
    }

    fn decide_again(
        &self,
        outcomes: &mut Outcomes,
        scene: &Scene<'_>,
        mut one: Outgoing,
    ) -> Option<Outgoing> {
        let school = scene.school;
        let (id, key) = (school.id.as_str(), one.send.ledger_key(school.id.as_str()));
        let event = one.send.event.id.as_str();
        let row = scene.ledger.get(&key);
        let forgotten = row.is_none_or(|row| row.mark(event).is_none());
        let newest = row.and_then(|row| row.newest());
        if newest.is_some_and(|newest| {
            newest.event != event && (!forgotten || newest.planned_at > one.send.planned_at)
        }) {
            outcomes
                .ledger
                .push((key, Change::Forget(event.to_owned())));
            outcomes.done.push(one.job.held);
            outcomes.updates.push(
                EventUpdate::of(id, &one.send.event.id)
                    .state(EventState::Superseded)
                    .outcome(
                        "a newer mark for the same pupil, date and session has taken its place",
                    ),
            );
            return None;
        }
        let register = match scene.registers.get(&key.date) {
            Some(Ok(register)) => register,
            unread => {
                let why = match unread {
                    Some(Err(why)) => why.clone(),
                    _ => "the register was not read".to_owned(),
                };
                let when = outbox::When::After(outcomes.backoff);
                let go_on = self.or_give_up(&one.job, GoOn::Again { when, why });
                outcomes.trouble(id, &one, go_on);
                return None;
            }
        };
        let held = register.held(&one.send.mark.student, one.send.mark.session);
        if held.is_some_and(|held| {
            is_ours(held, &one.send.mark, one.send.planned_at)
                && !row.is_some_and(|row| row.may_be_earlier(held, event))
        }) {
            outcomes.found_there(id, &one, key);
            return None;
        }
        let group = school.group(&one.send.group);
        let student = one.send.mark.student.clone();
        let decision = scene.decide(
            &one.send.event,
            &student,
            group,
            Some(&key),
            self.now(),
            Look::Again(&one.send),
        );
        if let Outcome::Fail { why } = &decision.outcome {
            outcomes
                .updates
                .push(news_of(id, &one.send.event, &student, &decision));
            outcomes.audit.push(audit_of(
                "not sent",
                id,
                &one.send,
                json!({"why": decision.outcome.to_string()}),
            ));
            outcomes.trouble(id, &one, GoOn::GiveUp { why: why.clone() });
            return None;
        }
        if let Outcome::Wait { why } = &decision.outcome {
            let when = outbox::When::After(outcomes.backoff);
            let why = why.clone();
            let go_on = self.or_give_up(&one.job, GoOn::Again { when, why });
            outcomes.trouble(id, &one, go_on);
            return None;
        }
        match decision.planned() {
            Some(planned) => {
                one.send.mark = planned.mark.clone();
                one.send.rule = planned.rule;
                one.send.dropped.clone_from(&decision.dropped);
                one.send.found = found(decision.found.as_ref());
                one.send.over = scene.seen(&key);
                // `planned_at` stays: what the copy shows of a change since then may be this very mark.
                if forgotten {
                    outcomes.ledger.push((key, plan(&one.send)));
                }
                outcomes
                    .updates
                    .push(news_of(id, &one.send.event, &student, &decision));
                Some(one)
            }
            None => {
                outcomes.updates.push(
                    news_of(id, &one.send.event, &student, &decision).state(EventState::Skipped),
                );
                outcomes.audit.push(audit_of(
                    "not sent",
                    id,
                    &one.send,
                    json!({"why": decision.outcome.to_string()}),
                ));
                let event = one.send.event.id.clone();
                outcomes.ledger.push((key, Change::Forget(event)));
                outcomes.done.push(one.job.held);
                None
            }
        }
    }

    async fn write(
        &self,
        outcomes: &mut Outcomes,
        school: &School,
        mis: &Mis,
        register: Vec<Outgoing>,
        lease: &Arc<Lease>,
    ) -> Result<(), LeaseOver> {
        let marks: Vec<Mark> = register.iter().map(|one| one.send.mark.clone()).collect();
        let sent_at = self.now();
        outcomes.in_flight = true;
        let Ok(written) = caught(lease.write(mis.write(&marks))).await else {
            for one in &register {
                self.panicked(outcomes, school.id.as_str(), &one.job);
            }
            outcomes.in_flight = false;
            return Ok(());
        };
        let Ok(written) = written else {
            outcomes.in_flight = false;
            return Err(LeaseOver);
        };
        match written {
            Ok(results) => {
                metrics::sent(marks.len());
                for (one, result) in register.iter().zip(results) {
                    match result {
                        MarkResult::Accepted(accepted) => {
                            outcomes.accept(school, one, &accepted, sent_at)
                        }
                        MarkResult::Written => outcomes.written(school, one, sent_at),
                        MarkResult::Refused(error) => {
                            let mis = mis.descriptor().id;
                            outcomes.refuse(school, mis, one, &error, sent_at);
                        }
                        // It was held back, and whoever has it next looks first.
                        MarkResult::Failed(_) if lease.is_over() => {}
                        MarkResult::Failed(error) => {
                            self.after_error(outcomes, school, one, &error)
                        }
                    }
                }
            }
            Err(_) if lease.is_over() => {}
            Err(error) => {
                for one in &register {
                    match error.kind() {
                        ErrorKind::Unsupported(_) | ErrorKind::InvalidMark => {
                            outcomes.refuse(school, mis.descriptor().id, one, &error, sent_at);
                        }
                        _ => self.after_error(outcomes, school, one, &error),
                    }
                }
            }
        }
        outcomes.in_flight = false;
        if lease.is_over() {
            return Err(LeaseOver);
        }
        Ok(())
    }

    /// A worker panicked while the job's mark was on its way: nobody knows whether it was written.
    fn panicked(&self, outcomes: &mut Outcomes, school: &str, job: &Claimed) {
        let (error, is_last) = panics::unknown(job);
        if is_last {
            let why = error.to_string();
            return outcomes.held_up(school, job, GoOn::GiveUp { why });
        }
        match job.parse::<SendJob>() {
            Ok(send) => {
                let job = job.clone();
                let one = Outgoing { job, send };
                outcomes.unknown(school, &one, &error, self.now(), self.pace.look_after);
            }
            Err(_) => outcomes.held_up(school, job, self.after_panic(job)),
        }
    }

    fn after_error(&self, outcomes: &mut Outcomes, school: &School, one: &Outgoing, error: &Error) {
        outcomes.away = outcomes
            .away
            .take()
            .or_else(|| Away::of(error, school, outcomes.backoff));
        if error.recovery() == Recovery::Unknown {
            let id = school.id.as_str();
            outcomes.unknown(id, one, error, self.now(), self.pace.look_after);
            return;
        }
        let go_on = self.or_give_up(&one.job, self.go_on(error, school, outcomes.backoff));
        outcomes.trouble(school.id.as_str(), one, go_on);
    }

    async fn note_sends(
        &self,
        school: &str,
        token_lane: &str,
        outcomes: &Outcomes,
    ) -> outbox::Result<()> {
        let mut tx = self.store.database().begin().await?;
        let outbox = self.store.outbox();
        outbox.complete(&mut tx, &outcomes.done).await?.all()?;
        self.store.update_events(&mut tx, &outcomes.updates).await?;
        self.store.audit(&mut tx, &outcomes.audit).await?;
        let (mut changes, again) = (outcomes.ledger.clone(), &outcomes.again);
        changes.extend(again.iter().map(Again::change));
        let mut took_hold = self.store.change_ledger(&mut tx, &changes).await?;
        let in_place = took_hold.split_off(outcomes.ledger.len());
        self.store.learn(&mut tx, &outcomes.learned).await?;
        let now = self.now();
        let took: Vec<_> = outcomes
            .accepted
            .values()
            .flatten()
            .filter_map(|send| Some(now - send.received_at?))
            .collect();
        let first = later(now, self.pace.confirm_after);
        let (followed, follow): (Vec<_>, Vec<_>) = outcomes
            .accepted
            .iter()
            .map(|(writeback, marks)| {
                let confirm = ConfirmJob {
                    writeback: writeback.clone(),
                    accepted_at: now,
                    marks: marks.clone(),
                    settled: BTreeSet::new(),
                    in_doubt: false,
                };
                let job = confirm.new_job(school, token_lane, first);
                (confirm.followed_by(school, &job), job)
            })
            .unzip();
        self.store.follow_writebacks(&mut tx, &followed).await?;
        self.rest(&mut tx, outcomes.away.as_ref()).await?;
        let troubled = self.settle_trouble(&mut tx, &outcomes.troubled).await?;
        let again = self.send_again(&mut tx, again, &in_place, &follow).await?;
        tx.commit().await?;
        metrics::news(outcomes.updates.iter().chain(&troubled).chain(&again));
        metrics::accepted(took);
        metrics::confirmed(outcomes.written_after.iter().copied());
        Ok(())
    }
}

/// Whether all that goes with a mark's code can be kept; what could not when it was planned is not in it.
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
