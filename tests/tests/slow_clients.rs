//! Clients that send incomplete requests or none do not hold connections open, and do not delay the shutdown.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failed assertion may panic"
)]

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::TcpStream,
    time::{Duration, Instant},
};

use markback_tests::{Service, World};

const MARKBACK: &str = env!("CARGO_BIN_EXE_markback-under-test");

/// How long a test waits before it fails.
const PATIENCE: Duration = Duration::from_secs(120);

/// Opens a connection and sends a text.
fn say(service: &Service, words: &str) -> TcpStream {
    let mut stream = TcpStream::connect(service.listens_on()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(words.as_bytes()).unwrap();
    stream
}

/// The complete head of a request without its body.
fn without_body(service: &Service) -> String {
    format!(
        "POST {} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer the-key-of-the-tests\r\nContent-Length: 500\r\n\r\n[",
        service.events()
    )
}

/// Reads until the service closes the connection.
fn to_its_end(stream: &mut TcpStream) -> String {
    let mut heard = Vec::new();
    match stream.read_to_end(&mut heard) {
        // The service closed the connection with unread data.
        Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
        other => drop(other.unwrap()),
    }
    String::from_utf8(heard).unwrap()
}

/// Reads one response, up to the end of its JSON body.
fn one_answer(stream: &mut TcpStream) -> String {
    let (mut heard, mut piece) = (String::new(), [0; 1024]);
    while !heard.ends_with('}') {
        let read = stream.read(&mut piece).unwrap();
        assert!(read > 0, "closed after {heard:?}");
        heard += std::str::from_utf8(&piece[..read]).unwrap();
    }
    heard
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_without_a_complete_request_is_closed() {
    let world = World::new().await;
    world.set_service("http = { head_within = '1s', answer_within = '2s' }");
    let service = Service::start(MARKBACK, &world, "SIMS").await;
    let start = Instant::now();
    let mut breaking_off = [
        say(&service, ""),
        say(&service, "GET /healthz HT"),
        say(&service, "GET /healthz HTTP/1.1\r\nHost: x\r\nX-Slow: "),
    ];
    let mut half = say(&service, &without_body(&service));
    let mut silent = say(&service, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
    assert!(one_answer(&mut silent).starts_with("HTTP/1.1 200 OK"));
    // A client that sends slowly is disconnected as well.
    let mut dripping = say(&service, "GET /healthz HTTP/1.1\r\n");
    while dripping.write_all(b"X-A: b\r\n").is_ok() {
        assert!(
            start.elapsed() < PATIENCE,
            "slow sending keeps the connection open"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    for stream in &mut breaking_off {
        to_its_end(stream);
    }
    // This client sent one request and then nothing.
    assert_eq!(to_its_end(&mut silent), "");
    assert!(start.elapsed() >= Duration::from_secs(1));
    // A missing body gets an error response.
    let heard = to_its_end(&mut half);
    assert!(
        heard.starts_with("HTTP/1.1 504")
            && heard.contains("/problems/timed-out")
            && heard.contains("2s"),
        "{heard}"
    );
    assert_eq!(service.get("/healthz").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_connection_does_not_delay_the_shutdown() {
    let world = World::new().await;
    world.set_service("http.answer_within = '25s'");
    let service = Service::start(MARKBACK, &world, "SIMS").await;
    let mut idle = say(&service, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
    one_answer(&mut idle);
    let fresh = say(&service, "");
    // The service has accepted that connection once it responds on a later one.
    assert_eq!(service.get("/healthz").await.status, 200);
    let (code, took) = service.stop().await;
    assert_eq!(code, Some(0));
    assert!(took < Duration::from_secs(25), "{took:?}");
    assert_eq!(to_its_end(&mut idle), "");
    drop(fresh);
}

/// One request ends in its head, one in its body.
#[tokio::test(flavor = "multi_thread")]
async fn an_incomplete_request_does_not_delay_the_shutdown() {
    let world = World::new().await;
    world.set_service("http.answer_within = '2s'");
    let service = Service::start(MARKBACK, &world, "SIMS").await;
    let asked = [
        say(&service, "GET /healthz HT"),
        say(&service, &without_body(&service)),
    ];
    assert_eq!(service.get("/healthz").await.status, 200);
    let (code, took) = service.stop().await;
    assert_eq!(code, Some(0));
    assert!(took.as_secs() <= 30, "{took:?}");
    drop(asked);
}
