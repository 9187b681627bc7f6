//! The service's tables, beside the outbox's in one database: events, the ledger of marks, the audit trail.

mod audit;
mod audit_log;
mod budget;
mod calendars;
mod corrections;
mod day;
mod endpoints;
pub(crate) mod erasure;
mod events;
mod feed;
mod held;
mod keys;
mod ledger;
mod limits;
mod lock;
mod nodes;
mod notices;
mod overview;
mod pauses;
#[cfg(test)]
mod plans;
mod previous;
mod problems;
mod register;
mod retention;
mod roster;
mod row;
mod search;
mod settings;
mod snapshots;
mod together;
mod usage;
mod users;

use std::sync::Arc;

use chrono::{DateTime, Utc};
use outbox::{
    Database, MigrationStatus, MigrationStep, Migrations, OpenOptions, Outbox, Settings, Sql, Tx,
    on_pool, on_tx,
};
use serde::Serialize;
use sqlx::{FromRow, postgres::PgRow, sqlite::SqliteRow};

use self::together::Together;
use crate::clock::SharedClock;

pub use crate::ledger::{LedgerMark, LedgerRow, SeenMark, Stage};
pub use audit::AuditRecord;
pub(crate) use audit::NewAudit;
pub(crate) use calendars::{Feed, FeedKind};
pub use corrections::CorrectionRecord;
pub(crate) use corrections::RepairJob;
pub use day::DayEvent;
pub(crate) use endpoints::{AttemptEnd, DeliveryJob, Patience, SigningEndpoint};
pub(crate) use erasure::{KeptRow, Reading, Removal};
pub(crate) use events::{EventKey, StoredEvent};
pub use events::{EventRecord, EventState, EventUpdate, NewEvent, UnknownState};
pub(crate) use feed::NewEntry;
pub use ledger::LedgerKey;
pub use limits::{LearnedLimit, Limit};
pub use lock::{LockError, ServiceLock};
pub(crate) use notices::Followed;
pub use notices::{Notice, NoticeKind};
pub use overview::Overview;
pub(crate) use register::{Before, Progress};
pub use register::{FullReading, RegisterReading};
pub use retention::Pruned;
pub use roster::{
    Changes, GroupChange, GroupPage, GroupsRead, Horizon, MemberJson, SyncRecord, SyncState,
    SyncWhy,
};
pub(crate) use roster::{Kept, NewSync, SyncEnd, SyncTimes};
pub use search::{EventFilter, OpenEvents};
pub use settings::{
    Activation, BesideFile, Scope, SettingsKey, StoredSchedule, StoredSummary, StoredToken,
    StoredVersion, TokenChange, TokenEntry, WrittenMark,
};
pub(crate) use settings::{
    ActiveRow, ActiveVersion, NewActivation, NewVersion, SealedRow, TokensChanged,
};
pub(crate) use snapshots::{NewSnapshot, Part, PastRow, StoredSnapshot, WrittenParts};
pub use usage::Usage;

const OPERATIONS: &str = include_str!("../../migrations/0002_operations.sql");
const STANDING: &str = include_str!("../../migrations/0003_standing.sql");
const NODES: &str = include_str!("../../migrations/0004_nodes.sql");
const PIPELINE: &str = include_str!("../../migrations/0007_pipeline.sql");
const TAPS_AND_LIMITS: &str = include_str!("../../migrations/0008_taps_and_limits.sql");
const REGISTER: &str = include_str!("../../migrations/0006_register.sql");
const LEDGER_MARKS_SQLITE: &str = include_str!("../../migrations/0005_ledger_marks.sqlite.sql");
const LEDGER_MARKS_POSTGRES: &str = include_str!("../../migrations/0005_ledger_marks.postgres.sql");
const PLANS: &str = include_str!("../../migrations/0009_plans.sql");
const SNAPSHOTS: &str = include_str!("../../migrations/0010_snapshots.sql");
const HELD: &str = include_str!("../../migrations/0011_held.sql");
const SEARCHES: &str = include_str!("../../migrations/0012_search.sql");
const CORRECTIONS: &str = include_str!("../../migrations/0013_corrections.sql");
const AT: &str = include_str!("../../migrations/0014_at.sql");
/// SQLite updates only the indexes whose values change, so nothing is to be done there.
const HOT_SQLITE: &str = "";
const HOT_POSTGRES: &str = include_str!("../../migrations/0015_hot.postgres.sql");
const EVENTS: &str = include_str!("../../migrations/0001_events.sql");

/// The condition that an event needs a person, as the index of such events has it. The text before a column's name comes first.
macro_rules! needs_person {
    ($of:literal) => {
        concat!(
            "{",
            $of,
            "state IN ('held', 'failed', 'rejected', 'unconfirmed')|",
            $of,
            "needs_person = 1}"
        )
    };
}
use needs_person;

/// The schools of a table, as `k(school)`: from one to the next, each by one look into an index.
macro_rules! schools_of {
    ($table:literal) => {
        concat!(
            "WITH RECURSIVE k(school) AS (SELECT min(school) FROM ",
            $table,
            " UNION ALL SELECT (SELECT min(l.school) FROM ",
            $table,
            " l WHERE l.school > k.school) FROM k WHERE k.school IS NOT NULL)"
        )
    };
}
use schools_of;

