//! Sending: the marks bound for one school go out as one register.

mod outcomes;

use std::{collections::BTreeSet, sync::Arc};

use mis_core::{Error, ErrorKind, Mark, MarkResult, Mis, Recovery, wonde::WritebackId};
use outbox::Claimed;
use serde_json::json;
use writeback::Outcome;

use self::outcomes::{Outcomes, Outgoing};
use super::{
    Pipeline,
    job::{ConfirmJob, SendJob},
    records::{audit_of, found, news_of, plan},
    scene::Scene,
    trouble::{Away, GoOn, Troubled, is_longer, later},
    view::is_ours,
};
use crate::{
    lease::{Lease, LeaseOver},
    ledger::Change,
    schools::token_lane,
    settings::School,
    sight,
    store::{EventState, EventUpdate},
};

impl Pipeline {
    /// Sends one school's claimed marks.
    pub(super) async fn send(&self, jobs: Vec<Claimed>, lease: &Arc<Lease>) -> outbox::Result<()> {
        let mut outcomes = Outcomes {
            backoff: self.backoff(&jobs),
            ..Outcomes::default()
        };
        let Some(lane) = jobs.first().map(|job| job.lane.clone()) else {
            return Ok(());
        };
        let mut outgoing = Vec::with_capacity(jobs.len());
        for job in jobs {
            match job.parse::<SendJob>() {
                Ok(send) => outgoing.push(Outgoing { job, send }),
                Err(error) => outcomes.troubled.push(Troubled {
                    held: job.held,
                    events: Vec::new(),
                    go_on: GoOn::GiveUp {
                        why: error.to_string(),
                    },
                }),
            }
        }
        let Some(school) = self.schools.settings_of(&lane) else {
            let why =
                format!("school {lane} is no longer in the settings; add it, then retry the event");
            for one in outgoing {
                outcomes.trouble(&lane, &one, GoOn::GiveUp { why: why.clone() });
            }
            return self
                .until_kept(|| self.note_sends(&lane, "", &outcomes))
                .await;
        };
        match self.schools.mis(school).await {
            Ok(mis) => {
                let sent = self.send_school(&mut outcomes, school, &mis, outgoing, lease);
                if let Err(LeaseOver) = sent.await? {
                    tracing::warn!(school = %school.id, "marks were held for too long and not sent; whoever has them now looks first");
                    return Ok(());
                }
            }
            Err(error) => {
                for one in &outgoing {
                    self.after_error(&mut outcomes, school, one, &error);
                }
            }
        }
        let token_lane = token_lane(school);
        self.until_kept(|| self.note_sends(&lane, &token_lane, &outcomes))
            .await
    }

    async fn send_school(
        &self,
        outcomes: &mut Outcomes,
        school: &School,
        mis: &Mis,
        outgoing: Vec<Outgoing>,
        lease: &Arc<Lease>,
    ) -> outbox::Result<Result<(), LeaseOver>> {
        let (stale, mut ready): (Vec<_>, Vec<_>) =
            outgoing.into_iter().partition(|one| self.wants_a_look(one));
        ready.extend(self.look_again(outcomes, school, stale).await?);
        // A mark whose writeback was refused goes alone, so that it takes no other with it.
        let (together, alone): (Vec<_>, Vec<_>) =
            ready.into_iter().partition(|one| one.send.refusals == 0);
        let registers = [together]
            .into_iter()
            .chain(alone.into_iter().map(|one| vec![one]));
        for register in registers.filter(|register| !register.is_empty()) {
            if let Err(over) = self.write(outcomes, school, mis, register, lease).await {
                return Ok(Err(over));
            }
        }
        Ok(Ok(()))
    }

    /// Whether the register must be looked at before this mark goes: it may be there already, or the decision is old.
    fn wants_a_look(&self, one: &Outgoing) -> bool {
        one.job.lapsed
            || one.is_unanswered()
            || one.send.refusals > 0
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
            Some(&one.send),
        );
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
        sight::sent(marks.len());
        match lease.write(mis.write(&marks)).await? {
            Ok(results) => {
                for (one, result) in register.iter().zip(results) {
                    match result {
                        MarkResult::Accepted(accepted) => {
                            outcomes.accept(school, one, &accepted, sent_at)
                        }
                        MarkResult::Refused(error) => outcomes.refuse(school, one, &error, sent_at),
                        MarkResult::Failed(error) => {
                            self.after_error(outcomes, school, one, &error)
                        }
                    }
                }
            }
            Err(error) => {
                for one in &register {
                    match error.kind() {
                        ErrorKind::Unsupported(_) | ErrorKind::InvalidMark => {
                            outcomes.refuse(school, one, &error, sent_at);
                        }
                        _ => self.after_error(outcomes, school, one, &error),
                    }
                }
            }
        }
        Ok(())
    }

    fn after_error(&self, outcomes: &mut Outcomes, school: &School, one: &Outgoing, error: &Error) {
        outcomes.away = outcomes
            .away
            .take()
            .or_else(|| Away::of(error, school, outcomes.backoff));
        if error.recovery() == Recovery::Unknown {
            outcomes.unknown(school, one, error, self.now(), self.pace.look_after);
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
        self.store.change_ledger(&mut tx, &outcomes.ledger).await?;
        let now = self.now();
        let took: Vec<_> = outcomes
            .accepted
            .values()
            .flatten()
            .filter_map(|send| Some(now - send.received_at?))
            .collect();
        let writebacks: Vec<_> = outcomes.accepted.keys().map(WritebackId::as_str).collect();
        self.store
            .follow_writebacks(&mut tx, school, &writebacks)
            .await?;
        let first = later(now, self.pace.confirm_after);
        let follow: Vec<_> = outcomes
            .accepted
            .iter()
            .map(|(writeback, marks)| {
                ConfirmJob {
                    writeback: writeback.clone(),
                    accepted_at: now,
                    marks: marks.clone(),
                    settled: BTreeSet::new(),
                    in_doubt: false,
                }
                .new_job(school, token_lane, first)
            })
            .collect();
        self.rest(&mut tx, outcomes.away.as_ref()).await?;
        self.settle_trouble(&mut tx, &outcomes.troubled).await?;
        outbox.enqueue(&mut tx, &follow).await?;
        tx.commit().await?;
        sight::news(outcomes.updates.iter().map(|update| update.state));
        sight::accepted(took);
        Ok(())
    }
}
