//! The command line: what can be asked, and how an answer becomes an exit code.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use markback::settings::LoadError;
use markback_console::{BadInput, logging, output};
#[cfg(feature = "lab")]
use markback_lab::{bench, demo};

use self::commands::{
    adapters, check, doctor, events, explain, groups, migrate, replay, resume, schema, serve,
    status, sync,
};

pub mod commands;

/// Writes attendance from a sign-in system back into the school's MIS.
#[derive(Debug, Parser)]
#[command(name = "markback", version, arg_required_else_help = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What can be done.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Play a school morning in a sandbox, and compare what was decided with what its MIS then holds
    ///
    /// Everything runs in this one process on loopback, with made-up people and a clock that runs fast, and nothing of it is left behind.
    /// Exit code: 0 when each school's MIS holds what was decided and nothing else changed, and its groups are those of the MIS; 1 when anything
    /// differs.
    #[cfg(feature = "lab")]
    Demo(demo::Args),
    /// Run the service
    ///
    /// It says its address in one line on standard output once it listens, and logs to standard error. On SIGTERM or ctrl-c it takes nothing
    /// more, finishes or hands back what is in hand within 30 seconds, and ends; a second one ends it at once.
    Serve(serve::Args),
    /// Put a day's log of events through the same path as the service
    ///
    /// Each line of the log is an event as the service takes it over HTTP, and may carry the school's id as `"school"`.
    /// Exit code: 0 when every event was taken in and settled well; 1 when a mark did not reach the MIS; 2 when a line is bad.
    /// Nothing of a bad line is guessed, and the good ones go in all the same. Events that are known already are not taken in twice, so a log can be
    /// replayed again.
    Replay(replay::Args),
    /// Look through events, try one again, or give it up
    Events(events::Args),
    /// Tell how the service stands: schools, queues, who rests and why
    Status(status::Args),
    /// End the pause of a school or a token at once, for instance when its cause was removed
    Resume(resume::Args),
    /// Read the schools' people now, or tell what that would change
    Sync(sync::Args),
    /// Look through the schools' groups, and export them
    Groups(groups::Args),
    /// Tell what one event would become, and why, without asking anybody
    Explain(explain::Args),
    /// Read the settings and tell all that is wrong with them
    Check(check::Args),
    /// Rehearse a school's change to another MIS, without changing anything
    Migrate(migrate::Args),
    /// Print the JSON Schema of the settings
    Schema,
    /// List the MIS adapters and what each can do
    Adapters(adapters::Args),
    /// Ask Wonde, without changing anything, whether all is well at the schools
    ///
    /// The store is not opened, so this works before the service has ever run. It keeps to `rate_per_minute` by itself, beside a service that
    /// runs: each school takes a handful of requests, and the last line says how many were made.
    Doctor(doctor::Args),
    /// Measure how fast the service is against a sandbox, and how little it asks of Wonde
    ///
    /// The service runs as it does for anybody: `markback serve` in child processes of this program, over HTTP on loopback, each store on disk.
    /// The sandbox and whoever sends the events run in this process, and take their share of the machine. All people are made up, and nothing
    /// is left behind. Measure a release build, and compare figures of one run only.
    #[cfg(feature = "lab")]
    Bench(bench::Args),
}

/// Reads the command line, does what it says and tells the exit code: 0 when all went well, 1 when it did not, 2 when
/// what was handed in is wrong.
pub fn main() -> ExitCode {
    logging::hide_panic_messages();
    // Wrong use ends the program here, with exit code 2.
    let cli = Cli::parse();
    match run(cli.command) {
        Ok(code) => code,
        Err(error) => {
            output::error_line(format!("error: {error:#}"));
            exit_code(&error)
        }
    }
}

fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        #[cfg(feature = "lab")]
        Command::Demo(args) => demo::run(args),
        Command::Serve(args) => serve::run(args),
        Command::Replay(args) => replay::run(args),
        Command::Events(args) => events::run(&args),
        Command::Status(args) => status::run(&args),
        Command::Resume(args) => resume::run(&args),
        Command::Sync(args) => sync::run(&args),
        Command::Groups(args) => groups::run(&args),
        Command::Explain(args) => explain::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Migrate(args) => migrate::run(&args),
        Command::Schema => schema::run(),
        Command::Adapters(args) => adapters::run(&args),
        Command::Doctor(args) => doctor::run(&args),
        #[cfg(feature = "lab")]
        Command::Bench(args) => bench::run(args),
    }
}

fn exit_code(error: &anyhow::Error) -> ExitCode {
    let handed_in = |cause: &(dyn std::error::Error + 'static)| {
        cause.is::<BadInput>() || cause.is::<LoadError>()
    };
    if error.chain().any(handed_in) {
        ExitCode::from(2)
    } else {
        ExitCode::FAILURE
    }
}
