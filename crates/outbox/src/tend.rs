//! What people do with jobs that nobody holds: look, try a dead letter again, discard, hasten.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::database::Tx;
use crate::enqueue::{json, lock_lines, numbers};
use crate::error::Result;
use crate::job::JobId;
use crate::on_pool;
use crate::on_tx;
use crate::outbox::{Outbox, time};
use crate::settle::clean;
use crate::sql::Sql;

/// Where a job stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It waits: for its time, its place in line, or somebody free.
    Waiting,
    /// It was put aside until its lane's pause ends. (A job of a paused lane that no claim came across is still `Waiting`.)
    Paused,
    /// Somebody holds it, or held it and let the lease lapse.
    Leased,
    /// A dead letter.
    Dead,
    /// Done.
    Done,
    /// A newer job took its place.
    Superseded,
    /// A person gave it up.
    Discarded,
}

impl State {
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

/// What is known of a job, without its payload.
#[derive(Clone, Debug)]
pub struct JobInfo {
    /// Its number.
    pub id: JobId,
    /// Its queue.
    pub queue: String,
    /// Its idempotency key.
    pub key: String,
    /// Its lane.
    pub lane: String,
    /// Where it stands.
    pub state: State,
    /// An open job: claimable from then on, or the lease's end.
    pub due_at: DateTime<Utc>,
    /// How often it was claimed.
    pub attempts: u32,
    /// What was said when it was last retried, buried or discarded.
    pub note: Option<String>,
    /// When it was enqueued.
    pub created_at: DateTime<Utc>,
    /// When it was finished or became a dead letter.
    pub finished_at: Option<DateTime<Utc>>,
    /// The newer job that took its place.
    pub superseded_by: Option<JobId>,
}

macro_rules! info {
    ($where:literal) => {
        concat!(
            "SELECT id, queue, key, lane, CAST(state AS BIGINT), CAST(held AS BIGINT), due_at, attempts, note, \
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

pub(crate) static DEAD_LINES: Sql = Sql::new(
    "SELECT j.id, j.queue, coalesce(j.order_key, j.key) FROM {rows $1: id int} r \
     JOIN outbox_jobs j ON j.id = r.id WHERE {any int j.state} = 1 ORDER BY j.seq",
);

pub(crate) static REOPEN: Sql = Sql::new(
    "UPDATE outbox_jobs SET state = 0, held = 0, seq = r.seq, attempts = 0, finished_at = NULL, \
                            due_at = {greatest}(outbox_jobs.run_at, {now}), set_at = {now} \
     FROM {rows $2: id int, seq int} r WHERE outbox_jobs.id = r.id AND {any int outbox_jobs.state} = 1 \
     RETURNING outbox_jobs.id, outbox_jobs.queue",
);

pub(crate) static HASTEN: Sql = Sql::new(
    "UPDATE outbox_jobs SET due_at = {now}, run_at = 0, set_at = {now} \
     FROM {rows $2: queue text, key text} r \
     WHERE outbox_jobs.queue = r.queue AND outbox_jobs.key = r.key AND {any int outbox_jobs.state} = 0 \
       AND outbox_jobs.held = 0 AND outbox_jobs.due_at > {now} \
     RETURNING outbox_jobs.id, outbox_jobs.queue",
);

pub(crate) static HASTEN_ALL: Sql = Sql::new(
    "UPDATE outbox_jobs SET due_at = {now}, run_at = 0, set_at = {now} \
     WHERE queue = $2 AND state = 0 AND held = 0 AND due_at > {now} \
     RETURNING outbox_jobs.id, outbox_jobs.queue",
);

pub(crate) static AHEAD: Sql = Sql::new(
    "SELECT a.queue, a.key, a.ahead FROM (\
         SELECT j.queue, j.key, (SELECT o.key FROM outbox_jobs o WHERE o.order_key = j.order_key \
             AND {open in line o} AND {any text o.queue} = j.queue AND o.seq < j.seq ORDER BY o.seq LIMIT 1) AS ahead \
         FROM {rows $1: queue text, key text} r JOIN outbox_jobs j ON j.queue = r.queue AND j.key = r.key \
         WHERE {any int j.state} = 0) a \
     WHERE a.ahead IS NOT NULL",
);

/// An open job that waits behind another of its line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InLine {
    /// Its queue.
    pub queue: String,
    /// Its key.
    pub key: String,
    /// The key of the job that is first in its line.
    pub ahead: String,
}

impl Outbox {
    /// Which of these jobs, given by queue and key, wait behind another of their line.
    ///
    /// # Errors
    /// As the database answers.
    pub async fn ahead(&self, jobs: &[(String, String)]) -> Result<Vec<InLine>> {
        if jobs.is_empty() {
            return Ok(Vec::new());
        }
        let (text, rows) = (AHEAD.on(self.engine()), json(&jobs)?);
        let found: Vec<(String, String, String)> = on_pool!(self.inner.db, pool => {
            sqlx::query_as(text).bind(rows).fetch_all(pool).await
        })?;
        Ok(found
            .into_iter()
            .map(|(queue, key, ahead)| InLine { queue, key, ahead })
            .collect())
    }

    /// The job of that key, unless retention has forgotten it.
    ///
    /// # Errors
    /// As the database answers.
    pub async fn find(&self, queue: &str, key: &str) -> Result<Option<JobInfo>> {
        let row: Option<InfoRow> = on_pool!(self.inner.db, pool => {
            sqlx::query_as(FIND).bind(queue).bind(key).fetch_optional(pool).await
        })?;
        Ok(row.map(info))
    }

    /// Dead letters of `queue` with numbers above `after`, in the order of their numbers.
    ///
    /// # Errors
    /// As the database answers.
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

    /// Opens dead letters again, at the end of their lines and with attempts counted anew. Answers those that were dead letters.
    ///
    /// # Errors
    /// As the database answers.
    pub async fn retry_dead(&self, tx: &mut Tx, ids: &[JobId]) -> Result<Vec<JobId>> {
        let rows = json(&id_rows(ids))?;
        let text = DEAD_LINES.on(tx.engine());
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
        lock_lines(tx, &lines).await?;
        let seqs = numbers(tx, dead.len()).await?;
        let places: HashMap<i64, i64> = dead.iter().map(|(id, ..)| *id).zip(seqs).collect();
        let rows: Vec<_> = places.into_iter().collect();
        self.tend(tx, &REOPEN, &json(&rows)?, None).await
    }

    /// Gives up jobs that nobody holds, dead or open. `note` says why and must hold nothing personal. Answers those given up.
    ///
    /// # Errors
    /// As the database answers.
    pub async fn discard(&self, tx: &mut Tx, ids: &[JobId], note: &str) -> Result<Vec<JobId>> {
        self.tend(tx, &DISCARD, &json(&id_rows(ids))?, Some(clean(note)))
            .await
    }

    /// Lets jobs that wait for their time be claimed at once, say because news of what they wait for has come. Paused
    /// ones stay paused. Answers those hastened.
    ///
    /// # Errors
    /// As the database answers.
    pub async fn hasten(&self, tx: &mut Tx, queue: &str, keys: &[&str]) -> Result<Vec<JobId>> {
        let rows: Vec<_> = keys.iter().map(|key| (queue, key)).collect();
        self.tend(tx, &HASTEN, &json(&rows)?, None).await
    }

    /// As [`Outbox::hasten`], for all jobs of a queue.
    ///
    /// # Errors
    /// As the database answers.
    pub async fn hasten_all(&self, tx: &mut Tx, queue: &str) -> Result<Vec<JobId>> {
        self.tend(tx, &HASTEN_ALL, queue, None).await
    }

    async fn tend(
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
            tx.ring(&queue);
            ids.push(JobId(id));
        }
        ids.sort_unstable();
        Ok(ids)
    }
}

/// The numbers as rows of one column, each once.
fn id_rows(ids: &[JobId]) -> Vec<(i64,)> {
    let mut rows: Vec<_> = ids.iter().map(|id| (id.0,)).collect();
    rows.sort_unstable();
    rows.dedup();
    rows
}

fn info(row: InfoRow) -> JobInfo {
    let (id, queue, key, lane, state, held, due_at, attempts, note, created_at, finished_at, by) =
        row;
    JobInfo {
        id: JobId(id),
        queue,
        key,
        lane,
        state: State::of(state, held),
        due_at: time(due_at),
        attempts: u32::try_from(attempts).unwrap_or(0),
        note,
        created_at: time(created_at),
        finished_at: finished_at.map(time),
        superseded_by: by.map(JobId),
    }
}
