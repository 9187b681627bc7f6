//! `markback replay`: a log of events through the same path as the service.

use std::path::PathBuf;
use std::process::ExitCode;

use super::ConfigArg;
use crate::output::TextOrJson;

/// Which events, and how to tell.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The settings
    #[command(flatten)]
    pub config: ConfigArg,
    /// The events, one JSON object on each line; `-` reads standard input
    #[arg(value_name = "EVENTS.jsonl")]
    pub events: PathBuf,
    /// How to print
    #[arg(long, value_enum, default_value = "text")]
    pub format: TextOrJson,
}

/// Runs it.
///
/// # Errors
/// Always, as long as the service is not part of this program.
pub fn run(_args: Args) -> anyhow::Result<ExitCode> {
    anyhow::bail!("this program was built without the service")
}
