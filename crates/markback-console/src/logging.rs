//! Logging to standard error: text on a terminal, JSON elsewhere.

use std::{
    io::{self, IsTerminal as _},
    panic::{self, PanicHookInfo},
};

use tracing_subscriber::EnvFilter;

use crate::BadInput;

/// The default level of a service.
pub const SERVICE: &str = "info";
/// The default level of a command: warnings, but not slow queries.
pub const COMMAND: &str = "warn,sqlx=error";

/// Starts logging at the level in `RUST_LOG`, or else at `otherwise`.
///
/// # Errors
/// Returns an error if `RUST_LOG` cannot be parsed.
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

/// Reports panics only by their place, because a message may quote a pupil's data.
pub fn hide_panic_messages() {
    panic::set_hook(Box::new(|panic| {
        let place = place_of(panic);
        if tracing::dispatcher::has_been_set() {
            tracing::error!(
                place,
                "a fault of the program: it panicked here; please report it"
            );
        } else {
            eprintln!("error: a fault of the program: it panicked at {place}; please report it");
        }
    }));
}

fn place_of(panic: &PanicHookInfo<'_>) -> String {
    let place = panic.location().map(ToString::to_string);
    place.unwrap_or_else(|| "an unknown place".to_owned())
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// The hook is global, so a child process panics.
    #[test]
    fn a_panic_is_logged_with_its_place_but_not_its_message() {
        const CHILD: &str = "MARKBACK_TEST_PANICS";
        if std::env::var_os(CHILD).is_some() {
            hide_panic_messages();
            let panicked = panic::catch_unwind(|| panic!("overslept again"));
            assert!(panicked.is_err());
            return;
        }
        let name = "logging::tests::a_panic_is_logged_with_its_place_but_not_its_message";
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", name, "--nocapture"])
            .env(CHILD, "1")
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&child.stderr);
        assert!(child.status.success(), "{told}");
        assert!(told.contains("logging.rs:"), "{told}");
        assert!(!told.contains("overslept"), "{told}");
    }
}
