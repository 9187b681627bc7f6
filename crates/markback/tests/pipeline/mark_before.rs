//! What our own record says of the mark before, when the newest comes to nothing; and what a teacher entered meanwhile.

use std::time::Duration;

use markback::{
    operator::{self, Actor},
    service::EventState::{
        Accepted, Confirmed, Discarded, Planned, Rejected, Sent, Skipped, Superseded,
    },
};
use mis_core::SchoolId;
use rstest::rstest;
use wonde_sandbox::{Fault, FaultRule, RetryAfter};

use crate::stage::{SIMS, Setup, Stage, answered, post, sign_in, sign_out};
use crate::wrong_marks::hourly;

const ILL_IS_PROTECTED: &str = "protected = [\"I\"]";

fn status(status: u16, retry_after: RetryAfter) -> FaultRule {
    let fault = Fault::Status {
        status,
        retry_after,
    };
    post(fault).times(1)
}

/// What became of a writeback is not told.
fn nobody_can_ask() -> FaultRule {
    let fault = Fault::Status {
        status: 500,
        retry_after: RetryAfter::None,
    };
    FaultRule::new(fault).on("writebacks").method("GET")
}

async fn discard(stage: &Stage, id: &str) {
    let school = SchoolId::from(stage.school(SIMS));
    let actor = Actor::default();
    // A worker may have it in hand for a moment.
    stage
        .until("the event is discarded", async || {
            operator::discard(stage.markback.store(), &school, id, &actor)
                .await
                .is_ok()
        })
        .await;
}

#[derive(Clone, Copy, PartialEq)]
enum End {
    Discarded,
    SkippedAtItsSecondLook,
    Refused,
}

/// Our L is confirmed and a second mark waits, when a teacher enters a protected code. However the second mark comes to
/// nothing, what the teacher entered is the newer.
#[rstest]
#[case(End::Discarded)]
#[case(End::SkippedAtItsSecondLook)]
#[case(End::Refused)]
#[tokio::test]
async fn the_mark_before_is_not_taken_for_a_new_one(#[case] end: End) {
    let stage = Stage::set(Setup {
        writeback: ILL_IS_PROTECTED,
        ..Setup::default()
    })
    .await;
    let pupil = stage.pupil(SIMS, 0);
    stage.take(SIMS, sign_in("e1", &pupil, "09:07:00")).await;
    assert_eq!(stage.settled_as(SIMS, "e1").await, Confirmed);
    let rest = if end == End::Refused { 60 } else { 600 };
    let fault = status(503, RetryAfter::Seconds(rest));
    stage.sandbox.add_fault(fault).unwrap();
    stage
        .take(SIMS, sign_out("e2", &pupil, "09:50:00", "M - Dentist"))
        .await;
    stage.waits(SIMS, "e2").await;
    stage.teacher(SIMS, &pupil, "AM", Some("I"));
    let expected = match end {
        End::Discarded => {
            discard(&stage, "e2").await;
            Discarded
        }
        End::SkippedAtItsSecondLook => Skipped,
        // So soon that it goes without a second look.
        End::Refused => {
            let fault = status(422, RetryAfter::None);
            stage.sandbox.add_fault(fault).unwrap();
            stage.reaches(SIMS, "e2", Rejected).await;
            Rejected
        }
    };
    stage.clock.advance(Duration::from_secs(600));
    assert_eq!(stage.settled_as(SIMS, "e2").await, expected);
    stage
        .take(
            SIMS,
            answered("e3", &pupil, "10:01:00", "M - Medical appointment"),
        )
        .await;
    assert_eq!(stage.settled_as(SIMS, "e3").await, Skipped);
    assert_eq!(stage.code(SIMS, &pupil, "AM").unwrap(), "I");
}

