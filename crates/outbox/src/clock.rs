//! Where the store's time comes from, so that tests can make it jump.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

/// The time a queue lives by.
///
/// On SQLite the store has no clock of its own and asks [`Clock::now`]. On PostgreSQL the server's
/// clock rules, so that all nodes agree, and only [`Clock::server_offset_ms`] is taken from here.
pub trait Clock: std::fmt::Debug + Send + Sync + 'static {
    /// The time now. Used by SQLite alone.
    fn now(&self) -> DateTime<Utc>;

    /// Milliseconds to add to the server's own clock. Used by PostgreSQL alone; anything but 0 is for tests.
    fn server_offset_ms(&self) -> i64 {
        0
    }
}

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> DateTime<Utc> {
        Utc::now()
    }
}

/// A clock for tests: it stands still on SQLite until it is moved, and shifts the server's clock on PostgreSQL.
#[derive(Debug)]
pub struct TestClock {
    start: DateTime<Utc>,
    moved_ms: AtomicI64,
}

impl TestClock {
    /// A clock that stands at `start`.
    pub fn at(start: DateTime<Utc>) -> Self {
        Self {
            start,
            moved_ms: AtomicI64::new(0),
        }
    }

    /// Moves on by `by`.
    pub fn advance(&self, by: Duration) {
        self.shift_ms(i64::try_from(by.as_millis()).unwrap_or(i64::MAX));
    }

    /// Moves by `ms` milliseconds, back when negative.
    pub fn shift_ms(&self, ms: i64) {
        self.moved_ms.fetch_add(ms, Ordering::SeqCst);
    }
}

impl Clock for TestClock {
    fn now(&self) -> DateTime<Utc> {
        let moved = TimeDelta::milliseconds(self.moved_ms.load(Ordering::SeqCst));
        self.start.checked_add_signed(moved).unwrap_or(self.start)
    }

    fn server_offset_ms(&self) -> i64 {
        self.moved_ms.load(Ordering::SeqCst)
    }
}
