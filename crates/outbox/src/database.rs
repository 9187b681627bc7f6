//! The database, SQLite or PostgreSQL: opening, transactions, and running one SQL text on either.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

#[cfg(feature = "postgres")]
use sqlx::{PgConnection, PgPool};
#[cfg(feature = "sqlite")]
use sqlx::{SqliteConnection, SqlitePool};

use crate::error::{Error, ErrorKind, Result};
use crate::wake::Hub;

/// Connection options. The defaults suit a service on one machine.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct OpenOptions {
    /// The maximum number of connections: on PostgreSQL besides one that listens for notifications and one for
    /// [`Database::begin_ahead`], on SQLite read-only connections besides the one that writes.
    pub max_connections: u32,
    /// How long to wait for a free connection, or for another process that writes to the SQLite file, before
    /// returning [`ErrorKind::Busy`].
    pub busy_timeout: Duration,
    /// Opens the database read-only and does not create it.
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

impl OpenOptions {
    /// Sets the maximum number of connections.
    pub fn max_connections(mut self, connections: u32) -> Self {
        self.max_connections = connections;
        self
    }

    /// Sets how long to wait for a free connection or another writer.
    pub fn busy_timeout(mut self, timeout: Duration) -> Self {
        self.busy_timeout = timeout;
        self
    }

    /// Opens the database read-only and does not create it.
    pub fn read_only(mut self) -> Self {
        self.read_only = true;
        self
    }
}

/// An open database: an SQLite file or a PostgreSQL server. Cheap to clone.
///
/// [`Database::open`] runs SQLite with a write-ahead log, `synchronous = FULL`, foreign keys, one writing connection and
/// several read-only ones. Its PostgreSQL connections plan without bitmap scans and just-in-time compilation, which suits
/// short statements that use an index. [`Database::from_pool`] takes a pool that the host already has.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> outbox::Result<()> {
/// use outbox::{Database, on_pool, on_tx, sqlx};
///
/// let db = Database::open("sqlite::memory:").await?;
/// let mut tx = db.begin().await?;
/// on_tx!(tx, conn => {
///     sqlx::raw_sql("CREATE TABLE events (id TEXT PRIMARY KEY, at BIGINT NOT NULL)").execute(&mut *conn).await?;
///     sqlx::query("INSERT INTO events (id, at) VALUES ($1, $2)").bind("e1").bind(17_i64).execute(conn).await?;
/// });
/// tx.commit().await?;
/// let events: i64 = on_pool!(db, pool => {
///     sqlx::query_scalar("SELECT count(*) FROM events").fetch_one(pool).await
/// })?;
/// assert_eq!(events, 1);
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Database {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) pools: Pools,
    #[cfg(feature = "sqlite")]
    file: Option<crate::sqlite::OpenFile>,
    /// Where the transactions of [`Database::begin`] wait for SQLite's writing connection, so that only one of them stands
    /// before the next one of [`Database::begin_ahead`].
    #[cfg(feature = "sqlite")]
    turns: tokio::sync::Mutex<()>,
    pub(crate) hub: Arc<Hub>,
}

pub(crate) enum Pools {
    #[cfg(feature = "sqlite")]
    Sqlite {
        writer: SqlitePool,
        readers: SqlitePool,
    },
    #[cfg(feature = "postgres")]
    Postgres {
        pool: PgPool,
        /// For [`Database::begin_ahead`].
        ahead: PgPool,
    },
}

/// A pool of the host, for [`Database::from_pool`].
#[allow(missing_docs, reason = "the variants name the databases")]
#[non_exhaustive]
pub enum HostPool {
    #[cfg(feature = "sqlite")]
    Sqlite(SqlitePool),
    #[cfg(feature = "postgres")]
    Postgres(PgPool),
}

#[cfg(feature = "sqlite")]
impl From<SqlitePool> for HostPool {
    fn from(pool: SqlitePool) -> Self {
        Self::Sqlite(pool)
    }
}

