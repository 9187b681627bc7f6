//! The measurements.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use hdrhistogram::Histogram;
use indicatif::{ProgressBar, ProgressStyle};
use mis_core::Session;
use outbox::{PauseUntil, SystemClock, on_pool};
use reqwest::Client;
use tempfile::TempDir;
use wonde_sandbox::{RequestCounts, Sandbox, SandboxOptions};

use super::{
    cores::Bound,
    cpu::{Load, processor_time},
    database::Fresh,
    load,
    node::Node,
    stage::{SERVICE, Stage, TEMPLATE},
};
use markback::{queues, schools::token_key, settings, store::Store};

/// Events per second while latencies are measured.
pub(super) const RATE: u32 = 500;
/// The time limit for the events of one part.
pub(super) const DONE_WITHIN: Duration = Duration::from_secs(90);
/// The polling interval of the database. A poll reads all events; the database has the time of each acceptance.
const LOOK_EVERY: Duration = Duration::from_millis(400);
/// How long a node with very many schools is observed.
const WATCH_MANY: Duration = Duration::from_secs(10);

/// Progress bars on standard error; hidden without a terminal.
#[derive(Debug, Default)]
pub(super) struct Bars;

impl Bars {
    /// Shows a spinner.
    pub(super) async fn during<T>(
        &self,
        what: &'static str,
        work: impl Future<Output = anyhow::Result<T>>,
    ) -> anyhow::Result<T> {
        let bar = ProgressBar::new_spinner().with_message(what);
        bar.enable_steady_tick(Duration::from_millis(100));
        let done = work.await;
        bar.finish_and_clear();
        done.with_context(|| format!("while measuring: {what}"))
    }

    pub(super) fn counting(&self, what: String, length: usize) -> ProgressBar {
        let bar = ProgressBar::new(u64::try_from(length).unwrap_or(u64::MAX)).with_message(what);
        if let Ok(style) = ProgressStyle::with_template("{msg:32} {bar:30} {pos}/{len}, {elapsed}")
        {
            bar.set_style(style);
        }
        bar
    }
}

/// The results of a steady flow of events.
pub(super) struct Steady {
    pub(super) latencies: Histogram<u64>,
    pub(super) events: usize,
    /// From the last event to the last acceptance.
    pub(super) behind: Duration,
    pub(super) memory: Option<f64>,
    /// What 99 % of the waits in each part of the node's intake were shorter than, in seconds.
    pub(super) parts: BTreeMap<String, f64>,
}

/// Events arrive one by one at [`RATE`] while the service processes them.
pub(super) async fn steady(
    stage: &Stage,
    store: &Fresh,
    seconds: u64,
    bars: &Bars,
) -> anyhow::Result<Steady> {
    let path = stage.settings("steady", &stage.schools)?;
    let http = load::client()?;
    let node = Node::start(&path, store).await?;
    node.knows_people(&http, stage).await?;
    let opened = open(store).await?;
    registers_read(&opened, DONE_WITHIN).await?;
    let wanted = usize::try_from(seconds * u64::from(RATE))?;
    let mut events = Vec::with_capacity(wanted);
    for session in [Session::Am, Session::Pm].into_iter().cycle() {
        if events.len() >= wanted {
            break;
        }
        events.extend(stage.sign_ins(wanted - events.len(), session));
    }
    let bar = bars.counting(format!("{RATE} events a second"), events.len());
    let taken = load::at_rate(&http, stage, &node, events, RATE, || bar.inc(1)).await?;
    let begin = Instant::now();
    while on_its_way(&opened).await? > 0 {
        anyhow::ensure!(
            begin.elapsed() < DONE_WITHIN,
            "the events were not accepted in time"
        );
        tokio::time::sleep(LOOK_EVERY).await;
    }
    bar.finish_and_clear();
    opened.database().close().await;
    let steady = Steady {
        latencies: taken.latencies,
        events: wanted,
        behind: begin.elapsed(),
        memory: node.peak_memory(),
        parts: node.slowest(&http, "markback_intake_seconds").await?,
    };
    node.end().await?;
    Ok(steady)
}

/// The requests of one school's busy morning.
pub(super) struct BusySchool {
    pub(super) mis: String,
    pub(super) marks: u64,
    pub(super) requests: RequestCounts,
    /// From the intake of a single event of a quiet school to its acceptance.
    pub(super) lone: Duration,
}

