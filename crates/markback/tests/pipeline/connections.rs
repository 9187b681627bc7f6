//! How long what is known of a school's permissions, region and MIS is used.

use std::time::Duration;

use markback::service::EventState::{Confirmed, Skipped};
use outbox::Clock as _;

use crate::stage::{SIMS, Stage, sign_in};

const HOUR: Duration = Duration::from_secs(60 * 60);

async fn settles_as_confirmed(stage: &Stage, id: &str, pupil: usize) {
    stage
        .take(SIMS, sign_in(id, &stage.pupil(SIMS, pupil), "09:07:00"))
        .await;
    assert_eq!(stage.settled_as(SIMS, id).await, Confirmed);
}

/// They hardly change, and every school would need them in the same half hour.
#[tokio::test]
async fn a_morning_asks_for_permissions_no_second_time() {
    let stage = Stage::usual().await;
    settles_as_confirmed(&stage, "e1", 0).await;
    stage.clock.advance(3 * HOUR);
    settles_as_confirmed(&stage, "e2", 1).await;
    for kind in ["GET school", "GET meta", "GET permissions"] {
        assert_eq!(stage.requests(kind), 0, "{kind}");
    }
}

#[tokio::test]
async fn a_permission_that_is_missing_is_asked_for_again() {
    let stage = Stage::usual().await;
    let school = stage.school(SIMS);
    let give = |granted| {
        stage
            .sandbox
            .set_scope(&school, "attendance.write", granted)
    };
    give(false).unwrap();
    // By then the connection is opened anew in any case.
    stage.clock.advance(27 * HOUR);
    stage.people_known().await;
    let at = stage
        .clock
        .now()
        .date_naive()
        .and_hms_opt(9, 7, 0)
        .unwrap()
        .and_utc();
    let event = |id: &str, pupil| {
        serde_json::json!({
            "id": id, "person": stage.pupil(SIMS, pupil), "kind": "sign_in", "at": at.to_rfc3339(),
        })
    };
    stage.take(SIMS, event("refused", 0)).await;
    assert_eq!(stage.settled_as(SIMS, "refused").await, Skipped);
    give(true).unwrap();
    stage.clock.advance(HOUR + Duration::from_secs(1));
    stage.take(SIMS, event("given", 1)).await;
    assert_eq!(stage.settled_as(SIMS, "given").await, Confirmed);
}

/// Requests to the region before then fail, which is reason enough to ask.
#[tokio::test]
async fn after_an_error_the_region_is_asked_for_again() {
    let stage = Stage::usual().await;
    let school = stage.school(SIMS);
    settles_as_confirmed(&stage, "e1", 0).await;
    stage.clock.advance(2 * HOUR);
    stage.sandbox.set_other_region(&school, true).unwrap();
    settles_as_confirmed(&stage, "e2", 1).await;
    assert!(stage.requests("GET school") > 0);
}
