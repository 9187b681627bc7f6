//! Lanes that rest until a time, for a reason.

use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::database::Tx;
use crate::error::Result;
use crate::job::check_text;
use crate::on_pool;
use crate::on_tx;
use crate::outbox::{Outbox, time};
use crate::settings::ms;
use crate::settle::clean;
use crate::sql::Sql;

/// How long a pause lasts, in the store's time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// For this long from now.
    For(Duration),
    /// Until this time.
    At(DateTime<Utc>),
}

/// A lane that rests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pause {
    /// The lane (or second lane), in all queues.
    pub lane: String,
    /// The end.
    pub until: DateTime<Utc>,
    /// The reason given.
    pub why: String,
}

pub(crate) static PAUSE: Sql = Sql::new(
    "INSERT INTO outbox_pauses (lane, until_at, set_at, why) \
     VALUES ($2, coalesce($3, {now} + $4), {now}, $5) \
     ON CONFLICT (lane) DO UPDATE SET until_at = excluded.until_at, set_at = excluded.set_at, why = excluded.why \
         WHERE excluded.until_at > outbox_pauses.until_at",
);

const UNPAUSE: &str = "DELETE FROM outbox_pauses WHERE lane = $1";

pub(crate) static UNPARK: Sql = Sql::new(
    "UPDATE outbox_jobs SET held = 0, due_at = {greatest}(run_at, {now}), set_at = {now} \
     WHERE held = 2 AND (lane = $2 OR second_lane = $2) RETURNING queue",
);

pub(crate) static PAUSES: Sql =
    Sql::new("SELECT lane, until_at, why FROM outbox_pauses WHERE until_at > {now} ORDER BY lane");

impl Outbox {
    /// Lets no job of `lane`, in any queue and as lane or second lane, be claimed for a while. Of two pauses the one
    /// that ends later holds. Jobs already claimed are not touched. `why` must hold nothing personal.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) for an empty lane; otherwise as the database answers.
    pub async fn pause(&self, tx: &mut Tx, lane: &str, until: Until, why: &str) -> Result<()> {
        check_text("lane", lane, true)?;
        let text = PAUSE.on(tx.engine());
        let (at, length) = match until {
            Until::For(length) => (None, ms(length)),
            Until::At(at) => (Some(at.timestamp_millis()), 0),
        };
        on_tx!(tx, conn => {
            sqlx::query(text)
                .bind(self.now_bind())
                .bind(lane)
                .bind(at)
                .bind(length)
                .bind(clean(why))
                .execute(conn)
                .await
                .map(|done| done.rows_affected())
        })?;
        Ok(())
    }

    /// Ends the pause of `lane` at once. Without a pause it does nothing.
    ///
    /// # Errors
    /// As the database answers.
    pub async fn resume(&self, tx: &mut Tx, lane: &str) -> Result<()> {
        let text = UNPARK.on(tx.engine());
        on_tx!(tx, conn => {
            sqlx::query(UNPAUSE).bind(lane).execute(conn).await.map(|done| done.rows_affected())
        })?;
        let queues: Vec<String> = on_tx!(tx, conn => {
            sqlx::query_scalar(text)
                .bind(self.now_bind())
                .bind(lane)
                .fetch_all(conn)
                .await
        })?;
        for queue in &queues {
            tx.ring(queue);
        }
        Ok(())
    }

    /// The lanes that rest now, by name.
    ///
    /// # Errors
    /// As the database answers.
    pub async fn pauses(&self) -> Result<Vec<Pause>> {
        let text = PAUSES.on(self.engine());
        let rows: Vec<(String, i64, String)> = on_pool!(self.inner.db, pool => {
            sqlx::query_as(text).bind(self.now_bind()).fetch_all(pool).await
        })?;
        Ok(rows
            .into_iter()
            .map(|(lane, until, why)| Pause {
                lane,
                until: time(until),
                why,
            })
            .collect())
    }
}
