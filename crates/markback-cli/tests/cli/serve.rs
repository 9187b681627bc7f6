//! The output of `markback serve` at its start, and the files that it creates.

#![cfg(unix)]
use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    os::unix::fs::PermissionsExt as _,
    process::{Child, Command, Stdio},
};

use crate::support::settings_file;

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

/// Sends a request with the key of the settings and returns the response.
fn ask(host: &str, what: &str, body: &str) -> String {
    ask_with(host, what, body, "a key that nobody guesses")
}

fn ask_with(host: &str, what: &str, body: &str, key: &str) -> String {
    let mut stream = std::net::TcpStream::connect(host).unwrap();
    let length = body.len();
    write!(
        stream,
        "{what} HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {key}\r\n\
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

fn address_of(service: &mut Service) -> String {
    let mut line = String::new();
    let mut out = BufReader::new(service.0.stdout.take().unwrap());
    out.read_line(&mut line).unwrap();
    let address = line.trim().strip_prefix("markback listens on http://");
    if address.is_none() {
        let mut log = String::new();
        let mut err = service.0.stderr.take().unwrap();
        err.read_to_string(&mut log).unwrap();
        line += &log;
    }
    let address = line.trim().strip_prefix("markback listens on http://");
    address
        .unwrap_or_else(|| panic!("it does not listen: {line}"))
        .to_owned()
}

/// Sends SIGHUP, and waits until `/readyz` says this of the settings.
fn hang_up(service: &Service, host: &str, until: &str) -> String {
    let sent = Command::new("kill")
        .args(["-HUP", &service.0.id().to_string()])
        .status()
        .unwrap();
    assert!(sent.success());
    let began = std::time::Instant::now();
    loop {
        let answer = ask(host, "GET /readyz", "");
        if answer.contains(until) || began.elapsed() > std::time::Duration::from_secs(60) {
            return answer;
        }
        std::thread::yield_now();
    }
}

#[test]
fn a_settings_file_is_read_again_whole_or_not_at_all_and_a_broken_one_starts_with_the_last_good_one()
 {
    let (folder, path) = settings_file(SETTINGS);
    std::fs::write(folder.path().join("key"), "a key that nobody guesses").unwrap();
    let mut service = serve(&path);
    let host = address_of(&mut service);
    let answer = ask(&host, "GET /readyz", "");
    assert!(
        answer.contains("\"settings\":\"in force\"") && answer.contains("\"schools\":2"),
        "{answer}"
    );

    let one_more = format!(
        "{SETTINGS}[[school]]\nid = 'A3'\ntimezone = 'Europe/London'\ntoken_env = 'MARKBACK_TEST_NO_TOKEN'\n"
    );
    std::fs::write(&path, &one_more).unwrap();
    let answer = hang_up(&service, &host, "\"schools\":3");
    assert!(answer.contains("\"schools\":3"), "{answer}");

    // A mistake in one school, and another that would be new: nothing of it is taken.
    let broken = one_more
        .replace("id = 'A3'", "id = 'A3'\n[[school]]\nid = 'A4'")
        .replacen("token_env", "tokn_env", 1)
        .replace(
            "listen = '127.0.0.1:0'",
            "listen = '127.0.0.1:0'\nrate_per_minute = 60",
        );
    std::fs::write(&path, &broken).unwrap();
    let answer = hang_up(&service, &host, "earlier settings rule");
    assert!(
        answer.contains("earlier settings rule") && answer.contains("\"schools\":3"),
        "{answer}"
    );
    let metrics = ask(&host, "GET /metrics", "");
    assert!(
        metrics.contains("markback_settings_file_refused 1"),
        "{metrics}"
    );
    service.0.kill().unwrap();
    service.0.wait().unwrap();
    let mut log = String::new();
    service
        .0
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut log)
        .unwrap();
    assert!(
        log.contains("school[0].tokn_env") && log.contains("go on ruling"),
        "{log}"
    );

    let mut again = serve(&path);
    let host = address_of(&mut again);
    let answer = ask(&host, "GET /readyz", "");
    assert!(
        answer.contains("earlier settings rule") && answer.contains("\"schools\":3"),
        "{answer}"
    );
    std::fs::write(&path, SETTINGS).unwrap();
    let answer = hang_up(&again, &host, "in force");
    assert!(
        answer.contains("in force") && answer.contains("\"schools\":2"),
        "{answer}"
    );

    // Without a database that has seen a good one, a broken file does not start.
    let (folder, path) = settings_file(&broken);
    std::fs::write(folder.path().join("key"), "a key that nobody guesses").unwrap();
    let mut never = serve(&path);
    assert_eq!(never.0.wait().unwrap().code(), Some(2));
}

#[test]
fn the_key_of_the_settings_can_be_left_out_once_there_is_another() {
    let (folder, path) = settings_file(SETTINGS);
    std::fs::write(folder.path().join("key"), "a key that nobody guesses").unwrap();
    let mut first = serve(&path);
    address_of(&mut first);
    drop(first);
    let without = SETTINGS.replace("api_key_file = 'key'\n", "");
    std::fs::write(&path, without).unwrap();
    // Nobody could use the service.
    let mut refused = serve(&path);
    assert_eq!(refused.0.wait().unwrap().code(), Some(1));

    let add = ["keys", "add", "--config", &path, "--name", "host"];
    let made = crate::support::markback(add.into_iter().chain(["--scope", "admin"]));
    assert_eq!(made.code, 0, "{}", made.err);
    let mut second = serve(&path);
    let host = &address_of(&mut second);
    let answer = ask_with(host, "GET /v1/schools/A1/events", "", made.out.trim());
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let answer = ask(host, "GET /v1/schools/A1/events", "");
    assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
}
