//! How many requests a second each key may send to this node.
//!
//! A host that repeats requests in a loop takes the time of others' requests. Each key has a rate of its own, so it slows
//! itself alone. Only right keys are counted here, so the memory is bounded by the number of keys; those that were not used
//! lately are forgotten.

use std::{
    num::NonZeroU32,
    sync::atomic::{AtomicU32, Ordering},
};

use governor::{
    Quota, RateLimiter,
    clock::{Clock, MonotonicClock},
    middleware::NoOpMiddleware,
    state::keyed::HashMapStateStore,
};

/// After so many requests, keys that were not used lately are forgotten.
const FORGET_EVERY: u32 = 10_000;

type Counts<C> =
    RateLimiter<String, HashMapStateStore<String>, C, NoOpMiddleware<<C as Clock>::Instant>>;

/// Counts requests by key. Its clock never goes back, as the time of day may, which would shut keys out.
pub(super) struct KeyRates<C: Clock = MonotonicClock> {
    counts: Counts<C>,
    clock: C,
    since_forgotten: AtomicU32,
}

impl KeyRates {
    /// `burst` requests at once, and `rate` a second in the long run.
    pub(super) fn new(rate: NonZeroU32, burst: NonZeroU32) -> Self {
        Self::with_clock(rate, burst, MonotonicClock)
    }
}

impl<C: Clock + Clone> KeyRates<C> {
    fn with_clock(rate: NonZeroU32, burst: NonZeroU32, clock: C) -> Self {
        let quota = Quota::per_second(rate).allow_burst(burst);
        Self {
            counts: RateLimiter::hashmap_with_clock(quota, clock.clone()),
            clock,
            since_forgotten: AtomicU32::new(0),
        }
    }

    /// Counts a request with the key that has this public part. Returns the seconds after which to try again if there were
    /// too many.
    pub(super) fn count(&self, key: &String) -> Option<u32> {
        if self.since_forgotten.fetch_add(1, Ordering::Relaxed) >= FORGET_EVERY {
            self.since_forgotten.store(0, Ordering::Relaxed);
            self.counts.retain_recent();
        }
        let until = self.counts.check_key(key).err()?;
        // Rounded up, so that trying again then is not too early.
        let wait = until.wait_time_from(self.clock.now());
        let seconds = wait.as_millis().div_ceil(1_000);
        Some(u32::try_from(seconds).unwrap_or(u32::MAX).max(1))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use governor::clock::FakeRelativeClock;

    use super::*;

    fn rates(rate: u32, burst: u32, clock: &FakeRelativeClock) -> KeyRates<FakeRelativeClock> {
        let (rate, burst) = (rate.try_into().unwrap(), burst.try_into().unwrap());
        KeyRates::with_clock(rate, burst, clock.clone())
    }

    /// Until the first that is too many.
    fn counted(rates: &KeyRates<FakeRelativeClock>, key: &str) -> usize {
        let key = key.to_owned();
        let taken = (0..1_000).take_while(|_| rates.count(&key).is_none());
        taken.count()
    }

    #[test]
    fn a_key_may_send_a_burst_and_then_its_rate_and_slows_no_other() {
        let clock = FakeRelativeClock::default();
        let rates = rates(5, 20, &clock);
        assert_eq!(counted(&rates, "a"), 20);
        assert_eq!(rates.count(&"a".to_owned()), Some(1));
        assert_eq!(counted(&rates, "b"), 20);
        clock.advance(Duration::from_secs(1));
        assert_eq!(counted(&rates, "a"), 5);
        clock.advance(Duration::from_secs(60));
        assert_eq!(counted(&rates, "a"), 20);
    }

    #[test]
    fn keys_that_are_not_used_any_more_are_forgotten() {
        let clock = FakeRelativeClock::default();
        let rates = rates(1_000, 1_000, &clock);
        for n in 0..FORGET_EVERY {
            assert_eq!(rates.count(&n.to_string()), None);
        }
        assert!(rates.counts.len() > 9_000);
        clock.advance(Duration::from_secs(10));
        rates.count(&"last".to_owned());
        assert_eq!(rates.counts.len(), 1);
    }
}
