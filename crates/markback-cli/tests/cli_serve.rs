//! The output of `markback serve` at its start, and the files that it creates.

#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failed assertion may panic"
)]

mod cli_support;

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    os::unix::fs::PermissionsExt as _,
    process::{Child, Command, Stdio},
};

use cli_support::settings_file;

const SETTINGS: &str = "listen = '127.0.0.1:0'
api_key_file = 'key'
store = 'sqlite:markback.db'
wonde_url = 'http://127.0.0.1:9/v1.0'
[[school]]
id = 'A1'
timezone = 'Europe/London'
token_env = 'MARKBACK_TEST_NO_TOKEN'
[[school]]
id = 'A2'
timezone = 'Europe/London'
token_env = 'MARKBACK_TEST_NO_TOKEN'
";

/// Kills the service at the end of a test.
struct Service(Child);

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn serve(path: &str) -> Service {
    let child = Command::new(env!("CARGO_BIN_EXE_markback"))
        .args(["serve", "--config", path])
        .env_remove("RUST_LOG")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    Service(child.unwrap())
}

/// Sends a request with the key and returns the response.
fn ask(host: &str, what: &str, body: &str) -> String {
    let mut stream = std::net::TcpStream::connect(host).unwrap();
    let length = body.len();
    write!(
        stream,
        "{what} HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer a key that nobody guesses\r\n\
         content-length: {length}\r\nconnection: close\r\n\r\n{body}"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn a_second_service_on_the_same_database_is_rejected() {
    let (folder, path) = settings_file(SETTINGS);
    std::fs::write(folder.path().join("key"), "a key that nobody guesses").unwrap();
    let mut first = serve(&path);
    let mut line = String::new();
    let mut out = BufReader::new(first.0.stdout.take().unwrap());
    out.read_line(&mut line).unwrap();
    let address = line.trim().strip_prefix("markback listens on ").unwrap();

    let rights = std::fs::metadata(folder.path().join("markback.db")).unwrap();
    assert_eq!(rights.permissions().mode() & 0o777, 0o600);

    let second = serve(&path);
    let mut said = String::new();
    let mut second = second;
    second
        .0
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut said)
        .unwrap();
    assert!(!second.0.wait().unwrap().success());
    for word in [
        "another service",
        "markback.db",
        address,
        &first.0.id().to_string(),
    ] {
        assert!(said.contains(word), "{word}: {said}");
    }

    let host = address.strip_prefix("http://").unwrap();
    ask(host, "GET /healthz", "");
    let answer = ask(host, "POST /v1/schools/A1/events", "{\"id\" \"SECRET\"}");
    assert!(answer.contains("a colon is missing"), "{answer}");
    ask(host, "POST /v1/schools/SECRET/events", "[]");

    // A killed service leaves no lock behind.
    first.0.kill().unwrap();
    first.0.wait().unwrap();
    let mut log = String::new();
    first
        .0
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut log)
        .unwrap();
    let database = folder.path().join("markback.db");
    for words in [
        ["ERROR", "MARKBACK_TEST_NO_TOKEN is not set", "2"],
        ["INFO", database.to_str().unwrap(), "the database is open"],
        ["refused", "\"school\":\"A1\"", "InvalidJson"],
        ["refused", "\"school\":\"none\"", "UnknownSchool"],
    ] {
        let told = |line: &str| words.iter().all(|word| line.contains(word));
        assert!(log.lines().any(told), "{words:?} in {log}");
    }
    assert!(!log.contains("SECRET") && !log.contains("healthz"), "{log}");
    let mut third = serve(&path);
    let mut line = String::new();
    let mut out = BufReader::new(third.0.stdout.take().unwrap());
    out.read_line(&mut line).unwrap();
    assert!(line.contains("listens on"), "{line}");
}
