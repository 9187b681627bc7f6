//! The API under stress: intake beside clients that treat it badly, and many streams of the feed.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use chrono::{DateTime, Utc};
use hdrhistogram::Histogram;
use markback_console::{BadInput, output::TableOrJson};
use mis_core::Session;
use outbox::on_pool;
use reqwest::{Client, StatusCode};
use serde_json::Value;
use tokio::{
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    task::JoinSet,
};

use super::{
    database::Fresh,
    load,
    node::Node,
    parts::{self, Bars},
    stage::{EVENTS_MIN, Sent, Stage},
};
use crate::hostile::{Hostile, Tally, Target};
use markback::store::Store;

/// How long intake is measured before the stress, at most.
const BEFORE_MAX: u64 = 20;
/// How many changes the streams are told of.
const CHANGES: usize = 5;
/// The time limit for all streams to have an entry.
const HEARD_WITHIN: Duration = Duration::from_secs(60);

/// The arguments of `markback bench api`.
#[derive(Debug, clap::Args)]
pub struct ApiArgs {
    /// How long clients treat the API badly
    #[arg(long, value_name = "S", default_value_t = 60)]
    pub seconds: u64,
    /// The number of these clients: slow readers, those that break off, send byte by byte, or send too much
    #[arg(long, value_name = "N", default_value_t = 200)]
    pub connections: usize,
    /// Events per second that a well-behaved client sends meanwhile, each in its own request
    #[arg(long, value_name = "N", default_value_t = 200)]
    pub rate: u32,
    /// The number of streams of the feed; 0 skips them
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    pub streams: usize,
    /// Output format
    #[arg(long, value_enum, default_value = "table")]
    pub format: TableOrJson,
}

impl ApiArgs {
    pub(super) fn check(&self) -> Result<(), BadInput> {
        let flaws = [
            (
                (1..=3_600).contains(&self.seconds),
                "--seconds takes a number from 1 to 3600",
            ),
            (
                self.connections <= 2_000,
                "--connections takes 2000 at most",
            ),
            (
                (1..=2_000).contains(&self.rate),
                "--rate takes a number from 1 to 2000",
            ),
            (self.streams <= 2_000, "--streams takes 2000 at most"),
        ];
        match flaws.into_iter().find(|(is_good, _)| !is_good) {
            Some((_, message)) => Err(BadInput(message.to_owned())),
            None => Ok(()),
        }
    }
}

/// What was measured.
pub(super) struct Stress {
    pub(super) seconds: u64,
    pub(super) connections: usize,
    pub(super) rate: u32,
    pub(super) before: Flow,
    pub(super) during: Flow,
    pub(super) clients: Tally,
    /// Events that were accepted and are not in the database.
    pub(super) lost: u64,
    pub(super) streams: usize,
    /// By change, how long it took until the last stream had it; sorted.
    pub(super) heard: Vec<Duration>,
    pub(super) memory: Option<f64>,
}

/// What became of a flow of events.
pub(super) struct Flow {
    /// Of accepted events, in microseconds, from when each was due.
    pub(super) latencies: Histogram<u64>,
    /// The ids of accepted events.
    pub(super) accepted: BTreeSet<String>,
    /// Requests that were not answered with 202, by status; 0 without an answer.
    pub(super) others: BTreeMap<u16, u64>,
}

/// Measures on a node with SQLite.
pub(super) async fn measure(args: &ApiArgs, bars: &Bars) -> anyhow::Result<Stress> {
    let stage = bars
        .during("setting up the sandbox", Stage::set(EVENTS_MIN))
        .await?;
    let fresh = Fresh::sqlite(&stage)?;
    let path = stage.settings("api", &stage.schools)?;
    let http = load::client()?;
    let node = Node::start(&path, &fresh).await?;
    bars.during("reading people", node.knows_people(&http, &stage))
        .await?;
    let store = parts::open(&fresh).await?;
    let run = Run {
        stage: &stage,
        node: &node,
        http: &http,
        rate: args.rate,
    };
    let before = run.flow(args.seconds.min(BEFORE_MAX));
    let before = bars.during("intake before", before).await?;
    let school = stage.schools.first().context("there is no school")?;
    let target = Target {
        address: node.address()?,
        key: stage.key.clone(),
        school: school.id.clone(),
    };
    let hostile = Hostile::start(target, args.connections);
    let during = run.flow(args.seconds);
    let during = bars.during("intake under stress", during).await?;
    let clients = hostile.end().await;
    let accepted = before.accepted.union(&during.accepted);
    let lost = lost(&store, accepted).await?;
    let streams = run.streams(args.streams);
    let heard = bars.during("streams", streams).await?;
    let stress = Stress {
        seconds: args.seconds,
        connections: args.connections,
        rate: args.rate,
        before,
        during,
        clients,
        lost,
        streams: args.streams,
        heard,
        memory: node.peak_memory(),
    };
    node.end().await?;
    store.database().close().await;
    stage.strike().await;
    Ok(stress)
}

/// How many of these events the database does not have.
async fn lost<'i>(
    store: &Store,
    accepted: impl Iterator<Item = &'i String>,
) -> anyhow::Result<u64> {
    let found: Vec<String> = on_pool!(store.database(), pool => {
        sqlx::query_scalar("SELECT id FROM markback_events").fetch_all(pool).await
    })?;
    let found: BTreeSet<_> = found.into_iter().collect();
    let lost = accepted.filter(|id| !found.contains(*id)).count();
    Ok(u64::try_from(lost)?)
}

struct Run<'a> {
    stage: &'a Stage,
    node: &'a Node,
    http: &'a Client,
    rate: u32,
}

