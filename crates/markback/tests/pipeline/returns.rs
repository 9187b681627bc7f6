//! Pupils who leave and come back, and who tap twice.

use std::time::Duration;

use markback::service::EventState::{Accepted, Confirmed, Planned, Skipped, Superseded};
use wonde_sandbox::{Fault, RetryAfter, SandboxOptions};

use crate::stage::{SIMS, Setup, Stage, post, sign_in, sign_out};

/// No present marks, a leaver's code, and that protected as well; the afternoon has begun.
async fn lunch(writeback: &'static str) -> Stage {
    let stage = Stage::set(Setup {
        writeback,
        ..Setup::default()
    })
    .await;
    stage.clock.advance(Duration::from_secs(4 * 3600));
    stage
}

const PROTECTED: &str =
    "present = false\nleaver_code = \"M\"\nprotected = [\"/\", \"\\\\\", \"M\", \"X\"]";
const UNPROTECTED: &str = "present = false\nleaver_code = \"M\"";

fn out(id: &str, pupil: &str, at: &str) -> serde_json::Value {
    sign_out(id, pupil, at, "Going home")
}

#[tokio::test]
async fn back_in_time_is_present_though_the_leavers_code_is_protected() {
    for writeback in [PROTECTED, UNPROTECTED] {
        let stage = lunch(writeback).await;
        let pupil = stage.pupil(SIMS, 0);
        stage.take(SIMS, out("l1", &pupil, "12:08:00")).await;
        assert_eq!(stage.settled_as(SIMS, "l1").await, Confirmed);
        assert_eq!(stage.code(SIMS, &pupil, "PM").unwrap(), "M");
        stage.take(SIMS, sign_in("l2", &pupil, "12:44:00")).await;
        assert_eq!(stage.settled_as(SIMS, "l2").await, Confirmed);
        assert_eq!(stage.code(SIMS, &pupil, "PM").unwrap(), "\\");
        let steps = stage.event(SIMS, "l2").await.steps;
        assert!(
            steps
                .iter()
                .any(|step| step.contains("this return is the arrival")),
            "{steps:?}"
        );
    }
}

/// The leaver's mark is still planned, or waits for a school that rests, when the return comes in.
#[tokio::test]
async fn a_return_takes_the_place_of_a_mark_that_was_not_sent_yet() {
    let stage = lunch(PROTECTED).await;
    let [quick, waiting] = [0, 1].map(|n| stage.pupil(SIMS, n));
    let both = vec![
        out("q1", &quick, "12:08:00"),
        sign_in("q2", &quick, "12:44:00"),
    ];
    stage.take_all(SIMS, both).await;
    stage.settled().await;
    assert_eq!(stage.code(SIMS, &quick, "PM").unwrap(), "\\");

    let rests = post(Fault::Status {
        status: 503,
        retry_after: RetryAfter::Seconds(60),
    });
    stage.sandbox.add_fault(rests.times(1)).unwrap();
    stage.take(SIMS, out("w1", &waiting, "12:08:00")).await;
    stage.reaches(SIMS, "w1", Planned).await;
    stage.waits(SIMS, "w1").await;
    stage.take(SIMS, sign_in("w2", &waiting, "12:44:00")).await;
    stage.settled().await;
    // Sending the one and deciding the other become due at the same moment, when the pause ends. Whichever comes first, the
    // return's mark is the last.
    let left = stage.state(SIMS, "w1").await;
    assert!([Superseded, Confirmed].contains(&left), "{left:?}");
    assert_eq!(stage.state(SIMS, "w2").await, Confirmed);
    assert_eq!(stage.code(SIMS, &waiting, "PM").unwrap(), "\\");
}

