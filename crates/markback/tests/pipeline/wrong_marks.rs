//! Ways to a wrong mark, each of which must end in the right one.

use std::time::Duration;

use chrono::TimeDelta;
use markback::service::EventState::{
    Accepted, Confirmed, Planned, Rejected, Sent, Skipped, Superseded,
};
use wonde_sandbox::{Fault, FaultRule, RetryAfter, SandboxOptions};

use crate::stage::{SIMS, Setup, Stage, answered, post, sign_in, sign_out};

/// Wonde's copy of the register is an hour old.
pub(crate) fn hourly() -> Setup {
    Setup {
        sandbox: SandboxOptions {
            pupils_per_school: 60,
            extraction_every: Duration::from_secs(3600),
            ..SandboxOptions::default()
        },
        ..Setup::default()
    }
}

/// No code is protected.
fn unprotected(setup: Setup) -> Setup {
    Setup {
        writeback: "",
        ..setup
    }
}

fn paused_once() -> FaultRule {
    post(Fault::Status {
        status: 503,
        retry_after: RetryAfter::Seconds(600),
    })
    .times(1)
}

#[tokio::test]
async fn what_we_wrote_is_protected_before_the_copy_shows_it() {
    let stage = Stage::set(hourly()).await;
    let pupil = stage.pupil(SIMS, 0);
    stage.take(SIMS, sign_in("e1", &pupil, "08:50:00")).await;
    stage.settled().await;
    stage
        .take(SIMS, sign_out("e2", &pupil, "09:50:00", "M - Dentist"))
        .await;
    assert_eq!(stage.settled_as(SIMS, "e2").await, Skipped);
    assert_eq!(stage.code(SIMS, &pupil, "AM").unwrap(), "/");
}

#[tokio::test]
async fn what_a_teacher_changed_is_not_fought() {
    let stage = Stage::usual().await;
    let pupil = stage.pupil(SIMS, 0);
    stage.take(SIMS, sign_in("e1", &pupil, "09:07:00")).await;
    stage.settled().await;
    assert_eq!(stage.code(SIMS, &pupil, "AM").unwrap(), "L");
    stage.clock.advance(Duration::from_secs(60));
    stage.teacher(SIMS, &pupil, "AM", Some("M"));
    stage.clock.advance(Duration::from_secs(600));
    stage
        .take(SIMS, sign_out("e2", &pupil, "10:01:00", "M - Dentist"))
        .await;
    stage
        .take(SIMS, answered("e3", &pupil, "10:02:00", "I - Ill"))
        .await;
    stage.settled().await;
    assert_eq!(stage.code(SIMS, &pupil, "AM").unwrap(), "M");
    assert_eq!(stage.state(SIMS, "e3").await, Skipped);
    assert_eq!(stage.held(SIMS, &pupil, "AM").unwrap().writes, 1);
}

#[tokio::test]
async fn a_teacher_who_was_quicker_than_a_waiting_mark_is_not_overwritten() {
    let stage = Stage::usual().await;
    let pupil = stage.pupil(SIMS, 0);
    stage.sandbox.add_fault(paused_once()).unwrap();
    stage.take(SIMS, sign_in("e1", &pupil, "09:07:00")).await;
    stage.waits(SIMS, "e1").await;
    stage.clock.advance(Duration::from_secs(30));
    stage.teacher(SIMS, &pupil, "AM", Some("M"));
    stage.clock.advance(Duration::from_secs(600));
    assert_eq!(stage.settled_as(SIMS, "e1").await, Skipped);
    assert_eq!(stage.code(SIMS, &pupil, "AM").unwrap(), "M");
}

/// The earlier arrival says the same as the one that waits to be sent; when that is looked at again, it must not be
/// held back by the arrival that relied on it.
#[tokio::test]
async fn an_earlier_arrival_that_says_the_same_does_not_undo_the_mark() {
    let stage = Stage::usual().await;
    let pupil = stage.pupil(SIMS, 0);
    // The mark is looked at again before it is sent once more; deciding goes on meanwhile.
    let cut = post(Fault::CutBefore);
    stage.sandbox.add_fault(cut.times(1)).unwrap();
    stage.take(SIMS, sign_in("e1", &pupil, "08:55:00")).await;
    stage.waits(SIMS, "e1").await;
    stage.take(SIMS, sign_in("e0", &pupil, "08:50:00")).await;
    stage.reaches(SIMS, "e0", Skipped).await;
    stage.clock.advance(Duration::from_secs(60));
    stage.settled().await;
    assert_eq!(stage.code(SIMS, &pupil, "AM").unwrap(), "/");
    assert_eq!(stage.state(SIMS, "e1").await, Confirmed);
    assert_eq!(stage.state(SIMS, "e0").await, Skipped);
}

