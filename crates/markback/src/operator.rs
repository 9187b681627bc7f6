//! Operators' decisions about events: retry or discard, and release or drop a held mark. All are recorded in the audit
//! trail.

use mis_core::SchoolId;
use outbox::{JobId, JobState};
use roster::Directory;
use serde_json::json;
use writeback::Event;

use crate::{
    audit_log::{AuditAction, Caller, NewAuditEntry},
    ledger::Change,
    metrics,
    people::line_of,
    pipeline::{
        InputProblem, PlannedMark,
        hold::{self, lapse_key},
        jobs::{DecideJob, decide_key, send_key},
    },
    queues,
    schools::token_key,
    settings::Settings,
    store::{EventFilter, EventRecord, EventState, NewAudit, Store},
};

/// An upper bound for the refusals of one mark.
pub(crate) const TRIES_MAX: u32 = 8;
/// Why an event cannot be released or dropped.
const NOT_HELD: &str =
    "the event has no mark that waits for release; `state` shows what became of it";
/// The longest stored note or name, in characters.
const WORDS_MAX: usize = 500;

/// Who decides about an event, and why.
#[derive(Clone, Debug, Default)]
pub struct Actor {
    /// Who, if known.
    pub by: Option<String>,
    /// Through which interface: `command line`, `API` or `pages`.
    pub via: &'static str,
    /// Why, in their own words.
    pub note: Option<String>,
    /// By which API key, system user or user of the pages, for the audit log.
    pub caller: Caller,
}

impl Actor {
    /// The program that has the service in it.
    pub fn program() -> Self {
        Self {
            via: "program",
            ..Self::default()
        }
    }

    /// The authenticated caller: the public part of an API key, or a user. `by` is only what the caller says.
    pub(crate) fn identity(&self) -> Option<&str> {
        let Caller { key, name } = &self.caller;
        key.as_deref().or(name.as_deref())
    }

    /// Who, shortened and on one line.
    pub(crate) fn by_in_short(&self) -> Option<String> {
        clean(self.by.as_deref())
    }

    /// An entry of the audit log about what they do.
    pub(crate) fn entry(&self, action: AuditAction) -> NewAuditEntry {
        NewAuditEntry::new(action, &self.caller, self.via)
    }

    /// Why, shortened and on one line.
    pub(crate) fn note_in_short(&self) -> Option<String> {
        clean(self.note.as_deref())
    }
}

/// Why a decision about an event was rejected.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OperatorError {
    /// There is no such event.
    #[error(
        "this school has no event with this id; it was never received, or is past its retention"
    )]
    UnknownEvent,
    /// The settings have no such school.
    #[error("the settings have no school with this id; add a [[school]] for it, or correct the id")]
    UnknownSchool,
    /// The event's state does not allow it.
    #[error("{1}")]
    State(EventState, &'static str),
    /// It was corrected before, in another way.
    #[error(
        "the event was corrected before, with another reason or another replacement; `correction` shows it"
    )]
    Corrected,
    /// A correction has no reason.
    #[error("a correction needs a reason; say why the event was wrong")]
    NoReason,
    /// The event that is to replace a wrong one is invalid.
    #[error("{} of the replacement's values are invalid", .0.len())]
    Replacement(Vec<InputProblem>),
    /// The id of the event that is to replace a wrong one belongs to another event.
    #[error("the replacement's id belongs to another event; give it an id of its own")]
    ReplacementConflict(InputProblem),
    /// A worker holds the event, or it has just changed.
    #[error("the event is being processed; check it again in a minute")]
    Busy,
    /// The database failed.
    #[error(transparent)]
    Store(#[from] outbox::Error),
}

impl OperatorError {
    fn state(state: EventState) -> Self {
        let words = match state {
            EventState::Received | EventState::Planned => {
                "the event is in progress and needs no retry; `waiting` shows the reason"
            }
            EventState::Held => {
                "the mark waits for release; release it to have it written, or drop it"
            }
            EventState::Sent | EventState::Accepted => {
                "the mark was sent to Wonde and cannot be recalled; wait for its outcome"
            }
            EventState::Confirmed => "the MIS already has the mark; there is nothing to do",
            EventState::Skipped => {
                "nothing needs to be written for this event; `steps` shows the reason. After a change of the settings only new events \
                 are decided by them"
            }
            EventState::Superseded => {
                "a newer mark for the same pupil, date and session stands; an older one does not replace it"
            }
            EventState::Discarded => "the event is already discarded",
            EventState::Withdrawn => "the event was withdrawn; nothing more happens to it",
            EventState::Failed | EventState::Rejected | EventState::Unconfirmed => {
                "the event has changed; check it again"
            }
        };
        Self::State(state, words)
    }
}

/// Retries a failed, rejected or unconfirmed event from the start: the register is read and the rules are applied
/// again. It goes behind the person's other events; if a later event stands by then, it is skipped.
///
/// # Errors
/// Returns an [`OperatorError`] if nothing was changed.
pub async fn retry(
    store: &Store,
    settings: &Settings,
    school: &SchoolId,
    id: &str,
    actor: &Actor,
) -> Result<EventRecord, OperatorError> {
    let found = find(store, school, id).await?;
    retry_found(store, settings, &found, actor).await?;
    find(store, school, id).await
}

