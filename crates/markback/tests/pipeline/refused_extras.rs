//! The comment is not worth the mark: what the MIS refuses with a mark's code is left out, and that is remembered.

use std::time::Duration;

use markback::service::EventState::{Confirmed, Rejected};
use wonde_sandbox::Fault;

use crate::stage::{SIMS, Stage, answered, post, sign_in};

/// The longest option of the field.
const LONG: &str = "M - Medical appointment";

fn refuse(comment_max: Option<u16>, minutes_late: bool, later: bool, silent: bool) -> Fault {
    Fault::RefuseExtras {
        comment_max,
        minutes_late,
        later,
        silent,
    }
}

/// What the history says was done, in order.
async fn history(stage: &Stage, id: &str) -> Vec<String> {
    let event = stage.event(SIMS, id).await;
    let words = event.history.iter().map(|line| {
        let again = line.record["goes_again"].as_str().unwrap_or_default();
        format!("{} {again}", line.what).trim().to_owned()
    });
    words.collect()
}

async fn dropped(stage: &Stage, id: &str) -> serde_json::Value {
    stage.event(SIMS, id).await.decision.unwrap()["dropped"].clone()
}

fn requests(stage: &Stage) -> u64 {
    stage.requests("POST attendance/session")
}

#[tokio::test]
async fn a_comment_that_is_refused_at_once_is_left_out_and_its_limit_remembered() {
    let mut stage = Stage::usual().await;
    let pupils = [0, 1, 2, 3].map(|n| stage.pupil(SIMS, n));
    let fault = post(refuse(Some(20), false, false, false));
    stage.sandbox.add_fault(fault).unwrap();
    let both = vec![
        answered("x1", &pupils[0], "09:05:00", LONG),
        answered("x2", &pupils[1], "09:05:00", "Bus"),
    ];
    stage.take_all(SIMS, both).await;
    stage.settled().await;
    let held = stage.held(SIMS, &pupils[0], "AM").unwrap();
    assert_eq!((held.code.as_str(), held.comment), ("M", None));
    let held = stage.held(SIMS, &pupils[1], "AM").unwrap();
    assert_eq!(
        (held.code.as_str(), held.comment.as_deref()),
        ("L", Some("Bus"))
    );
    assert_eq!(
        history(&stage, "x1").await,
        [
            "planned",
            "refused without its comment",
            "accepted",
            "confirmed"
        ]
    );
    assert_eq!(dropped(&stage, "x1").await, serde_json::json!(["comment"]));
    // As they are, then those that fit, then the one without: nothing is split.
    assert_eq!(requests(&stage), 3);
    let steps = stage.event(SIMS, "x1").await.steps.join("\n");
    assert!(
        steps.contains("the MIS refused the mark with it"),
        "{steps}"
    );

    // From now on nothing that long is tried, also by another process on the same store.
    stage.crash().await;
    stage.work();
    stage
        .take(SIMS, answered("x3", &pupils[2], "09:06:00", LONG))
        .await;
    stage.settled().await;
    assert_eq!(
        history(&stage, "x3").await,
        ["planned", "accepted", "confirmed"]
    );
    assert_eq!(dropped(&stage, "x3").await, serde_json::json!(["comment"]));
    assert_eq!(requests(&stage), 4);
    let limits = stage.markback.store().all_limits().await.unwrap();
    assert_eq!(limits.len(), 1);
    assert_eq!(
        limits[0].limit.to_string(),
        "comments longer than 20 characters are left out"
    );

    // After a while it is tried again.
    stage.clock.advance(Duration::from_secs(31 * 24 * 3600));
    assert_eq!(stage.markback.store().all_limits().await.unwrap(), []);
}

#[tokio::test]
async fn a_refusal_without_words_is_tried_without_the_comment_then_without_the_minutes() {
    let stage = Stage::usual().await;
    let pupils = [0, 1, 2].map(|n| stage.pupil(SIMS, n));
    let fault = post(refuse(None, true, false, true));
    stage.sandbox.add_fault(fault).unwrap();
    stage
        .take(SIMS, answered("m1", &pupils[0], "09:05:00", "Bus"))
        .await;
    stage.settled().await;
    let held = stage.held(SIMS, &pupils[0], "AM").unwrap();
    assert_eq!((held.code.as_str(), held.minutes_late), ("L", None));
    assert_eq!(
        history(&stage, "m1").await,
        [
            "planned",
            "refused without its comment",
            "refused without its comment and its minutes late",
            "accepted",
            "confirmed"
        ]
    );
    assert_eq!(
        dropped(&stage, "m1").await,
        serde_json::json!(["comment", "minutes_late"])
    );
    assert_eq!(requests(&stage), 3);
    // Only the last of the two is known to be the cause.
    stage
        .take(SIMS, answered("m2", &pupils[1], "09:05:00", "Bus"))
        .await;
    stage.settled().await;
    let held = stage.held(SIMS, &pupils[1], "AM").unwrap();
    assert_eq!(
        (held.comment.as_deref(), held.minutes_late),
        (Some("Bus"), None)
    );
    assert_eq!(requests(&stage), 4);
}

