//! Searches events, and reopens or discards one.

use chrono::{DateTime, Days, NaiveDate, NaiveTime, Utc};
use mis_core::SchoolId;
use outbox::{Sql, Tx, on_pool, on_tx};
use std::time::Duration;

use super::{
    EventRecord, EventState, EventUpdate, Store,
    events::{EventRow, record},
    needs_person, rows,
};
use crate::store::row::row;

/// A filter for events. The default takes all.
#[derive(Clone, Debug, Default)]
pub struct EventFilter {
    /// Events of this school only.
    pub school: Option<SchoolId>,
    /// Events in one of these states only; empty takes all.
    pub states: Vec<EventState>,
    /// Events of this person only, by the sign-in system's id.
    pub person: Option<String>,
    /// From this school day on. An event without a day counts by the day (UTC) on which it was received.
    pub from: Option<NaiveDate>,
    /// Up to and including this school day.
    pub to: Option<NaiveDate>,
    /// Only events after this one in the order of the search, which is given by its time of reception and its id. For
    /// events of one school.
    pub after: Option<(DateTime<Utc>, String)>,
    /// The most events to return.
    pub limit: u32,
    /// How long after its day an event may be received; narrows the search.
    pub accept_age: Duration,
}

/// Open events in one state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenEvents {
    /// The state.
    pub state: EventState,
    /// Their number.
    pub count: u64,
    /// When the oldest was received.
    pub oldest: Option<DateTime<Utc>>,
}

/// A search whose first conditions decide which index it uses, if need be with a hint. The others only filter what that
/// finds. Of the events after a place, `$5` excludes those received later, and `$9` and `$10` those received at the same time
/// and not after it.
macro_rules! search {
    ($conditions:expr) => {
        search!("", $conditions)
    };
    ($hint:literal, $conditions:expr) => {
        Sql::new(concat!(
            "SELECT * FROM markback_events e ",
            $hint,
            " WHERE ",
            $conditions,
            " AND ($2 = '[]' OR e.state IN (SELECT r.state FROM {rows $2: state text} r)) \
              AND (CAST($3 AS TEXT) IS NULL OR e.person = $3) \
              AND e.received_ms >= $4 AND e.received_ms < $5 \
              AND (CAST($6 AS TEXT) IS NULL OR coalesce(e.day, \
                {date(e.received_ms / 1000, 'unixepoch')|to_char(to_timestamp(e.received_ms / 1000) AT TIME ZONE 'UTC', 'YYYY-MM-DD')}) >= $6) \
              AND (CAST($7 AS TEXT) IS NULL OR coalesce(e.day, \
                {date(e.received_ms / 1000, 'unixepoch')|to_char(to_timestamp(e.received_ms / 1000) AT TIME ZONE 'UTC', 'YYYY-MM-DD')}) <= $7) \
              AND (+e.received_ms <> $9 OR e.id > $10) \
             ORDER BY e.received_ms DESC, e.school, e.id LIMIT $8"
        ))
    };
}

/// Without statistics, SQLite takes the index of the school's events for as good.
pub(super) static OF_PERSON: Sql = search!(
    "{INDEXED BY markback_events_of_person|}",
    "e.school = $1 AND e.person = $3 AND e.received_ms >= 0"
);
pub(super) static OF_SCHOOL: Sql = search!("e.school = $1");
pub(super) static PROBLEMS_OF_SCHOOL: Sql =
    search!(concat!("e.school = $1 AND ", needs_person!("e.")));
pub(super) static OF_ALL: Sql = search!("(CAST($1 AS TEXT) IS NULL OR e.school = $1)");

const REOPEN: &str = "UPDATE markback_events SET state = 'received', round = round + 1, waiting = NULL, outcome = NULL, \
         settled_ms = NULL, sent_ms = NULL, accepted_ms = NULL, writeback = NULL, lesson = NULL \
     WHERE school = $1 AND id = $2 AND state = $3 AND round = $4";

const GIVE_UP: &str = "UPDATE markback_events SET state = 'discarded', waiting = NULL, outcome = $5, settled_ms = $6 \
     WHERE school = $1 AND id = $2 AND state = $3 AND round = $4";

pub(super) const OPEN: &str = "SELECT state, count(*) AS n, min(received_ms) AS oldest FROM markback_events WHERE settled_ms IS NULL \
     GROUP BY state";

row! {
    struct OpenRow {
        state: String,
        n: i64,
        oldest: Option<i64>,
    }
}