/// All pupils of one school sign in at [`RATE`]; counts the service's requests until the last mark is confirmed.
pub(super) async fn busy_school(stage: &Stage, bars: &Bars) -> anyhow::Result<BusySchool> {
    let [school, quiet, ..] = stage.schools.as_slice() else {
        anyhow::bail!("there are too few schools");
    };
    let store = Fresh::sqlite(stage)?;
    let path = stage.settings("busy", stage.schools.get(..2).unwrap_or_default())?;
    let http = load::client()?;
    let node = Node::start(&path, &store).await?;
    node.knows(&http, stage, &[&school.id, &quiet.id]).await?;
    let store = open(&store).await?;
    registers_read(&store, DONE_WITHIN).await?;
    let lone = lone(stage, &store, &node, &http).await?;
    let events = stage.sign_ins_at(0, Session::Am);
    let bar = bars.counting("a busy school".to_owned(), events.len());
    stage.sandbox.reset_requests();
    load::at_rate(&http, stage, &node, events, RATE, || bar.inc(1)).await?;
    all_settled(&store, DONE_WITHIN).await?;
    bar.finish_and_clear();
    let requests = stage.sandbox.requests();
    node.end().await?;
    Ok(BusySchool {
        mis: school.mis.clone(),
        marks: requests.marks_accepted,
        requests,
        lone,
    })
}

/// One pupil of the second school signs in, and nobody else. Returns the time until the mark is accepted, when it is
/// confirmed.
async fn lone(
    stage: &Stage,
    store: &Store,
    node: &Node,
    http: &Client,
) -> anyhow::Result<Duration> {
    const TOOK: &str = "SELECT max(accepted_ms - received_ms) FROM markback_events";
    let event = stage.sign_ins_at(1, Session::Am).into_iter().take(1);
    load::one_by_one(http, stage, node, event.collect(), || ()).await?;
    all_settled(store, DONE_WITHIN).await?;
    let took: Option<i64> = on_pool!(store.database(), pool => {
        sqlx::query_scalar(TOOK).fetch_one(pool).await
    })?;
    let took = took.context("a lone event was not accepted")?;
    Ok(Duration::from_millis(u64::try_from(took)?))
}

/// The results of processing a backlog.
pub(super) struct Drain {
    /// The accepted events.
    pub(super) events: usize,
    /// Events per second when sent one by one, and in lists.
    pub(super) singly: f64,
    pub(super) in_lists: f64,
    /// From the end of the pause until the last event was accepted.
    pub(super) took: Duration,
    pub(super) requests: RequestCounts,
    /// The peak memory of a node, in MiB.
    pub(super) memory: Option<f64>,
    /// Accepted events per second, from the acceptance of a fifth of the events to that of seven tenths: before that each
    /// node reads registers, and after that the last marks of each school wait for others.
    pub(super) sustained: f64,
    /// The load of the machine's cores during the same part, from 0 to 1.
    pub(super) busy: Option<f64>,
    /// The processor time that the nodes needed, and this process with sandbox and sender.
    pub(super) nodes_cpu: Option<Duration>,
    pub(super) own_cpu: Option<Duration>,
}

/// Events arrive while Wonde's token is paused, as after an outage; then the pause ends.
pub(super) async fn drain(
    stage: &Stage,
    fresh: &Fresh,
    count: usize,
    bars: &Bars,
) -> anyhow::Result<Drain> {
    drain_on(None, stage, fresh, count, bars).await
}

