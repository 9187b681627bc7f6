//! Administration: finding jobs, retrying dead letters, discarding, and running jobs early.

use std::collections::HashMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::database::Tx;
use crate::enqueue::{json, lock_order_keys, numbers};
use crate::error::Result;
use crate::job::JobId;
use crate::outbox::{Outbox, time};
use crate::settings::ms;
use crate::settle::clean;
use crate::sql::Sql;

/// The state of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum JobState {
    /// Waits for its time, for an earlier job with the same order key, or for a worker.
    Waiting,
    /// Deferred until a pause ends. A paused job that no claim has reached yet is still `Waiting`.
    Paused,
    /// Leased by a worker, or the lease has expired.
    Leased,
    /// A dead letter.
    Dead,
    /// Done.
    Done,
    /// A newer job superseded it.
    Superseded,
    /// Discarded by an operator.
    Discarded,
}

impl JobState {
    fn of(state: i64, held: i64) -> Self {
        match (state, held) {
            (0, 1) => Self::Leased,
            (0, 2) => Self::Paused,
            (0, _) => Self::Waiting,
            (1, _) => Self::Dead,
            (3, _) => Self::Superseded,
            (4, _) => Self::Discarded,
            _ => Self::Done,
        }
    }
}

/// A job without its payload.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct JobInfo {
    /// Its id.
    pub id: JobId,
    /// Its queue.
    pub queue: String,
    /// Its idempotency key.
    pub key: String,
    /// Its partition.
    pub partition: String,
    /// Its state.
    pub state: JobState,
    /// Of an open job: when it can be claimed, or when its lease ends.
    pub due_at: DateTime<Utc>,
    /// How many times it was claimed.
    pub attempts: u32,
    /// The note of the last retry, dead-lettering or discard.
    pub note: Option<String>,
    /// When it was enqueued.
    pub created_at: DateTime<Utc>,
    /// When it was finished or became a dead letter.
    pub finished_at: Option<DateTime<Utc>>,
    /// The newer job that superseded it.
    pub superseded_by: Option<JobId>,
}

macro_rules! info {
    ($where:literal) => {
        concat!(
            "SELECT id, queue, key, partition_key, CAST(state AS BIGINT), CAST(held AS BIGINT), due_at, attempts, note, \
             created_at, finished_at, superseded_by FROM outbox_jobs WHERE ",
            $where
        )
    };
}

type InfoRow = (
    i64,
    String,
    String,
    String,
    i64,
    i64,
    i64,
    i64,
    Option<String>,
    i64,
    Option<i64>,
    Option<i64>,
);

const FIND: &str = info!("queue = $1 AND key = $2");
const DEAD: &str = info!("queue = $1 AND state = 1 AND id > $2 ORDER BY id LIMIT $3");

pub(crate) static DISCARD: Sql = Sql::new(
    "UPDATE outbox_jobs SET state = 4, held = 0, fence = fence + 1, finished_at = {now}, payload = '', note = $3 \
     FROM {rows $2: id int} r WHERE outbox_jobs.id = r.id \
       AND (outbox_jobs.state = 1 OR (outbox_jobs.state = 0 AND (outbox_jobs.held <> 1 OR outbox_jobs.due_at <= {now}))) \
     RETURNING outbox_jobs.id, outbox_jobs.queue",
);

pub(crate) static DEAD_ORDER_KEYS: Sql = Sql::new(
    "SELECT j.id, j.queue, coalesce(j.order_key, j.key) FROM {rows $1: id int} r \
     JOIN outbox_jobs j ON j.id = r.id WHERE {any int j.state} = 1 ORDER BY j.seq",
);

pub(crate) static REOPEN: Sql = Sql::new(
    "UPDATE outbox_jobs SET state = 0, held = 0, seq = r.seq, attempts = 0, finished_at = NULL, \
                            due_at = {greatest}(outbox_jobs.run_at, {now}), set_at = {now} \
     FROM {rows $2: id int, seq int} r WHERE outbox_jobs.id = r.id AND {any int outbox_jobs.state} = 1 \
     RETURNING outbox_jobs.id, outbox_jobs.queue",
);

