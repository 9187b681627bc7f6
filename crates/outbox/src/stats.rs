//! Queue lengths and the age of the oldest job.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::error::Result;
use crate::outbox::Outbox;
use crate::sql::Sql;

/// The unfinished jobs of one queue. Finished jobs are not counted, because that would read them all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct QueueStats {
    /// Open, due and not leased: claimable, or waiting for an earlier job with the same order key.
    pub ready: u64,
    /// Open and scheduled for later.
    pub later: u64,
    /// Open and deferred by a pause.
    pub paused: u64,
    /// Leased.
    pub leased: u64,
    /// Leased, but the lease has expired; claimable again.
    pub lapsed: u64,
    /// Dead letters.
    pub dead: u64,
    /// How long ago the oldest open job was enqueued.
    pub oldest_open: Option<Duration>,
}

pub(crate) static OPEN: Sql = Sql::new(
    "SELECT queue, \
            count(CASE WHEN held <> 1 AND due_at <= {now} THEN 1 END), \
            count(CASE WHEN held = 0 AND due_at > {now} THEN 1 END), \
            count(CASE WHEN held = 2 AND due_at > {now} THEN 1 END), \
            count(CASE WHEN held = 1 AND due_at > {now} THEN 1 END), \
            count(CASE WHEN held = 1 AND due_at <= {now} THEN 1 END), \
            CAST({now} - min(created_at) AS BIGINT) \
     FROM outbox_jobs WHERE state = 0 GROUP BY queue",
);

const DEAD: &str = "SELECT queue, count(*) FROM outbox_jobs WHERE state = 1 GROUP BY queue";

type OpenRow = (String, i64, i64, i64, i64, i64, i64);

impl Outbox {
    /// Counts the unfinished jobs of each queue that has any.
    ///
    /// # Errors
    /// Returns an error if the database query fails.
    pub async fn stats(&self) -> Result<BTreeMap<String, QueueStats>> {
        let text = OPEN.on(self.engine());
        let open: Vec<OpenRow> = on_pool!(self.inner.db, pool => {
            sqlx::query_as(text).bind(self.now_bind()).fetch_all(pool).await
        })?;
        let dead: Vec<(String, i64)> = on_pool!(self.inner.db, pool => {
            sqlx::query_as(DEAD).fetch_all(pool).await
        })?;
        let count = |n: i64| u64::try_from(n).unwrap_or(0);
        let mut stats: BTreeMap<String, QueueStats> = open
            .into_iter()
            .map(|(queue, ready, later, paused, leased, lapsed, age)| {
                let of_queue = QueueStats {
                    ready: count(ready),
                    later: count(later),
                    paused: count(paused),
                    leased: count(leased),
                    lapsed: count(lapsed),
                    dead: 0,
                    oldest_open: Some(Duration::from_millis(count(age))),
                };
                (queue, of_queue)
            })
            .collect();
        for (queue, n) in dead {
            stats.entry(queue).or_default().dead = count(n);
        }
        Ok(stats)
    }
}
