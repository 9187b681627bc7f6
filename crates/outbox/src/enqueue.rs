//! Enqueueing: once per key, in order, and superseding older jobs.

use std::collections::HashMap;

use crate::database::{Engine, Tx};
use crate::error::{Error, ErrorKind, Result};
use crate::job::{EnqueueReceipt, Enqueued, JobId, NewJob, SupersededJob};
use crate::outbox::Outbox;
use crate::settings::ms;
use crate::sql::Sql;

/// Jobs per statement.
const CHUNK: usize = 1000;

/// On PostgreSQL an id is drawn before the transaction commits, so a later id could become visible first and break the
/// order of an order key. A transaction that enqueues therefore locks the order key until it commits. Order keys that share
/// the part before the first slash share a lock, so that a batch for a few schools takes few locks. There are 256 locks per
/// queue, because the server's lock table is small, and they are taken in ascending order.
pub(crate) static LOCK_ORDER_KEYS: Sql = Sql::new(
    "SELECT count(*) FROM (SELECT pg_advisory_xact_lock(s.queue, s.stripe) FROM (\
         SELECT DISTINCT hashtext('outbox ' || r.queue) AS queue, hashtext(split_part(r.line, '/', 1)) & 255 AS stripe \
         FROM {rows $1: queue text, line text} r ORDER BY 1, 2\
     ) s OFFSET 0) t",
);

/// SQLite returns the last id only.
static DRAW_NUMBERS: Sql = Sql::new(
    "{UPDATE outbox_numbers SET last = last + $1 WHERE only_row = 1 RETURNING last\
     |SELECT nextval('outbox_numbers') FROM generate_series(1, $1)}",
);

pub(crate) static INSERT: Sql = Sql::new(
    "INSERT INTO outbox_jobs (id, seq, queue, key, order_key, partition_key, throttle_key, supersede_key, \
                              due_at, run_at, set_at, created_at, payload) \
     SELECT n.n, n.n, n.queue, n.key, n.order_key, n.partition_key, n.throttle_key, n.supersede_key, \
            {greatest}(n.run_at, {now} - n.waited), n.run_at, {now}, {now}, n.payload \
     FROM (SELECT {r.n|nextval('outbox_numbers')} AS n, r.queue, r.key, r.order_key, r.partition_key, r.throttle_key, \
                  r.supersede_key, r.run_at, r.payload, r.waited \
           FROM {rows $2: n int, queue text, key text, order_key text, partition_key text, throttle_key text, \
                          supersede_key text, run_at int, payload text, waited int} r {|OFFSET 0}) n \
     WHERE true ON CONFLICT (queue, key) DO NOTHING RETURNING id, queue, key",
);

pub(crate) static SEEN: Sql = Sql::new(
    "SELECT j.id, j.queue, j.key FROM {rows $1: queue text, key text} r \
     JOIN outbox_jobs j ON j.queue = r.queue AND j.key = r.key",
);

/// On PostgreSQL each order key is searched by itself; otherwise the planner may read all open jobs to join them.
pub(crate) static SUPERSEDE: Sql = Sql::new(
    "UPDATE outbox_jobs SET state = 3, held = 0, finished_at = {now}, payload = '', superseded_by = r.newer \
     FROM (SELECT o.id, r.newer \
           FROM {rows $2: newer int, queue text, order_key text, supersede_key text} r \
           {JOIN outbox_jobs o ON|CROSS JOIN LATERAL (SELECT o.id FROM outbox_jobs o WHERE} \
               o.order_key = r.order_key AND {open in order o} AND {any text o.queue} = r.queue \
               AND o.supersede_key = r.supersede_key AND o.held <> 1 AND o.seq < r.newer {|OFFSET 0) o}) r \
     WHERE outbox_jobs.id = r.id AND {any int outbox_jobs.state} = 0 AND outbox_jobs.held <> 1 \
     RETURNING outbox_jobs.id, outbox_jobs.queue, outbox_jobs.key, outbox_jobs.superseded_by",
);

