//! What is kept about one person, across all tables, and its removal.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use outbox::{Database, MigrationStep, Migrations, Sql, Tx, on_pool, on_tx};
use serde::Serialize;
use serde_json::{Map, Value};
use sqlx::Column as _;

use super::{EventKey, EventState, Store, rows};
use crate::data_subject::ErasureEntry;
use crate::store::row::row;

const TABLES: &str = include_str!("../../migrations/erasure/0001_erasures.sql");

/// The tables of erasures, in SQL that both databases accept.
pub(super) const MIGRATIONS: Migrations = Migrations {
    prefix: "markback_erasure",
    steps: &[MigrationStep {
        version: 1,
        name: "erased events, erasures",
        sqlite: TABLES,
        postgres: TABLES,
    }],
};

/// A row with all its columns. Texts that are JSON objects or lists are read as such.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(transparent)]
pub(crate) struct KeptRow(pub(crate) Map<String, Value>);

impl KeptRow {
    /// A column's text.
    pub(crate) fn text(&self, column: &str) -> Option<&str> {
        self.0.get(column)?.as_str()
    }

    /// A column's number.
    pub(crate) fn number(&self, column: &str) -> Option<i64> {
        self.0.get(column)?.as_i64()
    }
}

impl<'r, R: sqlx::Row> sqlx::FromRow<'r, R> for KeptRow
where
    usize: sqlx::ColumnIndex<R>,
    Option<String>: sqlx::Decode<'r, R::Database> + sqlx::Type<R::Database>,
    Option<i64>: sqlx::Decode<'r, R::Database> + sqlx::Type<R::Database>,
{
    fn from_row(row: &'r R) -> sqlx::Result<Self> {
        let mut columns = Map::new();
        for (place, column) in row.columns().iter().enumerate() {
            let value = match row.try_get::<Option<i64>, _>(place) {
                Ok(number) => Value::from(number),
                Err(_) => value(row.try_get::<Option<String>, _>(place)?),
            };
            columns.insert(column.name().to_owned(), value);
        }
        Ok(Self(columns))
    }
}

fn value(text: Option<String>) -> Value {
    let Some(text) = text else {
        return Value::Null;
    };
    if text.starts_with(['{', '['])
        && let Ok(json) = serde_json::from_str(&text)
    {
        return json;
    }
    Value::String(text)
}

/// A search for rows of a school, `$2`, by ids, `$1`.
macro_rules! by {
    ($table:literal, $conditions:literal) => {
        by!("*", $table, $conditions)
    };
    ($columns:literal, $table:literal, $conditions:literal) => {
        Sql::new(concat!(
            "SELECT ",
            $columns,
            " FROM ",
            $table,
            " WHERE ",
            $conditions,
            " IN (SELECT r.id FROM {rows $1: id text} r)"
        ))
    };
}

/// Searches of what is kept, by the ids that each table goes by.
pub(crate) static EVENTS_OF_PERSON: Sql = by!("markback_events", "school = $2 AND person");
pub(crate) static EVENTS_OF_STUDENT: Sql = by!("markback_events", "school = $2 AND student");
pub(crate) static HISTORY: Sql = by!("markback_audit", "school = $2 AND event");
pub(crate) static SNAPSHOTS: Sql = by!("markback_snapshots", "school = $2 AND event");
pub(crate) static LEDGER: Sql = by!("markback_ledger", "school = $2 AND student");
pub(crate) static REGISTER: Sql = by!("markback_register", "school = $2 AND student");
pub(crate) static FEED: Sql = by!(
    "markback_feed",
    "school = $2 AND kind = 'event' AND {json_extract(body, '$.id')|CAST(body AS jsonb)->>'id'}"
);
pub(crate) static AUDIT_LOG: Sql = by!("markback_audit_log_entries", "school = $2 AND subject");
pub(crate) static JOBS: Sql = by!(
    "id, queue, key, order_key, CAST(state AS BIGINT) AS state, attempts, created_at, finished_at, note, payload",
    "outbox_jobs",
    "partition_key = $2 AND order_key"
);
pub(crate) static DIRECTORY: Sql = by!("markback_roster_directory", "school = $2 AND person");
pub(crate) static RECORDS: Sql = by!("markback_roster_records", "school = $2 AND id");
pub(crate) static KEYS: Sql = by!("markback_roster_keys", "school = $2 AND id");
pub(crate) static MEMBERS: Sql = by!("markback_roster_members", "school = $2 AND id");
pub(crate) static FORMER: Sql = by!("markback_roster_former", "school = $2 AND id");
pub(crate) static CHANGES: Sql = by!("markback_roster_changes", "school = $2 AND person");

