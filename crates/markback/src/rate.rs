//! The rate limit of each token, in requests per minute, shared by all nodes.
//!
//! A single process limits its own rate. Nodes that share a PostgreSQL database take slices of at most one second's
//! requests from it, one statement each, and spend them as they go. The size of a slice follows the node's need, because
//! requests that a node takes and does not spend are lost to the others.

use std::{
    collections::HashMap,
    fmt,
    num::NonZeroU32,
    sync::{Arc, Mutex as StdMutex, PoisonError},
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use mis_core::RequestGate;
use outbox::{Engine, SystemClock};
use tokio::sync::Mutex;

use crate::{clock::SharedClock, metrics, store::Store};

/// The time over which a minute's requests are spread: a minute, plus the requests that may be spent ahead, plus a slice that
/// is spent late. No minute has more requests than the settings allow.
const SPREAD: Duration = Duration::from_secs(68);
/// How much of the budget an idle token may spend ahead at once.
const AHEAD: Duration = Duration::from_secs(6);
/// How long a slice can be spent. After that its remaining requests are lost.
const SLICE_KEEPS: Duration = Duration::from_secs(1);
/// The first slice is this fraction of a second's requests.
const FIRST_PART: u32 = 100;

/// After so many seconds a request counts little more than a third in the load.
const METER_SECONDS: f64 = 60.0;

/// The rates of all tokens. Cheap to clone.
#[derive(Clone)]
pub struct Rates {
    inner: Arc<Inner>,
}

struct Inner {
    per_minute: NonZeroU32,
    shared: Option<Store>,
    clock: SharedClock,
    tokens: StdMutex<HashMap<String, Arc<TokenRate>>>,
}

struct TokenRate {
    name: String,
    own: DefaultDirectRateLimiter,
    slice: Mutex<Option<Slice>>,
    meter: StdMutex<Meter>,
}

/// The requests of about the last minute: each counts less the longer ago it was.
#[derive(Clone, Copy, Debug, Default)]
struct Meter {
    requests: f64,
    at: Option<DateTime<Utc>>,
}

impl Meter {
    /// The requests a minute by now.
    fn read(self, now: DateTime<Utc>) -> f64 {
        let age = self.at.map(|at| (now - at).abs().as_seconds_f64());
        self.requests * age.map_or(0.0, |age| (-age / METER_SECONDS).exp())
    }

    fn count(&mut self, now: DateTime<Utc>, requests: f64) {
        self.requests = self.read(now) + requests;
        self.at = Some(now);
    }
}

/// Requests taken from the shared budget.
struct Slice {
    taken: u32,
    left: u32,
    good_until: Instant,
}

impl Slice {
    /// The size of the next slice: twice this one if it was used up, otherwise the number of requests spent.
    fn next(&self, most: u32) -> u32 {
        let spent = self.taken.saturating_sub(self.left);
        let need = if self.left == 0 {
            self.taken.saturating_mul(2)
        } else {
            spent
        };
        need.clamp(1, most)
    }
}

impl Rates {
    /// A limit for each token, shared through the database if several nodes can use it.
    pub fn new(per_minute: NonZeroU32, store: &Store) -> Self {
        let shared = store.database().engine() == Engine::Postgres;
        Self::of(
            per_minute,
            shared.then(|| store.clone()),
            store.clock().clone(),
        )
    }

    /// A limit for each token that only this process knows.
    pub fn alone(per_minute: NonZeroU32) -> Self {
        Self::of(per_minute, None, Arc::new(SystemClock))
    }

    fn of(per_minute: NonZeroU32, shared: Option<Store>, clock: SharedClock) -> Self {
        Self {
            inner: Arc::new(Inner {
                per_minute,
                shared,
                clock,
                tokens: StdMutex::default(),
            }),
        }
    }

    /// How much of the token's rate is used: 0 for nothing, 1 for all of it. Of nodes that share the rate each knows its
    /// own requests, and when all of them together reach the rate, because its own then wait.
    pub(crate) fn load(&self, token: &str) -> f64 {
        let tokens = &self.inner.tokens;
        let tokens = tokens.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(rate) = tokens.get(token) else {
            return 0.0;
        };
        let meter = *rate.meter.lock().unwrap_or_else(PoisonError::into_inner);
        let per_minute = f64::from(self.inner.per_minute.get());
        (meter.read(self.inner.clock.now()) / per_minute).min(1.0)
    }

    /// The gate that each request with this token passes.
    pub fn gate(&self, token: &str) -> RequestGate {
        let (inner, rate) = (self.inner.clone(), self.inner.rate_of(token));
        Arc::new(move || {
            let (inner, rate) = (inner.clone(), rate.clone());
            Box::pin(async move {
                let start = Instant::now();
                inner.pass(&rate).await;
                metrics::permitted(start.elapsed());
                Ok(())
            })
        })
    }
}

impl Inner {
    fn rate_of(&self, name: &str) -> Arc<TokenRate> {
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        tokens
            .entry(name.to_owned())
            .or_insert_with(|| {
                Arc::new(TokenRate {
                    name: name.to_owned(),
                    own: RateLimiter::direct(quota(self.per_minute)),
                    slice: Mutex::default(),
                    meter: StdMutex::default(),
                })
            })
            .clone()
    }

    fn count(&self, rate: &TokenRate, requests: f64) {
        let mut meter = rate.meter.lock().unwrap_or_else(PoisonError::into_inner);
        meter.count(self.clock.now(), requests);
    }

    async fn pass(&self, rate: &TokenRate) {
        self.count(rate, 1.0);
        rate.own.until_ready().await;
        let Some(store) = &self.shared else { return };
        // Held while waiting, which keeps requests in order.
        let mut slice = rate.slice.lock().await;
        if let Some(Slice {
            left, good_until, ..
        }) = slice.as_mut()
            && *left > 0
            && *good_until > Instant::now()
        {
            *left -= 1;
            return;
        }
        let most = (self.per_minute.get() / 60).max(1);
        let requests = match slice.as_ref() {
            Some(last) => last.next(most),
            None => (most / FIRST_PART).max(1),
        };
        let cost = SPREAD * requests / self.per_minute.get();
        match store.take_requests(&rate.name, cost, AHEAD).await {
            Ok(wait) => {
                if !wait.is_zero() {
                    // The nodes together use all of the rate.
                    self.count(rate, f64::from(self.per_minute.get()));
                }
                tokio::time::sleep(wait).await;
                *slice = Some(Slice {
                    taken: requests,
                    left: requests - 1,
                    good_until: Instant::now() + SLICE_KEEPS,
                });
            }
            Err(error) => {
                // Without the database other work stops soon, too.
                tracing::warn!(%error, "the shared rate limit is unavailable; this node limits its own rate");
            }
        }
    }
}

fn quota(per_minute: NonZeroU32) -> Quota {
    let ahead = NonZeroU32::new(per_minute.get() / 10).unwrap_or(NonZeroU32::MIN);
    Quota::with_period(SPREAD / per_minute.get())
        .unwrap_or_else(|| Quota::per_minute(per_minute))
        .allow_burst(ahead)
}

impl fmt::Debug for Rates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rates")
            .field("per_minute", &self.inner.per_minute)
            .field("shared", &self.inner.shared.is_some())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use outbox::TestClock;
    use rstest::rstest;

    use super::*;

    /// Long enough for a pass that need not wait, and far shorter than a wait at one request a minute.
    const SOON: Duration = Duration::from_secs(5);

    #[rstest]
    #[case::spent(4, 0, 8)]
    #[case::spent_and_large(60, 0, 100)]
    #[case::hardly_touched(100, 97, 3)]
    #[case::nearly_spent(100, 1, 99)]
    #[case::one(1, 0, 2)]
    fn a_slice_follows_the_need(#[case] taken: u32, #[case] left: u32, #[case] next: u32) {
        let slice = Slice {
            taken,
            left,
            good_until: Instant::now(),
        };
        assert_eq!(slice.next(100), next);
    }

    #[tokio::test]
    async fn the_load_is_the_used_part_of_the_rate_and_fades() {
        let clock = Arc::new(TestClock::at("2026-11-23T08:40:00Z".parse().unwrap()));
        let settings = outbox::Settings::default();
        let store = Store::open("sqlite::memory:", settings, clock.clone())
            .await
            .unwrap();
        let rates = Rates::new(NonZeroU32::new(600).unwrap(), &store);
        assert!(rates.load("token:env:A").abs() < f64::EPSILON);
        let gate = rates.gate("token:env:A");
        for _ in 0..30 {
            assert!(passes(&gate).await);
        }
        assert!((rates.load("token:env:A") - 0.05).abs() < 1e-9);
        assert!(rates.load("token:env:B").abs() < f64::EPSILON);
        clock.advance(Duration::from_secs(60));
        let faded = rates.load("token:env:A");
        assert!(faded > 0.01 && faded < 0.02, "{faded}");
        for _ in 0..2_000 {
            rates.inner.count(&rates.inner.rate_of("token:env:A"), 1.0);
        }
        assert!((rates.load("token:env:A") - 1.0).abs() < f64::EPSILON);
    }

    async fn open(url: &str) -> Store {
        let settings = outbox::Settings::default();
        Store::open(url, settings, Arc::new(SystemClock))
            .await
            .unwrap()
    }

    async fn passes(gate: &RequestGate) -> bool {
        tokio::time::timeout(SOON / 10, gate()).await == Ok(Ok(()))
    }

    #[tokio::test]
    async fn one_process_keeps_the_rate_of_each_token_by_itself() {
        let store = open("sqlite::memory:").await;
        let rates = Rates::new(NonZeroU32::MIN, &store);
        let (one, other) = (rates.gate("token:env:A"), rates.gate("token:env:B"));
        assert!(tokio::time::timeout(SOON, one()).await.is_ok());
        assert!(!passes(&rates.gate("token:env:A")).await);
        assert!(tokio::time::timeout(SOON, other()).await.is_ok());
    }

    #[tokio::test]
    async fn nodes_of_one_database_share_the_rate() {
        let Some(server) = throwaway_postgres::shared().unwrap() else {
            return;
        };
        let url = server.create_database().unwrap();
        let (one, other) = (open(&url).await, open(&url).await);
        let rates = [
            Rates::new(NonZeroU32::MIN, &one),
            Rates::new(NonZeroU32::MIN, &other),
        ];
        assert!(
            tokio::time::timeout(SOON, rates[0].gate("token:env:A")())
                .await
                .is_ok()
        );
        assert!(!passes(&rates[1].gate("token:env:A")).await);
        assert!(
            tokio::time::timeout(SOON, rates[1].gate("token:env:B")())
                .await
                .is_ok()
        );
    }

    #[tokio::test]
    async fn what_nodes_do_not_need_is_left_to_the_others() {
        let Some(server) = throwaway_postgres::shared().unwrap() else {
            return;
        };
        let store = open(&server.create_database().unwrap()).await;
        // Ten a second, and six seconds of them may be spent at once: enough for one request of each node.
        for node in 0..20 {
            let rates = Rates::new(NonZeroU32::new(600).unwrap(), &store);
            assert!(passes(&rates.gate("token:env:A")).await, "node {node}");
        }
    }

    #[tokio::test]
    async fn slices_stand_in_line_whichever_node_takes_them() {
        let Some(server) = throwaway_postgres::shared().unwrap() else {
            return;
        };
        let url = server.create_database().unwrap();
        let nodes = [open(&url).await, open(&url).await];
        let cost = Duration::from_secs(1_000);
        let mut waits = Vec::new();
        for turn in 0..4 {
            let taken = nodes[turn % 2].take_requests("token:env:A", cost, AHEAD);
            waits.push(taken.await.unwrap());
        }
        assert_eq!(waits[0], Duration::ZERO);
        for (turn, wait) in (0_u32..).zip(&waits).skip(1) {
            assert!(
                *wait <= cost * turn && *wait > cost * turn - Duration::from_secs(100),
                "{waits:?}"
            );
        }
    }
}
