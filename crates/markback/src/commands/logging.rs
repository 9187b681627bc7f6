//! Where the log goes: standard error, in lines for people on a terminal and as JSON anywhere else.

use std::io::{self, IsTerminal as _};

use tracing_subscriber::{EnvFilter, filter::LevelFilter};

use crate::cli::BadInput;

/// Starts the log. `RUST_LOG` says how much of it; without it, all from `level` on.
///
/// # Errors
/// When `RUST_LOG` cannot be read.
pub(crate) fn start(level: LevelFilter) -> anyhow::Result<()> {
    let filter = EnvFilter::builder()
        .with_default_directive(level.into())
        .from_env()
        .map_err(|error| {
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
