//! Sends events over HTTP, at a fixed rate or as fast as possible.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::bail;
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use hdrhistogram::Histogram;
use reqwest::{Client, StatusCode, header::RETRY_AFTER};
use serde_json::Value;
use tokio::{sync::Semaphore, task::JoinSet};

use super::{
    node::Node,
    stage::{Sent, Stage},
};

/// The maximum number of concurrent requests when events are sent as fast as possible.
const AT_ONCE: usize = 64;
/// The maximum number of concurrent requests when events are sent at their times: fewer than `http.requests`, so that later
/// events wait here, in order, instead of being turned away.
const DUE_AT_ONCE: usize = 256;
/// The maximum number of concurrent lists.
const LISTS_AT_ONCE: usize = 8;
/// How often an event may be turned away before the measurement fails.
const TURNED_AWAY_AT_MOST: u32 = 100;
/// The first pause after a request without an answer.
const PAUSE_WITHOUT_ANSWER: Duration = Duration::from_secs(1);
/// The longest pause before an event is sent again.
const PAUSE_AT_MOST: Duration = Duration::from_secs(30);
/// Events in one list.
const LIST: usize = 100;

/// A client with no more connections than needed.
pub(super) fn client() -> reqwest::Result<Client> {
    Client::builder()
        .no_proxy()
        .pool_max_idle_per_host(DUE_AT_ONCE)
        .timeout(Duration::from_secs(30))
        .build()
}

/// How the service took events that were sent at their times.
pub(super) struct Taken {
    /// In microseconds. A latency counts from the time at which its event was due, so that neither a slow sender nor a
    /// service that turns events away hides delays.
    pub(super) latencies: Histogram<u64>,
    /// How often an event was turned away and sent again.
    pub(super) again: u64,
}

/// Sends one event after the other at this rate without waiting for responses.
pub(super) async fn at_rate(
    http: &Client,
    stage: &Stage,
    node: &Node,
    events: Vec<Sent>,
    per_second: u32,
    each: impl Fn(),
) -> anyhow::Result<Taken> {
    let gap = Duration::from_secs(1) / per_second;
    let due = (0u32..).zip(events).map(|(n, sent)| (gap * n, sent));
    on_time(http, stage, std::slice::from_ref(node), due, each).await
}

/// Sends each event at its time, counted from now, to one node after the other. With [`DUE_AT_ONCE`] requests open the next
/// event waits for an answer, and that wait is part of its latency.
pub(super) async fn on_time(
    http: &Client,
    stage: &Stage,
    nodes: &[Node],
    events: impl Iterator<Item = (Duration, Sent)>,
    each: impl Fn(),
) -> anyhow::Result<Taken> {
    let begin = Instant::now();
    let room = Arc::new(Semaphore::new(DUE_AT_ONCE));
    let mut answers: JoinSet<anyhow::Result<(Duration, u64)>> = JoinSet::new();
    let mut taken = Taken {
        latencies: Histogram::new(3)?,
        again: 0,
    };
    let mut add = |(latency, again): (Duration, u64)| -> anyhow::Result<()> {
        taken
            .latencies
            .record(u64::try_from(latency.as_micros())?)?;
        taken.again += again;
        Ok(())
    };
    for ((due, sent), node) in events.zip(nodes.iter().cycle()) {
        let due = begin + due;
        tokio::time::sleep_until(due.into()).await;
        let permit = room.clone().acquire_owned().await?;
        let (http, key, url) = (http.clone(), stage.key.clone(), url(stage, node, &sent)?);
        answers.spawn(async move {
            let _permit = permit;
            let again = post(&http, &url, &key, &sent.event).await?;
            Ok((due.elapsed(), again))
        });
        while let Some(answer) = answers.try_join_next() {
            add(answer??)?;
        }
        each();
    }
    while let Some(answer) = answers.join_next().await {
        add(answer??)?;
    }
    Ok(taken)
}

/// Sends one event per request as fast as possible, and returns the duration.
pub(super) async fn one_by_one(
    http: &Client,
    stage: &Stage,
    node: &Node,
    events: Vec<Sent>,
    each: impl Fn(),
) -> anyhow::Result<Duration> {
    let begin = Instant::now();
    let room = Arc::new(Semaphore::new(AT_ONCE));
    let mut answers = JoinSet::new();
    for sent in events {
        let permit = room.clone().acquire_owned().await?;
        let (http, key, url) = (http.clone(), stage.key.clone(), url(stage, node, &sent)?);
        answers.spawn(async move {
            let _permit = permit;
            post(&http, &url, &key, &sent.event).await
        });
        each();
    }
    while let Some(answer) = answers.join_next().await {
        answer??;
    }
    Ok(begin.elapsed())
}