/// The plan of the return grows old before it is sent, and is looked at again: what the rules decided stands.
#[tokio::test]
async fn a_return_that_is_looked_at_again_stays_one() {
    for first in [Fault::CutBefore, Fault::CutAfter] {
        let stage = lunch(UNPROTECTED).await;
        let pupil = stage.pupil(SIMS, 0);
        stage.sandbox.add_fault(post(first).times(1)).unwrap();
        stage.take(SIMS, out("l1", &pupil, "12:08:00")).await;
        stage.waits(SIMS, "l1").await;
        stage
            .sandbox
            .add_fault(post(Fault::CutBefore).times(1))
            .unwrap();
        stage.take(SIMS, sign_in("l2", &pupil, "12:44:00")).await;
        stage.settled().await;
        assert_eq!(stage.state(SIMS, "l2").await, Confirmed);
        assert_eq!(stage.code(SIMS, &pupil, "PM").unwrap(), "\\");
    }
}

/// Wonde's copy shows our own sign-out's mark only after the return was planned: it is ours all the same.
#[tokio::test]
async fn our_own_mark_that_shows_late_does_not_stand_against_the_return() {
    let stage = Stage::set(Setup {
        writeback: PROTECTED,
        sandbox: SandboxOptions {
            pupils_per_school: 60,
            extraction_every: Duration::from_secs(600),
            ..SandboxOptions::default()
        },
        ..Setup::default()
    })
    .await;
    stage.clock.advance(Duration::from_secs(4 * 3600));
    let pupil = stage.pupil(SIMS, 0);
    stage.take(SIMS, out("l1", &pupil, "12:08:00")).await;
    stage.reaches(SIMS, "l1", Accepted).await;
    let rests = post(Fault::Status {
        status: 503,
        retry_after: RetryAfter::Seconds(900),
    });
    stage.sandbox.add_fault(rests.times(1)).unwrap();
    stage.take(SIMS, sign_in("l2", &pupil, "12:44:00")).await;
    stage.waits(SIMS, "l2").await;
    stage.clock.advance(Duration::from_secs(600));
    stage.reaches(SIMS, "l1", Confirmed).await;
    stage.clock.advance(Duration::from_secs(600));
    let state = stage.settled_as(SIMS, "l2").await;
    let why = serde_json::to_string_pretty(&[
        stage.event(SIMS, "l1").await,
        stage.event(SIMS, "l2").await,
    ])
    .unwrap();
    assert_eq!(state, Confirmed, "{why}");

    assert_eq!(stage.code(SIMS, &pupil, "PM").unwrap(), "\\");
}

#[tokio::test]
async fn a_sign_out_that_is_delivered_after_the_return_leaves_the_same_mark() {
    let stage = lunch(PROTECTED).await;
    let pupil = stage.pupil(SIMS, 0);
    stage.take(SIMS, sign_in("l2", &pupil, "12:44:00")).await;
    assert_eq!(stage.settled_as(SIMS, "l2").await, Skipped);
    // Looked at again before it goes, it must come to the same.
    let cut = post(Fault::CutBefore);
    stage.sandbox.add_fault(cut.times(1)).unwrap();
    stage.take(SIMS, out("l1", &pupil, "12:08:00")).await;
    assert_eq!(stage.settled_as(SIMS, "l1").await, Confirmed);
    assert_eq!(stage.code(SIMS, &pupil, "PM").unwrap(), "\\");
}

#[tokio::test]
async fn who_comes_back_late_is_judged_by_the_clock() {
    let stage = lunch(PROTECTED).await;
    let pupil = stage.pupil(SIMS, 0);
    stage.take(SIMS, out("l1", &pupil, "12:08:00")).await;
    stage.settled().await;
    stage.take(SIMS, sign_in("l2", &pupil, "13:20:00")).await;
    assert_eq!(stage.settled_as(SIMS, "l2").await, Confirmed);
    let held = stage.held(SIMS, &pupil, "PM").unwrap();
    assert_eq!((held.code.as_str(), held.minutes_late), ("U", Some(20)));
}

