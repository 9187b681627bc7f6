//! Forgetting what is long finished.

use std::time::Duration;

use crate::error::Result;
use crate::on_pool;
use crate::on_tx;
use crate::outbox::Outbox;
use crate::settings::ms;
use crate::sql::Sql;

/// Rows looked at in one go: as many as a transaction may remove without keeping others waiting.
const CHUNK: i64 = 2000;

/// How long finished jobs are kept. As long as a job is kept, its key is known when it comes again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Done, superseded and discarded jobs.
    pub finished: Duration,
    /// Dead letters; `None` keeps them until a person decides.
    pub dead: Option<Duration>,
}

/// The rows after `$2`, as many as [`CHUNK`]: the last number, the youngest age that could matter, and how many are to go.
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
    /// Removes jobs that were finished longer ago than `retention` says, and pauses that have ended, in many short
    /// transactions. Answers how many jobs went.
    ///
    /// It walks from the oldest number on and stops where jobs are younger than that, so no index is kept for it.
    ///
    /// # Errors
    /// As the database answers; what was removed until then stays removed.
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
