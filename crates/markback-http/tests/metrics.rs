//! Metrics, their privacy, and readiness. It is one test in a program of its own, because a process has one recorder.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failed assertion may panic"
)]

use std::time::Duration;

use markback::{metrics, service::EventState};
use markback_lab::harness::{self, ApiEnv, KEY, SECRET, Setup};
use serde_json::{Value, json};
use wonde_sandbox::{Fault, FaultRule, RetryAfter};

fn value(metrics: &str, name: &str) -> f64 {
    let line = metrics.lines().find(|line| {
        line.strip_prefix(name)
            .is_some_and(|rest| rest.starts_with(' '))
    });
    let line = line.unwrap_or_else(|| panic!("there is no {name} in\n{metrics}"));
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

#[tokio::test]
async fn metrics_of_a_morning_contain_no_personal_data() {
    let mut world = ApiEnv::with(Setup {
        metrics: Some(metrics::install().unwrap()),
        ..Setup::default()
    })
    .await;
    let (status, body) = world.text("/readyz").await;
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, &body["workers"]), (503, &json!("not running")));

    let mut comment = world.sign_in("event-one", 0, "09:05");
    comment["answers"] = json!({"Why?": "Bus"});
    world
        .take(vec![
            comment,
            world.sign_in("event-two", 1, "08:50"),
            json!({"id": "event-three", "person": "stranger", "kind": "sign_in", "at": harness::monday("08:51")}),
        ])
        .await;
    let (_, before) = world.text("/metrics").await;
    assert_eq!(
        value(
            &before,
            r#"markback_queue_jobs{queue="decide",state="ready"}"#
        ),
        3.0
    );
    assert_eq!(
        value(&before, r#"markback_open_events{state="received"}"#),
        3.0
    );
    world.clock.advance(Duration::from_secs(60));
    let (_, before) = world.text("/metrics").await;
    assert_eq!(
        value(&before, r#"markback_queue_oldest_seconds{queue="decide"}"#),
        60.0
    );
    assert_eq!(
        value(
            &before,
            r#"markback_open_events_oldest_seconds{state="received"}"#
        ),
        60.0
    );

    let fault = Fault::TooManyRequests {
        retry_after: RetryAfter::default(),
    };
    let rule = FaultRule::new(fault)
        .method("POST")
        .on("attendance/session");
    world.sandbox.add_fault(rule.times(1)).unwrap();
    world.run();
    world.until("event-one", EventState::Confirmed).await;
    world.until("event-two", EventState::Confirmed).await;
    world.until("event-three", EventState::Failed).await;
    assert_eq!(world.text("/readyz").await.0, 200);
    assert_eq!(world.hook(&json!({"payload_type": "hail"})).await.0, 200);

    let (status, metrics) = world.text("/metrics").await;
    assert_eq!(status, 200);
    for (state, count) in [
        ("received", 3.0),
        ("planned", 2.0),
        ("accepted", 2.0),
        ("confirmed", 2.0),
        ("failed", 1.0),
    ] {
        let name = format!(r#"markback_events_total{{state="{state}"}}"#);
        assert_eq!(value(&metrics, &name), count, "{state}");
    }
    assert_eq!(value(&metrics, "markback_accepted_seconds_count"), 2.0);
    assert_eq!(value(&metrics, "markback_confirmed_seconds_count"), 2.0);
    assert!(value(&metrics, "markback_confirmed_seconds_sum") >= 120.0);
    assert!(value(&metrics, "markback_send_marks_count") >= 2.0);
    assert!(value(&metrics, "markback_send_marks_sum") >= 2.0);
    assert_eq!(
        value(
            &metrics,
            r#"markback_wonde_requests_total{method="POST",status="429"}"#
        ),
        1.0
    );
    assert!(value(&metrics, "markback_wonde_permit_wait_seconds_count") >= 5.0);
    assert_eq!(
        value(&metrics, r#"markback_webhooks_total{type="other"}"#),
        1.0
    );
    assert_eq!(
        value(&metrics, r#"markback_open_events{state="received"}"#),
        0.0
    );
    assert_eq!(
        value(
            &metrics,
            r#"markback_queue_jobs{queue="decide",state="dead"}"#
        ),
        1.0
    );
    assert_eq!(value(&metrics, r#"markback_pauses{of="school"}"#), 0.0);
    assert_eq!(
        value(
            &metrics,
            r#"markback_queue_jobs{queue="roster",state="dead"}"#
        ),
        0.0
    );
    assert_eq!(value(&metrics, "markback_schools"), 1.0);

    let mut secrets = vec![
        KEY.to_owned(),
        SECRET.to_owned(),
        world.sandbox.token(),
        world.school.id.clone(),
        world.school.name.clone(),
        "event-one".to_owned(),
        "stranger".to_owned(),
        "Bus".to_owned(),
        "Medical".to_owned(),
    ];
    for pupil in &world.pupils {
        secrets.extend([
            pupil.id.clone(),
            pupil.forename.clone(),
            pupil.surname.clone(),
        ]);
    }
    for line in metrics.lines() {
        for secret in &secrets {
            assert!(!line.contains(secret.as_str()), "{secret} is in {line}");
        }
    }

    world.rest().await;
    let (status, body) = world.text("/readyz").await;
    assert_eq!(status, 503);
    for secret in &secrets {
        assert!(!body.contains(secret.as_str()), "{secret} is in {body}");
    }
    // Without a recorder the response says so.
    let unmeasured = ApiEnv::new().await;
    assert_eq!(unmeasured.text("/metrics").await.0, 404);
}
