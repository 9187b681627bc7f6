//! Slows down clients that show wrong keys.
//!
//! Only wrong keys count, so a right one is served at once whatever else comes from its address, such as a proxy's. A key
//! has 256 random bits and cannot be guessed; this keeps those who try, or who go on with an old key, from taking the
//! node's time, and shows them in the metrics.

use std::{
    collections::hash_map::RandomState,
    hash::BuildHasher as _,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    num::NonZeroU32,
    time::Duration,
};

use axum::{extract::ConnectInfo, http::Extensions};
use governor::{
    NotUntil, Quota, RateLimiter, clock::Clock, middleware::NoOpMiddleware,
    state::keyed::HashMapStateStore,
};
use markback::{clock::SharedClock, keys::public_part};

/// Wrong keys with one public part from one address: so many at once, and then one every six seconds.
const OF_KEY: Quota = per_minute(10);
/// Wrong keys from one address. More, because many clients may share a proxy.
const OF_PEER: Quota = per_minute(120);
/// Clients are counted in so many places, by a hash that differs with each start. So the memory is bounded, and clients
/// that share a place can only slow each other's wrong keys.
const PLACES: u64 = 4_096;

const fn per_minute(requests: u32) -> Quota {
    match NonZeroU32::new(requests) {
        Some(requests) => Quota::per_minute(requests),
        None => Quota::per_minute(NonZeroU32::MIN),
    }
}

type Counts = RateLimiter<u64, HashMapStateStore<u64>, ServiceClock, NoOpMiddleware<Duration>>;

/// Counts wrong keys.
pub(super) struct WrongKeys {
    of_key: Counts,
    of_peer: Counts,
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

impl WrongKeys {
    pub(super) fn new(clock: SharedClock) -> Self {
        let clock = ServiceClock(clock);
        Self {
            of_key: RateLimiter::hashmap_with_clock(OF_KEY, clock.clone()),
            of_peer: RateLimiter::hashmap_with_clock(OF_PEER, clock.clone()),
            hash: RandomState::new(),
            clock,
        }
    }

    /// Counts a request with a wrong key or without one. Returns the seconds after which to try again if there were too
    /// many. Whether such a key exists makes no difference.
    pub(super) fn count(&self, extensions: &Extensions, shown: Option<&[u8]>) -> Option<u32> {
        let peer = extensions.get::<ConnectInfo<SocketAddr>>();
        let peer = peer.map(|ConnectInfo(address)| network(address.ip()));
        let part = shown.and_then(public_part);
        let counts = [
            self.of_key.check_key(&self.place((part, peer))),
            self.of_peer.check_key(&self.place(peer)),
        ];
        let waits = counts.into_iter().filter_map(Result::err);
        let wait = waits.map(|until: NotUntil<Duration>| until.wait_time_from(self.clock.now()));
        // Rounded up, so that trying again then is not too early.
        let seconds = wait.max()?.as_millis().div_ceil(1_000);
        Some(u32::try_from(seconds).unwrap_or(u32::MAX).max(1))
    }

    fn place(&self, client: impl std::hash::Hash) -> u64 {
        self.hash.hash_one(client) % PLACES
    }
}

/// The address of a client: of IPv6 the network, in which one client usually has all addresses.
fn network(address: IpAddr) -> IpAddr {
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
    use std::sync::Arc;

    use outbox::TestClock;

    use super::*;

    fn from(address: &str) -> Extensions {
        let mut extensions = Extensions::new();
        let address = SocketAddr::new(address.parse().unwrap(), 1_234);
        extensions.insert(ConnectInfo(address));
        extensions
    }

    /// Until the first that is slowed.
    fn counted(wrong_keys: &WrongKeys, peer: &Extensions, shown: Option<&[u8]>) -> usize {
        (0..1_000)
            .take_while(|_| wrong_keys.count(peer, shown).is_none())
            .count()
    }

    #[test]
    fn wrong_keys_are_slowed_by_public_part_and_address_until_time_has_passed() {
        let clock = Arc::new(TestClock::at("2026-11-23T08:40:00Z".parse().unwrap()));
        let wrong_keys = WrongKeys::new(clock.clone());
        let (one, other) = (from("192.0.2.1"), from("192.0.2.2"));
        assert_eq!(counted(&wrong_keys, &one, Some(b"garbage")), 10);
        // No key at all counts like one without a public part.
        assert_eq!(wrong_keys.count(&one, None), Some(6));
        assert_eq!(counted(&wrong_keys, &other, Some(b"garbage")), 10);
        clock.advance(Duration::from_secs(6));
        assert_eq!(counted(&wrong_keys, &one, Some(b"garbage")), 1);
        // One more per six seconds, but not while others from the address use them up.
        clock.advance(Duration::from_secs(60));
        assert_eq!(counted(&wrong_keys, &one, Some(b"other garbage")), 10);
    }

    #[test]
    fn an_address_is_slowed_whatever_keys_it_shows_and_the_memory_stays_bounded() {
        let clock = Arc::new(TestClock::at("2026-11-23T08:40:00Z".parse().unwrap()));
        let wrong_keys = WrongKeys::new(clock);
        // A client usually has the whole network of its IPv6 address.
        for n in 0..20_000_u32 {
            let peer = from(&format!("2001:db8:{:x}:{:x}::1", n >> 16, n & 0xffff));
            wrong_keys.count(&peer, Some(b"garbage"));
        }
        assert!(wrong_keys.of_key.len() <= 4_096 && wrong_keys.of_peer.len() <= 4_096);
        let slowed = (0..200_u32).filter(|n| {
            let peer = from(&format!("2001:db8:ffff:ffff::{n:x}"));
            wrong_keys.count(&peer, None).is_some()
        });
        assert!(slowed.count() >= 80);
    }
}
