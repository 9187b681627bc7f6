//! Backoff settings.

use std::time::Duration;

/// The backoff of retries.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Settings {
    /// The longest delay after the first attempt; it doubles with each further attempt. The actual delay is a random time
    /// between zero and that ("full jitter").
    pub backoff_base: Duration,
    /// The upper limit of a delay.
    pub backoff_cap: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            backoff_base: Duration::from_secs(2),
            backoff_cap: Duration::from_secs(15 * 60),
        }
    }
}

impl Settings {
    /// A backoff that starts at `base` and doubles up to `cap`.
    pub fn new(base: Duration, cap: Duration) -> Self {
        Self {
            backoff_base: base,
            backoff_cap: cap,
        }
    }

    /// A random delay after that many attempts, in ms.
    pub(crate) fn jitter_ms(&self, attempts: u32) -> i64 {
        rand::random_range(0..=self.ceiling_ms(attempts))
    }

    /// The longest delay after that many attempts, in ms.
    fn ceiling_ms(&self, attempts: u32) -> i64 {
        let doublings = attempts.saturating_sub(1).min(62);
        let grown = ms(self.backoff_base).saturating_mul(1_i64 << doublings);
        grown.min(ms(self.backoff_cap))
    }
}

/// Whole milliseconds, capped at about 30,000 years so that adding a time never overflows.
pub(crate) fn ms(duration: Duration) -> i64 {
    const LONGEST: i64 = 1_000_000_000_000_000;
    i64::try_from(duration.as_millis()).map_or(LONGEST, |ms| ms.min(LONGEST))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ceiling_doubles_up_to_the_cap_and_never_overflows() {
        let settings = Settings::new(Duration::from_secs(1), Duration::from_secs(60));
        let ceilings: Vec<i64> = [0, 1, 2, 3, 6, 7, 8, 1000, u32::MAX]
            .map(|attempts| settings.ceiling_ms(attempts))
            .to_vec();
        assert_eq!(
            ceilings,
            [1000, 1000, 2000, 4000, 32000, 60000, 60000, 60000, 60000]
        );
    }

    #[test]
    fn jitter_is_full() {
        let settings = Settings::new(Duration::from_millis(100), Duration::from_secs(1));
        let waits: Vec<i64> = (0..2000).map(|_| settings.jitter_ms(1)).collect();
        assert!(waits.iter().all(|wait| (0..=100).contains(wait)));
        assert!(waits.iter().any(|&wait| wait < 20) && waits.iter().any(|&wait| wait > 80));
    }
}
