//! A temporary PostgreSQL server for tests, started from the installed binaries.
//!
//! ```no_run
//! # fn main() -> Result<(), throwaway_postgres::Error> {
//! // One server for all tests of the process; `None` (and one line on standard error) where there are no binaries.
//! if let Some(server) = throwaway_postgres::shared()? {
//!     let url = server.create_database()?;
//!     // connect to `url`
//! }
//! # Ok(()) }
//! ```
//!
//! The server listens on a Unix socket in its own folder under the temporary directory, so ports cannot conflict.
//! PostgreSQL refuses to run as root, so for root the server runs as the user `postgres`, otherwise as `nobody`. When
//! the process that started it ends, in any way, the server is stopped and its folder removed.
//!
//! `fsync` is off by default: data survives a killed server, but not a power failure.

mod find;
mod server;

pub use find::Binaries;
pub use server::{Builder, Server, Stop};

use std::io::Write;
use std::sync::OnceLock;

/// If set to `1`, as in continuous integration, a missing PostgreSQL is an error instead of a skipped test.
pub const REQUIRE: &str = "MARKBACK_REQUIRE_POSTGRES";

/// The server could not be found, started, stopped or queried.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There are no binaries, and `MARKBACK_REQUIRE_POSTGRES` requires them.
    #[error("no PostgreSQL binaries found ({looked}), and {REQUIRE}=1 asks for them")]
    Missing {
        /// The searched locations.
        looked: String,
    },
    /// One of PostgreSQL's programs could not be run.
    #[error("cannot run {program}: {source}")]
    Run {
        /// The program.
        program: String,
        /// Why.
        source: std::io::Error,
    },
    /// One of PostgreSQL's programs failed.
    #[error("{program} failed: {said}")]
    Failed {
        /// The program.
        program: String,
        /// The end of its output.
        said: String,
    },
    /// A folder or a user is not available.
    #[error("cannot prepare the server's folder: {0}")]
    Folder(#[from] std::io::Error),
}

/// The process's one server, started at the first call. `None` where there are no binaries, said once on standard error
/// in a line that a test runner does not swallow.
///
/// # Errors
/// [`Error::Missing`] instead of `None` when `MARKBACK_REQUIRE_POSTGRES=1` is set; otherwise when it does not start.
pub fn shared() -> Result<Option<&'static Server>, Error> {
    static SHARED: OnceLock<Result<Option<Server>, Error>> = OnceLock::new();
    match SHARED.get_or_init(|| start_or_skip(&Server::builder())) {
        Ok(server) => Ok(server.as_ref()),
        Err(error) => Err(Error::Failed {
            program: "the shared server".to_owned(),
            said: error.to_string(),
        }),
    }
}

/// Starts a separate server, for tests that stop or restart it; otherwise like [`shared`].
///
/// # Errors
/// As for [`shared`].
pub fn start_or_skip(builder: &Builder) -> Result<Option<Server>, Error> {
    match Binaries::find() {
        Ok(binaries) => builder.start(&binaries).map(Some),
        Err(looked) if std::env::var(REQUIRE).is_ok_and(|value| value == "1") => {
            Err(Error::Missing { looked })
        }
        Err(looked) => {
            static SAID: OnceLock<()> = OnceLock::new();
            SAID.get_or_init(|| {
                let _ = writeln!(
                    std::io::stderr(),
                    "SKIPPED: the tests on PostgreSQL, for no binaries were found ({looked})"
                );
            });
            Ok(None)
        }
    }
}
