//! Corrections: an event that was wrong is withdrawn, and what it wrote is repaired.

use std::time::Duration;

use markback::{
    correction::{Corrected, Correction, correct},
    feed::{FeedQuery, FeedRead},
    operator::{self, Actor, OperatorError},
    service::EventState::{
        Accepted, Confirmed, Discarded, Failed, Held, Planned, Received, Sent, Skipped, Superseded,
        Withdrawn,
    },
};
use markback_lab::harness::stores;
use mis_core::SchoolId;
use rstest::rstest;
use serde_json::Value;
use wonde_sandbox::{Fault, FaultRule, RetryAfter};

use crate::stage::{SIMS, Setup, Stage, post, sign_in, sign_out};
use crate::wrong_marks::hourly;

fn unprotected() -> Setup {
    Setup {
        writeback: "",
        ..Setup::default()
    }
}

fn wrong(replacement: Option<Value>) -> Correction {
    Correction {
        reason: "the wrong pupil was tapped".to_owned(),
        replacement,
    }
}

async fn try_to_correct(
    stage: &Stage,
    id: &str,
    correction: &Correction,
) -> Result<Corrected, OperatorError> {
    let school = SchoolId::from(stage.school(SIMS));
    let (markback, settings) = (&stage.markback, stage.markback.settings());
    let actor = Actor {
        by: Some("the office".to_owned()),
        via: "API",
        ..Actor::default()
    };
    let (store, people) = (markback.store(), markback.people());
    correct(store, &settings, people, &school, id, correction, &actor).await
}

/// Corrects an event. A worker may have it in hand for a moment.
pub(crate) async fn withdraw(stage: &Stage, id: &str, replacement: Option<Value>) -> Corrected {
    let mut done = None;
    stage
        .until("the event is corrected", async || {
            match try_to_correct(stage, id, &wrong(replacement.clone())).await {
                Ok(corrected) => done = Some(corrected),
                Err(OperatorError::Busy) => {}
                Err(error) => panic!("{error}"),
            }
            done.is_some()
        })
        .await;
    done.unwrap()
}

async fn outcome(stage: &Stage, id: &str) -> String {
    stage.event(SIMS, id).await.outcome.unwrap_or_default()
}

async fn what(stage: &Stage, id: &str) -> Vec<String> {
    let record = stage.event(SIMS, id).await;
    record.history.into_iter().map(|line| line.what).collect()
}

fn nobody_can_ask() -> FaultRule {
    let fault = Fault::Status {
        status: 500,
        retry_after: RetryAfter::None,
    };
    FaultRule::new(fault).on("writebacks").method("GET")
}

fn paused(seconds: u32) -> FaultRule {
    let retry_after = RetryAfter::Seconds(seconds);
    let fault = Fault::Status {
        status: 503,
        retry_after,
    };
    post(fault).times(1)
}

/// Later than the register's view of a decision is taken as it is.
async fn later(stage: &Stage) {
    stage.clock.advance(Duration::from_secs(600));
}

/// Our own mark of another event that still stands, or a teacher's, is written again.
#[rstest]
#[case::ours(true)]
#[case::a_teachers(false)]
#[tokio::test]
async fn the_mark_before_is_written_again(#[case] ours: bool) {
    for database in stores() {
        let stage = Stage::set(Setup {
            database,
            ..unprotected()
        })
        .await;
        let pupil = stage.pupil(SIMS, 0);
        let before = if ours {
            stage.take(SIMS, sign_in("e1", &pupil, "09:07:00")).await;
            assert_eq!(stage.settled_as(SIMS, "e1").await, Confirmed);
            ("L", Some(7))
        } else {
            stage.teacher(SIMS, &pupil, "AM", Some("N"));
            ("N", None)
        };
        later(&stage).await;
        stage
            .take(SIMS, sign_out("e2", &pupil, "10:01:00", "M - Dentist"))
            .await;
        assert_eq!(stage.settled_as(SIMS, "e2").await, Confirmed);
        assert_eq!(stage.code(SIMS, &pupil, "AM").unwrap(), "M");
        later(&stage).await;
        let corrected = withdraw(&stage, "e2", None).await;
        assert_eq!(corrected.event.state, Received);
        assert_eq!(stage.settled_as(SIMS, "e2").await, Withdrawn);
        let held = stage.held(SIMS, &pupil, "AM").unwrap();
        assert_eq!((held.code.as_str(), held.minutes_late), before);
        let told = outcome(&stage, "e2").await;
        assert!(
            told.starts_with("the mark before it was written again"),
            "{told}"
        );
        let history = what(&stage, "e2").await;
        assert_eq!(
            history,
            [
                "planned",
                "accepted",
                "confirmed",
                "withdrawn",
                "planned",
                "accepted",
                "confirmed"
            ]
        );
        let by = stage.event(SIMS, "e2").await.correction.unwrap();
        assert_eq!(
            (by.by.as_deref(), by.reason.as_str()),
            (Some("the office"), "the wrong pupil was tapped")
        );
        if ours {
            assert_eq!(stage.state(SIMS, "e1").await, Confirmed);
        }
    }
}