/// Searches of what is about an entry of the feed: `$1` is its number.
pub(crate) static DELIVERIES: Sql = Sql::new(
    "SELECT d.* FROM markback_feed_deliveries d JOIN {rows $1: seq int} r ON d.seq = r.seq ORDER BY d.seq, d.endpoint",
);
pub(crate) static ATTEMPTS: Sql = Sql::new(
    "SELECT a.* FROM markback_feed_attempts a JOIN {rows $1: seq int} r ON a.seq = r.seq ORDER BY a.at_ms",
);

/// What a sync keeps of people is in its report, or in what it has read so far.
const REPORTS: &str = "SELECT * FROM markback_roster_syncs WHERE school = $1 AND report IS NOT NULL ORDER BY asked_ms";
const PULLS: &str = "SELECT * FROM markback_roster_pulls WHERE school = $1 ORDER BY part";
const LOG: &str = "SELECT * FROM markback_erasure_log WHERE school = $1 ORDER BY at_ms DESC";

static ERASED: Sql = Sql::new(
    "SELECT e.school, e.id, e.state FROM {rows $1: school text, id text} r \
     JOIN markback_erasure_events e ON e.school = r.school AND e.id = r.id",
);

/// Holds up intake, which looks at the erased events, until the commit: otherwise an event that is sent again at this moment
/// could be taken in because its erasure is not visible yet. SQLite has one writer.
static LOCK: Sql =
    Sql::new("{SELECT 1|LOCK TABLE markback_erasure_events IN ACCESS EXCLUSIVE MODE}");

/// Its snapshots go with an event. One that has changed since it was read stays.
static DROP_EVENTS: Sql = Sql::new(
    "DELETE FROM markback_events WHERE school = $2 AND EXISTS (SELECT 1 FROM {rows $1: id text, state text, round int} r \
     WHERE r.id = markback_events.id AND r.state = markback_events.state AND r.round = markback_events.round)",
);
static ADD_ERASED: Sql = Sql::new(
    "INSERT INTO markback_erasure_events (school, id, state, erased_ms) SELECT $3, r.id, r.state, $2 \
     FROM {rows $1: id text, state text} r WHERE true ON CONFLICT (school, id) DO NOTHING",
);
static DROP_HISTORY: Sql = Sql::new(
    "DELETE FROM markback_audit WHERE school = $2 AND event IN (SELECT r.id FROM {rows $1: id text} r)",
);
static DROP_LEDGER: Sql = Sql::new(
    "DELETE FROM markback_ledger WHERE school = $2 AND (student, day, session) IN \
     (SELECT r.student, r.day, r.session FROM {rows $1: student text, day text, session text} r)",
);
static DROP_FEED: Sql = Sql::new(
    "DELETE FROM markback_feed WHERE school = $2 AND seq IN (SELECT r.seq FROM {rows $1: seq int} r)",
);
static DROP_DELIVERIES: Sql = Sql::new(
    "DELETE FROM markback_feed_deliveries WHERE seq IN (SELECT r.seq FROM {rows $1: seq int} r)",
);
static DROP_ATTEMPTS: Sql = Sql::new(
    "DELETE FROM markback_feed_attempts WHERE seq IN (SELECT r.seq FROM {rows $1: seq int} r)",
);
static DROP_JOBS: Sql = Sql::new(
    "DELETE FROM outbox_jobs WHERE state IN (2, 3, 4) AND id IN (SELECT r.id FROM {rows $1: id int} r)",
);
static DROP_DIRECTORY: Sql = Sql::new(
    "DELETE FROM markback_roster_directory WHERE school = $2 AND (kind, person) IN \
     (SELECT r.kind, r.id FROM {rows $1: kind text, id text} r)",
);
static DROP_KEYS: Sql = Sql::new(
    "DELETE FROM markback_roster_keys WHERE school = $2 AND (kind, id) IN (SELECT r.kind, r.id FROM {rows $1: kind text, id text} r)",
);
static DROP_FORMER: Sql = Sql::new(
    "DELETE FROM markback_roster_former WHERE school = $2 AND (kind, id) IN (SELECT r.kind, r.id FROM {rows $1: kind text, id text} r)",
);
/// A held report is what somebody decides by, and a running sync writes its own.
static PUT_REPORTS: Sql = Sql::new(
    "UPDATE markback_roster_syncs SET report = r.report FROM {rows $1: id text, report text} r \
     WHERE markback_roster_syncs.school = $2 AND markback_roster_syncs.id = r.id AND markback_roster_syncs.state IN ('done', 'failed')",
);
/// Nodes read a directory again that has another time.
const DIRECTORY_CHANGED: &str =
    "UPDATE markback_roster_schools SET synced_ms = synced_ms + 1 WHERE school = $1";