/// Our tables, in SQL that both databases accept.
const MIGRATIONS: Migrations = Migrations {
    prefix: "markback",
    steps: &[
        MigrationStep {
            version: 1,
            name: "events, ledger, audit",
            sqlite: EVENTS,
            postgres: EVENTS,
        },
        MigrationStep {
            version: 2,
            name: "rounds, writebacks, notices, budget",
            sqlite: OPERATIONS,
            postgres: OPERATIONS,
        },
        MigrationStep {
            version: 3,
            name: "the events that stand in a session",
            sqlite: STANDING,
            postgres: STANDING,
        },
        MigrationStep {
            version: 4,
            name: "nodes",
            sqlite: NODES,
            postgres: NODES,
        },
        MigrationStep {
            version: 5,
            name: "all marks of a session that may stand",
            sqlite: LEDGER_MARKS_SQLITE,
            postgres: LEDGER_MARKS_POSTGRES,
        },
        MigrationStep {
            version: 6,
            name: "registers",
            sqlite: REGISTER,
            postgres: REGISTER,
        },
        MigrationStep {
            version: 7,
            name: "jobs of writebacks, operator pauses",
            sqlite: PIPELINE,
            postgres: PIPELINE,
        },
        MigrationStep {
            version: 8,
            name: "when events were, and what a school's MIS refuses",
            sqlite: TAPS_AND_LIMITS,
            postgres: TAPS_AND_LIMITS,
        },
        MigrationStep {
            version: 9,
            name: "planned marks of events",
            sqlite: PLANS,
            postgres: PLANS,
        },
        MigrationStep {
            version: 10,
            name: "snapshots of decisions",
            sqlite: SNAPSHOTS,
            postgres: SNAPSHOTS,
        },
        MigrationStep {
            version: 11,
            name: "held marks",
            sqlite: HELD,
            postgres: HELD,
        },
        MigrationStep {
            version: 12,
            name: "indexes for a school's events",
            sqlite: SEARCHES,
            postgres: SEARCHES,
        },
        MigrationStep {
            version: 13,
            name: "corrections",
            sqlite: CORRECTIONS,
            postgres: CORRECTIONS,
        },
        MigrationStep {
            version: 14,
            name: "indexes for when a school's events were, and for a person's latest",
            sqlite: AT,
            postgres: AT,
        },
        MigrationStep {
            version: 15,
            name: "no index goes by an event's state",
            sqlite: HOT_SQLITE,
            postgres: HOT_POSTGRES,
        },
    ],
};

/// The database: the outbox and our tables.
#[derive(Clone, Debug)]
pub struct Store {
    db: Database,
    outbox: Outbox,
    clock: SharedClock,
    parts: Arc<snapshots::KnownParts>,
    asked: Arc<Asked>,
}

/// What the schools of a batch ask together.
#[derive(Debug, Default)]
struct Asked {
    versions: Together<roster::VersionRow>,
    owners: Together<roster::OwnerRow>,
    limits: Together<limits::Row>,
    before: Together<previous::Row>,
    ledger: Together<ledger::Row>,
}

impl Store {
    fn with(db: Database, outbox: Outbox, clock: SharedClock) -> Self {
        Self {
            db,
            outbox,
            clock,
            parts: Arc::default(),
            asked: Arc::default(),
        }
    }

    /// Opens the database at this address and migrates its tables.
    ///
    /// # Errors
    /// Returns an error if the database cannot be opened or migrated. The error never contains the address, which may hold a
    /// password.
    pub async fn open(url: &str, settings: Settings, clock: SharedClock) -> outbox::Result<Self> {
        let db = Database::open(url).await?;
        let outbox = Outbox::new(db.clone(), settings, clock.clone());
        outbox.migrate().await?;
        db.migrate(&MIGRATIONS).await?;
        db.migrate(&roster::MIGRATIONS).await?;
        db.migrate(&settings::MIGRATIONS).await?;
        db.migrate(&usage::MIGRATIONS).await?;
        db.migrate(&calendars::MIGRATIONS).await?;
        db.migrate(&feed::MIGRATIONS).await?;
        db.migrate(&keys::MIGRATIONS).await?;
        db.migrate(&audit_log::MIGRATIONS).await?;
        db.migrate(&users::MIGRATIONS).await?;
        db.migrate(&erasure::MIGRATIONS).await?;
        Ok(Self::with(db, outbox, clock))
    }

