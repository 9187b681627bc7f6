//! Fills a database with the mornings of many schools and days. Each is a copy of a real one, which the service itself has
//! worked on, in every table that grows with events. So the rows are those that the service stores, whatever they become.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use chrono::{Datelike as _, Days, NaiveDate, NaiveTime, TimeDelta, Utc, Weekday};
use markback::store::Store;
use mis_core::Session;
use sqlx::{
    AssertSqlSafe, ConnectOptions as _, Connection as _, Row as _, SqliteConnection,
    sqlite::SqliteConnectOptions,
};

use crate::bench::{
    database::Fresh,
    load,
    node::Node,
    parts::{self, Bars},
    stage::Stage,
};

/// The events of the real morning, of all schools together.
const EVENTS: usize = 2_000;
/// The pupils whom the backlog leaves out, so that the morning's are others.
const LAST_PUPILS: usize = EVENTS / 9 + 1;
/// Mornings that are copied in one transaction.
const AT_ONCE: usize = 100;
/// How long entries of the feed are kept, by default.
const FEED_KEPT: i64 = 14;

/// Events of a school a day in a year.
const A_DAY: u32 = 50;
/// School days in 90 days, and in the rest of a year's retention of events that wait for a person.
const SCHOOL_DAYS: u64 = 64;
const MORE_SCHOOL_DAYS: u32 = 196;
/// One in so many events waits for a person and is never decided on: one of every fourth school a day.
const UNDECIDED_SCHOOLS: usize = 4;
/// Looks at people that each school's office has recorded a day, and the days for which they are kept, most of them no
/// school days' looks.
const LOOKS_A_DAY: u32 = 7;
const LOOKS_KEPT: u32 = 396;

/// A table that grows with events, and how its rows belong to the events `s`.
struct Table {
    name: &'static str,
    rows_of: &'static str,
    /// Columns that the database fills in.
    own: &'static [&'static str],
    /// Whether its rows stay as long as an event that waits for a person.
    stays: bool,
}

const TABLES: [Table; 7] = [
    Table {
        name: "markback_events",
        rows_of: "x.school = s.school AND x.id = s.id",
        own: &[],
        stays: true,
    },
    Table {
        name: "markback_audit",
        rows_of: "x.school = s.school AND x.event = s.id",
        own: &[],
        stays: true,
    },
    Table {
        name: "markback_ledger",
        rows_of: "x.school = s.school AND x.student = s.student",
        own: &[],
        stays: false,
    },
    Table {
        name: "markback_snapshots",
        rows_of: "x.school = s.school AND x.event = s.id",
        own: &[],
        stays: true,
    },
    Table {
        name: "markback_writebacks",
        rows_of: "x.school = s.school AND x.writeback = s.writeback AND s.first_of_writeback",
        own: &[],
        stays: false,
    },
    Table {
        name: "outbox_jobs",
        rows_of: "x.key LIKE s.school || '/%' AND substr(x.key, instr(x.key, '#') + 1) = s.id",
        own: &["id"],
        stays: false,
    },
    FEED,
];
const FEED: Table = Table {
    name: "markback_feed",
    rows_of: "x.school = s.school AND x.kind = 'event' AND x.body ->> 'id' = s.id",
    own: &["id", "seq"],
    stays: false,
};

/// The events of the morning by school, with what finds their rows in the other tables.
const SOURCE: &str = "CREATE TABLE growth_source AS SELECT school, id, student, writeback, \
     row_number() OVER (PARTITION BY school, writeback ORDER BY id) = 1 AS first_of_writeback, \
     row_number() OVER (PARTITION BY school ORDER BY id) - 1 AS n FROM markback_events WHERE student IS NOT NULL; \
     CREATE INDEX growth_source_school ON growth_source (school, id)";

/// A database with one real morning.
pub(super) struct Morning {
    file: PathBuf,
    date: NaiveDate,
    schools: Vec<String>,
}

/// How much is stored.
#[derive(Clone, Copy, Debug)]
pub(super) struct Extent {
    pub(super) events: u64,
    pub(super) schools: u32,
    /// The most events of one school and day.
    pub(super) a_day: u32,
    /// Whether also what is kept for longer is stored: events that wait for a person, and the audit log.
    pub(super) is_year: bool,
}

impl Extent {
    /// What is kept after a year by default: events of 90 days, and what is kept for longer.
    pub(super) fn year(schools: u32) -> Self {
        Self {
            events: u64::from(schools * A_DAY) * SCHOOL_DAYS,
            schools,
            a_day: A_DAY,
            is_year: true,
        }
    }
}

