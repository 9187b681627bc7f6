//! Claiming jobs: leases, batches of one partition, and handling a clock that was set back.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::database::Tx;
use crate::enqueue::json;
use crate::error::Result;
use crate::job::{BatchMode, ClaimRequest, ClaimedJob, JobId, LeaseToken, WaitingPartition};
use crate::outbox::{Outbox, time};
use crate::settings::ms;
use crate::sql::Sql;

/// How far the clock may go back without being treated as set back: nodes differ, and clocks are adjusted.
const CLOCK_SLACK_MS: i64 = 1000;
/// How many due jobs are checked for pauses at a time, and how many times in one claim.
const DEFER_WINDOW: i64 = 500;
const DEFER_ROUNDS: usize = 8;

pub(crate) static LOOK: Sql = Sql::new(
    "SELECT CAST({now} AS BIGINT), (SELECT count(*) FROM outbox_pauses WHERE until_at > {now})",
);

/// The time, and whether a job is due; those that are due but not claimable count as well.
pub(crate) static DUE: Sql = Sql::new(
    "SELECT CAST({now} AS BIGINT), (SELECT count(*) FROM (\
         SELECT 1 FROM outbox_jobs j WHERE j.queue = $2 AND j.state = 0 AND j.due_at <= {now} ORDER BY j.due_at LIMIT 1) due)",
);

/// Defers due jobs that are paused to the end of the pause, so that claims need not skip them every time. The pauses are
/// locked meanwhile: a later `resume` sees the deferred jobs.
pub(crate) static DEFER: Sql = Sql::new(
    "WITH front AS MATERIALIZED (\
         SELECT j.id FROM outbox_jobs j WHERE j.queue = $2 AND j.state = 0 AND j.due_at <= {now} \
         ORDER BY j.due_at, j.seq LIMIT $3), \
     stop AS MATERIALIZED (\
         SELECT p.key, p.until_at FROM outbox_pauses p WHERE p.until_at > {now} {|FOR SHARE}), \
     deferred AS MATERIALIZED (\
         SELECT j.id, (SELECT max(s.until_at) FROM stop s WHERE s.key = j.partition_key OR s.key = j.throttle_key) AS until_at \
         FROM outbox_jobs j WHERE j.id {IN (SELECT id FROM front)|= ANY (ARRAY (SELECT id FROM front))} \
           AND {any int j.state} = 0 AND j.held <> 1 AND j.due_at <= {now} \
           AND (j.partition_key IN (SELECT key FROM stop) OR j.throttle_key IN (SELECT key FROM stop)) {lock j}) \
     UPDATE outbox_jobs SET held = 2, due_at = p.until_at, set_at = {now} \
     FROM deferred p WHERE outbox_jobs.id = p.id",
);

/// The condition under which a job `j` of queue `$2` is claimable. The check for an older open job with the same order key
/// compares a subquery to NULL, which no planner turns into a join over all open jobs.
macro_rules! claimable {
    ($open:literal, $due:literal, $except:literal) => {
        concat!(
            "j.queue = $2 AND ",
            $open,
            " AND j.due_at <= ",
            $due,
            " AND j.partition_key NOT IN (SELECT key FROM outbox_pauses WHERE until_at > {now})",
            " AND j.throttle_key NOT IN (SELECT key FROM outbox_pauses WHERE until_at > {now})",
            $except,
            " AND (j.order_key IS NULL OR (SELECT o.id FROM outbox_jobs o WHERE o.order_key = j.order_key",
            " AND {open in order o} AND {any text o.queue} = j.queue AND o.seq < j.seq ORDER BY o.seq LIMIT 1) IS NULL)"
        )
    };
}

/// The condition under which a claim that names no partition takes a job `j`, due for at least `$8`.
macro_rules! in_any_partition {
    ($open:literal) => {
        claimable!(
            $open,
            "{now} - $8",
            " AND j.partition_key NOT IN {rows $5: partition_key text} AND {1 = 1|(hashtext(j.partition_key)::bigint & 2147483647) % $6 = $7}"
        )
    };
}

