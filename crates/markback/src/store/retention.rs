//! Prunes old data, because it is about pupils.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use outbox::{Retention, Sql, on_tx};
use serde::Serialize;

use super::{
    Store,
    snapshots::{UNUSED_PARTS, parts_before},
};

/// Rows removed in one transaction, few enough not to block others.
const BATCH: i64 = 1_000;

/// The number of pruned rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Pruned {
    /// Final events, each with the snapshots of its decisions.
    pub events: u64,
    /// Audit lines of pruned events.
    pub audit: u64,
    /// Entries of the audit log.
    pub audit_log: u64,
    /// Sessions of the ledger.
    pub ledger: u64,
    /// Jobs of the queue.
    pub jobs: u64,
    /// Writebacks, notices, parts that snapshots shared, ids of erased events, and ended sessions of users.
    pub other: u64,
    /// Mirrored register marks of past days.
    pub register: u64,
}

/// Events that wait for a person stay until a decision, or for a longer time.
pub(super) static EVENTS: Sql = Sql::new(
    "DELETE FROM markback_events WHERE (school, id) IN (SELECT school, id FROM markback_events \
     WHERE received_ms < $1 AND received_ms >= $3 AND settled_ms < $1 AND state NOT IN ('failed', 'rejected', 'unconfirmed') \
     ORDER BY received_ms LIMIT $2) RETURNING received_ms",
);

pub(super) static UNDECIDED: Sql = Sql::new(
    "DELETE FROM markback_events WHERE (school, id) IN (SELECT school, id FROM markback_events \
     WHERE received_ms < $1 AND received_ms >= $3 AND settled_ms < $1 ORDER BY received_ms LIMIT $2) RETURNING received_ms",
);

pub(super) static AUDIT: Sql = Sql::new(
    "DELETE FROM markback_audit WHERE {rowid IN (|ctid = ANY(ARRAY(}SELECT {a.rowid|a.ctid} FROM markback_audit a \
     WHERE a.at_ms < $1 AND a.at_ms >= $3 \
       AND NOT EXISTS (SELECT 1 FROM markback_events e WHERE e.school = a.school AND e.id = a.event) \
     ORDER BY a.at_ms LIMIT $2{)|))} RETURNING at_ms",
);

/// A session is past by the calendar, whatever the school's time zone.
pub(super) static LEDGER: Sql = Sql::new(
    "DELETE FROM markback_ledger WHERE {rowid IN (|ctid = ANY(ARRAY(}SELECT {rowid|ctid} FROM markback_ledger \
     WHERE day < {date($1 / 1000, 'unixepoch')|to_char(to_timestamp($1 / 1000) AT TIME ZONE 'UTC', 'YYYY-MM-DD')} \
     ORDER BY day LIMIT $2{)|))}",
);

pub(super) static REGISTER: Sql = Sql::new(
    "DELETE FROM markback_register WHERE {rowid IN (|ctid = ANY(ARRAY(}SELECT {rowid|ctid} FROM markback_register \
     WHERE day < {date($1 / 1000, 'unixepoch')|to_char(to_timestamp($1 / 1000) AT TIME ZONE 'UTC', 'YYYY-MM-DD')} \
     ORDER BY day LIMIT $2{)|))}",
);
/// A mark without a day is pruned when it has not been read for long.
pub(super) static UNDATED: Sql = Sql::new(
    "DELETE FROM markback_register WHERE {rowid IN (|ctid = ANY(ARRAY(}SELECT {rowid|ctid} FROM markback_register \
     {INDEXED BY markback_register_undated|} WHERE day IS NULL AND written_ms < $1 ORDER BY written_ms LIMIT $2{)|))}",
);

pub(super) static WRITEBACKS: Sql = Sql::new(
    "DELETE FROM markback_writebacks WHERE {rowid IN (|ctid = ANY(ARRAY(}SELECT {rowid|ctid} FROM markback_writebacks \
     WHERE at_ms < $1 ORDER BY at_ms LIMIT $2{)|))}",
);

