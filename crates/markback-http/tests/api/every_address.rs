//! What all addresses of the API have in common: limits, ids of requests, compression, pages.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{Router, body::Body, routing::get};
use markback::{
    keys::{self, NewKey, Scope},
    operator::Actor,
    settings::Http,
};
use markback_lab::harness::{ApiEnv, KEY, Setup, answer};
use reqwest::Method;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};
use tokio_util::sync::CancellationToken;

async fn limited(extra: &'static str) -> ApiEnv {
    ApiEnv::with(Setup {
        extra,
        ..Setup::default()
    })
    .await
}

#[tokio::test]
async fn the_document_and_its_pages_are_served_without_a_key() {
    let world = ApiEnv::new().await;
    let request = |path: &str| world.http.get(format!("{}{path}", world.address));
    let (status, document) = answer(request("/openapi.json")).await;
    assert_eq!((status, &document), (200, markback_http::document()));
    for (path, told) in [
        ("/docs", "/v1/schools/{school}/events"),
        ("/problems", "/problems/unknown-school"),
        ("/problems/unknown-school", "Unknown school"),
    ] {
        let response = request(path).send().await.unwrap();
        assert_eq!(response.status(), 200, "{path}");
        let policy = response.headers()["content-security-policy"]
            .to_str()
            .unwrap();
        assert!(
            policy.starts_with("default-src 'none'; style-src 'self';"),
            "{policy}"
        );
        let (status, page) = answer(request(path)).await;
        assert_eq!(status, 200);
        assert!(page.as_str().unwrap().contains(told), "{path}");
    }
    assert_eq!(answer(request("/docs/style.css")).await.0, 200);
    assert_eq!(answer(request("/problems/nothing")).await.0, 404);
}

#[tokio::test]
async fn the_type_of_a_problem_is_the_address_of_its_page() {
    let world = ApiEnv::new().await;
    let (_, problem) = world.get("/v1/schools/B0/events").await;
    let (status, page) = world.text(problem["type"].as_str().unwrap()).await;
    assert_eq!(status, 200);
    assert!(page.contains(problem["title"].as_str().unwrap()));
}

#[tokio::test]
async fn a_request_has_an_id_in_its_response_and_its_problem() {
    let world = ApiEnv::new().await;
    let ask = |id: Option<&'static str>| {
        let url = format!("{}/v1/schools/B0/events", world.address);
        let request = world.http.get(url).bearer_auth(KEY);
        async move {
            let request = id
                .into_iter()
                .fold(request, |request, id| request.header("x-request-id", id));
            let response = request.send().await.unwrap();
            let id = response.headers()["x-request-id"]
                .to_str()
                .unwrap()
                .to_owned();
            let problem: Value = response.json().await.unwrap();
            assert_eq!(problem["instance"], format!("urn:markback:request:{id}"));
            id
        }
    };
    assert_eq!(ask(Some("from-the-proxy.7")).await, "from-the-proxy.7");
    let made = ask(None).await;
    assert_ne!(made, ask(None).await);
    assert_ne!(ask(Some("no \"id\" at all")).await, "no \"id\" at all");
}

#[tokio::test]
async fn a_body_beyond_the_limit_is_answered_with_413() {
    let world = limited("http = { body_max = 2048 }\n").await;
    let path = format!("/v1/schools/{}/events", world.school.id);
    let of = |length: usize| format!("[{}]", " ".repeat(length - 2));
    for (length, status) in [(2048, 422), (2049, 413)] {
        let request = world
            .http
            .post(format!("{}{path}", world.address))
            .bearer_auth(KEY);
        let (found, body) = answer(request.body(of(length))).await;
        assert_eq!(found, status, "{length}");
        assert!(
            status != 413 || body["detail"].as_str().unwrap().contains("2048"),
            "{body}"
        );
    }
}

#[tokio::test]
async fn one_request_too_many_is_told_to_come_again() {
    let world = limited("http = { requests = 1 }\n").await;
    let path = format!("/v1/schools/{}/events", world.school.id);
    let address = world.address.strip_prefix("http://").unwrap();
    let mut slow = TcpStream::connect(address).await.unwrap();
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\ncontent-length: 2\r\n\r\n["
    );
    slow.write_all(head.as_bytes()).await.unwrap();
    world
        .wait_until("the slot is taken", Duration::ZERO, async || {
            let url = format!("{}{path}", world.address);
            let response = world.http.get(url).bearer_auth(KEY).send().await.unwrap();
            response.status() == 503 && response.headers()["retry-after"] == "1"
        })
        .await;
    assert_eq!(world.get(&path).await.1["type"], "/problems/unavailable");
    assert_eq!(world.text("/healthz").await.0, 200, "probes need no slot");
    slow.write_all(b"]").await.unwrap();
    let mut status = [0; 12];
    slow.read_exact(&mut status).await.unwrap();
    assert_eq!(&status, b"HTTP/1.1 422");
    assert_eq!(world.get(&path).await.0, 200);
}

#[tokio::test]
async fn one_connection_too_many_is_told_to_come_again() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let router = Router::new().route("/", get(async || "here"));
    let mut limits = Http::default();
    limits.connections = 1;
    let stop = CancellationToken::new();
    tokio::spawn(markback_http::serve(listener, router, limits, stop.clone()));
    let client = || reqwest::Client::builder().no_proxy().build().unwrap();
    let first = client();
    assert_eq!(
        first.get(&url).send().await.unwrap().text().await.unwrap(),
        "here"
    );
    let second = client().get(&url).send().await.unwrap();
    assert_eq!(second.status(), 503);
    assert_eq!(second.headers()["retry-after"], "1");
    assert_eq!(
        second.json::<Value>().await.unwrap()["type"],
        "/problems/unavailable"
    );
    assert_eq!(
        first.get(&url).send().await.unwrap().status(),
        200,
        "the first stays"
    );
    drop(first);
    stop.cancel();
}

