//! Opening an SQLite file.

use std::path::{Path, PathBuf};
use std::str::FromStr as _;
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions as _, SqlitePool};
use tokio::task::AbortHandle;

use crate::database::{OpenOptions, Pools};
use crate::error::{Error, ErrorKind, Result};

/// How often the write-ahead log is copied into the database.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(1);
/// A log of so many pages, 16 MiB, is copied to its end, so that it begins anew.
const LOG_PAGES: i64 = 4_000;
/// If the log grows to so many pages all the same, whoever commits next copies it.
const LOG_PAGES_AT_MOST: &str = "16000";

/// An SQLite file and its identity when it was opened.
pub(crate) struct OpenFile {
    _checkpoints: Option<Checkpoints>,
    path: PathBuf,
    #[cfg(unix)]
    identity: (u64, u64),
}

impl OpenFile {
    fn at(path: &Path, checkpoints: Option<Checkpoints>) -> Option<Self> {
        let _metadata = std::fs::metadata(path).ok()?;
        Some(Self {
            _checkpoints: checkpoints,
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

/// Copies the write-ahead log into the database every now and then, beside the writer, so that no commit has to. Ends when
/// it is dropped or the pools are closed.
struct Checkpoints(AbortHandle);

impl Checkpoints {
    fn start(writer: SqlitePool, readers: SqlitePool) -> Self {
        let task = tokio::spawn(async move {
            while !readers.is_closed() {
                tokio::time::sleep(CHECKPOINT_EVERY).await;
                // A failure leaves the log as it is, for the next time or for a commit.
                let _ = copy_log(&writer, &readers).await;
            }
        });
        Self(task.abort_handle())
    }
}

impl Drop for Checkpoints {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn copy_log(writer: &SqlitePool, readers: &SqlitePool) -> sqlx::Result<()> {
    let copy = || {
        let copied = sqlx::query_as("PRAGMA wal_checkpoint(PASSIVE)");
        copied.fetch_one(readers)
    };
    let (_, pages, copied): (i64, i64, i64) = copy().await?;
    if pages > LOG_PAGES && copied < pages {
        // The log begins anew only if it is copied to its end, so nobody may write for the little that has come since.
        let _none_writes = writer.acquire().await?;
        let (_, _, _): (i64, i64, i64) = copy().await?;
    }
    Ok(())
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
        .pragma("wal_autocheckpoint", LOG_PAGES_AT_MOST)
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
    let file = if memory {
        None
    } else {
        let writes = !options.read_only;
        let checkpoints = writes.then(|| Checkpoints::start(writer.clone(), readers.clone()));
        OpenFile::at(&path, checkpoints)
    };
    Ok((Pools::Sqlite { writer, readers }, file))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_long_log_is_copied_beside_the_writer_and_begins_anew() {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", folder.path().join("store.db").display());
        let (pools, _file) = open(&url, &OpenOptions::default()).await.unwrap();
        let Pools::Sqlite { writer, readers } = pools else {
            unreachable!("the URL names SQLite");
        };
        let run = async |sql: &'static str| {
            sqlx::raw_sql(sql).execute(&writer).await.unwrap();
        };
        let pages = async || {
            let log = sqlx::query_as("PRAGMA wal_checkpoint(PASSIVE)");
            let (_, pages, _): (i64, i64, i64) = log.fetch_one(&readers).await.unwrap();
            pages
        };
        run("CREATE TABLE blobs (data BLOB)").await;
        run("INSERT INTO blobs VALUES (zeroblob(20000000))").await;
        copy_log(&writer, &readers).await.unwrap();
        run("INSERT INTO blobs VALUES (zeroblob(1))").await;
        assert!(pages().await < 100);
    }
}