/// Retries the event unless it has changed since it was found.
pub(crate) async fn retry_found(
    store: &Store,
    settings: &Settings,
    found: &EventRecord,
    actor: &Actor,
) -> Result<(), OperatorError> {
    let school = &SchoolId::from(found.school.as_str());
    let known = settings
        .school(school)
        .ok_or(OperatorError::UnknownSchool)?;
    if !found.state.may_be_retried() {
        return Err(OperatorError::state(found.state));
    }
    let event: Event = serde_json::from_value(found.event.clone())
        .map_err(|_| outbox::Error::invalid("the stored event cannot be read"))?;
    let directory = Directory::from_ids(store.ids(school).await?);
    let line = line_of(known, Some(&directory), &event);
    let left = jobs_of(store, found).await?;
    let mut tx = store.database().begin().await?;
    if !store.reopen(&mut tx, found).await? {
        return Err(OperatorError::Busy);
    }
    store
        .outbox()
        .discard(&mut tx, &left, "retried from the start")
        .await?;
    let job = DecideJob::new_job(
        &found.id,
        &line,
        found.round + 1,
        school.as_str(),
        &token_key(known),
    );
    store.outbox().enqueue(&mut tx, &[job]).await?;
    store
        .audit(&mut tx, &[trail("retried", found, actor)])
        .await?;
    let retried = entry(AuditAction::EventRetried, found, actor);
    store.record_in(&mut tx, &[retried]).await?;
    tx.commit().await?;
    metrics::events(EventState::Received, 1);
    Ok(())
}

/// Discards an event: nothing more happens to it. A mark that was sent to Wonde cannot be recalled.
///
/// # Errors
/// Returns an [`OperatorError`] if nothing was changed.
pub async fn discard(
    store: &Store,
    school: &SchoolId,
    id: &str,
    actor: &Actor,
) -> Result<EventRecord, OperatorError> {
    let found = find(store, school, id).await?;
    discard_found(store, &found, actor).await?;
    find(store, school, id).await
}

/// Discards the event unless it has changed since it was found.
pub(crate) async fn discard_found(
    store: &Store,
    found: &EventRecord,
    actor: &Actor,
) -> Result<(), OperatorError> {
    let open = matches!(
        found.state,
        EventState::Received | EventState::Held | EventState::Planned
    );
    if !open && !found.state.may_be_retried() {
        return Err(OperatorError::state(found.state));
    }
    end(store, found, open, AuditAction::EventDiscarded, actor).await
}

/// Releases a held mark: the register is read and the rules are applied again, and the mark is sent if nothing protects
/// what is there by then. It is not held again.
///
/// # Errors
/// Returns an [`OperatorError`] if nothing was changed.
pub async fn release(
    store: &Store,
    settings: &Settings,
    school: &SchoolId,
    id: &str,
    actor: &Actor,
) -> Result<EventRecord, OperatorError> {
    let found = find_held(store, school, id).await?;
    release_found(store, settings, &found, actor).await?;
    find(store, school, id).await
}

/// Releases the held mark unless the event has changed since it was found.
pub(crate) async fn release_found(
    store: &Store,
    settings: &Settings,
    found: &EventRecord,
    actor: &Actor,
) -> Result<(), OperatorError> {
    let known = settings
        .school(&SchoolId::from(found.school.as_str()))
        .ok_or(OperatorError::UnknownSchool)?;
    let key = (found.school.clone(), found.id.clone());
    let stored = store
        .events_with_plans(std::slice::from_ref(&key))
        .await?
        .remove(&key);
    let planned = stored
        .as_ref()
        .and_then(PlannedMark::read)
        .ok_or_else(|| outbox::Error::invalid("the held mark cannot be read"))?;
    let left = jobs_of(store, found).await?;
    let line = trail("released", found, actor);
    let entry = entry(AuditAction::EventReleased, found, actor);
    if !hold::release(store, known, found, planned, &left, line, entry).await? {
        return Err(OperatorError::Busy);
    }
    Ok(())
}

/// Drops a held mark: it is never written.
///
/// # Errors
/// Returns an [`OperatorError`] if nothing was changed.
pub async fn drop_held(
    store: &Store,
    school: &SchoolId,
    id: &str,
    actor: &Actor,
) -> Result<EventRecord, OperatorError> {
    let found = find_held(store, school, id).await?;
    drop_found(store, &found, actor).await?;
    find(store, school, id).await
}

/// Drops the held mark unless the event has changed since it was found.
pub(crate) async fn drop_found(
    store: &Store,
    found: &EventRecord,
    actor: &Actor,
) -> Result<(), OperatorError> {
    end(store, found, false, AuditAction::EventDropped, actor).await
}

