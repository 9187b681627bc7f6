//! Putting jobs in: once per key, in line, taking the place of older ones where asked.

use std::collections::HashMap;

use crate::database::{Engine, Tx};
use crate::error::{Error, ErrorKind, Result};
use crate::job::{Enqueued, JobId, NewJob, Receipt, Superseded};
use crate::on_tx;
use crate::outbox::Outbox;
use crate::settings::ms;
use crate::sql::Sql;

/// Jobs per statement.
const CHUNK: usize = 1000;

/// On PostgreSQL a number is drawn before the transaction commits, so a later number could be seen first, and the
/// line of a key would be overtaken. Whoever adds to a line therefore holds the line's lock until the commit. The lock is
/// that of all lines whose keys begin alike up to the first slash: a batch of hundreds of lines of a few owners takes a
/// few, and leaves the others to others. There are 256 per queue, for the server's table of locks is small; they are
/// taken in one order.
pub(crate) static LOCK_LINES: Sql = Sql::new(
    "SELECT count(*) FROM (SELECT pg_advisory_xact_lock(s.queue, s.stripe) FROM (\
         SELECT DISTINCT hashtext('outbox ' || r.queue) AS queue, hashtext(split_part(r.line, '/', 1)) & 255 AS stripe \
         FROM {rows $1: queue text, line text} r ORDER BY 1, 2\
     ) s OFFSET 0) t",
);

const TAKE_NUMBERS: &str =
    "UPDATE outbox_numbers SET last = last + $1 WHERE only_row = 1 RETURNING last";

const DRAW_NUMBERS: &str = "SELECT nextval('outbox_numbers') FROM generate_series(1, $1)";

pub(crate) static INSERT: Sql = Sql::new(
    "INSERT INTO outbox_jobs (id, seq, queue, key, order_key, lane, second_lane, supersede_key, \
                              due_at, run_at, set_at, created_at, payload) \
     SELECT n.n, n.n, n.queue, n.key, n.order_key, n.lane, n.second_lane, n.supersede_key, \
            {greatest}(n.run_at, {now} - n.waited), n.run_at, {now}, {now}, n.payload \
     FROM (SELECT {r.n|nextval('outbox_numbers')} AS n, r.queue, r.key, r.order_key, r.lane, r.second_lane, \
                  r.supersede_key, r.run_at, r.payload, r.waited \
           FROM {rows $2: n int, queue text, key text, order_key text, lane text, second_lane text, \
                          supersede_key text, run_at int, payload text, waited int} r {|OFFSET 0}) n \
     WHERE true ON CONFLICT (queue, key) DO NOTHING RETURNING id, queue, key",
);

pub(crate) static SEEN: Sql = Sql::new(
    "SELECT j.id, j.queue, j.key FROM {rows $1: queue text, key text} r \
     JOIN outbox_jobs j ON j.queue = r.queue AND j.key = r.key",
);

/// On PostgreSQL each line is looked along by itself, or else the planner may read all open jobs to join them.
pub(crate) static SUPERSEDE: Sql = Sql::new(
    "UPDATE outbox_jobs SET state = 3, held = 0, finished_at = {now}, payload = '', superseded_by = r.newer \
     FROM (SELECT o.id, r.newer \
           FROM {rows $2: newer int, queue text, order_key text, supersede_key text} r \
           {JOIN outbox_jobs o ON|CROSS JOIN LATERAL (SELECT o.id FROM outbox_jobs o WHERE} \
               o.order_key = r.order_key AND {open in line o} AND {any text o.queue} = r.queue \
               AND o.supersede_key = r.supersede_key AND o.held <> 1 AND o.seq < r.newer {|OFFSET 0) o}) r \
     WHERE outbox_jobs.id = r.id AND {any int outbox_jobs.state} = 0 AND outbox_jobs.held <> 1 \
     RETURNING outbox_jobs.id, outbox_jobs.queue, outbox_jobs.key, outbox_jobs.superseded_by",
);

