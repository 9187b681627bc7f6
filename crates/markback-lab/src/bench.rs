//! `markback bench`: measures throughput and requests to Wonde against a sandbox in one run.

mod api;
mod cores;
mod cpu;
mod database;
mod growth;
mod load;
mod morning;
mod nation;
mod node;
mod parts;
mod php;
mod plain;
mod plot;
mod report;
mod stage;

use std::{process::ExitCode, time::Duration};

use clap::ValueEnum;
use url::Url;

use self::{
    database::Fresh,
    parts::Bars,
    report::Report,
    stage::{EVENTS_MIN, Stage},
};
use markback_console::output::{self, TableOrJson};
use markback_console::{BadInput, block_on, logging, signals::Signals};

/// More would need more pupils than the sandbox has.
const EVENTS_MAX: usize = 200_000;

/// How long each answer of Wonde takes where the service is compared with the plain way, which waits for every one of them.
const LINE: Duration = Duration::from_millis(100);

/// The arguments of `markback bench`.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Args {
    /// What to measure, if not the throughput
    #[command(subcommand)]
    pub what: Option<What>,
    /// Number of pending events for measuring throughput
    #[arg(long, value_name = "N", default_value_t = 30_000)]
    pub events: usize,
    /// Duration of the intake of 500 events per second for each store
    #[arg(long, value_name = "S", default_value_t = 40)]
    pub seconds: u64,
    /// Stores to measure; PostgreSQL needs --postgres-url
    #[arg(long, value_enum, default_value = "all")]
    pub store: Which,
    /// The PostgreSQL server
    #[command(flatten)]
    pub server: ServerArg,
    /// Main process of that server on this machine, as `cargo xtask bench` starts it. Where several nodes are compared on
    /// Linux, it is bound to cores of its own, as the nodes are
    #[arg(
        long,
        value_name = "PID",
        env = "MARKBACK_BENCH_POSTGRES_PROCESS",
        requires = "postgres_url"
    )]
    pub postgres_process: Option<u32>,
    /// Numbers of nodes on one PostgreSQL, one measurement for each number
    #[arg(long, value_name = "N,N", value_delimiter = ',', default_values_t = [1, 2, 4])]
    pub nodes: Vec<usize>,
    /// Number of schools for measuring memory; 0 skips this
    #[arg(long, value_name = "N", default_value_t = 24_000)]
    pub schools: u32,
    /// Output format
    #[arg(long, value_enum, default_value = "table")]
    pub format: TableOrJson,
}

/// The PostgreSQL server to measure on.
#[derive(Clone, Debug, clap::Args)]
pub struct ServerArg {
    /// PostgreSQL server on which databases can be created, such as postgres://user@host/postgres; each is removed
    /// afterwards
    #[arg(
        long,
        value_name = "URL",
        env = "MARKBACK_BENCH_POSTGRES",
        hide_env_values = true
    )]
    pub postgres_url: Option<Url>,
}

/// What to measure, if not the throughput.
#[derive(Debug, clap::Subcommand)]
pub enum What {
    /// How the cost of the same work grows with the number of stored events and schools
    Growth(growth::GrowthArgs),
    /// The latency of intake at a steady rate while the events are worked on, and what it waits for
    Intake(IntakeArgs),
    /// How many requests the morning of one school takes, pupil by pupil, and how long marks wait
    Morning(MorningArgs),
    /// What clients that treat the API badly do to the intake of others, and how soon a thousand streams have an entry
    Api(api::ApiArgs),
    /// A morning of very many schools at once: lag, waits, requests, memory, and growth of the database
    Nation(nation::NationArgs),
    /// The same marks by the service and by Wonde's PHP client, one pupil after the other: rate, requests, processor time
    Php(php::PhpArgs),
    /// How many requests a crowd at one school takes, and how soon a lone mark is accepted
    School(PartArgs),
}

/// The arguments of `markback bench intake`.
#[derive(Debug, clap::Args)]
pub struct IntakeArgs {
    /// Duration of the intake of 500 events per second for each store
    #[arg(long, value_name = "S", default_value_t = 40, value_parser = clap::value_parser!(u64).range(1..=600))]
    pub seconds: u64,
    /// The PostgreSQL server
    #[command(flatten)]
    pub server: ServerArg,
    /// Output format
    #[arg(long, value_enum, default_value = "table")]
    pub format: TableOrJson,
}

