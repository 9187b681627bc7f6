//! `cargo xtask torture`: the long form of what the tests do to the service for a minute.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::{process::ExitCode, time::Duration};

use clap::Parser;
use markback_tests::torture::{Plan, StoreKind, run};

/// Tortures the service and tells what came of it.
#[derive(Parser)]
struct Options {
    /// How long each round lasts
    #[arg(long, default_value_t = 5)]
    minutes: u64,
    /// Where everything random comes from; another each time when left out
    #[arg(long)]
    seed: Option<u64>,
    /// The stores
    #[arg(long, value_enum, default_value = "both")]
    store: Stores,
    /// The nodes that share a PostgreSQL
    #[arg(long, default_value_t = 3)]
    nodes: usize,
    /// Events a second
    #[arg(long, default_value_t = 50)]
    rate: u32,
    /// The share of requests to the sandbox that meet a fault
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
        // Without faults first, for then nothing may be written twice either.
        for faults in [0.0, options.faults] {
            let plan = Plan {
                program: program.display().to_string(),
                seed,
                store,
                nodes: options.nodes,
                lasts: Duration::from_secs(options.minutes * 60),
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
