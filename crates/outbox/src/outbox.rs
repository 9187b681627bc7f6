//! The queue's handle.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::clock::Clock;
use crate::database::{Database, Engine};
use crate::error::Result;
use crate::migrate::MIGRATIONS;
use crate::on_pool;
use crate::settings::Settings;
use crate::sql::Sql;
use crate::wake::Bell;

/// All queues of one database. Cheap to clone.
#[derive(Clone)]
pub struct Outbox {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) db: Database,
    pub(crate) settings: Settings,
    clock: Arc<dyn Clock>,
    /// The store's time at the last claim, to notice a clock that was set back; 0 before the first.
    pub(crate) last_now: AtomicI64,
}

impl fmt::Debug for Outbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outbox")
            .field("db", &self.inner.db)
            .finish_non_exhaustive()
    }
}

pub(crate) static NOW: Sql = Sql::new("SELECT CAST({now} AS BIGINT)");

pub(crate) static NEXT_DUE: Sql = Sql::new(
    "SELECT CAST(j.due_at - {now} AS BIGINT) FROM outbox_jobs j \
     WHERE j.queue = $2 AND j.state = 0 AND j.due_at > {now} ORDER BY j.due_at LIMIT 1",
);

impl Outbox {
    /// The queues of `db`, whose tables [`Outbox::migrate`] makes.
    pub fn new(db: Database, settings: Settings, clock: Arc<dyn Clock>) -> Self {
        Self {
            inner: Arc::new(Inner {
                db,
                settings,
                clock,
                last_now: AtomicI64::new(0),
            }),
        }
    }

    /// Makes the queue's tables or brings them up to date; see [`Database::migrate`].
    ///
    /// # Errors
    /// As [`Database::migrate`].
    pub async fn migrate(&self) -> Result<()> {
        self.inner.db.migrate(&MIGRATIONS).await
    }

    /// The database the queues are in.
    pub fn database(&self) -> &Database {
        &self.inner.db
    }

    /// The store's own time, by which all waiting is measured.
    ///
    /// # Errors
    /// As the database answers.
    pub async fn now(&self) -> Result<DateTime<Utc>> {
        let text = NOW.on(self.engine());
        let now: i64 = on_pool!(self.inner.db, pool => {
            sqlx::query_scalar(text).bind(self.now_bind()).fetch_one(pool).await
        })?;
        Ok(time(now))
    }

    /// A bell that rings when something may have become claimable in `queue`.
    pub fn bell(&self, queue: &str) -> Bell {
        self.inner.db.inner.hub.bell(queue)
    }

    /// Returns when `queue` is rung, or after `max`; says whether it was rung.
    ///
    /// What was rung before the call is missed: a worker in a loop keeps a [`Bell`] instead.
    pub async fn wait(&self, queue: &str, max: Duration) -> bool {
        self.bell(queue).wait(max).await
    }

    /// How long until the next job that waits for a time (a backoff, a pause, a lease's end) is due in `queue`;
    /// `None` when there is none. What is due already does not count.
    ///
    /// # Errors
    /// As the database answers.
    pub async fn next_due(&self, queue: &str) -> Result<Option<Duration>> {
        let text = NEXT_DUE.on(self.engine());
        let wait: Option<i64> = on_pool!(self.inner.db, pool => {
            sqlx::query_scalar(text)
                .bind(self.now_bind())
                .bind(queue)
                .fetch_optional(pool)
                .await
        })?;
        Ok(wait.map(|ms| Duration::from_millis(u64::try_from(ms).unwrap_or(0))))
    }

    pub(crate) fn engine(&self) -> Engine {
        self.inner.db.engine()
    }

    /// What is bound as `$1` where a statement says `{now}`.
    pub(crate) fn now_bind(&self) -> i64 {
        match self.engine() {
            Engine::Sqlite => self.inner.clock.now().timestamp_millis(),
            Engine::Postgres => self.inner.clock.server_offset_ms(),
        }
    }
}

/// A time out of the database; one that no calendar has becomes the epoch.
pub(crate) fn time(ms: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(ms).unwrap_or_default()
}
