//! Pausing partitions and throttle keys.

use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::database::Tx;
use crate::error::Result;
use crate::job::check_text;
use crate::outbox::{Outbox, time};
use crate::settings::ms;
use crate::settle::clean;
use crate::sql::Sql;

/// When a pause ends, by the database's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PauseUntil {
    /// After this time.
    For(Duration),
    /// At this time.
    At(DateTime<Utc>),
}

/// A paused partition or throttle key.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Pause {
    /// The partition or throttle key. It is paused in all queues.
    pub key: String,
    /// When the pause ends.
    pub until: DateTime<Utc>,
    /// The reason.
    pub reason: String,
}

pub(crate) static PAUSE: Sql = Sql::new(
    "INSERT INTO outbox_pauses (key, until_at, set_at, reason) \
     VALUES ($2, coalesce($3, {now} + $4), {now}, $5) \
     ON CONFLICT (key) DO UPDATE SET until_at = excluded.until_at, set_at = excluded.set_at, reason = excluded.reason \
         WHERE excluded.until_at > outbox_pauses.until_at",
);

const UNPAUSE: &str = "DELETE FROM outbox_pauses WHERE key = $1";

pub(crate) static UNDEFER: Sql = Sql::new(
    "UPDATE outbox_jobs SET held = 0, due_at = {greatest}(run_at, {now}), set_at = {now} \
     WHERE held = 2 AND (partition_key = $2 OR throttle_key = $2) RETURNING queue",
);

pub(crate) static PAUSES: Sql =
    Sql::new("SELECT key, until_at, reason FROM outbox_pauses WHERE until_at > {now} ORDER BY key");

impl Outbox {
    /// Pauses all jobs, in every queue, that have `key` as partition or throttle key. If `key` is already paused, the
    /// later end applies. Jobs that are already claimed are not affected. `reason` must not contain personal data.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) if `key` is empty; otherwise an error if the database query fails.
    pub async fn pause(
        &self,
        tx: &mut Tx,
        key: &str,
        until: PauseUntil,
        reason: &str,
    ) -> Result<()> {
        check_text("key", key, true)?;
        let text = PAUSE.on(tx.engine());
        let (at, length) = match until {
            PauseUntil::For(length) => (None, ms(length)),
            PauseUntil::At(at) => (Some(at.timestamp_millis()), 0),
        };
        on_tx!(tx, conn => {
            sqlx::query(text)
                .bind(self.now_bind())
                .bind(key)
                .bind(at)
                .bind(length)
                .bind(clean(reason))
                .execute(conn)
                .await
                .map(|done| done.rows_affected())
        })?;
        Ok(())
    }

    /// Ends the pause of `key`. Has no effect if there is none.
    ///
    /// # Errors
    /// Returns an error if the database query fails.
    pub async fn resume(&self, tx: &mut Tx, key: &str) -> Result<()> {
        let text = UNDEFER.on(tx.engine());
        on_tx!(tx, conn => {
            sqlx::query(UNPAUSE).bind(key).execute(conn).await.map(|done| done.rows_affected())
        })?;
        let queues: Vec<String> = on_tx!(tx, conn => {
            sqlx::query_scalar(text)
                .bind(self.now_bind())
                .bind(key)
                .fetch_all(conn)
                .await
        })?;
        for queue in &queues {
            tx.wake(queue);
        }
        Ok(())
    }

    /// Lists the current pauses, sorted by key.
    ///
    /// # Errors
    /// Returns an error if the database query fails.
    pub async fn pauses(&self) -> Result<Vec<Pause>> {
        let text = PAUSES.on(self.engine());
        let rows: Vec<(String, i64, String)> = on_pool!(self.inner.db, pool => {
            sqlx::query_as(text).bind(self.now_bind()).fetch_all(pool).await
        })?;
        Ok(rows
            .into_iter()
            .map(|(key, until, reason)| Pause {
                key,
                until: time(until),
                reason,
            })
            .collect())
    }
}
