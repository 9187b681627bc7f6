//! `markback bench nation`: a morning of very many schools at once.
//!
//! Half an hour passes [`NationArgs::speed`] times as fast as in reality: pupils come that much faster, the MISs have marks
//! that much sooner, and all waits of the settings are that much shorter. The service's own work is not, so a machine
//! that keeps up here keeps up with a nation that many times as large.

use std::{
    fmt::Write as _,
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use clap::Args;
use hdrhistogram::Histogram;
use markback_console::{BadInput, output::TableOrJson};
use outbox::on_pool;
use rand::{RngExt as _, SeedableRng as _, seq::SliceRandom as _};
use rand_chacha::ChaCha8Rng;
use wonde_sandbox::RequestCounts;

use super::{
    ServerArg,
    database::Fresh,
    growth::mebibytes,
    load::{self, Taken},
    morning::{LASTS, MIS_DELAY},
    node::Node,
    parts::{self, Bars},
    stage::{Sent, Stage, TEMPLATE},
};
use markback::store::Store;

/// The pupils of the smallest and the largest school who sign in; fifty on average, as nine in ten are on roll.
const SIZES: [u32; 2] = [10, 165];
/// When the first pupil comes, in minutes after midnight.
const BEGINS: i64 = 8 * 60 + 20;
/// Most pupils come around this time of the half hour, and within this time of it: four times as many in the busiest
/// minute as on average.
const PEAK: f64 = 0.6;
const DEVIATION: f64 = 0.098;
/// How long is waited for the people and registers of all schools, and for the last mark, in real time.
const READ_WITHIN: Duration = Duration::from_secs(3 * 60 * 60);
const SETTLED_WITHIN: Duration = Duration::from_secs(3 * 60 * 60);
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// The arguments of `markback bench nation`.
#[derive(Clone, Debug, Args)]
pub struct NationArgs {
    /// Number of schools; about fifty pupils of each sign in
    #[arg(long, value_name = "N", default_value_t = 24_000)]
    pub schools: u32,
    /// How many times as fast as real time the half hour passes
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=60))]
    pub speed: u32,
    /// The most requests a minute with one token; without it there is no limit, and the report says how many there were
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub rate: Option<u32>,
    /// Gives each school a token of its own, instead of one for all
    #[arg(long)]
    pub own_tokens: bool,
    /// Number of nodes; more than one needs --postgres-url
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=16))]
    pub nodes: u32,
    #[command(flatten)]
    pub server: ServerArg,
    /// Output format
    #[arg(long, value_enum, default_value = "table")]
    pub format: TableOrJson,
}

impl NationArgs {
    /// Checks what the arguments say together.
    pub(super) fn check(&self) -> Result<(), BadInput> {
        if !(1..=24_000).contains(&self.schools) {
            return Err(BadInput(
                "--schools takes a number from 1 to 24000".to_owned(),
            ));
        }
        if self.nodes > 1 && self.server.postgres_url.is_none() {
            return Err(BadInput(
                "several nodes need a database that they can share: name a server with --postgres-url".to_owned(),
            ));
        }
        Ok(())
    }
}

/// What was measured.
pub(super) struct Nation {
    pub(super) schools: usize,
    /// How long reading the people and registers of all schools took, in real time, and its requests.
    pub(super) read: Duration,
    pub(super) read_requests: RequestCounts,
    pub(super) events: usize,
    /// How the sign-ins were taken, in real time.
    pub(super) intake: Taken,
    /// From intake to acceptance, in milliseconds of the morning.
    pub(super) accepted: Histogram<u64>,
    /// From the last event to the last acceptance, on the morning's clock.
    pub(super) behind: Duration,
    /// The most events that were not accepted yet at one time.
    pub(super) backlog: i64,
    pub(super) requests: RequestCounts,
    /// The requests in the busiest minute of the morning.
    pub(super) busiest_minute: u64,
    /// The peak memory of a node in MiB.
    pub(super) memory: Option<f64>,
    /// The processor time of all nodes for the morning.
    pub(super) cpu: Option<Duration>,
    /// How much the database grew in the morning, in MiB.
    pub(super) growth: f64,
    /// How long it took to prune all of it, in real time.
    pub(super) pruning: Duration,
}

impl Nation {
    /// The requests to read all schools without those for registers: as many as the full sync of every night makes.
    pub(super) fn nightly_requests(&self) -> u64 {
        let of_people = |(kind, _): &(&String, &u64)| !kind.contains(" attendance");
        let by_kind = self.read_requests.by_kind.iter();
        by_kind.filter(of_people).map(|(_, count)| count).sum()
    }
}

