//! Delivering entries: one attempt, and the workers of the queue.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use chrono::{DateTime, TimeDelta, Utc};
use outbox::{ClaimRequest, ClaimedJob, RetryAt};
use reqwest::{Client, StatusCode, header};
use schemars::JsonSchema;
use serde::Serialize;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{
    DEAD_AFTER, DEAD_AFTER_ROUNDS, EndpointError, EndpointState, ID_HEADER, RETRIES,
    SIGNATURE_HEADER, Sealing, TIMESTAMP_HEADER, signature::signatures,
};
use crate::{
    feed::FeedEntry,
    metrics, queues,
    store::{AttemptEnd, DeliveryJob, Patience, SigningEndpoint, Store},
    targets::{TargetError, Targets},
};

/// The longest time until the whole answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(15);
/// How much of an answer's body is read before the connection is closed.
const ANSWER_MAX: usize = 4 * 1024;
/// The most attempts at the same time on a node.
const AT_ONCE: usize = 32;
/// The most deliveries claimed at once, and the attempts to one endpoint after which it has to wait.
const OF_ONE: u32 = 4;
/// A random part of each wait, so that an endpoint that was down does not get everything at once.
const JITTER: f64 = 0.1;

/// Delivers entries to endpoints.
#[derive(Clone, Debug)]
pub(crate) struct Courier {
    store: Store,
    targets: Targets,
    sealing: Sealing,
    client: Client,
}

/// The answer to a test message.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct Tested {
    /// Whether the endpoint took it.
    pub delivered: bool,
    /// The status of the answer, if there was one.
    pub status: Option<u16>,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
    /// Why it does not count as delivered.
    pub error: Option<String>,
}

/// A message as it is sent.
#[derive(Serialize)]
struct Message<'a> {
    /// `event.confirmed`, `group.changed`, `sync.done`, `notice.paused` and so on.
    #[serde(rename = "type")]
    topic: String,
    timestamp: DateTime<Utc>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a FeedEntry>,
}

/// What an attempt found.
struct Outcome {
    at: DateTime<Utc>,
    took: Duration,
    status: Option<StatusCode>,
    error: Option<String>,
    is_ours: bool,
}

/// Why there is no answer.
enum Unsent {
    /// The endpoint's secrets cannot be used here, which is not its fault.
    Secrets(String),
    Failed(String),
}

impl Courier {
    pub(super) fn new(
        store: Store,
        targets: &Targets,
        sealing: Sealing,
    ) -> Result<Self, EndpointError> {
        Ok(Self {
            store,
            sealing,
            targets: targets.clone(),
            client: targets
                .client(ANSWER_WITHIN)
                .map_err(EndpointError::Client)?,
        })
    }

    /// Delivers until told to stop, then completes the attempts in hand.
    pub(crate) async fn run(&self, poll: Duration, lease: Duration, stop: CancellationToken) {
        // An attempt ends well before its lease.
        let lease = lease.max(2 * ANSWER_WITHIN);
        let mut wakeup = self.store.outbox().wakeup(queues::ENDPOINTS);
        let mut busy: BTreeMap<String, u32> = BTreeMap::new();
        let mut attempts = JoinSet::new();
        while !stop.is_cancelled() {
            let is_claimed = attempts.len() + (OF_ONE as usize) <= AT_ONCE
                && self.begin(&mut attempts, &mut busy, lease).await;
            if is_claimed {
                continue;
            }
            let rest = match self.store.outbox().next_due(queues::ENDPOINTS).await {
                Ok(Some(due)) if busy.is_empty() => due.clamp(Duration::from_millis(5), poll),
                _ => poll,
            };
            tokio::select! {
                () = stop.cancelled() => {}
                Some(ended) = attempts.join_next() => note_end(&mut busy, ended.ok()),
                _ = wakeup.wait(rest) => {}
            }
        }
        while attempts.join_next().await.is_some() {}
    }

