//! `markback person`, on the database of a running service.

use crate::support::markback_on as markback;
use chrono::{DateTime, Utc};
use markback::service::EventState::{Confirmed, Received};
use markback_lab::harness::{ApiEnv, Setup, stores};
use rstest::rstest;
use serde_json::{Value, json};

/// A Monday that is past by the system's clock, which the commands go by.
fn at(time: &str) -> DateTime<Utc> {
    format!("2024-11-25T{time}:00Z").parse().unwrap()
}

fn sign_in(world: &ApiEnv, id: &str, pupil: usize, time: &str) -> Value {
    json!({"id": id, "person": world.pupils[pupil].id, "kind": "sign_in", "at": at(time)})
}

async fn world(store: Option<String>) -> ApiEnv {
    let mut world = ApiEnv::with(Setup {
        store,
        start: at("09:30"),
        ..Setup::default()
    })
    .await;
    world.run();
    world.known().await;
    world
}

fn json_of(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[rstest]
#[tokio::test]
async fn a_persons_data_is_exported_and_erased_and_others_stay() {
    for store in stores() {
        let world = world(store).await;
        let (amy, ben) = (world.pupils[0].id.clone(), world.pupils[1].id.clone());
        let sent = sign_in(&world, "e1", 0, "09:20");
        world
            .take(vec![sent.clone(), sign_in(&world, "e2", 1, "09:21")])
            .await;
        world.until("e1", Confirmed).await;
        world.until("e2", Confirmed).await;

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("amy.json");
        let file = path.to_str().unwrap();
        let export = ["person", "export", "--person", &amy, "--output", file];
        let said = markback(&world, &export).await;
        assert_eq!(said.code, 0, "{}", said.err);
        let document = std::fs::read_to_string(&path).unwrap();
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = std::fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        assert!(!document.contains("\"e2\"") && !document.contains(&ben));
        let kept = &json_of(&document)["kept"];
        let missing: Vec<&str> = [
            "events",
            "history",
            "snapshots",
            "ledger",
            "feed",
            "jobs",
            "directory",
            "records",
            "identities",
            "groups",
        ]
        .into_iter()
        .filter(|what| kept[what].as_array().is_none_or(Vec::is_empty))
        .collect();
        assert!(missing.is_empty(), "{missing:?}");
        assert_eq!(kept["events"][0]["body"]["person"], json!(amy));
        // It is not overwritten.
        let again = markback(&world, &export).await;
        assert_eq!(again.code, 2, "{}", again.err);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), document);

        let erase = ["person", "erase", "--person", &amy, "--format", "json"];
        let told = json_of(&markback(&world, &erase).await.out);
        assert_eq!(
            (&told["done"], &told["removed"]["events"]),
            (&json!(false), &json!(1))
        );
        assert_eq!(world.event("e1").await.state, Confirmed);
        let yes = [&erase[..], &["--yes"]].concat();
        assert_eq!(markback(&world, &yes).await.code, 2);
        let yes = [&yes[..], &["--reason", "request 12"]].concat();
        let said = markback(&world, &yes).await;
        assert_eq!(said.code, 0, "{}", said.err);
        let done = json_of(&said.out);
        assert_eq!(
            (&done["done"], &done["removed"]),
            (&json!(true), &told["removed"])
        );

        // The same event is not taken in anew, and its mark is not written again.
        assert!(
            world
                .markback
                .event(&world.id(), "e1")
                .await
                .unwrap()
                .is_none()
        );
        let answer = world
            .markback
            .intake(&world.id(), vec![sent])
            .await
            .unwrap();
        assert_eq!(answer[0].state, Confirmed);
        assert!(
            world
                .markback
                .event(&world.id(), "e1")
                .await
                .unwrap()
                .is_none()
        );
        assert_eq!(world.event("e2").await.state, Confirmed);
        let kept = markback(&world, &["person", "export", "--person", &amy]).await;
        let kept = &json_of(&kept.out)["kept"];
        for what in ["events", "history", "snapshots", "ledger", "feed", "jobs"] {
            assert_eq!(kept[what], Value::Null, "{what}");
        }
        assert!(!kept["records"].as_array().unwrap().is_empty());

        // It is recorded without a name or an id.
        let listed = markback(
            &world,
            &["person", "erasures", "--person", &amy, "--format", "json"],
        )
        .await;
        let listed = &json_of(&listed.out)["erasures"];
        assert_eq!(listed[0]["reason"], json!("request 12"));
        assert!(!listed.to_string().contains(&amy));
        let audit = markback(&world, &["audit", "--format", "json"]).await;
        let audit = json_of(&audit.out);
        let entries = audit["entries"].as_array().unwrap();
        let erased = entries
            .iter()
            .find(|entry| entry["action"] == "person_erased")
            .unwrap();
        assert_eq!(erased["subject"], done["person"]);
        for look in ["person_exported", "person_shown"] {
            assert!(
                entries.iter().any(|entry| entry["action"] == look),
                "{look}"
            );
        }
    }
}

#[tokio::test]
async fn an_event_that_is_open_is_refused_and_an_unknown_person_is_told() {
    // No worker runs, so the event stays as it was received.
    let world = ApiEnv::with(Setup {
        start: at("09:30"),
        ..Setup::default()
    })
    .await;
    let amy = world.pupils[0].id.clone();
    world.take(vec![sign_in(&world, "e1", 0, "09:20")]).await;
    let erase = [
        "person",
        "erase",
        "--person",
        &amy,
        "--yes",
        "--reason",
        "request 13",
    ];
    let said = markback(&world, &erase).await;
    assert_eq!(said.code, 1, "{}", said.out);
    assert!(said.out.contains("e1: it is received"), "{}", said.out);
    assert_eq!(world.event("e1").await.state, Received);

    let said = markback(&world, &["person", "export", "--person", "nobody"]).await;
    assert_eq!(said.code, 0);
    assert!(said.err.contains("nothing is kept"), "{}", said.err);
    let said = markback(
        &world,
        &["person", "export", "--person", "x", "--school", "other"],
    )
    .await;
    assert_eq!(said.code, 2, "{}", said.err);
}
