//! Schema migrations beside those of a host: each set has its own prefix and its own version table.

use std::cmp::Ordering;

use sqlx::SqlSafeStr;
use sqlx::migrate::{Migrate, Migration, MigrationType};

use crate::database::{Database, Engine};
use crate::error::{Error, ErrorKind, Result};
use crate::sql::Sql;

/// One step of a schema, in both dialects. It never changes once released.
#[derive(Clone, Copy, Debug)]
pub struct MigrationStep {
    /// Its version; steps run in ascending order.
    pub version: i64,
    /// A short description.
    pub name: &'static str,
    /// Its statements for SQLite.
    pub sqlite: &'static str,
    /// Its statements for PostgreSQL.
    pub postgres: &'static str,
}

/// The migrations of one crate. Its versions are stored in the table `<prefix>_migrations`, and its own tables should
/// begin with `<prefix>_`.
#[derive(Clone, Copy, Debug)]
pub struct Migrations {
    /// Lower-case letters, digits and underscores.
    pub prefix: &'static str,
    /// All steps.
    pub steps: &'static [MigrationStep],
}

/// The queue's tables.
pub const MIGRATIONS: Migrations = Migrations {
    prefix: "outbox",
    steps: &[
        MigrationStep {
            version: 1,
            name: "jobs",
            sqlite: include_str!("../migrations/sqlite/0001_jobs.sql"),
            postgres: include_str!("../migrations/postgres/0001_jobs.sql"),
        },
        MigrationStep {
            version: 2,
            name: "names",
            sqlite: include_str!("../migrations/sqlite/0002_names.sql"),
            postgres: include_str!("../migrations/postgres/0002_names.sql"),
        },
    ],
};

impl Database {
    /// Applies all missing migrations in one transaction.
    ///
    /// Several processes can call this at once: one applies them, the others wait.
    ///
    /// # Errors
    /// Returns [`ErrorKind::Schema`] if a newer program has migrated the database further, or if a released step was
    /// changed; [`ErrorKind::Config`] if the prefix is invalid or a permission is missing.
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
                "a prefix consists of lower-case letters, digits and underscores",
            ));
        }
        let steps = steps(set, self.engine());
        let table = set.table();
        let mut tx = self.begin().await?;
        // On SQLite `BEGIN IMMEDIATE` is the lock.
        if tx.engine() == Engine::Postgres {
            on_tx!(tx, conn => {
                sqlx::query("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))")
                    .bind(&table)
                    .execute(conn)
                    .await
                    .map(|_| ())
            })?;
        }
        on_tx!(tx, conn => run(conn, &table, &steps).await)?;
        tx.commit().await
    }
}

static FIND_TABLE: Sql = Sql::new(
    "{SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = $1\
     |SELECT CASE WHEN to_regclass($1) IS NULL THEN 0 ELSE 1 END::bigint}",
);

impl Migrations {
    /// The version table.
    fn table(&self) -> String {
        format!("{}_migrations", self.prefix)
    }
}

impl Database {
    /// Returns whether the migrations were applied. Changes nothing.
    ///
    /// # Errors
    /// Returns an error if the database query fails.
    pub async fn migration_status(&self, set: &Migrations) -> Result<MigrationStatus> {
        let table = set.table();
        let text = FIND_TABLE.on(self.engine());
        let found: i64 = on_pool!(self, pool => {
            sqlx::query_scalar(text).bind(&table).fetch_one(pool).await
        })?;
        if found == 0 {
            return Ok(MigrationStatus::Never);
        }
        // The prefix is a constant of the program.
        let text = format!("SELECT coalesce(max(version), 0) FROM {table}");
        let version: i64 = on_pool!(self, pool => {
            sqlx::query_scalar(sqlx::AssertSqlSafe(text)).fetch_one(pool).await
        })?;
        let last = set.steps.iter().map(|step| step.version).max();
        Ok(match version.cmp(&last.unwrap_or(0)) {
            Ordering::Less => MigrationStatus::Behind,
            Ordering::Equal => MigrationStatus::UpToDate,
            Ordering::Greater => MigrationStatus::Ahead,
        })
    }
}

/// Whether the migrations of a set were applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MigrationStatus {
    /// None was applied.
    Never,
    /// Some are missing.
    Behind,
    /// All were applied.
    UpToDate,
    /// A newer program has applied more.
    Ahead,
}

/// Applies the missing steps inside the transaction of `conn`, each in a savepoint.
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
                        "the database has version {version}, and this program supports versions up to {known}: run the newer \
                     program, or restore a backup from before the upgrade"
                    ),
                ));
            }
            Some(step) if step.checksum != done.checksum => {
                return Err(schema(
                    table,
                    format!("version {version} was applied with a different text"),
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

/// The steps in ascending order.
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
