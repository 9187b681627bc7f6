//! What each kind of event becomes.

use std::time::Duration;

use markback::service::EventState::{Confirmed, Skipped};
use mis_core::SchoolId;

use crate::stage::{ARBOR, SCHOLARPACK, SIMS, Setup, Stage, answered, sign_in, sign_out};

fn reason(event: &markback::service::EventRecord) -> String {
    event.decision.as_ref().unwrap().to_string()
}

#[tokio::test]
async fn in_time_late_and_unauthorised() {
    let stage = Stage::usual().await;
    let [on_time, late, very_late] = [0, 1, 2].map(|n| stage.pupil(SIMS, n));
    let events = vec![
        sign_in("e1", &on_time, "08:52:00"),
        answered("e2", &late, "09:07:12", "Bus"),
        sign_in("e3", &very_late, "09:21:00"),
    ];
    stage.take_all(SIMS, events).await;
    stage.settled().await;
    for id in ["e1", "e2", "e3"] {
        assert_eq!(stage.state(SIMS, id).await, Confirmed, "{id}");
    }
    assert_eq!(stage.code(SIMS, &on_time, "AM").unwrap(), "/");
    let held = stage.held(SIMS, &late, "AM").unwrap();
    assert_eq!(
        (
            held.code.as_str(),
            held.minutes_late,
            held.comment.as_deref(),
            held.writes
        ),
        ("L", Some(7), Some("Bus"), 1)
    );
    let held = stage.held(SIMS, &very_late, "AM").unwrap();
    assert_eq!((held.code.as_str(), held.minutes_late), ("U", Some(21)));
    // One register for all three.
    assert_eq!(stage.requests("POST attendance/session"), 1);

    let event = stage.event(SIMS, "e2").await;
    assert!(
        event.writeback_id.is_some() && event.accepted_at.is_some() && event.settled_at.is_some()
    );
    let what: Vec<_> = event
        .history
        .iter()
        .map(|line| line.what.as_str())
        .collect();
    assert_eq!(what, ["planned", "accepted", "confirmed"]);
    assert!(event.steps.len() > 3, "{:?}", event.steps);
}

#[tokio::test]
async fn a_code_from_an_answer_and_a_sign_out() {
    let stage = Stage::usual().await;
    let [medical, leaver] = [0, 1].map(|n| stage.pupil(SIMS, n));
    stage
        .take_all(
            SIMS,
            vec![
                answered("e1", &medical, "08:40:00", "M - Medical appointment"),
                sign_in("e2", &leaver, "09:10:00"),
                sign_out("e3", &leaver, "10:01:00", "M - Dentist"),
                sign_out("e4", &medical, "10:02:00", "Going home"),
            ],
        )
        .await;
    stage.settled().await;
    assert_eq!(stage.code(SIMS, &medical, "AM").unwrap(), "M");
    assert_eq!(stage.code(SIMS, &leaver, "AM").unwrap(), "M");
    assert_eq!(stage.state(SIMS, "e3").await, Confirmed);
    assert_eq!(stage.state(SIMS, "e4").await, Skipped);
}

#[tokio::test]
async fn a_mark_of_a_teacher_is_protected_once_it_shows() {
    let stage = Stage::usual().await;
    let pupil = stage.pupil(SIMS, 0);
    stage.teacher(SIMS, &pupil, "AM", Some("M"));
    stage.take(SIMS, sign_in("e1", &pupil, "09:30:00")).await;
    assert_eq!(stage.settled_as(SIMS, "e1").await, Skipped);
    assert!(reason(&stage.event(SIMS, "e1").await).contains("protected"));
    assert_eq!(stage.held(SIMS, &pupil, "AM").unwrap().writes, 0);
}

#[tokio::test]
async fn at_an_arbor_school_the_first_lesson_bears_the_mark() {
    let stage = Stage::usual().await;
    let pupil = stage.pupil(ARBOR, 0);
    stage
        .take(ARBOR, answered("e1", &pupil, "09:07:00", "Bus"))
        .await;
    stage
        .take(ARBOR, sign_out("e2", &pupil, "10:01:00", "M - Dentist"))
        .await;
    stage.settled().await;
    let event = stage.event(ARBOR, "e1").await;
    assert_eq!(event.state, Confirmed);
    let held = stage.held(ARBOR, &pupil, "AM").unwrap();
    assert_eq!((held.code.as_str(), held.minutes_late), ("L", Some(7)));
    assert_eq!(held.lesson_id, event.lesson_id);
    assert_eq!(stage.state(ARBOR, "e2").await, Skipped);
}