    /// Claims deliveries and begins them. Returns false if there are none.
    async fn begin(
        &self,
        attempts: &mut JoinSet<String>,
        busy: &mut BTreeMap<String, u32>,
        lease: Duration,
    ) -> bool {
        let full = busy.iter().filter(|(_, attempts)| **attempts >= OF_ONE);
        let full = full.map(|(endpoint, _)| endpoint.clone()).collect();
        let claim = ClaimRequest::mixed(OF_ONE, lease).except(full);
        let jobs = match self.store.outbox().claim(queues::ENDPOINTS, &claim).await {
            Ok(jobs) => jobs,
            Err(error) => {
                tracing::warn!(%error, "no webhooks could be taken from the queue; retrying");
                return false;
            }
        };
        let any = !jobs.is_empty();
        for job in jobs {
            *busy.entry(job.partition.clone()).or_default() += 1;
            let courier = self.clone();
            attempts.spawn(async move {
                if let Err(error) = courier.deliver(&job).await {
                    tracing::warn!(%error, "the end of a webhook's attempt was not stored; it is made again");
                }
                job.partition
            });
        }
        any
    }

    async fn deliver(&self, job: &ClaimedJob) -> outbox::Result<()> {
        let Ok(DeliveryJob { endpoint, seq }) = job.parse() else {
            let mut tx = self.store.database().begin().await?;
            let why = "the stored delivery cannot be read; was it written by another version?";
            let outbox = self.store.outbox();
            outbox
                .dead_letter(&mut tx, &[job.lease], why)
                .await?
                .all()?;
            return tx.commit().await;
        };
        let found = self.store.endpoint(&endpoint).await?;
        let found = found.filter(|found| found.endpoint.state == EndpointState::Active);
        let entry = self.store.feed_entry(seq).await?;
        let (Some(to), Some(entry)) = (found, entry) else {
            let mut tx = self.store.database().begin().await?;
            let outbox = self.store.outbox();
            outbox.complete(&mut tx, &[job.lease]).await?.all()?;
            self.store.give_up_delivery(&mut tx, &endpoint, seq).await?;
            return tx.commit().await;
        };
        let message = Message {
            topic: entry.topic(),
            timestamp: entry.at,
            data: Some(&entry),
        };
        let outcome = self
            .attempt(&to, &format!("msg_{endpoint}_{seq}"), &message)
            .await;
        self.settle(job, &endpoint, seq, &outcome).await
    }

    async fn settle(
        &self,
        job: &ClaimedJob,
        endpoint: &str,
        seq: i64,
        outcome: &Outcome,
    ) -> outbox::Result<()> {
        let is_gone = outcome.status == Some(StatusCode::GONE);
        let wait = usize::try_from(job.attempts().saturating_sub(1))
            .ok()
            .and_then(|tried| RETRIES.get(tried))
            .filter(|_| !is_gone);
        let end = AttemptEnd {
            endpoint,
            seq,
            at: outcome.at,
            took: outcome.took,
            status: outcome.status.map(|status| status.as_u16()),
            error: outcome.error.as_deref(),
            is_last: wait.is_none(),
            is_gone,
            is_ours: outcome.is_ours,
        };
        let patience = Patience {
            length: TimeDelta::from_std(DEAD_AFTER).unwrap_or(TimeDelta::MAX),
            rounds: i64::from(DEAD_AFTER_ROUNDS),
        };
        let mut tx = self.store.database().begin().await?;
        let outbox = self.store.outbox();
        let settled = match (&outcome.error, wait) {
            (Some(error), Some(wait)) => {
                let wait = wait.mul_f64(1.0 + rand::random_range(0.0..JITTER));
                outbox
                    .retry(&mut tx, &[job.lease], RetryAt::After(wait), error)
                    .await?
            }
            // The log of deliveries tells of those that were given up.
            _ => outbox.complete(&mut tx, &[job.lease]).await?,
        };
        settled.all()?;
        let ended = self.store.note_attempt(&mut tx, &end, patience).await?;
        tx.commit().await?;
        metrics::delivery(match (&outcome.error, wait) {
            (None, _) => "delivered",
            (Some(_), Some(_)) => "retried",
            (Some(_), None) => "failed",
        });
        if let Some(state) = ended {
            let state = state.as_str();
            tracing::warn!(endpoint, state, "a webhook endpoint gets nothing any more");
        }
        Ok(())
    }

