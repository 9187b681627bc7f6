//! Events and their states.

mod record;
mod state;
mod update;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use mis_core::SchoolId;
use outbox::{Sql, Tx, on_pool, on_tx};
use writeback::Event;

pub(super) use self::record::{EventRow, record};
use self::update::one_each;
pub use self::{
    record::EventRecord,
    state::{EventState, UnknownState},
    update::EventUpdate,
};
use super::{Store, audit, needs_person, rows, schools_of};

/// An event to store.
#[derive(Debug)]
pub struct NewEvent<'a> {
    /// The school.
    pub school: &'a SchoolId,
    /// The event.
    pub event: &'a Event,
}

static INSERT: Sql = Sql::new(
    "INSERT INTO markback_events (school, id, person, body, at_ms, state, received_ms) \
     SELECT r.school, r.id, r.person, r.body, r.at_ms, 'received', $2 \
     FROM {rows $1: school text, id text, person text, body text, at_ms int} r \
     WHERE NOT EXISTS (SELECT 1 FROM markback_erasure_events x WHERE x.school = r.school AND x.id = r.id) \
     ON CONFLICT (school, id) DO NOTHING RETURNING school, id",
);

pub(super) static STORED: Sql = Sql::new(
    "SELECT e.school, e.id, e.state, e.body, e.plan, e.correction, e.repair_round FROM {rows $1: school text, id text} r \
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
        plan = coalesce(r.plan, markback_events.plan), \
        settings = CASE WHEN r.decision IS NULL THEN markback_events.settings ELSE r.settings END, \
        sent_ms = coalesce(r.sent_ms, markback_events.sent_ms), \
        decided_ms = CASE WHEN r.decision IS NULL THEN markback_events.decided_ms ELSE $2 END, \
        accepted_ms = CASE WHEN r.state = 'accepted' THEN $2 ELSE markback_events.accepted_ms END, \
        settled_ms = CASE WHEN r.state IN ('skipped','confirmed','rejected','unconfirmed','superseded','failed','discarded','withdrawn') THEN $2 \
                          WHEN r.state IS NULL THEN markback_events.settled_ms ELSE NULL END \
     FROM {rows $1: school text, id text, state text, student text, day text, session text, decision text, waiting text, \
           writeback text, lesson text, outcome text, sent_ms int, plan text, settings text} r \
     WHERE markback_events.school = r.school AND markback_events.id = r.id",
);

const ONE: &str = "SELECT * FROM markback_events WHERE school = $1 AND id = $2";
/// Uses the index of open events.
const ACCEPTED_WITH: &str = "SELECT id FROM markback_events \
     WHERE school = $1 AND state = 'accepted' AND settled_ms IS NULL AND writeback = $2 ORDER BY id";
const TALLY: &str = "SELECT school, state, count(*) FROM markback_events GROUP BY school, state";
/// Each half by an index of such events only.
pub(super) static PENDING: Sql = Sql::new(concat!(
    "SELECT school, state, count(*) FROM markback_events WHERE settled_ms IS NULL GROUP BY school, state \
     UNION ALL SELECT school, state, count(*) FROM markback_events {INDEXED BY markback_events_problems|} \
     WHERE ",
    needs_person!(""),
    " AND settled_ms IS NOT NULL GROUP BY school, state",
));
pub(super) const SCHOOLS: &str = concat!(
    schools_of!("markback_events"),
    " SELECT school FROM k WHERE school IS NOT NULL"
);
const OPEN: &str = "SELECT count(*) FROM markback_events WHERE settled_ms IS NULL";

/// An event's school and id.
pub(crate) type EventKey = (String, String);

/// A stored event.
pub(crate) struct StoredEvent {
    /// Its state.
    pub(crate) state: EventState,
    /// The event as received, as JSON.
    pub(crate) body: String,
    /// Its planned mark as JSON, once it has one.
    pub(crate) plan: Option<String>,
    /// Whether it was withdrawn.
    pub(crate) withdrawn: bool,
    /// Whether its mark is being repaired: the outcome of its first mark is known.
    pub(crate) repairs: bool,
}

