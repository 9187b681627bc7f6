//! An event as reported by the service.

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::Value;

use markback::service::EventState;

/// The outcome of an event as reported by the service.
#[derive(Deserialize)]
pub(super) struct Record {
    pub(super) id: String,
    pub(super) school: String,
    pub(super) state: EventState,
    pub(super) event: Value,
    pub(super) student: Option<String>,
    pub(super) decision: Option<Decision>,
    #[serde(default)]
    pub(super) steps: Vec<String>,
    pub(super) lesson_id: Option<String>,
    pub(super) outcome: Option<String>,
    pub(super) accepted_at: Option<DateTime<Utc>>,
}

/// The reported part of a decision.
#[derive(Deserialize)]
pub(super) struct Decision {
    pub(super) outcome: String,
    pub(super) mark: Option<Mark>,
    pub(super) reason: Option<String>,
}

/// A mark as decided.
#[derive(Deserialize)]
pub(super) struct Mark {
    pub(super) date: String,
    pub(super) session: String,
    pub(super) code: String,
    pub(super) comment: Option<String>,
    pub(super) minutes_late: Option<u32>,
}
