//! Events and what became of them.

use std::collections::{BTreeMap, HashMap, hash_map::Entry};

use chrono::{DateTime, Utc};
use mis_core::wonde::SchoolId;
use outbox::{Sql, Tx, on_pool, on_tx};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::FromRow;
use writeback::Event;

use super::{AuditRecord, Store, audit, rows};

/// How far an event has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventState {
    /// Taken in, not decided yet; `waiting` tells why, if something is in the way.
    Received,
    /// Decided: nothing is to be written.
    Skipped,
    /// Decided: a mark is to be written.
    Planned,
    /// Sent, and nobody knows whether it was taken; it is looked up before it is sent again.
    Sent,
    /// Wonde has it and will pass it on.
    Accepted,
    /// The MIS has it.
    Confirmed,
    /// Wonde or the MIS would not have it.
    Rejected,
    /// Nobody could tell in time whether the MIS has it.
    Unconfirmed,
    /// A newer mark for the same pupil, date and session took its place before it was sent.
    Superseded,
    /// It could not be decided or sent, and waits for a person.
    Failed,
    /// A person gave it up.
    Discarded,
}

impl EventState {
    /// All states.
    pub const ALL: [Self; 11] = [
        Self::Received,
        Self::Skipped,
        Self::Planned,
        Self::Sent,
        Self::Accepted,
        Self::Confirmed,
        Self::Rejected,
        Self::Unconfirmed,
        Self::Superseded,
        Self::Failed,
        Self::Discarded,
    ];

    /// What a person may do about an event in this state; `None` where nothing is to be done.
    pub fn advice(self) -> Option<&'static str> {
        Some(match self {
            Self::Failed => {
                "put right what the outcome names, then retry it; or enter the mark in the MIS by hand and discard it"
            }
            Self::Rejected => {
                "put right what the outcome names, at the school or in the settings, then retry it; or enter the mark in \
                 the MIS by hand and discard it"
            }
            Self::Unconfirmed => {
                "look into the MIS: where the mark is missing, retry it or enter it by hand; where it is there, discard it"
            }
            Self::Sent => "wait: it is looked up in the register before it is sent again",
            Self::Received
            | Self::Planned
            | Self::Accepted
            | Self::Skipped
            | Self::Confirmed
            | Self::Superseded
            | Self::Discarded => return None,
        })
    }

    /// Whether a person may have it tried again from the start.
    pub fn may_be_retried(self) -> bool {
        matches!(self, Self::Failed | Self::Rejected | Self::Unconfirmed)
    }

    /// Whether nothing more happens by itself.
    pub fn is_final(self) -> bool {
        !matches!(
            self,
            Self::Received | Self::Planned | Self::Sent | Self::Accepted
        )
    }

    /// The word for records, metrics and JSON.
    pub fn word(self) -> &'static str {
        match self {
            Self::Received => "received",
            Self::Skipped => "skipped",
            Self::Planned => "planned",
            Self::Sent => "sent",
            Self::Accepted => "accepted",
            Self::Confirmed => "confirmed",
            Self::Rejected => "rejected",
            Self::Unconfirmed => "unconfirmed",
            Self::Superseded => "superseded",
            Self::Failed => "failed",
            Self::Discarded => "discarded",
        }
    }

    /// The state that [`EventState::word`] names.
    pub fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.word() == word)
    }
}

/// An event to be kept.
#[derive(Debug)]
pub struct NewEvent<'a> {
    /// The school.
    pub school: &'a SchoolId,
    /// The event.
    pub event: &'a Event,
}

/// What changes about an event. `None` leaves a column as it is, except `waiting`, which is always set anew: whatever
/// an event waited for, this is news of it.
#[derive(Clone, Debug, Default)]
pub struct EventUpdate {
    /// Which school's.
    pub school: String,
    /// Which event.
    pub id: String,
    /// The new state.
    pub state: Option<EventState>,
    /// The pupil's id at Wonde.
    pub student: Option<String>,
    /// The school day.
    pub day: Option<String>,
    /// `AM` or `PM`.
    pub session: Option<String>,
    /// The decision as JSON.
    pub decision: Option<String>,
    /// What it waits for.
    pub waiting: Option<String>,
    /// The writeback that carries it.
    pub writeback: Option<String>,
    /// The lesson that bears it.
    pub lesson: Option<String>,
    /// What became of it, in words.
    pub outcome: Option<String>,
    /// When it was sent.
    pub sent_ms: Option<i64>,
}

impl EventUpdate {
    /// News of one event.
    pub fn of(school: &str, id: &str) -> Self {
        Self {
            school: school.to_owned(),
            id: id.to_owned(),
            ..Self::default()
        }
    }