/// The copy still shows what was there before our own first mark, when our second is looked at again.
#[tokio::test]
async fn an_old_copy_does_not_stand_above_what_we_wrote_since() {
    let setup = Setup {
        writeback: "protected = [\"/\"]\nprotect_on = [\"sign_in\"]",
        ..hourly()
    };
    let stage = Stage::set(setup).await;
    let pupil = stage.pupil(SIMS, 0);
    stage.teacher(SIMS, &pupil, "AM", Some("/"));
    assert!(stage.sandbox.extract_now(&stage.school(SIMS)).unwrap());
    // Long enough for nobody to doubt which of the two was later.
    stage.clock.advance(Duration::from_secs(60));
    // A sign-out may replace the present mark; coming back ill may replace that.
    stage
        .take(SIMS, sign_out("e1", &pupil, "09:40:00", "M - Dentist"))
        .await;
    assert_eq!(stage.settled_as(SIMS, "e1").await, Confirmed);
    stage.sandbox.add_fault(paused_once()).unwrap();
    stage
        .take(SIMS, answered("e2", &pupil, "09:55:00", "I - Ill"))
        .await;
    stage.waits(SIMS, "e2").await;
    stage.clock.advance(Duration::from_secs(600));
    assert_eq!(stage.settled_as(SIMS, "e2").await, Confirmed);
    assert_eq!(stage.code(SIMS, &pupil, "AM").unwrap(), "I");
}

/// When a mark comes to nothing, what we had written before it is what the register holds.
#[tokio::test]
async fn a_rejected_mark_does_not_make_us_forget_the_one_before() {
    let setup = Setup {
        writeback: "protected = [\"L\"]\nprotect_on = [\"sign_in\"]",
        ..hourly()
    };
    let stage = Stage::set(setup).await;
    let pupil = stage.pupil(SIMS, 0);
    stage.take(SIMS, sign_in("e1", &pupil, "09:07:00")).await;
    stage.settled().await;
    let refusal = FaultRule::new(Fault::RejectWriteback { message: None });
    stage.sandbox.add_fault(refusal).unwrap();
    stage
        .take(SIMS, sign_out("e2", &pupil, "09:50:00", "M - Dentist"))
        .await;
    assert_eq!(stage.settled_as(SIMS, "e2").await, Rejected);
    stage.sandbox.clear_faults();
    stage
        .take(SIMS, answered("e3", &pupil, "10:01:00", "I - Ill"))
        .await;
    assert_eq!(stage.settled_as(SIMS, "e3").await, Skipped);
    assert_eq!(stage.code(SIMS, &pupil, "AM").unwrap(), "L");
}

/// The same mark as two events ago, looked up in a copy from then, must not pass for written.
#[tokio::test]
async fn an_old_mark_that_says_the_same_does_not_pass_for_the_new_one() {
    let stage = Stage::set(unprotected(hourly())).await;
    let pupil = stage.pupil(SIMS, 0);
    stage
        .take(SIMS, answered("e1", &pupil, "09:40:00", "I - Ill"))
        .await;
    stage.settled().await;
    assert!(stage.sandbox.extract_now(&stage.school(SIMS)).unwrap());
    stage.clock.advance(Duration::from_secs(60));
    stage
        .take(
            SIMS,
            answered("e2", &pupil, "09:50:00", "M - Medical appointment"),
        )
        .await;
    stage.settled().await;
    let cut = post(Fault::CutBefore);
    stage.sandbox.add_fault(cut.times(1)).unwrap();
    stage
        .take(SIMS, answered("e3", &pupil, "09:55:00", "I - Ill"))
        .await;
    assert_eq!(stage.settled_as(SIMS, "e3").await, Confirmed);
    assert_eq!(stage.code(SIMS, &pupil, "AM").unwrap(), "I");
}

fn reason(event: &markback::service::EventRecord) -> String {
    event.decision.as_ref().unwrap()["reason"].to_string()
}