#[tokio::test]
async fn a_school_that_takes_no_marks_is_asked_for_none() {
    let stage = Stage::usual().await;
    let pupil = stage.pupil(SCHOLARPACK, 0);
    stage
        .take(SCHOLARPACK, sign_in("e1", &pupil, "09:07:00"))
        .await;
    assert_eq!(stage.settled_as(SCHOLARPACK, "e1").await, Skipped);
    assert!(reason(&stage.event(SCHOLARPACK, "e1").await).contains("unsupported"));
    assert_eq!(stage.requests("POST attendance/session"), 0);
    assert_eq!(stage.requests("GET attendance/session"), 0);
    let id = SchoolId::from(stage.school(SCHOLARPACK));
    let store = stage.markback.store();
    assert_eq!(store.register_reading(&id).await.unwrap(), None);
}

#[tokio::test]
async fn the_first_arrival_stands_and_one_delivered_late_replaces_it() {
    let stage = Stage::usual().await;
    let [twice, late_news] = [0, 1].map(|n| stage.pupil(SIMS, n));
    stage.take(SIMS, sign_in("a1", &twice, "09:05:00")).await;
    stage.take(SIMS, sign_in("a2", &twice, "09:30:00")).await;
    stage
        .take(SIMS, sign_in("b2", &late_news, "09:30:00"))
        .await;
    stage.settled().await;
    assert_eq!(stage.state(SIMS, "a2").await, Skipped);
    assert_eq!(stage.code(SIMS, &twice, "AM").unwrap(), "L");
    assert_eq!(stage.code(SIMS, &late_news, "AM").unwrap(), "U");

    stage
        .take(SIMS, sign_in("b1", &late_news, "09:03:00"))
        .await;
    assert_eq!(stage.settled_as(SIMS, "b1").await, Confirmed);
    let held = stage.held(SIMS, &late_news, "AM").unwrap();
    assert_eq!(
        (held.code.as_str(), held.minutes_late, held.writes),
        ("L", Some(3), 2)
    );
}

#[tokio::test]
async fn the_same_id_again_is_the_same_event() {
    let stage = Stage::usual().await;
    let pupil = stage.pupil(SIMS, 0);
    let event = sign_in("e1", &pupil, "09:07:00");
    stage
        .take_all(SIMS, vec![event.clone(), event.clone()])
        .await;
    stage.take(SIMS, event.clone()).await;
    stage.settled().await;
    stage.take(SIMS, event).await;
    stage.settled().await;
    assert_eq!(stage.held(SIMS, &pupil, "AM").unwrap().writes, 1);
    assert_eq!(stage.requests("POST attendance/session"), 1);
    let id = mis_core::SchoolId::from(stage.school(SIMS));
    let taken = stage
        .markback
        .intake(&id, vec![sign_in("e1", &pupil, "09:07:00")])
        .await
        .unwrap();
    assert_eq!(taken[0].state, Confirmed);
}

#[tokio::test]
async fn what_is_refused_at_the_door_leaves_nothing_behind() {
    let stage = Stage::usual().await;
    let pupil = stage.pupil(SIMS, 0);
    let id = mis_core::SchoolId::from(stage.school(SIMS));
    let events = vec![
        sign_in("e1", &pupil, "09:07:00"),
        sign_in("e2", "nobody", "09:07:00"),
    ];
    assert!(stage.markback.intake(&id, events).await.is_err());
    assert!(stage.markback.event(&id, "e1").await.unwrap().is_none());
}

#[tokio::test]
async fn the_register_is_read_once_for_many_pupils() {
    let stage = Stage::usual().await;
    for n in 0..12 {
        let pupil = stage.pupil(SIMS, n);
        stage
            .take(SIMS, sign_in(&format!("e{n}"), &pupil, "09:07:00"))
            .await;
        stage
            .until("decided", async || {
                stage.state(SIMS, &format!("e{n}")).await != markback::service::EventState::Received
            })
            .await;
    }
    stage.settled().await;
    // Once, whatever it took in pages: within the window nobody reads it again.
    let pages = stage.requests("GET attendance/session");
    assert!(pages <= 2, "{pages} reads");
}

#[tokio::test]
async fn events_wait_for_the_people_to_be_known() {
    let mut stage = Stage::idle(Setup::default()).await;
    let pupil = stage.pupil(SIMS, 0);
    stage.take(SIMS, sign_in("e1", &pupil, "09:07:00")).await;
    stage.work();
    stage.clock.advance(Duration::from_secs(1));
    assert_eq!(stage.settled_as(SIMS, "e1").await, Confirmed);
}
