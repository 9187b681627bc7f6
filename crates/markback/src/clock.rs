//! Where the service's time comes from: the machine's clock, or one that runs fast for demonstrations.

use std::{sync::Arc, time::Instant};

use chrono::{DateTime, TimeDelta, Utc};
use outbox::Clock;

/// The clock that a service and its store go by.
pub type SharedClock = Arc<dyn Clock>;

/// A clock that starts at a given time and runs faster than the machine's.
#[derive(Clone, Copy, Debug)]
pub struct FastClock {
    start: DateTime<Utc>,
    began: Instant,
    speed: f64,
}

impl FastClock {
    /// Starts now, at `start`. A speed of 60 lets an hour pass in a minute.
    pub fn new(start: DateTime<Utc>, speed: f64) -> Self {
        Self {
            start,
            began: Instant::now(),
            speed,
        }
    }
}

impl Clock for FastClock {
    fn now(&self) -> DateTime<Utc> {
        #[allow(
            clippy::cast_possible_truncation,
            reason = "a demonstration of 2^63 milliseconds does not happen"
        )]
        let passed = (self.began.elapsed().as_secs_f64() * self.speed * 1000.0) as i64;
        self.start + TimeDelta::milliseconds(passed)
    }
}
