//! `cargo xtask torture`: a long version of the torture test.

#![allow(clippy::unwrap_used, reason = "a failed assertion may panic")]

use std::{process::ExitCode, time::Duration};

use clap::Parser;
use markback_tests::torture::{Plan, StoreKind, run};

/// Runs the torture test and prints a report.
#[derive(Parser)]
struct Options {
    /// Duration of each round
    #[arg(long, default_value_t = 5)]
    minutes: u64,
    /// Seed of all random choices; random by default
    #[arg(long)]
    seed: Option<u64>,
    /// Databases to test
    #[arg(long, value_enum, default_value = "both")]
    store: Stores,
    /// Number of nodes on PostgreSQL
    #[arg(long, default_value_t = 3)]
    nodes: usize,
    /// Events per second
    #[arg(long, default_value_t = 50)]
    rate: u32,
    /// Share of requests to the sandbox that hit a fault
    #[arg(long, default_value_t = 0.05)]
    faults: f64,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Stores {
    Sqlite,
    Postgres,
    Both,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let seed = options.seed.unwrap_or_else(rand::random);
    let program = std::env::current_exe()
        .unwrap()
        .with_file_name("markback-under-test");
    let mut clean = true;
    for (store, wanted) in [
        (StoreKind::Sqlite, Stores::Sqlite),
        (StoreKind::Postgres, Stores::Postgres),
    ] {
        if options.store != wanted && options.store != Stores::Both {
            continue;
        }
        // First without faults: then nothing may be written twice either.
        for faults in [0.0, options.faults] {
            let plan = Plan {
                program: program.display().to_string(),
                seed,
                store,
                nodes: options.nodes,
                duration: Duration::from_secs(options.minutes * 60),
                rate: options.rate,
                kills: true,
                freezes: true,
                restarts: true,
                faults,
            };
            let report = tokio::runtime::Runtime::new().unwrap().block_on(run(&plan));
            println!("{report}\n");
            clean &= report.is_clean() && (faults > 0.0 || report.doubled == 0);
        }
    }
    if clean {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
