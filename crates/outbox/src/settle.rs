//! Completing, retrying, releasing and dead-lettering claimed jobs, and renewing their leases.

use std::collections::HashSet;
use std::time::Duration;

use crate::database::Tx;
use crate::enqueue::json;
use crate::error::Result;
use crate::job::{JobId, LeaseToken, RetryAt, Settled};
use crate::outbox::Outbox;
use crate::settings::ms;
use crate::sql::Sql;

/// Jobs per statement.
const CHUNK: usize = 2000;

/// Changes the jobs given as rows of (id, fence, ...) whose fence is still the caller's. Returns the job, its queue, and
/// whether to wake the queue's workers.
macro_rules! settle {
    ($set:literal, $rows:literal, $wake:expr) => {
        concat!(
            "UPDATE outbox_jobs SET ",
            $set,
            " FROM {rows $2: id int, fence int",
            $rows,
            "} r WHERE outbox_jobs.id = r.id AND outbox_jobs.fence = r.fence AND {any int outbox_jobs.state} = 0 ",
            "RETURNING outbox_jobs.id, outbox_jobs.queue, CAST(",
            $wake,
            " AS BIGINT)"
        )
    };
}

/// Whether a later job with the same order key is waiting.
macro_rules! follower {
    () => {
        "CASE WHEN EXISTS (SELECT 1 FROM outbox_jobs o WHERE o.order_key = outbox_jobs.order_key \
         AND {open in order o} AND {any text o.queue} = outbox_jobs.queue AND o.seq > outbox_jobs.seq) THEN 1 ELSE 0 END"
    };
}

/// A finished job keeps its key, which makes duplicates recognisable, and loses its payload.
pub(crate) static COMPLETE: Sql = Sql::new(settle!(
    "state = 2, held = 0, finished_at = {now}, payload = '', note = NULL",
    "",
    follower!()
));
pub(crate) static DEAD_LETTER: Sql = Sql::new(settle!(
    "state = 1, held = 0, fence = outbox_jobs.fence + 1, finished_at = {now}, note = $3",
    "",
    follower!()
));
pub(crate) static RETRY: Sql = Sql::new(settle!(
    "held = 0, fence = outbox_jobs.fence + 1, set_at = {now}, note = $3, \
     run_at = coalesce(r.run_at, outbox_jobs.run_at), due_at = {greatest}(coalesce(r.run_at, 0), {now} + r.wait)",
    ", wait int, run_at int",
    "CASE WHEN outbox_jobs.due_at <= outbox_jobs.set_at THEN 1 ELSE 0 END"
));
pub(crate) static RELEASE: Sql = Sql::new(settle!(
    "held = 0, fence = outbox_jobs.fence + 1, attempts = outbox_jobs.attempts - 1, due_at = {now}, set_at = {now}",
    "",
    "1"
));
pub(crate) static RENEW: Sql = Sql::new(settle!("due_at = {now} + $3, set_at = {now}", "", "0"));

impl Outbox {
    /// Completes the jobs. The next jobs with the same order keys become claimable when the transaction commits.
    ///
    /// A job whose lease has expired is completed as long as nobody else has claimed it; otherwise it is reported as
    /// lost. Call [`Settled::all`]`()?` to roll the host's transaction back in that case.
    ///
    /// # Errors
    /// Returns an error if the database query fails.
    pub async fn complete(&self, tx: &mut Tx, leases: &[LeaseToken]) -> Result<Settled> {
        self.settle(tx, &COMPLETE, leases, Param::None).await
    }

    /// Makes the jobs dead letters: they are kept for an operator, and the next jobs with the same order keys become
    /// claimable. `note` gives the reason; it is stored and shown, so it must not contain personal data.
    ///
    /// # Errors
    /// Returns an error if the database query fails.
    pub async fn dead_letter(
        &self,
        tx: &mut Tx,
        leases: &[LeaseToken],
        note: &str,
    ) -> Result<Settled> {
        self.settle(tx, &DEAD_LETTER, leases, Param::Text(clean(note)))
            .await
    }