/// The ids of a school's events whose marks wait for release, oldest first: all, or those with this code, whose letter
/// case does not matter.
///
/// # Errors
/// Returns an error if the database query fails.
pub async fn held(
    store: &Store,
    school: &SchoolId,
    code: Option<&str>,
) -> outbox::Result<Vec<String>> {
    let filter = EventFilter {
        school: Some(school.clone()),
        states: vec![EventState::Held],
        limit: u32::MAX,
        ..EventFilter::default()
    };
    let mut found = store.search(&filter).await?;
    found.reverse();
    let has_code = |event: &EventRecord| {
        code.is_none_or(|code| {
            let mark = event.decision.as_ref().map(|decision| &decision["mark"]);
            let own = mark.and_then(|mark| mark["code"].as_str());
            own.is_some_and(|own| own.eq_ignore_ascii_case(code.trim()))
        })
    };
    Ok(found
        .into_iter()
        .filter(has_code)
        .map(|event| event.id)
        .collect())
}

async fn find_held(
    store: &Store,
    school: &SchoolId,
    id: &str,
) -> Result<EventRecord, OperatorError> {
    let found = find(store, school, id).await?;
    if found.state != EventState::Held {
        return Err(OperatorError::State(found.state, NOT_HELD));
    }
    Ok(found)
}

/// Ends an event, so that nothing more happens to it. An event that `has_job` is in a worker's hands if the job is gone.
async fn end(
    store: &Store,
    found: &EventRecord,
    has_job: bool,
    action: AuditAction,
    actor: &Actor,
) -> Result<(), OperatorError> {
    let what = match action {
        AuditAction::EventDropped => "dropped",
        _ => "discarded",
    };
    let left = jobs_of(store, found).await?;
    let outcome = match clean(actor.note.as_deref()) {
        Some(note) => format!("{what} by an operator: {note}"),
        None => format!("{what} by an operator"),
    };
    let mut tx = store.database().begin().await?;
    let given_up = store
        .outbox()
        .discard(&mut tx, &left, &format!("{what} by an operator"))
        .await?;
    // An open event always has a job; a worker that holds it comes first.
    if has_job && given_up.is_empty() || !store.give_up(&mut tx, found, &outcome).await? {
        return Err(OperatorError::Busy);
    }
    if let Some(key) = found.ledger_key() {
        let change = Change::Discard(found.id.clone());
        store.change_ledger(&mut tx, &[(key, change)]).await?;
    }
    store.audit(&mut tx, &[trail(what, found, actor)]).await?;
    store
        .record_in(&mut tx, &[entry(action, found, actor)])
        .await?;
    tx.commit().await?;
    metrics::events(EventState::Discarded, 1);
    Ok(())
}

pub(crate) async fn find(
    store: &Store,
    school: &SchoolId,
    id: &str,
) -> Result<EventRecord, OperatorError> {
    store
        .event(school, id)
        .await?
        .ok_or(OperatorError::UnknownEvent)
}

/// The unfinished jobs of the event's round.
pub(crate) async fn jobs_of(store: &Store, found: &EventRecord) -> outbox::Result<Vec<JobId>> {
    let (school, id, round) = (&found.school, &found.id, found.round);
    let sends = (0..TRIES_MAX).map(|tries| (queues::SEND, send_key(school, id, round, tries)));
    let mut left = Vec::new();
    let others = [
        (queues::DECIDE, decide_key(school, id, round)),
        (queues::HOLD, lapse_key(school, id, round)),
    ];
    for (queue, key) in others.into_iter().chain(sends) {
        let job = store.outbox().find(queue, &key).await?;
        left.extend(job.filter(is_unfinished).map(|job| job.id));
    }
    // A dead-lettered job that followed the mark's writeback is of no use to the register's other events either.
    for (of, job) in store
        .followers(found.writeback_id.as_deref().unwrap_or_default())
        .await?
    {
        if let Some(key) = job.filter(|_| of == *school) {
            let job = store.outbox().find(queues::CONFIRM, &key).await?;
            left.extend(
                job.filter(|job| job.state == JobState::Dead)
                    .map(|job| job.id),
            );
        }
    }
    Ok(left)
}

pub(crate) fn is_unfinished(job: &outbox::JobInfo) -> bool {
    matches!(
        job.state,
        JobState::Waiting | JobState::Paused | JobState::Leased | JobState::Dead
    )
}

pub(crate) fn trail(what: &'static str, found: &EventRecord, actor: &Actor) -> NewAudit {
    NewAudit {
        school: found.school.clone(),
        event: found.id.clone(),
        what,
        record: json!({
            "state": found.state,
            "outcome": found.outcome,
            "by": actor.by_in_short(),
            "via": actor.via,
            "note": actor.note_in_short(),
        }),
    }
}

fn entry(action: AuditAction, found: &EventRecord, actor: &Actor) -> NewAuditEntry {
    let school = SchoolId::from(found.school.as_str());
    actor.entry(action).school(&school).subject(&found.id)
}

/// Text from outside, shortened and on one line.
pub(crate) fn clean(words: Option<&str>) -> Option<String> {
    let words: String = words?
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(WORDS_MAX)
        .collect();
    let words = words.trim();
    (!words.is_empty()).then(|| words.to_owned())
}