#[tokio::test]
async fn words_about_the_minutes_leave_the_comment_alone() {
    let stage = Stage::usual().await;
    let pupil = stage.pupil(SIMS, 0);
    let fault = post(refuse(None, true, false, false));
    stage.sandbox.add_fault(fault).unwrap();
    stage
        .take(SIMS, answered("m1", &pupil, "09:05:00", "Bus"))
        .await;
    stage.settled().await;
    let held = stage.held(SIMS, &pupil, "AM").unwrap();
    assert_eq!(
        (held.comment.as_deref(), held.minutes_late),
        (Some("Bus"), None)
    );
    assert_eq!(requests(&stage), 2);
}

#[tokio::test]
async fn a_comment_that_is_refused_later_is_left_out_too() {
    for (silent, tries) in [(false, 2), (true, 3)] {
        let stage = Stage::usual().await;
        let pupils = [0, 1].map(|n| stage.pupil(SIMS, n));
        let fault = post(refuse(Some(20), false, true, silent));
        stage.sandbox.add_fault(fault).unwrap();
        stage
            .take(SIMS, answered("y1", &pupils[0], "09:05:00", LONG))
            .await;
        assert_eq!(stage.settled_as(SIMS, "y1").await, Confirmed);
        let held = stage.held(SIMS, &pupils[0], "AM").unwrap();
        assert_eq!((held.code.as_str(), held.comment), ("M", None));
        assert_eq!(requests(&stage), tries);
        let done = history(&stage, "y1").await;
        assert!(
            done.contains(&"refused without its comment".to_owned()),
            "{done:?}"
        );
        assert_eq!(dropped(&stage, "y1").await, serde_json::json!(["comment"]));

        stage
            .take(SIMS, answered("y2", &pupils[1], "09:05:00", LONG))
            .await;
        assert_eq!(stage.settled_as(SIMS, "y2").await, Confirmed);
        assert_eq!(requests(&stage), tries + 1);
    }
}

#[tokio::test]
async fn a_mark_that_is_refused_for_itself_is_rejected_and_teaches_nothing() {
    let stage = Stage::usual().await;
    let [with, without] = [0, 1].map(|n| stage.pupil(SIMS, n));
    let status = Fault::Status {
        status: 422,
        retry_after: wonde_sandbox::RetryAfter::None,
    };
    stage.sandbox.add_fault(post(status)).unwrap();
    stage
        .take(SIMS, answered("z1", &with, "09:05:00", "Bus"))
        .await;
    assert_eq!(stage.settled_as(SIMS, "z1").await, Rejected);
    assert_eq!(requests(&stage), 3);
    stage.take(SIMS, sign_in("z2", &without, "08:55:00")).await;
    assert_eq!(stage.settled_as(SIMS, "z2").await, Rejected);
    assert_eq!(requests(&stage), 4);
    assert_eq!(stage.markback.store().all_limits().await.unwrap(), []);
}

#[tokio::test]
async fn the_history_of_a_try_without_the_comment_does_not_tell_it() {
    let stage = Stage::usual().await;
    let pupil = stage.pupil(SIMS, 0);
    let fault = post(refuse(Some(2), false, false, false));
    stage.sandbox.add_fault(fault).unwrap();
    stage
        .take(SIMS, answered("h1", &pupil, "09:05:00", "Bus"))
        .await;
    stage.settled().await;
    let event = stage.event(SIMS, "h1").await;
    // What was planned first has it; from its refusal on no line tells it.
    for line in event.history.iter().filter(|line| line.what != "planned") {
        assert!(!line.record.to_string().contains("Bus"), "{}", line.record);
    }
    assert!(!event.steps.join(" ").contains("Bus"));
}