/// The first mark is refused when a second is planned above it already, and the second is refused, too. The register is
/// empty then, and nothing is protected.
#[tokio::test]
async fn a_mark_that_was_refused_does_not_come_back_when_a_newer_one_is_refused() {
    let stage = Stage::set(Setup {
        // Two marks go at once, one waits for company.
        service: "gather = { window = \"2m\", max = 2 }",
        writeback: "protected = [\"L\"]\nprotect_on = [\"sign_in\"]",
        ..Setup::default()
    })
    .await;
    let [pupil, other] = [0, 1].map(|n| stage.pupil(SIMS, n));
    let refusal = FaultRule::new(Fault::RejectWriteback { message: None });
    stage.sandbox.add_fault(refusal.clone()).unwrap();
    stage.sandbox.add_fault(nobody_can_ask()).unwrap();
    let first = vec![
        sign_in("e1", &pupil, "09:07:00"),
        sign_in("x1", &other, "09:07:00"),
    ];
    stage.take_all(SIMS, first).await;
    stage.reaches(SIMS, "e1", Accepted).await;
    stage
        .take(SIMS, sign_out("e2", &pupil, "09:50:00", "M - Dentist"))
        .await;
    stage.reaches(SIMS, "e2", Planned).await;
    assert_eq!(stage.state(SIMS, "e1").await, Accepted);
    stage.sandbox.clear_faults();
    stage.sandbox.add_fault(refusal).unwrap();
    stage
        .until("both have come to nothing", async || {
            stage.clock.advance(Duration::from_secs(10));
            stage.markback.is_settled().await.unwrap()
        })
        .await;
    assert_eq!(stage.state(SIMS, "e1").await, Superseded);
    assert_eq!(stage.state(SIMS, "e2").await, Rejected);
    stage.sandbox.clear_faults();
    stage
        .take(SIMS, answered("e3", &pupil, "10:01:00", "I - Ill"))
        .await;
    stage
        .until("the third is written", async || {
            stage.clock.advance(Duration::from_secs(10));
            stage.markback.is_settled().await.unwrap()
        })
        .await;
    assert_eq!(stage.state(SIMS, "e3").await, Confirmed);
    assert_eq!(stage.code(SIMS, &pupil, "AM").unwrap(), "I");
}

/// A teacher changes our mark before we have asked whether it is there.
#[tokio::test]
async fn a_code_entered_between_landing_and_our_asking_is_newer() {
    let stage = Stage::set(Setup {
        writeback: ILL_IS_PROTECTED,
        ..Setup::default()
    })
    .await;
    let pupil = stage.pupil(SIMS, 0);
    // Until the teacher has been there.
    stage.sandbox.add_fault(nobody_can_ask()).unwrap();
    stage.take(SIMS, sign_in("e1", &pupil, "09:07:00")).await;
    stage
        .until("the mark is in the MIS", async || {
            stage.code(SIMS, &pupil, "AM").is_some()
        })
        .await;
    // Longer after it was sent than the clocks may differ.
    stage.clock.advance(Duration::from_secs(10));
    stage.teacher(SIMS, &pupil, "AM", Some("I"));
    assert_ne!(stage.state(SIMS, "e1").await, Confirmed);
    stage.sandbox.clear_faults();
    assert_eq!(stage.settled_as(SIMS, "e1").await, Confirmed);
    stage.clock.advance(Duration::from_secs(600));
    stage
        .take(
            SIMS,
            answered("e2", &pupil, "10:01:00", "M - Medical appointment"),
        )
        .await;
    assert_eq!(stage.settled_as(SIMS, "e2").await, Skipped);
    assert_eq!(stage.code(SIMS, &pupil, "AM").unwrap(), "I");
}

