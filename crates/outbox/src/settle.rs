//! What a holder does with the jobs it claimed: complete, try again, hand back, bury, hold on.

use std::collections::HashSet;
use std::time::Duration;

use crate::database::Tx;
use crate::enqueue::json;
use crate::error::Result;
use crate::job::{Held, JobId, Settled, When};
use crate::on_tx;
use crate::outbox::Outbox;
use crate::settings::ms;
use crate::sql::Sql;

/// Jobs per statement.
const CHUNK: usize = 2000;

/// Changes the jobs given as rows of (id, fence, ...) where the fence is still the caller's. Answers the job, its queue,
/// and whether its queue has something to be woken for.
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

/// Whether somebody stands behind it in its line.
macro_rules! follower {
    () => {
        "CASE WHEN EXISTS (SELECT 1 FROM outbox_jobs o WHERE o.order_key = outbox_jobs.order_key \
         AND {open in line o} AND {any text o.queue} = outbox_jobs.queue AND o.seq > outbox_jobs.seq) THEN 1 ELSE 0 END"
    };
}

/// A finished job keeps its key, so that it is known when it comes again, and loses its payload.
pub(crate) static COMPLETE: Sql = Sql::new(settle!(
    "state = 2, held = 0, finished_at = {now}, payload = '', note = NULL",
    "",
    follower!()
));
pub(crate) static BURY: Sql = Sql::new(settle!(
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
    /// Closes the jobs as done. The next of their lines become claimable when the transaction commits.
    ///
    /// Those whose lease lapsed meanwhile are closed all the same, as long as nobody else has claimed them; the others
    /// are reported as lost: end with [`Settled::all`]`()?` to have the host's transaction rolled back then.
    ///
    /// # Errors
    /// As the database answers.
    pub async fn complete(&self, tx: &mut Tx, held: &[Held]) -> Result<Settled> {
        self.settle(tx, &COMPLETE, held, None::<i64>).await
    }

    /// Makes the jobs dead letters: they are kept for a person to look at, and the next of their lines become claimable.
    /// `note` says why; it is stored and shown, so it must hold nothing personal.
    ///
    /// # Errors
    /// As the database answers.
    pub async fn bury(&self, tx: &mut Tx, held: &[Held], note: &str) -> Result<Settled> {
        self.settle(tx, &BURY, held, Some(clean(note))).await
    }

    /// Hands the jobs back as if they had not been claimed: the attempt does not count, and they are claimable at once.
    ///
    /// # Errors
    /// As the database answers.
    pub async fn release(&self, tx: &mut Tx, held: &[Held]) -> Result<Settled> {
        self.settle(tx, &RELEASE, held, None::<i64>).await
    }

    /// Lets the jobs be tried again, each later by its own random time where a backoff is asked for. They keep their
    /// place: those behind them in their lines wait too. `note` is as in [`Outbox::bury`].
    ///
    /// # Errors
    /// As the database answers.
    pub async fn retry(
        &self,
        tx: &mut Tx,
        held: &[Held],
        when: When,
        note: &str,
    ) -> Result<Settled> {
        let rows: Vec<_> = held
            .iter()
            .map(|held| {
                let jitter = || self.inner.settings.jitter_ms(held.attempts);
                let (wait, at) = match when {
                    When::Backoff => (jitter(), None),
                    When::BackoffAtLeast(least) => (jitter().max(ms(least)), None),
                    When::After(wait) => (ms(wait), None),
                    When::At(at) => (0, Some(at.timestamp_millis())),
                };
                (held.id.0, held.fence, wait, at)
            })
            .collect();
        let note = Some(clean(note));
        let mut settled = Settled::default();
        for (held, rows) in held.chunks(CHUNK).zip(rows.chunks(CHUNK)) {
            self.settle_rows(tx, &RETRY, held, json(&rows)?, note.clone(), &mut settled)
                .await?;
        }
        Ok(settled)
    }

    /// Holds the jobs for `lease` from now on, in a transaction of its own.
    ///
    /// # Errors
    /// As the database answers.
    pub async fn renew(&self, held: &[Held], lease: Duration) -> Result<Settled> {
        let mut tx = self.inner.db.begin().await?;
        let settled = self.settle(&mut tx, &RENEW, held, Some(ms(lease))).await?;
        tx.commit().await?;
        Ok(settled)
    }

    async fn settle<T>(
        &self,
        tx: &mut Tx,
        sql: &'static Sql,
        held: &[Held],
        third: Option<T>,
    ) -> Result<Settled>
    where
        T: Bind,
    {
        let mut settled = Settled::default();
        for held in held.chunks(CHUNK) {
            let rows: Vec<_> = held.iter().map(|held| (held.id.0, held.fence)).collect();
            self.settle_rows(tx, sql, held, json(&rows)?, third.clone(), &mut settled)
                .await?;
        }
        Ok(settled)
    }

    async fn settle_rows<T>(
        &self,
        tx: &mut Tx,
        sql: &'static Sql,
        held: &[Held],
        rows: String,
        third: Option<T>,
        settled: &mut Settled,
    ) -> Result<()>
    where
        T: Bind,
    {
        let text = sql.on(tx.engine());
        let done: Vec<(i64, String, i64)> = on_tx!(tx, conn => {
            let query = sqlx::query_as(text).bind(self.now_bind()).bind(rows);
            match third {
                None => query.fetch_all(conn).await,
                Some(third) => query.bind(third).fetch_all(conn).await,
            }
        })?;
        for (_, queue, _) in done.iter().filter(|(_, _, wake)| *wake != 0) {
            tx.ring(queue);
        }
        let kept: HashSet<JobId> = done.into_iter().map(|(id, _, _)| JobId(id)).collect();
        settled.lost.extend(
            held.iter()
                .map(|held| held.id)
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

/// What both databases take as a parameter here.
trait Bind:
    Clone
    + Send
    + for<'q> sqlx::Encode<'q, sqlx::Sqlite>
    + sqlx::Type<sqlx::Sqlite>
    + for<'q> sqlx::Encode<'q, sqlx::Postgres>
    + sqlx::Type<sqlx::Postgres>
    + 'static
{
}

impl Bind for i64 {}
impl Bind for String {}
