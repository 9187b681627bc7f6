//! What becomes of the marks of one batch of writebacks, gathered to be written down in one transaction.

use chrono::{DateTime, TimeDelta, Utc};
use outbox::{ClaimedJob, LeaseToken, NewJob};
use serde_json::json;

use crate::{
    ledger::Change,
    pipeline::{
        again::Again,
        job::{ConfirmJob, SendJob},
        records::audit_of,
        trial::Trial,
        trouble::{GoOn, Troubled},
    },
    schools::token_key,
    settings::School,
    store::{EventState, EventUpdate, Followed, LedgerKey, Limit, NewAudit},
};

/// What one batch comes to, written down in one transaction.
#[derive(Default)]
pub(super) struct Outcomes {
    pub(super) done: Vec<LeaseToken>,
    pub(super) updates: Vec<EventUpdate>,
    pub(super) audit: Vec<NewAudit>,
    pub(super) ledger: Vec<(LedgerKey, Change)>,
    pub(super) took: Vec<TimeDelta>,
    pub(super) again: Vec<Again>,
    /// What marks have shown that were refused before and went through without something.
    pub(super) learned: Vec<(String, String, Limit, TimeDelta)>,
    /// What is left of registers of which only some marks are settled.
    pub(super) left: Vec<(Followed, NewJob)>,
    pub(super) troubled: Vec<Troubled>,
}

impl Outcomes {
    pub(super) fn add(&mut self, other: Self) {
        self.done.extend(other.done);
        self.updates.extend(other.updates);
        self.audit.extend(other.audit);
        self.ledger.extend(other.ledger);
        self.took.extend(other.took);
        self.again.extend(other.again);
        self.learned.extend(other.learned);
        self.left.extend(other.left);
        self.troubled.extend(other.troubled);
    }

    pub(super) fn confirm<'a>(
        &mut self,
        school: &str,
        confirm: &ConfirmJob,
        marks: impl Iterator<Item = (usize, &'a SendJob)>,
        by: &str,
        now: DateTime<Utc>,
    ) {
        for (_, send) in marks {
            self.took
                .extend(send.received_at.map(|received| now - received));
            let change = Change::Confirm(send.event.id.clone());
            self.ledger.push((send.ledger_key(school), change));
            let mut more = json!({"writeback_id": confirm.writeback, "by": by});
            let trial = send.trial.as_ref().filter(|trial| !trial.at_once);
            if let Some((mis, limit, believed)) = trial.map(Trial::shown) {
                more["learned"] = limit.to_string().into();
                self.learned.push((school.to_owned(), mis, limit, believed));
            }
            self.audit.push(audit_of("confirmed", school, send, more));
            let outcome = format!("the MIS has it, according to {by}");
            self.tell(school, send, EventState::Confirmed, &outcome);
        }
    }

    /// Follows on what is left of a register of which some is settled.
    pub(super) fn leave(
        &mut self,
        school: &School,
        left: &ConfirmJob,
        next: DateTime<Utc>,
        why: &str,
    ) {
        let id = school.id.as_str();
        let waiting =
            |(_, send): (usize, &SendJob)| EventUpdate::of(id, &send.event.id).waiting(why);
        let before = self.updates.len();
        self.updates.extend(left.open().map(waiting));
        if self.updates.len() > before {
            let job = left.new_job(id, &token_key(school), next);
            self.left.push((left.followed_by(id, &job), job));
        }
    }

    pub(super) fn end_all(
        &mut self,
        job: &ClaimedJob,
        confirm: &ConfirmJob,
        state: EventState,
        outcome: &str,
    ) {
        self.done.push(job.lease);
        self.end(&job.partition, confirm, confirm.open(), state, outcome);
    }

    pub(super) fn end<'a>(
        &mut self,
        school: &str,
        confirm: &ConfirmJob,
        marks: impl Iterator<Item = (usize, &'a SendJob)>,
        state: EventState,
        outcome: &str,
    ) {
        for (_, send) in marks {
            let more = json!({"writeback_id": confirm.writeback, "why": outcome});
            self.audit.push(audit_of(state.word(), school, send, more));
            self.tell(school, send, state, outcome);
        }
    }

    pub(super) fn tell(&mut self, school: &str, send: &SendJob, state: EventState, outcome: &str) {
        self.updates.push(
            EventUpdate::of(school, &send.event.id)
                .state(state)
                .outcome(outcome),
        );
    }

    pub(super) fn trouble(
        &mut self,
        school: &str,
        job: &ClaimedJob,
        confirm: &ConfirmJob,
        go_on: GoOn,
    ) {
        let events = confirm.open().map(|(_, send)| send.event.id.clone());
        debug_assert_eq!(school, job.partition);
        self.held_up(job, events.collect(), go_on);
    }

    /// Something is in the way of a job and its events.
    pub(super) fn held_up(&mut self, job: &ClaimedJob, events: Vec<String>, go_on: GoOn) {
        let events = events
            .into_iter()
            .map(|event| (job.partition.clone(), event));
        self.troubled.push(Troubled {
            held: job.lease,
            events: events.collect(),
            go_on,
        });
    }
}
