//! Removing old finished jobs.

use std::time::Duration;

use crate::error::Result;
use crate::outbox::Outbox;
use crate::settings::ms;
use crate::sql::Sql;

/// Rows per transaction: few enough not to block others.
const CHUNK: i64 = 2000;

/// How long finished jobs are kept. While a job is kept, its key is recognised as a duplicate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Retention {
    /// Done, superseded and discarded jobs.
    pub finished: Duration,
    /// Dead letters; `None` keeps them until an operator retries or discards them.
    pub dead: Option<Duration>,
}

impl Retention {
    /// Keeps finished jobs for this long, and dead letters for ever.
    pub fn new(finished: Duration) -> Self {
        Self {
            finished,
            dead: None,
        }
    }

    /// Keeps dead letters for this long.
    pub fn dead(mut self, dead: Duration) -> Self {
        self.dead = Some(dead);
        self
    }
}

/// Of up to [`CHUNK`] rows after `$2`: the last id, the greatest age, and the number of rows to remove.
pub(crate) static SURVEY: Sql = Sql::new(
    "SELECT max(c.id), CAST({now} - min(c.created_at) AS BIGINT), \
            count(CASE WHEN c.state >= 2 AND c.finished_at < {now} - $3 THEN 1 \
                       WHEN c.state = 1 AND c.finished_at < {now} - $4 THEN 1 END) \
     FROM (SELECT id, state, created_at, finished_at FROM outbox_jobs WHERE id > $2 ORDER BY id LIMIT $5) c",
);

pub(crate) static REMOVE: Sql = Sql::new(
    "DELETE FROM outbox_jobs WHERE id > $2 AND id <= $5 \
       AND ((state >= 2 AND finished_at < {now} - $3) OR (state = 1 AND finished_at < {now} - $4))",
);

pub(crate) static REMOVE_PAUSES: Sql =
    Sql::new("DELETE FROM outbox_pauses WHERE until_at <= {now}");

impl Outbox {
    /// Removes jobs that finished longer ago than `retention` allows, and pauses that have ended, in many short
    /// transactions. Returns the number of removed jobs.
    ///
    /// It scans from the oldest id and stops at the first chunk of younger jobs, so it needs no index.
    ///
    /// # Errors
    /// Returns an error if a database query fails. Jobs removed before that stay removed.
    pub async fn prune(&self, retention: &Retention) -> Result<u64> {
        let finished = ms(retention.finished);
        // Without an end: longer than anything can be old.
        let dead = retention.dead.map_or(ms(Duration::MAX), ms);
        self.remove_pauses().await?;
        let mut removed = 0;
        let mut after = 0;
        while let Some((last, age, old)) = self.survey(after, finished, dead).await? {
            if old > 0 {
                removed += self.remove(after, last, finished, dead).await?;
            }
            if age <= finished.min(dead) {
                break;
            }
            after = last;
        }
        Ok(removed)
    }

    async fn survey(
        &self,
        after: i64,
        finished: i64,
        dead: i64,
    ) -> Result<Option<(i64, i64, i64)>> {
        let text = SURVEY.on(self.engine());
        let (last, age, old): (Option<i64>, Option<i64>, i64) = on_pool!(self.inner.db, pool => {
            sqlx::query_as(text)
                .bind(self.now_bind())
                .bind(after)
                .bind(finished)
                .bind(dead)
                .bind(CHUNK)
                .fetch_one(pool)
                .await
        })?;
        Ok(last.zip(age).map(|(last, age)| (last, age, old)))
    }

    async fn remove(&self, after: i64, last: i64, finished: i64, dead: i64) -> Result<u64> {
        let text = REMOVE.on(self.engine());
        let mut tx = self.inner.db.begin().await?;
        let removed = on_tx!(tx, conn => {
            sqlx::query(text)
                .bind(self.now_bind())
                .bind(after)
                .bind(finished)
                .bind(dead)
                .bind(last)
                .execute(conn)
                .await
                .map(|done| done.rows_affected())
        })?;
        tx.commit().await?;
        Ok(removed)
    }

    async fn remove_pauses(&self) -> Result<()> {
        let text = REMOVE_PAUSES.on(self.engine());
        let mut tx = self.inner.db.begin().await?;
        on_tx!(tx, conn => {
            sqlx::query(text)
                .bind(self.now_bind())
                .execute(conn)
                .await
                .map(|done| done.rows_affected())
        })?;
        tx.commit().await
    }
}