/// What was stored.
pub(super) struct Filled {
    pub(super) fresh: Fresh,
    pub(super) events: u64,
    /// The days with all their events, latest first.
    pub(super) days: Vec<NaiveDate>,
}

/// Lets the service work on a morning of the stage's schools until all is settled.
pub(super) async fn morning(stage: &Stage, bars: &Bars) -> anyhow::Result<Morning> {
    let fresh = Fresh::sqlite(stage)?;
    let path = stage.settings("morning", &stage.schools)?;
    let http = load::client()?;
    let node = Node::start(&path, &fresh).await?;
    node.knows_people(&http, stage).await?;
    let store = parts::open(&fresh).await?;
    parts::registers_read(&store, parts::DONE_WITHIN).await?;
    let events = (0..stage.schools.len()).flat_map(|school| {
        let all = stage.sign_ins_at(school, Session::Am);
        let skipped = all.len().saturating_sub(LAST_PUPILS);
        all.into_iter().skip(skipped)
    });
    let events: Vec<_> = events.collect();
    bars.during("a morning", async {
        load::in_lists(&http, stage, &node, events, || ()).await?;
        parts::all_settled(&store, parts::DONE_WITHIN).await
    })
    .await?;
    node.end().await?;
    store.database().close().await;
    let file = fresh.file().context("the morning is not in a file")?;
    let mut connection = connect(&file).await?;
    for text in [SOURCE, "DELETE FROM markback_notices"] {
        sqlx::raw_sql(text).execute(&mut connection).await?;
    }
    for table in &TABLES {
        let (name, rows_of) = (table.name, table.rows_of);
        let text = format!(
            "CREATE TABLE growth_{name} AS SELECT s.school AS growth_school, s.n AS growth_n, x.* \
                 FROM growth_source s JOIN {name} x ON {rows_of}; \
             CREATE INDEX growth_{name}_school ON growth_{name} (growth_school, growth_n)"
        );
        sqlx::raw_sql(AssertSqlSafe(text))
            .execute(&mut connection)
            .await?;
    }
    connection.close().await?;
    Ok(Morning {
        file,
        date: stage.date,
        schools: stage
            .schools
            .iter()
            .map(|school| school.id.clone())
            .collect(),
    })
}

impl Morning {
    /// How many rows the morning left in each table, for each event.
    pub(super) async fn rows_of_an_event(&self) -> anyhow::Result<Vec<(&'static str, f64)>> {
        let mut connection = connect(&self.file).await?;
        let events = count(&mut connection, "growth_source").await?;
        let mut rows = Vec::new();
        for table in &TABLES {
            let count = count(&mut connection, &format!("growth_{}", table.name)).await?;
            rows.push((table.name, count / events));
        }
        connection.close().await?;
        Ok(rows)
    }

    /// The name of one of many schools. The first are those of the stage.
    pub(super) fn school(&self, number: u32) -> String {
        let real = usize::try_from(number)
            .ok()
            .and_then(|n| self.schools.get(n));
        real.cloned().unwrap_or_else(|| format!("B{number:010}"))
    }

    /// A database with this morning, and copies of it at all schools on the school days before it.
    pub(super) async fn copies(&self, stage: &Stage, extent: Extent) -> anyhow::Result<Filled> {
        let fresh = Fresh::sqlite(stage)?;
        let file = fresh.file().context("the database is not in a file")?;
        std::fs::copy(&self.file, &file).context("the morning cannot be copied")?;
        let mut connection = connect(&file).await?;
        let statements = statements(&mut connection).await?;
        // The feed's entries come in the order of their days.
        sqlx::raw_sql("DELETE FROM markback_feed")
            .execute(&mut connection)
            .await?;
        let units = self.units(&mut connection, extent).await?;
        // The real morning's events are those of the last school day, but came in today.
        let late = Utc::now().date_naive() - self.date;
        let mut stored = 0;
        for (chunk, units) in (0u64..).zip(units.chunks(AT_ONCE)) {
            let mut tx = connection.begin().await?;
            for (n, unit) in (0u64..).zip(units) {
                let prefix = format!("g{}-", chunk * 100 + n);
                for (table, text) in &statements {
                    if !unit.has(table) {
                        continue;
                    }
                    let done = sqlx::query(AssertSqlSafe(text.as_str()))
                        .bind(&unit.from)
                        .bind(&unit.school)
                        .bind(&prefix)
                        .bind(unit.date.to_string())
                        .bind(self.date.to_string())
                        .bind(-unit.age.num_milliseconds())
                        .bind(i64::from(unit.events))
                        .bind(late.num_milliseconds())
                        .execute(&mut *tx)
                        .await?;
                    if table.name == "markback_events" {
                        stored += done.rows_affected();
                    }
                }
            }
            tx.commit().await?;
        }
        let mut ends = self.ends();
        if extent.is_year {
            ends.extend(year(extent.schools, &units));
        }
        for text in ends {
            sqlx::raw_sql(AssertSqlSafe(text))
                .execute(&mut connection)
                .await?;
        }
        connection.close().await?;
        let whole = units.iter().filter(|unit| !unit.is_undecided);
        let mut days: Vec<NaiveDate> = whole.map(|unit| unit.date).collect();
        days.dedup();
        days.reverse();
        Ok(Filled {
            fresh,
            events: stored,
            days,
        })
    }

