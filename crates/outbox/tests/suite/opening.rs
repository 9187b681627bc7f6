//! Opening a store, its schema, and what it says when it cannot be used.

use std::sync::Arc;
use std::time::Duration;

use outbox::{
    Database, Engine, Error, ErrorKind, MigrationStep, Migrations, OpenOptions, Outbox, Recovery,
    on_pool, on_tx,
};

use crate::support::*;

async fn refused(url: &str) -> Error {
    let options = OpenOptions::default().busy_timeout(Duration::from_millis(300));
    Database::open_with(url, &options).await.unwrap_err()
}

#[tokio::test]
async fn an_invalid_url_is_rejected_without_showing_its_password() {
    for (url, hint) in [
        ("mysql://root:s3cret@host/db", "unknown scheme \"mysql\""),
        ("s3cret", "no scheme"),
        ("s3cret@host:5432/db", "no scheme"),
        ("", "no scheme"),
        ("postgres://user:s3cret@host:notaport/db", "URL"),
        ("sqlite:///tmp/x.db?mode=s3cret", "URL"),
    ] {
        let error = refused(url).await;
        assert_eq!(error.kind(), ErrorKind::Config, "{url}: {error}");
        assert_eq!(error.recovery(), Recovery::Never);
        let shown = format!("{error} {error:?} {:?}", std::error::Error::source(&error));
        assert!(shown.contains(hint), "{shown}");
        assert!(!shown.contains("s3cret"), "{shown}");
    }
}

#[tokio::test]
async fn an_unreachable_database_is_a_temporary_error() {
    let error = refused("postgres://user:s3cret@127.0.0.1:1/db").await;
    assert!(
        error.is_unavailable() && error.recovery() == Recovery::Retry,
        "{error:?}"
    );
    assert!(!format!("{error:?}").contains("s3cret"));
    let error = refused("sqlite:///nonexistent/folder/store.db").await;
    assert!(error.is_unavailable(), "{error:?}");
    let error = refused("sqlite:///tmp/surely-not-there.db?mode=rw").await;
    assert!(error.is_unavailable(), "{error:?}");
}

#[tokio::test]
async fn a_file_that_is_not_a_database_is_reported_as_corrupt() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    std::fs::write(&path, "This is not a database at all. ".repeat(500)).unwrap();
    let error = refused(&format!("sqlite://{}", path.display())).await;
    assert_eq!(
        (error.kind(), error.recovery()),
        (ErrorKind::Corrupt, Recovery::Never),
        "{error}"
    );
}

#[tokio::test]
async fn sqlite_is_opened_for_safety() {
    let s = Store::sqlite().await;
    assert_eq!(s.db.engine(), Engine::Sqlite);
    let mut tx = s.begin().await;
    let outbox::Conn::Sqlite(conn) = tx.conn() else {
        panic!("sqlite")
    };
    let pragmas: (String, i64, i64) = sqlx::query_as(
        "SELECT j.journal_mode, s.synchronous, f.foreign_keys \
         FROM pragma_journal_mode j, pragma_synchronous s, pragma_foreign_keys f",
    )
    .fetch_one(conn)
    .await
    .unwrap();
    assert_eq!(pragmas, ("wal".to_owned(), 2, 1));
    // The readers read while the writer writes, and cannot write themselves.
    let read: i64 = on_pool!(s.db, pool => sqlx::query_scalar("SELECT count(*) FROM outbox_jobs").fetch_one(pool).await).unwrap();
    assert_eq!(read, 0);
    let wrote = on_pool!(s.db, pool => sqlx::query("DELETE FROM outbox_jobs").execute(pool).await.map(drop));
    assert_eq!(Error::from(wrote.unwrap_err()).kind(), ErrorKind::Config);
}

#[tokio::test]
async fn a_locked_file_is_busy_and_works_again_afterwards() {
    let s = Store::sqlite().await;
    let options = OpenOptions::default().busy_timeout(Duration::from_millis(50));
    let other = Database::open_with(&s.url, &options).await.unwrap();
    let lock = s.begin().await;
    let error = other.begin().await.unwrap_err();
    assert_eq!(
        (error.kind(), error.recovery()),
        (ErrorKind::Busy, Recovery::Retry),
        "{error}"
    );
    lock.rollback().await.unwrap();
    drop(other.begin().await.unwrap());
    // The same within one process: the writer is taken.
    let held = other.begin().await.unwrap();
    assert_eq!(other.begin().await.unwrap_err().kind(), ErrorKind::Busy);
    drop(held);
    drop(other.begin().await.unwrap());
}