#[cfg(feature = "postgres")]
impl From<PgPool> for HostPool {
    fn from(pool: PgPool) -> Self {
        Self::Postgres(pool)
    }
}

/// The kind of database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
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
    /// Opens `sqlite:///absolute/path.db`, `sqlite:relative.db` (both are created if missing, unless the URL has
    /// `?mode=rw`), `sqlite::memory:` (for tests: all calls share one connection) or `postgres://user:password@host/name`.
    ///
    /// # Errors
    /// Returns [`ErrorKind::Config`] if the URL has another form or the driver rejects it; the error does not show the
    /// URL, which may contain a password. Otherwise returns an error if the database cannot be opened.
    pub async fn open(url: &str) -> Result<Self> {
        Self::open_with(url, &OpenOptions::default()).await
    }

    /// Like [`Database::open`], with options.
    ///
    /// # Errors
    /// As for [`Database::open`].
    pub async fn open_with(url: &str, options: &OpenOptions) -> Result<Self> {
        let scheme = url.split_once(':').map(|(scheme, _)| scheme);
        let opened = match scheme {
            #[cfg(feature = "sqlite")]
            Some("sqlite") => crate::sqlite::open(url, options)
                .await
                .map(|(pools, file)| Self::new(pools, file)),
            #[cfg(feature = "postgres")]
            Some("postgres" | "postgresql") => crate::postgres::open(url, options)
                .await
                .map(Self::of_pools),
            #[cfg(not(feature = "sqlite"))]
            Some("sqlite") => Err(unsupported()),
            #[cfg(not(feature = "postgres"))]
            Some("postgres" | "postgresql") => Err(unsupported()),
            _ => {
                let problem = match scheme {
                    Some(scheme) if scheme.chars().all(|c| c.is_ascii_alphanumeric()) => {
                        format!("unknown scheme \"{scheme}\"")
                    }
                    _ => "there is no scheme".to_owned(),
                };
                return Err(Error::new(
                    ErrorKind::Config,
                    "the store's URL",
                    format!("{problem}; write sqlite:///path/file.db or postgres://user@host/name"),
                ));
            }
        };
        opened.map_err(|error| error.during("opening the store"))
    }

    /// Uses a pool of the host.
    ///
    /// An SQLite pool must allow at least one connection and should set a busy timeout: [`Database::begin`] starts
    /// `BEGIN IMMEDIATE` transactions on it. A PostgreSQL pool needs one connection more than the host uses, to listen
    /// for notifications. Must be called within a Tokio runtime.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> outbox::Result<()> {
    /// use outbox::{Database, sqlx::sqlite::SqlitePoolOptions};
    ///
    /// let pool = SqlitePoolOptions::new().max_connections(1).connect("sqlite::memory:").await?;
    /// let db = Database::from_pool(pool);
    /// db.begin().await?.commit().await?;
    /// # Ok(()) }
    /// ```
    pub fn from_pool(pool: impl Into<HostPool>) -> Self {
        let pools = match pool.into() {
            #[cfg(feature = "sqlite")]
            HostPool::Sqlite(pool) => Pools::Sqlite {
                writer: pool.clone(),
                readers: pool,
            },
            #[cfg(feature = "postgres")]
            HostPool::Postgres(pool) => Pools::Postgres {
                ahead: pool.clone(),
                pool,
            },
        };
        Self::of_pools(pools)
    }

    fn of_pools(pools: Pools) -> Self {
        Self::new(
            pools,
            #[cfg(feature = "sqlite")]
            None,
        )
    }

    fn new(pools: Pools, #[cfg(feature = "sqlite")] file: Option<crate::sqlite::OpenFile>) -> Self {
        let hub = Hub::start(&pools);
        Self {
            inner: Arc::new(Inner {
                pools,
                #[cfg(feature = "sqlite")]
                file,
                #[cfg(feature = "sqlite")]
                turns: tokio::sync::Mutex::default(),
                hub,
            }),
        }
    }

    /// The kind of database.
    pub fn engine(&self) -> Engine {
        match self.inner.pools {
            #[cfg(feature = "sqlite")]
            Pools::Sqlite { .. } => Engine::Sqlite,
            #[cfg(feature = "postgres")]
            Pools::Postgres { .. } => Engine::Postgres,
        }
    }

    /// Checks that the opened SQLite file is still the one at its path. A file that was removed or replaced can still be
    /// used for a while, but what is written to it is lost.
    ///
    /// # Errors
    /// Returns [`ErrorKind::Unavailable`] if it is not.
    pub fn check_file(&self) -> Result<()> {
        #[cfg(feature = "sqlite")]
        if let Some(file) = &self.inner.file {
            return file.check();
        }
        Ok(())
    }

    /// Begins a transaction: `BEGIN IMMEDIATE` on the single writer of SQLite, `READ COMMITTED` on PostgreSQL, on which
    /// the order of job ids depends.
    ///
    /// On SQLite all other writers wait until it ends, so keep it short.
    ///
    /// # Errors
    /// Returns [`ErrorKind::Busy`] if no connection became free in time or the file is locked.
    pub async fn begin(&self) -> Result<Tx> {
        match &self.inner.pools {
            #[cfg(feature = "sqlite")]
            Pools::Sqlite { writer, .. } => {
                let patience = writer.options().get_acquire_timeout();
                let turn = tokio::time::timeout(patience, self.inner.turns.lock()).await;
                let _turn = turn.map_err(|_| {
                    Error::new(
                        ErrorKind::Busy,
                        "beginning a transaction",
                        "other transactions kept the writing connection for too long; try again",
                    )
                })?;
                self.begin_ahead().await
            }
            #[cfg(feature = "postgres")]
            Pools::Postgres { pool, .. } => self.begin_on_postgres(pool).await,
        }
    }

    /// Like [`Database::begin`], but ahead of the transactions that wait there: for short ones that somebody waits for.
    ///
    /// At most one of the others begins first on SQLite. On PostgreSQL one connection is kept for this, unless the pool is
    /// the host's.
    ///
    /// # Errors
    /// As for [`Database::begin`].
    pub async fn begin_ahead(&self) -> Result<Tx> {
        match &self.inner.pools {
            #[cfg(feature = "sqlite")]
            Pools::Sqlite { writer, .. } => {
                let transaction = writer.begin_with("BEGIN IMMEDIATE").await?;
                Ok(self.use_transaction(transaction))
            }
            #[cfg(feature = "postgres")]
            Pools::Postgres { ahead, .. } => self.begin_on_postgres(ahead).await,
        }
    }

    #[cfg(feature = "postgres")]
    async fn begin_on_postgres(&self, pool: &PgPool) -> Result<Tx> {
        let begin = pool.begin_with("BEGIN ISOLATION LEVEL READ COMMITTED");
        Ok(self.use_transaction(begin.await?))
    }

    /// Uses a transaction that the host has begun on this database. Commit it with [`Tx::commit`], which also wakes the
    /// workers. On PostgreSQL its isolation level must be `READ COMMITTED`.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> outbox::Result<()> {
    /// use outbox::{Database, sqlx::sqlite::SqlitePoolOptions};
    ///
    /// let pool = SqlitePoolOptions::new().max_connections(1).connect("sqlite::memory:").await?;
    /// let db = Database::from_pool(pool.clone());
    /// let mut tx = db.use_transaction(pool.begin().await?);
    /// // the host's statements and `outbox.enqueue(&mut tx, ...)`
    /// tx.commit().await?;
    /// # Ok(()) }
    /// ```
    pub fn use_transaction(&self, transaction: impl Into<HostTransaction>) -> Tx {
        Tx {
            inner: transaction.into(),
            hub: Arc::clone(&self.inner.hub),
            queues_to_wake: BTreeSet::new(),
            after_commit: Vec::new(),
        }
    }

    /// The pool for reading outside a transaction. [`on_pool!`](crate::on_pool) is more convenient.
    pub fn pool(&self) -> Pool<'_> {
        match &self.inner.pools {
            #[cfg(feature = "sqlite")]
            Pools::Sqlite { readers, .. } => Pool::Sqlite(readers),
            #[cfg(feature = "postgres")]
            Pools::Postgres { pool, .. } => Pool::Postgres(pool),
        }
    }

    /// Closes all connections after waiting for those in use.
    pub async fn close(&self) {
        self.inner.hub.stop();
        match &self.inner.pools {
            #[cfg(feature = "sqlite")]
            Pools::Sqlite { writer, readers } => {
                // Readers first: the last connection to close checkpoints the log.
                readers.close().await;
                writer.close().await;
            }
            #[cfg(feature = "postgres")]
            Pools::Postgres { pool, ahead } => {
                ahead.close().await;
                pool.close().await;
            }
        }
    }
}

