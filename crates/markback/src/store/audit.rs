//! The audit trail of events. Lines are only added.

use chrono::{DateTime, Utc};
use outbox::{Database, Sql, Tx, on_pool};
use serde::Serialize;
use serde_json::Value;

use super::Store;

/// A line of the trail. Holds a pupil's data: for authorised readers, never for a log.
#[derive(Clone, Serialize, schemars::JsonSchema)]
#[non_exhaustive]
pub struct AuditRecord {
    /// When.
    pub at: Option<DateTime<Utc>>,
    /// The action: `planned`, `accepted`, `refused`, `confirmed` ...
    pub what: String,
    /// Its details, in the form of [`AuditDetails`](crate::forms::AuditDetails).
    #[schemars(with = "crate::forms::AuditDetails")]
    pub record: Value,
}

/// A line to add.
#[derive(Clone, Debug)]
pub(crate) struct NewAudit {
    pub(crate) school: String,
    pub(crate) event: String,
    pub(crate) what: &'static str,
    pub(crate) record: Value,
}

static INSERT: Sql = Sql::new(
    "INSERT INTO markback_audit (school, event, at_ms, what, record) \
     SELECT r.school, r.event, $2, r.what, r.record \
     FROM {rows $1: school text, event text, what text, record text} r",
);

pub(super) const OF_EVENT: &str = "SELECT at_ms, what, record FROM markback_audit WHERE school = $1 AND event = $2 ORDER BY at_ms";

impl Store {
    /// Adds lines to the trail.
    pub(crate) async fn audit(&self, tx: &mut Tx, lines: &[NewAudit]) -> outbox::Result<()> {
        let table: Vec<_> = lines
            .iter()
            .map(|line| {
                (
                    &line.school,
                    &line.event,
                    line.what,
                    line.record.to_string(),
                )
            })
            .collect();
        self.write_rows(tx, &INSERT, &table).await
    }
}

pub(super) async fn of_event(
    db: &Database,
    school: &str,
    event: &str,
) -> outbox::Result<Vec<AuditRecord>> {
    let lines: Vec<(i64, String, String)> = on_pool!(db, pool => {
        sqlx::query_as(OF_EVENT).bind(school).bind(event).fetch_all(pool).await
    })?;
    Ok(lines
        .into_iter()
        .map(|(at_ms, what, record)| AuditRecord {
            at: DateTime::from_timestamp_millis(at_ms),
            what,
            record: serde_json::from_str(&record).unwrap_or_default(),
        })
        .collect())
}
