//! What people do about events: try one again from the start, or give it up. Both are written into the audit trail.

use mis_core::SchoolId;
use outbox::{JobId, JobState};
use roster::Directory;
use serde_json::json;
use writeback::Event;

use crate::{
    directory::line_of,
    ledger::Change,
    metrics,
    pipeline::job::{DecideJob, decide_key, send_key},
    queue,
    schools::token_key,
    settings::Settings,
    store::{EventRecord, EventState, NewAudit, Store},
};

/// More refusals of one mark than there ever are.
const TRIES_MAX: u32 = 8;
/// The longest note or name that is kept, in characters.
const WORDS_MAX: usize = 500;

/// Who does something about an event, and why.
#[derive(Clone, Debug, Default)]
pub struct Actor {
    /// Who, as far as known.
    pub by: Option<String>,
    /// Which way: `command line`, `API`.
    pub via: &'static str,
    /// Why, in their own words.
    pub note: Option<String>,
}

/// Why nothing was done about an event.
#[derive(Debug, thiserror::Error)]
pub enum OperatorError {
    /// There is no such event.
    #[error(
        "this school has no event of this id; it never came in, or its time of keeping is over"
    )]
    UnknownEvent,
    /// Not at a school that the settings do not have.
    #[error("the settings know no school of this id; add a [[school]] for it, or correct the id")]
    UnknownSchool,
    /// Not in this state.
    #[error("{1}")]
    State(EventState, &'static str),
    /// A worker has it in hand, or it has just changed.
    #[error("the event is being worked on just now; look at it again in a minute")]
    Busy,
    /// As the store answers.
    #[error(transparent)]
    Store(#[from] outbox::Error),
}

impl OperatorError {
    fn state(state: EventState) -> Self {
        let words = match state {
            EventState::Received | EventState::Planned => {
                "the event is on its way and needs no retry; `waiting` tells what it waits for"
            }
            EventState::Sent | EventState::Accepted => {
                "the mark has gone to Wonde, which cannot call it back; wait for what becomes of it"
            }
            EventState::Confirmed => "the MIS has the mark already; there is nothing left to do",
            EventState::Skipped => {
                "nothing is to be written for this event; `steps` tells why. After a change of the settings only new events \
                 are decided by them"
            }
            EventState::Superseded => {
                "a newer mark for the same pupil, date and session stands; an older one is not put above it"
            }
            EventState::Discarded => "the event was given up already",
            EventState::Failed | EventState::Rejected | EventState::Unconfirmed => {
                "the event has changed; look at it again"
            }
        };
        Self::State(state, words)
    }
}

/// Tries a failed, rejected or unconfirmed event again from the start: the register is looked at and the rules are asked
/// anew. It goes to the end of its person's line, and one after which a later event has had its say is skipped instead.
///
/// # Errors
/// As [`OperatorError`] says; then nothing was changed.
pub async fn retry(
    store: &Store,
    settings: &Settings,
    school: &SchoolId,
    id: &str,
    actor: &Actor,
) -> Result<EventRecord, OperatorError> {
    let found = find(store, school, id).await?;
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
    let left = jobs_of(store, &found).await?;
    let mut tx = store.database().begin().await?;
    if !store.reopen(&mut tx, &found).await? {
        return Err(OperatorError::Busy);
    }
    store
        .outbox()
        .discard(&mut tx, &left, "tried again from the start")
        .await?;
    let job = DecideJob::new_job(
        &event,
        &line,
        found.round + 1,
        school.as_str(),
        &token_key(known),
    );
    store.outbox().enqueue(&mut tx, &[job]).await?;
    store
        .audit(&mut tx, &[trail("retried", &found, actor)])
        .await?;
    tx.commit().await?;
    metrics::events(EventState::Received, 1);
    find(store, school, id).await
}

/// Gives an event up: nothing more is done about it. One whose mark has gone to Wonde cannot be called back.
///
/// # Errors
/// As [`OperatorError`] says; then nothing was changed.
pub async fn discard(
    store: &Store,
    school: &SchoolId,
    id: &str,
    actor: &Actor,
) -> Result<EventRecord, OperatorError> {
    let found = find(store, school, id).await?;
    let open = matches!(found.state, EventState::Received | EventState::Planned);
    if !open && !found.state.may_be_retried() {
        return Err(OperatorError::state(found.state));
    }
    let left = jobs_of(store, &found).await?;
    let outcome = match clean(actor.note.as_deref()) {
        Some(note) => format!("given up by a person: {note}"),
        None => "given up by a person".to_owned(),
    };
    let mut tx = store.database().begin().await?;
    let given_up = store
        .outbox()
        .discard(&mut tx, &left, "given up by a person")
        .await?;
    // Of an open event a job is always there; a worker that holds it goes first.
    if open && given_up.is_empty() || !store.give_up(&mut tx, &found, &outcome).await? {
        return Err(OperatorError::Busy);
    }
    if let Some(key) = found.ledger_key() {
        let change = Change::Discard(found.id.clone());
        store.change_ledger(&mut tx, &[(key, change)]).await?;
    }
    store
        .audit(&mut tx, &[trail("discarded", &found, actor)])
        .await?;
    tx.commit().await?;
    metrics::events(EventState::Discarded, 1);
    find(store, school, id).await
}

async fn find(store: &Store, school: &SchoolId, id: &str) -> Result<EventRecord, OperatorError> {
    store
        .event(school, id)
        .await?
        .ok_or(OperatorError::UnknownEvent)
}

/// The unfinished jobs of the event's round.
async fn jobs_of(store: &Store, found: &EventRecord) -> outbox::Result<Vec<JobId>> {
    let (school, id, round) = (&found.school, &found.id, found.round);
    let sends = (0..TRIES_MAX).map(|tries| (queue::SEND, send_key(school, id, round, tries)));
    let mut left = Vec::new();
    for (queue, key) in std::iter::once((queue::DECIDE, decide_key(school, id, round))).chain(sends)
    {
        let job = store.outbox().find(queue, &key).await?;
        left.extend(job.filter(is_unfinished).map(|job| job.id));
    }
    // One that follows the mark's writeback and was given up is of no more use to the register's other events either.
    for (of, job) in store
        .followers(found.writeback_id.as_deref().unwrap_or_default())
        .await?
    {
        if let Some(key) = job.filter(|_| of == *school) {
            let job = store.outbox().find(queue::CONFIRM, &key).await?;
            left.extend(
                job.filter(|job| job.state == JobState::Dead)
                    .map(|job| job.id),
            );
        }
    }
    Ok(left)
}

fn is_unfinished(job: &outbox::JobInfo) -> bool {
    matches!(
        job.state,
        JobState::Waiting | JobState::Paused | JobState::Leased | JobState::Dead
    )
}

fn trail(what: &'static str, found: &EventRecord, actor: &Actor) -> NewAudit {
    NewAudit {
        school: found.school.clone(),
        event: found.id.clone(),
        what,
        record: json!({
            "state": found.state,
            "outcome": found.outcome,
            "by": clean(actor.by.as_deref()),
            "via": actor.via,
            "note": clean(actor.note.as_deref()),
        }),
    }
}

/// Words from outside, short and on one line.
fn clean(words: Option<&str>) -> Option<String> {
    let words: String = words?
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(WORDS_MAX)
        .collect();
    let words = words.trim();
    (!words.is_empty()).then(|| words.to_owned())
}
