//! The audit log's rows. Triggers forbid to change them, and to remove them before the horizon that pruning has raised.

use std::time::Duration;

use chrono::{DateTime, TimeDelta};
use outbox::{MigrationStep, Migrations, Sql, Tx, on_pool, on_tx};

use super::{Store, rows};
use crate::{
    audit_log::{AuditEntry, AuditFilter, NewAuditEntry},
    store::row::row,
};

/// The tables of the audit log.
pub(super) const MIGRATIONS: Migrations = Migrations {
    prefix: "markback_audit_log",
    steps: &[MigrationStep {
        version: 1,
        name: "entries, append-only",
        sqlite: include_str!("../../migrations/audit_log/0001_entries.sqlite.sql"),
        postgres: include_str!("../../migrations/audit_log/0001_entries.postgres.sql"),
    }],
};

/// Rows written by one statement.
const AT_ONCE: usize = 2_000;

static INSERT: Sql = Sql::new(
    "INSERT INTO markback_audit_log_entries \
         (at_ms, kind, action, school, subject, amount, key_id, caller, via) \
     SELECT r.at_ms, r.kind, r.action, r.school, r.subject, r.amount, r.key_id, r.caller, r.via \
     FROM {rows $1: at_ms int, kind text, action text, school text, subject text, amount int, key_id text, caller text, \
         via text} r",
);

macro_rules! entries {
    ($condition:literal) => {
        Sql::new(concat!(
            "SELECT * FROM markback_audit_log_entries e WHERE ",
            $condition,
            " AND e.seq < $2 AND e.at_ms >= $3 \
              AND (CAST($4 AS TEXT) IS NULL OR e.key_id = $4 OR e.caller = $4) \
             ORDER BY e.seq DESC LIMIT $5"
        ))
    };
}

static OF_ALL: Sql = entries!("CAST($1 AS TEXT) IS NULL");
pub(super) static OF_SCHOOLS: Sql = entries!("e.school IN (SELECT r.id FROM {rows $1: id text} r)");

const RAISE: &str =
    "UPDATE markback_audit_log_horizon SET before_ms = $1 WHERE one = 1 AND before_ms < $1";

/// The entries before the horizon, which the triggers leave to pruning.
pub(super) static PAST: Sql = Sql::new(
    "DELETE FROM markback_audit_log_entries WHERE {rowid IN (|ctid = ANY(ARRAY(}SELECT {rowid|ctid} \
     FROM markback_audit_log_entries WHERE at_ms < $1 ORDER BY at_ms LIMIT $2{)|))}",
);

row! {
    struct EntryRow {
        seq: i64,
        at_ms: i64,
        kind: String,
        action: String,
        school: Option<String>,
        subject: Option<String>,
        amount: Option<i64>,
        key_id: Option<String>,
        caller: Option<String>,
        via: String,
    }
}

impl Store {
    /// Adds entries to the audit log within a transaction.
    pub(crate) async fn record_in(
        &self,
        tx: &mut Tx,
        entries: &[NewAuditEntry],
    ) -> outbox::Result<()> {
        let now = self.now_ms();
        self.insert_entries(tx, entries.iter().map(|entry| (now, entry)))
            .await
    }

    /// Adds entries to the audit log.
    ///
    /// # Errors
    /// Returns an error if the database query fails.
    pub async fn record(&self, entries: &[NewAuditEntry]) -> outbox::Result<()> {
        let mut tx = self.db.begin().await?;
        self.record_in(&mut tx, entries).await?;
        tx.commit().await
    }

    /// Adds entries with their times in ms.
    pub(crate) async fn record_at(&self, entries: &[(i64, NewAuditEntry)]) -> outbox::Result<()> {
        let mut tx = self.db.begin().await?;
        self.insert_entries(&mut tx, entries.iter().map(|(at, entry)| (*at, entry)))
            .await?;
        tx.commit().await
    }

    async fn insert_entries<'e>(
        &self,
        tx: &mut Tx,
        entries: impl Iterator<Item = (i64, &'e NewAuditEntry)>,
    ) -> outbox::Result<()> {
        let table: Vec<_> = entries
            .map(|(at, entry)| {
                (
                    at,
                    <&str>::from(entry.action.kind()),
                    entry.action.as_str(),
                    &entry.school,
                    &entry.subject,
                    entry.amount,
                    &entry.caller.key,
                    &entry.caller.name,
                    entry.via,
                )
            })
            .collect();
        let text = INSERT.on(tx.engine());
        for part in table.chunks(AT_ONCE) {
            let part = rows(part)?;
            on_tx!(tx, conn => sqlx::query(text).bind(&part).execute(conn).await.map(|_| ()))?;
        }
        Ok(())
    }