const ADD_LOG: &str = "INSERT INTO markback_erasure_log (school, person, at_ms, author, via, reason, removed) \
     VALUES ($1, $2, $3, $4, $5, $6, $7)";

/// An event is only sent again while events are kept.
static OLD: Sql = Sql::new(
    "DELETE FROM markback_erasure_events WHERE (school, id) IN (SELECT school, id FROM markback_erasure_events \
     WHERE erased_ms < $1 LIMIT $2)",
);

row! {
    struct LogRow {
        person: String,
        at_ms: i64,
        author: Option<String>,
        via: String,
        reason: String,
        removed: String,
    }
}

/// What is read from: the database, or a transaction that also changes it.
pub(crate) enum Reading<'t> {
    /// The database.
    Database(&'t Database),
    /// A transaction.
    Tx(&'t mut Tx),
}

impl Reading<'_> {
    async fn run(
        &mut self,
        statement: &'static Sql,
        table: &[impl Serialize],
        school: Option<&str>,
    ) -> outbox::Result<Vec<KeptRow>> {
        if table.is_empty() {
            return Ok(Vec::new());
        }
        let table = rows(table)?;
        macro_rules! query {
            ($text:expr, $on:expr) => {{
                let query = sqlx::query_as($text).bind(&table);
                match school {
                    Some(school) => query.bind(school).fetch_all($on).await,
                    None => query.fetch_all($on).await,
                }
            }};
        }
        Ok(match self {
            Self::Database(db) => {
                let text = statement.on(db.engine());
                on_pool!(db, pool => query!(text, pool))?
            }
            Self::Tx(tx) => {
                let text = statement.on(tx.engine());
                on_tx!(tx, conn => query!(text, conn))?
            }
        })
    }

    async fn whole(&mut self, text: &'static str, school: &str) -> outbox::Result<Vec<KeptRow>> {
        Ok(match self {
            Self::Database(db) => {
                on_pool!(db, pool => sqlx::query_as(text).bind(school).fetch_all(pool).await)?
            }
            Self::Tx(tx) => {
                on_tx!(tx, conn => sqlx::query_as(text).bind(school).fetch_all(conn).await)?
            }
        })
    }

    /// Rows of a school by ids.
    pub(crate) async fn kept(
        &mut self,
        statement: &'static Sql,
        school: &str,
        ids: impl IntoIterator<Item = &str>,
    ) -> outbox::Result<Vec<KeptRow>> {
        let table: Vec<_> = ids.into_iter().map(|id| (id,)).collect();
        self.run(statement, &table, Some(school)).await
    }

    /// Rows by the numbers of entries of the feed.
    pub(crate) async fn of_entries(
        &mut self,
        statement: &'static Sql,
        entries: &[i64],
    ) -> outbox::Result<Vec<KeptRow>> {
        let table: Vec<_> = entries.iter().map(|seq| (seq,)).collect();
        self.run(statement, &table, None).await
    }

    /// The school's syncs that have a report.
    pub(crate) async fn reports(&mut self, school: &str) -> outbox::Result<Vec<KeptRow>> {
        self.whole(REPORTS, school).await
    }

    /// What syncs that are on their way have read.
    pub(crate) async fn pulls(&mut self, school: &str) -> outbox::Result<Vec<KeptRow>> {
        self.whole(PULLS, school).await
    }
}

