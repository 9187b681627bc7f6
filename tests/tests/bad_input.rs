//! Invalid requests are reported with the field, and events that were accepted before stay.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failed assertion may panic"
)]

use chrono::{Duration, Utc};
use markback_tests::{Answer, Service, World, sign_in};
use reqwest::Method;
use serde_json::{Value, json};

const MARKBACK: &str = env!("CARGO_BIN_EXE_markback-under-test");

/// The pointers of the problems in an error response. Checks that each has a message and help.
fn pointers(answer: &Answer) -> Vec<String> {
    let body = answer.json();
    assert!(
        body["type"].is_string() && !body["detail"].as_str().unwrap().is_empty(),
        "{answer:?}"
    );
    let told = |problem: &Value| {
        for text in ["message", "help"] {
            assert!(!problem[text].as_str().unwrap().is_empty(), "{problem:#}");
        }
        problem["pointer"].as_str().unwrap().to_owned()
    };
    body["problems"]
        .as_array()
        .unwrap()
        .iter()
        .map(told)
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn invalid_events_are_rejected_with_the_field_and_accepted_ones_stay() {
    let world = World::new().await;
    let school = world.school_with("SIMS");
    let pupils = world.pupils(&school);
    let service = Service::start(MARKBACK, &world, "SIMS").await;
    let good = sign_in("good", &pupils[0], "09:07:12");
    assert_eq!(service.post(good.to_string()).await.status, 202);
    // After its decision, the service knows the school's people.
    let before = service.wait_until("good", "confirmed").await;

    let with = |key: &str, value: Value| {
        let mut event = sign_in("bad", &pupils[1], "09:07:12");
        event[key] = value;
        event
    };
    let from_now = |by: Duration| json!((Utc::now() + by).to_rfc3339());
    let without = |key: &str| {
        let mut event = sign_in("bad", &pupils[1], "09:07:12");
        event.as_object_mut().unwrap().remove(key);
        event
    };
    let answered = |field: &str, answer: &str| with("answers", json!({field: answer}));
    let table = [
        ("/person", with("person", json!("A404"))),
        ("/at", with("at", from_now(Duration::minutes(6)))),
        ("/at", with("at", from_now(-Duration::days(8)))),
        ("/at", with("at", json!("2026-11-23T09:07:12"))),
        ("/at", with("at", json!("yesterday"))),
        ("/at", with("at", json!(7))),
        ("/answers/Why?", answered("Why?", "Nobody asked this")),
        ("/answers/Who?", answered("Who?", "Bus")),
        ("/kind", with("kind", json!("arrived"))),
        ("/id", with("id", json!(" "))),
        ("/person", with("person", json!(""))),
        ("", without("id")),
        ("", without("at")),
        ("/name", with("name", json!("unknown key"))),
        ("", json!("a text")),
        ("", json!(7)),
        ("", json!(null)),
    ];
    for (pointer, event) in table {
        let answer = service.post(event.to_string()).await;
        assert_eq!(answer.status, 422, "{event} got {answer:?}");
        assert_eq!(pointers(&answer), [pointer], "{event} got {answer:?}");
    }

    // In a list, all problems are reported with their positions, and no event is accepted.
    let list = json!([
        sign_in("bad", &pupils[1], "09:00:00"),
        with("at", json!("9 o'clock")),
        with("person", json!("A404"))
    ]);
    let answer = service.post(list.to_string()).await;
    assert_eq!(
        (answer.status, pointers(&answer)),
        (422, vec!["/1/at".to_owned(), "/2/person".to_owned()])
    );

    let text = good.to_string();
    for body in [&text[..text.len() / 2], "", "{} {}", "hello"] {
        let answer = service.post(body).await;
        assert_eq!(
            (answer.status, pointers(&answer)),
            (400, vec![String::new()]),
            "{body}: {answer:?}"
        );
    }

    let long = format!("[{}]", " ".repeat(1 << 20));
    let answer = service.post(long).await;
    assert_eq!(
        (answer.status, answer.json()["type"].as_str()),
        (413, Some("/problems/too-large"))
    );

    assert_eq!(
        service
            .get(&format!("{}/bad", service.events()))
            .await
            .status,
        404
    );
    assert_eq!(service.event("good").await, before);

    // The same request again has the same response, and nothing is written again.
    let again = service.post(good.to_string()).await;
    assert_eq!(
        (again.status, again.json()),
        (
            202,
            json!({"events": [{"id": "good", "state": "confirmed"}]})
        )
    );
    assert_eq!(world.written(&school, &pupils[0])[0].writes, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_requires_the_key_and_known_schools_and_events() {
    let world = World::new().await;
    let school = world.school_with("SIMS");
    let event = sign_in("e1", &world.pupils(&school)[0], "09:07:12").to_string();
    let service = Service::start(MARKBACK, &world, "SIMS").await;
    let events = service.events();
    let one = format!("{events}/e1");
    let ask = |method, path: &str, key, body: Option<&str>| {
        let (service, path, body) = (&service, path.to_owned(), body.map(str::to_owned));
        async move { service.ask(method, &path, key, body).await }
    };

    for key in [None, Some("wrong"), Some("the-key-of-the-test"), Some("")] {
        for (method, path, body) in [
            (Method::POST, &events, Some(event.as_str())),
            (Method::GET, &one, None),
        ] {
            let answer = ask(method, path, key, body).await;
            assert_eq!(
                (answer.status, answer.json()["type"].as_str()),
                (401, Some("/problems/unauthorised"))
            );
            assert!(
                answer.headers.contains_key("www-authenticate"),
                "{answer:?}"
            );
        }
    }
    let key = Some("the-key-of-the-tests");
    for (status, kind, method, path) in [
        (
            404,
            "/problems/unknown-school",
            Method::POST,
            "/v1/schools/A0/events",
        ),
        (
            404,
            "/problems/unknown-school",
            Method::GET,
            "/v1/schools/A0/events/e1",
        ),
        (404, "/problems/unknown-event", Method::GET, one.as_str()),
        // What is not below `/v1` belongs to the pages.
        (404, "/problems/not-found", Method::GET, "/v1/nothing"),
        (
            405,
            "/problems/method-not-allowed",
            Method::DELETE,
            events.as_str(),
        ),
    ] {
        let answer = ask(method, path, key, Some(&event)).await;
        assert_eq!(
            (answer.status, answer.json()["type"].as_str()),
            (status, Some(kind)),
            "{path}"
        );
    }
    let health = ask(Method::GET, "/healthz", None, None).await;
    assert_eq!(
        (health.status, health.json()["status"].as_str()),
        (200, Some("ok"))
    );
    let empty = ask(Method::POST, &events, key, Some("[]")).await;
    assert_eq!(
        (empty.status, &empty.json()["problems"][0]["message"]),
        (422, &json!("there is no event in it"))
    );
}
