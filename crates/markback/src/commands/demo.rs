//! `markback demo`: a school morning in a sandbox, from the sign-ins to what the MIS then holds.

use std::process::ExitCode;

use crate::output::TextOrJson;

/// How the morning is played.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Keep the service running afterwards, and print its address
    #[arg(long)]
    pub stay: bool,
    /// What everything by chance is drawn from; the same seed plays the same morning
    #[arg(long, default_value_t = 7)]
    pub seed: u64,
    /// How many sign-ins and sign-outs to play
    #[arg(long, value_name = "N", default_value_t = 400)]
    pub events: usize,
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
