//! Clients that read slowly, break off, send byte by byte or send too much neither lose an accepted event nor keep the
//! service from others.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failed assertion may panic"
)]

use std::time::{Duration, Instant};

use markback_lab::{
    harness::KEY,
    hostile::{Hostile, Target},
};
use markback_tests::{Service, World, sign_in};

const MARKBACK: &str = env!("CARGO_BIN_EXE_markback-under-test");

/// How long the test waits before it fails.
const PATIENCE: Duration = Duration::from_secs(120);

#[tokio::test(flavor = "multi_thread")]
async fn accepted_events_become_marks_and_every_answer_is_one_that_clients_expect() {
    let world = World::new().await;
    world.set_service(
        "http = { requests = 12, head_within = '2s', answer_within = '2s', write_within = '1s' }\n\
         feed = { streams = 2 }",
    );
    let service = Service::start(MARKBACK, &world, "SIMS").await;
    let school = world.school_with("SIMS");
    let target = Target {
        address: service.listens_on().parse().unwrap(),
        key: KEY.to_owned(),
        school: school.id.to_string(),
    };
    let hostile = Hostile::start(target, 40);
    let (start, mut accepted) = (Instant::now(), Vec::new());
    for (n, pupil) in world.pupils(&school).iter().enumerate() {
        let id = format!("e{n}");
        let event = sign_in(&id, pupil, "09:07:12").to_string();
        loop {
            let answer = service.post(event.clone()).await;
            if answer.status == 202 {
                accepted.push(id);
                break;
            }
            // All places are taken by the others; the answer says when to try again.
            assert_eq!(answer.status, 503, "{answer:?}");
            assert!(answer.headers.contains_key("retry-after"), "{answer:?}");
            assert!(start.elapsed() < PATIENCE, "no place becomes free");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    let met = hostile.end().await;
    for id in &accepted {
        service.wait_until(id, "confirmed").await;
    }
    let expected = [200, 413, 503, 504];
    let other = met.answers.keys().find(|status| !expected.contains(status));
    assert_eq!(other, None, "{met:?}");
    assert_eq!(met.without_retry_after, 0, "{met:?}");
    // Of the eight that follow the feed, two have a place at a time.
    assert!(
        met.answers.contains_key(&200) && met.answers.contains_key(&503),
        "{met:?}"
    );
    assert_eq!(service.stop().await.0, Some(0));
}
