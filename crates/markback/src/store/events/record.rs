//! The record of an event, and the row it is read from.

use chrono::{DateTime, NaiveDate, Utc};
use mis_core::Ability;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::EventState;
use writeback::SkipReason;

use crate::store::row::row;
use crate::store::{AuditRecord, CorrectionRecord, LedgerKey};

/// The record of an event. Holds a pupil's data: for authorised readers, never for a log.
#[derive(Clone, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct EventRecord {
    /// The sign-in system's id.
    pub id: String,
    /// The school.
    pub school: String,
    /// The person, by the sign-in system's id.
    pub person: String,
    /// Its state.
    pub state: EventState,
    /// The event as received.
    #[schemars(with = "writeback::Event")]
    pub event: Value,
    /// The pupil's id at Wonde at the time of the decision.
    pub student: Option<String>,
    /// The school day.
    pub date: Option<String>,
    /// `AM` or `PM`.
    pub session: Option<String>,
    /// The decision: outcome, mark or reason, what was dropped.
    #[schemars(with = "Option<DecisionForm>")]
    pub decision: Option<Value>,
    /// The steps of the decision, as text.
    pub steps: Vec<String>,
    /// The version of the settings that the decision went by: `store 7`, or `file 3f2a9c1b`.
    pub settings: Option<String>,
    /// What it waits for, as text.
    pub waiting: Option<String>,
    /// The writeback that contains the mark.
    pub writeback_id: Option<String>,
    /// The lesson that holds the mark.
    pub lesson_id: Option<String>,
    /// Its outcome, as text.
    pub outcome: Option<String>,
    /// What an operator can do, if anything.
    pub advice: Option<&'static str>,
    /// Who withdrew it, when and why, and the event that replaces it; `None` if it was not withdrawn.
    pub correction: Option<CorrectionRecord>,
    /// The withdrawn event that this one replaces.
    pub corrects: Option<String>,
    /// How often an operator has retried it.
    pub round: u32,
    /// When it was received.
    pub received_at: Option<DateTime<Utc>>,
    /// When it was last decided.
    pub decided_at: Option<DateTime<Utc>>,
    /// When it was last sent.
    pub sent_at: Option<DateTime<Utc>>,
    /// When Wonde accepted it.
    pub accepted_at: Option<DateTime<Utc>>,
    /// When it reached a final state.
    pub settled_at: Option<DateTime<Utc>>,
    /// Its audit trail, oldest first.
    pub history: Vec<AuditRecord>,
    /// Whether the repair of its mark has begun.
    #[serde(skip)]
    pub(crate) is_repaired: bool,
}

/// The JSON form of a decision in a record, which keeps the steps apart.
#[derive(JsonSchema)]
#[schemars(rename = "Decision")]
#[serde(tag = "outcome", rename_all = "snake_case")]
#[expect(
    dead_code,
    reason = "it describes JSON that `writeback::Decision` writes"
)]
enum DecisionForm {
    /// A mark to write.
    Write {
        /// The mark.
        mark: MarkForm,
        /// Parts of the mark that were omitted because the MIS cannot store them.
        dropped: Vec<Ability>,
        /// Why the mark waits for a person's release, if it does.
        #[serde(skip_serializing_if = "Option::is_none")]
        hold: Option<String>,
    },
    /// Nothing is written.
    Skip {
        /// Why.
        reason: SkipReason,
        /// Details, as text.
        detail: String,
    },
    /// Nothing is written yet.
    Wait {
        /// Why.
        detail: String,
    },
    /// Nothing is written until an operator fixes the cause.
    Fail {
        /// The problem and its remedy.
        detail: String,
    },
}

/// A mark to write into the register.
#[derive(JsonSchema)]
#[schemars(rename = "PlannedMark")]
#[expect(
    dead_code,
    reason = "it describes JSON that `writeback::Decision` writes"
)]
struct MarkForm {
    /// The school day.
    date: NaiveDate,
    /// `AM` or `PM`.
    session: String,
    /// The attendance code.
    code: String,
    /// The comment.
    comment: Option<String>,
    /// Minutes late.
    minutes_late: Option<u32>,
}

impl EventRecord {
    /// The session that it was decided for; `None` before that.
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

row! {
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
        settings: Option<String>,
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
        correction: Option<String>,
        corrects: Option<String>,
        repair_round: Option<i64>,
    }
}

/// Converts a row with its audit trail.
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
    let state = row.state.parse().unwrap_or(EventState::Failed);
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
        settings: row.settings,
        waiting: row.waiting,
        writeback_id: row.writeback,
        lesson_id: row.lesson,
        outcome: row.outcome,
        correction: row
            .correction
            .and_then(|text| serde_json::from_str(&text).ok()),
        corrects: row.corrects,
        is_repaired: row.repair_round.is_some(),
        received_at: time(Some(row.received_ms)),
        decided_at: time(row.decided_ms),
        sent_at: time(row.sent_ms),
        accepted_at: time(row.accepted_ms),
        settled_at: time(row.settled_ms),
        history,
    }
}