#[tokio::test]
async fn who_had_arrived_or_was_marked_by_somebody_else_keeps_the_mark() {
    let stage = lunch(PROTECTED).await;
    let [arrived, marked] = [0, 1].map(|n| stage.pupil(SIMS, n));
    let events = vec![
        sign_in("a0", &arrived, "12:02:00"),
        out("a1", &arrived, "12:08:00"),
        out("m1", &marked, "12:08:00"),
    ];
    stage.take_all(SIMS, events).await;
    stage.settled().await;
    stage.clock.advance(Duration::from_secs(60));
    stage.teacher(SIMS, &marked, "PM", Some("X"));
    stage.clock.advance(Duration::from_secs(600));
    let events = vec![
        sign_in("a2", &arrived, "12:44:00"),
        sign_in("m2", &marked, "12:44:00"),
    ];
    stage.take_all(SIMS, events).await;
    stage.settled().await;
    assert_eq!(stage.code(SIMS, &arrived, "PM").unwrap(), "M");
    assert_eq!(stage.code(SIMS, &marked, "PM").unwrap(), "X");
}

fn reason(event: &markback::service::EventRecord) -> String {
    event.decision.as_ref().unwrap()["reason"].to_string()
}

#[tokio::test]
async fn the_second_of_two_taps_writes_nothing() {
    let stage = Stage::set(Setup {
        writeback: "leaver_code = \"M\"",
        ..Setup::default()
    })
    .await;
    let [late, leaver, thrice] = [0, 1, 2].map(|n| stage.pupil(SIMS, n));
    let events = vec![
        sign_in("a1", &late, "09:05:00"),
        out("a2", &late, "09:05:02"),
        sign_in("b1", &leaver, "08:50:00"),
        out("b2", &leaver, "09:50:00"),
        sign_in("b3", &leaver, "09:50:02"),
        sign_in("c1", &thrice, "09:05:00"),
        out("c2", &thrice, "09:05:40"),
        sign_in("c3", &thrice, "09:05:50"),
        out("c4", &thrice, "09:06:10"),
    ];
    stage.take_all(SIMS, events).await;
    stage.settled().await;
    for id in ["a2", "b3", "c2", "c3"] {
        let event = stage.event(SIMS, id).await;
        assert_eq!(event.state, Skipped, "{id}");
        assert_eq!(reason(&event), "\"double_tap\"", "{id}");
    }
    assert_eq!(stage.code(SIMS, &late, "AM").unwrap(), "L");
    assert_eq!(stage.code(SIMS, &leaver, "AM").unwrap(), "M");
    // Of three taps in a row all but the first go; what comes a minute after that one counts again.
    assert_eq!(stage.state(SIMS, "c4").await, Confirmed);
    assert_eq!(stage.code(SIMS, &thrice, "AM").unwrap(), "M");
}

#[tokio::test]
async fn the_first_of_two_taps_may_be_delivered_last() {
    let stage = Stage::set(Setup {
        writeback: "leaver_code = \"M\"",
        ..Setup::default()
    })
    .await;
    let pupil = stage.pupil(SIMS, 0);
    stage.take(SIMS, out("e2", &pupil, "09:05:02")).await;
    stage.settled().await;
    stage.take(SIMS, sign_in("e1", &pupil, "09:05:00")).await;
    assert_eq!(stage.settled_as(SIMS, "e1").await, Confirmed);
    assert_eq!(stage.code(SIMS, &pupil, "AM").unwrap(), "L");
}

#[tokio::test]
async fn a_shortest_stay_of_nothing_takes_every_tap() {
    let stage = Stage::set(Setup {
        writeback: "leaver_code = \"M\"\nshortest_stay = 0",
        ..Setup::default()
    })
    .await;
    let pupil = stage.pupil(SIMS, 0);
    let events = vec![
        sign_in("e1", &pupil, "09:05:00"),
        out("e2", &pupil, "09:05:02"),
    ];
    stage.take_all(SIMS, events).await;
    stage.settled().await;
    assert_eq!(stage.code(SIMS, &pupil, "AM").unwrap(), "M");
}