/// A device that was offline tells of a sign-in after another has told of the sign-out.
#[tokio::test]
async fn an_event_that_is_delivered_late_does_not_stand_above_a_later_one() {
    let stage = Stage::set(unprotected(Setup::default())).await;
    let pupil = stage.pupil(SIMS, 0);
    stage
        .take(SIMS, sign_out("e2", &pupil, "09:50:00", "M - Dentist"))
        .await;
    stage.settled().await;
    stage
        .take(SIMS, answered("e1", &pupil, "09:10:00", "I - Ill"))
        .await;
    stage.take(SIMS, sign_in("e0", &pupil, "08:50:00")).await;
    stage.settled().await;
    for id in ["e0", "e1"] {
        let event = stage.event(SIMS, id).await;
        assert_eq!(event.state, Skipped);
        assert_eq!(reason(&event), "\"later_event_stands\"");
    }
    let held = stage.held(SIMS, &pupil, "AM").unwrap();
    assert_eq!((held.code.as_str(), held.writes), ("M", 1));
    // The one that came last and happened last has the last word all the same.
    stage
        .take(SIMS, answered("e3", &pupil, "09:55:00", "I - Ill"))
        .await;
    assert_eq!(stage.settled_as(SIMS, "e3").await, Confirmed);
    assert_eq!(stage.code(SIMS, &pupil, "AM").unwrap(), "I");
}

/// In at 8:50, out at 9:30, in again at 9:45, and the first is told last: until then the second sign-in passes for the
/// arrival, and its mark takes the place of the sign-out's.
#[tokio::test]
async fn a_mark_that_was_replaced_by_mistake_is_written_again() {
    let stage = Stage::set(unprotected(Setup::default())).await;
    let pupil = stage.pupil(SIMS, 0);
    stage
        .take(SIMS, sign_out("e2", &pupil, "09:30:00", "M - Dentist"))
        .await;
    stage.settled().await;
    stage.take(SIMS, sign_in("e3", &pupil, "09:45:00")).await;
    stage.settled().await;
    assert_eq!(stage.code(SIMS, &pupil, "AM").unwrap(), "U");
    // Looked at again before it goes, it must come to the same.
    let cut = post(Fault::CutBefore);
    stage.sandbox.add_fault(cut.times(1)).unwrap();
    stage.take(SIMS, sign_in("e1", &pupil, "08:50:00")).await;
    assert_eq!(stage.settled_as(SIMS, "e1").await, Confirmed);
    assert_eq!(stage.code(SIMS, &pupil, "AM").unwrap(), "M");
    let steps = stage.event(SIMS, "e1").await.steps;
    assert!(
        steps.iter().any(|step| step.contains("M applies again")),
        "{steps:?}"
    );
}

/// When the later mark comes to nothing, it stands in nobody's way.
#[tokio::test]
async fn a_later_mark_that_was_rejected_holds_back_no_other() {
    let stage = Stage::set(unprotected(Setup::default())).await;
    let pupil = stage.pupil(SIMS, 0);
    let refusal = FaultRule::new(Fault::RejectWriteback { message: None });
    stage.sandbox.add_fault(refusal).unwrap();
    stage
        .take(SIMS, sign_out("e2", &pupil, "09:50:00", "M - Dentist"))
        .await;
    assert_eq!(stage.settled_as(SIMS, "e2").await, Rejected);
    stage.sandbox.clear_faults();
    stage
        .take(SIMS, answered("e1", &pupil, "09:10:00", "I - Ill"))
        .await;
    assert_eq!(stage.settled_as(SIMS, "e1").await, Confirmed);
    assert_eq!(stage.code(SIMS, &pupil, "AM").unwrap(), "I");
}

/// The answer to the first mark never comes, and Wonde's copy is too old to show it. Before that is settled the pupil
/// leaves: the first mark must not land on top of that, neither late nor sent again.
#[tokio::test]
async fn a_mark_without_an_answer_makes_way_for_a_newer_one() {
    for fault in [Fault::CutAfter, Fault::CutBefore] {
        let stage = Stage::set(unprotected(hourly())).await;
        let pupil = stage.pupil(SIMS, 0);
        stage.sandbox.add_fault(post(fault).times(1)).unwrap();
        stage.take(SIMS, sign_in("e1", &pupil, "09:07:00")).await;
        stage.reaches(SIMS, "e1", Sent).await;
        stage
            .take(SIMS, sign_out("e2", &pupil, "09:50:00", "M - Dentist"))
            .await;
        stage.waits(SIMS, "e2").await;
        let lost_at = stage.event(SIMS, "e1").await.sent_at.unwrap();
        stage.settled().await;
        // After a minute the first is looked for, or the second takes its place, whichever comes first.
        assert!([Superseded, Confirmed].contains(&stage.state(SIMS, "e1").await));
        let newer = stage.event(SIMS, "e2").await;
        assert_eq!(newer.state, Confirmed);
        assert!(newer.sent_at.unwrap() - lost_at >= TimeDelta::seconds(60));
        stage.clock.advance(Duration::from_secs(600));
        assert_eq!(stage.code(SIMS, &pupil, "AM").unwrap(), "M");
    }
}