/// A body without an end, which tells when it is dropped.
fn endless(gone: tokio::sync::oneshot::Sender<()>) -> Body {
    Body::from_stream(futures::stream::unfold(gone, |gone| async move {
        let part = vec![b'x'; 64 * 1024];
        Some((Ok::<_, Infallible>(part), gone))
    }))
}

#[tokio::test]
async fn a_client_that_takes_nothing_of_its_answer_is_disconnected() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (gone, is_gone) = tokio::sync::oneshot::channel();
    let gone = Arc::new(Mutex::new(Some(gone)));
    let router = Router::new().route(
        "/",
        get(async move || endless(gone.lock().unwrap().take().unwrap())),
    );
    let mut limits = Http::default();
    limits.write_within = Duration::from_millis(100);
    let stop = CancellationToken::new();
    let serving = tokio::spawn(markback_http::serve(listener, router, limits, stop.clone()));
    let mut client = TcpStream::connect(address).await.unwrap();
    let request = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n";
    client.write_all(request).await.unwrap();
    // It is dropped, not sent to its end, which it has not.
    assert!(is_gone.await.is_err());
    stop.cancel();
    serving.await.unwrap();
    drop(client);
}

#[tokio::test]
async fn a_key_that_sends_too_much_is_told_to_come_again_and_slows_no_other() {
    let world = limited("http = { key_rate = 1, key_burst = 5 }\n").await;
    let new = NewKey {
        name: "busy".to_owned(),
        scopes: Scope::ALL.iter().copied().collect(),
        schools: None,
        expires_at: None,
    };
    let added = keys::add(world.markback.store(), &new, &Actor::default()).await;
    let key = added.unwrap().0;
    let url = format!("{}/v1/schools/{}/events", world.address, world.school.id);
    let (mut taken, mut refused) = (Vec::new(), None);
    for n in 0..100 {
        let event = world.sign_in(&format!("e{n}"), 0, "08:50");
        let request = world.http.post(&url).bearer_auth(key.expose_secret());
        let response = request.json(&event).send().await.unwrap();
        match response.status().as_u16() {
            202 => taken.push(format!("e{n}")),
            _ => {
                refused = Some(response);
                break;
            }
        }
    }
    let refused = refused.unwrap();
    assert!(taken.len() >= 5);
    assert_eq!(refused.status(), 429);
    assert_eq!(refused.headers()["retry-after"], "1");
    let told: Value = refused.json().await.unwrap();
    assert_eq!(told["type"], "/problems/too-many-requests");
    // The key of the settings is another; it finds what was taken in before.
    for event in taken.iter().rev().take(4) {
        let path = format!("/v1/schools/{}/events/{event}", world.school.id);
        assert_eq!(world.get(&path).await.0, 200);
    }
}

#[tokio::test]
async fn answers_are_compressed_for_those_who_take_it() {
    let world = ApiEnv::new().await;
    let plain = reqwest::Client::builder()
        .no_proxy()
        .no_gzip()
        .build()
        .unwrap();
    let url = format!("{}/openapi.json", world.address);
    let response = plain
        .get(&url)
        .header("accept-encoding", "gzip")
        .send()
        .await
        .unwrap();
    assert_eq!(response.headers()["content-encoding"], "gzip");
    let response = plain.get(&url).send().await.unwrap();
    assert!(response.headers().get("content-encoding").is_none());
}

#[tokio::test]
async fn pages_of_other_origins_may_call_only_if_the_settings_say_so() {
    let ask = async |extra, origin: &str| {
        let world = limited(extra).await;
        let url = format!("{}/v1/schools/{}/events", world.address, world.school.id);
        let request = world
            .http
            .request(Method::OPTIONS, url)
            .header("origin", origin);
        let request = request
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "authorization");
        let response = request.send().await.unwrap();
        let allowed = response.headers().get("access-control-allow-origin");
        allowed.map(|origin| origin.to_str().unwrap().to_owned())
    };
    let (here, elsewhere) = (
        "https://sign-in.example.org",
        "https://elsewhere.example.org",
    );
    let set = "http = { allow_origins = ['https://sign-in.example.org'] }\n";
    assert_eq!(ask("", here).await, None);
    assert_eq!(ask(set, here).await.as_deref(), Some(here));
    assert_eq!(ask(set, elsewhere).await, None);
}

#[tokio::test]
async fn a_pointer_leads_to_the_value_in_the_body() {
    let mut world = ApiEnv::new().await;
    world.run();
    world.known().await;
    let path = format!("/v1/schools/{}/events", world.school.id);
    let mut wrong = world.sign_in("e1", 1, "08:50");
    wrong["answers"] = json!({"A/B ~ Mr. X": "yes"});
    let good = world.sign_in("e0", 0, "08:50");
    for body in [
        wrong.clone(),
        json!([good, wrong]),
        json!({"events": [good, wrong]}),
    ] {
        let (status, answer) = world.post(&path, &body).await;
        assert_eq!(status, 422);
        let pointer = answer["problems"][0]["pointer"].as_str().unwrap();
        assert_eq!(body.pointer(pointer), Some(&json!("yes")), "{answer}");
    }
}
