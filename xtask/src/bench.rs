//! `cargo xtask bench`: runs `markback bench` as a release build, with a temporary PostgreSQL server.

use std::process::Command;

use anyhow::Result;
use throwaway_postgres::{Binaries, Server};

use crate::tree::{Tree, run};

/// The arguments passed to `markback bench`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Options of `markback bench`, after `--`.
    #[arg(last = true)]
    options: Vec<String>,
}

/// Builds and runs it. The server waits for the disk as in production and is removed afterwards; without installed
/// binaries PostgreSQL is skipped.
pub(crate) fn bench(tree: &Tree, options: &Options) -> Result<()> {
    run(tree
        .cargo()
        .args(["build", "--release", "--package", "markback-cli"]))?;
    let server = match Binaries::find() {
        Ok(binaries) => Some(Server::builder().durable(true).start(&binaries)?),
        Err(looked) => {
            println!("PostgreSQL is skipped: no binaries were found ({looked})");
            None
        }
    };
    let mut bench = Command::new(tree.target()?.join("release/markback"));
    bench.arg("bench").args(&options.options);
    if let Some(server) = &server {
        bench.env("MARKBACK_BENCH_POSTGRES", server.url("postgres"));
        if let Some(process) = server.process() {
            bench.env("MARKBACK_BENCH_POSTGRES_PROCESS", process.to_string());
        }
    }
    run(&mut bench)
}
