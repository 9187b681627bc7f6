//! Marks that wait until a person releases them.

use std::time::Duration;

use markback::{
    operator::{self, Actor, OperatorError},
    service::EventState::{Confirmed, Discarded, Held, Planned, Skipped, Superseded},
};
use wonde_sandbox::{Fault, RetryAfter};

use crate::stage::{SIMS, Setup, Stage, post, sign_in, sign_out};

async fn holding(writeback: &'static str) -> Stage {
    Stage::set(Setup {
        writeback,
        ..Setup::default()
    })
    .await
}

/// Unauthorised absences and leavers wait.
async fn usual() -> Stage {
    holding("protected = [\"/\", \"N\"]\nhold = { codes = [\"U\", \"M\"] }").await
}

async fn release(stage: &Stage, id: &str) -> Result<(), OperatorError> {
    let school = stage.sandbox.schools()[SIMS].id.as_str().into();
    let (store, settings) = (stage.markback.store(), stage.markback.settings());
    operator::release(store, &settings, &school, id, &Actor::default())
        .await
        .map(|_| ())
}

async fn drop_held(stage: &Stage, id: &str) {
    let school = stage.sandbox.schools()[SIMS].id.as_str().into();
    operator::drop_held(stage.markback.store(), &school, id, &Actor::default())
        .await
        .unwrap();
}

/// The next day, when what was held has lapsed.
async fn next_day(stage: &Stage) {
    stage.clock.advance(Duration::from_secs(14 * 3600));
    stage.settled().await;
}

async fn history(stage: &Stage, id: &str) -> Vec<String> {
    let record = stage.event(SIMS, id).await;
    record.history.into_iter().map(|line| line.what).collect()
}

#[tokio::test]
async fn a_held_mark_is_sent_once_it_is_released() {
    let stage = usual().await;
    let pupil = stage.pupil(SIMS, 0);
    stage.take(SIMS, sign_in("e1", &pupil, "09:30:00")).await;
    stage.reaches(SIMS, "e1", Held).await;
    // Long enough for any mark to be sent.
    stage.clock.advance(Duration::from_secs(1800));
    stage
        .take(SIMS, sign_in("e2", &stage.pupil(SIMS, 1), "08:50:00"))
        .await;
    stage.reaches(SIMS, "e2", Confirmed).await;
    assert_eq!(stage.state(SIMS, "e1").await, Held);
    assert_eq!(stage.code(SIMS, &pupil, "AM"), None);
    let record = stage.event(SIMS, "e1").await;
    assert_eq!(
        record.decision.unwrap()["hold"],
        "U is held by the group's settings"
    );

    release(&stage, "e1").await.unwrap();
    assert_eq!(stage.settled_as(SIMS, "e1").await, Confirmed);
    assert_eq!(stage.code(SIMS, &pupil, "AM").unwrap(), "U");
    assert_eq!(
        history(&stage, "e1").await,
        ["held", "released", "accepted", "confirmed"]
    );
    assert!(matches!(
        release(&stage, "e1").await,
        Err(OperatorError::State(Confirmed, _))
    ));
    // The job that would have ended the wait is gone or does nothing.
    next_day(&stage).await;
    assert_eq!(stage.state(SIMS, "e1").await, Confirmed);
}

#[tokio::test]
async fn a_dropped_mark_is_never_sent() {
    let stage = usual().await;
    let pupil = stage.pupil(SIMS, 0);
    stage.take(SIMS, sign_in("e1", &pupil, "09:30:00")).await;
    stage.reaches(SIMS, "e1", Held).await;
    drop_held(&stage, "e1").await;
    assert_eq!(stage.settled_as(SIMS, "e1").await, Discarded);
    assert_eq!(history(&stage, "e1").await, ["held", "dropped"]);
    assert!(matches!(
        release(&stage, "e1").await,
        Err(OperatorError::State(Discarded, _))
    ));
    assert_eq!(stage.code(SIMS, &pupil, "AM"), None);
}

#[tokio::test]
async fn a_mark_that_nobody_releases_lapses() {
    let mut stage = usual().await;
    let pupil = stage.pupil(SIMS, 0);
    stage.take(SIMS, sign_in("e1", &pupil, "09:30:00")).await;
    stage.reaches(SIMS, "e1", Held).await;
    // Also across a restart.
    stage.crash().await;
    stage.clock.advance(Duration::from_secs(12 * 3600));
    stage.work();
    assert_eq!(stage.state(SIMS, "e1").await, Held);
    stage.clock.advance(Duration::from_secs(2 * 3600));
    assert_eq!(stage.settled_as(SIMS, "e1").await, Discarded);
    let record = stage.event(SIMS, "e1").await;
    assert!(record.outcome.unwrap().starts_with("lapsed"));
    assert_eq!(history(&stage, "e1").await, ["held", "lapsed"]);
    assert!(matches!(
        release(&stage, "e1").await,
        Err(OperatorError::State(Discarded, _))
    ));
}

#[tokio::test]
async fn a_newer_mark_supersedes_a_held_one() {
    let stage = usual().await;
    let pupil = stage.pupil(SIMS, 0);
    stage.take(SIMS, sign_in("e1", &pupil, "09:30:00")).await;
    stage.reaches(SIMS, "e1", Held).await;
    // Held itself.
    stage
        .take(SIMS, sign_out("e2", &pupil, "09:40:00", "M - Dentist"))
        .await;
    stage.reaches(SIMS, "e2", Held).await;
    assert_eq!(stage.state(SIMS, "e1").await, Superseded);
    assert!(matches!(
        release(&stage, "e1").await,
        Err(OperatorError::State(Superseded, _))
    ));
    // Not held.
    let mut ill = sign_in("e3", &pupil, "09:50:00");
    ill["answers"] = serde_json::json!({"Reason": "I - Ill"});
    stage.take(SIMS, ill).await;
    stage.reaches(SIMS, "e3", Confirmed).await;
    assert_eq!(stage.state(SIMS, "e2").await, Superseded);
    next_day(&stage).await;
    for id in ["e1", "e2"] {
        assert_eq!(stage.state(SIMS, id).await, Superseded, "{id}");
    }
}