/// Wonde cannot clear a mark, so a person is told, and decides when it is done.
#[tokio::test]
async fn a_mark_in_an_empty_place_is_told() {
    for database in stores() {
        let stage = Stage::set(Setup {
            database,
            ..Setup::default()
        })
        .await;
        let pupil = stage.pupil(SIMS, 0);
        stage.take(SIMS, sign_in("e1", &pupil, "09:07:00")).await;
        assert_eq!(stage.settled_as(SIMS, "e1").await, Confirmed);
        later(&stage).await;
        withdraw(&stage, "e1", None).await;
        assert_eq!(stage.settled_as(SIMS, "e1").await, Failed);
        assert_eq!(
            outcome(&stage, "e1").await,
            "the MIS shows L for the morning of Monday 23 November 2026, from an event that was withdrawn, and there was \
             no mark before it; Wonde cannot clear a mark: clear it in the MIS, then discard the event"
        );
        assert_eq!(stage.held(SIMS, &pupil, "AM").unwrap().writes, 1);
        stage.teacher(SIMS, &pupil, "AM", None);
        let school = SchoolId::from(stage.school(SIMS));
        let actor = Actor::default();
        operator::discard(stage.markback.store(), &school, "e1", &actor)
            .await
            .unwrap();
        assert_eq!(stage.state(SIMS, "e1").await, Discarded);
        // It is as if the event had never come.
        stage.take(SIMS, sign_in("e2", &pupil, "09:15:00")).await;
        assert_eq!(stage.settled_as(SIMS, "e2").await, Confirmed);
        let held = stage.held(SIMS, &pupil, "AM").unwrap();
        assert_eq!((held.code.as_str(), held.minutes_late), ("L", Some(15)));
    }
}

#[tokio::test]
async fn a_wrong_time_is_replaced() {
    for database in stores() {
        let stage = Stage::set(Setup {
            database,
            ..Setup::default()
        })
        .await;
        let pupil = stage.pupil(SIMS, 0);
        stage.take(SIMS, sign_in("e1", &pupil, "09:15:00")).await;
        assert_eq!(stage.settled_as(SIMS, "e1").await, Confirmed);
        later(&stage).await;
        let right = sign_in("e1b", &pupil, "08:50:00");
        let corrected = withdraw(&stage, "e1", Some(right)).await;
        assert_eq!(corrected.replacement.unwrap().id, "e1b");
        stage.settled().await;
        assert_eq!(stage.state(SIMS, "e1b").await, Confirmed);
        assert_eq!(stage.state(SIMS, "e1").await, Withdrawn);
        assert_eq!(stage.code(SIMS, &pupil, "AM").unwrap(), "/");
        let replaced = stage.event(SIMS, "e1").await.correction.unwrap();
        assert_eq!(replaced.replacement.as_deref(), Some("e1b"));
        let replacement = stage.event(SIMS, "e1b").await;
        assert_eq!(replacement.corrects.as_deref(), Some("e1"));
    }
}