/// Leases the jobs that the common table expressions pick.
macro_rules! claim {
    ($($picked:expr),+ $(,)?) => {
        concat!(
            "WITH ",
            $($picked,)+
            " UPDATE outbox_jobs SET fence = fence + 1, attempts = attempts + 1, ",
            "lapsed = CASE WHEN held = 1 THEN 1 ELSE lapsed END, held = 1, ",
            "due_at = {now} + $4, set_at = {now} ",
            "WHERE id {IN (SELECT id FROM picked)|= ANY (ARRAY (SELECT id FROM picked))} ",
            "RETURNING id, seq, fence, attempts, key, order_key, partition_key, throttle_key, created_at, lapsed, note, payload"
        )
    };
}

pub(crate) static CLAIM: Sql = Sql::new(claim!(
    "picked AS MATERIALIZED (SELECT j.id FROM outbox_jobs j WHERE ",
    in_any_partition!("j.state = 0"),
    " ORDER BY j.due_at, j.seq LIMIT $3 {lock j})",
));

pub(crate) static CLAIM_PARTITION: Sql = Sql::new(claim!(
    "picked AS MATERIALIZED (SELECT j.id FROM outbox_jobs j WHERE ",
    claimable!(
        "{open in partition j}",
        "{now}",
        " AND j.partition_key = $5"
    ),
    " ORDER BY j.due_at, j.seq LIMIT $3 {lock j})",
));

/// The oldest `$3` jobs name the partitions, whose jobs are then read one partition after the other. Reading ends with the last
/// job that is picked, so a long backlog costs no more.
pub(crate) static CLAIM_PARTITIONS: Sql = Sql::new(claim!(
    "front AS MATERIALIZED (\
         SELECT w.partition_key FROM (SELECT j.partition_key, j.due_at, j.seq FROM outbox_jobs j WHERE ",
    in_any_partition!("j.state = 0"),
    " ORDER BY j.due_at, j.seq LIMIT $3) w GROUP BY w.partition_key ORDER BY min(w.due_at), min(w.seq)), \
     picked AS MATERIALIZED (\
         SELECT j.id FROM front f CROSS JOIN {|LATERAL (SELECT j.id FROM} outbox_jobs j WHERE ",
    claimable!(
        "{open in partition j}",
        "{now} - $8",
        " AND j.partition_key = f.partition_key"
    ),
    "{| ORDER BY j.due_at, j.seq LIMIT $3} {lock j} {|) j} LIMIT $3)",
));

pub(crate) static OLDEST_PARTITION: Sql = Sql::new(concat!(
    "SELECT j.partition_key FROM outbox_jobs j WHERE ",
    claimable!(
        "j.state = 0",
        "{now} - $3",
        " AND j.partition_key NOT IN {rows $4: partition_key text} AND {1 = 1|(hashtext(j.partition_key)::bigint & 2147483647) % $5 = $6}"
    ),
    " ORDER BY j.due_at, j.seq LIMIT 1 {lock j}"
));

pub(crate) static FULL_PARTITION: Sql = Sql::new(concat!(
    "SELECT j.partition_key FROM outbox_jobs j WHERE ",
    claimable!(
        "j.state = 0",
        "{now}",
        " AND j.partition_key NOT IN {rows $4: partition_key text} AND {1 = 1|(hashtext(j.partition_key)::bigint & 2147483647) % $5 = $6}"
    ),
    " GROUP BY j.partition_key HAVING count(*) >= $3 ORDER BY min(j.due_at) LIMIT 1"
));

/// The partitions of the oldest `$3` claimable jobs, the longest waiting first. The limit applies after all conditions, so
/// jobs that cannot be claimed do not hide others.
pub(crate) static WAITING: Sql = Sql::new(concat!(
    "SELECT w.partition_key, count(*), CAST({now} - min(w.due_at) AS BIGINT) FROM (\
         SELECT j.partition_key, j.due_at FROM outbox_jobs j WHERE ",
    claimable!(
        "j.state = 0",
        "{now}",
        " AND j.partition_key NOT IN {rows $4: partition_key text} AND {1 = 1|(hashtext(j.partition_key)::bigint & 2147483647) % $5 = $6}"
    ),
    " ORDER BY j.due_at, j.seq LIMIT $3) w GROUP BY w.partition_key ORDER BY min(w.due_at)"
));

