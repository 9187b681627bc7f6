//! Pauses of schools and tokens, and which of them the next start ends because an operator may have removed the cause.

use std::time::Duration;

use outbox::{PauseUntil, Tx, on_tx};

use super::Store;

const REMEMBER: &str = "INSERT INTO markback_operator_pauses (lane, why) VALUES ($1, $2) \
     ON CONFLICT (lane) DO UPDATE SET why = excluded.why";

const TAKE: &str = "DELETE FROM markback_operator_pauses RETURNING lane, why";

impl Store {
    /// Pauses a lane. Where only an operator can remove the cause, the next start ends the pause.
    ///
    /// # Errors
    /// As the database answers.
    pub async fn pause(
        &self,
        tx: &mut Tx,
        lane: &str,
        length: Duration,
        why: &str,
        needs_operator: bool,
    ) -> outbox::Result<()> {
        if needs_operator {
            on_tx!(tx, conn => {
                sqlx::query(REMEMBER).bind(lane).bind(why).execute(conn).await.map(|_| ())
            })?;
        }
        self.outbox
            .pause(tx, lane, PauseUntil::For(length), why)
            .await
    }

    /// Ends the pauses of these lanes at once.
    ///
    /// # Errors
    /// As the database answers.
    pub async fn end_pauses(&self, lanes: &[String]) -> outbox::Result<()> {
        let mut tx = self.db.begin().await?;
        for lane in lanes {
            self.outbox.resume(&mut tx, lane).await?;
        }
        tx.commit().await
    }

    /// Ends the pauses whose cause an operator may have removed before this start, and answers their lanes. If the cause
    /// is still there, the first request makes a new pause. One that is in force for another reason, such as a rate limit, stays.
    ///
    /// # Errors
    /// As the database answers.
    pub(crate) async fn end_operator_pauses(&self) -> outbox::Result<Vec<String>> {
        let in_force = self.outbox.pauses().await?;
        let mut tx = self.db.begin().await?;
        let remembered: Vec<(String, String)> =
            on_tx!(tx, conn => sqlx::query_as(TAKE).fetch_all(conn).await)?;
        let mut ended = Vec::new();
        for (lane, why) in remembered {
            if in_force
                .iter()
                .any(|pause| pause.key == lane && pause.reason == why)
            {
                self.outbox.resume(&mut tx, &lane).await?;
                ended.push(lane);
            }
        }
        tx.commit().await?;
        Ok(ended)
    }
}