    /// Adds later news of the same event.
    fn add(&mut self, later: &Self) {
        let Self {
            school: _,
            id: _,
            state,
            student,
            day,
            session,
            decision,
            waiting,
            writeback,
            lesson,
            outcome,
            sent_ms,
        } = later.clone();
        self.state = state.or(self.state);
        self.student = student.or(self.student.take());
        self.day = day.or(self.day.take());
        self.session = session.or(self.session.take());
        self.decision = decision.or(self.decision.take());
        self.waiting = waiting;
        self.writeback = writeback.or(self.writeback.take());
        self.lesson = lesson.or(self.lesson.take());
        self.outcome = outcome.or(self.outcome.take());
        self.sent_ms = sent_ms.or(self.sent_ms);
    }

    /// With a new state.
    #[must_use]
    pub fn state(mut self, state: EventState) -> Self {
        self.state = Some(state);
        self
    }

    /// With what became of it.
    #[must_use]
    pub fn outcome(mut self, outcome: impl Into<String>) -> Self {
        self.outcome = Some(outcome.into());
        self
    }

    /// With what it waits for.
    #[must_use]
    pub fn waiting(mut self, why: impl Into<String>) -> Self {
        self.waiting = Some(why.into());
        self
    }
}

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

impl std::fmt::Debug for EventRecord {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EventRecord")
            .field("id", &self.id)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

#[derive(FromRow)]
pub(super) struct EventRow {
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

static INSERT: Sql = Sql::new(
    "INSERT INTO markback_events (school, id, person, body, state, received_ms) \
     SELECT r.school, r.id, r.person, r.body, 'received', $2 \
     FROM {rows $1: school text, id text, person text, body text} r WHERE true \
     ON CONFLICT (school, id) DO NOTHING RETURNING school, id",
);

static STATES: Sql = Sql::new(
    "SELECT e.school, e.id, e.state FROM {rows $1: school text, id text} r \
     JOIN markback_events e ON e.school = r.school AND e.id = r.id",
);

static UPDATE: Sql = Sql::new(
    "UPDATE markback_events SET \
        state = coalesce(r.state, markback_events.state), \
        student = coalesce(r.student, markback_events.student), \
        day = coalesce(r.day, markback_events.day), \
        session = coalesce(r.session, markback_events.session), \
        decision = coalesce(r.decision, markback_events.decision), \
        waiting = r.waiting, \
        writeback = coalesce(r.writeback, markback_events.writeback), \
        lesson = coalesce(r.lesson, markback_events.lesson), \
        outcome = coalesce(r.outcome, markback_events.outcome), \
        sent_ms = coalesce(r.sent_ms, markback_events.sent_ms), \
        decided_ms = CASE WHEN r.decision IS NULL THEN markback_events.decided_ms ELSE $2 END, \
        accepted_ms = CASE WHEN r.state = 'accepted' THEN $2 ELSE markback_events.accepted_ms END, \
        settled_ms = CASE WHEN r.state IN ('skipped','confirmed','rejected','unconfirmed','superseded','failed','discarded') THEN $2 \
                          WHEN r.state IS NULL THEN markback_events.settled_ms ELSE NULL END \
     FROM {rows $1: school text, id text, state text, student text, day text, session text, decision text, waiting text, \
           writeback text, lesson text, outcome text, sent_ms int} r \
     WHERE markback_events.school = r.school AND markback_events.id = r.id",
);

const ONE: &str = "SELECT * FROM markback_events WHERE school = $1 AND id = $2";
const TALLY: &str = "SELECT school, state, count(*) FROM markback_events GROUP BY school, state";
const OPEN: &str = "SELECT count(*) FROM markback_events WHERE settled_ms IS NULL";

/// An event's school and id.
type EventKey = (String, String);

impl Store {
    /// Keeps events that are new. Answers which were.
    pub(crate) async fn insert_events(
        &self,
        tx: &mut Tx,
        events: &[NewEvent<'_>],
    ) -> outbox::Result<Vec<EventKey>> {
        let table: Vec<_> = events
            .iter()
            .map(|new| {
                (
                    new.school.as_str(),
                    &new.event.id,
                    &new.event.person,
                    body(new.event),
                )
            })
            .collect();
        let (text, table, now) = (INSERT.on(tx.engine()), rows(&table)?, self.now_ms());
        Ok(on_tx!(tx, conn => sqlx::query_as(text).bind(&table).bind(now).fetch_all(conn).await)?)
    }

    /// The states of those of the events that are known.
    pub(crate) async fn states(
        &self,
        tx: &mut Tx,
        events: &[(&str, &str)],
    ) -> outbox::Result<HashMap<EventKey, EventState>> {
        let (text, table) = (STATES.on(tx.engine()), rows(events)?);
        let found: Vec<(String, String, String)> =
            on_tx!(tx, conn => sqlx::query_as(text).bind(&table).fetch_all(conn).await)?;
        Ok(found
            .into_iter()
            .filter_map(|(school, id, state)| Some(((school, id), EventState::of(&state)?)))
            .collect())
    }

    /// Writes down news of events.
    pub(crate) async fn update_events(
        &self,
        tx: &mut Tx,
        updates: &[EventUpdate],
    ) -> outbox::Result<()> {
        let updates = one_each(updates);
        let table: Vec<_> = updates
            .iter()
            .map(|u| {
                (
                    &u.school,
                    &u.id,
                    u.state.map(EventState::word),
                    &u.student,
                    &u.day,
                    &u.session,
                    &u.decision,
                    &u.waiting,
                    &u.writeback,
                    &u.lesson,
                    &u.outcome,
                    u.sent_ms,
                )
            })
            .collect();
        self.write_rows(tx, &UPDATE, &table).await
    }

    /// All that is known of one event.
    ///
    /// # Errors
    /// As the database answers.
    pub async fn event(&self, school: &SchoolId, id: &str) -> outbox::Result<Option<EventRecord>> {
        let row: Option<EventRow> = on_pool!(self.db, pool => {
            sqlx::query_as(ONE).bind(school.as_str()).bind(id).fetch_optional(pool).await
        })?;
        let Some(row) = row else { return Ok(None) };
        let history = audit::of_event(&self.db, school.as_str(), id).await?;
        Ok(Some(record(row, history)))
    }

    /// How many events are in each state, by school.
    ///
    /// # Errors
    /// As the database answers.
    pub async fn tally(&self) -> outbox::Result<BTreeMap<(SchoolId, EventState), u64>> {
        let counted: Vec<(String, String, i64)> =
            on_pool!(self.db, pool => sqlx::query_as(TALLY).fetch_all(pool).await)?;
        Ok(counted
            .into_iter()
            .filter_map(|(school, state, n)| {
                Some((
                    (SchoolId::from(school), EventState::of(&state)?),
                    u64::try_from(n).ok()?,
                ))
            })
            .collect())
    }

    /// How many events have not come to their end.
    ///
    /// # Errors
    /// As the database answers.
    pub async fn open_events(&self) -> outbox::Result<u64> {
        let open: i64 = on_pool!(self.db, pool => sqlx::query_scalar(OPEN).fetch_one(pool).await)?;
        Ok(u64::try_from(open).unwrap_or_default())
    }
}

/// One update for each event: a statement that met a row twice would take either. What is said later stands above.
fn one_each(updates: &[EventUpdate]) -> Vec<EventUpdate> {
    let mut places: HashMap<(&str, &str), usize> = HashMap::with_capacity(updates.len());
    let mut merged: Vec<EventUpdate> = Vec::with_capacity(updates.len());
    for update in updates {
        match places.entry((&update.school, &update.id)) {
            Entry::Vacant(place) => {
                place.insert(merged.len());
                merged.push(update.clone());
            }
            Entry::Occupied(place) => {
                if let Some(earlier) = merged.get_mut(*place.get()) {
                    earlier.add(update);
                }
            }
        }
    }
    merged
}

fn body(event: &Event) -> String {
    serde_json::to_string(event).unwrap_or_default()
}

pub(super) fn record(row: EventRow, history: Vec<AuditRecord>) -> EventRecord {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_news_of_one_event_the_later_stands_and_the_earlier_fills_its_gaps() {
        let decided = EventUpdate {
            decision: Some("{}".to_owned()),
            ..EventUpdate::of("A1", "e1")
                .state(EventState::Planned)
                .waiting("the register")
        };
        let other = EventUpdate::of("A2", "e1").state(EventState::Skipped);
        let accepted = EventUpdate {
            sent_ms: Some(7),
            ..EventUpdate::of("A1", "e1").state(EventState::Accepted)
        };
        let merged = one_each(&[decided, other, accepted]);
        let states: Vec<_> = merged.iter().map(|update| update.state).collect();
        assert_eq!(
            states,
            [Some(EventState::Accepted), Some(EventState::Skipped)]
        );
        assert_eq!(merged[0].decision.as_deref(), Some("{}"));
        assert_eq!((merged[0].sent_ms, &merged[0].waiting), (Some(7), &None));
    }
}
