//! One of two databases behind one door: opening, transactions, and running one SQL text on either.

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection as _, PgConnection, PgPool, SqliteConnection, SqlitePool};

use crate::error::{Error, ErrorKind, Result};
use crate::wake::Hub;

/// Settings of the connection. `Default` fits a service on one machine.
#[derive(Clone, Debug)]
pub struct OpenOptions {
    /// Connections kept to PostgreSQL at most, besides one that listens; on SQLite connections that
    /// only read, besides the one that writes.
    pub max_connections: u32,
    /// How long to wait for a free connection, or for another process that writes to the SQLite file,
    /// before the answer is [`ErrorKind::Busy`].
    pub busy_timeout: Duration,
    /// Nothing is written or created: for looking at a database that somebody else keeps.
    pub read_only: bool,
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self {
            max_connections: 8,
            busy_timeout: Duration::from_secs(5),
            read_only: false,
        }
    }
}

/// An open database: an SQLite file or a PostgreSQL server. Cheap to clone.
///
/// SQLite runs with a write-ahead log, `synchronous = FULL`, foreign keys, one connection that writes and some that only
/// read. PostgreSQL's connections plan without bitmaps and just-in-time compilation, which suits short statements that go by
/// index; a host with long reports opens a pool of its own for them. Neither logs statements.
///
/// ```no_run
/// # async fn f() -> outbox::Result<()> {
/// use outbox::{Database, on_pool, on_tx};
///
/// let db = Database::open("sqlite:///var/lib/example/store.db").await?;
/// let mut tx = db.begin().await?;
/// on_tx!(tx, conn => {
///     sqlx::query("INSERT INTO example_events (id, at) VALUES ($1, $2)")
///         .bind("e1")
///         .bind(17_i64)
///         .execute(conn)
///         .await
///         .map(|done| done.rows_affected())
/// })?;
/// tx.commit().await?;
/// let events: i64 = on_pool!(db, pool => {
///     sqlx::query_scalar("SELECT count(*) FROM example_events").fetch_one(pool).await
/// })?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Database {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) pools: Pools,
    file: Option<OpenFile>,
    pub(crate) hub: Arc<Hub>,
}

pub(crate) enum Pools {
    Sqlite {
        writer: SqlitePool,
        readers: SqlitePool,
    },
    Postgres(PgPool),
}

/// Which of the two databases it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Engine {
    /// An SQLite file: one machine.
    Sqlite,
    /// A PostgreSQL server: any number of machines.
    Postgres,
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Database").field(&self.engine()).finish()
    }
}

impl Database {
    /// Opens `sqlite:///absolute/path.db`, `sqlite:relative.db` (both created when missing, unless the URL says
    /// `?mode=rw`), `sqlite::memory:` (for tests: all calls share one connection) or `postgres://user:password@host/name`.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] for a URL that is neither, or that the driver refuses; the error never shows the URL,
    /// for it may hold a password. Otherwise as the database answers.
    pub async fn open(url: &str) -> Result<Self> {
        Self::open_with(url, &OpenOptions::default()).await
    }

    /// As [`Database::open`], with settings.
    ///
    /// # Errors
    /// As [`Database::open`].
    pub async fn open_with(url: &str, options: &OpenOptions) -> Result<Self> {
        let scheme = url.split_once(':').map(|(scheme, _)| scheme);
        let opened = match scheme {
            Some("sqlite") => open_sqlite(url, options).await,
            Some("postgres" | "postgresql") => {
                open_postgres(url, options).await.map(|pools| (pools, None))
            }
            _ => {
                let shown = match scheme {
                    Some(scheme) if scheme.chars().all(|c| c.is_ascii_alphanumeric()) => {
                        format!("unknown scheme \"{scheme}\"")
                    }
                    _ => "there is no scheme".to_owned(),
                };
                return Err(Error::new(
                    ErrorKind::Config,
                    "the store's URL",
                    format!("{shown}; write sqlite:///path/file.db or postgres://user@host/name"),
                ));
            }
        };
        let (pools, file) = opened.map_err(|error| error.during("opening the store"))?;
        let hub = Hub::start(match &pools {
            Pools::Postgres(pool) => Some(pool.clone()),
            Pools::Sqlite { .. } => None,
        });
        Ok(Self {
            inner: Arc::new(Inner { pools, file, hub }),
        })
    }

    /// Which database it is.
    pub fn engine(&self) -> Engine {
        match self.inner.pools {
            Pools::Sqlite { .. } => Engine::Sqlite,
            Pools::Postgres(_) => Engine::Postgres,
        }
    }

