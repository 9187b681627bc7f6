//! Prunes old data, because it is about pupils.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use outbox::{Retention, Sql, on_pool, on_tx};
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

/// Rows that are removed from the oldest on, around others as old that stay.
pub(super) struct Aged {
    /// The times of the first and the last of the next `$2` rows, and how many they are: before `$1`, and not before `$3`.
    pub(super) find: Sql,
    /// Removes them; the last is not after `$4`.
    pub(super) remove: Sql,
}

/// Rows `r` before `$1` and not before `$3`.
macro_rules! old_rows {
    ($table:literal, $at:literal, $which:literal) => {
        concat!(
            " FROM ",
            $table,
            " r WHERE r.",
            $at,
            " < $1 AND r.",
            $at,
            " >= $3 AND ",
            $which
        )
    };
}

macro_rules! aged {
    ($table:literal, $at:literal, $which:literal, [$keys:literal $end:literal]) => {
        Aged {
            find: Sql::new(concat!(
                "SELECT min(f.at), max(f.at), count(*) FROM (SELECT r.",
                $at,
                " AS at",
                old_rows!($table, $at, $which),
                " ORDER BY r.",
                $at,
                " LIMIT $2) f"
            )),
            remove: Sql::new(concat!(
                "DELETE FROM ",
                $table,
                " WHERE ",
                $keys,
                old_rows!($table, $at, $which),
                " AND r.",
                $at,
                " <= $4 ORDER BY r.",
                $at,
                " LIMIT $2",
                $end
            )),
        }
    };
}

/// Events that wait for a person stay until a decision, or for a longer time.
pub(super) static EVENTS: Aged = aged!(
    "markback_events",
    "received_ms",
    "r.settled_ms < $1 AND r.state NOT IN ('failed', 'rejected', 'unconfirmed')",
    ["(school, id) IN (SELECT r.school, r.id" ")"]
);

pub(super) static UNDECIDED: Aged = aged!(
    "markback_events",
    "received_ms",
    "r.settled_ms < $1",
    ["(school, id) IN (SELECT r.school, r.id" ")"]
);

pub(super) static AUDIT: Aged = aged!(
    "markback_audit",
    "at_ms",
    "NOT EXISTS (SELECT 1 FROM markback_events e WHERE e.school = r.school AND e.id = r.event)",
    ["{rowid IN (|ctid = ANY(ARRAY(}SELECT {r.rowid|r.ctid}" "{)|))}"]
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

    /// Removes as [`remove`](Self::remove) does, and begins each batch where the one before ended. Old rows that stay are
    /// looked at once in a pass, and without SQLite's only writing connection, which intake would wait for.
    async fn remove_onwards(&self, aged: &'static Aged, before: i64) -> outbox::Result<u64> {
        let engine = self.db.engine();
        let (find, remove) = (aged.find.on(engine), aged.remove.on(engine));
        let (mut removed, mut from) = (0, i64::MIN);
        loop {
            let (first, last, found): (Option<i64>, Option<i64>, i64) = on_pool!(self.db, pool => {
                sqlx::query_as(find).bind(before).bind(BATCH).bind(from).fetch_one(pool).await
            })?;
            let Some((first, last)) = first.zip(last) else {
                return Ok(removed);
            };
            let mut tx = self.db.begin().await?;
            removed += on_tx!(tx, conn => {
                let batch = sqlx::query(remove).bind(before).bind(BATCH).bind(first).bind(last);
                batch.execute(conn).await.map(|done| done.rows_affected())
            })?;
            tx.commit().await?;
            if found < BATCH {
                return Ok(removed);
            }
            from = last;
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

    /// Intake waits for it on SQLite.
    #[tokio::test]
    async fn what_stays_does_not_take_the_writing_connection() {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", folder.path().join("markback.db").display());
        let store = plans::filled(&url).await;
        store.prune(DAY, 36_500 * DAY).await.unwrap();
        let writing = store.database().begin().await.unwrap();
        for aged in [&EVENTS, &AUDIT] {
            let before = store.now_ms();
            assert_eq!(store.remove_onwards(aged, before).await.unwrap(), 0);
        }
        drop(writing);
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
