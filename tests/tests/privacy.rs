//! Names, comments, tokens and keys are in no log line, metric or error, at any log level and after any fault.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failed assertion may panic"
)]

use markback_tests::{Service, World, run, sign_in};
use reqwest::Method;
use serde_json::{Value, json};
use wonde_sandbox::{Change, Fault, FaultRule, RetryAfter};

const MARKBACK: &str = env!("CARGO_BIN_EXE_markback-under-test");

/// A forename, a surname, a comment and an invalid answer that occur nowhere else.
const NAMES: [&str; 2] = ["Zephyrine", "Quackenbush"];
const COMMENT: &str = "The unicorn would not start";
const WRONG: &str = "My wyvern ate the timetable";
const WORDS_OF_THE_MIS: &str = "Zephyrine may not be marked by a basilisk";

const GROUPS: &str = r#"
[[school.group]]
name = "Pupils"
kind = "students"

[[school.group.field]]
name = "Why?"
on = "sign_in"
options = ["The unicorn would not start"]

[school.group.writeback]
present = true
closes = "15:30"
am = { late = "09:00", unauthorised = "09:20" }
comment = { sign_in = "Why?" }
"#;

#[tokio::test(flavor = "multi_thread")]
async fn logs_metrics_and_responses_contain_no_personal_data_or_secret() {
    let world = World::with_groups(GROUPS).await;
    let school = world.school_with("SIMS");
    let pupils = world.pupils(&school);
    for pupil in &pupils {
        let [forename, surname] = NAMES.map(|name| Some(name.to_owned()));
        let change = Change::Rename {
            student: pupil.id.clone(),
            forename,
            surname,
        };
        world.sandbox.change(&school.id, &change).unwrap();
    }
    let faults = [
        Fault::Status {
            status: 500,
            retry_after: RetryAfter::None,
        },
        Fault::CutAfter,
        Fault::InvalidJson,
        Fault::RejectWriteback {
            message: Some(WORDS_OF_THE_MIS.to_owned()),
        },
    ];
    for fault in faults {
        let rule = FaultRule::new(fault)
            .on("attendance/session")
            .method("POST")
            .times(1);
        world.sandbox.add_fault(rule).unwrap();
    }
    let unreadable = FaultRule::new(Fault::InvalidJson).on("students").times(1);
    world.sandbox.add_fault(unreadable).unwrap();

    world.set_service("seal_key_file = 'seal'");
    let seal_key = "c2VhbCBvZiB0aGUgdGVzdHMsIDMyIGJ5dGVzIGxvbmc=";
    std::fs::write(world.path("seal"), seal_key).unwrap();
    let service = Service::start(MARKBACK, &world, "SIMS").await;
    let mut told = String::new();
    told += &sealed_token(&world).await;
    for (n, pupil) in pupils.iter().enumerate().take(8) {
        let mut event = sign_in(&format!("e{n}"), pupil, "09:07:12");
        event["answers"] = json!({"Why?": COMMENT});
        assert_eq!(service.post(event.to_string()).await.status, 202);
        // Each event is in its own register, so that each hits a different fault.
        let under_way = |event: &Value| {
            let open = ["received", "planned"]
                .map(Value::from)
                .contains(&event["state"]);
            !open || event["waiting"].is_string()
        };
        service.wait_for(&format!("e{n}"), under_way).await;
    }
    for n in 0..8 {
        let settled = |event: &Value| event["settled_at"].is_string();
        service.wait_for(&format!("e{n}"), settled).await;
    }
    let mut wrong = sign_in("bad", &pupils[0], "09:07:12");
    wrong["answers"] = json!({"Why?": WRONG});
    let refused = service.post(wrong.to_string()).await;
    assert_eq!(refused.status, 422);
    told += &refused.text;
    wrong["answers"] = json!(WRONG);
    told += &service.post(wrong.to_string()).await.text;
    told += &service.post(format!("{{\"answers\": \"{WRONG}")).await.text;
    told += &service
        .ask(
            Method::POST,
            &service.events(),
            Some("a-wrong-key-that-is-secret-too"),
            None,
        )
        .await
        .text;
    let metrics = service.get("/metrics").await;
    assert!(
        metrics.text.contains("markback_events_total"),
        "{metrics:?}"
    );
    told += &metrics.text;
    told += &service.get("/readyz").await.text;
    let (code, _) = service.stop().await;
    assert_eq!(code, Some(0));

    let log = std::fs::read_to_string(world.path("log")).unwrap();
    assert!(
        log.contains("/v1/schools/{school}/events"),
        "the log tells of requests"
    );
    let token = world.sandbox.token();
    // A response may contain the options of a field, because they are settings.
    let told = told.replace(COMMENT, "");
    let secrets = [
        SEALED_TOKEN,
        seal_key,
        COMMENT,
        WRONG,
        NAMES[0],
        NAMES[1],
        "basilisk",
        &token,
        "the-key-of-the-tests",
        "a-wrong-key-that",
    ];
    for secret in secrets {
        for (place, text) in [("the log", &log), ("an answer", &told)] {
            let line = text.lines().find(|line| line.contains(secret));
            assert!(line.is_none(), "{place} tells {secret:?}: {line:?}");
        }
    }
}

/// A token that occurs nowhere else.
const SEALED_TOKEN: &str = "griffin-token-5c1f";

/// Keeps a token for a school of the database, and returns what the commands about it say. The service follows, and
/// asks Wonde with the token, which does not know it.
async fn sealed_token(world: &World) -> String {
    let settings = world.settings_path();
    let settings = settings.to_str().unwrap();
    let school = "timezone = 'Europe/London'\n[[group]]\nname = 'All'\nkind = 'students'\n";
    let mut told = String::new();
    let commands: [(&[&str], &str); 9] = [
        (&["schools", "add", "G1", "-"], school),
        (&["token", "set", "--school", "G1"], SEALED_TOKEN),
        (
            &["token", "set", "--school", "G1"],
            "griffin-token-5c1f and more",
        ),
        (&["token", "ls"], ""),
        (&["token", "reseal"], ""),
        (&["settings", "history", "--school", "G1"], ""),
        (&["schools", "export"], ""),
        (&["check"], ""),
        (&["doctor", "--school", "G1"], ""),
    ];
    for (command, input) in commands {
        let args: Vec<_> = command
            .iter()
            .copied()
            .chain(["--config", settings])
            .collect();
        let said = run(MARKBACK, &args, input).await;
        told += &format!("{}{}\n", said.out, said.err);
    }
    assert!(
        told.contains("the token is kept") && told.contains("The token is not in this file"),
        "{told}"
    );
    told
}
