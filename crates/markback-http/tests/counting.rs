//! Only committed steps are counted. In a program of its own, because a process has one recorder of metrics.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failed assertion may panic"
)]

use std::time::Duration;

use markback::{metrics, service::EventState};
use markback_lab::harness::{ApiEnv, Setup, monday};
use outbox::on_tx;
use serde_json::json;

async fn run(world: &ApiEnv, sql: &'static str) {
    let mut tx = world.markback.store().database().begin().await.unwrap();
    on_tx!(tx, conn => sqlx::query(sql).execute(conn).await.map(drop)).unwrap();
    tx.commit().await.unwrap();
}

async fn failed(world: &ApiEnv) -> String {
    let (_, metrics) = world.text("/metrics").await;
    let name = r#"markback_events_total{state="failed"} "#;
    let line = metrics.lines().find_map(|line| line.strip_prefix(name));
    line.unwrap().to_owned()
}

#[tokio::test]
async fn a_failed_commit_is_not_counted() {
    let mut world = ApiEnv::with(Setup {
        metrics: Some(metrics::install().unwrap()),
        ..Setup::default()
    })
    .await;
    run(
        &world,
        "CREATE TRIGGER full BEFORE INSERT ON outbox_jobs WHEN NEW.queue = 'send' \
         BEGIN SELECT RAISE(ABORT, 'the disk is full'); END",
    )
    .await;
    let stranger =
        json!({"id": "stranger", "person": "nobody", "kind": "sign_in", "at": monday("08:51")});
    world
        .take(vec![stranger, world.sign_in("e1", 0, "08:50")])
        .await;
    world.run();
    world.known().await;
    // Both are decided in one step, whose commit fails. A second attempt from here on shows that the first has failed.
    let attempts = async || {
        let key = format!("{}/0#stranger", world.school.id);
        let job = world.markback.outbox().find("decide", &key).await.unwrap();
        job.unwrap().attempts
    };
    let before = attempts().await;
    world
        .wait_until(
            "the step is tried twice",
            Duration::from_millis(500),
            async || attempts().await >= before + 2,
        )
        .await;
    assert_eq!(world.event("stranger").await.state, EventState::Received);
    assert_eq!(failed(&world).await, "0");
    run(&world, "DROP TRIGGER full").await;
    world.until("stranger", EventState::Failed).await;
    world.until("e1", EventState::Confirmed).await;
    assert_eq!(failed(&world).await, "1");
    world.rest().await;
}
