//! The nodes that share a database, so that each works on its own schools first.

use std::time::Duration;

use outbox::{Shard, Sql, on_tx};

use super::Store;

/// A node that has not announced itself for this long has no share. Its jobs are stolen sooner than that.
const GONE_AFTER: Duration = Duration::from_secs(7);

/// Uses the database's clock, because the nodes' clocks may differ.
static SEEN: Sql = Sql::new(
    "INSERT INTO markback_nodes (node, seen_ms) \
     VALUES ($1, {clock}) \
     ON CONFLICT (node) DO UPDATE SET seen_ms = excluded.seen_ms",
);

static FORGET: Sql = Sql::new(
    "DELETE FROM markback_nodes \
     WHERE node = $1 OR seen_ms < {clock} - $2",
);

const NODES: &str = "SELECT node FROM markback_nodes ORDER BY node";

impl Store {
    /// Announces this node and returns its share of the schools among all nodes.
    ///
    /// # Errors
    /// Returns an error if the database query fails.
    pub(crate) async fn share_of(&self, node: &str) -> outbox::Result<Shard> {
        self.forget_nodes("").await?;
        let mut tx = self.db.begin().await?;
        let text = SEEN.on(tx.engine());
        on_tx!(tx, conn => sqlx::query(text).bind(node).execute(conn).await.map(|_| ()))?;
        let nodes: Vec<String> =
            on_tx!(tx, conn => sqlx::query_scalar(NODES).fetch_all(conn).await)?;
        tx.commit().await?;
        let place = nodes.iter().position(|other| other == node);
        Ok(place.map_or(Shard::ALL, |place| Shard {
            count: u32::try_from(nodes.len()).unwrap_or(1),
            index: u32::try_from(place).unwrap_or(0),
        }))
    }

    /// Removes this node and those that have disappeared.
    ///
    /// # Errors
    /// Returns an error if the database query fails.
    pub(crate) async fn forget_nodes(&self, node: &str) -> outbox::Result<()> {
        let gone = i64::try_from(GONE_AFTER.as_millis()).unwrap_or(i64::MAX);
        let mut tx = self.db.begin().await?;
        let text = FORGET.on(tx.engine());
        on_tx!(tx, conn => sqlx::query(text).bind(node).bind(gone).execute(conn).await.map(|_| ()))?;
        tx.commit().await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use outbox::SystemClock;

    use super::*;

    #[tokio::test]
    async fn nodes_share_and_one_that_leaves_has_no_part() {
        let settings = outbox::Settings::default();
        let store = Store::open("sqlite::memory:", settings, Arc::new(SystemClock))
            .await
            .unwrap();
        let share = |count, index| Shard { count, index };
        assert_eq!(store.share_of("b").await.unwrap(), share(1, 0));
        assert_eq!(store.share_of("a").await.unwrap(), share(2, 0));
        assert_eq!(store.share_of("b").await.unwrap(), share(2, 1));
        store.forget_nodes("a").await.unwrap();
        assert_eq!(store.share_of("b").await.unwrap(), share(1, 0));
        let mut tx = store.db.begin().await.unwrap();
        on_tx!(tx, conn => {
            sqlx::query("INSERT INTO markback_nodes VALUES ('dead', 5)").execute(conn).await.map(|_| ())
        })
        .unwrap();
        tx.commit().await.unwrap();
        assert_eq!(store.share_of("b").await.unwrap(), share(1, 0));
    }
}
