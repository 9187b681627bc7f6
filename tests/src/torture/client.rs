//! A client of the nodes that delivers events as a sign-in system should: each pupil's in order, each again until it was
//! accepted.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use reqwest::StatusCode;
use serde_json::Value;

use super::{Env, KEY, Morning, PATIENCE, Plan, faults::Nodes};

/// Those who bring events at the same time.
const CARRIERS: usize = 16;

/// A client that sends to any node that runs.
pub(crate) struct Client {
    nodes: Nodes,
    http: reqwest::Client,
    turned_away: AtomicU64,
}

impl Client {
    pub(crate) fn new(nodes: &Nodes) -> Arc<Self> {
        Arc::new(Self {
            nodes: Arc::clone(nodes),
            http: reqwest::Client::builder()
                .no_proxy()
                // A frozen node answers nobody.
                .timeout(Duration::from_secs(2))
                .build()
                .unwrap(),
            turned_away: AtomicU64::new(0),
        })
    }

    /// Brings them all, spread over the plan's time. Answers how often one was not taken at once.
    pub(crate) async fn bring(self: &Arc<Self>, env: &Env, morning: &Morning, plan: &Plan) -> u64 {
        let mut loads: Vec<Vec<(String, Vec<Value>)>> = vec![Vec::new(); CARRIERS];
        for (n, pupil) in env.events(morning).into_iter().enumerate() {
            loads[n % CARRIERS].push(pupil);
        }
        let carriers = (0_u64..).zip(loads).map(|(n, load)| {
            let (client, seed, lasts) = (Arc::clone(self), plan.seed ^ n, plan.lasts);
            tokio::spawn(async move { client.carry(load, seed, lasts).await })
        });
        for carrier in carriers.collect::<Vec<_>>() {
            carrier.await.unwrap();
        }
        self.turned_away.load(Ordering::SeqCst)
    }

    async fn carry(&self, load: Vec<(String, Vec<Value>)>, seed: u64, lasts: Duration) {
        let mut random = StdRng::seed_from_u64(seed);
        let began = Instant::now();
        let all = u32::try_from(load.len()).unwrap().max(1);
        for (n, (school, events)) in (0_u32..).zip(load) {
            let due = began + lasts * n / all;
            tokio::time::sleep_until(due.into()).await;
            // All of a pupil's in one request, or one after the other.
            if random.random_bool(0.3) {
                self.hand_in(&school, &events, &mut random).await;
            } else {
                for event in events {
                    self.hand_in(&school, &[event], &mut random).await;
                }
            }
        }
    }

    /// A node's address. One that is being killed or started is passed by.
    fn address(&self, random: &mut StdRng) -> Option<String> {
        let place = random.random_range(0..self.nodes.len());
        let node = self.nodes[place].try_lock().ok()?;
        node.address().map(str::to_owned)
    }

    /// Asks for something that may be refused. Answers whether it was done, as far as a node answers at all.
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

    pub(crate) async fn hand_in(&self, school: &str, events: &[Value], random: &mut StdRng) {
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
                    Ok(status) => panic!("an event was answered with {status}"),
                }
            }
            self.turned_away.fetch_add(1, Ordering::SeqCst);
            assert!(Instant::now() < end, "nobody takes the events");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}
