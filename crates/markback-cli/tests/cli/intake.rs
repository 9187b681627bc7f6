//! Intake: an id identifies one event, and `null` means absent.

use crate::support::markback_on;
use chrono::Utc;
use markback::service::EventState;
use markback_lab::harness::{ApiEnv, Setup, stores};
use serde_json::{Value, json};

async fn world(store: Option<String>) -> ApiEnv {
    ApiEnv::with(Setup {
        store,
        start: Utc::now(),
        ..Setup::default()
    })
    .await
}

/// A sign-in at the current time, because a command uses the system's clock.
fn sign_in(world: &ApiEnv, id: &str, pupil: usize) -> Value {
    json!({"id": id, "person": world.pupils[pupil].id, "kind": "sign_in", "at": Utc::now()})
}

async fn send(world: &ApiEnv, body: &Value) -> (u16, Value) {
    let path = format!("/v1/schools/{}/events", world.school.id);
    world.post(&path, body).await
}

async fn is_kept(world: &ApiEnv, id: &str) -> bool {
    let event = world.markback.event(&world.id(), id).await.unwrap();
    event.is_some()
}

/// The fingerprints that a problem names.
fn fingerprints(problem: &Value) -> Vec<&str> {
    let words = problem["message"].as_str().unwrap().split([' ', ',']);
    words
        .filter(|word| word.len() == 12 && word.chars().all(|c| c.is_ascii_hexdigit()))
        .collect()
}

#[tokio::test]
async fn a_used_id_with_other_content_rejects_the_whole_request() {
    for store in stores() {
        let world = world(store).await;
        let first = sign_in(&world, "r1", 0);
        assert_eq!(send(&world, &first).await.0, 202);

        let mut other = sign_in(&world, "r1", 1);
        other["answers"] = json!({"Why?": "Bus"});
        let request = json!([sign_in(&world, "r2", 2), other]);
        let (status, body) = send(&world, &request).await;
        assert_eq!((status, &body["type"]), (409, &json!("/problems/conflict")));
        let problem = &body["problems"][0];
        assert_eq!(problem["pointer"], "/1/id");
        let both = fingerprints(problem);
        assert!(both.len() == 2 && both[0] != both[1], "{problem}");
        let text = body.to_string();
        assert!(
            !text.contains("Bus") && !text.contains(&world.pupils[1].id),
            "{text}"
        );
        assert!(!is_kept(&world, "r2").await);
        let kept = world.event("r1").await;
        assert_eq!(kept.person, world.pupils[0].id);

        // Without a list, the key has no index.
        let (status, body) = send(&world, &other).await;
        assert_eq!(status, 409);
        assert_eq!(body["problems"][0]["pointer"], "/id");
    }
}

#[tokio::test]
async fn two_events_of_one_request_cannot_share_an_id() {
    for store in stores() {
        let world = world(store).await;
        let one = sign_in(&world, "r1", 0);
        let (status, body) = send(&world, &json!([one, sign_in(&world, "r1", 1)])).await;
        assert_eq!(status, 409);
        let problem = &body["problems"][0];
        assert_eq!(problem["pointer"], "/1/id");
        assert_eq!(fingerprints(problem).len(), 2);
        assert!(!is_kept(&world, "r1").await);
        // The same event twice is one event.
        let (status, body) = send(&world, &json!([one, one])).await;
        assert_eq!(status, 202);
        assert_eq!(body["events"].as_array().unwrap().len(), 2);
    }
}

#[tokio::test]
async fn equal_content_has_the_same_response_in_any_notation() {
    let world = world(None).await;
    let at = Utc::now();
    let person = world.pupils[0].id.as_str();
    let event = json!({"id": "r1", "person": person, "kind": "sign_in", "at": at.to_rfc3339(), "answers": {"Why?": "Bus"}});
    assert_eq!(send(&world, &event).await.0, 202);
    let east = chrono::FixedOffset::east_opt(3600).unwrap();
    let same = json!({
        "answers": {"Why?": " Bus", "Other": null}, "automatic": null, "remote": false,
        "at": at.with_timezone(&east).to_rfc3339(), "kind": "sign_in", "person": person, "id": "r1",
    });
    let (status, body) = send(&world, &same).await;
    assert_eq!(
        (status, &body["events"][0]["state"]),
        (202, &json!("received"))
    );
}