#[cfg(not(all(feature = "sqlite", feature = "postgres")))]
fn unsupported() -> Error {
    Error::new(
        ErrorKind::Config,
        "the store's URL",
        "this program was built without support for that database",
    )
}

/// A pool of one of the two databases, for reading.
#[derive(Debug, Clone, Copy)]
#[allow(missing_docs, reason = "the variants name the databases")]
pub enum Pool<'a> {
    #[cfg(feature = "sqlite")]
    Sqlite(&'a SqlitePool),
    #[cfg(feature = "postgres")]
    Postgres(&'a PgPool),
}

/// The connection of a transaction.
#[derive(Debug)]
#[allow(missing_docs, reason = "the variants name the databases")]
pub enum Conn<'a> {
    #[cfg(feature = "sqlite")]
    Sqlite(&'a mut SqliteConnection),
    #[cfg(feature = "postgres")]
    Postgres(&'a mut PgConnection),
}

/// A transaction in which a host runs its own SQL beside the queue's. Dropping it without [`Tx::commit`] rolls it back.
#[must_use = "a transaction that is not committed is rolled back"]
pub struct Tx {
    inner: HostTransaction,
    hub: Arc<Hub>,
    queues_to_wake: BTreeSet<String>,
    after_commit: Vec<Box<dyn FnOnce() + Send>>,
}

/// A transaction of the host, for [`Database::use_transaction`].
#[allow(missing_docs, reason = "the variants name the databases")]
#[non_exhaustive]
pub enum HostTransaction {
    #[cfg(feature = "sqlite")]
    Sqlite(sqlx::Transaction<'static, sqlx::Sqlite>),
    #[cfg(feature = "postgres")]
    Postgres(sqlx::Transaction<'static, sqlx::Postgres>),
}

#[cfg(feature = "sqlite")]
impl From<sqlx::Transaction<'static, sqlx::Sqlite>> for HostTransaction {
    fn from(transaction: sqlx::Transaction<'static, sqlx::Sqlite>) -> Self {
        Self::Sqlite(transaction)
    }
}

#[cfg(feature = "postgres")]
impl From<sqlx::Transaction<'static, sqlx::Postgres>> for HostTransaction {
    fn from(transaction: sqlx::Transaction<'static, sqlx::Postgres>) -> Self {
        Self::Postgres(transaction)
    }
}

/// Runs one expression on the transaction, whichever database it is.
macro_rules! on_transaction {
    ($of:expr, $tx:ident => $body:expr) => {
        match $of {
            #[cfg(feature = "sqlite")]
            HostTransaction::Sqlite($tx) => $body,
            #[cfg(feature = "postgres")]
            HostTransaction::Postgres($tx) => $body,
        }
    };
}

impl fmt::Debug for Tx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tx").finish_non_exhaustive()
    }
}

