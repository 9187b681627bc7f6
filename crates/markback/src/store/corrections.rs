//! Events that were withdrawn because they were wrong.

use chrono::{DateTime, Utc};
use outbox::{NewJob, Sql, Tx, on_pool, on_tx};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    EventKey, EventRecord, EventState, LedgerKey, Store,
    events::{EventRow, record},
    rows,
};
use crate::{pipeline::jobs::DecideJob, store::row::row};

/// A correction, as it is stored with the withdrawn event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct CorrectionRecord {
    /// Who, if known.
    pub by: Option<String>,
    /// Through which interface: `command line` or `API`.
    pub via: String,
    /// When.
    pub at: DateTime<Utc>,
    /// Why, in their own words.
    pub reason: String,
    /// The id of the event that replaces it, if any.
    pub replacement: Option<String>,
}

/// How to queue the repair of a withdrawn event's mark.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct RepairJob {
    /// The person whose events the repair is in order with.
    pub(crate) person: String,
    /// The key of the school's token.
    pub(crate) token_key: String,
}

impl RepairJob {
    /// The job of an event's repair in this round.
    pub(crate) fn job(&self, school: &str, event: &str, round: u32) -> NewJob {
        DecideJob::new_job(event, &self.person, round, school, &self.token_key)
    }
}

row! {
    struct WithdrawnRow {
        school: String,
        id: String,
        state: String,
        round: i64,
        repair: Option<String>,
        repair_round: Option<i64>,
    }
}

/// A withdrawn event whose state has just settled.
pub(crate) struct SettledWithdrawn {
    pub(crate) school: String,
    pub(crate) id: String,
    pub(crate) state: EventState,
    pub(crate) round: u32,
    /// How to queue the repair; `None` if it has begun.
    pub(crate) repair: Option<RepairJob>,
}

const WITHDRAW: &str = "UPDATE markback_events SET correction = $5, repair = $6 \
     WHERE school = $1 AND id = $2 AND state = $3 AND round = $4 AND correction IS NULL";

/// A repair that has begun keeps its plan, because the ledger keeps its mark.
const END: &str = "UPDATE markback_events SET state = 'withdrawn', waiting = NULL, settled_ms = $4, \
         outcome = CASE WHEN $5 AND outcome IS NOT NULL THEN $3 || ': ' || outcome ELSE $3 END \
     WHERE school = $1 AND id = $2 AND correction IS NOT NULL";

const BEGIN: &str = "UPDATE markback_events SET state = 'received', round = round + 1, repair_round = round + 1, waiting = NULL, \
         outcome = NULL, settled_ms = NULL \
     WHERE school = $1 AND id = $2 AND correction IS NOT NULL AND repair_round IS NULL";

const REPLACES: &str = "UPDATE markback_events SET corrects = $3 WHERE school = $1 AND id = $2";

/// Events of a session that have no mark of their own. Uses the index of a school's events.
const UNWRITTEN: &str = "SELECT * FROM markback_events WHERE school = $1 AND received_ms >= $5 AND student = $2 AND day = $3 \
     AND session = $4 AND state IN ('skipped', 'superseded') AND correction IS NULL ORDER BY at_ms, received_ms, id";

static SETTLED: Sql = Sql::new(
    "SELECT e.school, e.id, e.state, e.round, e.repair, e.repair_round FROM {rows $1: school text, id text} r \
     JOIN markback_events e ON e.school = r.school AND e.id = r.id WHERE e.correction IS NOT NULL",
);

impl Store {
    /// Records that an event was withdrawn. Returns false if it has changed, or was withdrawn before.
    pub(crate) async fn withdraw(
        &self,
        tx: &mut Tx,
        found: &EventRecord,
        correction: &CorrectionRecord,
        repair: &RepairJob,
    ) -> outbox::Result<bool> {
        let unreadable = |_| outbox::Error::invalid("the correction cannot be stored");
        let correction = serde_json::to_string(correction).map_err(unreadable)?;
        let repair = serde_json::to_string(repair).map_err(unreadable)?;
        let changed: u64 = on_tx!(tx, conn => {
            sqlx::query(WITHDRAW)
                .bind(&found.school)
                .bind(&found.id)
                .bind(found.state.as_str())
                .bind(i64::from(found.round))
                .bind(&correction)
                .bind(&repair)
                .execute(conn)
                .await
                .map(|done| done.rows_affected())
        })?;
        Ok(changed == 1)
    }

    /// Ends a withdrawn event. With `more`, what became of its mark follows the outcome.
    pub(crate) async fn end_withdrawn(
        &self,
        tx: &mut Tx,
        (school, id): (&str, &str),
        outcome: &str,
        more: bool,
    ) -> outbox::Result<()> {
        let now = self.now_ms();
        on_tx!(tx, conn => {
            sqlx::query(END).bind(school).bind(id).bind(outcome).bind(now).bind(more).execute(conn).await.map(|_| ())
        })?;
        Ok(())
    }

    /// Begins the repair of a withdrawn event's mark.
    pub(crate) async fn begin_repair(
        &self,
        tx: &mut Tx,
        (school, id): (&str, &str),
    ) -> outbox::Result<()> {
        on_tx!(tx, conn => {
            sqlx::query(BEGIN).bind(school).bind(id).execute(conn).await.map(|_| ())
        })?;
        Ok(())
    }

    /// Records that an event replaces a withdrawn one.
    pub(crate) async fn replaces(
        &self,
        tx: &mut Tx,
        (school, id): (&str, &str),
        withdrawn: &str,
    ) -> outbox::Result<()> {
        on_tx!(tx, conn => {
            sqlx::query(REPLACES).bind(school).bind(id).bind(withdrawn).execute(conn).await.map(|_| ())
        })?;
        Ok(())
    }

    /// The skipped and superseded events of a session, in the order in which they happened, without their histories.
    pub(crate) async fn unwritten(&self, key: &LedgerKey) -> outbox::Result<Vec<EventRecord>> {
        // An event may be received a little before it happened, by its own clock.
        let day = key.date.pred_opt().unwrap_or(key.date);
        let from = day
            .and_time(chrono::NaiveTime::MIN)
            .and_utc()
            .timestamp_millis();
        let found: Vec<EventRow> = on_pool!(self.db, pool => {
            sqlx::query_as(UNWRITTEN)
                .bind(&key.school)
                .bind(key.student.as_str())
                .bind(key.date.to_string())
                .bind(key.session.as_str())
                .bind(from)
                .fetch_all(pool)
                .await
        })?;
        Ok(found
            .into_iter()
            .map(|row| record(row, Vec::new()))
            .collect())
    }

    /// Those of these events that were withdrawn.
    pub(crate) async fn withdrawn_among(
        &self,
        tx: &mut Tx,
        events: &[EventKey],
    ) -> outbox::Result<Vec<SettledWithdrawn>> {
        if events.is_empty() {
            return Ok(Vec::new());
        }
        let (text, table) = (SETTLED.on(tx.engine()), rows(events)?);
        let found: Vec<WithdrawnRow> =
            on_tx!(tx, conn => sqlx::query_as(text).bind(&table).fetch_all(conn).await)?;
        Ok(found.into_iter().filter_map(settled).collect())
    }
}

fn settled(row: WithdrawnRow) -> Option<SettledWithdrawn> {
    let repair = row.repair.filter(|_| row.repair_round.is_none());
    Some(SettledWithdrawn {
        school: row.school,
        id: row.id,
        state: row.state.parse().ok()?,
        round: u32::try_from(row.round).ok()?,
        repair: repair.and_then(|text| serde_json::from_str(&text).ok()),
    })
}
