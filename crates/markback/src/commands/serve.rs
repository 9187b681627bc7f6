//! `markback serve`: the service.

use std::process::ExitCode;

use super::ConfigArg;

/// What the service goes by.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The settings
    #[command(flatten)]
    pub config: ConfigArg,
}

/// Runs it.
///
/// # Errors
/// Always, as long as the service is not part of this program.
pub fn run(_args: Args) -> anyhow::Result<ExitCode> {
    anyhow::bail!("this program was built without the service")
}
