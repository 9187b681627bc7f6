//! Migrations that can live in somebody else's database: each set has its own prefix and its own table of versions.

use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::{Acquire, SqlSafeStr};

use crate::database::{Conn, Database, Engine};
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
        let migrator = migrator(set, self.engine());
        let mut tx = self.begin().await?;
        let done = match tx.conn() {
            // BEGIN IMMEDIATE is the lock.
            Conn::Sqlite(conn) => run(&migrator, conn).await,
            Conn::Postgres(conn) => {
                sqlx::query("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))")
                    .bind(format!("{}_migrations", set.prefix))
                    .execute(&mut *conn)
                    .await?;
                run(&migrator, conn).await
            }
        };
        done.map_err(|error| explain(set, error))?;
        tx.commit().await
    }
}

/// The steps inside the transaction that `conn` is in; each becomes a savepoint.
async fn run<'a, A>(migrator: &Migrator, conn: A) -> Result<(), MigrateError>
where
    A: Acquire<'a>,
    <A::Connection as std::ops::Deref>::Target: sqlx::migrate::Migrate,
{
    migrator.run(conn).await
}

fn migrator(set: &Migrations, engine: Engine) -> Migrator {
    let steps = set
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
    let mut migrator = Migrator::with_migrations(steps);
    migrator.dangerous_set_table_name(format!("{}_migrations", set.prefix));
    migrator.set_locking(false);
    migrator
}

fn explain(set: &Migrations, error: MigrateError) -> Error {
    let what = format!("migration of the {}_ tables", set.prefix);
    let known = set.steps.iter().map(|step| step.version).max().unwrap_or(0);
    match error {
        MigrateError::VersionMissing(version) => Error::new(
            ErrorKind::Schema,
            what,
            format!(
                "the database is at version {version}, this program knows versions up to {known}: run the newer \
                 program, or restore a backup from before the upgrade"
            ),
        ),
        MigrateError::VersionMismatch(version) => Error::new(
            ErrorKind::Schema,
            what,
            format!("version {version} was applied with another text than this program has"),
        ),
        other => Error::from(other).during(what),
    }
}
