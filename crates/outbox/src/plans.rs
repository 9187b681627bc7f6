//! Tests that every statement uses an index, however many finished jobs there are.

use sqlx::{AssertSqlSafe, Row};

use crate::database::{Conn, Database, Engine};
use crate::migrate::MIGRATIONS;
use crate::sql::Sql;
use crate::{admin, claim, enqueue, outbox, pause, settle, stats};

/// Every statement whose cost must not grow with the number of jobs: its parameters as SQL for PostgreSQL, and the index
/// it must use, if it matters which.
fn statements() -> Vec<(&'static str, &'static Sql, &'static str, &'static str)> {
    vec![
        ("next due", &outbox::NEXT_DUE, "0, 'q'", "ready"),
        ("due", &claim::DUE, "0, 'q'", "ready"),
        ("look", &claim::LOOK, "0", ""),
        ("defer", &claim::DEFER, "0, 'q', 500", "ready"),
        (
            "claim",
            &claim::CLAIM,
            "0, 'q', 100, 60000, '[[\"l\"]]', 2, 1, 0",
            "ready",
        ),
        (
            "claim of a partition",
            &claim::CLAIM_PARTITION,
            "0, 'q', 100, 60000, 'l'",
            "partition",
        ),
        (
            "whole partitions, the oldest jobs",
            &claim::CLAIM_PARTITIONS,
            "0, 'q', 100, 60000, '[[\"l\"]]', 2, 1, 0",
            "ready",
        ),
        (
            "whole partitions",
            &claim::CLAIM_PARTITIONS,
            "0, 'q', 100, 60000, '[[\"l\"]]', 2, 1, 0",
            "partition",
        ),
        (
            "oldest partition",
            &claim::OLDEST_PARTITION,
            "0, 'q', 100, '[[\"l\"]]', 2, 1",
            "ready",
        ),
        (
            "full partition",
            &claim::FULL_PARTITION,
            "0, 'q', 100, '[[\"l\"]]', 2, 1",
            "",
        ),
        (
            "waiting",
            &claim::WAITING,
            "0, 'q', 2000, '[[\"l\"]]', 2, 1",
            "ready",
        ),
        ("heal", &claim::HEAL_JOBS, "0, 1000", ""),
        (
            "insert",
            &enqueue::INSERT,
            "0, '[[0,\"q\",\"k\",\"o\",\"l\",\"\",null,0,\"{}\",0]]'",
            "",
        ),
        ("seen", &enqueue::SEEN, "'[[\"q\",\"k\"]]'", "key"),
        (
            "supersede",
            &enqueue::SUPERSEDE,
            "0, '[[1,\"q\",\"o\",\"s\"]]'",
            "order",
        ),
        ("complete", &settle::COMPLETE, "0, '[[1,1]]'", "pkey"),
        (
            "dead letter",
            &settle::DEAD_LETTER,
            "0, '[[1,1]]', 'n'",
            "pkey",
        ),
        ("retry", &settle::RETRY, "0, '[[1,1,0,null]]', 'n'", "pkey"),
        ("release", &settle::RELEASE, "0, '[[1,1]]'", "pkey"),
        ("renew", &settle::RENEW, "0, '[[1,1]]', 1000", "pkey"),
        ("undefer", &pause::UNDEFER, "0, 'l'", "deferred"),
        ("discard", &admin::DISCARD, "0, '[[1]]', 'n'", "pkey"),
        (
            "dead order keys",
            &admin::DEAD_ORDER_KEYS,
            "'[[1]]'",
            "pkey",
        ),
        ("reopen", &admin::REOPEN, "0, '[[1,2]]'", "pkey"),
        ("run now", &admin::RUN_NOW, "0, '[[\"q\",\"k\",0]]'", "key"),
        ("stats", &stats::OPEN, "0", ""),
    ]
}

#[tokio::test]
async fn sqlite_never_reads_the_whole_table() {
    let db = Database::open("sqlite::memory:").await.unwrap();
    db.migrate(&MIGRATIONS).await.unwrap();
    let mut tx = db.begin().await.unwrap();
    for (name, sql, _, index) in statements() {
        let Conn::Sqlite(conn) = tx.conn() else {
            panic!("sqlite")
        };
        let text = AssertSqlSafe(format!("EXPLAIN QUERY PLAN {}", sql.on(Engine::Sqlite)));
        let rows = sqlx::query(text).fetch_all(conn).await.unwrap();
        let plan: Vec<String> = rows.iter().map(|row| row.get("detail")).collect();
        let whole = plan.iter().find(|line| {
            ["outbox_jobs", "j", "o"]
                .iter()
                .any(|table| **line == format!("SCAN {table}"))
        });
        assert!(whole.is_none(), "{name}: {plan:#?}");
        let index = match index {
            "pkey" => "USING INTEGER PRIMARY KEY".to_owned(),
            index => format!("outbox_jobs_{index}"),
        };
        assert!(
            index.ends_with('_') || plan.iter().any(|line| line.contains(&index)),
            "{name} does not use {index}: {plan:#?}"
        );
        assert!(
            !(name.contains("claim") && plan.iter().any(|line| line.contains("TEMP B-TREE"))),
            "{name} sorts: {plan:#?}"
        );
    }
}

