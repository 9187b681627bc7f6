//! Tests that the searches use an index, however many events are stored.

use std::sync::Arc;

use outbox::{Engine, Settings, Sql, SystemClock, on_tx};
use sqlx::{AssertSqlSafe, Row as _};

use super::{Store, search};

/// The searches, each with its parameters for PostgreSQL and the index that finds its events.
fn searches() -> [(&'static Sql, &'static str, &'static str); 4] {
    const REST: &str = "0, 9000000000000, NULL, NULL, 50, 9000000000000, ''";
    fn of(school: &str, states: &str, person: &str) -> &'static str {
        Box::leak(format!("{school}, '{states}', {person}, {REST}").into_boxed_str())
    }
    [
        (&search::OF_PERSON, of("'s7'", "[]", "'p7'"), "person"),
        (&search::OF_SCHOOL, of("'s7'", "[]", "NULL"), "school"),
        (
            &search::PROBLEMS_OF_SCHOOL,
            of("'s7'", "[[\"failed\"]]", "NULL"),
            "problems",
        ),
        (&search::OF_ALL, of("NULL", "[]", "NULL"), "received"),
    ]
}

/// Settled events of 50 schools, of which one in 200 needs a person.
static FILL: Sql = Sql::new(
    "INSERT INTO markback_events (school, id, person, body, state, received_ms, settled_ms, at_ms) \
     SELECT 's' || (n.i % 50), 'e' || n.i, 'p' || (n.i % 997), '{{}|{}}', \
         CASE n.i % 200 WHEN 0 THEN 'failed' ELSE 'confirmed' END, n.i, n.i, n.i \
     FROM {(WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000) SELECT i FROM n) n\
          |generate_series(1, 20000) n(i)}",
);

async fn filled(url: &str) -> Store {
    let store = Store::open(url, Settings::default(), Arc::new(SystemClock))
        .await
        .unwrap();
    let mut tx = store.database().begin().await.unwrap();
    let text = FILL.on(tx.engine());
    on_tx!(tx, conn => {
        sqlx::query(text).execute(&mut *conn).await.unwrap();
        sqlx::raw_sql("ANALYZE").execute(conn).await.unwrap();
    });
    tx.commit().await.unwrap();
    store
}

#[tokio::test]
async fn sqlite_searches_by_an_index() {
    let store = filled("sqlite::memory:").await;
    for (sql, _, index) in searches() {
        let text = format!("EXPLAIN QUERY PLAN {}", sql.on(Engine::Sqlite));
        let rows = outbox::on_pool!(store.database(), pool => {
            sqlx::raw_sql(AssertSqlSafe(text)).fetch_all(pool).await.map(|rows| {
                rows.iter().filter_map(|row| row.try_get::<String, _>("detail").ok()).collect::<Vec<_>>()
            })
        })
        .unwrap();
        let index = format!("markback_events_{index}");
        assert!(
            rows.iter().any(|line| line.contains(&index)),
            "{index}: {rows:#?}"
        );
    }
}

#[tokio::test]
async fn postgres_searches_by_an_index_with_any_kind_of_plan() {
    let Some(server) = throwaway_postgres::shared().unwrap() else {
        return;
    };
    let store = filled(&server.create_database().unwrap()).await;
    let mut tx = store.database().begin().await.unwrap();
    on_tx!(tx, conn => {
        for (n, (sql, parameters, index)) in searches().into_iter().enumerate() {
            let prepare = format!("PREPARE s{n} AS {}", sql.on(Engine::Postgres));
            sqlx::raw_sql(AssertSqlSafe(prepare)).execute(&mut *conn).await.unwrap();
            for mode in ["force_generic_plan", "force_custom_plan"] {
                let explain = format!(
                    "SET LOCAL plan_cache_mode = {mode}; EXPLAIN EXECUTE s{n}({parameters})"
                );
                let rows = sqlx::raw_sql(AssertSqlSafe(explain)).fetch_all(&mut *conn).await.unwrap();
                let plan: Vec<String> = rows.iter().filter_map(|row| row.try_get(0).ok()).collect();
                assert!(
                    plan.iter().any(|line| line.contains(&format!("markback_events_{index}"))),
                    "{index}, {mode}: {plan:#?}"
                );
            }
        }
    });
}
