//! The request budget of each token, shared by all nodes of a database.

use std::time::Duration;

use outbox::{Sql, on_tx};

use super::Store;

/// Uses the database's clock, because the nodes' clocks may differ. `$1` token key, `$2` cost, `$3` how much may be spent
/// ahead, all in ms.
static TAKE: Sql = Sql::new(
    "INSERT INTO markback_budget (lane, next_ms) VALUES ($1, {clock} + $2) \
     ON CONFLICT (lane) DO UPDATE SET next_ms = {greatest}(markback_budget.next_ms, {clock} - $3) + $2 \
     RETURNING next_ms - $2 - {clock}",
);

impl Store {
    /// Takes a slice of a token's budget. Returns how long to wait before spending it; earlier takers come first.
    ///
    /// # Errors
    /// Returns an error if the database query fails.
    pub(crate) async fn take_requests(
        &self,
        token_key: &str,
        cost: Duration,
        ahead: Duration,
    ) -> outbox::Result<Duration> {
        let ms = |length: Duration| i64::try_from(length.as_millis()).unwrap_or(i64::MAX / 4);
        let mut tx = self.db.begin().await?;
        let text = TAKE.on(tx.engine());
        let wait: i64 = on_tx!(tx, conn => {
            sqlx::query_scalar(text)
                .bind(token_key)
                .bind(ms(cost))
                .bind(ms(ahead))
                .fetch_one(conn)
                .await
        })?;
        tx.commit().await?;
        Ok(Duration::from_millis(u64::try_from(wait).unwrap_or(0)))
    }
}
