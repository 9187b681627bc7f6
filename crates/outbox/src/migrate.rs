//! Migrations that can live in somebody else's database: each set has its own prefix and its own table of versions.

use std::cmp::Ordering;

use sqlx::SqlSafeStr;
use sqlx::migrate::{Migrate, Migration, MigrationType};

use crate::database::{Conn, Database, Engine, Pool};
use crate::error::{Error, ErrorKind, Result};

/// One step of a schema, in both dialects. Once released, it never changes.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// Its number; steps run in rising order.
    pub version: i64,
    /// What it does, in a few words.
    pub name: &'static str,
    /// Its statements for SQLite.
    pub sqlite: &'static str,
    /// Its statements for PostgreSQL.
    pub postgres: &'static str,
}

/// The steps of one owner, kept apart from others by `prefix`: its versions are in the table `<prefix>_migrations`,
/// and its own tables should begin with `<prefix>_`.
#[derive(Clone, Copy, Debug)]
pub struct Migrations {
    /// Lower-case letters, digits and underscores.
    pub prefix: &'static str,
    /// All steps there ever were.
    pub steps: &'static [Step],
}

/// The queue's own tables.
pub const MIGRATIONS: Migrations = Migrations {
    prefix: "outbox",
    steps: &[Step {
        version: 1,
        name: "jobs",
        sqlite: include_str!("../migrations/sqlite/0001_jobs.sql"),
        postgres: include_str!("../migrations/postgres/0001_jobs.sql"),
    }],
};

impl Database {
    /// Brings the schema of `set` up to date, all of it or nothing.
    ///
    /// Safe when several processes start at once: one does it, the others wait and find it done.
    ///
    /// # Errors
    /// [`ErrorKind::Schema`] when the database was brought further by a newer program, or when a released step was
    /// changed; [`ErrorKind::Config`] for a bad prefix or a missing right.
    pub async fn migrate(&self, set: &Migrations) -> Result<()> {
        if set.prefix.is_empty()
            || !set
                .prefix
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        {
            return Err(Error::new(
                ErrorKind::Config,
                "migration",
                "a prefix is made of lower-case letters, digits and underscores",
            ));
        }
        let steps = steps(set, self.engine());
        let table = set.table();
        let mut tx = self.begin().await?;
        match tx.conn() {
            // BEGIN IMMEDIATE is the lock.
            Conn::Sqlite(conn) => run(conn, &table, &steps).await,
            Conn::Postgres(conn) => {
                sqlx::query("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))")
                    .bind(&table)
                    .execute(&mut *conn)
                    .await?;
                run(conn, &table, &steps).await
            }
        }?;
        tx.commit().await
    }
}

impl Migrations {
    /// The table of the versions that a database has.
    fn table(&self) -> String {
        format!("{}_migrations", self.prefix)
    }
}

impl Database {
    /// How far the schema of `set` has come here. Changes nothing.
    ///
    /// # Errors
    /// As the database answers.
    pub async fn migrated(&self, set: &Migrations) -> Result<Migrated> {
        let table = set.table();
        let found: i64 = match self.pool() {
            Pool::Sqlite(pool) => {
                let text = "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = $1";
                sqlx::query_scalar(text).bind(&table).fetch_one(pool).await
            }
            Pool::Postgres(pool) => {
                let text = "SELECT CASE WHEN to_regclass($1) IS NULL THEN 0 ELSE 1 END::bigint";
                sqlx::query_scalar(text).bind(&table).fetch_one(pool).await
            }
        }?;
        if found == 0 {
            return Ok(Migrated::Never);
        }
        // The prefix is a constant of a program, not anybody's input.
        let text = format!("SELECT coalesce(max(version), 0) FROM {table}");
        let version: i64 = match self.pool() {
            Pool::Sqlite(pool) => {
                sqlx::query_scalar(sqlx::AssertSqlSafe(text))
                    .fetch_one(pool)
                    .await
            }
            Pool::Postgres(pool) => {
                sqlx::query_scalar(sqlx::AssertSqlSafe(text))
                    .fetch_one(pool)
                    .await
            }
        }?;
        let last = set.steps.iter().map(|step| step.version).max();
        Ok(match version.cmp(&last.unwrap_or(0)) {
            Ordering::Less => Migrated::Behind,
            Ordering::Equal => Migrated::UpToDate,
            Ordering::Greater => Migrated::Ahead,
        })
    }
}

/// How far a database's schema has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Migrated {
    /// Its tables were never made.
    Never,
    /// Steps are missing.
    Behind,
    /// All steps are done.
    UpToDate,
    /// A newer program has done more.
    Ahead,
}

/// Does what is missing, inside the transaction that `conn` is in; each step becomes a savepoint.
async fn run<C: Migrate>(conn: &mut C, table: &str, steps: &[Migration]) -> Result<()> {
    conn.ensure_migrations_table(table).await?;
    let applied = conn.list_applied_migrations(table).await?;
    let known = steps.last().map_or(0, |step| step.version);
    for done in &applied {
        let version = done.version;
        match steps.iter().find(|step| step.version == version) {
            None => {
                return Err(schema(
                    table,
                    format!(
                        "the database is at version {version}, this program knows versions up to {known}: run the newer \
                     program, or restore a backup from before the upgrade"
                    ),
                ));
            }
            Some(step) if step.checksum != done.checksum => {
                return Err(schema(
                    table,
                    format!(
                        "version {version} was applied with another text than this program has"
                    ),
                ));
            }
            Some(_) => {}
        }
    }
    for step in steps {
        if !applied.iter().any(|done| done.version == step.version) {
            let (version, name) = (step.version, &step.description);
            conn.apply(table, step).await.map_err(|error| {
                Error::from(error).during(format!("step {version} ({name}) of {table}"))
            })?;
        }
    }
    Ok(())
}

fn schema(table: &str, detail: String) -> Error {
    Error::new(
        ErrorKind::Schema,
        format!("the versions in {table}"),
        detail,
    )
}

/// The steps in rising order.
fn steps(set: &Migrations, engine: Engine) -> Vec<Migration> {
    let mut steps: Vec<_> = set
        .steps
        .iter()
        .map(|step| {
            let sql = match engine {
                Engine::Sqlite => step.sqlite,
                Engine::Postgres => step.postgres,
            };
            Migration::new(
                step.version,
                step.name.into(),
                MigrationType::Simple,
                sql.into_sql_str(),
                false,
            )
        })
        .collect();
    steps.sort_by_key(|step| step.version);
    steps
}
