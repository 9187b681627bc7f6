//! `markback bench`: how fast the service is, and how little it asks of Wonde, measured against a sandbox in one run.

mod cpu;
mod database;
mod load;
mod node;
mod parts;
mod plain;
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

/// How it is measured.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// How many events lie ready when a store's throughput is measured
    #[arg(long, value_name = "N", default_value_t = 30_000)]
    pub events: usize,
    /// How long 500 events a second come in for each store
    #[arg(long, value_name = "S", default_value_t = 8)]
    pub seconds: u64,
    /// Which store; PostgreSQL needs --postgres-url
    #[arg(long, value_enum, default_value = "all")]
    pub store: Which,
    /// A PostgreSQL server on which databases may be made, such as postgres://user@host/postgres; each is removed afterwards
    #[arg(
        long,
        value_name = "URL",
        env = "MARKBACK_BENCH_POSTGRES",
        hide_env_values = true
    )]
    pub postgres_url: Option<Url>,
    /// How many nodes work on one PostgreSQL, one measurement for each number
    #[arg(long, value_name = "N,N", value_delimiter = ',', default_values_t = [1, 2, 4])]
    pub nodes: Vec<usize>,
    /// How many schools stand in the settings when the memory for them is measured; 0 leaves that out
    #[arg(long, value_name = "N", default_value_t = 24_000)]
    pub schools: u32,
    /// How to print
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

/// Measures, and prints what came of it. An aim that is missed is told and is no error.
///
/// # Errors
/// When a process, a port or a store cannot be had, or events are not done in time.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    check(&args)?;
    logging::start(logging::COMMAND)?;
    block_on(async {
        let mut signals = Signals::listen()?;
        tokio::select! {
            report = measure(&args) => report?.print(args.format)?,
            () = signals.next() => anyhow::bail!("stopped before all was measured"),
        }
        Ok(ExitCode::SUCCESS)
    })
}

fn check(args: &Args) -> Result<(), BadInput> {
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
    if args.store == Which::Postgres && args.postgres_url.is_none() {
        return Err(BadInput(
            "PostgreSQL is measured on a server of yours: name it with --postgres-url, or run `cargo xtask bench`"
                .to_owned(),
        ));
    }
    Ok(())
}

async fn measure(args: &Args) -> anyhow::Result<Report> {
    let bars = Bars;
    let stage = bars
        .during("setting up the sandbox", Stage::set(args.events))
        .await?;
    let mut report = Report::new(&stage, args);
    if args.store != Which::Postgres {
        let store = Fresh::sqlite(&stage)?;
        let steady = parts::steady(&stage, &store, args.seconds, &bars).await?;
        report.steady("SQLite", &steady);
        report.busy_school(&parts::busy_school(&stage, &bars).await?);
        let drain = parts::drain(&stage, &Fresh::sqlite(&stage)?, 1, &bars).await?;
        report.drain("SQLite", 1, &drain);
        // Over a real line.
        stage.answer_after(LINE)?;
        let slow = parts::drain(&stage, &Fresh::sqlite(&stage)?, 1, &bars).await?;
        stage.answer_after(Duration::ZERO)?;
        report.over_a_line("SQLite", &slow);
    }
    match &args.postgres_url {
        Some(server) if args.store != Which::Sqlite => {
            report.server = Some(database::durability(server).await?);
            let store = Fresh::postgres(server).await?;
            let steady = parts::steady(&stage, &store, args.seconds, &bars).await?;
            report.steady("PostgreSQL", &steady);
            store.remove().await?;
            for &nodes in &args.nodes {
                let store = Fresh::postgres(server).await?;
                let drain = parts::drain(&stage, &store, nodes, &bars).await?;
                report.drain("PostgreSQL", nodes, &drain);
                store.remove().await?;
            }
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
    Ok(report)
}

impl Report {
    fn print(&self, format: TableOrJson) -> std::io::Result<()> {
        match format {
            TableOrJson::Table => output::line(self.to_string()),
            TableOrJson::Json => output::json(self),
        }
    }
}
