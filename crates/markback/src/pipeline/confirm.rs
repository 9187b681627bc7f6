//! Confirming: what became of a register that Wonde took.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use mis_core::{Error, Mis, Recovery, WritebackOutcome};
use outbox::{Claimed, Held, NewJob, When};
use serde_json::json;

use super::{
    Pipeline,
    decide::audit_of,
    job::{ConfirmJob, SendJob},
    send::says,
    trouble::{GoOn, Troubled},
};
use crate::{
    schools::token_lane,
    settings::School,
    sight,
    store::{EventState, EventUpdate, LedgerKey, NewAudit, Stage},
};

/// The longest time between two looks at a writeback.
const LOOK_AT_LEAST_EVERY: Duration = Duration::from_secs(60);
/// How long Wonde's own word is waited for before the register is read back as well.
const READ_BACK_AFTER: TimeDelta = TimeDelta::minutes(2);
/// How often a mark is refused after Wonde had taken it until that is believed.
const REFUSALS_BELIEVED: u32 = 3;
/// Writebacks asked about at the same time.
const AT_ONCE: usize = 8;

/// What one batch comes to, written down in one transaction.
#[derive(Default)]
struct Outcomes {
    done: Vec<Held>,
    updates: Vec<EventUpdate>,
    audit: Vec<NewAudit>,
    confirmed: Vec<(LedgerKey, String)>,
    took: Vec<TimeDelta>,
    forgotten: Vec<(LedgerKey, String)>,
    again: Vec<NewJob>,
    troubled: Vec<Troubled>,
}

impl Pipeline {
    /// Asks about claimed writebacks and notes what became of their marks.
    pub(super) async fn confirm(&self, jobs: Vec<Claimed>) -> outbox::Result<()> {
        use futures::stream::{self, StreamExt as _};
        let mut asked = stream::iter(jobs)
            .map(|job| self.confirm_one(job))
            .buffer_unordered(AT_ONCE);
        let mut all = Outcomes::default();
        while let Some(outcomes) = asked.next().await {
            all.add(outcomes);
        }
        self.note_confirmations(all).await
    }

    async fn confirm_one(&self, job: Claimed) -> Outcomes {
        let mut outcomes = Outcomes::default();
        let Ok(confirm) = job.parse::<ConfirmJob>() else {
            let why = "the stored writeback cannot be read; was it written by another version?"
                .to_owned();
            outcomes.troubled.push(Troubled {
                held: job.held,
                events: Vec::new(),
                go_on: GoOn::GiveUp { why },
            });
            return outcomes;
        };
        let Some(school) = self.schools.settings_of(&job.lane) else {
            outcomes.end_all(
                &job,
                &confirm,
                EventState::Unconfirmed,
                "the school is no longer in the settings",
            );
            return outcomes;
        };
        let asked = match self.schools.mis(school).await {
            Ok(mis) => mis
                .outcome(&confirm.writeback)
                .await
                .map(|outcome| (mis, outcome)),
            Err(error) => Err(error),
        };
        match asked {
            Ok((_, WritebackOutcome::Done)) => {
                outcomes.confirm_all(&job, &confirm, "Wonde's word", self.now());
            }
            Ok((_, WritebackOutcome::Refused { said })) => {
                self.refused(&mut outcomes, school, &job, &confirm, said.as_deref());
            }
            Ok((mis, WritebackOutcome::Open { word })) => {
                let why = match word {
                    Some(word) => format!("Wonde has it; its word for the writeback is \"{word}\""),
                    None => "Wonde has it and says nothing of the writeback yet".to_owned(),
                };
                self.still_open(&mut outcomes, school, Some(&mis), &job, &confirm, &why)
                    .await;
            }
            Err(error) => {
                self.cannot_ask(&mut outcomes, school, &job, &confirm, &error)
                    .await
            }
        }
        outcomes
    }

    /// A refused register of several marks does not say which was at fault: each goes again, alone. A mark alone is
    /// tried a few times more, for the MIS may have been away.
    fn refused(
        &self,
        outcomes: &mut Outcomes,
        school: &School,
        job: &Claimed,
        confirm: &ConfirmJob,
        said: Option<&str>,
    ) {
        let id = school.id.as_str();
        let told = said.map_or_else(
            || "gave no reason".to_owned(),
            |said| format!("said: {said}"),
        );
        outcomes.done.push(job.held);
        for send in &confirm.marks {
            let more = json!({"writeback_id": confirm.writeback, "why": told});
            outcomes.audit.push(audit_of("refused", id, send, more));
            let alone = confirm.marks.len() == 1;
            let refusals = if alone {
                send.refusals + 1
            } else {
                send.refusals.max(1)
            };
            if refusals >= REFUSALS_BELIEVED {
                let outcome = format!("the MIS would not have it: Wonde {told}");
                outcomes.end(id, send, EventState::Rejected, &outcome);
                outcomes
                    .forgotten
                    .push((send.ledger_key(id), send.event.id.clone()));
            } else {
                let again = SendJob {
                    refusals,
                    ..send.clone()
                };
                let wait = TimeDelta::seconds(i64::from(refusals) * 5);
                outcomes.again.push(
                    again
                        .new_job(id, &token_lane(school))
                        .not_before(self.now() + wait),
                );
                outcomes.updates.push(
                    EventUpdate::of(id, &send.event.id)
                        .state(EventState::Planned)
                        .waiting(format!(
                            "its writeback was refused ({told}); it goes again, alone"
                        )),
                );
            }
        }
    }

