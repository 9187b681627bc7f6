//! What becomes of the marks of one batch of writebacks, gathered to be written down in one transaction.

use chrono::{DateTime, TimeDelta, Utc};
use outbox::{Claimed, Held, NewJob};
use serde_json::json;

use crate::{
    pipeline::{
        job::{ConfirmJob, SendJob},
        records::audit_of,
        trouble::{GoOn, Troubled},
    },
    schools::token_lane,
    settings::School,
    store::{EventState, EventUpdate, LedgerKey, NewAudit},
};

/// What one batch comes to, written down in one transaction.
#[derive(Default)]
pub(super) struct Outcomes {
    pub(super) done: Vec<Held>,
    pub(super) updates: Vec<EventUpdate>,
    pub(super) audit: Vec<NewAudit>,
    pub(super) confirmed: Vec<(LedgerKey, String)>,
    pub(super) took: Vec<TimeDelta>,
    pub(super) forgotten: Vec<(LedgerKey, String)>,
    pub(super) again: Vec<Again>,
    /// What is left of registers of which only some marks are settled.
    pub(super) left: Vec<NewJob>,
    pub(super) troubled: Vec<Troubled>,
}

/// A refused mark that is to go again, unless a newer one has taken its place by then.
pub(super) struct Again {
    pub(super) key: LedgerKey,
    pub(super) event: String,
    pub(super) job: NewJob,
    pub(super) why: String,
}

impl Outcomes {
    pub(super) fn add(&mut self, other: Self) {
        self.done.extend(other.done);
        self.updates.extend(other.updates);
        self.audit.extend(other.audit);
        self.confirmed.extend(other.confirmed);
        self.took.extend(other.took);
        self.forgotten.extend(other.forgotten);
        self.again.extend(other.again);
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
            self.confirmed
                .push((send.ledger_key(school), send.event.id.clone()));
            let more = json!({"writeback_id": confirm.writeback, "by": by});
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
            self.left.push(left.new_job(id, &token_lane(school), next));
        }
    }

    pub(super) fn end_all(
        &mut self,
        job: &Claimed,
        confirm: &ConfirmJob,
        state: EventState,
        outcome: &str,
    ) {
        self.done.push(job.held);
        self.end(&job.lane, confirm, confirm.open(), state, outcome);
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
        job: &Claimed,
        confirm: &ConfirmJob,
        go_on: GoOn,
    ) {
        let events = confirm
            .open()
            .map(|(_, send)| (school.to_owned(), send.event.id.clone()))
            .collect();
        self.troubled.push(Troubled {
            held: job.held,
            events,
            go_on,
        });
    }
}
