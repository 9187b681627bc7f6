//! Tests that what runs all day uses an index, however many events are stored.

use std::sync::Arc;

use outbox::{Engine, Settings, Sql, SystemClock, on_tx};
use sqlx::{AssertSqlSafe, Row as _};

use super::{
    Store, audit, audit_log, day, events, feed, ledger, limits, overview, previous, problems,
    register, retention, roster, search, snapshots,
};

/// A statement whose cost must not grow with what is stored besides what it is about.
struct Statement {
    name: &'static str,
    sql: Text,
    /// Its parameters for PostgreSQL.
    parameters: &'static str,
    /// How the names of the indexes begin that it must use.
    indexes: &'static [&'static str],
}

enum Text {
    Each(&'static Sql),
    Both(&'static str),
}

impl Statement {
    fn on(&self, engine: Engine) -> &'static str {
        match self.sql {
            Text::Each(sql) => sql.on(engine),
            Text::Both(text) => text,
        }
    }

    /// Whether the plan uses each of the statement's indexes.
    fn keeps_to_its_indexes(&self, plan: &[String]) -> bool {
        self.indexes
            .iter()
            .all(|index| plan.iter().any(|line| line.contains(index)))
    }
}

impl From<&'static Sql> for Text {
    fn from(sql: &'static Sql) -> Self {
        Self::Each(sql)
    }
}

impl From<&'static str> for Text {
    fn from(sql: &'static str) -> Self {
        Self::Both(sql)
    }
}

fn statement(
    name: &'static str,
    sql: impl Into<Text>,
    parameters: &'static str,
    indexes: &'static [&'static str],
) -> Statement {
    Statement {
        name,
        sql: sql.into(),
        parameters,
        indexes,
    }
}

