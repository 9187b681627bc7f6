//! The demo's clock: its speed can be set, and it never goes back.

use std::{
    sync::{Mutex, PoisonError},
    time::Instant,
};

use chrono::{DateTime, TimeDelta, Utc};
use outbox::Clock;

/// A clock whose speed can be changed while it runs.
#[derive(Debug)]
pub(crate) struct StageClock(Mutex<Pace>);

#[derive(Clone, Copy, Debug)]
struct Pace {
    from: DateTime<Utc>,
    since: Instant,
    speed: f64,
}

impl StageClock {
    /// Runs from `start` on, as fast as any other clock.
    pub(crate) fn starting_at(start: DateTime<Utc>) -> Self {
        Self(Mutex::new(Pace {
            from: start,
            since: Instant::now(),
            speed: 1.0,
        }))
    }

    /// Sets the speed of the clock.
    pub(crate) fn run_at(&self, speed: f64) {
        let mut pace = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let since = Instant::now();
        *pace = Pace {
            from: pace.at(since),
            since,
            speed,
        };
    }
}

impl Pace {
    fn at(&self, moment: Instant) -> DateTime<Utc> {
        let real = moment.saturating_duration_since(self.since).as_secs_f64();
        #[expect(
            clippy::cast_possible_truncation,
            reason = "whole milliseconds are meant, and `as` stops at the ends"
        )]
        let passed = (real * self.speed * 1_000.0) as i64;
        TimeDelta::try_milliseconds(passed)
            .and_then(|passed| self.from.checked_add_signed(passed))
            .unwrap_or(self.from)
    }
}

impl Clock for StageClock {
    fn now(&self) -> DateTime<Utc> {
        let pace = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        pace.at(Instant::now())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn an_hour_passes_in_a_minute_at_sixty_times_the_speed() {
        let from: DateTime<Utc> = "2026-11-23T08:00:00Z".parse().unwrap();
        let since = Instant::now();
        let pace = Pace {
            from,
            since,
            speed: 60.0,
        };
        assert_eq!(pace.at(since), from);
        assert_eq!(
            pace.at(since + Duration::from_secs(60)),
            from + TimeDelta::hours(1)
        );
    }
}