/// Only the mark that is sent is taken for what the register holds.
#[tokio::test]
async fn a_held_mark_keeps_no_older_one_from_being_sent() {
    let stage = usual().await;
    let pupil = stage.pupil(SIMS, 0);
    let rests = post(Fault::Status {
        status: 503,
        retry_after: RetryAfter::Seconds(60),
    });
    stage.sandbox.add_fault(rests.times(1)).unwrap();
    stage.take(SIMS, sign_in("e1", &pupil, "09:10:00")).await;
    stage.reaches(SIMS, "e1", Planned).await;
    stage.waits(SIMS, "e1").await;
    stage
        .take(SIMS, sign_out("e2", &pupil, "09:40:00", "M - Dentist"))
        .await;
    stage.reaches(SIMS, "e2", Held).await;
    stage.reaches(SIMS, "e1", Confirmed).await;
    assert_eq!(stage.code(SIMS, &pupil, "AM").unwrap(), "L");
    release(&stage, "e2").await.unwrap();
    stage.reaches(SIMS, "e2", Confirmed).await;
    assert_eq!(stage.code(SIMS, &pupil, "AM").unwrap(), "M");
}

/// Dropped, it leaves no trace in what stands: the earlier mark does.
#[tokio::test]
async fn after_a_drop_the_session_is_as_if_the_mark_had_never_been() {
    let stage = usual().await;
    let pupil = stage.pupil(SIMS, 0);
    stage.take(SIMS, sign_in("e1", &pupil, "09:10:00")).await;
    stage.reaches(SIMS, "e1", Confirmed).await;
    stage
        .take(SIMS, sign_out("e2", &pupil, "09:40:00", "M - Dentist"))
        .await;
    stage.reaches(SIMS, "e2", Held).await;
    drop_held(&stage, "e2").await;
    // Earlier than the dropped one, and delivered later.
    let mut ill = sign_in("e3", &pupil, "09:35:00");
    ill["answers"] = serde_json::json!({"Reason": "I - Ill"});
    stage.take(SIMS, ill).await;
    assert_eq!(stage.settled_as(SIMS, "e3").await, Confirmed);
    assert_eq!(stage.code(SIMS, &pupil, "AM").unwrap(), "I");
}

#[tokio::test]
async fn a_protected_code_that_a_teacher_enters_meanwhile_stands() {
    let stage = usual().await;
    let pupil = stage.pupil(SIMS, 0);
    stage.take(SIMS, sign_in("e1", &pupil, "09:30:00")).await;
    stage.reaches(SIMS, "e1", Held).await;
    stage.teacher(SIMS, &pupil, "AM", Some("N"));
    release(&stage, "e1").await.unwrap();
    assert_eq!(stage.settled_as(SIMS, "e1").await, Skipped);
    assert_eq!(
        stage.event(SIMS, "e1").await.decision.unwrap()["reason"],
        "protected"
    );
    assert_eq!(stage.code(SIMS, &pupil, "AM").unwrap(), "N");
}

#[tokio::test]
async fn a_teachers_mark_is_overwritten_only_after_a_release() {
    let stage = holding("hold = { over_teacher = true }").await;
    let [marked, other] = [0, 1].map(|n| stage.pupil(SIMS, n));
    stage.teacher(SIMS, &marked, "AM", Some("N"));
    stage.clock.advance(Duration::from_secs(360));
    let both = vec![
        sign_in("e1", &marked, "09:10:00"),
        sign_in("e2", &other, "09:10:00"),
    ];
    stage.take_all(SIMS, both).await;
    stage.reaches(SIMS, "e1", Held).await;
    stage.reaches(SIMS, "e2", Confirmed).await;
    assert_eq!(stage.code(SIMS, &marked, "AM").unwrap(), "N");
    release(&stage, "e1").await.unwrap();
    assert_eq!(stage.settled_as(SIMS, "e1").await, Confirmed);
    assert_eq!(stage.code(SIMS, &marked, "AM").unwrap(), "L");
}

/// The mark was planned, the school did not answer, and the teacher was faster.
#[tokio::test]
async fn a_mark_that_is_decided_again_before_it_is_sent_may_be_held_then() {
    let stage = holding("hold = { over_teacher = true }").await;
    let pupil = stage.pupil(SIMS, 0);
    let rests = post(Fault::Status {
        status: 503,
        retry_after: RetryAfter::Seconds(600),
    });
    stage.sandbox.add_fault(rests.times(1)).unwrap();
    stage.take(SIMS, sign_in("e1", &pupil, "09:10:00")).await;
    stage.reaches(SIMS, "e1", Planned).await;
    stage.waits(SIMS, "e1").await;
    stage.teacher(SIMS, &pupil, "AM", Some("N"));
    stage.reaches(SIMS, "e1", Held).await;
    assert_eq!(stage.code(SIMS, &pupil, "AM").unwrap(), "N");
    release(&stage, "e1").await.unwrap();
    assert_eq!(stage.settled_as(SIMS, "e1").await, Confirmed);
    assert_eq!(stage.code(SIMS, &pupil, "AM").unwrap(), "L");
}
