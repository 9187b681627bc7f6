//! Pauses: a waiting event gives the reason, a start ends pauses whose cause an operator has corrected, and a command
//! ends any pause.

use std::time::Duration;

use crate::support::markback_on as markback;
use markback::service::EventState;
use markback_lab::harness::{self, ApiEnv, CommandOutput, Setup, stores};
use outbox::PauseUntil;
use serde_json::{Value, json};

/// Waits, while the clock stands still, until something is paused.
async fn wait_for_a_pause(world: &ApiEnv) {
    world
        .wait_until("something is paused", Duration::ZERO, async || {
            !world.paused().await.is_empty()
        })
        .await;
}

#[tokio::test]
async fn an_event_waits_for_a_valid_token_and_a_restart_tries_the_new_one() {
    for token in ["not-the-token", "\n", "with a blank"] {
        let mut world = ApiEnv::new().await;
        let file = world.folder.path().join("token");
        let right = std::fs::read_to_string(&file).unwrap();
        std::fs::write(&file, token).unwrap();
        world.run();
        let path = format!("/v1/schools/{}/events", world.school.id);
        world.post(&path, &world.sign_in("e1", 0, "08:50")).await;
        // Wait until the first sync has failed.
        let mut waiting = Value::Null;
        let step = Duration::from_millis(100);
        world
            .wait_until("the event waits for the token", step, async || {
                waiting = world.get(&format!("{path}/e1")).await.1["waiting"].clone();
                waiting.as_str().is_some_and(|why| why.contains("token"))
            })
            .await;
        let why = waiting.as_str().unwrap().to_owned();
        assert!(
            why.contains("token") && !why.contains("not-the-token"),
            "{why}"
        );
        assert_eq!(world.event("e1").await.state, EventState::Received);
        // The school's decide job may join the pause between the two requests, so their results may differ once.
        let mut answers = (Value::Null, Value::Null);
        for _ in 0..100 {
            let one = world.get(&format!("{path}/e1")).await.1["waiting"].clone();
            let listed = world.get(&path).await.1["events"][0]["waiting"].clone();
            answers = (one, listed);
            if answers.0 == answers.1 {
                break;
            }
        }
        assert_eq!(answers.0, answers.1, "{token:?}");

        std::fs::write(&file, right).unwrap();
        world.restart().await;
        world.until("e1", EventState::Confirmed).await;
        // Much less time than such a pause lasts.
        let took = outbox::Clock::now(&*world.clock) - harness::monday("09:30");
        assert!(took < chrono::TimeDelta::minutes(4), "{token:?}: {took}");
        assert_eq!(world.paused().await, Vec::<String>::new());
        world.rest().await;
    }
}

#[tokio::test]
async fn a_start_does_not_end_a_pause_that_wonde_requested() {
    for store in stores() {
        let mut world = ApiEnv::with(Setup {
            store,
            start: chrono::Utc::now(),
            ..Setup::default()
        })
        .await;
        world
            .sandbox
            .set_token_revoked(&world.sandbox.token(), true);
        world.run();
        wait_for_a_pause(&world).await;
        let lane = world.paused().await.remove(0);
        world
            .sandbox
            .set_token_revoked(&world.sandbox.token(), false);
        // Meanwhile Wonde requests a longer pause than the one for the token.
        let outbox = world.markback.outbox();
        let mut tx = world.markback.store().database().begin().await.unwrap();
        let hour = PauseUntil::For(Duration::from_secs(3600));
        outbox
            .pause(&mut tx, &lane, hour, "too many requests")
            .await
            .unwrap();
        tx.commit().await.unwrap();
        world.restart().await;
        assert_eq!(world.paused().await, [lane.as_str()]);
        world.rest().await;
    }
}

#[tokio::test]
async fn resume_ends_the_pause_of_a_school_or_a_token() {
    let world = ApiEnv::new().await;
    world.take(vec![world.sign_in("e1", 0, "08:50")]).await;
    let school = world.school.id.as_str();
    let token = format!("file:{}", world.folder.path().join("token").display());
    let token_key = format!("token:{token}");
    let pause = async |lane: &str, why: &str| {
        let mut tx = world.markback.store().database().begin().await.unwrap();
        let until = PauseUntil::At("2999-01-01T00:00:00Z".parse().unwrap());
        let outbox = world.markback.outbox();
        outbox.pause(&mut tx, lane, until, why).await.unwrap();
        tx.commit().await.unwrap();
    };
    pause(&token_key, "the token was revoked").await;
    let waiting = world.event("e1").await.waiting.unwrap();
    assert!(
        waiting.contains("are paused until 2999") && waiting.contains("the token was revoked"),
        "{waiting}"
    );
    let out = markback(&world, &["status"]).await.out;
    assert!(out.contains("the token was revoked"), "{out}");
    let row = out.lines().find(|line| line.contains(school)).unwrap();
    assert!(
        row.contains("2999-01-01"),
        "a school rests with its token: {row}"
    );

    let CommandOutput { code, err, .. } = markback(&world, &["resume"]).await;
    assert!(code == 2 && err.contains("the token was revoked"), "{err}");
    let CommandOutput { code, err, .. } = markback(&world, &["resume", "--school", "A0"]).await;
    assert!(code == 2 && err.contains("no school"), "{err}");
    let CommandOutput { code, err, .. } = markback(&world, &["resume", "--school", school]).await;
    assert!(
        code == 1 && err.contains(&format!("--token {token}")),
        "{err}"
    );

    pause(school, "the MIS is away").await;
    let CommandOutput { code, out, err } = markback(&world, &["resume", "--school", school]).await;
    assert_eq!(code, 0, "{err}");
    assert!(out.contains(school), "{out}");
    assert_eq!(world.paused().await, [token_key.as_str()]);
    let CommandOutput { code, err, .. } = markback(&world, &["resume", "--token", &token]).await;
    assert_eq!(code, 0, "{err}");
    assert_eq!(world.paused().await, Vec::<String>::new());
    assert_eq!(world.event("e1").await.waiting, None);

    pause(school, "the MIS is away").await;
    assert_eq!(markback(&world, &["resume", "--all"]).await.code, 0);
    assert_eq!(world.paused().await, Vec::<String>::new());
    let listed = world.get(&format!("/v1/schools/{school}/events")).await.1;
    assert_eq!(listed["events"][0]["waiting"], json!(null));
}