/// After the clock was set back, delays keep their remaining length, counted from now; absolute times of the host stay.
pub(crate) static HEAL_JOBS: Sql = Sql::new(
    "UPDATE outbox_jobs SET due_at = {greatest}(run_at, {now} + (due_at - set_at)), set_at = {now} \
     WHERE state = 0 AND set_at > {now} + $2 AND due_at > {now}",
);
pub(crate) static HEAL_PAUSES: Sql = Sql::new(
    "UPDATE outbox_pauses SET until_at = {now} + (until_at - set_at), set_at = {now} \
     WHERE set_at > {now} + $2 AND until_at > {now}",
);

/// A claimed row, in the order of `RETURNING` in [`CLAIM`].
type Row = (
    i64,
    i64,
    i64,
    i64,
    String,
    Option<String>,
    String,
    String,
    i64,
    i64,
    Option<String>,
    String,
);

impl Outbox {
    /// Claims jobs of `queue` in a transaction of its own. Returns an empty list if none is claimable.
    ///
    /// A job is claimable if it is due, not paused, not in an excluded partition, the oldest open job of its order key, and
    /// not leased or its lease has expired. Each claim counts as an attempt and increments the fence. Older jobs come first, as
    /// far as [`ClaimRequest::batch`] allows; the batch itself is in the order in which jobs were enqueued.
    ///
    /// # Errors
    /// Returns an error if the database query fails.
    pub async fn claim(&self, queue: &str, request: &ClaimRequest) -> Result<Vec<ClaimedJob>> {
        let mut batches = self.claim_each(queue, [request.clone()], 1).await?;
        Ok(batches.pop().unwrap_or_default())
    }

    /// Like [`Outbox::claim`], within the host's transaction: completing one batch and claiming the next then need one commit.
    ///
    /// # Errors
    /// Returns an error if the database query fails.
    pub async fn claim_in(
        &self,
        tx: &mut Tx,
        queue: &str,
        request: &ClaimRequest,
    ) -> Result<Vec<ClaimedJob>> {
        if request.limit == 0 {
            return Ok(Vec::new());
        }
        self.prepare(tx, queue).await?;
        self.claim_batch(tx, queue, request).await
    }

    /// Claims by each of these requests, in order, in one transaction of its own: where many partitions have a few jobs each,
    /// most of a claim's cost is its transaction. Returns a batch for each request that found jobs.
    ///
    /// No request claims from a partition of which an earlier one has claimed, unless it names that partition. The claim ends
    /// with the first request that finds nothing without naming a partition, or once there are `enough` jobs; what follows is
    /// not taken from the iterator.
    ///
    /// # Errors
    /// Returns an error if a database query fails; then nothing is claimed.
    pub async fn claim_each(
        &self,
        queue: &str,
        requests: impl IntoIterator<Item = ClaimRequest>,
        enough: usize,
    ) -> Result<Vec<Vec<ClaimedJob>>> {
        if !self.may_claim(queue).await? {
            return Ok(Vec::new());
        }
        let mut tx = self.inner.db.begin().await?;
        self.prepare(&mut tx, queue).await?;
        let mut batches: Vec<Vec<ClaimedJob>> = Vec::new();
        let mut requests = requests.into_iter();
        while batches.iter().map(Vec::len).sum::<usize>() < enough
            && let Some(mut request) = requests.next()
        {
            let claimed = batches.iter().flatten().map(|job| job.partition.clone());
            request.except.extend(claimed);
            let jobs = self.claim_batch(&mut tx, queue, &request).await?;
            if !jobs.is_empty() {
                batches.push(jobs);
            } else if request.partition.is_none() {
                break;
            }
        }
        tx.commit().await?;
        Ok(batches)
    }

    /// What precedes claims in a transaction: a clock that was set back is noticed, and paused jobs are deferred.
    async fn prepare(&self, tx: &mut Tx, queue: &str) -> Result<()> {
        if self.look(tx).await? > 0 {
            self.defer(tx, queue).await?;
        }
        Ok(())
    }