/// Measures it.
pub(super) async fn measure(args: &NationArgs, bars: &Bars) -> anyhow::Result<Nation> {
    let stage = Stage::nation(args.schools, SIZES, MIS_DELAY / args.speed);
    let stage = bars.during("setting up the sandbox", stage).await?;
    let path = settings(&stage, args)?;
    let fresh = match &args.server.postgres_url {
        Some(server) => Fresh::postgres(server).await?,
        None => Fresh::sqlite(&stage)?,
    };
    let begin = Instant::now();
    let mut nodes = Vec::new();
    for _ in 0..args.nodes {
        nodes.push(Node::start(&path, &fresh).await?);
    }
    let store = parts::open(&fresh).await?;
    let reading = all_read(stage.schools.len(), &store);
    bars.during("reading all schools", reading).await?;
    let (read, read_requests) = (begin.elapsed(), stage.sandbox.requests());

    stage.sandbox.reset_requests();
    let size = mebibytes(&store).await?;
    let cpu = || {
        nodes
            .iter()
            .map(Node::processor_time)
            .sum::<Option<Duration>>()
    };
    let cpu_before = cpu();
    let bar = bars.counting("a morning".to_owned(), stage.events);
    let http = load::client()?;
    let sent = load::on_time(&http, &stage, &nodes, arrivals(&stage, args.speed), || {
        bar.inc(1)
    });
    let (watched, intake) = tokio::try_join!(watch(&stage, &store, args.speed), sent)?;
    bar.finish_and_clear();
    let cpu = cpu()
        .zip(cpu_before)
        .map(|(now, before)| now.saturating_sub(before));
    let growth = mebibytes(&store).await? - size;
    let (accepted, behind) = waits(&store, args.speed).await?;
    let memory = nodes.iter().filter_map(Node::peak_memory).reduce(f64::max);
    for node in nodes {
        node.end().await?;
    }
    let begin = Instant::now();
    bars.during("pruning", async {
        Ok(store.prune(Duration::ZERO, Duration::ZERO).await?)
    })
    .await?;
    let pruning = begin.elapsed();
    store.database().close().await;
    let nation = Nation {
        schools: stage.schools.len(),
        read,
        read_requests,
        events: stage.events,
        intake,
        accepted,
        behind,
        backlog: watched.backlog,
        requests: stage.sandbox.requests(),
        busiest_minute: watched.busiest_minute,
        memory,
        cpu,
        growth,
        pruning,
    };
    fresh.remove().await?;
    stage.strike().await;
    Ok(nation)
}

/// The settings: the defaults, with all waits as many times shorter as the morning is faster, and with a limit of requests for
/// one key that the events of all schools keep.
fn settings(stage: &Stage, args: &NationArgs) -> anyhow::Result<PathBuf> {
    let seconds = |real: f64| format!("\"{}ms\"", (real * 1000.0 / f64::from(args.speed)).ceil());
    let rate = args
        .rate
        .map_or(100_000_000, |rate| rate.saturating_mul(args.speed));
    let mut toml = format!(
        "wonde_url = {:?}\nlisten = \"127.0.0.1:0\"\napi_key_file = \"api-key\"\n\
         store_env = \"MARKBACK_BENCH_STORE\"\nschools_file = \"schools.csv\"\nrate_per_minute = {rate}\n\
         http = {{ key_rate = 10000 }}\nregister_window = {}\ngather = {{ window = {} }}\n\n[sync]\nat_once = 16\n\n[workers]\n",
        stage.sandbox.base_url(),
        seconds(300.0),
        seconds(60.0),
    );
    for (name, real) in [
        ("confirm_after", 15.0),
        ("confirm_at_least_every", 300.0),
        ("read_back_after", 120.0),
        ("look_after", 60.0),
        ("plan_fresh", 300.0),
    ] {
        let _ = writeln!(toml, "{name} = {}", seconds(real));
    }
    toml.push_str(TEMPLATE);
    let mut list = "id,template,token_file\n".to_owned();
    if args.own_tokens {
        std::fs::create_dir(stage.folder.path().join("tokens"))?;
    }
    for (n, school) in stage.schools.iter().enumerate() {
        let token = if args.own_tokens {
            let name = format!("tokens/{n}");
            stage.write(&name, &stage.sandbox.token())?;
            name
        } else {
            "wonde-token".to_owned()
        };
        let _ = writeln!(list, "{},school,{token}", school.id);
    }
    stage.write("schools.csv", &list)?;
    stage.write("nation.toml", &toml)
}

/// Waits until the people and the registers of all schools have been read.
async fn all_read(schools: usize, store: &Store) -> anyhow::Result<()> {
    let all = async {
        while store.schools_ready().await?.len() < schools {
            tokio::time::sleep(LOOK_EVERY).await;
        }
        parts::registers_read(store, READ_WITHIN).await
    };
    tokio::time::timeout(READ_WITHIN, all)
        .await
        .context("the people of all schools were not read in time")?
}

