//! Common mistakes: each is reported once, with the problem, its place, and what to do.

use crate::support::{markback, settings_file};
use markback_lab::harness::CommandOutput;
use rstest::rstest;

const SCHOOL: &str =
    "[[school]]\nid = 'A1'\ntimezone = 'Europe/London'\ntoken_env = 'WONDE_TOKEN'\n";

/// Runs a command with settings for one school and the service. `FOLDER` is replaced by an existing folder.
fn with(service: &str, args: &[&str]) -> CommandOutput {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("key"), "a key that nobody guesses").unwrap();
    std::fs::write(folder.path().join("short"), "k").unwrap();
    std::fs::write(folder.path().join("token"), "t").unwrap();
    std::fs::write(folder.path().join("empty.db"), "").unwrap();
    std::fs::write(
        folder.path().join("letter"),
        "Dear Sir or Madam".repeat(100),
    )
    .unwrap();
    let service = service.replace("FOLDER", folder.path().to_str().unwrap());
    let (_kept, path) = settings_file(&format!("{service}\n{SCHOOL}"));
    markback(args.iter().copied().chain(["--config", &path]))
}

/// Checks that exactly one line of standard error contains all these texts.
#[track_caller]
fn assert_told(said: &CommandOutput, code: i32, words: &[&str]) {
    assert_eq!(said.code, code, "{}", said.err);
    let lines: Vec<_> = said
        .err
        .lines()
        .filter(|line| words.iter().all(|word| line.contains(word)))
        .collect();
    assert_eq!(lines.len(), 1, "{words:?} in {}", said.err);
}

#[rstest]
#[case::no_folder("sqlite:/nonexistent/markback.db", &["/nonexistent/markback.db", "its folder exists"])]
#[case::a_folder("sqlite:FOLDER", &["check that"])]
#[case::another_file("sqlite:FOLDER/letter", &["/letter", "is not a database", "the right file"])]
#[case::no_server("postgres://nobody@127.0.0.1:1/none", &["postgres://nobody@127.0.0.1:1/none", "127.0.0.1:1 does not answer", "refused", "start the server"])]
fn a_database_that_cannot_be_opened_is_reported(#[case] store: &str, #[case] words: &[&str]) {
    let service = format!("listen = '127.0.0.1:0'\napi_key_file = 'FOLDER/key'\nstore = '{store}'");
    let said = with(&service, &["serve"]);
    assert_told(&said, 1, &[&["cannot be opened"], words].concat());
    assert_eq!(
        said.err.matches("opening the store").count(),
        1,
        "{}",
        said.err
    );
}

#[rstest]
#[case(&["status"])]
#[case(&["events", "ls"])]
#[case(&["events", "retry", "e1"])]
#[case(&["groups", "ls"])]
fn a_command_creates_no_tables(#[case] command: &[&str]) {
    let (folder, path) = settings_file(&format!("store = 'sqlite:empty.db'\n{SCHOOL}"));
    let database = folder.path().join("empty.db");
    std::fs::write(&database, "").unwrap();
    let said = markback(command.iter().copied().chain(["--config", &path]));
    assert_told(
        &said,
        1,
        &["empty.db", "it has none of Markback", "`markback serve`"],
    );
    assert_eq!(std::fs::read(&database).unwrap(), b"");
}

#[rstest]
#[case(&["status"])]
#[case(&["events", "ls"])]
#[case(&["groups", "ls"])]
fn a_missing_database_is_reported(#[case] command: &[&str]) {
    let said = with("store = 'sqlite:FOLDER/none.db'", command);
    assert_told(
        &said,
        1,
        &["there is no database", "/none.db", "`markback serve`"],
    );
}

#[test]
fn a_used_address_is_reported() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let service = format!(
        "listen = '{address}'\napi_key_file = 'FOLDER/key'\nstore = 'sqlite:FOLDER/markback.db'"
    );
    let said = with(&service, &["serve"]);
    assert_told(
        &said,
        1,
        &[&address.to_string(), "another program", "`listen`"],
    );
}

#[rstest]
#[case::a_name("listen = 'localhost:8350'", &["markback.toml:1", "localhost:8350", "127.0.0.1:8350"])]
#[case::no_port("listen = '127.0.0.1'", &["markback.toml:1", "with a port", "127.0.0.1:8350"])]
#[case::too_long("http.answer_within = '1m'", &["markback.toml:1", "too long", "25 seconds"])]
#[case::no_body("http.body_max = 0", &["markback.toml:1", "body_max", "1048576"])]
#[case::no_origin("http.allow_origins = ['*']", &["markback.toml:1", "allow_origins", "https://"])]
#[case::no_time("http = { head_within = '0s' }", &["markback.toml:1", "head_within", "75s"])]
fn an_invalid_setting_is_reported(#[case] setting: &str, #[case] words: &[&str]) {
    assert_told(&with(setting, &["serve"]), 2, words);
}

