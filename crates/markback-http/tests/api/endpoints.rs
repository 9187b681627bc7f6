//! The endpoints for webhooks over HTTP.

use markback::service::EventState;
use markback_lab::harness::{ApiEnv, KEY, Setup, answer};
use serde_json::{Value, json};

const PATH: &str = "/v1/webhook-endpoints";

async fn world() -> ApiEnv {
    ApiEnv::with(Setup {
        extra: "targets = { loopback = true }\n",
        ..Setup::default()
    })
    .await
}

#[tokio::test]
async fn an_endpoint_is_added_listed_changed_and_removed() {
    let mut world = world().await;
    world.run();
    world.known().await;
    let wanted = json!({
        // The API answers a POST to its own root with 404.
        "url": format!("{}/", world.address), "school": world.school.id, "kinds": ["event"], "note": null,
    });
    let (status, added) = world.post(PATH, &wanted).await;
    assert_eq!(status, 201, "{added}");
    assert!(added["secret"].as_str().unwrap().starts_with("whsec_"));
    let id = added["endpoint"]["id"].as_str().unwrap().to_owned();
    let one = format!("{PATH}/{id}");
    assert_eq!(world.get(&one).await, (200, added["endpoint"].clone()));
    let (_, listed) = world.get(PATH).await;
    assert_eq!(listed, json!({ "endpoints": [added["endpoint"]] }));
    assert!(!listed.to_string().contains("whsec_"));

    let (status, tested) = world.post(&format!("{one}/test"), &json!({})).await;
    assert_eq!((status, &tested["status"]), (200, &json!(404)));
    let (_, rotated) = world.post(&format!("{one}/rotate"), &json!({})).await;
    assert_ne!(rotated["secret"], added["secret"]);

    world.take(vec![world.sign_in("e1", 0, "08:50")]).await;
    world.until("e1", EventState::Confirmed).await;
    let deliveries = format!("{one}/deliveries?state=waiting");
    let mut found = Value::Null;
    world
        .wait_until(
            "both entries were tried",
            std::time::Duration::ZERO,
            async || {
                found = world.get(&deliveries).await.1;
                let all = found["deliveries"].as_array().unwrap();
                all.len() == 2 && all.iter().all(|one| one["attempts_in_round"] != 0)
            },
        )
        .await;
    let entry = &found["deliveries"][0]["entry"];
    let resend = format!("{one}/resend");
    let (status, refused) = world.post(&resend, &json!({ "entry": entry })).await;
    assert_eq!(
        (status, &refused["type"]),
        (409, &json!("/problems/conflict"))
    );
    let since = json!({ "since": "2026-11-23T00:00:00Z" });
    assert_eq!(
        world.post(&resend, &since).await,
        (202, json!({ "entries": 0 }))
    );

    let (_, disabled) = world.post(&format!("{one}/disable"), &json!({})).await;
    assert_eq!(disabled["state"], "disabled");
    let (_, enabled) = world.post(&format!("{one}/enable"), &json!({})).await;
    assert_eq!(enabled["state"], "active");
    let remove = || {
        answer(
            world
                .http
                .delete(format!("{}{one}", world.address))
                .bearer_auth(KEY),
        )
    };
    assert_eq!(remove().await.0, 204);
    assert_eq!(remove().await.0, 404);
    assert_eq!(world.get(&one).await.0, 404);
}

#[tokio::test]
async fn what_is_wrong_with_an_endpoint_is_told() {
    let world = world().await;
    for (body, told) in [
        (json!({}), "not valid"),
        (json!({ "url": "host.example" }), "not the address"),
        (json!({ "url": "http://host.example/" }), "not encrypted"),
        (
            json!({ "url": "https://10.0.0.1/" }),
            "not on the public internet",
        ),
        (
            json!({ "url": "https://host.example/", "school": "A1" }),
            "no school",
        ),
        (
            json!({ "url": "https://host.example/", "kinds": ["evnt"] }),
            "not valid",
        ),
        (
            json!({ "url": "https://host.example/", "secret": "mine" }),
            "not valid",
        ),
    ] {
        let (status, answer) = world.post(PATH, &body).await;
        assert_eq!(status, 422, "{body}: {answer}");
        assert!(answer.to_string().contains(told), "{body}: {answer}");
    }
    for path in ["we_1", "we_1/deliveries"] {
        assert_eq!(world.get(&format!("{PATH}/{path}")).await.0, 404, "{path}");
    }
    for path in ["we_1/test", "we_1/rotate", "we_1/enable", "we_1/disable"] {
        let (status, answer) = world.post(&format!("{PATH}/{path}"), &json!({})).await;
        assert_eq!(
            (status, &answer["type"]),
            (404, &json!("/problems/unknown-endpoint")),
            "{path}"
        );
    }
}

#[tokio::test]
async fn an_endpoint_that_is_gone_is_among_the_problems_of_its_school() {
    let mut world = world().await;
    world.run();
    world.known().await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let gone = axum::Router::new().fallback(async || axum::http::StatusCode::GONE);
    tokio::spawn(async { axum::serve(listener, gone).await.unwrap() });
    let wanted = json!({"url": url, "school": world.school.id, "kinds": ["event"], "note": "host"});
    let (status, added) = world.post(PATH, &wanted).await;
    assert_eq!(status, 201, "{added}");
    world.take(vec![world.sign_in("e1", 0, "08:50")]).await;
    world.until("e1", EventState::Confirmed).await;

    let problems = format!("/v1/schools/{}/problems", world.school.id);
    let mut found = Value::Null;
    let zero = std::time::Duration::ZERO;
    let is_told = async || {
        found = world.get(&problems).await.1;
        found["endpoints"] != json!([])
    };
    world
        .wait_until("the endpoint is told", zero, is_told)
        .await;
    let told = &found["endpoints"][0];
    assert_eq!(
        (&told["id"], &told["state"], &told["note"]),
        (&added["endpoint"]["id"], &json!("gone"), &json!("host"))
    );
    assert!(
        told["cure"]
            .as_str()
            .unwrap()
            .contains("markback webhooks enable")
    );
    assert!(!told.to_string().contains("whsec_"));
}
