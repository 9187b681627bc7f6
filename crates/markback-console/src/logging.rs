//! Where the log goes: standard error, in lines for people on a terminal and as JSON anywhere else.

use std::io::{self, IsTerminal as _};

use tracing_subscriber::EnvFilter;

use crate::BadInput;

/// For a service: all that an operator may want to know.
pub const SERVICE: &str = "info";
/// For a command that somebody waits for: what went wrong, but not that the machine is busy.
pub const COMMAND: &str = "warn,sqlx=error";

/// Starts the log. `RUST_LOG` says how much of it; without it, the words given here.
///
/// # Errors
/// When `RUST_LOG` cannot be read.
pub fn start(otherwise: &str) -> anyhow::Result<()> {
    let words = std::env::var(EnvFilter::DEFAULT_ENV).unwrap_or_else(|_| otherwise.to_owned());
    let filter = EnvFilter::builder().parse(words).map_err(|error| {
        BadInput(format!(
            "RUST_LOG cannot be read: {error}; write for instance `info` or `markback=debug,warn`"
        ))
    })?;
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr);
    let started = if io::stderr().is_terminal() {
        log.try_init()
    } else {
        log.json().try_init()
    };
    started.map_err(|error| anyhow::anyhow!("the log cannot be started: {error}"))
}
