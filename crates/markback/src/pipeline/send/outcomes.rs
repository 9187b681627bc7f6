//! What becomes of the marks of one batch, gathered to be written down in one transaction.

use std::{collections::BTreeMap, time::Duration};

use chrono::{DateTime, Utc};
use mis_core::{Accepted, Error, wonde::WritebackId};
use outbox::{Claimed, Held};
use serde_json::json;

use crate::{
    ledger::Change,
    pipeline::{
        job::SendJob,
        records::{audit_of, own_mark},
        trouble::{Away, GoOn, Troubled},
    },
    settings::School,
    store::{EventState, EventUpdate, LedgerKey, NewAudit},
};

/// Stands at the head of a job's note when its mark may have been written and nobody knows.
const NO_ANSWER: &str = "sent, and no answer came";

/// A claimed mark.
pub(super) struct Outgoing {
    pub(super) job: Claimed,
    pub(super) send: SendJob,
}

/// What one batch comes to, written down in one transaction.
#[derive(Default)]
pub(super) struct Outcomes {
    pub(super) done: Vec<Held>,
    pub(super) updates: Vec<EventUpdate>,
    pub(super) audit: Vec<NewAudit>,
    pub(super) accepted: BTreeMap<WritebackId, Vec<SendJob>>,
    pub(super) ledger: Vec<(LedgerKey, Change)>,
    pub(super) troubled: Vec<Troubled>,
    /// How long what fails now waits.
    pub(super) backoff: Duration,
    pub(super) away: Option<Away>,
}

impl Outcomes {
    pub(super) fn accept(
        &mut self,
        school: &School,
        one: &Outgoing,
        accepted: &Accepted,
        sent_at: DateTime<Utc>,
    ) {
        let id = school.id.as_str();
        self.done.push(one.job.held);
        self.updates.push(EventUpdate {
            state: Some(EventState::Accepted),
            writeback: Some(accepted.writeback.to_string()),
            lesson: accepted.lesson.as_ref().map(ToString::to_string),
            sent_ms: Some(sent_at.timestamp_millis()),
            ..EventUpdate::of(id, &one.send.event.id)
        });
        let more = json!({"writeback_id": accepted.writeback, "lesson": accepted.lesson, "sent_at": sent_at});
        self.audit.push(audit_of("accepted", id, &one.send, more));
        let mark = own_mark(&one.send, Some(sent_at));
        self.ledger
            .push((one.send.ledger_key(id), Change::Accept(mark)));
        self.accepted
            .entry(accepted.writeback.clone())
            .or_default()
            .push(one.send.clone());
    }

    pub(super) fn refuse(
        &mut self,
        school: &School,
        one: &Outgoing,
        error: &Error,
        sent_at: DateTime<Utc>,
    ) {
        let id = school.id.as_str();
        let outcome = match error.said() {
            Some(said) => format!("{error}; Wonde said: {said}"),
            None => error.to_string(),
        };
        self.done.push(one.job.held);
        self.forget(id, one);
        self.audit.push(audit_of(
            "refused",
            id,
            &one.send,
            json!({"why": outcome, "sent_at": sent_at}),
        ));
        self.updates.push(EventUpdate {
            sent_ms: Some(sent_at.timestamp_millis()),
            ..EventUpdate::of(id, &one.send.event.id)
                .state(EventState::Rejected)
                .outcome(outcome)
        });
    }

    /// The request went out and nobody knows what became of it.
    pub(super) fn unknown(
        &mut self,
        school: &School,
        one: &Outgoing,
        error: &Error,
        sent_at: DateTime<Utc>,
        look_after: Duration,
    ) {
        let id = school.id.as_str();
        let why = format!("{NO_ANSWER} ({error})");
        self.audit.push(audit_of(
            "sent",
            id,
            &one.send,
            json!({"why": why, "sent_at": sent_at}),
        ));
        self.updates.push(EventUpdate {
            sent_ms: Some(sent_at.timestamp_millis()),
            ..EventUpdate::of(id, &one.send.event.id).state(EventState::Sent)
        });
        self.trouble(
            id,
            one,
            GoOn::Again {
                when: outbox::When::After(look_after.saturating_add(self.backoff)),
                why,
            },
        );
    }

    /// The register says what was to be written.
    pub(super) fn found_there(&mut self, school: &str, one: &Outgoing, key: LedgerKey) {
        self.done.push(one.job.held);
        let event = one.send.event.id.clone();
        self.ledger.push((key, Change::Confirm(event)));
        self.audit.push(audit_of(
            "confirmed",
            school,
            &one.send,
            json!({"by": "the register read back"}),
        ));
        self.updates.push(
            EventUpdate::of(school, &one.send.event.id)
                .state(EventState::Confirmed)
                .outcome("the register says so, read back after an answer that never came"),
        );
    }

    fn forget(&mut self, school: &str, one: &Outgoing) {
        let event = one.send.event.id.clone();
        self.ledger
            .push((one.send.ledger_key(school), Change::Forget(event)));
    }

    pub(super) fn trouble(&mut self, school: &str, one: &Outgoing, mut go_on: GoOn) {
        // However often it is put off, that it may be there already is not forgotten.
        if let GoOn::Again { why, .. } | GoOn::Rest { why, .. } = &mut go_on
            && one.is_unanswered()
            && !why.starts_with(NO_ANSWER)
        {
            *why = format!("{NO_ANSWER}; and now: {why}");
        }
        if matches!(go_on, GoOn::GiveUp { .. }) {
            self.forget(school, one);
        }
        self.troubled.push(Troubled {
            held: one.job.held,
            events: vec![(school.to_owned(), one.send.event.id.clone())],
            go_on,
        });
    }
}

impl Outgoing {
    pub(super) fn is_unanswered(&self) -> bool {
        let note = self.job.note.as_deref();
        note.is_some_and(|note| note.starts_with(NO_ANSWER))
    }
}
