//! `cargo xtask torture`: a long run of the torture test.

use std::process::Command;

use anyhow::Result;

use crate::tree::{Tree, run};

/// The arguments passed to the torture test.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// --minutes N, --seed S, --store sqlite|postgres|both, --nodes N, --rate N, --faults SHARE
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    options: Vec<String>,
}

/// Builds and runs it.
pub(crate) fn torture(tree: &Tree, options: &Options) -> Result<()> {
    run(tree.cargo().args([
        "build",
        "--release",
        "--package",
        "markback-tests",
        "--bins",
    ]))?;
    run(Command::new(tree.target()?.join("release/torture")).args(&options.options))
}
