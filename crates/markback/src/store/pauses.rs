//! Pauses of schools and tokens, and those that the next start ends because an operator may have fixed the cause.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use outbox::{PauseUntil, Tx, on_tx};

use super::Store;

const REMEMBER: &str = "INSERT INTO markback_operator_pauses (lane, why) VALUES ($1, $2) \
     ON CONFLICT (lane) DO UPDATE SET why = excluded.why";

const TAKE_ONE: &str = "DELETE FROM markback_operator_pauses WHERE lane = $1";

const TAKE: &str = "DELETE FROM markback_operator_pauses RETURNING lane, why";

impl Store {
    /// Pauses a school or a token. If only an operator can fix the cause, the next start ends the pause.
    ///
    /// # Errors
    /// Returns an error if the database query fails.
    pub async fn pause(
        &self,
        tx: &mut Tx,
        key: &str,
        length: Duration,
        why: &str,
        needs_operator: bool,
    ) -> outbox::Result<()> {
        if needs_operator {
            on_tx!(tx, conn => {
                sqlx::query(REMEMBER).bind(key).bind(why).execute(conn).await.map(|_| ())
            })?;
        }
        let length_of_pause = TimeDelta::from_std(length).unwrap_or(TimeDelta::MAX);
        let until = self.now().checked_add_signed(length_of_pause);
        self.publish_pause(tx, key, until.unwrap_or(DateTime::<Utc>::MAX_UTC), why)
            .await?;
        self.outbox
            .pause(tx, key, PauseUntil::For(length), why)
            .await
    }

    /// Ends a pause of a school or a token.
    ///
    /// # Errors
    /// Returns an error if the database query fails.
    pub async fn end_pause(&self, tx: &mut Tx, key: &str) -> outbox::Result<()> {
        self.publish_end_of_pause(tx, key).await?;
        self.outbox.resume(tx, key).await
    }

    /// Ends these pauses, by key.
    ///
    /// # Errors
    /// Returns an error if the database query fails.
    pub async fn end_pauses(&self, keys: &[String]) -> outbox::Result<()> {
        let mut tx = self.db.begin().await?;
        for key in keys {
            self.end_pause(&mut tx, key).await?;
        }
        tx.commit().await
    }

    /// Ends the pauses of these keys that only an operator could end, because the settings have changed.
    ///
    /// # Errors
    /// Returns an error if the database query fails.
    pub(crate) async fn end_operator_pauses_of(&self, keys: &[String]) -> outbox::Result<()> {
        let paused: Vec<_> = self.outbox.pauses().await?;
        if !paused.iter().any(|pause| keys.contains(&pause.key)) {
            return Ok(());
        }
        let mut tx = self.db.begin().await?;
        for key in keys {
            let taken = on_tx!(tx, conn => {
                sqlx::query(TAKE_ONE).bind(key).execute(conn).await.map(|done| done.rows_affected())
            })?;
            if taken > 0 {
                self.end_pause(&mut tx, key).await?;
            }
        }
        tx.commit().await
    }

    /// Ends the pauses whose cause an operator may have fixed before this start, and returns their keys. If the cause
    /// remains, the first request pauses it again. Pauses for other reasons, such as a rate limit, stay.
    ///
    /// # Errors
    /// Returns an error if the database query fails.
    pub(crate) async fn end_operator_pauses(&self) -> outbox::Result<Vec<String>> {
        let in_force = self.outbox.pauses().await?;
        let mut tx = self.db.begin().await?;
        let remembered: Vec<(String, String)> =
            on_tx!(tx, conn => sqlx::query_as(TAKE).fetch_all(conn).await)?;
        let mut ended = Vec::new();
        for (key, why) in remembered {
            if in_force
                .iter()
                .any(|pause| pause.key == key && pause.reason == why)
            {
                self.end_pause(&mut tx, &key).await?;
                ended.push(key);
            }
        }
        tx.commit().await?;
        Ok(ended)
    }
}