impl Tx {
    /// The connection. [`on_tx!`](crate::on_tx) is more convenient.
    pub fn conn(&mut self) -> Conn<'_> {
        match &mut self.inner {
            #[cfg(feature = "sqlite")]
            HostTransaction::Sqlite(tx) => Conn::Sqlite(&mut *tx),
            #[cfg(feature = "postgres")]
            HostTransaction::Postgres(tx) => Conn::Postgres(&mut *tx),
        }
    }

    /// The kind of database.
    pub fn engine(&self) -> Engine {
        match self.inner {
            #[cfg(feature = "sqlite")]
            HostTransaction::Sqlite(_) => Engine::Sqlite,
            #[cfg(feature = "postgres")]
            HostTransaction::Postgres(_) => Engine::Postgres,
        }
    }

    /// Commits, then wakes the workers of the queues it changed.
    ///
    /// # Errors
    /// Returns an error if the commit fails. If the connection was lost, the recovery is
    /// [`Recovery::Unknown`](crate::Recovery::Unknown): repeat the whole transaction; keys and fences prevent it from
    /// taking effect twice.
    pub async fn commit(self) -> Result<()> {
        on_transaction!(self.inner, tx => tx.commit().await).map_err(Error::of_commit)?;
        for action in self.after_commit {
            action();
        }
        self.hub.wake_all(self.queues_to_wake);
        Ok(())
    }

    /// Rolls back and waits until that is done.
    ///
    /// # Errors
    /// Returns an error if the connection fails; nothing is kept in any case.
    pub async fn rollback(self) -> Result<()> {
        Ok(on_transaction!(self.inner, tx => tx.rollback().await)?)
    }

    /// Runs `action` after the commit, and not at all after a rollback.
    pub(crate) fn after_commit(&mut self, action: impl FnOnce() + Send + 'static) {
        self.after_commit.push(Box::new(action));
    }

    /// Wakes the workers of `queue` after the commit.
    pub(crate) fn wake(&mut self, queue: &str) {
        if !self.queues_to_wake.contains(queue) {
            self.queues_to_wake.insert(queue.to_owned());
        }
    }
}