#[test]
fn a_missing_key_is_reported() {
    let service = "listen = '127.0.0.1:0'\nstore = 'sqlite:FOLDER/markback.db'\n";
    let said = with(&format!("{service}api_key_file = 'nowhere'"), &["serve"]);
    assert_told(
        &said,
        1,
        &["nowhere", "cannot be read", "check that it exists"],
    );
    let said = with(service, &["serve"]);
    assert_told(&said, 1, &["error: ", "no bearer key", "`api_key_env`"]);
}

#[test]
fn a_short_key_is_reported() {
    let service = "listen = '127.0.0.1:0'\nstore = 'sqlite:FOLDER/markback.db'\n";
    let said = with(
        &format!("{service}api_key_file = 'FOLDER/short'"),
        &["serve"],
    );
    assert_told(
        &said,
        1,
        &["error: ", "/short", "fewer than 8", "a longer secret"],
    );
}

#[test]
fn check_warns_of_missing_secrets() {
    let said = with(
        "store = 'sqlite:FOLDER/markback.db'\napi_key_file = 'FOLDER/short'\nwebhook_secret_env = 'MARKBACK_TEST_NOWHERE'",
        &["check"],
    );
    assert_eq!(said.code, 0, "{}", said.err);
    for words in [
        &["hint", "api_key", "fewer than 8"],
        &["hint", "webhook_secret", "MARKBACK_TEST_NOWHERE is not set"],
        &["hint", "token", "WONDE_TOKEN is not set"],
    ] {
        let told = |line: &str| words.iter().all(|word| line.contains(word));
        assert!(said.out.lines().any(told), "{words:?} in {}", said.out);
    }
}

#[rstest]
#[case("sqlite:")]
#[case("sqlite://")]
fn a_database_without_a_file_name_is_reported(#[case] store: &str) {
    let said = with(&format!("store = '{store}'"), &["check"]);
    assert_eq!(said.code, 2, "{}", said.out);
    assert!(said.out.contains("no file is named"), "{}", said.out);
}

/// The program runs in the folder of the examples; the settings are elsewhere.
#[test]
fn a_relative_database_path_starts_at_the_settings_file() {
    let (folder, path) = settings_file(&format!("store = 'sqlite:here.db'\n{SCHOOL}"));
    let said = markback(["status", "--config", &path]);
    let whole = folder.path().join("here.db");
    assert_told(&said, 1, &["there is no database", whole.to_str().unwrap()]);
}

#[test]
fn missing_settings_are_reported() {
    let said = markback(["status"]);
    assert_told(&said, 2, &["--config", "MARKBACK_CONFIG"]);
}

#[test]
fn a_reversed_range_of_days_is_reported() {
    let said = with(
        "store = 'sqlite:FOLDER/none.db'",
        &["events", "ls", "--from", "2026-11-23", "--to", "2026-11-20"],
    );
    assert_told(&said, 2, &["--to 2026-11-20 is before --from 2026-11-23"]);
}

#[test]
fn an_event_id_needs_a_school_if_there_are_several() {
    let (_kept, path) = settings_file(&format!("{SCHOOL}{}", SCHOOL.replace("A1", "A2")));
    let said = markback(["events", "show", "e1", "--config", &path]);
    assert_told(&said, 2, &["--school", "A1, A2"]);
}

#[test]
fn excel_requires_csv() {
    let said = with("", &["groups", "export", "--excel", "--format", "json"]);
    assert_told(&said, 2, &["--excel", "--format csv"]);
}

#[rstest]
#[case::date(&["events", "ls", "--from", "23/11/2026"], &["23/11/2026", "2026-11-23"])]
#[case::school(&["sync", "--school", "A9"], &["A9", "--school"])]
#[case::log(&["replay", "nosuch.jsonl"], &["nosuch.jsonl", "name another"])]
#[case::event(&["explain", "--school", "A1", "--group", "G", "nosuch.json"], &["A1", "no group"])]
fn missing_arguments_are_reported(#[case] args: &[&str], #[case] words: &[&str]) {
    assert_told(&with("store = 'sqlite:FOLDER/none.db'", args), 2, words);
}
