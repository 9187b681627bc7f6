//! `markback settings`: a school's settings, and what a draft of them would change.

mod try_out;

use std::process::ExitCode;

use clap::Subcommand;

/// The command.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Try a draft of a school's settings on the events of the last school days, without changing anything
    Try(try_out::Args),
}

/// Runs the command.
///
/// # Errors
/// Returns an error if the settings or the arguments are invalid, or if a database query fails.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    match &args.command {
        Command::Try(args) => try_out::run(args),
    }
}