/// The same, and the pupil leaves while the first mark is on its way for the second time.
#[tokio::test]
async fn a_mark_that_is_sent_again_is_not_sent_after_a_newer_one() {
    let stage = Stage::set(unprotected(hourly())).await;
    let pupil = stage.pupil(SIMS, 0);
    stage
        .sandbox
        .add_fault(post(Fault::CutBefore).times(1))
        .unwrap();
    let slow = Fault::Slow {
        millis: 1_500,
        after: false,
    };
    stage.sandbox.add_fault(post(slow).times(1)).unwrap();
    stage.take(SIMS, sign_in("e1", &pupil, "09:07:00")).await;
    stage
        .until("it is sent again", async || {
            stage.requests("POST attendance/session") == 2
        })
        .await;
    stage
        .take(SIMS, sign_out("e2", &pupil, "09:50:00", "M - Dentist"))
        .await;
    stage.reaches(SIMS, "e2", Planned).await;
    stage.settled().await;
    assert_eq!(stage.code(SIMS, &pupil, "AM").unwrap(), "M");
    assert_eq!(stage.state(SIMS, "e2").await, Confirmed);
    assert_eq!(stage.requests("POST attendance/session"), 3);
}

/// Whatever the calendar can hold goes its way, and what it cannot is refused at the door.
#[tokio::test]
async fn no_time_of_an_event_stops_the_work() {
    let setup = Setup {
        service: "accept_age = \"36500d\"\nfuture_tolerance = \"36500d\"",
        ..Setup::default()
    };
    let stage = Stage::set(setup).await;
    let [odd, usual] = [0, 1].map(|n| stage.pupil(SIMS, n));
    let at = |id: &str, at: &str| {
        let mut event = sign_in(id, &odd, "09:07:00");
        event["at"] = at.into();
        event
    };
    let id = mis_core::SchoolId::from(stage.school(SIMS));
    for beyond in [
        "0000-01-01T00:00:00+23:59",
        "9999-12-31T23:59:59-23:59",
        "-262143-01-01T00:00:00Z",
        "+262142-12-31T23:59:59Z",
    ] {
        let taken = stage.markback.intake(&id, vec![at("x", beyond)]).await;
        assert!(taken.is_err(), "{beyond}");
    }
    let events = vec![
        at("e1", "1927-11-23T09:07:00+23:59"),
        // An hour that London's clocks jump over, and one that they have twice.
        at("e2", "2027-03-28T01:30:00Z"),
        at("e3", "2026-10-25T01:30:00+01:00"),
        at("e4", "2126-10-19T09:07:00-23:59"),
        sign_in("e5", &usual, "09:07:00"),
    ];
    stage.take_all(SIMS, events).await;
    stage.settled().await;
    assert_eq!(stage.state(SIMS, "e5").await, Confirmed);
}

#[tokio::test]
async fn morning_and_afternoon_of_one_pupil_stay_apart() {
    let stage = Stage::usual().await;
    let pupil = stage.pupil(SIMS, 0);
    stage.clock.advance(Duration::from_secs(3 * 3600 + 600));
    let events = vec![
        sign_in("e1", &pupil, "09:07:00"),
        sign_out("e2", &pupil, "11:30:00", "M - Dentist"),
        sign_in("e3", &pupil, "13:05:00"),
    ];
    stage.take_all(SIMS, events).await;
    stage.settled().await;
    assert_eq!(stage.code(SIMS, &pupil, "AM").unwrap(), "M");
    let held = stage.held(SIMS, &pupil, "PM").unwrap();
    assert_eq!((held.code.as_str(), held.minutes_late), ("L", Some(5)));
}

#[tokio::test]
async fn a_comment_with_a_zero_byte_stops_nobody() {
    let stage = Stage::usual().await;
    let [odd, other] = [0, 1].map(|n| stage.pupil(SIMS, n));
    let mut event = sign_in("e1", &odd, "09:07:00");
    event["answers"] = serde_json::json!({"Reason": "Bus\u{0}"});
    let id = mis_core::SchoolId::from(stage.school(SIMS));
    // An option it is not; whatever is said of it, the next event goes its way.
    let _ = stage.markback.intake(&id, vec![event]).await;
    stage.take(SIMS, sign_in("e2", &other, "09:07:00")).await;
    stage.reaches(SIMS, "e2", Accepted).await;
}