/// What to remove.
#[derive(Debug, Default)]
pub(crate) struct Removal<'a> {
    /// Events with the state and round in which they were read.
    pub(crate) events: Vec<(&'a str, &'a str, i64)>,
    /// Pupil, day and session.
    pub(crate) ledger: Vec<(&'a str, &'a str, &'a str)>,
    /// Numbers of entries of the feed.
    pub(crate) feed: Vec<(i64,)>,
    /// Jobs.
    pub(crate) jobs: Vec<(i64,)>,
    /// The kind and the key of a person who has left.
    pub(crate) leavers: BTreeSet<(&'a str, &'a str)>,
    /// Groups that they have left, with the key.
    pub(crate) former: Vec<(&'a str, &'a str)>,
    /// Syncs with their new reports.
    pub(crate) reports: Vec<(&'a str, String)>,
}

impl Store {
    /// Those of these events that were erased, with the state that they had.
    pub(crate) async fn erased_events(
        &self,
        tx: &mut Tx,
        events: &[EventKey],
    ) -> outbox::Result<HashMap<EventKey, EventState>> {
        if events.is_empty() {
            return Ok(HashMap::new());
        }
        let (text, table) = (ERASED.on(tx.engine()), rows(events)?);
        let found: Vec<(String, String, String)> =
            on_tx!(tx, conn => sqlx::query_as(text).bind(&table).fetch_all(conn).await)?;
        Ok(found
            .into_iter()
            .filter_map(|(school, id, state)| Some(((school, id), state.parse().ok()?)))
            .collect())
    }

    /// Whether an event was erased.
    pub(crate) async fn is_erased(&self, event: &EventKey) -> outbox::Result<bool> {
        let (text, table) = (ERASED.on(self.db.engine()), rows(&[event])?);
        let found: Vec<(String, String, String)> =
            on_pool!(self.db, pool => sqlx::query_as(text).bind(&table).fetch_all(pool).await)?;
        Ok(!found.is_empty())
    }

    /// Lets nothing be taken in until the transaction ends.
    pub(crate) async fn lock_erasures(&self, tx: &mut Tx) -> outbox::Result<()> {
        let text = LOCK.on(tx.engine());
        on_tx!(tx, conn => sqlx::query(text).execute(conn).await.map(|_| ()))?;
        Ok(())
    }

    /// Removes what is named. Returns false if an event has changed; then the transaction must not be committed.
    pub(crate) async fn remove_kept(
        &self,
        tx: &mut Tx,
        school: &str,
        removal: &Removal<'_>,
    ) -> outbox::Result<bool> {
        let of_school = Some(school);
        let events = change(tx, &DROP_EVENTS, &removal.events, of_school).await?;
        if events != removal.events.len() {
            return Ok(false);
        }
        let ids: Vec<_> = removal.events.iter().map(|(id, _, _)| (id,)).collect();
        change(tx, &DROP_HISTORY, &ids, of_school).await?;
        change(tx, &DROP_LEDGER, &removal.ledger, of_school).await?;
        change(tx, &DROP_FEED, &removal.feed, of_school).await?;
        change(tx, &DROP_DELIVERIES, &removal.feed, None).await?;
        change(tx, &DROP_ATTEMPTS, &removal.feed, None).await?;
        change(tx, &DROP_JOBS, &removal.jobs, None).await?;
        change(tx, &PUT_REPORTS, &removal.reports, of_school).await?;
        change(tx, &DROP_FORMER, &removal.former, of_school).await?;
        let leavers: Vec<_> = removal.leavers.iter().collect();
        if !leavers.is_empty() {
            change(tx, &DROP_DIRECTORY, &leavers, of_school).await?;
            change(tx, &DROP_KEYS, &leavers, of_school).await?;
            on_tx!(tx, conn => sqlx::query(DIRECTORY_CHANGED).bind(school).execute(conn).await.map(|_| ()))?;
        }
        let erased: Vec<_> = removal
            .events
            .iter()
            .map(|(id, state, _)| (id, state))
            .collect();
        if !erased.is_empty() {
            let (text, table, now) = (ADD_ERASED.on(tx.engine()), rows(&erased)?, self.now_ms());
            on_tx!(tx, conn => {
                sqlx::query(text).bind(&table).bind(now).bind(school).execute(conn).await.map(|_| ())
            })?;
        }
        Ok(true)
    }

    /// Records an erasure.
    pub(crate) async fn log_erasure(
        &self,
        tx: &mut Tx,
        school: &str,
        entry: &ErasureEntry,
    ) -> outbox::Result<()> {
        let removed = serde_json::to_string(&entry.removed)
            .map_err(|_| outbox::Error::invalid("an erasure cannot be recorded"))?;
        let now = self.now_ms();
        on_tx!(tx, conn => {
            sqlx::query(ADD_LOG)
                .bind(school)
                .bind(&entry.person)
                .bind(now)
                .bind(&entry.by)
                .bind(&entry.via)
                .bind(&entry.reason)
                .bind(&removed)
                .execute(conn)
                .await
                .map(|_| ())
        })?;
        Ok(())
    }

    /// The erasures of a school, latest first.
    pub(crate) async fn erasures(&self, school: &str) -> outbox::Result<Vec<ErasureEntry>> {
        let found: Vec<LogRow> =
            on_pool!(self.db, pool => sqlx::query_as(LOG).bind(school).fetch_all(pool).await)?;
        Ok(found
            .into_iter()
            .map(|row| ErasureEntry {
                person: row.person,
                at: chrono::DateTime::from_timestamp_millis(row.at_ms),
                by: row.author,
                via: row.via,
                reason: row.reason,
                removed: serde_json::from_str::<BTreeMap<String, usize>>(&row.removed)
                    .unwrap_or_default(),
            })
            .collect())
    }

    /// Forgets the ids of events that were erased before this time.
    pub(super) async fn prune_erased(&self, before: i64) -> outbox::Result<u64> {
        self.remove(&OLD, before).await
    }
}

/// Runs a statement with rows as `$1` and the school, if one is given, as `$2`. Returns how many rows it has changed.
async fn change(
    tx: &mut Tx,
    statement: &'static Sql,
    table: &[impl Serialize],
    school: Option<&str>,
) -> outbox::Result<usize> {
    if table.is_empty() {
        return Ok(0);
    }
    let (text, table) = (statement.on(tx.engine()), rows(table)?);
    let changed: u64 = on_tx!(tx, conn => {
        let query = sqlx::query(text).bind(&table);
        let done = match school {
            Some(school) => query.bind(school).execute(conn).await,
            None => query.execute(conn).await,
        };
        done.map(|done| done.rows_affected())
    })?;
    Ok(usize::try_from(changed).unwrap_or(usize::MAX))
}
