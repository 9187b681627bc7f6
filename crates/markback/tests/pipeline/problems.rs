//! What needs a person, by cause: the preview says what an action does, and the action does what the preview said.

use std::collections::BTreeMap;

use markback::{
    operator::{self, Actor},
    problems::{
        Action, ActionError, Cause, CauseKind, Deed, Done, Expectation, Preview, Problems, act,
        find,
    },
    service::EventState::{Confirmed, Discarded, Held, Rejected, Skipped},
};
use mis_core::SchoolId;
use proptest::prelude::*;
use wonde_sandbox::{Fault, RetryAfter};

use crate::stage::{SIMS, Setup, Stage, answered, post, sign_in};

fn school(stage: &Stage) -> SchoolId {
    stage.sandbox.schools()[SIMS].id.as_str().into()
}

async fn problems(stage: &Stage) -> Problems {
    let (store, settings) = (stage.markback.store(), stage.markback.settings());
    find(store, &settings, &school(stage), None, None)
        .await
        .unwrap()
}

async fn only_cause(stage: &Stage) -> Cause {
    let mut causes = problems(stage).await.causes;
    assert_eq!(causes.len(), 1, "{causes:#?}");
    causes.pop().unwrap()
}

async fn try_preview(stage: &Stage, cause: &Cause, action: Action) -> Result<Preview, ActionError> {
    let school = school(stage);
    let markback = &stage.markback;
    markback.preview_problem(&school, &cause.id, action).await
}

async fn preview(stage: &Stage, cause: &Cause, action: Action) -> Preview {
    try_preview(stage, cause, action).await.unwrap()
}

async fn do_it(stage: &Stage, preview: &Preview) -> Done {
    let (store, settings, school) = (
        stage.markback.store(),
        stage.markback.settings(),
        school(stage),
    );
    let (named, actor) = (preview.named(), Actor::default());
    act(store, &settings, &school, preview.action, &named, &actor)
        .await
        .unwrap()
}

fn expected(preview: &Preview) -> BTreeMap<&str, Expectation> {
    let events = preview.events.iter();
    events
        .map(|one| (one.event.id.as_str(), one.expected))
        .collect()
}

/// Marks of these pupils that the MIS has refused, one after the other.
async fn refused(stage: &Stage, pupils: &[String]) {
    let rule = post(Fault::RejectWriteback {
        message: Some("Attendance is locked.".to_owned()),
    });
    stage.sandbox.add_fault(rule).unwrap();
    for (n, pupil) in pupils.iter().enumerate() {
        let at = format!("09:{:02}:00", 5 + n);
        stage
            .take(SIMS, sign_in(&format!("e{n}"), pupil, &at))
            .await;
    }
    stage.settled().await;
    stage.sandbox.clear_faults();
}

#[tokio::test]
async fn refused_marks_are_one_cause_and_written_again_unless_a_teacher_has_written_since() {
    let stage = Stage::usual().await;
    let pupils: Vec<_> = (0..3).map(|n| stage.pupil(SIMS, n)).collect();
    refused(&stage, &pupils).await;
    let cause = only_cause(&stage).await;
    assert_eq!(cause.kind, CauseKind::Refused);
    assert_eq!((cause.count, cause.people, cause.state), (3, 3, Rejected));
    assert_eq!(cause.actions, [Action::Retry, Action::Discard]);
    assert!(
        cause.title.contains("Attendance is locked."),
        "{}",
        cause.title
    );

    stage.teacher(SIMS, &pupils[1], "AM", Some("M"));
    // Long enough for the copy of the register to be read again.
    stage.clock.advance(std::time::Duration::from_secs(3600));
    let before = preview(&stage, &cause, Action::Retry).await;
    let (written, left) = (Expectation::Written, Expectation::LeftAlone);
    let as_said = [("e0", written), ("e1", left), ("e2", written)];
    assert_eq!(expected(&before), BTreeMap::from(as_said));
    assert_eq!(
        before.summary,
        [
            "Writes 2 marks again.",
            "1 is left alone: somebody has entered a code that is not overwritten."
        ]
    );
    // Nothing has happened so far.
    assert_eq!(only_cause(&stage).await.count, 3);

    let done = do_it(&stage, &before).await;
    assert_eq!((done.done, done.left_alone), (3, 0));
    stage.settled().await;
    assert_eq!(stage.state(SIMS, "e0").await, Confirmed);
    assert_eq!(stage.state(SIMS, "e1").await, Skipped);
    assert_eq!(stage.state(SIMS, "e2").await, Confirmed);
    assert_eq!(stage.code(SIMS, &pupils[1], "AM").unwrap(), "M");
    assert!(problems(&stage).await.causes.is_empty());
}

#[tokio::test]
async fn what_has_changed_since_the_preview_is_left_alone() {
    let stage = Stage::usual().await;
    let pupils: Vec<_> = (0..2).map(|n| stage.pupil(SIMS, n)).collect();
    refused(&stage, &pupils).await;
    let cause = only_cause(&stage).await;
    let before = preview(&stage, &cause, Action::Discard).await;
    let (store, settings) = (stage.markback.store(), stage.markback.settings());
    let actor = Actor::default();
    operator::retry(store, &settings, &school(&stage), "e0", &actor)
        .await
        .unwrap();
    stage.settled().await;

    let done = do_it(&stage, &before).await;
    assert_eq!((done.done, done.left_alone), (1, 1));
    let results: Vec<_> = done
        .events
        .iter()
        .map(|one| (one.id.as_str(), one.result))
        .collect();
    assert_eq!(results, [("e0", Deed::Changed), ("e1", Deed::Done)]);
    assert_eq!(stage.state(SIMS, "e0").await, Confirmed);
    assert_eq!(stage.state(SIMS, "e1").await, Discarded);
    // Again, it finds nothing to do.
    let again = do_it(&stage, &before).await;
    assert_eq!((again.done, again.left_alone), (0, 2));
    let gone = try_preview(&stage, &cause, Action::Retry).await;
    assert!(matches!(gone, Err(ActionError::UnknownCause)));
}

