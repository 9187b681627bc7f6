//! Schools without scheduled syncs until a date, as in the holidays.

use chrono::{DateTime, Utc};
use mis_core::SchoolId;
use outbox::{on_pool, on_tx};

use crate::store::Store;

const PUT: &str = "INSERT INTO markback_roster_pauses (school, until_ms) VALUES ($1, $2) \
     ON CONFLICT (school) DO UPDATE SET until_ms = excluded.until_ms";
const DROP: &str = "DELETE FROM markback_roster_pauses WHERE school = $1";
const ALL: &str = "SELECT school, until_ms FROM markback_roster_pauses WHERE until_ms > $1";

impl Store {
    /// Pauses a school's syncs until then; resumes them without a time.
    ///
    /// # Errors
    /// Returns an error if the database query fails.
    pub async fn pause_syncs(
        &self,
        school: &SchoolId,
        until: Option<DateTime<Utc>>,
    ) -> outbox::Result<()> {
        let mut tx = self.db.begin().await?;
        let (id, until) = (school.as_str(), until.map(|until| until.timestamp_millis()));
        match until {
            Some(until) => {
                on_tx!(tx, conn => sqlx::query(PUT).bind(id).bind(until).execute(conn).await.map(|_| ()))?;
            }
            None => {
                on_tx!(tx, conn => sqlx::query(DROP).bind(id).execute(conn).await.map(|_| ()))?;
            }
        }
        tx.commit().await
    }

    /// The schools whose syncs are paused now, and until when.
    ///
    /// # Errors
    /// Returns an error if the database query fails.
    pub async fn paused_syncs(&self) -> outbox::Result<Vec<(SchoolId, DateTime<Utc>)>> {
        let now = self.now_ms();
        let found: Vec<(String, i64)> =
            on_pool!(self.db, pool => sqlx::query_as(ALL).bind(now).fetch_all(pool).await)?;
        Ok(found
            .into_iter()
            .filter_map(|(school, until)| {
                Some((
                    SchoolId::from(school),
                    DateTime::from_timestamp_millis(until)?,
                ))
            })
            .collect())
    }
}