impl Store {
    /// Stores events that are new, and were not erased, and returns their keys.
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
                    new.event.at.timestamp_millis(),
                )
            })
            .collect();
        let (text, table, now) = (INSERT.on(tx.engine()), rows(&table)?, self.now_ms());
        Ok(on_tx!(tx, conn => sqlx::query_as(text).bind(&table).bind(now).fetch_all(conn).await)?)
    }

    /// Those of the events that are stored already.
    pub(crate) async fn stored_events(
        &self,
        tx: &mut Tx,
        events: &[EventKey],
    ) -> outbox::Result<HashMap<EventKey, StoredEvent>> {
        if events.is_empty() {
            return Ok(HashMap::new());
        }
        let (text, table) = (STORED.on(tx.engine()), rows(events)?);
        let found: Vec<StoredRow> =
            on_tx!(tx, conn => sqlx::query_as(text).bind(&table).fetch_all(conn).await)?;
        Ok(found.into_iter().filter_map(stored).collect())
    }

    /// These events with their planned marks.
    pub(crate) async fn events_with_plans(
        &self,
        events: &[EventKey],
    ) -> outbox::Result<HashMap<EventKey, StoredEvent>> {
        if events.is_empty() {
            return Ok(HashMap::new());
        }
        let (text, table) = (STORED.on(self.db.engine()), rows(events)?);
        let found: Vec<StoredRow> =
            on_pool!(self.db, pool => sqlx::query_as(text).bind(&table).fetch_all(pool).await)?;
        Ok(found.into_iter().filter_map(stored).collect())
    }

    /// Updates events.
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
                    u.state.map(EventState::as_str),
                    &u.student,
                    &u.day,
                    &u.session,
                    &u.decision,
                    &u.waiting,
                    &u.writeback,
                    &u.lesson,
                    &u.outcome,
                    u.sent_ms,
                    &u.plan,
                    &u.settings,
                )
            })
            .collect();
        self.write_rows(tx, &UPDATE, &table).await
    }

    /// The open events whose marks are in this writeback.
    pub(crate) async fn accepted_with(
        &self,
        school: &str,
        writeback: &str,
    ) -> outbox::Result<Vec<String>> {
        Ok(on_pool!(self.db, pool => {
            sqlx::query_scalar(ACCEPTED_WITH).bind(school).bind(writeback).fetch_all(pool).await
        })?)
    }

    /// The record of one event.
    ///
    /// # Errors
    /// Returns an error if the database query fails.
    pub async fn event(&self, school: &SchoolId, id: &str) -> outbox::Result<Option<EventRecord>> {
        let row: Option<EventRow> = on_pool!(self.db, pool => {
            sqlx::query_as(ONE).bind(school.as_str()).bind(id).fetch_optional(pool).await
        })?;
        let Some(row) = row else { return Ok(None) };
        let history = audit::of_event(&self.db, school.as_str(), id).await?;
        Ok(Some(record(row, history)))
    }

    /// The number of events in each state, by school. Reads every stored event.
    ///
    /// # Errors
    /// Returns an error if the database query fails.
    pub async fn tally(&self) -> outbox::Result<BTreeMap<(SchoolId, EventState), u64>> {
        self.counted(TALLY).await
    }

    /// The number of events in each state that is open or waits for a person, by school.
    ///
    /// # Errors
    /// Returns an error if the database query fails.
    pub(crate) async fn pending(&self) -> outbox::Result<BTreeMap<(SchoolId, EventState), u64>> {
        self.counted(PENDING.on(self.db.engine())).await
    }

    async fn counted(
        &self,
        text: &'static str,
    ) -> outbox::Result<BTreeMap<(SchoolId, EventState), u64>> {
        let counted: Vec<(String, String, i64)> =
            on_pool!(self.db, pool => sqlx::query_as(text).fetch_all(pool).await)?;
        let mut counts = BTreeMap::new();
        for (school, state, n) in counted {
            if let (Ok(state), Ok(n)) = (state.parse(), u64::try_from(n)) {
                *counts.entry((SchoolId::from(school), state)).or_insert(0) += n;
            }
        }
        Ok(counts)
    }

    /// The schools of which events are stored.
    ///
    /// # Errors
    /// Returns an error if the database query fails.
    pub(crate) async fn schools_with_events(&self) -> outbox::Result<BTreeSet<SchoolId>> {
        let schools: Vec<String> =
            on_pool!(self.db, pool => sqlx::query_scalar(SCHOOLS).fetch_all(pool).await)?;
        Ok(schools.into_iter().map(SchoolId::from).collect())
    }

    /// The number of open events.
    ///
    /// # Errors
    /// Returns an error if the database query fails.
    pub async fn open_events(&self) -> outbox::Result<u64> {
        let open: i64 = on_pool!(self.db, pool => sqlx::query_scalar(OPEN).fetch_one(pool).await)?;
        Ok(u64::try_from(open).unwrap_or_default())
    }
}

type StoredRow = (
    String,
    String,
    String,
    String,
    Option<String>,
    Option<String>,
    Option<i64>,
);

fn stored(row: StoredRow) -> Option<(EventKey, StoredEvent)> {
    let (school, id, state, body, plan, correction, repair_round) = row;
    let event = StoredEvent {
        state: state.parse().ok()?,
        body,
        plan,
        withdrawn: correction.is_some(),
        repairs: repair_round.is_some(),
    };
    Some(((school, id), event))
}

fn body(event: &Event) -> String {
    serde_json::to_string(event).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::plans;

    async fn settled_events_are_not_counted_but_their_schools_are_known(url: &str) {
        let store = plans::filled(url).await;
        let failed = |count| BTreeMap::from([(("s0".into(), EventState::Failed), count)]);
        assert_eq!(store.pending().await.unwrap(), failed(100));
        let open = sqlx::AssertSqlSafe(
            "UPDATE markback_events SET settled_ms = NULL WHERE id IN ('e200', 'e1')",
        );
        on_pool!(store.db, pool => sqlx::raw_sql(open).execute(pool).await.map(|_| ())).unwrap();
        let mut counts = failed(100);
        counts.insert(("s1".into(), EventState::Confirmed), 1);
        assert_eq!(store.pending().await.unwrap(), counts);
        assert_eq!(store.schools_with_events().await.unwrap().len(), 50);
    }

    #[tokio::test]
    async fn settled_events_are_not_counted_on_sqlite() {
        settled_events_are_not_counted_but_their_schools_are_known("sqlite::memory:").await;
    }

    #[tokio::test]
    async fn settled_events_are_not_counted_on_postgres() {
        let Some(server) = throwaway_postgres::shared().unwrap() else {
            return;
        };
        let url = server.create_database().unwrap();
        settled_events_are_not_counted_but_their_schools_are_known(&url).await;
    }
}