    async fn claim_batch(
        &self,
        tx: &mut Tx,
        queue: &str,
        request: &ClaimRequest,
    ) -> Result<Vec<ClaimedJob>> {
        let mut rows: Vec<Row> = match request.batch {
            _ if let Some(partition) = &request.partition => {
                self.claim_partition(tx, queue, request, partition).await?
            }
            BatchMode::Mixed => self.claim_any(tx, queue, request, &CLAIM).await?,
            BatchMode::WholePartitions => {
                self.claim_any(tx, queue, request, &CLAIM_PARTITIONS)
                    .await?
            }
            BatchMode::SinglePartition { gather } => {
                let Some(partition) = self.choose_partition(tx, queue, request, gather).await?
                else {
                    return Ok(Vec::new());
                };
                self.claim_partition(tx, queue, request, &partition).await?
            }
        };
        rows.sort_unstable_by_key(|row| row.1);
        Ok(rows.into_iter().map(claimed).collect())
    }

    /// The partitions of the oldest `most` jobs of `queue` that `request` could claim, the longest waiting first: the host
    /// decides which of them to claim now ([`ClaimRequest::partition`]). Changes nothing.
    ///
    /// If more jobs wait, the counts of [`WaitingPartition::jobs`] are lower bounds, and a partition that has only younger jobs
    /// is not listed: a host that leaves many partitions waiting asks for more jobs. Of `request`, only `except` and `shard`
    /// have an effect.
    ///
    /// # Errors
    /// Returns an error if the database query fails.
    pub async fn waiting(
        &self,
        queue: &str,
        request: &ClaimRequest,
        most: u32,
    ) -> Result<Vec<WaitingPartition>> {
        let text = WAITING.on(self.engine());
        let partitions = Partitions::of(request)?;
        let rows: Vec<(String, i64, i64)> = on_pool!(self.inner.db, pool => {
            sqlx::query_as(text)
                .bind(self.now_bind())
                .bind(queue)
                .bind(i64::from(most))
                .bind(&*partitions.except)
                .bind(partitions.parts)
                .bind(partitions.part)
                .fetch_all(pool)
                .await
        })?;
        let count = |n: i64| u64::try_from(n).unwrap_or(0);
        let waiting = rows.into_iter().map(|(partition, jobs, oldest)| {
            WaitingPartition::new(partition, count(jobs), Duration::from_millis(count(oldest)))
        });
        Ok(waiting.collect())
    }

    /// Claims by one of the statements that name no partition.
    async fn claim_any(
        &self,
        tx: &mut Tx,
        queue: &str,
        request: &ClaimRequest,
        sql: &'static Sql,
    ) -> Result<Vec<Row>> {
        let (text, partitions) = (sql.on(tx.engine()), Partitions::of(request)?);
        Ok(on_tx!(tx, conn => {
            sqlx::query_as(text)
                .bind(self.now_bind())
                .bind(queue)
                .bind(i64::from(request.limit))
                .bind(ms(request.lease))
                .bind(partitions.except)
                .bind(partitions.parts)
                .bind(partitions.part)
                .bind(ms(request.overdue))
                .fetch_all(conn)
                .await
        })?)
    }

    async fn claim_partition(
        &self,
        tx: &mut Tx,
        queue: &str,
        request: &ClaimRequest,
        partition: &str,
    ) -> Result<Vec<Row>> {
        let text = CLAIM_PARTITION.on(tx.engine());
        Ok(on_tx!(tx, conn => {
            sqlx::query_as(text)
                .bind(self.now_bind())
                .bind(queue)
                .bind(i64::from(request.limit))
                .bind(ms(request.lease))
                .bind(partition)
                .fetch_all(conn)
                .await
        })?)
    }

    /// Whether a claim can have an effect. Idle workers learn this from one read, without SQLite's only writing connection.
    async fn may_claim(&self, queue: &str) -> Result<bool> {
        let text = DUE.on(self.engine());
        let (now, due): (i64, i64) = on_pool!(self.inner.db, pool => {
            sqlx::query_as(text).bind(self.now_bind()).bind(queue).fetch_one(pool).await
        })?;
        if due > 0 || self.is_set_back(now) {
            return Ok(true);
        }
        self.inner.last_now.store(now, Ordering::Relaxed);
        Ok(false)
    }

    /// Whether the clock was set back since the last claim. At the first claim it is unknown what it did before.
    fn is_set_back(&self, now: i64) -> bool {
        let before = self.inner.last_now.load(Ordering::Relaxed);
        before == 0 || now < before - CLOCK_SLACK_MS
    }