#[tokio::test]
async fn a_full_disk_is_reported_and_loses_nothing() {
    let s = Store::sqlite().await;
    s.enqueue(&[job("before")]).await;
    let mut tx = s.begin().await;
    let outbox::Conn::Sqlite(conn) = tx.conn() else {
        panic!("sqlite")
    };
    let pages: i64 = sqlx::query_scalar("SELECT page_count FROM pragma_page_count")
        .fetch_one(&mut *conn)
        .await
        .unwrap();
    sqlx::query(sqlx::AssertSqlSafe(format!(
        "PRAGMA max_page_count = {}",
        pages + 1
    )))
    .execute(&mut *conn)
    .await
    .unwrap();
    tx.commit().await.unwrap();

    let jobs: Vec<_> = (0..500).map(|n| job(&n.to_string())).collect();
    let mut tx = s.begin().await;
    let error = s.outbox.enqueue(&mut tx, &jobs).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.recovery()),
        (ErrorKind::Full, Recovery::Retry),
        "{error}"
    );
    drop(tx);
    assert_eq!(s.claim_keys().await, ["before"]);

    let mut tx = s.begin().await;
    let outbox::Conn::Sqlite(conn) = tx.conn() else {
        panic!("sqlite")
    };
    sqlx::query("PRAGMA max_page_count = 1000000")
        .execute(conn)
        .await
        .unwrap();
    tx.commit().await.unwrap();
    s.enqueue(&jobs).await;
    assert_eq!(s.claim(1000).await.len(), 500);
}

static HOST: Migrations = Migrations {
    prefix: "host",
    steps: &[MigrationStep {
        version: 1,
        name: "events",
        sqlite: "CREATE TABLE host_events (id TEXT PRIMARY KEY); CREATE TABLE host_more (n INTEGER)",
        postgres: "CREATE TABLE host_events (id TEXT PRIMARY KEY); CREATE TABLE host_more (n INTEGER)",
    }],
};

static HOST_NEWER: Migrations = Migrations {
    prefix: "host",
    steps: &[
        HOST.steps[0],
        MigrationStep {
            version: 2,
            name: "names",
            sqlite: "ALTER TABLE host_events ADD COLUMN name TEXT",
            postgres: "ALTER TABLE host_events ADD COLUMN name TEXT",
        },
    ],
};

static HOST_BROKEN: Migrations = Migrations {
    prefix: "host",
    steps: &[
        HOST_NEWER.steps[0],
        HOST_NEWER.steps[1],
        MigrationStep {
            version: 3,
            name: "half",
            sqlite: "CREATE TABLE host_half (n INTEGER); CREATE TABLE nonsense",
            postgres: "CREATE TABLE host_half (n INTEGER); CREATE TABLE nonsense",
        },
    ],
};

/// Creates the tables of the first release with one paused job, and upgrades them.
async fn upgraded(url: &str) {
    let db = Database::open(url).await.unwrap();
    let first = Migrations {
        steps: &outbox::MIGRATIONS.steps[..1],
        ..outbox::MIGRATIONS
    };
    db.migrate(&first).await.unwrap();
    let mut tx = db.begin().await.unwrap();
    on_tx!(tx, conn => sqlx::raw_sql(
        "INSERT INTO outbox_jobs (id, seq, queue, key, lane, second_lane, held, due_at, run_at, set_at, created_at, \
                                  payload) \
         VALUES (1, 1, 'q', 'a', 'school', 'token', 2, 0, 0, 0, 0, '{}'); \
         INSERT INTO outbox_pauses (lane, until_at, set_at, why) VALUES ('token', 9000000000000, 0, 'revoked')",
    ).execute(conn).await.map(|_| ()))
    .unwrap();
    tx.commit().await.unwrap();

    let outbox = Outbox::new(db.clone(), settings(), Arc::new(outbox::SystemClock));
    outbox.migrate().await.unwrap();
    let claim = outbox::ClaimRequest::mixed(5, LEASE);
    assert!(outbox.claim("q", &claim).await.unwrap().is_empty());
    let pauses = outbox.pauses().await.unwrap();
    assert_eq!((&*pauses[0].key, &*pauses[0].reason), ("token", "revoked"));
    let mut tx = db.begin().await.unwrap();
    outbox.resume(&mut tx, "token").await.unwrap();
    tx.commit().await.unwrap();
    let jobs = outbox.claim("q", &claim).await.unwrap();
    assert_eq!(
        (&*jobs[0].partition, &*jobs[0].throttle_key),
        ("school", "token")
    );
}

#[tokio::test]
async fn the_tables_of_the_first_release_are_upgraded_sqlite() {
    upgraded("sqlite::memory:").await;
}

#[tokio::test]
async fn the_tables_of_the_first_release_are_upgraded_postgres() {
    if let Some(server) = server() {
        upgraded(&server.create_database().unwrap()).await;
    }
}