/// The sign-ins in the order in which they are due, each with its time from the beginning.
fn arrivals(stage: &Stage, speed: u32) -> impl Iterator<Item = (Duration, Sent)> {
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let mut pupils: Vec<(usize, usize)> = stage
        .schools
        .iter()
        .enumerate()
        .flat_map(|(n, school)| (0..school.pupils.len()).map(move |pupil| (n, pupil)))
        .collect();
    pupils.shuffle(&mut random);
    let mut times = times(pupils.len(), &mut random);
    times.sort_by(f64::total_cmp);
    times
        .into_iter()
        .zip(pupils)
        .filter_map(move |(time, (n, pupil))| {
            let after = LASTS.mul_f64(time);
            let minutes = BEGINS + i64::try_from(after.as_secs() / 60).ok()?;
            let pupil = stage.schools.get(n)?.pupils.get(pupil)?;
            Some((after / speed, stage.sign_in_at(n, pupil, minutes)))
        })
}

/// Shares of the half hour, close to the peak.
fn times(count: usize, random: &mut ChaCha8Rng) -> Vec<f64> {
    std::iter::repeat_with(|| {
        // Twelve chances add up to a bell curve around six, with a deviation of one.
        let chances: f64 = (0..12).map(|_| random.random::<f64>()).sum();
        PEAK + (chances - 6.0) * DEVIATION
    })
    .filter(|time| (0.0..1.0).contains(time))
    .take(count)
    .collect()
}

/// What was seen during the morning.
struct Watched {
    backlog: i64,
    busiest_minute: u64,
}

/// Looks at the service until all marks are settled.
async fn watch(stage: &Stage, store: &Store, speed: u32) -> anyhow::Result<Watched> {
    let begin = Instant::now();
    let length = LASTS / speed;
    let minute = Duration::from_secs(60) / speed;
    let mut seen = Watched {
        backlog: 0,
        busiest_minute: 0,
    };
    let (mut since, mut before) = (Instant::now(), 0);
    loop {
        let look = Instant::now();
        let open = parts::on_its_way(store).await?;
        seen.backlog = seen.backlog.max(open);
        if since.elapsed() >= minute {
            let total = stage.sandbox.requests().total;
            let spent = Duration::as_secs_f64(&since.elapsed()) / minute.as_secs_f64();
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                clippy::cast_precision_loss,
                reason = "a count of requests"
            )]
            let per_minute = ((total - before) as f64 / spent) as u64;
            seen.busiest_minute = seen.busiest_minute.max(per_minute);
            (since, before) = (Instant::now(), total);
        }
        if begin.elapsed() > length && store.open_events().await? == 0 {
            return Ok(seen);
        }
        anyhow::ensure!(
            begin.elapsed() < length + SETTLED_WITHIN,
            "the marks were not confirmed in time"
        );
        // Counting very many events takes long, and must not become a load of its own.
        tokio::time::sleep(LOOK_EVERY.min(minute / 4).max(look.elapsed() * 20)).await;
    }
}

/// How long each mark took to be accepted, and how long the last one took after the last event; both on the morning's clock.
async fn waits(store: &Store, speed: u32) -> anyhow::Result<(Histogram<u64>, Duration)> {
    const WAITS: &str = "SELECT accepted_ms - received_ms, count(*) FROM markback_events \
                         WHERE accepted_ms IS NOT NULL GROUP BY 1";
    const LAST: &str = "SELECT max(accepted_ms) - max(received_ms) FROM markback_events WHERE accepted_ms IS NOT NULL";
    let rows: Vec<(i64, i64)> =
        on_pool!(store.database(), pool => sqlx::query_as(WAITS).fetch_all(pool).await)?;
    let mut accepted = Histogram::new(3)?;
    for (wait, count) in rows {
        let wait = u64::try_from(wait).unwrap_or_default() * u64::from(speed);
        accepted.record_n(wait, u64::try_from(count)?)?;
    }
    let last: Option<i64> =
        on_pool!(store.database(), pool => sqlx::query_scalar(LAST).fetch_one(pool).await)?;
    let behind = u64::try_from(last.unwrap_or_default()).unwrap_or_default();
    Ok((accepted, Duration::from_millis(behind) * speed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_busiest_minute_has_four_times_as_many_pupils_as_the_average() {
        let times = times(100_000, &mut ChaCha8Rng::seed_from_u64(1));
        let minute = |from: f64| {
            let within = |time: &&f64| (from..from + 1.0 / 30.0).contains(*time);
            times.iter().filter(within).count()
        };
        let most = (0..300)
            .map(|n| minute(f64::from(n) / 300.0))
            .max()
            .unwrap();
        assert!((12_500..14_500).contains(&most), "{most}");
    }
}