    /// The mornings to copy, oldest first, so that there are as many events as wanted.
    async fn units(
        &self,
        connection: &mut SqliteConnection,
        extent: Extent,
    ) -> anyhow::Result<Vec<Unit>> {
        let text = "SELECT count(*) FROM growth_source WHERE school = $1 AND n < $2";
        let mut sizes = Vec::new();
        for school in &self.schools {
            let size: i64 = sqlx::query_scalar(text)
                .bind(school)
                .bind(i64::from(extent.a_day))
                .fetch_one(&mut *connection)
                .await?;
            sizes.push(u64::try_from(size)?.max(1));
        }
        let unit = |number: u32, date: NaiveDate| {
            let from = usize::try_from(number)? % self.schools.len().max(1);
            let unit = Unit {
                from: self
                    .schools
                    .get(from)
                    .context("there is no school")?
                    .clone(),
                school: self.school(number),
                date,
                age: self.date - date,
                events: extent.a_day,
                is_undecided: false,
            };
            anyhow::Ok((unit, sizes.get(from).copied().unwrap_or(1)))
        };
        let (mut units, mut events) = (Vec::new(), 0);
        let mut date = self.date;
        while events < extent.events {
            date = school_day_before(date);
            for number in 0..extent.schools {
                if events >= extent.events {
                    break;
                }
                let (unit, size) = unit(number, date)?;
                events += size;
                units.push(unit);
            }
        }
        if extent.is_year {
            for _ in 0..MORE_SCHOOL_DAYS {
                date = school_day_before(date);
                for number in (0..extent.schools).step_by(UNDECIDED_SCHOOLS) {
                    let (unit, _) = unit(number, date)?;
                    units.push(Unit {
                        events: 1,
                        is_undecided: true,
                        ..unit
                    });
                }
            }
        }
        units.reverse();
        Ok(units)
    }

    /// What is done at the end: the morning's own entries of the feed, numbers, and no trace of the copying.
    fn ends(&self) -> Vec<String> {
        let mut ends = vec![
            "INSERT INTO markback_feed (school, kind, at_ms, body) SELECT school, kind, at_ms, body \
                 FROM growth_markback_feed"
                .to_owned(),
            "UPDATE markback_feed SET seq = id".to_owned(),
            "UPDATE markback_feed_head SET seq = coalesce((SELECT max(seq) FROM markback_feed), seq), \
                 pruned_seq = coalesce((SELECT min(seq) - 1 FROM markback_feed), pruned_seq)"
                .to_owned(),
            "UPDATE outbox_numbers SET last = (SELECT max(id) FROM outbox_jobs)".to_owned(),
        ];
        let tables = TABLES.iter().map(|table| table.name);
        ends.extend(tables.map(|name| format!("DROP TABLE growth_{name}")));
        ends.push("DROP TABLE growth_source".to_owned());
        ends
    }
}

/// What else a year leaves.
fn year(schools: u32, units: &[Unit]) -> Vec<String> {
    let undecided = units.iter().filter(|unit| unit.is_undecided);
    let latest = undecided.map(|unit| unit.date).max().unwrap_or_default();
    let latest = (latest + Days::new(1)).and_time(NaiveTime::MIN).and_utc();
    let (looks, until) = (
        u64::from(schools * LOOKS_A_DAY) * u64::from(LOOKS_KEPT),
        latest.timestamp_millis(),
    );
    vec![
        format!("UPDATE markback_events SET state = 'unconfirmed' WHERE received_ms < {until}"),
        format!(
            "INSERT INTO markback_audit_log_entries (at_ms, kind, action, school, subject, key_id, caller, via) \
             SELECT unixepoch() * 1000 - {LOOKS_KEPT} * 86400000 + i * {LOOKS_KEPT} * 86400000 / {looks}, \
                 'look', 'person_viewed', printf('B%010d', i % {schools}), 'A' || (1000000000 + i % 1350), NULL, 'office', 'page' \
             FROM (WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < {looks} - 1) SELECT i FROM n)"
        ),
    ]
}