fn statements() -> Vec<Statement> {
    vec![
        statement(
            "a person's events",
            &search::OF_PERSON,
            "'s7', '[]', 'p7', 0, 9000000000000, NULL, NULL, 50, 9000000000000, ''",
            &["markback_events_of_person"],
        ),
        statement(
            "a school's events",
            &search::OF_SCHOOL,
            "'s7', '[]', NULL, 0, 9000000000000, NULL, NULL, 50, 9000000000000, ''",
            &["markback_events_school"],
        ),
        statement(
            "a school's events that need a person",
            &search::PROBLEMS_OF_SCHOOL,
            "'s7', '[[\"failed\"]]', NULL, 0, 9000000000000, NULL, NULL, 50, 9000000000000, ''",
            &["markback_events_problems"],
        ),
        statement(
            "all events",
            &search::OF_ALL,
            "NULL, '[]', NULL, 0, 9000000000000, NULL, NULL, 50, 9000000000000, ''",
            &["markback_events_received"],
        ),
        statement("open events", search::OPEN, "", &["markback_events_open"]),
        statement(
            "events of all schools that are open or wait for a person",
            &events::PENDING,
            "",
            &["markback_events_open", "markback_events_problems"],
        ),
        statement(
            "schools with events",
            events::SCHOOLS,
            "",
            &["markback_events"],
        ),
        statement(
            "what schools wait for",
            overview::WAITING,
            "",
            &["markback_events_open"],
        ),
        statement(
            "the last sync of each school",
            overview::LAST_SYNCS,
            "",
            &["markback_roster_syncs_last"],
        ),
        statement(
            "the last report of each school",
            overview::LAST_REPORTS,
            "",
            &["markback_roster_syncs_last"],
        ),
        statement(
            "a school's last sync",
            overview::LAST_SYNC,
            "'s7'",
            &["markback_roster_syncs_last"],
        ),
        statement(
            "a school's last syncs",
            roster::LAST_OF_SCHOOL,
            "'s7', 20",
            &["markback_roster_syncs_last"],
        ),
        statement(
            "a school's problems",
            &problems::PROBLEMS,
            "'s7', 19000, 20000, 50",
            &["markback_events_"],
        ),
        statement(
            "intake: stored events",
            &events::STORED,
            "'[[\"s7\",\"e7\"]]'",
            &["markback_events"],
        ),
        statement(
            "previous events",
            &previous::BEFORE,
            "'[[\"s7\",\"e7\",\"p7\",0,9]]'",
            &["markback_events_person"],
        ),
        statement(
            "what schools' MISs refuse",
            &limits::OF_SCHOOLS,
            "'[[\"s7\",\"sims\"]]'",
            &["markback_limits"],
        ),
        statement(
            "the versions of schools' directories",
            &roster::VERSIONS,
            "'[[\"s7\"]]'",
            &["markback_roster_schools"],
        ),
        statement(
            "how far a school's registers have been read",
            register::READING,
            "'s7'",
            &["markback_register_readings"],
        ),
        statement(
            "the people to whom ids belong",
            &roster::OWNERS,
            "'[[\"s7\",\"id\",\"p7\"]]'",
            &["markback_roster_schools", "markback_roster_directory"],
        ),
        statement(
            "the ledger of sessions",
            &ledger::LOOK,
            "'[[\"s7\",\"p7\",\"2026-11-23\",\"AM\"]]'",
            &["markback_ledger"],
        ),
        statement(
            "an event's history",
            audit::OF_EVENT,
            "'s7', 'e7'",
            &["markback_audit_event"],
        ),
        statement(
            "a school's day",
            day::OF_DAY,
            "'s7', 19000, 19100, 20001",
            &["markback_events_at"],
        ),
        statement(
            "days with events",
            snapshots::DAYS,
            "'s7', 5",
            &["markback_events_at"],
        ),
        statement(
            "the events of the last days",
            snapshots::PAST,
            "'s7', 19900",
            &["markback_events_at"],
        ),
        statement(
            "the snapshots of the last days",
            snapshots::SINCE,
            "'s7', 19900",
            &["markback_events_at", "markback_snapshots"],
        ),
        statement(
            "a page of the feed",
            feed::AFTER,
            "100, 9000000000000, 100",
            &["markback_feed_seq"],
        ),
        statement(
            "a page of the feed, some kinds",
            &feed::AFTER_OF_KINDS,
            "100, 20100, 100, '[[\"event\"]]'",
            &["markback_feed_seq"],
        ),
        statement(
            "a page of the feed, one school",
            &feed::AFTER_OF_SCHOOL,
            "100, 20100, 100, '[[\"event\"]]', 's7'",
            &["markback_feed_s"],
        ),
        statement(
            "numbering the feed",
            feed::NUMBER,
            "20000, 1000",
            &["markback_feed_"],
        ),
        statement(
            "old entries of the feed",
            feed::OLD,
            "0, 1000",
            &["markback_feed_seq"],
        ),
        statement("pruning the feed", feed::DROP, "10", &["markback_feed_seq"]),
        statement(
            "pruning events: those to remove",
            &retention::EVENTS.find,
            "10, 1000, 0",
            &["markback_events_received"],
        ),
        statement(
            "pruning events",
            &retention::EVENTS.remove,
            "10, 1000, 0, 9",
            &["markback_events_received"],
        ),
        statement(
            "pruning undecided events: those to remove",
            &retention::UNDECIDED.find,
            "10, 1000, 0",
            &["markback_events_received"],
        ),
        statement(
            "pruning undecided events",
            &retention::UNDECIDED.remove,
            "10, 1000, 0, 9",
            &["markback_events_received"],
        ),
        statement(
            "pruning histories: those to remove",
            &retention::AUDIT.find,
            "10, 1000, 0",
            &["markback_audit_at"],
        ),
        statement(
            "pruning histories",
            &retention::AUDIT.remove,
            "10, 1000, 0, 9",
            &["markback_audit_at"],
        ),
        statement(
            "pruning the ledger",
            &retention::LEDGER,
            "1, 1000",
            &["markback_ledger_day"],
        ),
        statement(
            "pruning registers",
            &retention::REGISTER,
            "1, 1000",
            &["markback_register_day"],
        ),
        statement(
            "pruning registers without days",
            &retention::UNDATED,
            "1, 1000",
            &["markback_register_undated"],
        ),
        statement(
            "pruning writebacks",
            &retention::WRITEBACKS,
            "1, 1000",
            &["markback_writebacks_at"],
        ),
        statement(
            "pruning parts of snapshots",
            &snapshots::UNUSED_PARTS,
            "-172800000, 1000",
            &["markback_events_received", "markback_snapshots"],
        ),
        statement(
            "pruning the audit log",
            &audit_log::PAST,
            "10, 1000",
            &["markback_audit_log_entries_at"],
        ),
    ]
}