/// Defines [`on_tx!`] and [`on_pool!`] for the enabled databases: a `cfg` inside them would ask for the features of the
/// host's crate.
macro_rules! define_macros {
    ($dollar:tt $($engine:ident),+) => {
        /// Runs one expression on the connection of a [`Tx`](crate::Tx), whichever database it is.
        ///
        /// The expression is compiled once for each database, with `$conn` a `&mut SqliteConnection` or a
        /// `&mut PgConnection`; both must have the same type. SQL with `$1`-style parameters runs on both. See
        /// [`Database`](crate::Database) for an example.
        #[macro_export]
        macro_rules! on_tx {
            ($dollar tx:expr, $dollar conn:ident => $dollar body:expr) => {
                match $dollar tx.conn() {
                    $($crate::Conn::$engine($dollar conn) => $dollar body,)+
                }
            };
        }

        /// Runs one expression on the reading pool of a [`Database`](crate::Database), whichever database it is.
        ///
        /// On SQLite these connections cannot write. See [`Database`](crate::Database) for an example.
        #[macro_export]
        macro_rules! on_pool {
            ($dollar db:expr, $dollar pool:ident => $dollar body:expr) => {
                match $dollar db.pool() {
                    $($crate::Pool::$engine($dollar pool) => $dollar body,)+
                }
            };
        }
    };
}

#[cfg(all(feature = "sqlite", feature = "postgres"))]
define_macros!($ Sqlite, Postgres);
#[cfg(all(feature = "sqlite", not(feature = "postgres")))]
define_macros!($ Sqlite);
#[cfg(all(feature = "postgres", not(feature = "sqlite")))]
define_macros!($ Postgres);
