//! `cargo xtask bench`: `markback bench` as a release build, with a PostgreSQL server that is there for it alone.

use std::process::Command;

use anyhow::Result;
use throwaway_postgres::{Binaries, Server};

use crate::tree::{Tree, run};

/// What is handed on to `markback bench`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Options of `markback bench`, after `--`.
    #[arg(last = true)]
    options: Vec<String>,
}

/// Builds it and runs it. The server waits for the disk as one that matters would, and is gone afterwards; without installed
/// binaries PostgreSQL is left out.
pub(crate) fn bench(tree: &Tree, options: &Options) -> Result<()> {
    run(tree
        .cargo()
        .args(["build", "--release", "--package", "markback-cli"]))?;
    let server = match Binaries::find() {
        Ok(binaries) => Some(Server::builder().durable(true).start(&binaries)?),
        Err(looked) => {
            println!("PostgreSQL is left out: no binaries were found ({looked})");
            None
        }
    };
    let mut bench = Command::new(tree.target()?.join("release/markback"));
    bench.arg("bench").args(&options.options);
    if let Some(server) = &server {
        bench.env("MARKBACK_BENCH_POSTGRES", server.url("postgres"));
    }
    run(&mut bench)
}