/// The pupil who was meant gets the mark, and the other's is told.
#[tokio::test]
async fn a_wrong_pupil_is_replaced() {
    let stage = Stage::usual().await;
    let [wrong, right] = [0, 1].map(|n| stage.pupil(SIMS, n));
    stage.take(SIMS, sign_in("e1", &wrong, "08:50:00")).await;
    assert_eq!(stage.settled_as(SIMS, "e1").await, Confirmed);
    withdraw(&stage, "e1", Some(sign_in("e2", &right, "08:50:00"))).await;
    stage.settled().await;
    assert_eq!(stage.state(SIMS, "e2").await, Confirmed);
    assert_eq!(stage.code(SIMS, &right, "AM").unwrap(), "/");
    assert_eq!(stage.state(SIMS, "e1").await, Failed);
}

/// Nothing of it is in the MIS, and nothing gets there.
#[tokio::test]
async fn an_event_that_has_sent_nothing_ends_at_once() {
    let stage = Stage::set(Setup {
        writeback: "hold = { codes = [\"U\"] }",
        ..Setup::default()
    })
    .await;
    let [waits, held, skipped] = [0, 1, 2].map(|n| stage.pupil(SIMS, n));
    let events = vec![
        sign_in("held", &held, "09:30:00"),
        sign_in("first", &skipped, "08:50:00"),
    ];
    stage.take_all(SIMS, events).await;
    stage.reaches(SIMS, "held", Held).await;
    stage.reaches(SIMS, "first", Confirmed).await;
    stage
        .take(SIMS, sign_in("skipped", &skipped, "09:10:00"))
        .await;
    stage.reaches(SIMS, "skipped", Skipped).await;
    stage.sandbox.add_fault(paused(600)).unwrap();
    stage
        .take(SIMS, sign_in("planned", &waits, "09:07:00"))
        .await;
    stage.waits(SIMS, "planned").await;
    for id in ["held", "skipped", "planned"] {
        withdraw(&stage, id, None).await;
    }
    later(&stage).await;
    stage.settled().await;
    for id in ["held", "skipped", "planned"] {
        assert_eq!(stage.state(SIMS, id).await, Withdrawn, "{id}");
    }
    assert_eq!(stage.code(SIMS, &waits, "AM"), None);
    assert_eq!(stage.code(SIMS, &held, "AM"), None);
    assert_eq!(stage.held(SIMS, &skipped, "AM").unwrap().writes, 1);
    // Neither counts as an arrival.
    stage.take(SIMS, sign_in("again", &waits, "09:12:00")).await;
    assert_eq!(stage.settled_as(SIMS, "again").await, Confirmed);
    let mark = stage.held(SIMS, &waits, "AM").unwrap();
    assert_eq!((mark.code.as_str(), mark.minutes_late), ("L", Some(12)));
}

/// The mark is on its way when the event is withdrawn: the repair waits for its outcome, and says so.
#[tokio::test]
async fn a_mark_on_its_way_is_repaired_when_its_outcome_is_known() {
    let stage = Stage::set(unprotected()).await;
    let pupil = stage.pupil(SIMS, 0);
    stage.take(SIMS, sign_in("e1", &pupil, "09:07:00")).await;
    assert_eq!(stage.settled_as(SIMS, "e1").await, Confirmed);
    stage.sandbox.add_fault(nobody_can_ask()).unwrap();
    stage
        .take(SIMS, sign_out("e2", &pupil, "10:01:00", "M - Dentist"))
        .await;
    stage.reaches(SIMS, "e2", Accepted).await;
    withdraw(&stage, "e2", None).await;
    let school = SchoolId::from(stage.school(SIMS));
    let open = stage.markback.event(&school, "e2").await.unwrap().unwrap();
    assert_eq!(open.state, Accepted);
    let waiting = open.waiting.unwrap();
    assert!(waiting.starts_with("it was withdrawn"), "{waiting}");
    stage.sandbox.clear_faults();
    later(&stage).await;
    assert_eq!(stage.settled_as(SIMS, "e2").await, Withdrawn);
    assert_eq!(stage.code(SIMS, &pupil, "AM").unwrap(), "L");
}

