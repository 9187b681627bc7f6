//! Slows down clients that show wrong keys.
//!
//! Only wrong keys count, so a right one is served at once whatever else comes from its address, such as a proxy's. A key
//! has 256 random bits and cannot be guessed; this keeps those who try, or who go on with an old key, from taking the
//! node's time, and shows them in the metrics.

use std::{net::SocketAddr, num::NonZeroU32};

use axum::{extract::ConnectInfo, http::Extensions};
use governor::Quota;
use markback::{
    clock::SharedClock,
    keys::public_part,
    slowed::{Slowed, network},
};

/// Wrong keys with one public part from one address: so many at once, and then one every six seconds.
const OF_KEY: Quota = per_minute(10);
/// Wrong keys from one address. More, because many clients may share a proxy.
const OF_PEER: Quota = per_minute(120);

const fn per_minute(requests: u32) -> Quota {
    match NonZeroU32::new(requests) {
        Some(requests) => Quota::per_minute(requests),
        None => Quota::per_minute(NonZeroU32::MIN),
    }
}

/// Counts wrong keys.
pub(super) struct WrongKeys {
    of_key: Slowed,
    of_peer: Slowed,
}

impl WrongKeys {
    pub(super) fn new(clock: SharedClock) -> Self {
        Self {
            of_key: Slowed::new(OF_KEY, clock.clone()),
            of_peer: Slowed::new(OF_PEER, clock),
        }
    }

    /// Counts a request with a wrong key or without one. Returns the seconds after which to try again if there were too
    /// many. Whether such a key exists makes no difference.
    pub(super) fn count(&self, extensions: &Extensions, shown: Option<&[u8]>) -> Option<u32> {
        let peer = extensions.get::<ConnectInfo<SocketAddr>>();
        let peer = peer.map(|ConnectInfo(address)| network(address.ip()));
        let part = shown.and_then(public_part);
        let waits = [self.of_key.count((part, peer)), self.of_peer.count(peer)];
        waits.into_iter().flatten().max()
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

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
    fn an_address_is_slowed_whatever_keys_it_shows() {
        let clock = Arc::new(TestClock::at("2026-11-23T08:40:00Z".parse().unwrap()));
        let wrong_keys = WrongKeys::new(clock);
        // A client usually has the whole network of its IPv6 address.
        for n in 0..20_000_u32 {
            let peer = from(&format!("2001:db8:{:x}:{:x}::1", n >> 16, n & 0xffff));
            wrong_keys.count(&peer, Some(b"garbage"));
        }
        let slowed = (0..200_u32).filter(|n| {
            let peer = from(&format!("2001:db8:ffff:ffff::{n:x}"));
            wrong_keys.count(&peer, None).is_some()
        });
        assert!(slowed.count() >= 80);
    }
}
