//! What becomes of the marks of one batch, gathered to be written down in one transaction.

use std::{collections::BTreeMap, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use mis_core::{Accepted, Error, ErrorKind, Receipt};
use outbox::{Claimed, Held};
use serde_json::json;

use crate::{
    ledger::Change,
    pipeline::{
        again::{Again, refused_and_goes_again},
        job::{SendJob, event_of_key},
        records::{audit_of, own_mark},
        trial::{self, Trial},
        trouble::{Away, GoOn, Troubled},
    },
    settings::School,
    store::{EventState, EventUpdate, LedgerKey, Limit, NewAudit},
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
    pub(super) accepted: BTreeMap<Receipt, Vec<SendJob>>,
    pub(super) ledger: Vec<(LedgerKey, Change)>,
    /// How long after their intake marks were written at once.
    pub(super) written_after: Vec<TimeDelta>,
    /// Refused marks that go again without something.
    pub(super) again: Vec<Again>,
    /// What marks have shown that were refused before and went through without something.
    pub(super) learned: Vec<(String, String, Limit, TimeDelta)>,
    pub(super) troubled: Vec<Troubled>,
    /// How long what fails now waits.
    pub(super) backoff: Duration,
    pub(super) away: Option<Away>,
    /// A register is on its way, or its answer is being gone through.
    pub(super) in_flight: bool,
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
            writeback: Some(accepted.receipt.to_string()),
            lesson: accepted.lesson.as_ref().map(ToString::to_string),
            sent_ms: Some(sent_at.timestamp_millis()),
            ..EventUpdate::of(id, &one.send.event.id)
        });
        let mut more = json!({"writeback_id": accepted.receipt, "lesson": accepted.lesson, "sent_at": sent_at});
        let trial = one.send.trial.as_ref().filter(|trial| trial.at_once);
        if let Some((mis, limit, believed)) = trial.map(Trial::shown) {
            more["learned"] = limit.to_string().into();
            self.learned.push((id.to_owned(), mis, limit, believed));
        }
        self.audit.push(audit_of("accepted", id, &one.send, more));
        let mark = own_mark(&one.send, Some(sent_at));
        self.ledger
            .push((one.send.ledger_key(id), Change::Accept(mark)));
        self.accepted
            .entry(accepted.receipt.clone())
            .or_default()
            .push(one.send.clone());
    }

    /// The MIS has the mark already; there is nothing to follow.
    pub(super) fn written(&mut self, school: &School, one: &Outgoing, sent_at: DateTime<Utc>) {
        let id = school.id.as_str();
        self.done.push(one.job.held);
        self.written_after
            .extend(one.send.received_at.map(|received| sent_at - received));
        self.updates.push(EventUpdate {
            sent_ms: Some(sent_at.timestamp_millis()),
            ..EventUpdate::of(id, &one.send.event.id)
                .state(EventState::Confirmed)
                .outcome("the MIS wrote it at once")
        });
        let mut more = json!({"by": "the MIS's answer", "sent_at": sent_at});
        if let Some((mis, limit, believed)) = one.send.trial.as_ref().map(Trial::shown) {
            more["learned"] = limit.to_string().into();
            self.learned.push((id.to_owned(), mis, limit, believed));
        }
        self.audit.push(audit_of("confirmed", id, &one.send, more));
        let key = one.send.ledger_key(id);
        let mark = own_mark(&one.send, Some(sent_at));
        self.ledger.push((key.clone(), Change::Accept(mark)));
        let event = one.send.event.id.clone();
        self.ledger.push((key, Change::Confirm(event)));
    }

    /// A mark that would not be taken as it is. Wonde or the MIS may take it without its comment or its minutes late.
    pub(super) fn refuse(
        &mut self,
        school: &School,
        mis: &str,
        one: &Outgoing,
        error: &Error,
        sent_at: DateTime<Utc>,
    ) {
        let id = school.id.as_str();
        let outcome = match error.server_message() {
            Some(said) => format!("{error}; Wonde said: {said}"),
            None => error.to_string(),
        };
        self.done.push(one.job.held);
        let next = (error.kind() == ErrorKind::Refused)
            .then(|| trial::without(&one.send, mis, error.server_message(), true, false))
            .flatten();
        if let Some(next) = next {
            self.audit.push(refused_and_goes_again(
                id,
                &one.send,
                &next,
                &outcome,
                json!({"sent_at": sent_at}),
            ));
            self.again.push(Again::without(school, next, None));
            return;
        }
        self.forget(id, &one.send);
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
        id: &str,
        one: &Outgoing,
        error: &Error,
        sent_at: DateTime<Utc>,
        look_after: Duration,
    ) {
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

    fn forget(&mut self, school: &str, send: &SendJob) {
        let change = Change::Forget(send.event.id.clone());
        self.ledger.push((send.ledger_key(school), change));
    }

    pub(super) fn trouble(&mut self, school: &str, one: &Outgoing, go_on: GoOn) {
        self.held_up(school, &one.job, go_on);
    }

    /// Something is in the way of a job, which may be one that cannot be read.
    pub(super) fn held_up(&mut self, school: &str, job: &Claimed, mut go_on: GoOn) {
        // However often it is put off, that it may be there already is not forgotten.
        if let GoOn::Again { why, .. } | GoOn::Rest { why, .. } = &mut go_on
            && is_unanswered(job)
            && !why.starts_with(NO_ANSWER)
        {
            *why = format!("{NO_ANSWER}; and now: {why}");
        }
        let event = event_of_key(school, &job.key).map(str::to_owned);
        if let (GoOn::GiveUp { .. }, Ok(send)) = (&go_on, job.parse::<SendJob>()) {
            self.forget(school, &send);
        }
        self.troubled.push(Troubled {
            held: job.held,
            events: event
                .map(|event| (school.to_owned(), event))
                .into_iter()
                .collect(),
            go_on,
        });
    }

    /// Whether it is known already what becomes of this job.
    pub(super) fn tells_of(&self, job: &Claimed) -> bool {
        self.done.contains(&job.held) || self.troubled.iter().any(|one| one.held == job.held)
    }
}

impl Outgoing {
    pub(super) fn is_unanswered(&self) -> bool {
        is_unanswered(&self.job)
    }
}

fn is_unanswered(job: &Claimed) -> bool {
    let note = job.note.as_deref();
    note.is_some_and(|note| note.starts_with(NO_ANSWER))
}