    /// Releases the jobs as if they had not been claimed: the attempt does not count, and they can be claimed at once.
    ///
    /// # Errors
    /// Returns an error if the database query fails.
    pub async fn release(&self, tx: &mut Tx, leases: &[LeaseToken]) -> Result<Settled> {
        self.settle(tx, &RELEASE, leases, Param::None).await
    }

    /// Schedules the jobs for a retry; with a backoff, each gets its own random delay. They keep their place: later jobs
    /// with the same order keys wait too. `note` is as in [`Outbox::dead_letter`].
    ///
    /// # Errors
    /// Returns an error if the database query fails.
    pub async fn retry(
        &self,
        tx: &mut Tx,
        leases: &[LeaseToken],
        when: RetryAt,
        note: &str,
    ) -> Result<Settled> {
        let rows: Vec<_> = leases
            .iter()
            .map(|lease| {
                let jitter = || self.inner.settings.jitter_ms(lease.attempts);
                let (wait, at) = match when {
                    RetryAt::Backoff => (jitter(), None),
                    RetryAt::BackoffAtLeast(least) => (jitter().max(ms(least)), None),
                    RetryAt::After(wait) => (ms(wait), None),
                    RetryAt::At(at) => (0, Some(at.timestamp_millis())),
                };
                (lease.id.0, lease.fence, wait, at)
            })
            .collect();
        let note = Param::Text(clean(note));
        let mut settled = Settled::default();
        for (leases, rows) in leases.chunks(CHUNK).zip(rows.chunks(CHUNK)) {
            self.settle_rows(tx, &RETRY, leases, json(&rows)?, note.clone(), &mut settled)
                .await?;
        }
        Ok(settled)
    }

    /// Extends the leases to `lease` from now, in a transaction of its own.
    ///
    /// # Errors
    /// Returns an error if the database query fails.
    pub async fn renew(&self, leases: &[LeaseToken], lease: Duration) -> Result<Settled> {
        let mut tx = self.inner.db.begin().await?;
        let settled = self
            .settle(&mut tx, &RENEW, leases, Param::Int(ms(lease)))
            .await?;
        tx.commit().await?;
        Ok(settled)
    }

    async fn settle(
        &self,
        tx: &mut Tx,
        sql: &'static Sql,
        leases: &[LeaseToken],
        third: Param,
    ) -> Result<Settled> {
        let mut settled = Settled::default();
        for leases in leases.chunks(CHUNK) {
            let rows: Vec<_> = leases
                .iter()
                .map(|lease| (lease.id.0, lease.fence))
                .collect();
            self.settle_rows(tx, sql, leases, json(&rows)?, third.clone(), &mut settled)
                .await?;
        }
        Ok(settled)
    }

    async fn settle_rows(
        &self,
        tx: &mut Tx,
        sql: &'static Sql,
        leases: &[LeaseToken],
        rows: String,
        third: Param,
        settled: &mut Settled,
    ) -> Result<()> {
        let text = sql.on(tx.engine());
        let done: Vec<(i64, String, i64)> = on_tx!(tx, conn => {
            let query = sqlx::query_as(text).bind(self.now_bind()).bind(rows);
            match third {
                Param::None => query.fetch_all(conn).await,
                Param::Int(third) => query.bind(third).fetch_all(conn).await,
                Param::Text(third) => query.bind(third).fetch_all(conn).await,
            }
        })?;
        for (_, queue, _) in done.iter().filter(|(_, _, wake)| *wake != 0) {
            tx.wake(queue);
        }
        let kept: HashSet<JobId> = done.into_iter().map(|(id, _, _)| JobId(id)).collect();
        settled.lost.extend(
            leases
                .iter()
                .map(|lease| lease.id)
                .filter(|id| !kept.contains(id)),
        );
        settled.kept.extend(kept);
        Ok(())
    }
}

/// PostgreSQL stores no zero byte.
pub(crate) fn clean(note: &str) -> String {
    note.replace('\0', "")
}

/// The third parameter of a statement.
#[derive(Clone)]
enum Param {
    None,
    Int(i64),
    Text(String),
}
