//! Clients that never ask to the end, or ask nothing at all, keep neither a connection nor the program's end waiting.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test may stop at the first surprise"
)]

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::TcpStream,
    time::{Duration, Instant},
};

use markback_tests::{Service, World};

const MARKBACK: &str = env!("CARGO_BIN_EXE_markback-under-test");

/// How long something that must come is waited for; nobody waits for it when all is well.
const PATIENCE: Duration = Duration::from_secs(120);

/// A connection on which this was said.
fn say(service: &Service, words: &str) -> TcpStream {
    let mut stream = TcpStream::connect(service.listens_on()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(words.as_bytes()).unwrap();
    stream
}

/// A whole head of a question whose body does not come.
fn without_body(service: &Service) -> String {
    format!(
        "POST {} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer the-key-of-the-tests\r\nContent-Length: 500\r\n\r\n[",
        service.events()
    )
}

/// All that is answered until the other side closes the connection.
fn to_its_end(stream: &mut TcpStream) -> String {
    let mut heard = Vec::new();
    match stream.read_to_end(&mut heard) {
        // Closed with something unread.
        Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
        other => drop(other.unwrap()),
    }
    String::from_utf8(heard).unwrap()
}

/// One answer, of which the body is known by its length.
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
async fn a_connection_on_which_no_whole_question_comes_is_closed_in_time() {
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
    // One that drips is no better off than those.
    let mut dripping = say(&service, "GET /healthz HTTP/1.1\r\n");
    while dripping.write_all(b"X-A: b\r\n").is_ok() {
        assert!(start.elapsed() < PATIENCE, "a drip keeps it open");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    for stream in &mut breaking_off {
        to_its_end(stream);
    }
    // Asked once, and silent from then on.
    assert_eq!(to_its_end(&mut silent), "");
    assert!(start.elapsed() >= Duration::from_secs(1));
    // A body that does not come is answered for.
    let heard = to_its_end(&mut half);
    assert!(
        heard.starts_with("HTTP/1.1 504") && heard.contains("timed_out") && heard.contains("2s"),
        "{heard}"
    );
    assert_eq!(service.get("/healthz").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_connection_does_not_hold_up_the_end() {
    let world = World::new().await;
    world.set_service("http.answer_within = '25s'");
    let service = Service::start(MARKBACK, &world, "SIMS").await;
    let mut idle = say(&service, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
    one_answer(&mut idle);
    let fresh = say(&service, "");
    // The service has taken that one up when it has answered a later one.
    assert_eq!(service.get("/healthz").await.status, 200);
    let (code, took) = service.stop().await;
    assert_eq!(code, Some(0));
    assert!(took < Duration::from_secs(25), "{took:?}");
    assert_eq!(to_its_end(&mut idle), "");
    drop(fresh);
}

/// One breaks off in its head, one in its body.
#[tokio::test(flavor = "multi_thread")]
async fn half_a_question_does_not_hold_up_the_end() {
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