/// A morning to copy.
struct Unit {
    from: String,
    school: String,
    date: NaiveDate,
    /// How long before the real morning.
    age: TimeDelta,
    /// The most events.
    events: u32,
    /// Whether they wait for a person longer than others are kept.
    is_undecided: bool,
}

impl Unit {
    /// Whether the table still has rows of it.
    fn has(&self, table: &Table) -> bool {
        let is_old = table.name == FEED.name && self.age > TimeDelta::days(FEED_KEPT);
        !is_old && (table.stays || !self.is_undecided)
    }
}

fn school_day_before(date: NaiveDate) -> NaiveDate {
    let mut day = date - Days::new(1);
    while matches!(day.weekday(), Weekday::Sat | Weekday::Sun) {
        day = day - Days::new(1);
    }
    day
}

/// A statement for each table that copies a school's morning (`$1`) to another school (`$2`) and day (`$4` instead of `$5`,
/// `$6` ms later, and received `$8` ms before that), with other ids (`$3`), for the first `$7` events.
async fn statements(
    connection: &mut SqliteConnection,
) -> anyhow::Result<Vec<(&'static Table, String)>> {
    let mut statements = Vec::new();
    for table in &TABLES {
        let rows = sqlx::query("SELECT name, type FROM pragma_table_info($1)")
            .bind(table.name)
            .fetch_all(&mut *connection)
            .await?;
        let mut columns = Vec::new();
        for row in rows {
            let (name, kind): (String, String) = (row.try_get(0)?, row.try_get(1)?);
            if !table.own.contains(&name.as_str()) {
                columns.push((copied(table, &name, &kind), name));
            }
        }
        let (values, names): (Vec<_>, Vec<_>) = columns.into_iter().unzip();
        let (into, values, names) = (table.name, values.join(", "), names.join(", "));
        let text = format!(
            "INSERT INTO {into} ({names}) SELECT {values} FROM growth_{into} x \
             WHERE x.growth_school = $1 AND x.growth_n < $7"
        );
        statements.push((table, text));
    }
    Ok(statements)
}

/// A column's value in the copy.
fn copied(table: &Table, name: &str, kind: &str) -> String {
    const TIMES: [&str; 5] = ["due_at", "run_at", "set_at", "created_at", "finished_at"];
    let text = format!("replace(replace(replace(x.{name}, 'bench-', $3), $5, $4), $1, $2)");
    if name.ends_with("_ms") || TIMES.contains(&name) {
        let received = if table.name == "markback_events" && name == "at_ms" {
            "0"
        } else {
            "$8"
        };
        format!("x.{name} + $6 - {received}")
    } else if name == "writeback" {
        format!("$3 || x.{name}")
    } else if table.name == "markback_snapshots" && name == "body" {
        // The time of the decision, in ns.
        format!("json_set({text}, '$.now', json_extract(x.body, '$.now') + ($6 - $8) * 1000000)")
    } else if kind == "TEXT" {
        text
    } else {
        format!("x.{name}")
    }
}

/// A connection that does not wait for the disk: nothing of this need survive.
pub(super) async fn connect(file: &Path) -> anyhow::Result<SqliteConnection> {
    let options = SqliteConnectOptions::new()
        .filename(file)
        .pragma("synchronous", "OFF")
        .pragma("cache_size", "-400000")
        .pragma("temp_store", "MEMORY")
        .disable_statement_logging();
    Ok(options.connect().await?)
}

async fn count(connection: &mut SqliteConnection, table: &str) -> anyhow::Result<f64> {
    let text = format!("SELECT CAST(count(*) AS REAL) FROM {table}");
    Ok(sqlx::query_scalar(AssertSqlSafe(text))
        .fetch_one(connection)
        .await?)
}

/// The largest tables with their indexes, in MiB.
pub(super) async fn largest(store: &Store) -> anyhow::Result<Vec<(String, f64)>> {
    const SIZES: &str = "SELECT m.tbl_name, sum(s.pgsize) / 1048576.0 AS mib FROM dbstat s \
         JOIN sqlite_schema m ON m.name = s.name WHERE s.aggregate = TRUE GROUP BY m.tbl_name ORDER BY mib DESC LIMIT 16";
    Ok(outbox::on_pool!(store.database(), pool => sqlx::query_as(SIZES).fetch_all(pool).await)?)
}
