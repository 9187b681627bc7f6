//! Confirming: what became of a register that Wonde took.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use mis_core::{Error, ErrorKind, Mis, Recovery, WritebackOutcome};
use outbox::{Claimed, Held, NewJob, Tx, When};
use serde_json::json;

use super::{
    Pipeline,
    decide::audit_of,
    job::{ConfirmJob, SendJob},
    send::is_ours,
    trouble::{GoOn, Troubled},
};
use crate::{
    schools::token_lane,
    settings::School,
    sight,
    store::{EventState, EventUpdate, LedgerKey, NewAudit, Stage},
};

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
    again: Vec<Again>,
    troubled: Vec<Troubled>,
}

/// A refused mark that is to go again, unless a newer one has taken its place by then.
struct Again {
    key: LedgerKey,
    event: String,
    job: NewJob,
    why: String,
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
        self.until_kept(|| self.note_confirmations(&all)).await
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
                let wait =
                    TimeDelta::from_std(self.pace.backoff * 2 * refusals).unwrap_or_default();
                outcomes.again.push(Again {
                    key: send.ledger_key(id),
                    event: send.event.id.clone(),
                    job: again
                        .new_job(id, &token_lane(school))
                        .not_before(self.now() + wait),
                    why: format!("its writeback was refused ({told}); it goes again, alone"),
                });
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
        let read_back_after =
            TimeDelta::from_std(self.pace.read_back_after).unwrap_or(TimeDelta::MAX);
        if let Some(mis) = mis
            && waited > read_back_after
            && self.all_there(school, mis, confirm).await
        {
            outcomes.confirm_all(job, confirm, "the register read back", self.now());
            return;
        }
        if self.is_over(confirm) {
            outcomes.end_all(job, confirm, EventState::Unconfirmed, &unconfirmed(why));
            return;
        }
        let go_on = GoOn::Again {
            when: When::After(self.next_look(job)),
            why: why.to_owned(),
        };
        outcomes.trouble(id, job, confirm, go_on);
    }

    /// Whether the outcome has been waited for long enough.
    fn is_over(&self, confirm: &ConfirmJob) -> bool {
        let limit =
            TimeDelta::from_std(self.settings.service.confirm_within).unwrap_or(TimeDelta::MAX);
        self.now() - confirm.accepted_at > limit
    }

    async fn cannot_ask(
        &self,
        outcomes: &mut Outcomes,
        school: &School,
        job: &Claimed,
        confirm: &ConfirmJob,
        error: &Error,
    ) {
        let backoff = self.backoff([job]);
        match self.go_on(error, school, backoff) {
            // Wonde knows the school and not the writeback: the register may still tell.
            _ if error.kind() == ErrorKind::NotFound => {
                let mis = self.schools.mis(school).await.ok();
                let why = error.to_string();
                self.still_open(outcomes, school, mis.as_ref(), job, confirm, &why)
                    .await;
            }
            GoOn::Again { why, .. } | GoOn::GiveUp { why } => {
                self.still_open(outcomes, school, None, job, confirm, &why)
                    .await;
            }
            GoOn::Rest { why, .. } if self.is_over(confirm) => {
                outcomes.end_all(job, confirm, EventState::Unconfirmed, &unconfirmed(&why));
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
            if !held.is_some_and(|held| is_ours(held, send)) {
                return false;
            }
        }
        true
    }

    fn next_look(&self, job: &Claimed) -> Duration {
        let doublings = job.attempts().min(20);
        self.pace
            .confirm_after
            .saturating_mul(1 << doublings)
            .min(self.pace.confirm_at_least_every)
    }

    async fn note_confirmations(&self, outcomes: &Outcomes) -> outbox::Result<()> {
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
        // All transactions touch marks, then pauses, then the queue's lines, so that none waits for another that waits for it.
        self.settle_trouble(&mut tx, &outcomes.troubled).await?;
        self.send_again(&mut tx, &outcomes.again).await?;
        tx.commit().await?;
        sight::news(outcomes.updates.iter().map(|update| update.state));
        sight::confirmed(outcomes.took.iter().copied());
        Ok(())
    }

    /// Puts refused marks in line once more. One whose place in the ledger a newer mark has taken would overtake that: it
    /// makes way. Nobody can plan a newer one while this decides, for the ledger's rows are locked until the commit.
    async fn send_again(&self, tx: &mut Tx, again: &[Again]) -> outbox::Result<()> {
        let marks: Vec<_> = again
            .iter()
            .map(|one| (one.key.clone(), one.event.clone()))
            .collect();
        let ours = self.store.move_marks(tx, &marks, Stage::Planned).await?;
        let mut jobs = Vec::with_capacity(again.len());
        let mut updates = Vec::with_capacity(again.len());
        for one in again {
            let update = EventUpdate::of(&one.key.school, &one.event);
            if ours.contains(&(one.key.school.clone(), one.event.clone())) {
                jobs.push(one.job.clone());
                updates.push(update.state(EventState::Planned).waiting(&one.why));
            } else {
                updates.push(update.state(EventState::Superseded).outcome(
                    "it was refused, and a newer mark for the same pupil, date and session has taken its place",
                ));
            }
        }
        self.store.outbox().enqueue(tx, &jobs).await?;
        self.store.update_events(tx, &updates).await
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

fn unconfirmed(why: &str) -> String {
    format!("nobody could tell in time whether the MIS has it: {why}")
}
