//! Corrections: an event that was wrong is withdrawn, as if it had never been received, and its mark is repaired as far as
//! an MIS can be. Another event may replace it.
//!
//! An event whose mark cannot be in the MIS ends at once. One whose mark may be there goes through the pipeline once more,
//! behind the other events of its person: `writeback` decides whether the mark before is written again. Events of the same
//! session that came to nothing because of the wrong one are decided anew before that.

use chrono::{DateTime, FixedOffset};
use mis_core::SchoolId;
use outbox::NewJob;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};
use writeback::{Event, SkipReason};

use crate::{
    audit_log::AuditAction,
    ledger::Change,
    metrics,
    operator::{Actor, OperatorError, TRIES_MAX, clean, find, is_unfinished, jobs_of, trail},
    people::{PersonIndex, line_of},
    pipeline::{
        InputProblem,
        intake::{EventCheck, content::conflict_with},
        jobs::{DecideJob, send_key},
    },
    queues,
    schools::token_key,
    settings::{School, Settings},
    store::{
        CorrectionRecord, EventRecord, EventState, EventUpdate, NewAudit, NewEvent, RepairJob,
        Store, StoredEvent,
    },
};

/// A correction of one event.
#[derive(Clone, Debug, Default)]
pub struct Correction {
    /// Why the event was wrong, at most 500 characters on one line. Never blank.
    pub reason: String,
    /// The event that replaces it, as JSON, with an id of its own.
    pub replacement: Option<Value>,
}

/// A corrected event.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct Corrected {
    /// The withdrawn event.
    pub event: EventRecord,
    /// The event that replaces it, if any.
    pub replacement: Option<EventRecord>,
}

/// Why an event was skipped that may be written once another is withdrawn.
const BECAUSE_OF_OTHERS: [SkipReason; 6] = [
    SkipReason::DoubleTap,
    SkipReason::PresentWritebackOff,
    SkipReason::Protected,
    SkipReason::AlreadyArrived,
    SkipReason::LaterEventStands,
    SkipReason::AlreadyRecorded,
];

/// Withdraws an event. The same correction again has no further effect.
///
/// # Errors
/// Returns an [`OperatorError`] if nothing was changed.
pub async fn correct(
    store: &Store,
    settings: &Settings,
    people: &PersonIndex,
    school: &SchoolId,
    id: &str,
    correction: &Correction,
    actor: &Actor,
) -> Result<Corrected, OperatorError> {
    let known = settings
        .school(school)
        .ok_or(OperatorError::UnknownSchool)?;
    let reason = clean(Some(&correction.reason)).ok_or(OperatorError::NoReason)?;
    let found = find(store, school, id).await?;
    if let Some(before) = &found.correction {
        let same = before.reason == reason
            && is_same_replacement(store, school, before, correction.replacement.as_ref()).await?;
        if !same {
            return Err(OperatorError::Corrected);
        }
        return corrected(store, school, id, before.replacement.as_deref()).await;
    }
    let step = Withdrawal {
        store,
        school: known,
        people,
        found: &found,
        record: CorrectionRecord {
            by: actor.by_in_short(),
            via: actor.via.to_owned(),
            at: store.now(),
            reason,
            replacement: None,
        },
    };
    let replacement = step.withdraw(settings, correction, actor).await?;
    corrected(store, school, id, replacement.as_deref()).await
}

async fn corrected(
    store: &Store,
    school: &SchoolId,
    id: &str,
    replacement: Option<&str>,
) -> Result<Corrected, OperatorError> {
    let event = find(store, school, id).await?;
    let replacement = match replacement {
        Some(id) => store.event(school, id).await?,
        None => None,
    };
    Ok(Corrected { event, replacement })
}

/// Whether a correction names the replacement that was recorded, with the same content.
async fn is_same_replacement(
    store: &Store,
    school: &SchoolId,
    before: &CorrectionRecord,
    given: Option<&Value>,
) -> outbox::Result<bool> {
    let (Some(id), Some(given)) = (&before.replacement, given) else {
        return Ok(before.replacement.is_none() && given.is_none());
    };
    let Ok(event) = serde_json::from_value::<Event>(given.clone()) else {
        return Ok(false);
    };
    let stored = stored(store, school, id).await?;
    Ok(event.id == *id && stored.is_none_or(|stored| conflict_with(&stored, &event).is_none()))
}

async fn stored(store: &Store, school: &SchoolId, id: &str) -> outbox::Result<Option<StoredEvent>> {
    let key = (school.to_string(), id.to_owned());
    let mut found = store.events_with_plans(std::slice::from_ref(&key)).await?;
    Ok(found.remove(&key))
}

/// How an event is withdrawn.
#[derive(Clone, Copy, PartialEq)]
enum How {
    /// Its mark cannot be in the MIS: it ends at once.
    AtOnce,
    /// The outcome of its mark is not known yet: the repair begins when it is.
    Later,
    /// Its mark may be in the MIS: the repair begins.
    Repair,
}