pub(crate) static RUN_NOW: Sql = Sql::new(
    "UPDATE outbox_jobs SET due_at = {now} + r.wait, run_at = 0, set_at = {now} \
     FROM {rows $2: queue text, key text, wait int} r \
     WHERE outbox_jobs.queue = r.queue AND outbox_jobs.key = r.key AND {any int outbox_jobs.state} = 0 \
       AND outbox_jobs.held = 0 AND outbox_jobs.due_at > {now} + r.wait \
     RETURNING outbox_jobs.id, outbox_jobs.queue",
);

pub(crate) static RUN_ALL_NOW: Sql = Sql::new(
    "UPDATE outbox_jobs SET due_at = {now}, run_at = 0, set_at = {now} \
     WHERE queue = $2 AND state = 0 AND held = 0 AND due_at > {now} \
     RETURNING outbox_jobs.id, outbox_jobs.queue",
);

pub(crate) static AHEAD: Sql = Sql::new(
    "SELECT a.queue, a.key, a.ahead FROM (\
         SELECT j.queue, j.key, (SELECT o.key FROM outbox_jobs o WHERE o.order_key = j.order_key \
             AND {open in order o} AND {any text o.queue} = j.queue AND o.seq < j.seq ORDER BY o.seq LIMIT 1) AS ahead \
         FROM {rows $1: queue text, key text} r JOIN outbox_jobs j ON j.queue = r.queue AND j.key = r.key \
         WHERE {any int j.state} = 0) a \
     WHERE a.ahead IS NOT NULL",
);

/// An open job that waits for an earlier job with the same order key.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BlockedJob {
    /// Its queue.
    pub queue: String,
    /// Its key.
    pub key: String,
    /// The key of the oldest open job with the same order key.
    pub ahead: String,
}

impl Outbox {
    /// Returns which of these jobs, given as queue and key, wait for an earlier job with the same order key.
    ///
    /// # Errors
    /// Returns an error if the database query fails.
    pub async fn blocked(&self, jobs: &[(String, String)]) -> Result<Vec<BlockedJob>> {
        if jobs.is_empty() {
            return Ok(Vec::new());
        }
        let (text, rows) = (AHEAD.on(self.engine()), json(&jobs)?);
        let found: Vec<(String, String, String)> = on_pool!(self.inner.db, pool => {
            sqlx::query_as(text).bind(rows).fetch_all(pool).await
        })?;
        Ok(found
            .into_iter()
            .map(|(queue, key, ahead)| BlockedJob { queue, key, ahead })
            .collect())
    }

    /// Finds a job by its key. Returns `None` if it never existed or was pruned.
    ///
    /// # Errors
    /// Returns an error if the database query fails.
    pub async fn find(&self, queue: &str, key: &str) -> Result<Option<JobInfo>> {
        let row: Option<InfoRow> = on_pool!(self.inner.db, pool => {
            sqlx::query_as(FIND).bind(queue).bind(key).fetch_optional(pool).await
        })?;
        Ok(row.map(info))
    }

    /// Lists dead letters of `queue` with ids greater than `after`, in ascending order.
    ///
    /// # Errors
    /// Returns an error if the database query fails.
    pub async fn dead(
        &self,
        queue: &str,
        after: Option<JobId>,
        limit: u32,
    ) -> Result<Vec<JobInfo>> {
        let after = after.map_or(i64::MIN, |id| id.0);
        let rows: Vec<InfoRow> = on_pool!(self.inner.db, pool => {
            sqlx::query_as(DEAD)
                .bind(queue)
                .bind(after)
                .bind(i64::from(limit))
                .fetch_all(pool)
                .await
        })?;
        Ok(rows.into_iter().map(info).collect())
    }