/// A mark that had no response is not sent again. What the register shows may be somebody else's, even with the same code, so
/// a person is told.
#[rstest]
#[case::it_arrived(Fault::CutAfter, "M", "may be somebody else's")]
#[case::it_did_not(Fault::CutBefore, "L", "another code from before")]
#[tokio::test]
async fn a_mark_without_a_response(#[case] fault: Fault, #[case] code: &str, #[case] why: &str) {
    let stage = Stage::set(unprotected()).await;
    let pupil = stage.pupil(SIMS, 0);
    stage.take(SIMS, sign_in("e1", &pupil, "09:07:00")).await;
    assert_eq!(stage.settled_as(SIMS, "e1").await, Confirmed);
    stage.sandbox.add_fault(post(fault).times(1)).unwrap();
    stage
        .take(SIMS, sign_out("e2", &pupil, "10:01:00", "M - Dentist"))
        .await;
    stage.reaches(SIMS, "e2", Sent).await;
    withdraw(&stage, "e2", None).await;
    stage.settled().await;
    let told = outcome(&stage, "e2").await;
    assert_eq!(stage.state(SIMS, "e2").await, Failed, "{told}");
    assert!(told.contains(why), "{told}");
    assert!(told.contains("Look into the MIS"), "{told}");
    assert_eq!(stage.code(SIMS, &pupil, "AM").unwrap(), code);
}

/// The mark is rejected in the end, so nothing is left to repair, and it is not sent again.
#[tokio::test]
async fn a_mark_that_is_rejected_needs_no_repair() {
    let stage = Stage::usual().await;
    let pupil = stage.pupil(SIMS, 0);
    stage.sandbox.add_fault(nobody_can_ask()).unwrap();
    let refusal = FaultRule::new(Fault::RejectWriteback { message: None });
    stage.sandbox.add_fault(refusal.times(1)).unwrap();
    stage.take(SIMS, sign_in("e1", &pupil, "09:07:00")).await;
    stage.reaches(SIMS, "e1", Accepted).await;
    withdraw(&stage, "e1", None).await;
    stage.sandbox.clear_faults();
    later(&stage).await;
    assert_eq!(stage.settled_as(SIMS, "e1").await, Withdrawn);
    assert_eq!(stage.code(SIMS, &pupil, "AM"), None);
}

/// Somebody else's change stands, protected or not, even if it looks like ours.
#[rstest]
#[case::another_code("N", Withdrawn, "N")]
#[case::a_protected_code("M", Withdrawn, "M")]
#[case::the_same_code("U", Failed, "U")]
#[tokio::test]
async fn a_teachers_change_stands(
    #[case] entered: &str,
    #[case] state: markback::service::EventState,
    #[case] code: &str,
) {
    let stage = Stage::usual().await;
    let pupil = stage.pupil(SIMS, 0);
    stage.teacher(SIMS, &pupil, "AM", Some("N"));
    later(&stage).await;
    stage.take(SIMS, sign_in("e1", &pupil, "09:30:00")).await;
    assert_eq!(stage.settled_as(SIMS, "e1").await, Confirmed);
    assert_eq!(stage.code(SIMS, &pupil, "AM").unwrap(), "U");
    later(&stage).await;
    // Clearing it first makes the same code a new entry.
    stage.teacher(SIMS, &pupil, "AM", None);
    stage.teacher(SIMS, &pupil, "AM", Some(entered));
    stage.clock.advance(Duration::from_secs(60));
    withdraw(&stage, "e1", None).await;
    stage.settled().await;
    let told = outcome(&stage, "e1").await;
    assert_eq!(stage.state(SIMS, "e1").await, state, "{told}");
    assert_eq!(stage.code(SIMS, &pupil, "AM").unwrap(), code);
    if state == Withdrawn {
        assert!(told.contains("somebody else has changed"), "{told}");
    } else {
        assert!(
            told.contains("somebody may have entered it again"),
            "{told}"
        );
    }
}

