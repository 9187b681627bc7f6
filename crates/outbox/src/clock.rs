//! The clock, which tests can move.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

/// The source of the current time.
///
/// SQLite has no clock of its own and uses [`Clock::now`]. PostgreSQL uses the server's clock, so that all nodes agree,
/// plus [`Clock::server_offset_ms`].
pub trait Clock: std::fmt::Debug + Send + Sync + 'static {
    /// The current time. Only used with SQLite.
    fn now(&self) -> DateTime<Utc>;

    /// Milliseconds to add to the server's clock. Only used with PostgreSQL; anything but 0 is for tests.
    fn server_offset_ms(&self) -> i64 {
        0
    }
}

/// The system clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> DateTime<Utc> {
        Utc::now()
    }
}

/// A clock for tests. It starts at the given time. With SQLite it stands still until it is moved; with PostgreSQL it shifts
/// the server's clock, which goes on from there.
#[derive(Debug)]
pub struct TestClock {
    start: DateTime<Utc>,
    /// From the system's clock to `start` when this was created.
    ahead_ms: i64,
    moved_ms: AtomicI64,
}

impl TestClock {
    /// Creates a clock that stands at `start`.
    pub fn at(start: DateTime<Utc>) -> Self {
        Self {
            start,
            ahead_ms: (start - Utc::now()).num_milliseconds(),
            moved_ms: AtomicI64::new(0),
        }
    }

    /// Moves the clock forward.
    pub fn advance(&self, by: Duration) {
        self.shift_ms(i64::try_from(by.as_millis()).unwrap_or(i64::MAX));
    }

    /// Moves the clock by `ms` milliseconds, which may be negative.
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
        self.ahead_ms + self.moved_ms.load(Ordering::SeqCst)
    }
}