impl Outbox {
    /// Enqueues `jobs`, in that order, within the host's transaction.
    ///
    /// A job whose key exists in its queue (open, or finished and not yet pruned) changes nothing and is reported as
    /// [`Enqueued::Duplicate`]. A new job with a `supersede_key` closes the older jobs with the same order key and supersede
    /// key that are not leased. Workers are woken when the transaction commits.
    ///
    /// On PostgreSQL the order keys stay locked against other transactions that enqueue, so keep the transaction short. A
    /// transaction that enqueues into several queues must do so in one call, or in the same order as all others.
    ///
    /// # Errors
    /// Returns [`ErrorKind::Invalid`] if a job cannot be stored, and then stores none; otherwise an error if the database query fails.
    pub async fn enqueue(&self, tx: &mut Tx, jobs: &[NewJob]) -> Result<EnqueueReceipt> {
        for job in jobs {
            job.check()?;
        }
        let lines: Vec<(&str, &str)> = jobs
            .iter()
            // A job without an order key still has a key, which two transactions may enqueue at once.
            .map(|job| (&*job.queue, job.order_key.as_deref().unwrap_or(&job.key)))
            .collect();
        lock_order_keys(tx, &lines).await?;
        let mut receipt = EnqueueReceipt::default();
        for chunk in jobs.chunks(CHUNK) {
            self.enqueue_chunk(tx, chunk, &mut receipt).await?;
        }
        Ok(receipt)
    }

    async fn enqueue_chunk(
        &self,
        tx: &mut Tx,
        jobs: &[NewJob],
        receipt: &mut EnqueueReceipt,
    ) -> Result<()> {
        let new = self.insert(tx, jobs).await?;
        let seen = seen(tx, jobs, &new).await?;
        let mut superseding = HashMap::new();
        let mut taken = std::collections::HashSet::new();
        for job in jobs {
            let key = (job.queue.as_str(), job.key.as_str());
            let found = match new.get(&key) {
                // If a key occurs twice in one call, the first job is the new one.
                Some(&id) if taken.insert(id) => {
                    tx.wake(&job.queue);
                    if let (Some(order), Some(supersede)) = (&job.order_key, &job.supersede_key) {
                        superseding.insert((&*job.queue, &**order, &**supersede), id);
                    }
                    Enqueued::New(JobId(id))
                }
                Some(&id) => Enqueued::Duplicate(JobId(id)),
                None => match seen.get(&(job.queue.clone(), job.key.clone())) {
                    Some(&id) => Enqueued::Duplicate(JobId(id)),
                    // It existed at the insert and was pruned before the lookup.
                    None => {
                        return Err(Error::new(
                            ErrorKind::Conflict,
                            "enqueue",
                            "a job with the same key was removed at the same time; retry",
                        ));
                    }
                },
            };
            receipt.jobs.push(found);
        }
        let rows: Vec<_> = superseding
            .iter()
            .map(|((queue, order, supersede), id)| (id, queue, order, supersede))
            .collect();
        self.supersede(tx, &json(&rows)?, rows.is_empty(), receipt)
            .await
    }

    async fn insert<'a>(
        &self,
        tx: &mut Tx,
        jobs: &'a [NewJob],
    ) -> Result<HashMap<(&'a str, &'a str), i64>> {
        // PostgreSQL draws the ids in the statement itself.
        let first = match tx.engine() {
            Engine::Sqlite => numbers(tx, jobs.len()).await?.first().copied().unwrap_or(0),
            Engine::Postgres => 0,
        };
        let rows: Vec<_> = jobs
            .iter()
            .zip(first..)
            .map(|(job, n)| row(job, n))
            .collect();
        let rows = json(&rows)?;
        let text = INSERT.on(tx.engine());
        let inserted: Vec<(i64, String, String)> = on_tx!(tx, conn => {
            sqlx::query_as(text)
                .bind(self.now_bind())
                .bind(rows)
                .fetch_all(conn)
                .await
        })?;
        let mut ids: HashMap<(String, String), i64> = inserted
            .into_iter()
            .map(|(id, queue, key)| ((queue, key), id))
            .collect();
        Ok(jobs
            .iter()
            .filter_map(|job| {
                let id = ids.remove(&(job.queue.clone(), job.key.clone()))?;
                Some(((&*job.queue, &*job.key), id))
            })
            .collect())
    }

    async fn supersede(
        &self,
        tx: &mut Tx,
        rows: &str,
        none: bool,
        receipt: &mut EnqueueReceipt,
    ) -> Result<()> {
        if none {
            return Ok(());
        }
        let text = SUPERSEDE.on(tx.engine());
        let superseded: Vec<(i64, String, String, i64)> = on_tx!(tx, conn => {
            sqlx::query_as(text)
                .bind(self.now_bind())
                .bind(rows)
                .fetch_all(conn)
                .await
        })?;
        receipt
            .superseded
            .extend(
                superseded
                    .into_iter()
                    .map(|(id, queue, key, by)| SupersededJob {
                        id: JobId(id),
                        queue,
                        key,
                        by: JobId(by),
                    }),
            );
        Ok(())
    }
}