/// Jobs `$from` to `$to`, of which one in `$every` is open.
fn fill(from: u32, to: u32, every: u32) -> String {
    format!(
        "INSERT INTO outbox_jobs (id, seq, queue, key, order_key, partition_key, throttle_key, supersede_key, state, due_at, \
                                  run_at, set_at, created_at, payload) \
         SELECT n, n, 'q', n::text, (n % 5000)::text, (n % 20)::text, '', 's', \
                CASE WHEN n % {every} = 0 THEN 0 ELSE 2 END, n, 0, n, n, '{{}}' \
         FROM generate_series({from}, {to}) n"
    )
}

/// The plans must be right with outdated statistics and without any.
#[tokio::test]
async fn postgres_uses_the_right_index_with_any_statistics() {
    let Some(server) = throwaway_postgres::shared().unwrap() else {
        return;
    };
    let db = Database::open(&server.create_database().unwrap())
        .await
        .unwrap();
    db.migrate(&MIGRATIONS).await.unwrap();
    let mut tx = db.begin().await.unwrap();
    let Conn::Postgres(conn) = tx.conn() else {
        panic!("postgres")
    };
    let mut prepared = 0;
    for (when, steps) in [
        ("never analysed", vec![fill(1, 50_000, 2)]),
        (
            "analysed with half open",
            vec!["ANALYZE outbox_jobs".to_owned()],
        ),
        (
            "analysed with all finished, then many came",
            vec![
                "UPDATE outbox_jobs SET state = 2".to_owned(),
                "ANALYZE outbox_jobs".to_owned(),
                fill(50_001, 100_000, 1),
            ],
        ),
        (
            "analysed when empty",
            vec![
                "TRUNCATE outbox_jobs".to_owned(),
                "ANALYZE outbox_jobs".to_owned(),
                fill(1, 100_000, 2),
            ],
        ),
        (
            "analysed with few open",
            vec![
                "UPDATE outbox_jobs SET state = 2 WHERE id % 1000 > 0".to_owned(),
                "ANALYZE outbox_jobs".to_owned(),
            ],
        ),
    ] {
        for step in steps {
            sqlx::raw_sql(AssertSqlSafe(step))
                .execute(&mut *conn)
                .await
                .unwrap();
        }
        for mode in ["force_generic_plan", "force_custom_plan"] {
            let set = format!("SET LOCAL plan_cache_mode = {mode}");
            sqlx::raw_sql(AssertSqlSafe(set))
                .execute(&mut *conn)
                .await
                .unwrap();
            for (name, sql, params, index) in statements() {
                prepared += 1;
                let prepare = format!("PREPARE s{prepared} AS {}", sql.on(Engine::Postgres));
                sqlx::raw_sql(AssertSqlSafe(prepare))
                    .execute(&mut *conn)
                    .await
                    .unwrap();
                let explain = format!("EXPLAIN EXECUTE s{prepared}({params})");
                let rows = sqlx::raw_sql(AssertSqlSafe(explain))
                    .fetch_all(&mut *conn)
                    .await
                    .unwrap();
                let plan: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
                let has = |what: &str| plan.iter().any(|line| line.contains(what));
                assert!(
                    !has("Seq Scan on outbox_jobs"),
                    "{name}, {when}, {mode}: {plan:#?}"
                );
                assert!(
                    has(&format!("outbox_jobs_{index}")) || index.is_empty(),
                    "{name}, {when}, {mode}: {plan:#?}"
                );
                assert!(
                    !(name.contains("claim") && has("Sort")),
                    "{name}, {when}, {mode}: {plan:#?}"
                );
                // Nor are all due jobs sorted to find the oldest.
                let sorts_first = plan
                    .windows(2)
                    .any(|lines| lines[0].contains("Limit") && lines[1].contains("Sort"));
                assert!(
                    !(name == "waiting" && sorts_first),
                    "{name}, {when}, {mode}: {plan:#?}"
                );
                // Nor is a whole index scanned.
                let walks = plan.windows(2).any(|lines| {
                    lines[0].contains("Index Scan using outbox_jobs")
                        && !lines[1].contains("Index Cond")
                });
                assert!(
                    !walks || ["heal", "undefer", "stats"].contains(&name),
                    "{name}, {when}, {mode}: {plan:#?}"
                );
            }
        }
    }
}