    /// Makes sure that the SQLite file which was opened is still the one at its path. One that was removed or replaced
    /// can be read from for a while, and what is written there is lost.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] when it is not.
    pub fn check_file(&self) -> Result<()> {
        match &self.inner.file {
            Some(file) if !file.is_in_place() => Err(Error::new(
                ErrorKind::Unavailable,
                "the store's file",
                format!(
                    "{} was removed or replaced while it was open; put it back and start again",
                    file.path.display()
                ),
            )),
            _ => Ok(()),
        }
    }

    /// Begins a transaction: on SQLite the one writer, `BEGIN IMMEDIATE`; on PostgreSQL at `READ COMMITTED`, on which
    /// the queue's order of numbers rests, whatever the server's default is.
    ///
    /// On SQLite all other writers wait until it ends: do nothing slow inside.
    ///
    /// # Errors
    /// [`ErrorKind::Busy`] when no connection became free in time or the file is locked.
    pub async fn begin(&self) -> Result<Tx> {
        let inner = match &self.inner.pools {
            Pools::Sqlite { writer, .. } => {
                TxInner::Sqlite(writer.begin_with("BEGIN IMMEDIATE").await?)
            }
            Pools::Postgres(pool) => TxInner::Postgres(
                pool.begin_with("BEGIN ISOLATION LEVEL READ COMMITTED")
                    .await?,
            ),
        };
        Ok(Tx {
            inner,
            hub: Arc::clone(&self.inner.hub),
            rings: BTreeSet::new(),
            once_kept: Vec::new(),
        })
    }

    /// The pool for reading outside a transaction; [`on_pool!`](crate::on_pool) is the handy form.
    pub fn pool(&self) -> Pool<'_> {
        match &self.inner.pools {
            Pools::Sqlite { readers, .. } => Pool::Sqlite(readers),
            Pools::Postgres(pool) => Pool::Postgres(pool),
        }
    }

    /// Closes all connections, waiting for those in use.
    pub async fn close(&self) {
        self.inner.hub.stop();
        match &self.inner.pools {
            Pools::Sqlite { writer, readers } => {
                // Readers first: the last connection to close folds the log into the file.
                readers.close().await;
                writer.close().await;
            }
            Pools::Postgres(pool) => pool.close().await,
        }
    }
}