/// What the correction of an event does about its mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Effect {
    /// No mark of it can be in the MIS, so the event just ends.
    NothingWritten,
    /// Its mark is on its way: it is repaired once its outcome is known.
    RepairedLater,
    /// Its mark may be in the MIS: it is repaired as far as an MIS can be.
    Repaired,
}

/// An event, and what its correction would do. Nothing is changed.
///
/// # Errors
/// Returns an [`OperatorError`] if there is no such event, or if it was corrected before.
pub async fn effect(
    store: &Store,
    school: &SchoolId,
    id: &str,
) -> Result<(EventRecord, Effect), OperatorError> {
    let found = find(store, school, id).await?;
    if found.correction.is_some() {
        return Err(OperatorError::Corrected);
    }
    let effect = match how(store, &found).await? {
        How::AtOnce => Effect::NothingWritten,
        How::Later => Effect::RepairedLater,
        How::Repair => Effect::Repaired,
    };
    Ok((found, effect))
}

/// One event that is being withdrawn.
struct Withdrawal<'a> {
    store: &'a Store,
    school: &'a School,
    people: &'a PersonIndex,
    found: &'a EventRecord,
    record: CorrectionRecord,
}

impl Withdrawal<'_> {
    /// Returns the id of the replacement. Everything is one transaction: the events that are decided anew, the replacement and
    /// the repair are queued in this order.
    async fn withdraw(
        mut self,
        settings: &Settings,
        correction: &Correction,
        actor: &Actor,
    ) -> Result<Option<String>, OperatorError> {
        let (store, found, school) = (self.store, self.found, &self.school.id);
        let directory = self.people.of(school).await?;
        let replacement = match &correction.replacement {
            Some(given) => {
                let check = EventCheck {
                    service: &settings.service,
                    school: self.school,
                    directory: directory.as_deref(),
                    now: store.now(),
                };
                Some(self.replacement(&check, given.clone()).await?)
            }
            None => None,
        };
        self.record.replacement = replacement.as_ref().map(|event| event.id.clone());
        let line = |event: &Event| line_of(self.school, directory.as_deref(), event);
        let token_key = token_key(self.school);
        let event = read(found)?;
        let repair = RepairJob {
            person: line(&event),
            token_key: token_key.clone(),
        };
        let how = how(store, found).await?;
        let key = found.ledger_key();
        let others = match &key {
            Some(key) => self.others(store.unwritten(key).await?)?,
            None => Vec::new(),
        };
        let left = match how {
            How::Later => Vec::new(),
            How::AtOnce | How::Repair => jobs_of(store, found).await?,
        };

        let mut tx = store.database().begin().await?;
        let given_up = store
            .outbox()
            .discard(&mut tx, &left, "the event was withdrawn")
            .await?;
        let has_job = how != How::Later
            && matches!(
                found.state,
                EventState::Received | EventState::Held | EventState::Planned
            );
        // An open event always has a job; a worker that holds it comes first.
        if has_job && given_up.is_empty()
            || !store
                .withdraw(&mut tx, found, &self.record, &repair)
                .await?
        {
            return Err(OperatorError::Busy);
        }
        let mut audit = vec![trail("withdrawn", found, &self.as_note(actor))];
        let own = (school.as_str(), found.id.as_str());
        match how {
            How::AtOnce => {
                let outcome = format!("withdrawn: {}", self.record.reason);
                store.end_withdrawn(&mut tx, own, &outcome, false).await?;
                let ended = EventUpdate::of(own.0, own.1).state(EventState::Withdrawn);
                store.publish_outcomes(&mut tx, &[ended]).await?;
            }
            How::Later => {}
            How::Repair => store.begin_repair(&mut tx, own).await?,
        }
        let mut queue: Vec<(DateTime<FixedOffset>, NewJob)> = Vec::new();
        for (other, event) in &others {
            if !store.reopen(&mut tx, other).await? {
                return Err(OperatorError::Busy);
            }
            audit.push(self.decided_anew(other));
            let (person, round) = (line(event), other.round + 1);
            let job = DecideJob::new_job(&other.id, &person, round, school.as_str(), &token_key);
            queue.push((event.at, job));
        }
        let mut taken_in = 0;
        if let Some(event) = &replacement {
            let new = NewEvent { school, event };
            taken_in = store.insert_events(&mut tx, &[new]).await?.len();
            if taken_in > 0 {
                let person = line(event);
                let job = DecideJob::new_job(&event.id, &person, 0, school.as_str(), &token_key);
                queue.push((event.at, job));
            }
            let replacing = (school.as_str(), event.id.as_str());
            store.replaces(&mut tx, replacing, &found.id).await?;
        }
        if let Some(key) = key {
            let change = Change::Withdraw {
                event: found.id.clone(),
                may_stand: how != How::AtOnce,
            };
            store.change_ledger(&mut tx, &[(key, change)]).await?;
        }
        store.audit(&mut tx, &audit).await?;
        let entry = actor.entry(AuditAction::EventCorrected);
        let entry = entry.school(school).subject(&found.id);
        store.record_in(&mut tx, &[entry]).await?;
        queue.sort_by_key(|(at, _)| *at);
        let mut jobs: Vec<_> = queue.into_iter().map(|(_, job)| job).collect();
        if how == How::Repair {
            jobs.push(repair.job(school.as_str(), &found.id, found.round + 1));
        }
        store.outbox().enqueue(&mut tx, &jobs).await?;
        tx.commit().await?;
        if how == How::AtOnce {
            metrics::events(EventState::Withdrawn, 1);
        }
        metrics::events(EventState::Received, others.len() + taken_in);
        Ok(self.record.replacement)
    }

    /// The replacement, if it is valid.
    async fn replacement(
        &self,
        check: &EventCheck<'_>,
        given: Value,
    ) -> Result<Event, OperatorError> {
        let mut events = check
            .read(vec![given])
            .map_err(OperatorError::Replacement)?;
        let event = events.pop().ok_or(OperatorError::Replacement(Vec::new()))?;
        if event.id == self.found.id {
            return Err(OperatorError::ReplacementConflict(InputProblem {
                key: "[0].id".to_owned(),
                value: Some(event.id),
                message: "this is the id of the event that is withdrawn".to_owned(),
                help: "give the replacement an id of its own".to_owned(),
            }));
        }
        let key = (self.school.id.to_string(), event.id.clone());
        if self.store.is_erased(&key).await? {
            return Err(OperatorError::ReplacementConflict(InputProblem {
                key: "[0].id".to_owned(),
                value: Some(event.id),
                message: "an event with this id was accepted before, and erased for its person"
                    .to_owned(),
                help: "give the replacement an id of its own".to_owned(),
            }));
        }
        let before = stored(self.store, &self.school.id, &event.id).await?;
        match before.and_then(|before| conflict_with(&before, &event)) {
            Some(problem) => Err(OperatorError::ReplacementConflict(problem)),
            None => Ok(event),
        }
    }

    /// The events of the session that may have come to nothing because of this one, as they are stored and read.
    fn others(&self, unwritten: Vec<EventRecord>) -> outbox::Result<Vec<(EventRecord, Event)>> {
        let mut others = Vec::with_capacity(unwritten.len());
        for other in unwritten {
            if other.id != self.found.id && came_to_nothing(&other) {
                let event = read(&other)?;
                others.push((other, event));
            }
        }
        Ok(others)
    }

    fn as_note(&self, actor: &Actor) -> Actor {
        Actor {
            note: Some(self.record.reason.clone()),
            ..actor.clone()
        }
    }

    fn decided_anew(&self, other: &EventRecord) -> NewAudit {
        NewAudit {
            school: other.school.clone(),
            event: other.id.clone(),
            what: "decided anew",
            record: json!({
                "state": other.state,
                "why": "another event of the session was withdrawn",
                "withdrawn": self.found.id,
            }),
        }
    }
}

