//! What needs a person, by cause.
use markback::service::EventState::{Confirmed, Rejected};
use markback_lab::harness::ApiEnv;
use serde_json::json;
use wonde_sandbox::{Fault, FaultRule};

#[tokio::test]
async fn refused_marks_are_listed_previewed_and_written_again() {
    let mut world = ApiEnv::new().await;
    let rule = FaultRule::new(Fault::RejectWriteback {
        message: Some("Locked.".to_owned()),
    });
    let rule = rule.on("attendance/session").method("POST");
    world.sandbox.add_fault(rule).unwrap();
    let events = ["e0", "e1"].iter().enumerate();
    let events = events
        .map(|(n, id)| world.sign_in(id, n, "08:50"))
        .collect();
    world.take(events).await;
    world.run();
    world.until("e0", Rejected).await;
    world.until("e1", Rejected).await;
    world.sandbox.clear_faults();

    let problems = format!("/v1/schools/{}/problems", world.school.id);
    let (status, list) = world.get(&problems).await;
    assert_eq!(status, 200, "{list}");
    let cause = &list["causes"][0];
    assert_eq!((&cause["count"], &cause["people"]), (&json!(2), &json!(2)));
    assert_eq!(cause["kind"], "refused");
    assert_eq!(cause["actions"], json!(["retry", "discard"]));
    let id = cause["id"].as_str().unwrap();

    let retry = format!("{problems}/{id}/retry");
    let (status, preview) = world.get(&retry).await;
    assert_eq!(status, 200, "{preview}");
    assert_eq!(preview["summary"], json!(["Writes 2 marks again."]));
    let named: Vec<_> = preview["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| {
            let event = &one["event"];
            json!({"id": event["id"], "state": event["state"], "round": event["round"]})
        })
        .collect();

    let body = json!({"events": named, "by": "Office", "note": "unlocked"});
    let (status, done) = world.post(&retry, &body).await;
    assert_eq!((status, &done["done"]), (200, &json!(2)), "{done}");
    for id in ["e0", "e1"] {
        let event = world.until(id, Confirmed).await;
        let retried = event.history.iter().find(|line| line.what == "retried");
        assert_eq!(retried.unwrap().record["by"], "Office");
    }
    // The same again does nothing.
    let (_, again) = world.post(&retry, &body).await;
    assert_eq!(
        (&again["done"], &again["left_alone"]),
        (&json!(0), &json!(2))
    );
    assert_eq!(again["events"][0]["result"], "changed");
    assert_eq!(world.get(&problems).await.1["causes"], json!([]));
}

#[tokio::test]
async fn what_is_wrong_with_a_request_is_told() {
    let world = ApiEnv::new().await;
    let problems = format!("/v1/schools/{}/problems", world.school.id);
    assert_eq!(
        world
            .get(&format!("{problems}?from=2026-11-24&to=2026-11-23"))
            .await
            .0,
        422
    );
    let (status, answer) = world.get(&format!("{problems}/refused-0/retri")).await;
    assert_eq!(status, 404);
    assert!(
        answer["detail"]
            .as_str()
            .unwrap()
            .contains("did you mean `retry`?"),
        "{answer}"
    );
    assert_eq!(
        world.get(&format!("{problems}/refused-0/retry")).await.0,
        404
    );
    let path = format!("{problems}/refused-0/retry");
    assert_eq!(world.post(&path, &json!({"events": "all"})).await.0, 422);
    let many: Vec<_> = (0..501)
        .map(|n| json!({"id": format!("e{n}"), "state": "failed", "round": 0}))
        .collect();
    assert_eq!(world.post(&path, &json!({"events": many})).await.0, 413);
}