    /// Settles by the register what Wonde's word leaves open, and asks again later.
    async fn still_open(
        &self,
        outcomes: &mut Outcomes,
        school: &School,
        mis: Option<&Mis>,
        job: &Claimed,
        confirm: &ConfirmJob,
        why: &str,
    ) {
        let id = school.id.as_str();
        let waited = self.now() - confirm.accepted_at;
        if let Some(mis) = mis
            && waited > READ_BACK_AFTER
            && self.all_there(school, mis, confirm).await
        {
            outcomes.confirm_all(job, confirm, "the register read back", self.now());
            return;
        }
        let limit =
            TimeDelta::from_std(self.settings.service.confirm_within).unwrap_or(TimeDelta::MAX);
        if waited > limit {
            let outcome = format!("nobody could tell in time whether the MIS has it: {why}");
            outcomes.end_all(job, confirm, EventState::Unconfirmed, &outcome);
            return;
        }
        let go_on = GoOn::Again {
            when: When::After(self.next_look(job)),
            why: why.to_owned(),
        };
        outcomes.trouble(id, job, confirm, go_on);
    }

    async fn cannot_ask(
        &self,
        outcomes: &mut Outcomes,
        school: &School,
        job: &Claimed,
        confirm: &ConfirmJob,
        error: &Error,
    ) {
        match self.go_on(error, school) {
            GoOn::Again { why, .. } | GoOn::GiveUp { why } => {
                self.still_open(outcomes, school, None, job, confirm, &why)
                    .await;
            }
            rest => outcomes.trouble(school.id.as_str(), job, confirm, rest),
        }
        debug_assert_ne!(
            error.recovery(),
            Recovery::Unknown,
            "a read changes nothing"
        );
    }

    async fn all_there(&self, school: &School, mis: &Mis, confirm: &ConfirmJob) -> bool {
        for send in &confirm.marks {
            // Only a copy that was read after the register was taken can show its marks.
            let register = self
                .schools
                .register(school, mis, send.mark.date, Some(confirm.accepted_at))
                .await;
            let Ok(register) = register else { return false };
            let held = register.held(&send.mark.student, send.mark.session);
            if !held.is_some_and(|held| says(held, &send.mark)) {
                return false;
            }
        }
        true
    }

    fn next_look(&self, job: &Claimed) -> Duration {
        let steps = i32::try_from(job.attempts().min(30)).unwrap_or(30);
        self.pace
            .confirm_after
            .mul_f64(1.5_f64.powi(steps))
            .min(LOOK_AT_LEAST_EVERY)
    }

    async fn note_confirmations(&self, outcomes: Outcomes) -> outbox::Result<()> {
        let mut tx = self.store.database().begin().await?;
        let outbox = self.store.outbox();
        outbox.complete(&mut tx, &outcomes.done).await?.all()?;
        self.store.update_events(&mut tx, &outcomes.updates).await?;
        self.store.audit(&mut tx, &outcomes.audit).await?;
        self.store
            .move_marks(&mut tx, &outcomes.confirmed, Stage::Confirmed)
            .await?;
        self.store
            .forget_marks(&mut tx, &outcomes.forgotten)
            .await?;
        outbox.enqueue(&mut tx, &outcomes.again).await?;
        self.settle_trouble(&mut tx, outcomes.troubled).await?;
        tx.commit().await?;
        sight::news(outcomes.updates.iter().map(|update| update.state));
        sight::confirmed(outcomes.took);
        Ok(())
    }
}

impl Outcomes {
    fn add(&mut self, other: Self) {
        self.done.extend(other.done);
        self.updates.extend(other.updates);
        self.audit.extend(other.audit);
        self.confirmed.extend(other.confirmed);
        self.took.extend(other.took);
        self.forgotten.extend(other.forgotten);
        self.again.extend(other.again);
        self.troubled.extend(other.troubled);
    }

    fn confirm_all(&mut self, job: &Claimed, confirm: &ConfirmJob, by: &str, now: DateTime<Utc>) {
        self.done.push(job.held);
        let received = confirm.marks.iter().filter_map(|send| send.received_at);
        self.took.extend(received.map(|received| now - received));
        for send in &confirm.marks {
            self.confirmed
                .push((send.ledger_key(&job.lane), send.event.id.clone()));
            let more = json!({"writeback_id": confirm.writeback, "by": by});
            self.audit
                .push(audit_of("confirmed", &job.lane, send, more));
            self.end(
                &job.lane,
                send,
                EventState::Confirmed,
                &format!("the MIS has it, by {by}"),
            );
        }
    }

    fn end_all(&mut self, job: &Claimed, confirm: &ConfirmJob, state: EventState, outcome: &str) {
        self.done.push(job.held);
        for send in &confirm.marks {
            let more = json!({"writeback_id": confirm.writeback, "why": outcome});
            self.audit
                .push(audit_of(state.word(), &job.lane, send, more));
            self.end(&job.lane, send, state, outcome);
        }
    }

    fn end(&mut self, school: &str, send: &SendJob, state: EventState, outcome: &str) {
        self.updates.push(
            EventUpdate::of(school, &send.event.id)
                .state(state)
                .outcome(outcome),
        );
    }

    fn trouble(&mut self, school: &str, job: &Claimed, confirm: &ConfirmJob, go_on: GoOn) {
        let events = confirm
            .marks
            .iter()
            .map(|send| (school.to_owned(), send.event.id.clone()))
            .collect();
        self.troubled.push(Troubled {
            held: job.held,
            events,
            go_on,
        });
    }
}
