//! The project's developer tasks, run as `cargo xtask <task>`.

mod bench;
mod catalogue;
mod checks;
mod codegen;
mod conformance;
mod docs;
mod openapi;
mod own_ways;
mod public_api;
mod scaffold;
mod tidy;
mod torture;
mod tree;
mod try_new_adapter;
mod verdict;
mod webhook_verifiers;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::tree::Tree;

/// Developer tasks.
#[derive(Parser)]
#[command(name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// Generates files: from the adapters the umbrella crate, the capability table and docs/adapters; from the API its
    /// OpenAPI documents.
    Codegen {
        /// Writes nothing; fails if a file is out of date.
        #[arg(long)]
        check: bool,
        /// Leaves out what is not made from the adapters, which takes building the service.
        #[arg(long)]
        adapters: bool,
    },
    /// Creates an adapter for a new MIS.
    NewAdapter(scaffold::Plan),
    /// Runs the conformance suite on the adapters and shows the number of cases by kind.
    Conformance(conformance::Options),
    /// Checks the umbrella crate with each adapter's feature alone, and with none.
    EachFeature,
    /// Follows the steps of CONTRIBUTING.md in a copy of the tree, until a new adapter passes.
    TryNewAdapter,
    /// Tests the example of an adapter that lives outside this repository.
    Outside,
    /// Writes the public API of each library crate to docs/public-api.
    PublicApi {
        /// Writes nothing; fails if a listing differs from the code.
        #[arg(long)]
        check: bool,
    },
    /// Checks the project's rules that clippy cannot check.
    Tidy,
    /// Verifies our webhooks' signatures with the public libraries for Python and JavaScript.
    WebhookVerifiers,
    /// Measures a release build on SQLite and on a temporary PostgreSQL server; options of `markback bench` follow
    /// `--`.
    Bench(bench::Options),
    /// Kills, freezes and overloads a release build for the given time, and compares the marks in the MIS afterwards.
    Torture(torture::Options),
}

fn main() -> ExitCode {
    let done = public_api::as_rustdoc().unwrap_or_else(|| run(Arguments::parse().chore));
    done.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

fn run(chore: Chore) -> Result<ExitCode> {
    let tree = Tree::here()?;
    match chore {
        Chore::Codegen {
            check: true,
            adapters,
        } => codegen::check(&tree, adapters)?,
        Chore::Codegen {
            check: false,
            adapters,
        } => codegen::write(&tree, adapters)?,
        Chore::NewAdapter(plan) => scaffold::run(&tree, &plan)?,
        Chore::Conformance(options) => return conformance::run(&tree, &options),
        Chore::EachFeature => checks::each_feature(&tree)?,
        Chore::TryNewAdapter => try_new_adapter::run(&tree)?,
        Chore::Outside => checks::outside(&tree)?,
        Chore::PublicApi { check: true } => public_api::check(&tree)?,
        Chore::PublicApi { check: false } => public_api::write(&tree)?,
        Chore::Tidy => tidy::run(&tree)?,
        Chore::WebhookVerifiers => webhook_verifiers::check(&tree)?,
        Chore::Bench(options) => bench::bench(&tree, &options)?,
        Chore::Torture(options) => torture::torture(&tree, &options)?,
    }
    Ok(ExitCode::SUCCESS)
}
