//! The command line: commands and exit codes.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use markback::{configuration::ChangeError, settings::LoadError};
use markback_console::{BadInput, logging, output};
#[cfg(feature = "lab")]
use markback_lab::{bench, demo};

use self::commands::{
    adapters, audit, check, doctor, events, explain, groups, keys, migrate, person, problems,
    replay, resume, schema, schools, serve, settings, status, sync, token, users, webhooks,
};

pub mod commands;

/// Writes attendance from a sign-in system back into the school's MIS.
#[derive(Debug, Parser)]
#[command(name = "markback", version, arg_required_else_help = true)]
pub struct Cli {
    /// The command.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Play a school morning in a sandbox, and compare the decisions with the marks in its MIS
    ///
    /// Everything runs in this process on loopback, with fictional people and an accelerated clock, and leaves nothing
    /// behind. Exit code: 0 if each school's MIS has the decided marks and no other changes, and the groups match the
    /// MIS; 1 if anything differs.
    #[cfg(feature = "lab")]
    Demo(demo::Args),
    /// Run the service
    ///
    /// Prints its address on standard output once it listens, and logs to standard error. On SIGTERM or Ctrl-C it
    /// accepts no more requests, finishes or releases current work within 30 seconds, and exits; a second signal stops
    /// it at once.
    Serve(serve::Args),
    /// Process a log of events in the same way as the service
    ///
    /// Each line of the log is an event in the form of the HTTP API, and can name its school's id as `"school"`. Exit
    /// code: 0 if every event was accepted and processed successfully; 1 if a mark did not reach the MIS; 2 if a line
    /// is invalid. Invalid lines are skipped. Known events are not accepted twice, so a log can be replayed again.
    Replay(replay::Args),
    /// List events, show one, replay its decision, retry or discard it
    Events(events::Args),
    /// List what needs a person by its cause, and act on all events of a cause
    Problems(problems::Args),
    /// Show schools, pending events, paused schools and the reason
    Status(status::Args),
    /// End the pause of a school or a token now, for example because its cause was removed
    Resume(resume::Args),
    /// Read the schools' people now, or show what would change
    Sync(sync::Args),
    /// List the schools' groups, and export their members
    Groups(groups::Args),
    /// Show the decision about one event and the reason, without any request
    Explain(explain::Args),
    /// List the schools, and add, remove, move, import or export them
    Schools(schools::Args),
    /// Show and change the settings of a school or a template that the database keeps
    Settings(settings::Args),
    /// Set, list, seal again and remove the tokens for Wonde that the database keeps
    ///
    /// The settings name the key that seals them, in `seal_key_env` or `seal_key_file`. No command shows a token.
    Token(token::Args),
    /// Manage the endpoints that get entries of the feed as signed webhooks
    Webhooks(webhooks::Args),
    /// Make, list and revoke the keys of the API
    Keys(keys::Args),
    /// Add, list, change and remove the users of the pages
    Users(users::Args),
    /// Export or erase all that is kept about one person
    Person(person::Args),
    /// Show who changed what, and who looked at a person
    Audit(audit::Args),
    /// Check the settings and list all problems
    Check(check::Args),
    /// Preview a school's migration to another MIS, without changing anything
    Migrate(migrate::Args),
    /// Print the JSON Schema of the settings
    Schema,
    /// List the MIS adapters and their capabilities
    Adapters(adapters::Args),
    /// Check the schools' connections through Wonde, without changing anything
    ///
    /// This works before the first start of the service; schools that the database keeps are known after it. It limits
    /// itself to `rate_per_minute`, in addition to a running service: each school takes a few requests, and the last
    /// line reports the number.
    Doctor(doctor::Args),
    /// Measure the service's throughput against a sandbox, and its number of requests to Wonde
    ///
    /// Runs `markback serve` in child processes, over HTTP on loopback, with each database on disk. The sandbox and the
    /// client run in this process and share the machine. All people are fictional, and nothing is left behind. Measure
    /// a release build, and only compare figures of the same run.
    #[cfg(feature = "lab")]
    Bench(bench::Args),
}

/// Parses the command line, runs the command and returns the exit code: 0 for success, 1 for failure, 2 for invalid
/// input.
pub fn main() -> ExitCode {
    logging::hide_panic_messages();
    // Exits with code 2 if the arguments are invalid.
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
        Command::Demo(args) => demo::run(args, markback_web::router),
        Command::Serve(args) => serve::run(args),
        Command::Replay(args) => replay::run(args),
        Command::Events(args) => events::run(&args),
        Command::Problems(args) => problems::run(&args),
        Command::Status(args) => status::run(&args),
        Command::Resume(args) => resume::run(&args),
        Command::Sync(args) => sync::run(&args),
        Command::Groups(args) => groups::run(&args),
        Command::Explain(args) => explain::run(&args),
        Command::Schools(args) => schools::run(&args),
        Command::Settings(args) => settings::run(&args),
        Command::Token(args) => token::run(&args),
        Command::Webhooks(args) => webhooks::run(&args),
        Command::Keys(args) => keys::run(&args),
        Command::Users(args) => users::run(&args),
        Command::Person(args) => person::run(&args),
        Command::Audit(args) => audit::run(&args),
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
        cause.is::<BadInput>()
            || cause.is::<LoadError>()
            || matches!(cause.downcast_ref(), Some(ChangeError::Problems { .. }))
    };
    if error.chain().any(handed_in) {
        ExitCode::from(2)
    } else {
        ExitCode::FAILURE
    }
}