/// The same with each node on the cores that it is bound to.
pub(super) async fn drain_on(
    bound: Option<&Bound>,
    stage: &Stage,
    fresh: &Fresh,
    count: usize,
    bars: &Bars,
) -> anyhow::Result<Drain> {
    let path = stage.settings("drain", &stage.schools)?;
    let settings = settings::load(&path)?.settings;
    let key = settings.schools.first().map(token_key);
    let key = key.context("there is no school")?;
    let http = load::client()?;
    let mut nodes = Vec::new();
    for n in 0..count {
        let cores = bound.and_then(|bound| bound.node(n));
        nodes.push(Node::start_on(cores, &path, fresh).await?);
    }
    for node in &nodes {
        node.knows_people(&http, stage).await?;
    }
    let store = open(fresh).await?;
    registers_read(&store, DONE_WITHIN).await?;
    // What is stored already is not looked at.
    let stored_until = store.now_ms();
    pause(&store, &key).await?;
    let first = nodes.first().context("there is no node")?;
    let (singly, in_lists) = fill(stage, &http, first, bars).await?;

    stage.sandbox.reset_requests();
    let bar = bars.counting(format!("to accepted, {count} node(s)"), stage.events);
    let cpu = || {
        nodes
            .iter()
            .map(Node::processor_time)
            .sum::<Option<Duration>>()
    };
    let (nodes_before, own_before) = (cpu(), processor_time(std::process::id()));
    let begin = store.now_ms();
    resume(&store, &key).await?;
    // Whoever looks into an SQLite file from outside wakes nobody: one more event does.
    let spare = stage.spare();
    load::one_by_one(&http, stage, first, spare, || ()).await?;
    let (from, until) = (stage.events / 5, stage.events * 7 / 10);
    let (mut load, mut busy) = (None, None);
    let watch = Instant::now();
    let (events, last) = loop {
        let open = on_its_way(&store).await?;
        let (accepted, last) = accepted(&store, stored_until).await?;
        bar.set_position(accepted);
        if (u64::try_from(from)?..u64::try_from(until)?).contains(&accepted) {
            load = load.or_else(Load::start);
        } else {
            busy = busy.or_else(|| load.take().map(Load::since_start));
        }
        if open == 0 {
            // A pupil without a lesson in the afternoon has nothing that could bear a mark: a few are refused.
            anyhow::ensure!(
                accepted * 100 > u64::try_from(stage.events)? * 98,
                "too few events were accepted: {}",
                states(&store).await?
            );
            break (usize::try_from(accepted)?, last);
        }
        if watch.elapsed() > DONE_WITHIN {
            anyhow::bail!(
                "the events were not accepted in time: {}",
                states(&store).await?
            );
        }
        tokio::time::sleep(LOOK_EVERY).await;
    };
    let since = |now: Option<Duration>, before| Some(now?.saturating_sub(before?));
    let (nodes_cpu, own_cpu) = (
        since(cpu(), nodes_before),
        since(processor_time(std::process::id()), own_before),
    );
    bar.finish_and_clear();
    let between = accepted_at(&store, stored_until, until).await?
        - accepted_at(&store, stored_until, from).await?;
    let memory = nodes.iter().filter_map(Node::peak_memory);
    let drain = Drain {
        events,
        singly,
        in_lists,
        took: Duration::from_millis(u64::try_from(last - begin)?),
        requests: stage.sandbox.requests(),
        sustained: per_second(until - from, Duration::from_millis(u64::try_from(between)?)),
        memory: memory.reduce(f64::max),
        busy,
        nodes_cpu,
        own_cpu,
    };
    for node in nodes {
        node.end().await?;
    }
    store.database().close().await;
    Ok(drain)
}

/// Sends the backlog: a part of it one by one, the rest in lists. Returns the events per second for both.
async fn fill(
    stage: &Stage,
    http: &Client,
    node: &Node,
    bars: &Bars,
) -> anyhow::Result<(f64, f64)> {
    let mut events = stage.backlog();
    let bar = bars.counting("as fast as possible".to_owned(), events.len());
    let lists = events.split_off(events.len() / 4);
    let (ones, many) = (events.len(), lists.len());
    let singly = load::one_by_one(http, stage, node, events, || bar.inc(1)).await?;
    let in_lists = load::in_lists(http, stage, node, lists, || bar.inc(1)).await?;
    bar.finish_and_clear();
    Ok((per_second(ones, singly), per_second(many, in_lists)))
}

/// The cost of very many schools for a node.
pub(super) struct ManySchools {
    /// From its start until it listens.
    pub(super) started: Duration,
    pub(super) memory: Option<f64>,
}

/// Starts a node with many schools and measures its memory while it starts to read their people.
pub(super) async fn many_schools(count: u32) -> anyhow::Result<ManySchools> {
    let sandbox = Sandbox::start(SandboxOptions {
        schools: count,
        pupils_per_school: 10,
        ..SandboxOptions::default()
    })
    .await?;
    let folder = TempDir::with_prefix("markback-bench-")?;
    let mut list = "id,template\n".to_owned();
    for school in sandbox.schools() {
        list.push_str(&format!("{},school\n", school.id));
    }
    let settings = format!(
        "wonde_url = {:?}\nschools_file = \"schools.csv\"\n{SERVICE}{TEMPLATE}",
        sandbox.base_url()
    );
    for (name, text) in [
        ("schools.csv", list),
        ("many.toml", settings),
        ("wonde-token", sandbox.token()),
        ("api-key", "the-key-of-the-bench".to_owned()),
    ] {
        std::fs::write(folder.path().join(name), text)?;
    }
    let store = Fresh::sqlite_in(folder.path())?;
    let begin = Instant::now();
    let node = Node::start(&folder.path().join("many.toml"), &store).await?;
    let started = begin.elapsed();
    tokio::time::sleep(WATCH_MANY).await;
    let many = ManySchools {
        started,
        memory: node.peak_memory(),
    };
    node.end().await?;
    sandbox.stop().await;
    Ok(many)
}