    /// The matching entries of the audit log, latest first.
    ///
    /// # Errors
    /// Returns an error if the database query fails.
    pub async fn audit_entries(&self, filter: &AuditFilter) -> outbox::Result<Vec<AuditEntry>> {
        let schools = match &filter.schools {
            Some(schools) => {
                let schools: Vec<_> = schools.iter().map(|id| (id.as_str(),)).collect();
                Some(rows(&schools)?)
            }
            None => None,
        };
        let sql = if schools.is_some() {
            &OF_SCHOOLS
        } else {
            &OF_ALL
        };
        let text = sql.on(self.db.engine());
        let since = filter.since.map_or(i64::MIN, |at| at.timestamp_millis());
        let found: Vec<EntryRow> = on_pool!(self.db, pool => {
            sqlx::query_as(text)
                .bind(&schools)
                .bind(filter.before.unwrap_or(i64::MAX))
                .bind(since)
                .bind(&filter.by)
                .bind(i64::from(filter.limit))
                .fetch_all(pool)
                .await
        })?;
        let entries = found.into_iter().map(|row| AuditEntry {
            seq: row.seq,
            at: DateTime::from_timestamp_millis(row.at_ms),
            kind: row.kind,
            action: row.action,
            school: row.school,
            subject: row.subject,
            amount: row.amount.and_then(|amount| u64::try_from(amount).ok()),
            key: row.key_id,
            caller: row.caller,
            via: row.via,
        });
        Ok(entries.collect())
    }