/// A host's own pool and transaction.
async fn with_the_hosts_pool<D: sqlx::Database>(pool: sqlx::Pool<D>)
where
    outbox::HostPool: From<sqlx::Pool<D>>,
    outbox::HostTransaction: From<sqlx::Transaction<'static, D>>,
{
    let db = Database::from_pool(pool.clone());
    let outbox = Outbox::new(db.clone(), settings(), Arc::new(outbox::SystemClock));
    outbox.migrate().await.unwrap();
    let mut wakeup = outbox.wakeup("q");
    let mut tx = db.use_transaction(pool.begin().await.unwrap());
    outbox.enqueue(&mut tx, &[job("lost")]).await.unwrap();
    tx.rollback().await.unwrap();
    let mut tx = db.use_transaction(pool.begin().await.unwrap());
    outbox.enqueue(&mut tx, &[job("kept")]).await.unwrap();
    tx.commit().await.unwrap();
    assert!(wakeup.wait(Duration::from_secs(60)).await);
    let jobs = outbox
        .claim("q", &outbox::ClaimRequest::mixed(5, LEASE))
        .await
        .unwrap();
    assert_eq!(keys(&jobs), ["kept"]);
}

#[tokio::test]
async fn a_host_can_bring_its_pool_and_its_transaction_sqlite() {
    let options = sqlx::sqlite::SqlitePoolOptions::new().max_connections(1);
    with_the_hosts_pool(options.connect("sqlite::memory:").await.unwrap()).await;
}

#[tokio::test]
async fn a_host_can_bring_its_pool_and_its_transaction_postgres() {
    if let Some(server) = server() {
        let url = server.create_database().unwrap();
        with_the_hosts_pool(sqlx::PgPool::connect(&url).await.unwrap()).await;
    }
}

both! {
    async fn a_host_has_its_own_migrations_beside_the_queues(s: &Store) {
        s.outbox.migrate().await.unwrap();
        s.db.migrate(&HOST).await.unwrap();
        s.db.migrate(&HOST).await.unwrap();
        s.db.migrate(&HOST_NEWER).await.unwrap();
        s.enqueue(&[job("a")]).await;
        let versions: i64 = on_pool!(s.db, pool => {
            sqlx::query_scalar("SELECT (SELECT count(*) FROM outbox_migrations) * 10 + (SELECT count(*) FROM host_migrations)")
                .fetch_one(pool).await
        }).unwrap();
        assert_eq!(versions, 22);

        // An older program refuses, and says what to do.
        let error = s.db.migrate(&HOST).await.unwrap_err();
        assert_eq!((error.kind(), error.recovery()), (ErrorKind::Schema, Recovery::Never));
        let text = error.to_string();
        assert!(text.contains("host_") && text.contains("version 2") && text.contains("up to 1"), "{text}");
    }

    async fn a_migration_that_fails_leaves_nothing_behind(s: &Store) {
        s.db.migrate(&HOST).await.unwrap();
        let error = s.db.migrate(&HOST_BROKEN).await.unwrap_err();
        assert!(error.to_string().contains('3'), "{error}");
        // Neither the broken step nor the good one before it.
        s.db.migrate(&HOST).await.unwrap();
        s.db.migrate(&HOST_NEWER).await.unwrap();
    }

    async fn a_released_step_that_was_changed_is_noticed(s: &Store) {
        s.db.migrate(&HOST).await.unwrap();
        let changed = Migrations {
            prefix: "host",
            steps: &[MigrationStep { version: 1, name: "events", sqlite: "SELECT 1", postgres: "SELECT 1" }],
        };
        let error = s.db.migrate(&changed).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Schema);
        let odd = Migrations { prefix: "Robert'); DROP", steps: &[] };
        assert_eq!(s.db.migrate(&odd).await.unwrap_err().kind(), ErrorKind::Config);
    }

    async fn errors_of_the_hosts_sql_are_distinguished(s: &Store) {
        s.db.migrate(&HOST).await.unwrap();
        for expected in [None, Some(ErrorKind::Constraint)] {
            let mut tx = s.begin().await;
            let done = on_tx!(tx, conn => {
                sqlx::query("INSERT INTO host_events VALUES ($1)").bind("pupil-7").execute(conn).await.map(drop)
            });
            let error = done.err().map(Error::from);
            assert_eq!(error.as_ref().map(Error::kind), expected);
            assert!(!format!("{error:?}").contains("pupil-7"));
            if expected.is_none() {
                tx.commit().await.unwrap();
            }
        }
        let nonsense = on_pool!(s.db, pool => sqlx::query("SELECT nonsense").execute(pool).await.map(drop));
        assert_eq!(Error::from(nonsense.unwrap_err()).kind(), ErrorKind::Other);
    }
}

/// Several processes start at once on a new store.
async fn all_at_once(url: String) {
    let tasks: Vec<_> = (0..6)
        .map(|_| {
            let url = url.clone();
            tokio::spawn(async move {
                let db = Database::open(&url).await?;
                let outbox = Outbox::new(db.clone(), settings(), Arc::new(outbox::SystemClock));
                outbox.migrate().await?;
                db.migrate(&HOST_NEWER).await?;
                let mut tx = db.begin().await?;
                outbox.enqueue(&mut tx, &[job("a")]).await?;
                tx.commit().await
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn several_processes_may_start_at_once_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    all_at_once(format!(
        "sqlite://{}",
        folder.path().join("store.db").display()
    ))
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn several_processes_may_start_at_once_postgres() {
    if let Some(server) = server() {
        all_at_once(server.create_database().unwrap()).await;
    }
}