fn read(record: &EventRecord) -> outbox::Result<Event> {
    serde_json::from_value(record.event.clone())
        .map_err(|_| outbox::Error::invalid("the stored event cannot be read"))
}

/// Whether an event without a mark may have one when another of its session is withdrawn.
fn came_to_nothing(other: &EventRecord) -> bool {
    let reason = other.decision.as_ref().map(|decision| &decision["reason"]);
    let reason: Option<SkipReason> = reason.and_then(|reason| reason.as_str()?.parse().ok());
    other.state == EventState::Superseded
        || reason.is_some_and(|reason| BECAUSE_OF_OTHERS.contains(&reason))
}

async fn how(store: &Store, found: &EventRecord) -> outbox::Result<How> {
    Ok(match found.state {
        EventState::Sent | EventState::Accepted => How::Later,
        EventState::Planned if is_in_hand(store, found).await? => How::Later,
        EventState::Confirmed | EventState::Unconfirmed => How::Repair,
        _ if may_be_in_the_mis(found) => How::Repair,
        _ => How::AtOnce,
    })
}

/// Whether a worker has, or had, the planned mark in hand: it may be on its way although its state does not tell yet. The
/// next worker looks it up.
async fn is_in_hand(store: &Store, found: &EventRecord) -> outbox::Result<bool> {
    for tries in 0..TRIES_MAX {
        let key = send_key(&found.school, &found.id, found.round, tries);
        let job = store.outbox().find(queues::SEND, &key).await?;
        if job.is_some_and(|job| is_unfinished(&job) && job.attempts > 0) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether a mark of the event was sent and not refused, by its history.
fn may_be_in_the_mis(found: &EventRecord) -> bool {
    let (mut unanswered, mut taken) = (false, false);
    for line in &found.history {
        match line.what.as_str() {
            "sent" => unanswered = true,
            "accepted" | "confirmed" => taken = true,
            "refused" => taken = false,
            _ => {}
        }
    }
    unanswered || taken
}