impl Run<'_> {
    /// One event after the other for so many seconds, without waiting for the answers.
    async fn flow(&self, seconds: u64) -> anyhow::Result<Flow> {
        let wanted = usize::try_from(seconds * u64::from(self.rate))?;
        let mut events = Vec::with_capacity(wanted);
        for session in [Session::Am, Session::Pm].into_iter().cycle() {
            if events.len() >= wanted {
                break;
            }
            events.extend(self.stage.sign_ins(wanted - events.len(), session));
        }
        let (gap, begin) = (Duration::from_secs(1) / self.rate, Instant::now());
        let mut answers = JoinSet::new();
        for (n, sent) in (0u32..).zip(events) {
            let due = begin + gap * n;
            tokio::time::sleep_until(due.into()).await;
            let (request, id) = (self.request(&sent)?, id_of(&sent));
            answers.spawn(async move {
                let status = match request.send().await {
                    Ok(answer) => {
                        let status = answer.status();
                        // The answer counts when it has been read.
                        answer.bytes().await.map_or(0, |_| status.as_u16())
                    }
                    Err(_) => 0,
                };
                (id, status, due.elapsed())
            });
        }
        let mut flow = Flow {
            latencies: Histogram::new(3)?,
            accepted: BTreeSet::new(),
            others: BTreeMap::new(),
        };
        while let Some(answer) = answers.join_next().await {
            let (id, status, took) = answer?;
            if status == StatusCode::ACCEPTED.as_u16() {
                flow.latencies.record(u64::try_from(took.as_micros())?)?;
                flow.accepted.insert(id);
            } else {
                *flow.others.entry(status).or_default() += 1;
            }
        }
        Ok(flow)
    }

    fn request(&self, sent: &Sent) -> anyhow::Result<reqwest::RequestBuilder> {
        let school = self.stage.schools.get(sent.school);
        let school = school.context("an event belongs to no school")?;
        let request = self.http.post(self.node.events(&school.id));
        Ok(request.bearer_auth(&self.stage.key).json(&sent.event))
    }

    /// Opens streams and makes changes, one after the other. Returns how long each took until the last stream had it.
    async fn streams(&self, count: usize) -> anyhow::Result<Vec<Duration>> {
        if count == 0 {
            return Ok(Vec::new());
        }
        let (heard, mut hearing) = unbounded_channel();
        let mut streams = JoinSet::new();
        for n in 0..count {
            let url = format!("http://{}/v1/feed/stream?kind=event", self.node.address()?);
            let answer = self.http.get(url).bearer_auth(&self.stage.key);
            // The client's time limit is for requests that end.
            let answer = answer
                .timeout(Duration::from_secs(24 * 60 * 60))
                .send()
                .await?;
            ensure!(
                answer.status() == StatusCode::OK,
                "stream {n} was answered {}",
                answer.status()
            );
            streams.spawn(read(answer, heard.clone()));
        }
        let mut took = Vec::with_capacity(CHANGES);
        let school = self.stage.schools.len().saturating_sub(1);
        let events = self.stage.sign_ins_at(school, Session::Pm);
        for sent in events.into_iter().take(CHANGES) {
            let id = id_of(&sent);
            let answer = self.request(&sent)?.send().await?;
            ensure!(
                answer.status() == StatusCode::ACCEPTED,
                "the service answered {}",
                answer.status()
            );
            let last = last(&mut hearing, &id, count);
            let last = tokio::time::timeout(HEARD_WITHIN, last).await;
            took.push(last.context("not every stream had a change in time")??);
        }
        streams.shutdown().await;
        took.sort_unstable();
        Ok(took)
    }
}

fn id_of(sent: &Sent) -> String {
    sent.event["id"].as_str().unwrap_or_default().to_owned()
}

/// An entry that a stream has: the event, its state, and how long ago it changed.
type Heard = (String, String, Duration);

/// Waits until all streams have the same entry about an event, and returns how long the last one took.
async fn last(
    hearing: &mut UnboundedReceiver<Heard>,
    id: &str,
    streams: usize,
) -> anyhow::Result<Duration> {
    let mut by_state: BTreeMap<String, (usize, Duration)> = BTreeMap::new();
    loop {
        let (event, state, took) = hearing.recv().await.context("the streams have ended")?;
        if event != id {
            continue;
        }
        let (count, longest) = by_state.entry(state).or_default();
        *count += 1;
        *longest = took.max(*longest);
        if *count == streams {
            return Ok(*longest);
        }
    }
}

/// Reads a stream of server-sent events to its end.
async fn read(mut answer: reqwest::Response, heard: UnboundedSender<Heard>) {
    let mut text = String::new();
    while let Ok(Some(part)) = answer.chunk().await {
        let now = Utc::now();
        text.push_str(&String::from_utf8_lossy(&part));
        while let Some((event, rest)) = text.split_once("\n\n") {
            let data = event.lines().find_map(|line| line.strip_prefix("data:"));
            let entry = data.and_then(|data| entry(data, now));
            text = rest.to_owned();
            if entry.is_some_and(|entry| heard.send(entry).is_err()) {
                return;
            }
        }
    }
}

fn entry(data: &str, now: DateTime<Utc>) -> Option<Heard> {
    let entry: Value = serde_json::from_str(data).ok()?;
    let at: DateTime<Utc> = entry["at"].as_str()?.parse().ok()?;
    let event = &entry["event"];
    Some((
        event["id"].as_str()?.to_owned(),
        event["state"].as_str()?.to_owned(),
        (now - at).to_std().unwrap_or_default(),
    ))
}