/// Requests that share a transaction do not affect each other.
#[tokio::test]
async fn a_conflict_does_not_affect_other_requests() {
    for store in stores() {
        let world = world(store).await;
        send(&world, &sign_in(&world, "r0", 0)).await;
        let requests: Vec<Value> = (0..24)
            .map(|n| match n % 3 {
                // Conflicts with a stored event, so it does not compete with the next request.
                0 => json!([
                    sign_in(&world, "r0", 1),
                    sign_in(&world, &format!("n{}", n + 1), 2)
                ]),
                1 => json!([sign_in(&world, &format!("n{n}"), 3)]),
                // Two requests with one id: the first is accepted.
                _ => json!([sign_in(&world, "rival", n)]),
            })
            .collect();
        let sent = requests.iter().map(|request| send(&world, request));
        let answers = futures::future::join_all(sent).await;
        let status = |n: usize| answers[n].0;
        for n in (0..24).step_by(3) {
            assert_eq!((status(n), status(n + 1)), (409, 202));
            let kept = world.event(&format!("n{}", n + 1)).await;
            assert_eq!(kept.person, world.pupils[3].id);
        }
        let won = (2..24).step_by(3).filter(|n| status(*n) == 202);
        let won: Vec<_> = won.collect();
        assert_eq!(won.len(), 1, "{won:?}");
        assert_eq!(world.event("rival").await.person, world.pupils[won[0]].id);
    }
}

#[tokio::test]
async fn null_in_an_optional_field_means_absent() {
    let world = world(None).await;
    for (n, (field, null)) in [
        ("answers", Value::Null),
        ("answers", json!({"Why?": null})),
        ("automatic", Value::Null),
        ("remote", Value::Null),
    ]
    .into_iter()
    .enumerate()
    {
        let mut event = sign_in(&world, &format!("u{n}"), n);
        event[field] = null;
        let (status, body) = send(&world, &event).await;
        assert_eq!(status, 202, "{field}: {body}");
    }
    let path = format!("/v1/schools/{}/events/u0/discard", world.school.id);
    let (status, body) = world.post(&path, &json!({"by": null, "note": null})).await;
    assert_eq!(status, 200, "{body}");
    let path = format!("/v1/schools/{}/sync", world.school.id);
    let (status, body) = world
        .post(&path, &json!({"full": null, "accept": null}))
        .await;
    assert_eq!(status, 202, "{body}");
}

#[tokio::test]
async fn a_replay_reports_lines_with_used_ids() {
    let world = world(None).await;
    send(&world, &sign_in(&world, "r1", 0)).await;
    let mut nulls = sign_in(&world, "r4", 5);
    nulls["school"] = Value::Null;
    nulls["answers"] = json!({"Why?": null});
    let lines = [
        sign_in(&world, "r1", 1),
        sign_in(&world, "r2", 2),
        sign_in(&world, "r3", 3),
        sign_in(&world, "r3", 4),
        nulls,
    ];
    let log = lines.map(|line| line.to_string()).join("\n");
    let path = world.path("log.jsonl");
    std::fs::write(&path, log).unwrap();
    let path = path.to_str().unwrap();
    let output = markback_on(&world, &["replay", "--no-wait", "--format", "json", path]).await;
    assert_eq!(output.code, 2);
    let said = output.json();
    let bad: Vec<_> = said["bad"].as_array().unwrap().iter().collect();
    let lines: Vec<_> = bad.iter().map(|bad| (&bad["line"], &bad["key"])).collect();
    assert_eq!(
        lines,
        [(&json!(1), &json!("id")), (&json!(4), &json!("id"))]
    );
    assert!(bad.iter().all(|bad| fingerprints(bad).len() == 2), "{said}");
    for (id, pupil) in [("r1", 0), ("r2", 2), ("r3", 3), ("r4", 5)] {
        let event = world.event(id).await;
        assert_eq!(event.person, world.pupils[pupil].id, "{id}");
        assert_eq!(event.state, EventState::Received);
    }
}