/// Tables that grow with events. Nothing may read one of them as a whole.
const LARGE: [&str; 12] = [
    "markback_events",
    "markback_audit",
    "markback_ledger",
    "markback_snapshots",
    "markback_feed",
    "markback_register",
    "markback_writebacks",
    "markback_audit_log_entries",
    "markback_roster_syncs",
    "markback_roster_schools",
    "markback_roster_directory",
    "markback_register_readings",
];

/// Indexes of few rows of large tables, which may be read as a whole.
const PARTIAL: [&str; 3] = [
    "markback_events_open",
    "markback_events_problems",
    "markback_feed_unnumbered",
];

/// Fills a table with rows of the numbers from 1 to 20,000.
macro_rules! fill {
    ($into:literal, $columns:literal) => {
        Sql::new(concat!(
            "INSERT INTO ",
            $into,
            " SELECT ",
            $columns,
            " FROM {(WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000) SELECT i FROM n) n\
              |generate_series(1, 20000) n(i)}"
        ))
    };
}

/// 20,000 settled events of 50 schools, of which one in 200 needs a person, and what belongs to them.
static FILL: [Sql; 12] = [
    fill!(
        "markback_events (school, id, person, body, state, received_ms, settled_ms, at_ms)",
        "'s' || (n.i % 50), 'e' || n.i, 'p' || (n.i % 997), '{{}|{}}', \
         CASE n.i % 200 WHEN 0 THEN 'failed' ELSE 'confirmed' END, n.i, n.i, n.i"
    ),
    fill!(
        "markback_audit (school, event, at_ms, what, record)",
        "'s' || (n.i % 50), 'e' || n.i, n.i, 'received', '{{}|{}}'"
    ),
    fill!(
        "markback_ledger (school, student, day, session, marks)",
        "'s' || (n.i % 50), 'p' || n.i, '2026-11-' || (10 + n.i % 20), 'AM', '[]'"
    ),
    fill!(
        "markback_snapshots (school, event, look, decided_ms, job, group_part, mis_part, body)",
        "'s' || (n.i % 50), 'e' || n.i, 0, n.i, n.i, 'g' || (n.i % 50), 'm' || (n.i % 50), '{{}|{}}'"
    ),
    fill!(
        "markback_feed (seq, school, kind, at_ms, body)",
        "n.i, 's' || (n.i % 50), 'event', n.i, '{{}|{}}'"
    ),
    fill!(
        "markback_register (school, slot, student, row_key, day, generation, written_ms)",
        "'s' || (n.i % 50), 'd' || (n.i % 20), 'p' || n.i, '', '2026-11-' || (10 + n.i % 20), 1, n.i"
    ),
    fill!(
        "markback_writebacks (writeback, school, at_ms)",
        "'w' || n.i, 's' || (n.i % 50), n.i"
    ),
    fill!(
        "markback_audit_log_entries (at_ms, kind, action, school, via)",
        "n.i, 'look', 'person', 's' || (n.i % 50), 'page'"
    ),
    fill!(
        "markback_roster_syncs (school, id, why, extent, state, asked_ms, ended_ms, report)",
        "'s' || (n.i % 50), 'y' || n.i, 'small', 'changes', 'done', n.i, n.i, '{{}|{}}'"
    ),
    fill!(
        "markback_roster_schools (school, seq, pruned_seq, known, ready, synced_ms)",
        "'s' || n.i, n.i, 0, '{{}|{}}', 1, n.i"
    ),
    fill!(
        "markback_roster_directory (school, kind, sort, id, person, present)",
        "'s' || (n.i % 50), 'student', 'id', 'p' || n.i, 'p' || n.i, 'p' || n.i"
    ),
    fill!(
        "markback_register_readings (school, source, generation, began_ms, from_ms, upto_ms, touched_ms)",
        "'s' || n.i, 'sims', 1, n.i, n.i, n.i, n.i"
    ),
];

