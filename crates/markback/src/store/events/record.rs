//! All that is known of an event, and the row it is read from.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use sqlx::FromRow;

use super::EventState;
use crate::store::{AuditRecord, LedgerKey};

/// All that is known of an event. Holds a pupil's data: for whoever may see it, never for a log.
#[derive(Clone, Serialize)]
pub struct EventRecord {
    /// The sign-in system's id of it.
    pub id: String,
    /// The school.
    pub school: String,
    /// Who it was, by the id that the sign-in system uses.
    pub person: String,
    /// How far it has come.
    pub state: EventState,
    /// The event as taken in.
    pub event: Value,
    /// The pupil's id at Wonde when it was decided.
    pub student: Option<String>,
    /// The school day.
    pub date: Option<String>,
    /// `AM` or `PM`.
    pub session: Option<String>,
    /// The decision: outcome, mark or reason, what was dropped.
    pub decision: Option<Value>,
    /// What led to the decision, in words.
    pub steps: Vec<String>,
    /// What it waits for, in words.
    pub waiting: Option<String>,
    /// The writeback that carries it.
    pub writeback_id: Option<String>,
    /// The lesson that bears it.
    pub lesson_id: Option<String>,
    /// What became of it, in words.
    pub outcome: Option<String>,
    /// What a person may do about it, where something is to be done.
    pub advice: Option<&'static str>,
    /// How often a person had it tried again from the start.
    pub round: u32,
    /// When it was taken in.
    pub received_at: Option<DateTime<Utc>>,
    /// When it was decided last.
    pub decided_at: Option<DateTime<Utc>>,
    /// When it was sent last.
    pub sent_at: Option<DateTime<Utc>>,
    /// When Wonde took it.
    pub accepted_at: Option<DateTime<Utc>>,
    /// When it came to its end.
    pub settled_at: Option<DateTime<Utc>>,
    /// What was done about it, oldest first.
    pub history: Vec<AuditRecord>,
}

impl EventRecord {
    /// The pupil's session that it was decided for; `None` before that.
    pub(crate) fn ledger_key(&self) -> Option<LedgerKey> {
        Some(LedgerKey {
            school: self.school.clone(),
            student: self.student.as_deref()?.into(),
            date: self.date.as_deref()?.parse().ok()?,
            session: match self.session.as_deref()? {
                "AM" => mis_core::Session::Am,
                _ => mis_core::Session::Pm,
            },
        })
    }
}

impl std::fmt::Debug for EventRecord {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EventRecord")
            .field("id", &self.id)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

#[derive(FromRow)]
pub(in crate::store) struct EventRow {
    school: String,
    id: String,
    person: String,
    body: String,
    state: String,
    student: Option<String>,
    day: Option<String>,
    session: Option<String>,
    decision: Option<String>,
    waiting: Option<String>,
    writeback: Option<String>,
    lesson: Option<String>,
    outcome: Option<String>,
    received_ms: i64,
    decided_ms: Option<i64>,
    sent_ms: Option<i64>,
    accepted_ms: Option<i64>,
    settled_ms: Option<i64>,
    round: i64,
}

/// The row as a record, with what was done about the event.
pub(in crate::store) fn record(row: EventRow, history: Vec<AuditRecord>) -> EventRecord {
    let mut decision: Option<Value> = row
        .decision
        .and_then(|text| serde_json::from_str(&text).ok());
    let steps = decision
        .as_mut()
        .and_then(|decision| decision.as_object_mut()?.remove("steps"))
        .and_then(|steps| serde_json::from_value(steps).ok())
        .unwrap_or_default();
    let time = |ms: Option<i64>| ms.and_then(DateTime::from_timestamp_millis);
    let state = EventState::of(&row.state).unwrap_or(EventState::Failed);
    EventRecord {
        id: row.id,
        school: row.school,
        person: row.person,
        state,
        advice: state.advice(),
        round: u32::try_from(row.round).unwrap_or_default(),
        event: serde_json::from_str(&row.body).unwrap_or_default(),
        student: row.student,
        date: row.day,
        session: row.session,
        decision,
        steps,
        waiting: row.waiting,
        writeback_id: row.writeback,
        lesson_id: row.lesson,
        outcome: row.outcome,
        received_at: time(Some(row.received_ms)),
        decided_at: time(row.decided_ms),
        sent_at: time(row.sent_ms),
        accepted_at: time(row.accepted_ms),
        settled_at: time(row.settled_ms),
        history,
    }
}