/// The arguments of `markback bench morning`.
#[derive(Debug, clap::Args)]
pub struct MorningArgs {
    /// How many times as fast as real time the mornings pass; the service's own work takes that much longer in them
    #[arg(long, value_name = "N", default_value_t = morning::SPEED, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub speed: u32,
    /// Output format
    #[arg(long, value_enum, default_value = "table")]
    pub format: TableOrJson,
}

/// The arguments of a part.
#[derive(Debug, clap::Args)]
pub struct PartArgs {
    /// Output format
    #[arg(long, value_enum, default_value = "table")]
    pub format: TableOrJson,
}

/// Which store to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Which {
    /// SQLite alone
    Sqlite,
    /// PostgreSQL alone, with one, two and four nodes
    Postgres,
    /// Both
    All,
}

/// Measures and prints the results. A missed aim is reported, but is not an error.
///
/// # Errors
/// Returns an error if a process, a port or a store is not available, or if events are not finished in time.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    check(&args)?;
    logging::start(logging::COMMAND)?;
    block_on(async {
        let mut signals = Signals::listen()?;
        tokio::select! {
            done = measure_and_print(&args) => done?,
            () = signals.next() => anyhow::bail!("stopped before all was measured"),
        }
        Ok(ExitCode::SUCCESS)
    })
}

async fn measure_and_print(args: &Args) -> anyhow::Result<()> {
    match &args.what {
        Some(What::Growth(growth)) => growth::measure(growth).await?.show(growth),
        Some(What::Intake(intake)) => {
            let stage = Bars
                .during("setting up the sandbox", Stage::set(EVENTS_MIN))
                .await?;
            let mut report = Report::new();
            let store = Fresh::sqlite(&stage)?;
            measure_intake(&stage, "SQLite", store, intake.seconds, &mut report).await?;
            if let Some(server) = &intake.server.postgres_url {
                report.server = Some(database::durability(server).await?);
                let store = Fresh::postgres(server).await?;
                measure_intake(&stage, "PostgreSQL", store, intake.seconds, &mut report).await?;
            }
            stage.strike().await;
            Ok(report.print(intake.format)?)
        }
        Some(What::Morning(part)) => {
            let mut report = Report::new();
            measure_mornings(&mut report, part.speed).await?;
            Ok(report.print(part.format)?)
        }
        Some(What::Nation(nation)) => {
            let mut report = Report::new();
            report.nation(nation, &nation::measure(nation, &Bars).await?);
            Ok(report.print(nation.format)?)
        }
        Some(What::School(part)) => {
            let stage = Bars
                .during("setting up the sandbox", Stage::set(EVENTS_MIN))
                .await?;
            let mut report = Report::new();
            report.busy_school(&parts::busy_school(&stage, &Bars).await?);
            stage.strike().await;
            Ok(report.print(part.format)?)
        }
        Some(What::Php(php)) => {
            let mut report = Report::new();
            report.php(&php::measure(php, &Bars).await?);
            Ok(report.print(php.format)?)
        }
        Some(What::Api(api)) => {
            let mut report = Report::new();
            report.under_stress(&api::measure(api, &Bars).await?);
            Ok(report.print(api.format)?)
        }
        None => Ok(measure(args).await?.print(args.format)?),
    }
}