    /// Sends a test message.
    pub(super) async fn test(&self, to: &SigningEndpoint) -> Tested {
        let message = Message {
            topic: "test".to_owned(),
            timestamp: self.store.now(),
            data: None,
        };
        let id = format!("msg_test_{:016x}", rand::random::<u64>());
        let outcome = self.attempt(to, &id, &message).await;
        Tested {
            delivered: outcome.error.is_none(),
            status: outcome.status.map(|status| status.as_u16()),
            took_ms: u64::try_from(outcome.took.as_millis()).unwrap_or(u64::MAX),
            error: outcome.error,
        }
    }

    async fn attempt(&self, to: &SigningEndpoint, id: &str, message: &Message<'_>) -> Outcome {
        let (at, begun) = (self.store.now(), Instant::now());
        let sent = self.send(to, id, at, message).await;
        let took = begun.elapsed();
        let is_ours = matches!(sent, Err(Unsent::Secrets(_)));
        let (status, error) = match sent {
            Ok(status) if status.is_success() => (Some(status), None),
            Ok(status) => (
                Some(status),
                Some(format!("it answered {}", status.as_u16())),
            ),
            Err(Unsent::Secrets(error) | Unsent::Failed(error)) => (None, Some(error)),
        };
        Outcome {
            at,
            took,
            status,
            error,
            is_ours,
        }
    }

    async fn send(
        &self,
        to: &SigningEndpoint,
        id: &str,
        at: DateTime<Utc>,
        message: &Message<'_>,
    ) -> Result<StatusCode, Unsent> {
        let url = &to.endpoint.url;
        let refused = self.targets.check(url);
        refused.map_err(|error| Unsent::Failed(error.to_string()))?;
        let unwritable = || Unsent::Failed("the message cannot be written".to_owned());
        let body = serde_json::to_vec(message).map_err(|_| unwritable())?;
        let secrets = self.sealing.open(&to.endpoint.id, &to.secrets);
        let secrets = secrets.map_err(Unsent::Secrets)?;
        let damaged = || Unsent::Secrets("the endpoint's secret is damaged; rotate it".to_owned());
        let signed = signatures(&secrets, id, at, &body).ok_or_else(damaged)?;
        let request = self
            .client
            .post(url.clone())
            .header(header::CONTENT_TYPE, "application/json")
            .header(ID_HEADER, id)
            .header(TIMESTAMP_HEADER, at.timestamp().to_string())
            .header(SIGNATURE_HEADER, signed)
            .body(body);
        let answer = request.send().await;
        let mut answer = answer.map_err(|error| Unsent::Failed(why(&error)))?;
        let status = answer.status();
        // Read to the end, so that the connection can be used again, unless it is long. Nothing of it is kept.
        let mut read = 0;
        while let Ok(Some(part)) = answer.chunk().await {
            read += part.len();
            if read > ANSWER_MAX {
                break;
            }
        }
        Ok(status)
    }
}

/// Why there is no answer, without the address, which may hold a secret.
fn why(error: &reqwest::Error) -> String {
    if let Some(refused) = TargetError::within(error) {
        return refused.to_string();
    }
    let told = if error.is_timeout() {
        "it did not answer in time"
    } else if error.is_connect() {
        "no connection: its name is unknown, it refuses connections, or its certificate is not valid"
    } else {
        "the connection broke"
    };
    told.to_owned()
}

fn note_end(busy: &mut BTreeMap<String, u32>, endpoint: Option<String>) {
    let Some(endpoint) = endpoint else {
        // A task that panicked does not tell its endpoint. Limits of others may be too high for a moment, which is harmless.
        busy.clear();
        return;
    };
    if let Some(attempts) = busy.get_mut(&endpoint) {
        *attempts = attempts.saturating_sub(1);
        if *attempts == 0 {
            busy.remove(&endpoint);
        }
    }
}