/// A later event's mark covers the wrong one, which then needs no repair.
#[tokio::test]
async fn a_newer_mark_of_ours_stands() {
    let stage = Stage::set(unprotected()).await;
    let pupil = stage.pupil(SIMS, 0);
    for event in [
        sign_in("e1", &pupil, "09:07:00"),
        sign_out("e2", &pupil, "10:01:00", "M - Dentist"),
    ] {
        stage.take(SIMS, event).await;
        stage.settled().await;
    }
    withdraw(&stage, "e1", None).await;
    assert_eq!(stage.settled_as(SIMS, "e1").await, Withdrawn);
    assert_eq!(stage.code(SIMS, &pupil, "AM").unwrap(), "M");
    let told = outcome(&stage, "e1").await;
    assert!(told.contains("a newer mark of ours"), "{told}");
}

/// What came to nothing because of the wrong event is decided anew, and its mark replaces the wrong one.
#[rstest]
#[case::a_second_arrival("09:05:00", sign_in("e2", "", "09:10:00"), "L", Some(10))]
#[case::a_protected_code("08:50:00", sign_out("e2", "", "10:01:00", "M - Dentist"), "M", None)]
#[case::a_double_tap("09:30:00", sign_in("e2", "", "09:30:20"), "U", Some(30))]
#[tokio::test]
async fn others_are_decided_anew(
    #[case] wrong_at: &str,
    #[case] mut other: Value,
    #[case] code: &str,
    #[case] minutes: Option<u16>,
) {
    for database in stores() {
        let stage = Stage::set(Setup {
            database,
            ..Setup::default()
        })
        .await;
        let pupil = stage.pupil(SIMS, 0);
        other["person"] = pupil.clone().into();
        stage.take(SIMS, sign_in("e1", &pupil, wrong_at)).await;
        assert_eq!(stage.settled_as(SIMS, "e1").await, Confirmed);
        stage.take(SIMS, other.clone()).await;
        assert_eq!(stage.settled_as(SIMS, "e2").await, Skipped);
        later(&stage).await;
        withdraw(&stage, "e1", None).await;
        stage.settled().await;
        assert_eq!(stage.state(SIMS, "e2").await, Confirmed);
        assert_eq!(stage.state(SIMS, "e1").await, Withdrawn);
        let held = stage.held(SIMS, &pupil, "AM").unwrap();
        assert_eq!((held.code.as_str(), held.minutes_late), (code, minutes));
        assert_eq!(held.writes, 2);
        assert_eq!(what(&stage, "e2").await.first().unwrap(), "decided anew");
    }
}

/// The feed tells of the mark, and later that its event was withdrawn, but not of the steps of the repair that look like those
/// of an event that counts.
#[tokio::test]
async fn the_feed_tells_what_became_of_a_withdrawn_event() {
    let stage = Stage::set(unprotected()).await;
    let pupil = stage.pupil(SIMS, 0);
    for event in [
        sign_in("e1", &pupil, "09:07:00"),
        sign_out("e2", &pupil, "10:01:00", "M - Dentist"),
    ] {
        stage.take(SIMS, event).await;
        stage.settled().await;
    }
    withdraw(&stage, "e2", None).await;
    assert_eq!(stage.settled_as(SIMS, "e2").await, Withdrawn);
    let all = FeedQuery {
        limit: 100,
        ..FeedQuery::default()
    };
    let found = stage.markback.feed().page(&all).await;
    let FeedRead::Page(page) = found.unwrap() else {
        panic!("the feed is gone");
    };
    let news = page.entries.into_iter().filter_map(|entry| entry.event);
    let states: Vec<_> = news
        .filter(|news| news.id == "e2")
        .map(|news| news.state)
        .collect();
    assert_eq!(states, [Accepted, Confirmed, Accepted, Withdrawn]);
}