pub(super) fn per_second(count: usize, took: Duration) -> f64 {
    #[expect(
        clippy::cast_precision_loss,
        reason = "a count of events is far below 2^52"
    )]
    let count = count as f64;
    count / took.as_secs_f64().max(0.001)
}

/// Waits until all registers have been read once, as is the case before a morning. The reads began when the node started.
pub(super) async fn registers_read(store: &Store, within: Duration) -> anyhow::Result<()> {
    let begin = Instant::now();
    while store.outbox().stats().await?.contains_key(queues::REGISTER) {
        anyhow::ensure!(
            begin.elapsed() < within,
            "the registers were not read in time"
        );
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Ok(())
}

/// Waits until all events are settled.
pub(super) async fn all_settled(store: &Store, within: Duration) -> anyhow::Result<()> {
    let begin = Instant::now();
    while store.open_events().await? > 0 {
        if begin.elapsed() > within {
            let states = states(store).await?;
            anyhow::bail!("the events were not settled in time: {states}");
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Ok(())
}

pub(super) async fn open(store: &Fresh) -> anyhow::Result<Store> {
    let clock = Arc::new(SystemClock);
    Ok(Store::open(&store.url, outbox::Settings::default(), clock).await?)
}

pub(super) async fn pause(store: &Store, key: &str) -> anyhow::Result<()> {
    let mut tx = store.database().begin().await?;
    let day = PauseUntil::For(Duration::from_secs(24 * 60 * 60));
    store
        .outbox()
        .pause(&mut tx, key, day, "a measurement")
        .await?;
    Ok(tx.commit().await?)
}

pub(super) async fn resume(store: &Store, key: &str) -> anyhow::Result<()> {
    let mut tx = store.database().begin().await?;
    store.outbox().resume(&mut tx, key).await?;
    Ok(tx.commit().await?)
}

/// The number of events in each state, as text.
pub(super) async fn states(store: &Store) -> anyhow::Result<String> {
    let mut states = BTreeMap::new();
    for ((_, state), count) in store.tally().await? {
        *states.entry(state.as_str()).or_insert(0) += count;
    }
    let words = states
        .iter()
        .map(|(state, count)| format!("{count} {state}"));
    Ok(words.collect::<Vec<_>>().join(", "))
}

/// The number of accepted events that were received since then, and the time of the last acceptance.
pub(super) async fn accepted(store: &Store, since: i64) -> anyhow::Result<(u64, i64)> {
    const ACCEPTED: &str = "SELECT count(*), max(accepted_ms) FROM markback_events \
                            WHERE received_ms >= $1 AND accepted_ms IS NOT NULL";
    let (count, last): (i64, Option<i64>) = on_pool!(store.database(), pool => {
        sqlx::query_as(ACCEPTED).bind(since).fetch_one(pool).await
    })?;
    Ok((u64::try_from(count)?, last.unwrap_or_default()))
}

/// The time at which the given number of the events received since then was accepted.
async fn accepted_at(store: &Store, since: i64, count: usize) -> anyhow::Result<i64> {
    const AT: &str = "SELECT accepted_ms FROM markback_events WHERE received_ms >= $2 AND accepted_ms IS NOT NULL \
                      ORDER BY accepted_ms LIMIT 1 OFFSET $1";
    let before = i64::try_from(count)?;
    Ok(on_pool!(store.database(), pool => {
        sqlx::query_scalar(AT).bind(before).bind(since).fetch_one(pool).await
    })?)
}

/// The number of events that are neither accepted nor finished.
pub(super) async fn on_its_way(store: &Store) -> anyhow::Result<i64> {
    const OPEN: &str =
        "SELECT count(*) FROM markback_events WHERE settled_ms IS NULL AND accepted_ms IS NULL";
    Ok(on_pool!(store.database(), pool => {
        sqlx::query_scalar(OPEN).fetch_one(pool).await
    })?)
}