impl Store {
    /// The matching events, latest first, without their histories.
    ///
    /// # Errors
    /// Returns an error if the database query fails.
    pub async fn search(&self, filter: &EventFilter) -> outbox::Result<Vec<EventRecord>> {
        let states: Vec<_> = filter
            .states
            .iter()
            .map(|state| (state.as_str(),))
            .collect();
        let (text, states) = (filter.search().on(self.db.engine()), rows(&states)?);
        let (came_from, came_until) = filter.came_in();
        let after = filter.after.as_ref();
        let after_id = after.map_or("", |(_, id)| id.as_str());
        let after = after.map_or(i64::MAX, |(received_at, _)| received_at.timestamp_millis());
        let found: Vec<EventRow> = on_pool!(self.db, pool => {
            sqlx::query_as(text)
                .bind(filter.school.as_ref().map(SchoolId::as_str))
                .bind(&states)
                .bind(filter.person.as_deref())
                .bind(came_from)
                .bind(came_until)
                .bind(filter.from.map(|day| day.to_string()))
                .bind(filter.to.map(|day| day.to_string()))
                .bind(i64::from(filter.limit))
                .bind(after)
                .bind(after_id)
                .fetch_all(pool)
                .await
        })?;
        Ok(found
            .into_iter()
            .map(|row| record(row, Vec::new()))
            .collect())
    }

    /// Open events by state.
    ///
    /// # Errors
    /// Returns an error if the database query fails.
    pub async fn open_by_state(&self) -> outbox::Result<Vec<OpenEvents>> {
        let found: Vec<OpenRow> =
            on_pool!(self.db, pool => sqlx::query_as(OPEN).fetch_all(pool).await)?;
        Ok(found
            .into_iter()
            .filter_map(|row| {
                Some(OpenEvents {
                    state: row.state.parse().ok()?,
                    count: u64::try_from(row.n).ok()?,
                    oldest: row.oldest.and_then(DateTime::from_timestamp_millis),
                })
            })
            .collect())
    }

    /// Reopens an event for its next round. Returns false if it has changed.
    pub(crate) async fn reopen(&self, tx: &mut Tx, found: &EventRecord) -> outbox::Result<bool> {
        let changed: u64 = on_tx!(tx, conn => {
            sqlx::query(REOPEN)
                .bind(&found.school)
                .bind(&found.id)
                .bind(found.state.as_str())
                .bind(i64::from(found.round))
                .execute(conn)
                .await
                .map(|done| done.rows_affected())
        })?;
        Ok(changed == 1)
    }

    /// Discards an event. Returns false if it has changed.
    pub(crate) async fn give_up(
        &self,
        tx: &mut Tx,
        found: &EventRecord,
        outcome: &str,
    ) -> outbox::Result<bool> {
        let now = self.now_ms();
        let changed: u64 = on_tx!(tx, conn => {
            sqlx::query(GIVE_UP)
                .bind(&found.school)
                .bind(&found.id)
                .bind(found.state.as_str())
                .bind(i64::from(found.round))
                .bind(outcome)
                .bind(now)
                .execute(conn)
                .await
                .map(|done| done.rows_affected())
        })?;
        if changed == 1 {
            let update = EventUpdate::of(&found.school, &found.id).state(EventState::Discarded);
            self.publish_outcomes(tx, &[update]).await?;
        }
        Ok(changed == 1)
    }
}

impl EventFilter {
    /// The search that finds these events by an index.
    fn search(&self) -> &'static Sql {
        let problems =
            !self.states.is_empty() && self.states.iter().all(|state| state.needs_person());
        match (&self.school, &self.person) {
            (Some(_), Some(_)) => &OF_PERSON,
            (Some(_), None) if problems => &PROBLEMS_OF_SCHOOL,
            (Some(_), None) => &OF_SCHOOL,
            (None, _) => &OF_ALL,
        }
    }

    /// When events of these days can have been received, in ms: in any time zone, and as late as allowed.
    pub(super) fn came_in(&self) -> (i64, i64) {
        let midnight = |day: NaiveDate| day.and_time(NaiveTime::MIN).and_utc().timestamp_millis();
        let from = self
            .from
            .and_then(|day| day.checked_sub_days(Days::new(1)))
            .map_or(i64::MIN, midnight);
        let late = i64::try_from(self.accept_age.as_millis()).unwrap_or(i64::MAX);
        let until = self
            .to
            .and_then(|day| day.checked_add_days(Days::new(2)))
            .map_or(i64::MAX, |day| midnight(day).saturating_add(late));
        // Nothing that was received later is after the place; the search itself looks at what was received with it.
        let after = self.after.as_ref();
        let after = after.map_or(i64::MAX, |(received_at, _)| {
            received_at.timestamp_millis().saturating_add(1)
        });
        (from, until.min(after))
    }
}
