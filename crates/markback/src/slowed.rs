//! Slows those who try again and again: so many at once, and then one every so often, counted by the service's clock.
//!
//! Clients are counted in a fixed number of places, by a hash that differs with each start. So the memory is bounded, and
//! clients that share a place can only slow each other.

use std::{
    collections::hash_map::RandomState,
    fmt,
    hash::{BuildHasher as _, Hash},
    net::{IpAddr, Ipv6Addr},
    time::Duration,
};

use governor::{
    Quota, RateLimiter, clock::Clock, middleware::NoOpMiddleware, state::keyed::HashMapStateStore,
};

use crate::clock::SharedClock;

const PLACES: u64 = 4_096;

type Counts = RateLimiter<u64, HashMapStateStore<u64>, ServiceClock, NoOpMiddleware<Duration>>;

/// Counts tries of clients, which are anything that can be hashed.
pub struct Slowed {
    counts: Counts,
    hash: RandomState,
    clock: ServiceClock,
}

/// The service's clock as the time since 1970.
#[derive(Clone)]
struct ServiceClock(SharedClock);

impl Clock for ServiceClock {
    type Instant = Duration;

    fn now(&self) -> Duration {
        let ms = u64::try_from(self.0.now().timestamp_millis());
        Duration::from_millis(ms.unwrap_or_default())
    }
}

impl Slowed {
    /// Counts of such a quota.
    pub fn new(quota: Quota, clock: SharedClock) -> Self {
        let clock = ServiceClock(clock);
        Self {
            counts: RateLimiter::hashmap_with_clock(quota, clock.clone()),
            hash: RandomState::new(),
            clock,
        }
    }

    /// Counts a try. Returns the seconds after which to try again, one or more, if there were too many.
    pub fn count(&self, client: impl Hash) -> Option<u32> {
        let place = self.hash.hash_one(client) % PLACES;
        let until = self.counts.check_key(&place).err()?;
        // Rounded up, so that trying again then is not too early.
        let wait = until.wait_time_from(self.clock.now());
        let seconds = wait.as_millis().div_ceil(1_000);
        Some(u32::try_from(seconds).unwrap_or(u32::MAX).max(1))
    }
}

impl fmt::Debug for Slowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slowed").finish_non_exhaustive()
    }
}

/// The address of a client: of IPv6 the network, in which one client usually has all addresses.
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use std::{num::NonZeroU32, sync::Arc};

    use outbox::TestClock;

    use super::*;

    #[test]
    fn tries_are_slowed_until_time_has_passed_and_the_memory_stays_bounded() {
        let clock = Arc::new(TestClock::at("2026-11-23T08:40:00Z".parse().unwrap()));
        let quota = Quota::per_minute(NonZeroU32::new(10).unwrap());
        let slowed = Slowed::new(quota, clock.clone());
        let tried = |who: &str| (0..100).take_while(|_| slowed.count(who).is_none()).count();
        assert_eq!(tried("one"), 10);
        assert_eq!(slowed.count("one"), Some(6));
        assert_eq!(tried("two"), 10);
        clock.advance(Duration::from_secs(6));
        assert_eq!(tried("one"), 1);
        for n in 0..20_000 {
            slowed.count(n);
        }
        assert!(slowed.counts.len() <= 4_096);
    }

    #[test]
    fn a_client_has_its_network() {
        let of = |text: &str| network(text.parse().unwrap()).to_string();
        assert_eq!(of("192.0.2.1"), "192.0.2.1");
        assert_eq!(of("::ffff:192.0.2.1"), "192.0.2.1");
        assert_eq!(of("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
    }
}