/// The register cannot be read, and our own record does not tell what a teacher has entered since.
#[tokio::test]
async fn our_own_record_does_not_stand_in_for_a_register_that_cannot_be_read() {
    let stage = Stage::set(Setup {
        writeback: ILL_IS_PROTECTED,
        ..Setup::default()
    })
    .await;
    let pupil = stage.pupil(SIMS, 0);
    stage.take(SIMS, sign_in("e1", &pupil, "09:07:00")).await;
    assert_eq!(stage.settled_as(SIMS, "e1").await, Confirmed);
    stage.clock.advance(Duration::from_secs(600));
    stage.teacher(SIMS, &pupil, "AM", Some("I"));
    let gone = Fault::Status {
        status: 404,
        retry_after: RetryAfter::None,
    };
    let gone = FaultRule::new(gone).on("attendance/session").method("GET");
    stage.sandbox.add_fault(gone).unwrap();
    stage
        .take(
            SIMS,
            answered("e2", &pupil, "10:01:00", "M - Medical appointment"),
        )
        .await;
    stage.waits(SIMS, "e2").await;
    stage.sandbox.clear_faults();
    stage.clock.advance(Duration::from_secs(600));
    assert_eq!(stage.settled_as(SIMS, "e2").await, Skipped);
    assert_eq!(stage.code(SIMS, &pupil, "AM").unwrap(), "I");
}

/// Ill, then at the dentist's, then ill again. The copy is renewed while the second mark is still on its way, so it shows the
/// first one, and dates it after the third was planned, which never got there.
#[tokio::test]
async fn an_earlier_mark_of_ours_that_came_late_into_the_copy_does_not_pass_for_the_new_one() {
    let stage = Stage::set(Setup {
        writeback: "",
        ..hourly()
    })
    .await;
    let pupil = stage.pupil(SIMS, 0);
    stage
        .take(SIMS, answered("e1", &pupil, "09:40:00", "I - Ill"))
        .await;
    assert_eq!(stage.settled_as(SIMS, "e1").await, Confirmed);
    stage.sandbox.set_write_delay(Duration::from_secs(600));
    stage
        .take(SIMS, sign_out("e2", &pupil, "09:50:00", "M - Dentist"))
        .await;
    stage.reaches(SIMS, "e2", Accepted).await;
    stage
        .sandbox
        .add_fault(post(Fault::CutBefore).times(1))
        .unwrap();
    stage
        .take(SIMS, answered("e3", &pupil, "09:55:00", "I - Ill"))
        .await;
    stage.reaches(SIMS, "e3", Sent).await;
    assert!(stage.sandbox.extract_now(&stage.school(SIMS)).unwrap());
    stage.reaches(SIMS, "e3", Accepted).await;
    stage.clock.advance(Duration::from_secs(600));
    stage.settled().await;
    assert_eq!(stage.code(SIMS, &pupil, "AM").unwrap(), "I");
}

/// A sign-out may replace what a teacher entered, a sign-in may not. Until it is certain that the sign-out's mark is there,
/// the teacher's may still be.
#[tokio::test]
async fn a_protected_code_that_is_being_replaced_protects_until_that_is_certain() {
    let stage = Stage::set(Setup {
        writeback: "protected = [\"I\"]\nprotect_on = [\"sign_in\"]",
        ..hourly()
    })
    .await;
    let pupil = stage.pupil(SIMS, 0);
    stage.teacher(SIMS, &pupil, "AM", Some("I"));
    assert!(stage.sandbox.extract_now(&stage.school(SIMS)).unwrap());
    stage.clock.advance(Duration::from_secs(60));
    stage.sandbox.add_fault(nobody_can_ask()).unwrap();
    stage
        .take(SIMS, sign_out("e1", &pupil, "09:50:00", "M - Dentist"))
        .await;
    stage.reaches(SIMS, "e1", Accepted).await;
    stage.take(SIMS, sign_in("e2", &pupil, "10:01:00")).await;
    stage.waits(SIMS, "e2").await;
    stage.sandbox.clear_faults();
    assert_eq!(stage.settled_as(SIMS, "e2").await, Confirmed);
    assert_eq!(stage.state(SIMS, "e1").await, Confirmed);
    assert_eq!(stage.code(SIMS, &pupil, "AM").unwrap(), "U");
}