/// A row in the order of the columns in [`INSERT`]. The payload is JSON within a string: PostgreSQL does not parse a
/// document with escaped zero bytes.
type Row<'a> = (
    i64,
    &'a str,
    &'a str,
    Option<&'a str>,
    &'a str,
    &'a str,
    Option<&'a str>,
    i64,
    String,
    i64,
);

fn row(job: &NewJob, n: i64) -> Row<'_> {
    (
        n,
        &job.queue,
        &job.key,
        job.order_key.as_deref(),
        &job.partition,
        &job.throttle_key,
        job.supersede_key.as_deref(),
        job.not_before.map_or(0, |at| at.timestamp_millis()),
        job.payload.to_string(),
        ms(job.waited),
    )
}

/// The ids of those `jobs` that are not in `new`.
async fn seen(
    tx: &mut Tx,
    jobs: &[NewJob],
    new: &HashMap<(&str, &str), i64>,
) -> Result<HashMap<(String, String), i64>> {
    let old: Vec<(&str, &str)> = jobs
        .iter()
        .map(|job| (&*job.queue, &*job.key))
        .filter(|key| !new.contains_key(key))
        .collect();
    if old.is_empty() {
        return Ok(HashMap::new());
    }
    let text = SEEN.on(tx.engine());
    let rows = json(&old)?;
    let found: Vec<(i64, String, String)> = on_tx!(tx, conn => {
        sqlx::query_as(text).bind(rows).fetch_all(conn).await
    })?;
    Ok(found
        .into_iter()
        .map(|(id, queue, key)| ((queue, key), id))
        .collect())
}

/// Locks order keys, given with their queues, against other transactions that enqueue. SQLite has one writer anyway.
pub(crate) async fn lock_order_keys(tx: &mut Tx, keys: &[(&str, &str)]) -> Result<()> {
    let engine = tx.engine();
    if engine == Engine::Postgres && !keys.is_empty() {
        let (text, keys) = (LOCK_ORDER_KEYS.on(engine), json(&keys)?);
        on_tx!(tx, conn => {
            sqlx::query(text).bind(keys).execute(conn).await.map(|_| ())
        })?;
    }
    Ok(())
}

/// Draws `count` new ids, ascending.
pub(crate) async fn numbers(tx: &mut Tx, count: usize) -> Result<Vec<i64>> {
    let (engine, count) = (tx.engine(), i64::try_from(count).unwrap_or(i64::MAX));
    let text = DRAW_NUMBERS.on(engine);
    let mut drawn: Vec<i64> = on_tx!(tx, conn => {
        sqlx::query_scalar(text).bind(count).fetch_all(conn).await
    })?;
    if let (Engine::Sqlite, Some(&last)) = (engine, drawn.last()) {
        return Ok((last - count + 1..=last).collect());
    }
    drawn.sort_unstable();
    Ok(drawn)
}

pub(crate) fn json<T: serde::Serialize>(rows: &T) -> Result<String> {
    serde_json::to_string(rows).map_err(|error| Error::invalid(error.to_string()))
}