impl Outbox {
    /// Puts `jobs` into their queues, in that order, within the host's transaction.
    ///
    /// A key that its queue has seen (open or finished, until retention forgets it) changes nothing and is answered
    /// [`Enqueued::Seen`]. A new job with a `supersede_key` closes the older ones of the same line and supersede key
    /// that nobody holds. Waiters are woken when the transaction commits.
    ///
    /// On PostgreSQL the lines stay locked for others who would add to them until the transaction ends, so let it be
    /// short; a transaction that adds to several queues does so with one call for all, or in the order in which all others do.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] for a job that cannot be stored (nothing is stored then); otherwise as the database answers.
    pub async fn enqueue(&self, tx: &mut Tx, jobs: &[NewJob]) -> Result<Receipt> {
        for job in jobs {
            job.check()?;
        }
        let lines: Vec<(&str, &str)> = jobs
            .iter()
            // A job without a line still has a key, which two transactions may bring at once.
            .map(|job| (&*job.queue, job.order_key.as_deref().unwrap_or(&job.key)))
            .collect();
        lock_lines(tx, &lines).await?;
        let mut receipt = Receipt::default();
        for chunk in jobs.chunks(CHUNK) {
            self.enqueue_chunk(tx, chunk, &mut receipt).await?;
        }
        Ok(receipt)
    }

    async fn enqueue_chunk(
        &self,
        tx: &mut Tx,
        jobs: &[NewJob],
        receipt: &mut Receipt,
    ) -> Result<()> {
        let new = self.insert(tx, jobs).await?;
        let seen = seen(tx, jobs, &new).await?;
        let mut superseding = HashMap::new();
        let mut taken = std::collections::HashSet::new();
        for job in jobs {
            let key = (job.queue.as_str(), job.key.as_str());
            let found = match new.get(&key) {
                // The same key twice in one call: the first is the new one.
                Some(&id) if taken.insert(id) => {
                    tx.ring(&job.queue);
                    if let (Some(order), Some(supersede)) = (&job.order_key, &job.supersede_key) {
                        superseding.insert((&*job.queue, &**order, &**supersede), id);
                    }
                    Enqueued::New(JobId(id))
                }
                Some(&id) => Enqueued::Seen(JobId(id)),
                None => match seen.get(&(job.queue.clone(), job.key.clone())) {
                    Some(&id) => Enqueued::Seen(JobId(id)),
                    // It was there when we inserted and pruned when we looked.
                    None => {
                        return Err(Error::new(
                            ErrorKind::Conflict,
                            "enqueue",
                            "a job of the same key was removed at the same moment; do it again",
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
        // PostgreSQL draws the numbers in the statement itself.
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
        receipt: &mut Receipt,
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
        receipt.superseded.extend(
            superseded
                .into_iter()
                .map(|(id, queue, key, by)| Superseded {
                    id: JobId(id),
                    queue,
                    key,
                    by: JobId(by),
                }),
        );
        Ok(())
    }
}

/// A row in the order of the columns in [`INSERT`]. The payload is JSON in a string of its own: PostgreSQL does not take
/// apart a document that speaks of zero bytes.
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
        &job.lane,
        &job.second_lane,
        job.supersede_key.as_deref(),
        job.not_before.map_or(0, |at| at.timestamp_millis()),
        job.payload.to_string(),
        ms(job.waited),
    )
}

/// The jobs that were there before: those of `jobs` that are not in `new`.
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

/// Locks the lines, given as queue and order key, against others who would add to them. On SQLite there is one writer.
pub(crate) async fn lock_lines(tx: &mut Tx, lines: &[(&str, &str)]) -> Result<()> {
    if let crate::Conn::Postgres(conn) = tx.conn()
        && !lines.is_empty()
    {
        sqlx::query(LOCK_LINES.on(Engine::Postgres))
            .bind(json(&lines)?)
            .execute(conn)
            .await?;
    }
    Ok(())
}

/// As many new numbers, rising.
pub(crate) async fn numbers(tx: &mut Tx, count: usize) -> Result<Vec<i64>> {
    let count = i64::try_from(count).unwrap_or(i64::MAX);
    match tx.conn() {
        crate::Conn::Sqlite(conn) => {
            let last: i64 = sqlx::query_scalar(TAKE_NUMBERS)
                .bind(count)
                .fetch_one(conn)
                .await?;
            Ok((last - count + 1..=last).collect())
        }
        crate::Conn::Postgres(conn) => {
            let mut drawn: Vec<i64> = sqlx::query_scalar(DRAW_NUMBERS)
                .bind(count)
                .fetch_all(conn)
                .await?;
            drawn.sort_unstable();
            Ok(drawn)
        }
    }
}

pub(crate) fn json<T: serde::Serialize>(rows: &T) -> Result<String> {
    serde_json::to_string(rows).map_err(|error| Error::invalid(error.to_string()))
}