/// The wrong mark protects nothing, even while it is on its way.
#[tokio::test]
async fn others_are_decided_anew_while_the_wrong_mark_is_on_its_way() {
    let stage = Stage::usual().await;
    let pupil = stage.pupil(SIMS, 0);
    stage.sandbox.add_fault(nobody_can_ask()).unwrap();
    stage.take(SIMS, sign_in("e1", &pupil, "08:50:00")).await;
    stage.reaches(SIMS, "e1", Accepted).await;
    stage
        .take(SIMS, sign_out("e2", &pupil, "09:50:00", "M - Dentist"))
        .await;
    stage.reaches(SIMS, "e2", Skipped).await;
    assert_eq!(stage.state(SIMS, "e1").await, Accepted);
    withdraw(&stage, "e1", None).await;
    stage.reaches(SIMS, "e2", Accepted).await;
    stage.sandbox.clear_faults();
    later(&stage).await;
    stage.settled().await;
    assert_eq!(stage.state(SIMS, "e1").await, Withdrawn);
    assert_eq!(stage.state(SIMS, "e2").await, Confirmed);
    assert_eq!(stage.code(SIMS, &pupil, "AM").unwrap(), "M");
}

/// A mark that the wrong one had replaced before it was sent is written after all.
#[tokio::test]
async fn a_superseded_mark_is_written_after_all() {
    let stage = Stage::set(Setup {
        // Two marks go at once, one waits for company.
        service: "gather = { window = \"2m\", max = 2 }",
        ..unprotected()
    })
    .await;
    let [pupil, one, other] = [0, 1, 2].map(|n| stage.pupil(SIMS, n));
    let first = vec![
        sign_in("x1", &one, "09:07:00"),
        sign_in("x2", &other, "09:07:00"),
    ];
    stage.take_all(SIMS, first).await;
    stage.reaches(SIMS, "x2", Accepted).await;
    stage.take(SIMS, sign_in("e1", &pupil, "09:07:00")).await;
    stage.reaches(SIMS, "e1", Planned).await;
    stage
        .take(SIMS, sign_out("e2", &pupil, "09:50:00", "M - Dentist"))
        .await;
    stage.reaches(SIMS, "e1", Superseded).await;
    stage.reaches(SIMS, "e2", Planned).await;
    withdraw(&stage, "e2", None).await;
    later(&stage).await;
    stage.settled().await;
    assert_eq!(stage.state(SIMS, "e2").await, Withdrawn);
    assert_eq!(stage.state(SIMS, "e1").await, Confirmed);
    let held = stage.held(SIMS, &pupil, "AM").unwrap();
    assert_eq!((held.code.as_str(), held.writes), ("L", 1));
}

/// Wonde's copy does not show the wrong mark yet; our ledger takes precedence.
#[tokio::test]
async fn the_mark_before_is_written_while_the_copy_is_old() {
    let stage = Stage::set(Setup {
        writeback: "",
        ..hourly()
    })
    .await;
    let pupil = stage.pupil(SIMS, 0);
    for event in [
        sign_in("e1", &pupil, "09:07:00"),
        sign_out("e2", &pupil, "09:50:00", "M - Dentist"),
    ] {
        stage.take(SIMS, event).await;
        stage.settled().await;
    }
    assert_eq!(stage.code(SIMS, &pupil, "AM").unwrap(), "M");
    withdraw(&stage, "e2", None).await;
    assert_eq!(stage.settled_as(SIMS, "e2").await, Withdrawn);
    assert_eq!(stage.code(SIMS, &pupil, "AM").unwrap(), "L");
}

#[tokio::test]
async fn nothing_is_repaired_unseen() {
    let stage = Stage::set(unprotected()).await;
    let pupil = stage.pupil(SIMS, 0);
    for event in [
        sign_in("e1", &pupil, "09:07:00"),
        sign_out("e2", &pupil, "10:01:00", "M - Dentist"),
    ] {
        stage.take(SIMS, event).await;
        stage.settled().await;
    }
    later(&stage).await;
    let gone = Fault::Status {
        status: 404,
        retry_after: RetryAfter::None,
    };
    let gone = FaultRule::new(gone).on("attendance/session").method("GET");
    stage.sandbox.add_fault(gone).unwrap();
    withdraw(&stage, "e2", None).await;
    stage.waits(SIMS, "e2").await;
    let waiting = stage.event(SIMS, "e2").await.waiting.unwrap();
    assert!(waiting.contains("cannot be seen"), "{waiting}");
    assert_eq!(stage.code(SIMS, &pupil, "AM").unwrap(), "M");
    stage.sandbox.clear_faults();
    later(&stage).await;
    assert_eq!(stage.settled_as(SIMS, "e2").await, Withdrawn);
    assert_eq!(stage.code(SIMS, &pupil, "AM").unwrap(), "L");
}