    /// Reopens dead letters behind all other jobs with the same order key, and resets their attempts. Returns the ids that
    /// were dead letters.
    ///
    /// # Errors
    /// Returns an error if the database query fails.
    pub async fn retry_dead(&self, tx: &mut Tx, ids: &[JobId]) -> Result<Vec<JobId>> {
        let rows = json(&id_rows(ids))?;
        let text = DEAD_ORDER_KEYS.on(tx.engine());
        let dead: Vec<(i64, String, String)> = on_tx!(tx, conn => {
            sqlx::query_as(text).bind(rows).fetch_all(conn).await
        })?;
        if dead.is_empty() {
            return Ok(Vec::new());
        }
        let lines: Vec<(&str, &str)> = dead
            .iter()
            .map(|(_, queue, line)| (queue.as_str(), line.as_str()))
            .collect();
        lock_order_keys(tx, &lines).await?;
        let seqs = numbers(tx, dead.len()).await?;
        let places: HashMap<i64, i64> = dead.iter().map(|(id, ..)| *id).zip(seqs).collect();
        let rows: Vec<_> = places.into_iter().collect();
        self.act_on(tx, &REOPEN, &json(&rows)?, None).await
    }

    /// Discards dead letters and open jobs that are not leased. `note` must not contain personal data. Returns the
    /// discarded ids.
    ///
    /// # Errors
    /// Returns an error if the database query fails.
    pub async fn discard(&self, tx: &mut Tx, ids: &[JobId], note: &str) -> Result<Vec<JobId>> {
        self.act_on(tx, &DISCARD, &json(&id_rows(ids))?, Some(clean(note)))
            .await
    }

    /// Makes delayed jobs claimable now. Paused jobs stay paused. Returns the ids of the jobs that were delayed.
    ///
    /// # Errors
    /// Returns an error if the database query fails.
    pub async fn run_now(&self, tx: &mut Tx, queue: &str, keys: &[&str]) -> Result<Vec<JobId>> {
        self.run_within(tx, queue, keys, Duration::ZERO).await
    }

    /// Like [`Outbox::run_now`], but the jobs run after `wait`; those that are due before that stay as they are.
    ///
    /// # Errors
    /// Returns an error if the database query fails.
    pub async fn run_within(
        &self,
        tx: &mut Tx,
        queue: &str,
        keys: &[&str],
        wait: Duration,
    ) -> Result<Vec<JobId>> {
        let rows: Vec<_> = keys.iter().map(|key| (queue, key, ms(wait))).collect();
        self.act_on(tx, &RUN_NOW, &json(&rows)?, None).await
    }

    /// Like [`Outbox::run_now`], for all jobs of a queue.
    ///
    /// # Errors
    /// Returns an error if the database query fails.
    pub async fn run_all_now(&self, tx: &mut Tx, queue: &str) -> Result<Vec<JobId>> {
        self.act_on(tx, &RUN_ALL_NOW, queue, None).await
    }

    async fn act_on(
        &self,
        tx: &mut Tx,
        sql: &'static Sql,
        rows: &str,
        note: Option<String>,
    ) -> Result<Vec<JobId>> {
        let text = sql.on(tx.engine());
        let done: Vec<(i64, String)> = on_tx!(tx, conn => {
            let query = sqlx::query_as(text).bind(self.now_bind()).bind(rows);
            match note {
                None => query.fetch_all(conn).await,
                Some(note) => query.bind(note).fetch_all(conn).await,
            }
        })?;
        let mut ids = Vec::with_capacity(done.len());
        for (id, queue) in done {
            tx.wake(&queue);
            ids.push(JobId(id));
        }
        ids.sort_unstable();
        Ok(ids)
    }
}

/// The distinct ids as rows of one column.
fn id_rows(ids: &[JobId]) -> Vec<(i64,)> {
    let mut rows: Vec<_> = ids.iter().map(|id| (id.0,)).collect();
    rows.sort_unstable();
    rows.dedup();
    rows
}

fn info(row: InfoRow) -> JobInfo {
    let (
        id,
        queue,
        key,
        partition,
        state,
        held,
        due_at,
        attempts,
        note,
        created_at,
        finished_at,
        by,
    ) = row;
    JobInfo {
        id: JobId(id),
        queue,
        key,
        partition,
        state: JobState::of(state, held),
        due_at: time(due_at),
        attempts: u32::try_from(attempts).unwrap_or(0),
        note,
        created_at: time(created_at),
        finished_at: finished_at.map(time),
        superseded_by: by.map(JobId),
    }
}
