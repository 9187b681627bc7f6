//! A school's events of one day, without their texts.

use chrono::{DateTime, Utc};
use mis_core::{EventKind, PersonKind, SchoolId};
use outbox::on_pool;
use serde::Deserialize;
use writeback::SkipReason;

use super::{EventState, Store};
use crate::store::row::row;

/// The most events of one day that are read.
pub(crate) const EVENTS_MAX: usize = 20_000;

/// An event as a list of a school's day shows it. Its record has the rest.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DayEvent {
    /// The sign-in system's id.
    pub id: String,
    /// The person, by the sign-in system's id.
    pub person: String,
    /// The kind of person, if the event tells it.
    pub kind_of_person: Option<PersonKind>,
    /// In or out.
    pub kind: EventKind,
    /// When the person signed in or out.
    pub at: DateTime<Utc>,
    /// Its state.
    pub state: EventState,
    /// The attendance code of the mark that was decided on.
    pub code: Option<String>,
    /// Why nothing is written, if that was decided.
    pub reason: Option<SkipReason>,
    /// What became of it, as text.
    pub outcome: Option<String>,
    /// When it was received.
    pub received_at: Option<DateTime<Utc>>,
    /// When it reached a final state.
    pub settled_at: Option<DateTime<Utc>>,
}

/// By the index of when events were. Events of very early versions have no such time; when they were received counts.
pub(super) const OF_DAY: &str = "SELECT id, person, body, state, decision, outcome, happened_ms, received_ms, settled_ms FROM ( \
         SELECT id, person, body, state, decision, outcome, at_ms AS happened_ms, received_ms, settled_ms \
         FROM markback_events WHERE school = $1 AND at_ms >= $2 AND at_ms < $3 \
         UNION ALL SELECT id, person, body, state, decision, outcome, received_ms AS happened_ms, received_ms, settled_ms \
         FROM markback_events WHERE school = $1 AND at_ms IS NULL AND received_ms >= $2 AND received_ms < $3) e \
     ORDER BY happened_ms, id LIMIT $4";

row! {
    struct DayRow {
        id: String,
        person: String,
        body: String,
        state: String,
        decision: Option<String>,
        outcome: Option<String>,
        happened_ms: i64,
        received_ms: i64,
        settled_ms: Option<i64>,
    }
}

/// What is read of the event.
#[derive(Deserialize)]
struct Body {
    kind: EventKind,
    #[serde(default)]
    kind_of_person: Option<PersonKind>,
}

/// What is read of the decision.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Decided {
    mark: Option<DecidedMark>,
    reason: Option<SkipReason>,
}

#[derive(Deserialize)]
struct DecidedMark {
    code: String,
}

impl Store {
    /// A school's events that happened in `[from, until)`, in order of time and id: at most [`EVENTS_MAX`], and whether there
    /// are more.
    pub(crate) async fn events_between(
        &self,
        school: &SchoolId,
        from: DateTime<Utc>,
        until: DateTime<Utc>,
    ) -> outbox::Result<(Vec<DayEvent>, bool)> {
        let (from, until) = (from.timestamp_millis(), until.timestamp_millis());
        let limit = i64::try_from(EVENTS_MAX.saturating_add(1)).unwrap_or(i64::MAX);
        let mut found: Vec<DayRow> = on_pool!(self.db, pool => {
            sqlx::query_as(OF_DAY)
                .bind(school.as_str())
                .bind(from)
                .bind(until)
                .bind(limit)
                .fetch_all(pool)
                .await
        })?;
        let more = found.len() > EVENTS_MAX;
        found.truncate(EVENTS_MAX);
        Ok((found.into_iter().filter_map(event).collect(), more))
    }
}

fn event(row: DayRow) -> Option<DayEvent> {
    let body: Body = serde_json::from_str(&row.body).ok()?;
    let decided = row.decision.as_deref();
    let decided = decided.and_then(|text| serde_json::from_str::<Decided>(text).ok());
    let decided = decided.unwrap_or_default();
    Some(DayEvent {
        id: row.id,
        person: row.person,
        kind_of_person: body.kind_of_person,
        kind: body.kind,
        at: DateTime::from_timestamp_millis(row.happened_ms)?,
        state: row.state.parse().ok()?,
        code: decided.mark.map(|mark| mark.code),
        reason: decided.reason,
        outcome: row.outcome,
        received_at: DateTime::from_timestamp_millis(row.received_ms),
        settled_at: row.settled_ms.and_then(DateTime::from_timestamp_millis),
    })
}