/// Sends lists of events, each of one school, as fast as possible, and returns the duration.
pub(super) async fn in_lists(
    http: &Client,
    stage: &Stage,
    node: &Node,
    events: Vec<Sent>,
    each: impl Fn(),
) -> anyhow::Result<Duration> {
    let mut schools: BTreeMap<usize, Vec<Sent>> = BTreeMap::new();
    for sent in events {
        schools.entry(sent.school).or_default().push(sent);
    }
    let mut lists = Vec::new();
    for events in schools.into_values() {
        for list in events.chunks(LIST) {
            if let [first, ..] = list {
                let events: Vec<&Value> = list.iter().map(|sent| &sent.event).collect();
                lists.push((url(stage, node, first)?, serde_json::to_value(events)?));
            }
        }
    }
    let begin = Instant::now();
    stream::iter(lists)
        .map(|(url, list)| async move {
            post(http, &url, &stage.key, &list).await?;
            anyhow::Ok(list.as_array().map_or(0, Vec::len))
        })
        .buffer_unordered(LISTS_AT_ONCE)
        .try_for_each(|taken| {
            (0..taken).for_each(|_| each());
            std::future::ready(Ok(()))
        })
        .await?;
    Ok(begin.elapsed())
}

fn url(stage: &Stage, node: &Node, sent: &Sent) -> anyhow::Result<String> {
    let school = stage.schools.get(sent.school);
    let school = school.ok_or_else(|| anyhow::anyhow!("an event belongs to no school"))?;
    Ok(node.events(&school.id))
}

/// Sends events until the service takes them, and returns how often it did not. Each pause is twice as long as the one before,
/// up to [`PAUSE_AT_MOST`].
async fn post(http: &Client, url: &str, key: &str, body: &Value) -> anyhow::Result<u64> {
    let mut again = 0;
    while let Err(NotTaken { why, pause }) = post_once(http, url, key, body).await {
        match pause {
            Some(pause) if again < TURNED_AWAY_AT_MOST => {
                let pause = pause.saturating_mul(2u32.saturating_pow(again));
                tokio::time::sleep(pause.min(PAUSE_AT_MOST)).await;
            }
            _ => bail!(why),
        }
        again += 1;
    }
    Ok(again.into())
}

/// Why the service did not take events.
struct NotTaken {
    why: String,
    /// The first pause before they are sent again; `None` if that would be in vain.
    pause: Option<Duration>,
}

async fn post_once(http: &Client, url: &str, key: &str, body: &Value) -> Result<(), NotTaken> {
    let no_answer = |error: reqwest::Error| {
        // A busy service may close a connection or answer too late. One that refuses connections has ended.
        let ended = error.is_connect() && !error.is_timeout();
        NotTaken {
            why: format!("the service gave no answer: {error}"),
            pause: (!ended).then_some(PAUSE_WITHOUT_ANSWER),
        }
    };
    let request = http.post(url).bearer_auth(key).json(body);
    let response = request.send().await.map_err(no_answer)?;
    let status = response.status();
    let pause = response.headers().get(RETRY_AFTER);
    let pause = pause.and_then(|seconds| seconds.to_str().ok()?.parse().ok());
    // Reading the whole answer lets the next request have the connection.
    let text = response.text().await.map_err(no_answer)?;
    if status == StatusCode::ACCEPTED {
        return Ok(());
    }
    let busy = matches!(
        status,
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS
    );
    Err(NotTaken {
        why: format!("the service answered {status}: {text}"),
        pause: pause.filter(|_| busy).map(Duration::from_secs),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tokio::net::TcpListener;
    use wiremock::{Mock, MockServer, ResponseTemplate, matchers::any};

    use super::*;

    async fn posted(busy: &ResponseTemplate) -> anyhow::Result<u64> {
        let service = MockServer::start().await;
        let busy = Mock::given(any()).respond_with(busy.clone());
        busy.up_to_n_times(2).mount(&service).await;
        let taken = Mock::given(any()).respond_with(ResponseTemplate::new(202));
        taken.mount(&service).await;
        post(&client()?, &service.uri(), "key", &json!({})).await
    }

    #[tokio::test]
    async fn what_a_busy_service_turns_away_is_sent_again() {
        let busy = ResponseTemplate::new(503).insert_header("Retry-After", "0");
        assert_eq!(posted(&busy).await.unwrap(), 2);
    }

    #[tokio::test]
    async fn other_answers_are_errors() {
        for answer in [ResponseTemplate::new(503), ResponseTemplate::new(400)] {
            assert!(posted(&answer).await.is_err());
        }
    }

    async fn listener() -> (TcpListener, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        (listener, url)
    }

    #[tokio::test]
    async fn a_request_without_an_answer_is_sent_again() {
        let (service, url) = listener().await;
        let closing = tokio::spawn(async move {
            while let Ok((connection, _)) = service.accept().await {
                drop(connection);
            }
        });
        let answer = post_once(&client().unwrap(), &url, "key", &json!({})).await;
        assert_eq!(answer.unwrap_err().pause, Some(PAUSE_WITHOUT_ANSWER));
        closing.abort();
    }

    #[tokio::test]
    async fn a_service_that_has_ended_is_not_asked_again() {
        let (service, url) = listener().await;
        drop(service);
        let answer = post_once(&client().unwrap(), &url, "key", &json!({})).await;
        assert_eq!(answer.unwrap_err().pause, None);
    }
}
