//! When marks go, and how often Wonde is asked what became of them.

use std::time::Duration;

use chrono::TimeDelta;
use markback::service::EventState::{Accepted, Confirmed, Planned};
use outbox::Clock as _;

use crate::stage::{SIMS, Setup, Stage, sign_in};

/// Far less than a mark waits for others in these tests, and far more than everything else takes.
const SOON: TimeDelta = TimeDelta::minutes(2);

/// A school where one mark has gone, and a second waits for others.
async fn one_waits() -> Stage {
    let stage = Stage::set(Setup {
        service: "gather = { window = \"1h\", max = 200 }\nregister_window = \"1m\"",
        ..Setup::default()
    })
    .await;
    let [first, second] = [0, 1].map(|n| stage.pupil(SIMS, n));
    let begins = stage.clock.now();
    stage.take(SIMS, sign_in("first", &first, "09:07:00")).await;
    stage.reaches(SIMS, "first", Accepted).await;
    assert!(stage.clock.now() - begins < SOON, "the first goes at once");
    stage
        .take(SIMS, sign_in("second", &second, "09:07:00"))
        .await;
    stage.reaches(SIMS, "second", Planned).await;
    stage
}

#[tokio::test]
async fn a_mark_after_the_first_waits_for_others_but_not_for_longer_than_it_pays() {
    let stage = one_waits().await;
    let begins = stage.clock.now();
    stage.reaches(SIMS, "second", Accepted).await;
    let waited = stage.clock.now() - begins;
    assert!(waited > SOON && waited < TimeDelta::hours(1), "{waited}");
}

#[tokio::test]
async fn the_mark_of_a_pupil_who_is_missed_does_not_wait_and_takes_others_along() {
    let stage = one_waits().await;
    let missed = stage.pupil(SIMS, 2);
    stage.teacher(SIMS, &missed, "AM", Some("N"));
    // What was read before is not taken as it is any more.
    stage.clock.advance(Duration::from_secs(61));
    assert_eq!(stage.state(SIMS, "second").await, Planned);
    let begins = stage.clock.now();
    stage
        .take(SIMS, sign_in("missed", &missed, "09:10:00"))
        .await;
    stage.reaches(SIMS, "missed", Accepted).await;
    stage.reaches(SIMS, "second", Accepted).await;
    assert!(stage.clock.now() - begins < TimeDelta::minutes(1));
    assert_eq!(stage.requests("POST attendance/session"), 2);
}

#[tokio::test]
async fn a_restart_does_not_stretch_the_wait() {
    let mut stage = one_waits().await;
    stage.crash().await;
    stage.work();
    let begins = stage.clock.now();
    stage.reaches(SIMS, "second", Accepted).await;
    assert!(stage.clock.now() - begins < SOON);
}

#[tokio::test]
async fn registers_that_follow_each_other_are_asked_about_together() {
    let stage = Stage::set(Setup {
        service: "gather = { window = \"0s\", max = 1 }",
        ..Setup::default()
    })
    .await;
    for n in 0..8 {
        let id = format!("e{n}");
        let pupil = stage.pupil(SIMS, n);
        stage.take(SIMS, sign_in(&id, &pupil, "09:07:00")).await;
        stage.reaches(SIMS, &id, Accepted).await;
    }
    stage.settled().await;
    for n in 0..8 {
        assert_eq!(stage.state(SIMS, &format!("e{n}")).await, Confirmed);
    }
    assert_eq!(stage.requests("POST attendance/session"), 8);
    let questions = stage.requests("GET writebacks");
    assert!(questions <= 5, "{questions} questions for 8 registers");
}