pub(super) async fn filled(url: &str) -> Store {
    let store = Store::open(url, Settings::default(), Arc::new(SystemClock))
        .await
        .unwrap();
    let mut tx = store.database().begin().await.unwrap();
    let engine = tx.engine();
    on_tx!(tx, conn => {
        for fill in &FILL {
            sqlx::query(fill.on(engine)).execute(&mut *conn).await.unwrap();
        }
    });
    tx.commit().await.unwrap();
    store
}

async fn analyse(store: &Store) {
    outbox::on_pool!(store.database(), pool => sqlx::raw_sql("ANALYZE").execute(pool).await.map(|_| ())).unwrap();
}

/// Whether SQLite's plan reads a large table as a whole, by itself or by an index with all of its rows. A table goes by its
/// alias, like what the plan has collected before.
fn reads_all(plan: &[String]) -> bool {
    let collected = |name: &str| {
        ["MATERIALIZE", "CO-ROUTINE"]
            .iter()
            .any(|how| plan.contains(&format!("{how} {name}")))
    };
    plan.iter().any(|line| {
        let Some(scanned) = line.strip_prefix("SCAN ") else {
            return false;
        };
        let name = scanned.split(' ').next().unwrap_or_default();
        let is_large = LARGE.contains(&name) || ["a", "e", "s", "l", "f"].contains(&name);
        let by_few = PARTIAL.iter().any(|index| scanned.ends_with(index));
        is_large && !by_few && !collected(name)
    })
}

async fn sqlite_faults(store: &Store) -> Vec<(&'static str, Vec<String>)> {
    let mut faults = Vec::new();
    for statement in statements() {
        let name = statement.name;
        let text = format!("EXPLAIN QUERY PLAN {}", statement.on(Engine::Sqlite));
        let plan = outbox::on_pool!(store.database(), pool => {
            sqlx::raw_sql(AssertSqlSafe(text)).fetch_all(pool).await.map(|rows| {
                rows.iter().filter_map(|row| row.try_get::<String, _>("detail").ok()).collect::<Vec<_>>()
            })
        })
        .unwrap_or_else(|error| panic!("{name}: {error}"));
        if reads_all(&plan) || !statement.keeps_to_its_indexes(&plan) {
            faults.push((name, plan));
        }
    }
    faults
}

/// The service never analyses, but an operator may.
#[tokio::test]
async fn sqlite_uses_an_index_with_statistics_and_without() {
    let store = filled("sqlite::memory:").await;
    let faults = sqlite_faults(&store).await;
    assert!(faults.is_empty(), "never analysed: {faults:#?}");
    analyse(&store).await;
    let faults = sqlite_faults(&store).await;
    assert!(faults.is_empty(), "analysed: {faults:#?}");
}

#[tokio::test]
async fn postgres_uses_an_index_with_any_kind_of_plan() {
    let Some(server) = throwaway_postgres::shared().unwrap() else {
        return;
    };
    let store = filled(&server.create_database().unwrap()).await;
    analyse(&store).await;
    let mut tx = store.database().begin().await.unwrap();
    let mut faults = Vec::new();
    on_tx!(tx, conn => {
        for (n, statement) in statements().into_iter().enumerate() {
            let name = statement.name;
            let prepare = format!("PREPARE s{n} AS {}", statement.on(Engine::Postgres));
            sqlx::raw_sql(AssertSqlSafe(prepare)).execute(&mut *conn).await.unwrap_or_else(|error| panic!("{name}: {error}"));
            let parameters = match statement.parameters {
                "" => String::new(),
                some => format!("({some})"),
            };
            for mode in ["force_generic_plan", "force_custom_plan"] {
                let explain = format!(
                    "SET LOCAL plan_cache_mode = {mode}; EXPLAIN EXECUTE s{n}{parameters}"
                );
                let rows = sqlx::raw_sql(AssertSqlSafe(explain)).fetch_all(&mut *conn).await.unwrap();
                let plan: Vec<String> = rows.iter().filter_map(|row| row.try_get(0).ok()).collect();
                let whole = |line: &&String| {
                    let table = line.split_once("Seq Scan on ").map_or("", |(_, table)| table);
                    LARGE.contains(&table.split(' ').next().unwrap_or_default())
                };
                if plan.iter().any(|line| whole(&line)) || !statement.keeps_to_its_indexes(&plan) {
                    faults.push((name, mode, plan));
                }
            }
        }
    });
    assert!(faults.is_empty(), "{faults:#?}");
}
