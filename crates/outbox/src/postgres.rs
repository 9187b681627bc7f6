//! Connecting to a PostgreSQL server.

use std::str::FromStr as _;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions as _, Connection as _, PgConnection};

use crate::database::{OpenOptions, Pools};
use crate::error::{Error, ErrorKind, Result};

/// Connects to the server.
pub(crate) async fn open(url: &str, options: &OpenOptions) -> Result<Pools> {
    let connect = PgConnectOptions::from_str(url)?
        .application_name("outbox")
        // All statements are short and use an index. The planner's statistics of a queue are always out of date, and
        // would lead it to a bitmap scan of all due jobs followed by a sort.
        .options([
            ("enable_bitmapscan", "off"),
            ("random_page_cost", "1.1"),
            ("jit", "off"),
            // A node that freezes in a transaction must not hold its locks forever.
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
    let pool = |connections| {
        PgPoolOptions::new()
            .max_connections(connections)
            .acquire_timeout(options.busy_timeout)
    };
    Ok(Pools::Postgres {
        ahead: pool(1).connect_lazy_with(connect.clone()),
        // one more for the listener
        pool: pool(options.max_connections.max(1).saturating_add(1))
            .connect_with(connect)
            .await?,
    })
}

/// Connects once, retrying until the timeout: the pool itself would only report that it timed out.
async fn reach(connect: &PgConnectOptions, within: Duration) -> Result<()> {
    const RETRY_DELAY: Duration = Duration::from_millis(250);
    let mut reason = format!("no response within {} s", within.as_secs());
    let reached = tokio::time::timeout(within, async {
        loop {
            match PgConnection::connect_with(connect).await {
                Ok(connection) => return connection.close().await.or(Ok(())),
                Err(sqlx::Error::Io(error)) => reason = error.to_string(),
                Err(sqlx::Error::Database(error)) if error.is_transient_in_connect_phase() => {
                    reason = error.message().to_owned();
                }
                Err(error) => return Err(error),
            }
            tokio::time::sleep(RETRY_DELAY).await;
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
            "{}:{} does not answer: {reason}; start the server, or correct the address",
            connect.get_host(),
            connect.get_port()
        ),
    ))
}