#[tokio::test]
async fn an_event_that_was_retried_and_refused_anew_is_not_the_one_that_was_named() {
    let stage = Stage::usual().await;
    let pupils = [stage.pupil(SIMS, 0)];
    refused(&stage, &pupils).await;
    let before = preview(&stage, &only_cause(&stage).await, Action::Discard).await;
    let rule = post(Fault::RejectWriteback { message: None });
    stage.sandbox.add_fault(rule).unwrap();
    let (store, settings) = (stage.markback.store(), stage.markback.settings());
    operator::retry(store, &settings, &school(&stage), "e0", &Actor::default())
        .await
        .unwrap();
    assert_eq!(stage.settled_as(SIMS, "e0").await, Rejected);
    let done = do_it(&stage, &before).await;
    assert_eq!((done.done, done.left_alone), (0, 1));
    assert_eq!(stage.state(SIMS, "e0").await, Rejected);
}

#[tokio::test]
async fn held_marks_are_released_or_dropped_together() {
    let stage = Stage::set(Setup {
        writeback: "protected = [\"M\"]\nhold = { codes = [\"U\"] }",
        ..Setup::default()
    })
    .await;
    let pupils: Vec<_> = (0..3).map(|n| stage.pupil(SIMS, n)).collect();
    for (n, pupil) in pupils.iter().enumerate() {
        stage
            .take(SIMS, sign_in(&format!("e{n}"), pupil, "09:30:00"))
            .await;
        stage.reaches(SIMS, &format!("e{n}"), Held).await;
    }
    let cause = only_cause(&stage).await;
    assert_eq!((cause.kind, cause.count), (CauseKind::Held, 3));
    assert_eq!(cause.actions, [Action::Release, Action::Drop]);
    let retry = try_preview(&stage, &cause, Action::Retry).await;
    assert!(matches!(retry, Err(ActionError::DoesNotFit)));

    let before = preview(&stage, &cause, Action::Release).await;
    assert_eq!(before.summary, ["Writes 3 marks."]);
    assert_eq!(before.events[0].event.code.as_deref(), Some("U"));
    let dropped = preview(&stage, &cause, Action::Drop).await;
    assert_eq!(
        dropped.summary,
        ["Drops 3 marks: the register stays as it is."]
    );
    do_it(&stage, &before).await;
    stage.settled().await;
    for pupil in &pupils {
        assert_eq!(stage.code(SIMS, pupil, "AM").unwrap(), "U");
    }
}

#[tokio::test]
async fn a_code_that_the_mis_does_not_have_and_a_revoked_token_are_causes() {
    let stage = Stage::usual().await;
    let pupil = stage.pupil(SIMS, 0);
    let events = vec![
        answered("medical", &pupil, "09:05:00", "M - Medical appointment"),
        sign_in("later", &stage.pupil(SIMS, 1), "09:06:00"),
    ];
    let rule = wonde_sandbox::FaultRule::new(Fault::Status {
        status: 401,
        retry_after: RetryAfter::default(),
    });
    stage.sandbox.add_fault(rule).unwrap();
    stage.clock.advance(std::time::Duration::from_secs(7200));
    stage.take_all(SIMS, events).await;
    stage
        .until("the token rests", async || {
            let causes = problems(&stage).await.causes;
            causes
                .iter()
                .any(|cause| cause.kind == CauseKind::TokenRests && cause.count == 2)
        })
        .await;
    let cause = only_cause(&stage).await;
    assert!(cause.actions.is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 6, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever the order in which events came in, those of one pupil are taken in the order in which they happened, each
    /// ends as the preview said, and nothing else is touched.
    #[test]
    fn each_pupils_events_stay_in_order(
        taps in prop::collection::vec((0_usize..3, 0_u32..50), 1..7),
        retries in any::<bool>(),
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let stage = Stage::usual().await;
            let rule = post(Fault::RejectWriteback { message: Some("Locked.".to_owned()) });
            stage.sandbox.add_fault(rule).unwrap();
            for (n, (pupil, minute)) in taps.iter().enumerate() {
                let at = format!("09:{minute:02}:00");
                let event = sign_in(&format!("e{n}"), &stage.pupil(SIMS, *pupil), &at);
                stage.take(SIMS, event).await;
            }
            stage.settled().await;
            stage.sandbox.clear_faults();
            let causes = problems(&stage).await.causes;
            for cause in &causes {
                let action = if retries { Action::Retry } else { Action::Discard };
                let before = preview(&stage, cause, action).await;
                let order: Vec<_> = before.events.iter().map(|one| one.event.at).collect();
                assert!(order.is_sorted(), "{order:?}");
                let done = do_it(&stage, &before).await;
                assert_eq!(done.done, before.events.len());
                let ids = |named: Vec<&str>| named.join(" ");
                assert_eq!(
                    ids(done.events.iter().map(|one| one.id.as_str()).collect()),
                    ids(before.events.iter().map(|one| one.event.id.as_str()).collect()),
                );
                stage.settled().await;
                for one in &before.events {
                    let state = stage.state(SIMS, &one.event.id).await;
                    match one.expected {
                        Expectation::Written => assert_eq!(state, Confirmed),
                        Expectation::LeftAlone => assert_eq!(state, Skipped),
                        Expectation::Ended => assert_eq!(state, Discarded),
                        Expectation::Behind => {}
                        other => panic!("{other:?}"),
                    }
                }
            }
        });
    }
}