fn check(args: &Args) -> Result<(), BadInput> {
    match &args.what {
        Some(What::Growth(growth)) => return growth.check(),
        Some(What::Api(api)) => return api.check(),
        Some(What::Php(php)) => return php.check(),
        Some(What::Nation(nation)) => return nation.check(),
        Some(What::Intake(_) | What::Morning(_) | What::School(_)) | None => {}
    }
    if !(EVENTS_MIN..=EVENTS_MAX).contains(&args.events) {
        let given = args.events;
        return Err(BadInput(format!(
            "--events {given} cannot be measured with; name a number from {EVENTS_MIN} to {EVENTS_MAX}"
        )));
    }
    if !(1..=600).contains(&args.seconds) {
        return Err(BadInput(
            "--seconds takes a number from 1 to 600".to_owned(),
        ));
    }
    if args.nodes.iter().any(|nodes| !(1..=16).contains(nodes)) {
        return Err(BadInput("--nodes takes numbers from 1 to 16".to_owned()));
    }
    if args.schools > 50_000 {
        return Err(BadInput("--schools takes 50000 at most".to_owned()));
    }
    if args.store == Which::Postgres && args.server.postgres_url.is_none() {
        return Err(BadInput(
            "PostgreSQL is measured on a server of yours: name it with --postgres-url, or run `cargo xtask bench`"
                .to_owned(),
        ));
    }
    Ok(())
}

async fn measure(args: &Args) -> anyhow::Result<Report> {
    let mut report = Report::new();
    measure_throughput(args, &Bars, &mut report).await?;
    measure_mornings(&mut report, morning::SPEED).await?;
    Ok(report)
}

async fn measure_intake(
    stage: &Stage,
    name: &str,
    store: Fresh,
    seconds: u64,
    report: &mut Report,
) -> anyhow::Result<()> {
    let steady = parts::steady(stage, &store, seconds, &Bars).await?;
    report.steady(name, &steady);
    store.remove().await
}

async fn measure_mornings(report: &mut Report, speed: u32) -> anyhow::Result<()> {
    let [usual, curve] = morning::setups();
    let usual = morning::measure(&usual, speed);
    let mut mornings = Bars.during("mornings of one school", usual).await?;
    let curve = morning::measure(&curve, speed);
    mornings.extend(Bars.during("the curve of gather.window", curve).await?);
    report.mornings(&mornings, speed);
    Ok(())
}

async fn measure_throughput(args: &Args, bars: &Bars, report: &mut Report) -> anyhow::Result<()> {
    let stage = bars
        .during("setting up the sandbox", Stage::set(args.events))
        .await?;
    report.describe(&stage, args);
    if args.store != Which::Postgres {
        let store = Fresh::sqlite(&stage)?;
        measure_intake(&stage, "SQLite", store, args.seconds, report).await?;
        report.busy_school(&parts::busy_school(&stage, bars).await?);
        let drain = parts::drain(&stage, &Fresh::sqlite(&stage)?, 1, bars).await?;
        report.drain("SQLite", 1, &drain);
        // Over a real line.
        stage.answer_after(LINE)?;
        let slow = parts::drain(&stage, &Fresh::sqlite(&stage)?, 1, bars).await?;
        stage.answer_after(Duration::ZERO)?;
        report.over_a_line("SQLite", &slow);
    }
    match &args.server.postgres_url {
        Some(server) if args.store != Which::Sqlite => {
            report.server = Some(database::durability(server).await?);
            let store = Fresh::postgres(server).await?;
            measure_intake(&stage, "PostgreSQL", store, args.seconds, report).await?;
            let (bound, note) = cores::bind(&args.nodes, args.postgres_process)?;
            report.notes.extend(note);
            for &nodes in &args.nodes {
                let store = Fresh::postgres(server).await?;
                let drain = parts::drain_on(bound.as_ref(), &stage, &store, nodes, bars).await?;
                report.drain("PostgreSQL", nodes, &drain);
                store.remove().await?;
            }
            report.two_nodes_against_one(bound.is_some());
        }
        None if args.store == Which::All => report.without_postgres(),
        _ => {}
    }
    stage.answer_after(LINE)?;
    report.plain(&bars.during("the plain way", plain::measure(&stage)).await?);
    stage.answer_after(Duration::ZERO)?;
    if args.schools > 0 {
        let memory = parts::many_schools(args.schools);
        report.many_schools(args.schools, &bars.during("many schools", memory).await?);
    }
    stage.strike().await;
    Ok(())
}

impl Report {
    fn print(&self, format: TableOrJson) -> std::io::Result<()> {
        match format {
            TableOrJson::Table => output::line(self.to_string()),
            TableOrJson::Json => output::json(self),
        }
    }
}
