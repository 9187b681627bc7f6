//! The handle of the queues.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::clock::Clock;
use crate::database::{Database, Engine};
use crate::error::Result;
use crate::migrate::MIGRATIONS;
use crate::settings::Settings;
use crate::sql::Sql;
use crate::wake::Wakeup;

/// All queues of one database. Cheap to clone.
#[derive(Clone)]
pub struct Outbox {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) db: Database,
    pub(crate) settings: Settings,
    clock: Arc<dyn Clock>,
    /// The database's time at the last claim, to detect a clock that was set back; 0 before the first claim.
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
    /// Creates a handle. Call [`Outbox::migrate`] to create the tables.
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

    /// Creates or upgrades the queue's tables; see [`Database::migrate`].
    ///
    /// # Errors
    /// As [`Database::migrate`].
    pub async fn migrate(&self) -> Result<()> {
        self.inner.db.migrate(&MIGRATIONS).await
    }

    /// The database.
    pub fn database(&self) -> &Database {
        &self.inner.db
    }

    /// The current time by the database's clock, which measures all delays.
    ///
    /// # Errors
    /// Returns an error if the database query fails.
    pub async fn now(&self) -> Result<DateTime<Utc>> {
        let text = NOW.on(self.engine());
        let now: i64 = on_pool!(self.inner.db, pool => {
            sqlx::query_scalar(text).bind(self.now_bind()).fetch_one(pool).await
        })?;
        Ok(time(now))
    }

    /// Subscribes to wake-ups of `queue`: it is woken when a job may have become claimable.
    pub fn wakeup(&self, queue: &str) -> Wakeup {
        self.inner.db.inner.hub.wakeup(queue)
    }

    /// Waits for a wake-up of `queue`, at most for `max`. Returns whether there was one.
    ///
    /// Wake-ups before the call are missed; a worker loop keeps a [`Wakeup`] instead.
    pub async fn wait(&self, queue: &str, max: Duration) -> bool {
        self.wakeup(queue).wait(max).await
    }

    /// The time until the next scheduled job of `queue` (backoff, pause or end of a lease) is due, or `None`. Jobs that
    /// are already due do not count.
    ///
    /// # Errors
    /// Returns an error if the database query fails.
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

    /// The value of `$1` in statements with `{now}`.
    pub(crate) fn now_bind(&self) -> i64 {
        match self.engine() {
            Engine::Sqlite => self.inner.clock.now().timestamp_millis(),
            Engine::Postgres => self.inner.clock.server_offset_ms(),
        }
    }
}

/// Converts a time of the database; an invalid one becomes the epoch.
pub(crate) fn time(ms: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(ms).unwrap_or_default()
}
