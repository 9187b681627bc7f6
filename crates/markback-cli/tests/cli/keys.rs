//! `markback keys` and `markback audit`, on the database of a running service.

use crate::support::markback_on as markback;
use markback_lab::harness::{ApiEnv, answer};
use serde_json::{Value, json};

#[tokio::test]
async fn a_key_is_made_used_listed_and_revoked() {
    let world = ApiEnv::new().await;
    let school = world.school.id.as_str();
    let made = markback(
        &world,
        &[
            "keys",
            "add",
            "--name",
            "the host",
            "--scope",
            "events:write,events:read",
            "--school",
            school,
            "--expires",
            "90d",
        ],
    )
    .await;
    assert_eq!(made.code, 0, "{}", made.err);
    // Only the key is on standard output, so that it can be kept in a variable or a file.
    let key = made.out.trim();
    assert!(key.starts_with("mb_") && key.len() == 63, "{key}");
    assert!(made.err.contains("shown this once") && !made.err.contains(key));
    let path = format!("{}/v1/schools/{school}/events", world.address);
    let get = async || answer(world.http.get(&path).bearer_auth(key)).await.0;
    assert_eq!(get().await, 200);

    let listed = markback(&world, &["keys", "ls", "--format", "json"]).await;
    let listed: Value = serde_json::from_str(&listed.out).unwrap();
    let record = &listed["keys"][0];
    assert_eq!(record["name"], "the host");
    assert_eq!(record["state"], "active");
    assert_eq!(record["scopes"], json!(["events:write", "events:read"]));
    assert_eq!(record["schools"], json!([school]));
    assert_eq!(record["created_by"], "operator");
    assert!(!listed.to_string().contains(&key[14..]));
    let table = markback(&world, &["keys", "ls"]).await;
    for told in ["the host", "events:read", school, "active"] {
        assert!(table.out.contains(told), "{told}: {}", table.out);
    }

    let id = record["id"].as_str().unwrap();
    let revoked = markback(&world, &["keys", "revoke", id]).await;
    assert_eq!(revoked.code, 0, "{}", revoked.err);
    world.clock.advance(std::time::Duration::from_secs(2));
    assert_eq!(get().await, 401);
    let unknown = markback(&world, &["keys", "revoke", "a-secret-by-mistake"]).await;
    assert_eq!(unknown.code, 1);
    assert!(unknown.err.contains("markback keys ls") && !unknown.err.contains("mistake"));

    let audit = markback(&world, &["audit", "--format", "json"]).await;
    let audit: Value = serde_json::from_str(&audit.out).unwrap();
    let told: Vec<_> = audit["entries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| (&entry["action"], &entry["subject"], &entry["caller"]))
        .collect();
    let (id, operator) = (json!(id), json!("operator"));
    assert_eq!(
        told,
        [
            (&json!("key_revoked"), &id, &operator),
            (&json!("key_added"), &id, &operator)
        ]
    );
}

#[tokio::test]
async fn a_key_with_a_mistake_is_not_made() {
    let world = ApiEnv::new().await;
    let add = async |more: &[&str]| {
        let args = [&["keys", "add", "--name", "host"], more].concat();
        markback(&world, &args).await
    };
    for (more, told) in [
        (&["--scope", "event:write"][..], "events:write"),
        (&[], "--scope"),
        (&["--scope", "admin", "--school", "A0"], "no school `A0`"),
        (&["--scope", "admin", "--expires", "soon"], "--expires"),
        (&["--scope", "admin", "--expires", "0s"], "over already"),
        (&["--scope", "admin", "--name", " "], "name"),
    ] {
        let said = add(more).await;
        assert_eq!(said.code, 2, "{more:?}: {}", said.err);
        assert!(said.err.contains(told), "{more:?}: {}", said.err);
    }
    assert!(world.markback.store().keys().await.unwrap().is_empty());
}

#[tokio::test]
async fn looks_and_changes_of_an_operator_are_in_the_audit_log() {
    let world = ApiEnv::new().await;
    let person = world.pupils[0].id.as_str();
    let events = [
        world.sign_in("e1", 0, "08:50"),
        world.sign_in("e2", 1, "08:51"),
    ];
    world.take(events.to_vec()).await;
    for args in [
        &["events", "show", "e1"][..],
        &["events", "ls", "--person", person],
        &[
            "events",
            "discard",
            "e1",
            "--by",
            "Ann",
            "--note",
            "Amy Pond is ill",
        ],
        // Nothing is shown of whom does not exist.
        &["events", "ls", "--state", "rejected"],
    ] {
        let said = markback(&world, args).await;
        assert_eq!(said.code, 0, "{args:?}: {}", said.err);
    }
    assert_eq!(markback(&world, &["events", "show", "Amy"]).await.code, 1);
    let said = markback(&world, &["audit", "--format", "json"]).await;
    let audit: Value = serde_json::from_str(&said.out).unwrap();
    let entries = audit["entries"].as_array().unwrap();
    let told: Vec<_> = entries
        .iter()
        .map(|entry| {
            let text = |name: &str| entry[name].as_str().unwrap_or_default().to_owned();
            (
                text("kind"),
                text("action"),
                text("subject"),
                entry["amount"].as_u64(),
            )
        })
        .collect();
    let line = |kind: &str, action: &str, subject: &str, amount| {
        (
            kind.to_owned(),
            action.to_owned(),
            subject.to_owned(),
            amount,
        )
    };
    assert_eq!(
        told,
        [
            line("change", "event_discarded", "e1", None),
            line("look", "events_listed", person, Some(1)),
            line("look", "event_shown", "e1", None),
            line("change", "events_sent", "", Some(2)),
        ]
    );
    assert!(
        entries
            .iter()
            .all(|entry| entry["school"] == world.school.id)
    );
    assert_eq!(entries[0]["caller"], "operator");
    assert_eq!(entries[3]["via"], "program");
    assert!(
        !said.out.contains("Amy") && !said.out.contains("Ann"),
        "{}",
        said.out
    );

    let said = markback(&world, &["audit", "--by", "operator", "--limit", "2"]).await;
    assert!(said.out.contains("event discarded") && said.out.contains("events listed"));
    assert!(!said.out.contains("event shown"));
    let seq = entries[1]["seq"].to_string();
    assert!(
        said.out.contains(&format!("--before {seq}")),
        "{}",
        said.out
    );
    let said = markback(
        &world,
        &["audit", "--before", &seq, "--school", &world.school.id],
    )
    .await;
    assert!(said.out.contains("event shown") && !said.out.contains("discarded"));
    let said = markback(&world, &["audit", "--since", "someday"]).await;
    assert_eq!(said.code, 2);
}
