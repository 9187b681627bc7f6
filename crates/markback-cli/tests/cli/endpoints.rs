//! `markback webhooks`, and what `status` tells of endpoints, on the database of a running service.

use crate::support::markback_on as markback;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use markback::service::EventState;
use markback_lab::harness::{ApiEnv, Setup};
use serde_json::{Value, json};

#[tokio::test]
async fn an_endpoint_is_added_tested_served_and_removed() {
    let mut world = ApiEnv::with(Setup {
        extra: "targets = { loopback = true }\n",
        ..Setup::default()
    })
    .await;
    world.run();
    world.known().await;
    // The API itself answers a POST to this path, which is no host's: 404.
    let url = format!("{}/nothing", world.address);
    let said = markback(
        &world,
        &[
            "webhooks", "add", &url, "--kind", "event", "--note", "tests",
        ],
    )
    .await;
    assert_eq!(said.code, 0, "{}", said.err);
    let id = said.out.split_whitespace().next().unwrap().to_owned();
    assert!(
        id.starts_with("we_") && said.out.contains("whsec_"),
        "{}",
        said.out
    );

    let said = markback(&world, &["webhooks", "ls", "--format", "json"]).await;
    let listed = &said.json()["endpoints"][0];
    assert_eq!(
        (&listed["id"], &listed["kinds"]),
        (&json!(id), &json!(["event"]))
    );
    assert!(!said.out.contains("whsec_"));
    let said = markback(&world, &["webhooks", "test", &id]).await;
    assert_eq!(said.code, 1);
    assert!(said.out.contains("status 404"), "{}", said.out);

    world.take(vec![world.sign_in("e1", 0, "08:50")]).await;
    world.until("e1", EventState::Confirmed).await;
    let deliveries = async || {
        let said = markback(&world, &["webhooks", "deliveries", &id, "--format", "json"]).await;
        said.json()["deliveries"].as_array().unwrap().clone()
    };
    let tried = |one: &Value| !one["attempts"].as_array().unwrap().is_empty();
    world
        .wait_until(
            "both entries were tried",
            std::time::Duration::ZERO,
            async || {
                let found = deliveries().await;
                found.len() == 2 && found.iter().all(tried)
            },
        )
        .await;
    assert_eq!(deliveries().await[0]["attempts"][0]["status"], 404);
    let said = markback(&world, &["status"]).await;
    assert!(
        said.out.contains(&format!("webhook endpoint {id}")),
        "{}",
        said.out
    );
    assert!(said.out.contains("it answered 404"), "{}", said.out);
    let in_clear = "secrets of 1 webhook endpoints are in the database in clear";
    assert!(said.out.contains(in_clear), "{}", said.out);
    // A key is named, and the secret is sealed with it.
    std::fs::write(world.path("seal"), STANDARD.encode([1; 32])).unwrap();
    let text = std::fs::read_to_string(world.settings_path()).unwrap();
    let text = format!("seal_key_file = 'seal'\n{text}");
    std::fs::write(world.settings_path(), text).unwrap();
    let said = markback(&world, &["token", "reseal", "--format", "json"]).await;
    assert_eq!(said.json()["endpoints"]["sealed"], 1, "{}", said.err);
    let said = markback(&world, &["status"]).await;
    assert!(!said.out.contains("in clear"), "{}", said.out);
    let said = markback(&world, &["webhooks", "test", &id]).await;
    assert!(said.out.contains("status 404"), "{}", said.out);

    let said = markback(&world, &["webhooks", "rotate", &id, "--format", "json"]).await;
    assert!(
        said.json()["secret"]
            .as_str()
            .unwrap()
            .starts_with("whsec_")
    );
    let said = markback(&world, &["webhooks", "disable", &id]).await;
    assert_eq!(said.out.trim(), format!("{id}: disabled"));
    let said = markback(&world, &["webhooks", "enable", &id]).await;
    assert_eq!(said.out.trim(), format!("{id}: active"));
    let said = markback(
        &world,
        &["webhooks", "resend", &id, "--since", "2026-11-23"],
    )
    .await;
    assert_eq!(said.code, 0, "{}", said.err);
    let said = markback(&world, &["webhooks", "remove", &id]).await;
    assert_eq!(said.out.trim(), format!("{id}: removed"));
    let said = markback(&world, &["webhooks", "remove", &id]).await;
    assert_eq!(said.code, 2);
    assert!(said.err.contains("no webhook endpoint"), "{}", said.err);
}

#[tokio::test]
async fn what_must_not_be_called_is_refused() {
    let world = ApiEnv::new().await;
    for (arguments, told) in [
        (vec!["http://host.example/"], "not encrypted"),
        (vec!["https://10.0.0.1/"], "not on the public internet"),
        (
            vec!["https://host.example/", "--kind", "evnt"],
            "there are: event, group, sync, notice",
        ),
        (
            vec!["https://host.example/", "--school", "A1"],
            "no school `A1`",
        ),
        (vec!["host.example"], "invalid value"),
    ] {
        let arguments: Vec<_> = ["webhooks", "add"].into_iter().chain(arguments).collect();
        let said = markback(&world, &arguments).await;
        assert_eq!(said.code, 2, "{arguments:?}: {}", said.err);
        assert!(said.err.contains(told), "{arguments:?}: {}", said.err);
    }
}