    /// Opens a database that the service has created. Never changes its schema, and nothing at all with `read_only`.
    ///
    /// # Errors
    /// Returns an error if tables are missing or of another version, or if the database cannot be opened.
    pub async fn open_existing(
        url: &str,
        clock: SharedClock,
        read_only: bool,
    ) -> outbox::Result<Self> {
        // Always opened read-only first: opening a file for writing would make it a database.
        let options = OpenOptions::default().read_only();
        let db = Database::open_with(url, &options).await?;
        let sets = [
            &outbox::MIGRATIONS,
            &MIGRATIONS,
            &roster::MIGRATIONS,
            &settings::MIGRATIONS,
            &usage::MIGRATIONS,
            &calendars::MIGRATIONS,
            &feed::MIGRATIONS,
            &keys::MIGRATIONS,
            &audit_log::MIGRATIONS,
            &users::MIGRATIONS,
            &erasure::MIGRATIONS,
        ];
        for (place, set) in sets.into_iter().enumerate() {
            let what = match db.migration_status(set).await? {
                MigrationStatus::UpToDate => continue,
                // If those before it are there, an older version had no such set.
                MigrationStatus::Never if place == 0 => {
                    "it has none of Markback; `markback serve` makes them at its first start"
                }
                MigrationStatus::Behind | MigrationStatus::Never => {
                    "they are those of an older version; `markback serve` of this version brings them up to date"
                }
                MigrationStatus::Ahead => "they are those of a newer version; run that version",
            };
            return Err(outbox::Error::schema(what));
        }
        let db = if read_only {
            db
        } else {
            db.close().await;
            Database::open(url).await?
        };
        let outbox = Outbox::new(db.clone(), Settings::default(), clock.clone());
        Ok(Self::with(db, outbox, clock))
    }

    /// Checks that the database and its tables are there.
    ///
    /// # Errors
    /// Returns an error if the query fails, or if the database file was removed or replaced.
    pub async fn probe(&self) -> outbox::Result<()> {
        self.db.check_file()?;
        // One table of each owner; they may be empty.
        let text = "SELECT count(*) FROM (SELECT 1 FROM outbox_jobs LIMIT 1) j, \
             (SELECT 1 FROM markback_events LIMIT 1) e, (SELECT 1 FROM markback_roster_schools LIMIT 1) s";
        let _: i64 = on_pool!(self.db, pool => sqlx::query_scalar(text).fetch_one(pool).await)?;
        Ok(())
    }

    /// The queue.
    pub fn outbox(&self) -> &Outbox {
        &self.outbox
    }

    /// The underlying database.
    pub fn database(&self) -> &Database {
        &self.db
    }

    /// The service's clock.
    pub(crate) fn clock(&self) -> &SharedClock {
        &self.clock
    }

    /// The service's time.
    pub fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    /// The same in ms.
    pub fn now_ms(&self) -> i64 {
        self.clock.now().timestamp_millis()
    }

    /// The rows that a statement finds for these keys as `$1`, and for those that others ask for at the same time.
    async fn ask_together<Row>(
        &self,
        together: &Together<Row>,
        statement: &'static Sql,
        keys: &[impl Serialize],
    ) -> outbox::Result<Arc<[Row]>>
    where
        Row: for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> + Send + Sync + Unpin,
    {
        let text = statement.on(self.db.engine());
        let find = async |table: String| {
            Ok(on_pool!(self.db, pool => sqlx::query_as(text).bind(&table).fetch_all(pool).await)?)
        };
        together.ask(keys, find).await
    }

    /// Runs a statement with rows as `$1` and the present time in ms as `$2`; does nothing without rows.
    async fn write_rows(
        &self,
        tx: &mut Tx,
        statement: &'static Sql,
        table: &[impl Serialize],
    ) -> outbox::Result<()> {
        if table.is_empty() {
            return Ok(());
        }
        let (text, table, now) = (statement.on(tx.engine()), rows(table)?, self.now_ms());
        on_tx!(tx, conn => sqlx::query(text).bind(&table).bind(now).execute(conn).await.map(|_| ()))?;
        Ok(())
    }
}

/// Rows for one statement as a JSON array of arrays, which `Sql`'s `{rows …}` reads as a table. Zero bytes, which
/// PostgreSQL does not store, become replacement characters.
pub(crate) fn rows(rows: &[impl Serialize]) -> outbox::Result<String> {
    let text =
        serde_json::to_string(rows).map_err(|_| outbox::Error::invalid("a row is no JSON"))?;
    Ok(without_zero_bytes(text))
}

fn without_zero_bytes(json: String) -> String {
    const ZERO: &str = "\\u0000";
    if !json.contains(ZERO) {
        return json;
    }
    let mut out = String::with_capacity(json.len());
    let mut rest = json.as_str();
    // The second backslash of a pair begins nothing.
    while let Some(at) = rest.find('\\') {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        let (kept, after) = match from.strip_prefix(ZERO) {
            Some(after) => ("\\ufffd", after),
            None => from.split_at(from.char_indices().nth(2).map_or(from.len(), |(n, _)| n)),
        };
        out.push_str(kept);
        rest = after;
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zero_byte_is_replaced_and_one_quoted_in_a_text_is_not() {
        let inner = serde_json::to_string("a\0b").unwrap();
        let text = rows(&[("x\0y", "\\u0000", inner.as_str())]).unwrap();
        let back: Vec<(String, String, String)> = serde_json::from_str(&text).unwrap();
        assert_eq!(
            back,
            [("x\u{fffd}y".to_owned(), "\\u0000".to_owned(), inner)]
        );
    }
}