/// A pool of one of the two databases, for reading.
#[derive(Debug, Clone, Copy)]
#[allow(missing_docs, reason = "the variants say it")]
pub enum Pool<'a> {
    Sqlite(&'a SqlitePool),
    Postgres(&'a PgPool),
}

/// A transaction's connection.
#[derive(Debug)]
#[allow(missing_docs, reason = "the variants say it")]
pub enum Conn<'a> {
    Sqlite(&'a mut SqliteConnection),
    Postgres(&'a mut PgConnection),
}

/// A transaction, in which a host runs its own SQL beside the queue's. Dropped without [`Tx::commit`], it is rolled back.
pub struct Tx {
    inner: TxInner,
    hub: Arc<Hub>,
    rings: BTreeSet<String>,
    once_kept: Vec<Box<dyn FnOnce() + Send>>,
}

enum TxInner {
    Sqlite(sqlx::Transaction<'static, sqlx::Sqlite>),
    Postgres(sqlx::Transaction<'static, sqlx::Postgres>),
}

impl fmt::Debug for Tx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tx").finish_non_exhaustive()
    }
}

impl Tx {
    /// The connection, to run SQL on; [`on_tx!`](crate::on_tx) is the handy form.
    pub fn conn(&mut self) -> Conn<'_> {
        match &mut self.inner {
            TxInner::Sqlite(tx) => Conn::Sqlite(&mut *tx),
            TxInner::Postgres(tx) => Conn::Postgres(&mut *tx),
        }
    }

    /// Which database it runs on.
    pub fn engine(&self) -> Engine {
        match self.inner {
            TxInner::Sqlite(_) => Engine::Sqlite,
            TxInner::Postgres(_) => Engine::Postgres,
        }
    }

    /// Keeps all that was done, then wakes those who wait for the queues it touched.
    ///
    /// # Errors
    /// As the database answers. When the connection was lost the outcome is
    /// [`Recovery::Unknown`](crate::Recovery::Unknown): do the whole transaction again; keys and fences keep it from counting twice.
    pub async fn commit(self) -> Result<()> {
        match self.inner {
            TxInner::Sqlite(tx) => tx.commit().await,
            TxInner::Postgres(tx) => tx.commit().await,
        }
        .map_err(Error::of_commit)?;
        for kept in self.once_kept {
            kept();
        }
        self.hub.ring_all(self.rings);
        Ok(())
    }

    /// Undoes all that was done, and waits until that is so.
    ///
    /// # Errors
    /// As the database answers; nothing is kept in any case.
    pub async fn rollback(self) -> Result<()> {
        match self.inner {
            TxInner::Sqlite(tx) => tx.rollback().await,
            TxInner::Postgres(tx) => tx.rollback().await,
        }?;
        Ok(())
    }

    /// Remembers what to do once this is committed; after a rollback it is not done.
    pub(crate) fn once_kept(&mut self, kept: impl FnOnce() + Send + 'static) {
        self.once_kept.push(Box::new(kept));
    }

    /// Remembers to wake who waits for `queue` once this is committed.
    pub(crate) fn ring(&mut self, queue: &str) {
        if !self.rings.contains(queue) {
            self.rings.insert(queue.to_owned());
        }
    }
}

/// Runs one expression on the connection of a [`Tx`], whichever database it is.
///
/// The expression is compiled once for each database, with `$conn` a `&mut SqliteConnection` or a `&mut PgConnection`;
/// both must give the same type. SQL with `$1`-style parameters runs on both. See [`Database`] for an example.
#[macro_export]
macro_rules! on_tx {
    ($tx:expr, $conn:ident => $body:expr) => {
        match $tx.conn() {
            $crate::Conn::Sqlite($conn) => $body,
            $crate::Conn::Postgres($conn) => $body,
        }
    };
}

/// Runs one expression on the reading pool of a [`Database`], whichever database it is.
///
/// On SQLite these connections cannot write. See [`Database`] for an example.
#[macro_export]
macro_rules! on_pool {
    ($db:expr, $pool:ident => $body:expr) => {
        match $db.pool() {
            $crate::Pool::Sqlite($pool) => $body,
            $crate::Pool::Postgres($pool) => $body,
        }
    };
}

/// An SQLite file as it was when it was opened.
struct OpenFile {
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

/// Makes the file where it is missing, for its owner alone: it will hold people's data. SQLite gives the files beside it
/// the same rights. What cannot be made here SQLite cannot open either, and says why.
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

async fn open_sqlite(url: &str, options: &OpenOptions) -> Result<(Pools, Option<OpenFile>)> {
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
        // Every 16 MiB instead of every 4: fewer pauses for folding the log back into the file.
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

async fn open_postgres(url: &str, options: &OpenOptions) -> Result<Pools> {
    let connect = PgConnectOptions::from_str(url)?
        .application_name("outbox")
        // All here is short and goes by index, and is best planned without much thought: what the planner remembers of a
        // queue is old at once, and a bitmap of all that is due, only to sort it, is its favourite mistake.
        .options([
            ("enable_bitmapscan", "off"),
            ("random_page_cost", "1.1"),
            ("jit", "off"),
            // A node that was frozen in the middle of a transaction must not keep its locks from the others for ever.
            ("idle_in_transaction_session_timeout", "10s"),
        ])
        .statement_cache_capacity(256)
        .disable_statement_logging();
    let connect = if options.read_only {
        connect.options([("default_transaction_read_only", "on")])
    } else {
        connect
    };
    reach(&connect, options.busy_timeout).await?;
    let pool = PgPoolOptions::new()
        // one more: the listener's
        .max_connections(options.max_connections.max(1).saturating_add(1))
        .acquire_timeout(options.busy_timeout)
        .connect_with(connect)
        .await?;
    Ok(Pools::Postgres(pool))
}

/// Connects once, trying again for as long as a connection is waited for: the pool would only tell that none came.
async fn reach(connect: &PgConnectOptions, within: Duration) -> Result<()> {
    const AGAIN_AFTER: Duration = Duration::from_millis(250);
    let mut why = format!("nothing came back within {} s", within.as_secs());
    let reached = tokio::time::timeout(within, async {
        loop {
            match PgConnection::connect_with(connect).await {
                Ok(connection) => return connection.close().await.or(Ok(())),
                Err(sqlx::Error::Io(error)) => why = error.to_string(),
                Err(sqlx::Error::Database(error)) if error.is_transient_in_connect_phase() => {
                    why = error.message().to_owned();
                }
                Err(error) => return Err(error),
            }
            tokio::time::sleep(AGAIN_AFTER).await;
        }
    })
    .await;
    if let Ok(reached) = reached {
        return Ok(reached?);
    }
    Err(Error::new(
        ErrorKind::Unavailable,
        "the database server",
        format!(
            "{}:{} does not answer: {why}; start the server, or correct the address",
            connect.get_host(),
            connect.get_port()
        ),
    ))
}