    /// Removes the entries that are older than their retention. Returns their number.
    pub(crate) async fn prune_audit_log(&self, retention: Duration) -> outbox::Result<u64> {
        let retention = TimeDelta::from_std(retention).unwrap_or(TimeDelta::MAX);
        let Some(before) = self.now().checked_sub_signed(retention) else {
            return Ok(0);
        };
        let before = before.timestamp_millis();
        let mut tx = self.db.begin().await?;
        on_tx!(tx, conn => sqlx::query(RAISE).bind(before).execute(conn).await.map(|_| ()))?;
        tx.commit().await?;
        self.remove(&PAST, before).await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use outbox::TestClock;

    use super::*;
    use crate::audit_log::{AuditAction, AuditLog, Caller};

    const HOUR: Duration = Duration::from_secs(60 * 60);
    const DAY: Duration = Duration::from_secs(24 * 60 * 60);

    async fn open(url: &str, clock: &Arc<TestClock>) -> Store {
        let settings = outbox::Settings::default();
        Store::open(url, settings, clock.clone()).await.unwrap()
    }

    async fn told(store: &Store, filter: AuditFilter) -> Vec<(String, Option<String>)> {
        let filter = AuditFilter {
            limit: 100,
            ..filter
        };
        let entries = store.audit_entries(&filter).await.unwrap();
        let told = entries
            .into_iter()
            .map(|entry| (entry.action, entry.subject));
        told.collect()
    }

    async fn check(url: &str) {
        let clock = Arc::new(TestClock::at("2026-11-23T08:40:00Z".parse().unwrap()));
        let store = open(url, &clock).await;
        let (hill, dale) = ("A1".into(), "A2".into());
        let host = Caller::of_key("AAAA", "host");
        let ann = Caller::user(Some("ann".to_owned()));
        let sent = NewAuditEntry::new(AuditAction::EventsSent, &host, "API");
        let retried = NewAuditEntry::new(AuditAction::EventRetried, &ann, "command line");
        store
            .record(&[
                sent.school(&hill).amount(3),
                retried.school(&dale).subject("e1"),
            ])
            .await
            .unwrap();
        clock.advance(DAY);
        let log = AuditLog::new(store.clone());
        let shown = NewAuditEntry::new(AuditAction::EventShown, &host, "API");
        log.look(shown.school(&hill).subject("e2")).await.unwrap();
        let line =
            |action: &str, subject: Option<&str>| (action.to_owned(), subject.map(str::to_owned));
        let (sent, retried, shown) = (
            line("events_sent", None),
            line("event_retried", Some("e1")),
            line("event_shown", Some("e2")),
        );
        assert_eq!(told(&store, AuditFilter::default()).await.len(), 2);
        // A look keeps the time at which it happened.
        clock.advance(DAY);
        log.write().await.unwrap();
        log.write().await.unwrap();
        let all = told(&store, AuditFilter::default()).await;
        assert_eq!(all, [shown.clone(), retried.clone(), sent.clone()]);
        let of = |schools: &[&str]| AuditFilter {
            schools: Some(schools.iter().map(|id| (*id).into()).collect()),
            ..AuditFilter::default()
        };
        assert_eq!(
            told(&store, of(&["A1"])).await,
            [shown.clone(), sent.clone()]
        );
        assert!(told(&store, of(&[])).await.is_empty());
        let by = |by: &str| AuditFilter {
            by: Some(by.to_owned()),
            ..AuditFilter::default()
        };
        assert_eq!(told(&store, by("ann")).await.first(), Some(&retried));
        assert_eq!(told(&store, by("AAAA")).await.len(), 2);
        let since = AuditFilter {
            since: Some("2026-11-24T08:00:00Z".parse().unwrap()),
            ..AuditFilter::default()
        };
        assert_eq!(told(&store, since).await.first(), Some(&shown));
        let page = AuditFilter {
            limit: 1,
            ..AuditFilter::default()
        };
        let first = store.audit_entries(&page).await.unwrap().remove(0);
        assert_eq!(first.kind, "look");
        let rest = AuditFilter {
            before: Some(first.seq),
            ..AuditFilter::default()
        };
        assert_eq!(told(&store, rest).await, [retried, sent]);

        for attempt in [
            "UPDATE markback_audit_log_entries SET caller = 'nobody'",
            "DELETE FROM markback_audit_log_entries",
        ] {
            let mut tx = store.database().begin().await.unwrap();
            let done: outbox::Result<()> = async {
                on_tx!(tx, conn => sqlx::query(attempt).execute(conn).await.map(|_| ()))?;
                Ok(())
            }
            .await;
            let error = format!("{:?}", done.unwrap_err());
            assert!(error.contains("append-only"), "{attempt}: {error}");
        }
        assert_eq!(store.prune_audit_log(3 * DAY).await.unwrap(), 0);
        assert_eq!(store.prune_audit_log(2 * DAY - HOUR).await.unwrap(), 2);
        assert_eq!(told(&store, AuditFilter::default()).await, [shown]);
        let mut tx = store.database().begin().await.unwrap();
        let lower = "UPDATE markback_audit_log_horizon SET before_ms = 0";
        let done: Result<(), sqlx::Error> =
            on_tx!(tx, conn => sqlx::query(lower).execute(conn).await.map(|_| ()));
        assert!(done.unwrap_err().to_string().contains("cannot be lowered"));
    }

    #[tokio::test]
    async fn entries_are_found_kept_and_pruned_only_after_their_retention() {
        check("sqlite::memory:").await;
        if let Some(server) = throwaway_postgres::shared().unwrap() {
            check(&server.create_database().unwrap()).await;
        }
    }

    #[tokio::test]
    async fn looks_that_could_not_be_written_are_written_later() {
        let clock = Arc::new(TestClock::at("2026-11-23T08:40:00Z".parse().unwrap()));
        let store = open("sqlite::memory:", &clock).await;
        let log = AuditLog::new(store.clone());
        let look = NewAuditEntry::new(AuditAction::EventShown, &Caller::default(), "API");
        log.look(look.clone()).await.unwrap();
        let mut tx = store.database().begin().await.unwrap();
        let rename = "ALTER TABLE markback_audit_log_entries RENAME TO elsewhere";
        on_tx!(tx, conn => sqlx::query(rename).execute(conn).await.map(|_| ())).unwrap();
        tx.commit().await.unwrap();
        assert!(log.write().await.is_err());
        for _ in 0..999 {
            log.look(look.clone()).await.unwrap();
        }
        // The most that may wait: from here on nothing is shown that is not recorded.
        assert!(log.look(look.clone()).await.is_err());
        let mut tx = store.database().begin().await.unwrap();
        let back = "ALTER TABLE elsewhere RENAME TO markback_audit_log_entries";
        on_tx!(tx, conn => sqlx::query(back).execute(conn).await.map(|_| ())).unwrap();
        tx.commit().await.unwrap();
        log.write().await.unwrap();
        let filter = AuditFilter {
            limit: 5_000,
            ..AuditFilter::default()
        };
        assert_eq!(store.audit_entries(&filter).await.unwrap().len(), 1_000);
    }
}
