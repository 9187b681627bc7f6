//! Marks that were entered long ahead: read once, kept, and protected.

use std::time::Duration;

use chrono::NaiveDate;
use markback::service::EventState::{Confirmed, Received, Skipped};
use serde_json::{Value, json};
use wonde_sandbox::{Fault, FaultRule, RetryAfter, TeacherMark};

use crate::stage::{ARBOR, SIMS, Setup, Stage, sign_in};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// A stage at which a mark was planned two months ago for today, and nobody has read anything yet.
async fn planned_ahead(school: usize) -> (Stage, String, String) {
    let stage = Stage::idle(Setup::default()).await;
    let today: NaiveDate = "2027-01-22".parse().unwrap();
    let (pupil, other) = (stage.pupil(school, 0), stage.pupil(school, 1));
    let mark = TeacherMark {
        student_id: pupil.clone(),
        date: Some(today),
        session: Some("AM".to_owned()),
        code: Some("M".to_owned()),
        comment: Some("Hospital".to_owned()),
        ..TeacherMark::default()
    };
    stage
        .sandbox
        .set_mark(&stage.school(school), &mark)
        .unwrap();
    stage.clock.advance(60 * DAY);
    assert_eq!(stage.today(), today);
    (stage, pupil, other)
}

fn arrives(id: &str, person: &str) -> Value {
    json!({"id": id, "person": person, "kind": "sign_in", "at": "2027-01-22T09:40:00Z"})
}

async fn is_protected(school: usize, list: &str) {
    let (mut stage, pupil, other) = planned_ahead(school).await;
    stage.work();
    stage.people_known().await;
    let events = vec![arrives("e1", &pupil), arrives("e2", &other)];
    stage.take_all(school, events).await;
    stage.settled().await;
    assert_eq!(stage.state(school, "e1").await, Skipped);
    assert_eq!(stage.code(school, &pupil, "AM").unwrap(), "M");
    assert_eq!(stage.state(school, "e2").await, Confirmed);
    assert_eq!(stage.code(school, &other, "AM").unwrap(), "U");

    // After a restart only what changed is read, and the mark is known all the same.
    stage.crash().await;
    stage.sandbox.reset_requests();
    stage.work();
    let later = json!({
        "id": "e3", "person": pupil, "kind": "sign_in", "at": "2027-01-22T09:50:00Z",
        "answers": {"Reason": "I - Ill"},
    });
    stage.take(school, later).await;
    assert_eq!(stage.settled_as(school, "e3").await, Skipped);
    assert_eq!(stage.code(school, &pupil, "AM").unwrap(), "M");
    let reads = stage.requests(&format!("GET {list}"));
    assert!(reads <= 2, "{reads} requests for what changed");
}

#[tokio::test]
async fn a_mark_planned_two_months_ahead_is_protected() {
    is_protected(SIMS, "attendance/session").await;
}

#[tokio::test]
async fn a_mark_planned_two_months_ahead_is_protected_on_the_first_lesson() {
    is_protected(ARBOR, "attendance/lesson").await;
}

#[tokio::test]
async fn until_everything_has_been_read_once_events_wait_and_say_why_and_an_error_starts_nothing_over()
 {
    let (mut stage, pupil, _) = planned_ahead(SIMS).await;
    let list = "attendance/session";
    let away = FaultRule::new(Fault::Status {
        status: 503,
        retry_after: RetryAfter::None,
    });
    let away = away
        .on(list)
        .method("GET")
        .school(&stage.school(SIMS))
        .after(9);
    stage.sandbox.add_fault(away).unwrap();
    stage.work();
    stage.people_known().await;
    stage.take(SIMS, arrives("e1", &pupil)).await;
    stage.waits(SIMS, "e1").await;
    let waiting = stage.event(SIMS, "e1").await.waiting.unwrap();
    assert!(
        waiting.contains("the register is being read for the first time"),
        "{waiting}"
    );
    assert_eq!(stage.state(SIMS, "e1").await, Received);

    stage.crash().await;
    // The lease of what was in hand lapses.
    stage.clock.advance(Duration::from_secs(3700));
    stage.sandbox.clear_faults();
    stage.sandbox.reset_requests();
    stage.work();
    assert_eq!(stage.settled_as(SIMS, "e1").await, Skipped);
    assert_eq!(stage.code(SIMS, &pupil, "AM").unwrap(), "M");
    let reads = stage.requests(&format!("GET {list}"));
    // Of 18 slices nine had been read; the last question may be that of a decision.
    assert!((9..=12).contains(&reads), "{reads} requests for the rest");
}

/// How often the register was read for pupils who sign in six minutes after each other, half an hour long.
async fn reads_in_half_an_hour(writeback: &'static str) -> u64 {
    let stage = Stage::set(Setup {
        writeback,
        ..Setup::default()
    })
    .await;
    for n in 0..5 {
        let id = format!("e{n}");
        let event = sign_in(&id, &stage.pupil(SIMS, n), "09:07:00");
        stage.take(SIMS, event).await;
        assert_eq!(stage.settled_as(SIMS, &id).await, Confirmed);
        stage.clock.advance(Duration::from_secs(6 * 60));
    }
    stage.requests("GET attendance/session")
}

#[tokio::test]
async fn where_nothing_is_protected_the_register_is_not_read_for_each_decision() {
    let protected = reads_in_half_an_hour(r#"protected = ["M"]"#).await;
    let unprotected = reads_in_half_an_hour("").await;
    assert!(protected >= 5, "{protected}");
    assert!(unprotected <= 1, "{unprotected}");
}

#[tokio::test]
async fn where_nothing_is_protected_an_old_copy_does_not_pass_for_the_register() {
    let stage = Stage::set(Setup {
        writeback: "present = true",
        ..Setup::default()
    })
    .await;
    let [early, late] = [0, 1].map(|n| stage.pupil(SIMS, n));
    stage.teacher(SIMS, &late, "AM", Some("/"));
    stage.take(SIMS, sign_in("early", &early, "08:50:00")).await;
    assert_eq!(stage.settled_as(SIMS, "early").await, Confirmed);
    // The copy that was read for it shows a mark that is right; meanwhile it was changed.
    stage.teacher(SIMS, &late, "AM", Some("N"));
    stage.clock.advance(Duration::from_secs(6 * 60));
    stage.take(SIMS, sign_in("late", &late, "08:55:00")).await;
    assert_eq!(stage.settled_as(SIMS, "late").await, Confirmed);
    assert_eq!(stage.code(SIMS, &late, "AM").unwrap(), "/");
}

#[tokio::test]
async fn a_known_arrival_is_decided_without_another_look_at_the_register() {
    let stage = Stage::usual().await;
    let pupil = stage.pupil(SIMS, 0);
    stage.take(SIMS, sign_in("first", &pupil, "09:07:00")).await;
    assert_eq!(stage.settled_as(SIMS, "first").await, Confirmed);
    stage.clock.advance(Duration::from_secs(6 * 60));
    let reads = stage.requests("GET attendance/session");
    stage.take(SIMS, sign_in("again", &pupil, "09:40:00")).await;
    assert_eq!(stage.settled_as(SIMS, "again").await, Skipped);
    let decision = stage.event(SIMS, "again").await.decision.unwrap();
    assert_eq!(decision["reason"], "already_arrived", "{decision}");
    assert_eq!(stage.requests("GET attendance/session"), reads);
    assert_eq!(stage.code(SIMS, &pupil, "AM").unwrap(), "L");
}