pub(super) static NOTICES: Sql = Sql::new(
    "DELETE FROM markback_notices WHERE {rowid IN (|ctid = ANY(ARRAY(}SELECT {rowid|ctid} FROM markback_notices \
     WHERE last_ms < $1 LIMIT $2{)|))}",
);

impl Store {
    /// Removes data that became final longer than `retention` ago, in many short transactions. Events that wait for a
    /// person's decision stay for `undecided` with everything that belongs to them; so do dead letters.
    ///
    /// # Errors
    /// Returns an error if the database query fails; what was removed until then stays removed.
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
            // Events first: the audit trail of a kept event is kept.
            events: self.remove_onwards(&EVENTS, before).await?
                + match undecided_before {
                    Some(before) => self.remove_onwards(&UNDECIDED, before).await?,
                    None => 0,
                },
            audit: self.remove_onwards(&AUDIT, before).await?,
            ledger: self.remove(&LEDGER, before).await?,
            register: 0,
            audit_log: 0,
            other: self.remove(&WRITEBACKS, before).await?
                + self.remove(&NOTICES, before).await?
                + self.remove(&UNUSED_PARTS, parts_before(before)).await?
                + self.prune_erased(before).await?,
            jobs: self
                .outbox
                .prune(&Retention::new(retention).dead(undecided))
                .await?,
        })
    }

    /// Removes mirrored marks of days before `oldest`, and those without a day that were not read since `unread`.
    /// Returns their number.
    pub(crate) async fn prune_register(
        &self,
        oldest: DateTime<Utc>,
        unread: DateTime<Utc>,
    ) -> outbox::Result<u64> {
        let past = self.remove(&REGISTER, oldest.timestamp_millis()).await?;
        Ok(past + self.remove(&UNDATED, unread.timestamp_millis()).await?)
    }

    /// Removes as [`remove`](Self::remove) does, and begins each batch where the one before ended: rows that stay, although
    /// they are old, are looked at once in a pass and not once in each batch.
    async fn remove_onwards(&self, sql: &'static Sql, before: i64) -> outbox::Result<u64> {
        let (mut removed, mut from) = (0, i64::MIN);
        loop {
            let mut tx = self.db.begin().await?;
            let text = sql.on(tx.engine());
            let times: Vec<i64> = on_tx!(tx, conn => {
                sqlx::query_scalar(text).bind(before).bind(BATCH).bind(from).fetch_all(conn).await
            })?;
            tx.commit().await?;
            removed += u64::try_from(times.len()).unwrap_or_default();
            match times.iter().max() {
                Some(latest) if i64::try_from(times.len()).is_ok_and(|count| count >= BATCH) => {
                    from = *latest;
                }
                _ => return Ok(removed),
            }
            // Let other transactions run.
            tokio::task::yield_now().await;
        }
    }

    pub(super) async fn remove(&self, sql: &'static Sql, before: i64) -> outbox::Result<u64> {
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
            // Let other transactions run.
            tokio::task::yield_now().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::plans;

    const DAY: Duration = Duration::from_secs(24 * 60 * 60);

    /// Many batches, with events among them that stay.
    async fn a_pass_removes_all_that_is_past_around_what_stays(url: &str) {
        let store = plans::filled(url).await;
        let pruned = store.prune(DAY, 36_500 * DAY).await.unwrap();
        assert_eq!((pruned.events, pruned.audit), (19_900, 19_900));
        assert_eq!(store.prune(DAY, 36_500 * DAY).await.unwrap().events, 0);
        let pruned = store.prune(DAY, DAY).await.unwrap();
        assert_eq!((pruned.events, pruned.audit), (100, 100));
    }

    #[tokio::test]
    async fn a_pass_removes_all_that_is_past_on_sqlite() {
        a_pass_removes_all_that_is_past_around_what_stays("sqlite::memory:").await;
    }

    #[tokio::test]
    async fn a_pass_removes_all_that_is_past_on_postgres() {
        let Some(server) = throwaway_postgres::shared().unwrap() else {
            return;
        };
        let url = server.create_database().unwrap();
        a_pass_removes_all_that_is_past_around_what_stays(&url).await;
    }
}