    /// Detects a clock that was set back, and returns the number of pauses.
    async fn look(&self, tx: &mut Tx) -> Result<i64> {
        let text = LOOK.on(tx.engine());
        let (now, pauses): (i64, i64) = on_tx!(tx, conn => {
            sqlx::query_as(text).bind(self.now_bind()).fetch_one(conn).await
        })?;
        if self.is_set_back(now) {
            self.heal(tx).await?;
            // Only after the commit: after a rollback the next claim must repair again.
            let inner = Arc::clone(&self.inner);
            tx.after_commit(move || inner.last_now.store(now, Ordering::Relaxed));
        } else {
            self.inner.last_now.store(now, Ordering::Relaxed);
        }
        Ok(pauses)
    }

    async fn heal(&self, tx: &mut Tx) -> Result<()> {
        let engine = tx.engine();
        let mut healed = 0;
        for text in [HEAL_JOBS.on(engine), HEAL_PAUSES.on(engine)] {
            healed += on_tx!(tx, conn => {
                sqlx::query(text)
                    .bind(self.now_bind())
                    .bind(CLOCK_SLACK_MS)
                    .execute(conn)
                    .await
                    .map(|done| done.rows_affected())
            })?;
        }
        if healed > 0 {
            tracing::warn!(
                healed,
                "the database's clock was set back; delayed jobs and pauses were moved with it"
            );
        }
        Ok(())
    }

    async fn defer(&self, tx: &mut Tx, queue: &str) -> Result<()> {
        let text = DEFER.on(tx.engine());
        for _ in 0..DEFER_ROUNDS {
            let deferred = on_tx!(tx, conn => {
                sqlx::query(text)
                    .bind(self.now_bind())
                    .bind(queue)
                    .bind(DEFER_WINDOW)
                    .execute(conn)
                    .await
                    .map(|done| done.rows_affected())
            })?;
            if i64::try_from(deferred).unwrap_or(i64::MAX) < DEFER_WINDOW {
                break;
            }
        }
        Ok(())
    }

    async fn choose_partition(
        &self,
        tx: &mut Tx,
        queue: &str,
        request: &ClaimRequest,
        gather: Duration,
    ) -> Result<Option<String>> {
        let engine = tx.engine();
        let partitions = Partitions::of(request)?;
        let waited = ms(gather + request.overdue);
        let oldest = self
            .partition_by(tx, OLDEST_PARTITION.on(engine), queue, waited, &partitions)
            .await?;
        if oldest.is_some() || gather.is_zero() || !request.overdue.is_zero() {
            return Ok(oldest);
        }
        let full = i64::from(request.limit);
        self.partition_by(tx, FULL_PARTITION.on(engine), queue, full, &partitions)
            .await
    }

    async fn partition_by(
        &self,
        tx: &mut Tx,
        text: &'static str,
        queue: &str,
        bound: i64,
        partitions: &Partitions,
    ) -> Result<Option<String>> {
        Ok(on_tx!(tx, conn => {
            sqlx::query_scalar(text)
                .bind(self.now_bind())
                .bind(queue)
                .bind(bound)
                .bind(&*partitions.except)
                .bind(partitions.parts)
                .bind(partitions.part)
                .fetch_optional(conn)
                .await
        })?)
    }
}

/// The parameters that select partitions.
struct Partitions {
    except: String,
    parts: i64,
    part: i64,
}

impl Partitions {
    fn of(request: &ClaimRequest) -> Result<Self> {
        let except: Vec<(&str,)> = request
            .except
            .iter()
            .map(|partition| (&**partition,))
            .collect();
        Ok(Self {
            except: json(&except)?,
            parts: i64::from(request.shard.count.max(1)),
            part: i64::from(request.shard.index),
        })
    }
}

fn claimed(row: Row) -> ClaimedJob {
    let (
        id,
        _,
        fence,
        attempts,
        key,
        order_key,
        partition,
        throttle_key,
        created_at,
        lapsed,
        note,
        payload,
    ) = row;
    // An unreadable payload fails in `parse`, where the host handles it; an error here would block all other jobs.
    let payload = serde_json::from_str(&payload).unwrap_or_default();
    ClaimedJob {
        lease: LeaseToken {
            id: JobId(id),
            fence,
            attempts: u32::try_from(attempts).unwrap_or(u32::MAX),
        },
        key,
        order_key,
        partition,
        throttle_key,
        enqueued_at: time(created_at),
        lapsed: lapsed != 0,
        note,
        payload,
    }
}
