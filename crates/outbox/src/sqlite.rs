//! Opening an SQLite file.

use std::path::{Path, PathBuf};
use std::str::FromStr as _;

use sqlx::ConnectOptions as _;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};

use crate::database::{OpenOptions, Pools};
use crate::error::{Error, ErrorKind, Result};

/// The identity of an SQLite file when it was opened.
pub(crate) struct OpenFile {
    path: PathBuf,
    #[cfg(unix)]
    identity: (u64, u64),
}

impl OpenFile {
    fn at(path: &Path) -> Option<Self> {
        let _metadata = std::fs::metadata(path).ok()?;
        Some(Self {
            path: path.to_owned(),
            #[cfg(unix)]
            identity: identity(&_metadata),
        })
    }

    /// Checks that the file at the path is still the same.
    pub(crate) fn check(&self) -> Result<()> {
        if self.is_in_place() {
            return Ok(());
        }
        let path = self.path.display();
        Err(Error::new(
            ErrorKind::Unavailable,
            "the store's file",
            format!(
                "{path} was removed or replaced while it was open; put it back and start again"
            ),
        ))
    }

    fn is_in_place(&self) -> bool {
        match std::fs::metadata(&self.path) {
            #[cfg(unix)]
            Ok(metadata) => identity(&metadata) == self.identity,
            #[cfg(not(unix))]
            Ok(_) => true,
            Err(_) => false,
        }
    }
}

#[cfg(unix)]
fn identity(metadata: &std::fs::Metadata) -> (u64, u64) {
    use std::os::unix::fs::MetadataExt as _;
    (metadata.dev(), metadata.ino())
}

/// Creates a missing file with access for its owner only, because it will hold personal data. SQLite gives the same
/// permissions to its auxiliary files. If this fails, opening the file fails too and reports the reason.
fn create_private(path: &Path) {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    let _ = options.open(path);
}

/// Opens or creates the file.
pub(crate) async fn open(url: &str, options: &OpenOptions) -> Result<(Pools, Option<OpenFile>)> {
    let memory = url.contains(":memory:") || url.contains("mode=memory");
    let mut connect = SqliteConnectOptions::from_str(url)?;
    if options.read_only {
        connect = connect.read_only(true);
    } else {
        if !url.contains("mode=") {
            if !memory {
                create_private(connect.get_filename());
            }
            connect = connect.create_if_missing(true);
        }
        connect = connect
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full);
    }
    let path = connect.get_filename().to_owned();
    let connect = connect
        .foreign_keys(true)
        .busy_timeout(options.busy_timeout)
        // Checkpoint every 16 MiB instead of every 4, for fewer pauses.
        .pragma("wal_autocheckpoint", "4000")
        .pragma("journal_size_limit", "67108864")
        .pragma("temp_store", "MEMORY")
        .statement_cache_capacity(256)
        .disable_statement_logging();
    let pool = || {
        SqlitePoolOptions::new()
            .acquire_timeout(options.busy_timeout)
            .max_lifetime(None)
            .idle_timeout(None)
            .test_before_acquire(false)
    };
    let writer = pool()
        .max_connections(1)
        .min_connections(1)
        .connect_with(connect.clone().pragma("cache_size", "-16000"))
        .await?;
    let readers = if memory {
        writer.clone()
    } else {
        pool()
            .max_connections(options.max_connections.max(1))
            .connect_lazy_with(connect.pragma("query_only", "ON"))
    };
    let file = if memory { None } else { OpenFile::at(&path) };
    Ok((Pools::Sqlite { writer, readers }, file))
}
