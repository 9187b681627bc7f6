//! Does to events what a preview named.

use std::collections::HashMap;

use chrono::{DateTime, FixedOffset, Utc};
use mis_core::SchoolId;
use schemars::JsonSchema;
use serde::Serialize;

use super::{ACTION_MAX, Action, Named};
use crate::{
    operator::{Actor, OperatorError, discard_found, drop_found, release_found, retry_found},
    settings::Settings,
    store::{EventRecord, EventState, Store},
};

/// Why nothing was previewed or done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ActionError {
    /// The settings have no such school.
    #[error("the settings have no school with this id; add a [[school]] for it, or correct the id")]
    UnknownSchool,
    /// There is no such cause now.
    #[error("there is no such problem any more; look at the list again")]
    UnknownCause,
    /// The action cannot be done to the events of the cause.
    #[error("this cannot be done about this problem; `actions` shows what can")]
    DoesNotFit,
    /// There are too many events.
    #[error("{0} events at once are too many; name at most {ACTION_MAX}")]
    TooMany(usize),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] outbox::Error),
}

/// What was done.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct Done {
    /// The number of events that it was done to.
    pub done: usize,
    /// The number of events that were left alone.
    pub left_alone: usize,
    /// The events, in the order in which they were taken.
    pub events: Vec<ActionResult>,
}

/// What was done to one event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct ActionResult {
    /// Its id.
    pub id: String,
    /// Whether it was done.
    pub result: Deed,
    /// Why not, as text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// Whether something was done to an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Deed {
    /// It was done.
    Done,
    /// Nothing was done: the event has changed since the preview named it.
    Changed,
    /// Nothing was done, for another reason.
    Refused,
}

/// Does something to the events that a preview named, in the order in which they happened. An event that is not as it was
/// then is left alone. If a database query fails, what was done before stays done; the same call again does the rest.
///
/// # Errors
/// Returns an error if there are too many events, or if a database query fails.
pub async fn act(
    store: &Store,
    settings: &Settings,
    school: &SchoolId,
    action: Action,
    named: &[Named],
    actor: &Actor,
) -> Result<Done, ActionError> {
    if settings.school(school).is_none() {
        return Err(ActionError::UnknownSchool);
    }
    if named.len() > ACTION_MAX {
        return Err(ActionError::TooMany(named.len()));
    }
    let ids: Vec<_> = named.iter().map(|one| one.id.as_str()).collect();
    let mut found: HashMap<String, EventRecord> = store
        .events_of(school, &ids)
        .await?
        .into_iter()
        .map(|record| (record.id.clone(), record))
        .collect();
    let mut events: Vec<_> = named
        .iter()
        .map(|one| (one, found.remove(&one.id)))
        .collect();
    // An id that is named twice is taken once.
    events.sort_by_key(|(_, record)| record.as_ref().map(happened));
    let mut results = Vec::with_capacity(events.len());
    for (one, record) in events {
        let is_same =
            |record: &&EventRecord| record.state == one.state && record.round == one.round;
        let outcome = match record.as_ref().filter(is_same) {
            None => Err(OperatorError::Busy),
            Some(record) => match action {
                Action::Retry => retry_found(store, settings, record, actor).await,
                Action::Discard => discard_found(store, record, actor).await,
                Action::Release => release_found(store, settings, record, actor).await,
                Action::Drop if record.state == EventState::Held => {
                    drop_found(store, record, actor).await
                }
                Action::Drop => Err(OperatorError::Busy),
            },
        };
        let (result, why) = match outcome {
            Ok(()) => (Deed::Done, None),
            Err(OperatorError::Store(error)) => return Err(error.into()),
            Err(OperatorError::Busy) => (
                Deed::Changed,
                Some("it has changed since, so it was left alone".to_owned()),
            ),
            Err(error) => (Deed::Refused, Some(error.to_string())),
        };
        results.push(ActionResult {
            id: one.id.clone(),
            result,
            why,
        });
    }
    let done = results
        .iter()
        .filter(|one| one.result == Deed::Done)
        .count();
    Ok(Done {
        done,
        left_alone: results.len() - done,
        events: results,
    })
}

/// When an event happened; of the same instant, the one received first comes first.
fn happened(
    record: &EventRecord,
) -> (Option<DateTime<FixedOffset>>, Option<DateTime<Utc>>, String) {
    let at = record.event["at"].as_str();
    let at = at.and_then(|at| DateTime::parse_from_rfc3339(at).ok());
    (at, record.received_at, record.id.clone())
}
