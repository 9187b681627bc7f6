//! Forgetting what is long over: it holds pupils' data.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use outbox::{Retention, Sql, on_tx};
use serde::Serialize;

use super::Store;

/// Rows removed in one transaction: as many as may go without keeping others waiting.
const BATCH: i64 = 1_000;

/// How many rows went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Pruned {
    /// Events that had come to their end.
    pub events: u64,
    /// Lines of the audit trail of events that are gone.
    pub audit: u64,
    /// Sessions of the ledger.
    pub ledger: u64,
    /// Jobs of the queue.
    pub jobs: u64,
    /// Writebacks and notices.
    pub other: u64,
    /// Marks of registers as Wonde had them, of days that are past.
    pub register: u64,
}

/// What waits for a person stays until that person has decided, or for longer than all else.
static EVENTS: Sql = Sql::new(
    "DELETE FROM markback_events WHERE (school, id) IN (SELECT school, id FROM markback_events \
     WHERE received_ms < $1 AND settled_ms < $1 AND state NOT IN ('failed', 'rejected', 'unconfirmed') \
     ORDER BY received_ms LIMIT $2)",
);

static UNDECIDED: Sql = Sql::new(
    "DELETE FROM markback_events WHERE (school, id) IN (SELECT school, id FROM markback_events \
     WHERE received_ms < $1 AND settled_ms < $1 ORDER BY received_ms LIMIT $2)",
);

static AUDIT: Sql = Sql::new(
    "DELETE FROM markback_audit WHERE {rowid IN (|ctid = ANY(ARRAY(}SELECT {a.rowid|a.ctid} FROM markback_audit a \
     WHERE a.at_ms < $1 AND NOT EXISTS (SELECT 1 FROM markback_events e WHERE e.school = a.school AND e.id = a.event) \
     ORDER BY a.at_ms LIMIT $2{)|))}",
);

/// A session is long over by the calendar, whatever time zone the school is in.
static LEDGER: Sql = Sql::new(
    "DELETE FROM markback_ledger WHERE {rowid IN (|ctid = ANY(ARRAY(}SELECT {rowid|ctid} FROM markback_ledger \
     WHERE day < {date($1 / 1000, 'unixepoch')|to_char(to_timestamp($1 / 1000) AT TIME ZONE 'UTC', 'YYYY-MM-DD')} \
     ORDER BY day LIMIT $2{)|))}",
);

static REGISTER: Sql = Sql::new(
    "DELETE FROM markback_register WHERE {rowid IN (|ctid = ANY(ARRAY(}SELECT {rowid|ctid} FROM markback_register \
     WHERE day < {date($1 / 1000, 'unixepoch')|to_char(to_timestamp($1 / 1000) AT TIME ZONE 'UTC', 'YYYY-MM-DD')} \
     ORDER BY day LIMIT $2{)|))}",
);
/// Of a mark whose day nobody tells it is not known when it is past: it goes when it has not been read for long.
static UNDATED: Sql = Sql::new(
    "DELETE FROM markback_register WHERE {rowid IN (|ctid = ANY(ARRAY(}SELECT {rowid|ctid} FROM markback_register \
     WHERE day IS NULL AND written_ms < $1 ORDER BY written_ms LIMIT $2{)|))}",
);

static WRITEBACKS: Sql = Sql::new(
    "DELETE FROM markback_writebacks WHERE {rowid IN (|ctid = ANY(ARRAY(}SELECT {rowid|ctid} FROM markback_writebacks \
     WHERE at_ms < $1 ORDER BY at_ms LIMIT $2{)|))}",
);

static NOTICES: Sql = Sql::new(
    "DELETE FROM markback_notices WHERE {rowid IN (|ctid = ANY(ARRAY(}SELECT {rowid|ctid} FROM markback_notices \
     WHERE last_ms < $1 LIMIT $2{)|))}",
);

impl Store {
    /// Removes what came to its end longer ago than `retention`, in many short transactions. Events that wait for a
    /// person's decision stay for as long as `undecided` says, with all that belongs to them; so do dead letters.
    ///
    /// # Errors
    /// As the database answers; what was removed until then stays removed.
    pub async fn prune(&self, retention: Duration, undecided: Duration) -> outbox::Result<Pruned> {
        let ago = |length: Duration| {
            let length = TimeDelta::from_std(length).unwrap_or(TimeDelta::MAX);
            self.now().checked_sub_signed(length)
        };
        let Some(before) = ago(retention) else {
            return Ok(Pruned::default());
        };
        let undecided = undecided.max(retention);
        let undecided_before = ago(undecided).map(|before| before.timestamp_millis());
        self.prune_roster(before).await?;
        let before = before.timestamp_millis();
        Ok(Pruned {
            // Events first: the trail of one that stays is kept.
            events: self.remove(&EVENTS, before).await?
                + match undecided_before {
                    Some(before) => self.remove(&UNDECIDED, before).await?,
                    None => 0,
                },
            audit: self.remove(&AUDIT, before).await?,
            ledger: self.remove(&LEDGER, before).await?,
            register: 0,
            other: self.remove(&WRITEBACKS, before).await? + self.remove(&NOTICES, before).await?,
            jobs: self
                .outbox
                .prune(&Retention {
                    finished: retention,
                    dead: Some(undecided),
                })
                .await?,
        })
    }

    /// Removes the marks of registers whose day is before that of `oldest`, and those without a day that were not read since
    /// `unread`. Answers how many.
    pub(crate) async fn prune_register(
        &self,
        oldest: DateTime<Utc>,
        unread: DateTime<Utc>,
    ) -> outbox::Result<u64> {
        let past = self.remove(&REGISTER, oldest.timestamp_millis()).await?;
        Ok(past + self.remove(&UNDATED, unread.timestamp_millis()).await?)
    }

    async fn remove(&self, sql: &'static Sql, before: i64) -> outbox::Result<u64> {
        let mut removed = 0;
        loop {
            let mut tx = self.db.begin().await?;
            let text = sql.on(tx.engine());
            let batch: u64 = on_tx!(tx, conn => {
                sqlx::query(text).bind(before).bind(BATCH).execute(conn).await.map(|done| done.rows_affected())
            })?;
            tx.commit().await?;
            removed += batch;
            if batch < BATCH.unsigned_abs() {
                return Ok(removed);
            }
            // Others come first.
            tokio::task::yield_now().await;
        }
    }
}