/// A request that is repeated has no further effect; another one is refused, and so is one with an invalid replacement.
#[tokio::test]
async fn a_correction_is_made_once() {
    let stage = Stage::usual().await;
    let pupil = stage.pupil(SIMS, 0);
    stage.take(SIMS, sign_in("e1", &pupil, "09:15:00")).await;
    assert_eq!(stage.settled_as(SIMS, "e1").await, Confirmed);
    let bad = [
        sign_in("e1b", "nobody", "08:50:00"),
        sign_in("e1b", &pupil, "long ago"),
    ];
    for bad in bad {
        let refused = try_to_correct(&stage, "e1", &wrong(Some(bad))).await;
        assert!(
            matches!(&refused, Err(OperatorError::Replacement(problems)) if problems.len() == 1),
            "{refused:?}"
        );
    }
    let own_id = wrong(Some(sign_in("e1", &pupil, "08:50:00")));
    let refused = try_to_correct(&stage, "e1", &own_id).await;
    assert!(matches!(
        refused,
        Err(OperatorError::ReplacementConflict(_))
    ));
    let no_reason = Correction::default();
    let refused = try_to_correct(&stage, "e1", &no_reason).await;
    assert!(matches!(refused, Err(OperatorError::NoReason)));
    assert_eq!(stage.state(SIMS, "e1").await, Confirmed);
    assert!(stage.event(SIMS, "e1").await.correction.is_none());

    let right = sign_in("e1b", &pupil, "08:50:00");
    withdraw(&stage, "e1", Some(right.clone())).await;
    stage.settled().await;
    let writes = stage.held(SIMS, &pupil, "AM").unwrap().writes;
    let again = withdraw(&stage, "e1", Some(right.clone())).await;
    assert_eq!(again.event.state, Withdrawn);
    assert_eq!(again.replacement.unwrap().state, Confirmed);
    stage.settled().await;
    assert_eq!(stage.held(SIMS, &pupil, "AM").unwrap().writes, writes);
    let others = [
        wrong(None),
        wrong(Some(sign_in("e1b", &pupil, "08:51:00"))),
        wrong(Some(sign_in("e1c", &pupil, "08:50:00"))),
        Correction {
            reason: "another".to_owned(),
            replacement: Some(right),
        },
    ];
    for other in others {
        let refused = try_to_correct(&stage, "e1", &other).await;
        assert!(
            matches!(refused, Err(OperatorError::Corrected)),
            "{refused:?}"
        );
    }
    let unknown = try_to_correct(&stage, "e9", &wrong(None)).await;
    assert!(matches!(unknown, Err(OperatorError::UnknownEvent)));
}

/// The service is killed after the correction, and again while the repair is sent.
#[tokio::test]
async fn a_repair_survives_kills() {
    let mut stage = Stage::set(unprotected()).await;
    let pupil = stage.pupil(SIMS, 0);
    for event in [
        sign_in("e1", &pupil, "09:07:00"),
        sign_out("e2", &pupil, "10:01:00", "M - Dentist"),
    ] {
        stage.take(SIMS, event).await;
        stage.settled().await;
    }
    stage.crash().await;
    try_to_correct(&stage, "e2", &wrong(None)).await.unwrap();
    stage.crash().await;
    stage.sandbox.add_fault(nobody_can_ask()).unwrap();
    stage.work();
    stage.reaches(SIMS, "e2", Accepted).await;
    stage.crash().await;
    stage.sandbox.clear_faults();
    stage.clock.advance(Duration::from_secs(7200));
    stage.work();
    assert_eq!(stage.settled_as(SIMS, "e2").await, Withdrawn);
    assert_eq!(stage.code(SIMS, &pupil, "AM").unwrap(), "L");
}
