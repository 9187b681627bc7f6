//! A client that delivers events like a sign-in system: each pupil's in order, and each until it is accepted.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use markback_lab::harness::KEY;
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use reqwest::StatusCode;
use serde_json::Value;

use super::{Env, Morning, PATIENCE, Plan, faults::Nodes};

/// The number of concurrent senders.
const SENDERS: usize = 16;

/// A client that sends to any running node.
pub(crate) struct Client {
    nodes: Nodes,
    http: reqwest::Client,
    retries: AtomicU64,
}

impl Client {
    pub(crate) fn new(nodes: &Nodes) -> Arc<Self> {
        Arc::new(Self {
            nodes: Arc::clone(nodes),
            http: reqwest::Client::builder()
                .no_proxy()
                // A frozen node does not respond.
                .timeout(Duration::from_secs(2))
                .build()
                .unwrap(),
            retries: AtomicU64::new(0),
        })
    }

    /// Delivers all events, spread over the plan's duration. Returns the number of retries.
    pub(crate) async fn deliver(
        self: &Arc<Self>,
        env: &Env,
        morning: &Morning,
        plan: &Plan,
    ) -> u64 {
        let mut shares: Vec<Vec<(String, Vec<Value>)>> = vec![Vec::new(); SENDERS];
        for (n, pupil) in env.events(morning).into_iter().enumerate() {
            shares[n % SENDERS].push(pupil);
        }
        let senders = (0_u64..).zip(shares).map(|(n, share)| {
            let (client, seed, duration) = (Arc::clone(self), plan.seed ^ n, plan.duration);
            tokio::spawn(async move { client.send_all(share, seed, duration).await })
        });
        for sender in senders.collect::<Vec<_>>() {
            sender.await.unwrap();
        }
        self.retries.load(Ordering::SeqCst)
    }

    async fn send_all(&self, share: Vec<(String, Vec<Value>)>, seed: u64, duration: Duration) {
        let mut random = StdRng::seed_from_u64(seed);
        let began = Instant::now();
        let all = u32::try_from(share.len()).unwrap().max(1);
        for (n, (school, events)) in (0_u32..).zip(share) {
            let due = began + duration * n / all;
            tokio::time::sleep_until(due.into()).await;
            // All events of a pupil in one request, or one by one.
            if random.random_bool(0.3) {
                self.post_until_accepted(&school, &events, &mut random)
                    .await;
            } else {
                for event in events {
                    self.post_until_accepted(&school, &[event], &mut random)
                        .await;
                }
            }
        }
    }

    /// The address of a random node; `None` while it is killed or started.
    fn address(&self, random: &mut StdRng) -> Option<String> {
        let place = random.random_range(0..self.nodes.len());
        let node = self.nodes[place].try_lock().ok()?;
        node.address().map(str::to_owned)
    }

    /// Posts a request that may be rejected. Returns whether a node accepted it.
    pub(crate) async fn try_post(&self, path: &str, random: &mut StdRng) -> bool {
        for _ in 0..10 {
            if let Some(address) = self.address(random) {
                let url = format!("{address}/v1/schools/{path}");
                let sent = self.http.post(url).bearer_auth(KEY).send().await;
                if let Ok(answer) = sent {
                    return answer.status().is_success();
                }
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        false
    }

    pub(crate) async fn post_until_accepted(
        &self,
        school: &str,
        events: &[Value],
        random: &mut StdRng,
    ) {
        let body = Value::from(events).to_string();
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(address) = self.address(random) {
                let url = format!("{address}/v1/schools/{school}/events");
                let sent = self
                    .http
                    .post(url)
                    .bearer_auth(KEY)
                    .body(body.clone())
                    .send();
                match sent.await.map(|answer| answer.status()) {
                    Ok(StatusCode::ACCEPTED | StatusCode::OK) => return,
                    Ok(StatusCode::SERVICE_UNAVAILABLE) | Err(_) => {}
                    Ok(status) => panic!("the response to an event has the status {status}"),
                }
            }
            self.retries.fetch_add(1, Ordering::SeqCst);
            assert!(Instant::now() < end, "no node accepts the events");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}
