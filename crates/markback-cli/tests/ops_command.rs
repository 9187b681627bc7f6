//! `markback events` and `markback status`, on the store of a service that runs in the meantime.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test may stop at the first surprise"
)]

use std::process::Command;

use markback::service::EventState;
use markback_lab::harness::ApiEnv;
use outbox::on_tx;
use serde_json::{Value, json};
use wonde_sandbox::{Fault, FaultRule};

struct Said {
    code: i32,
    out: String,
    err: String,
}

async fn markback(world: &ApiEnv, args: &[&str]) -> Said {
    let mut command = Command::new(env!("CARGO_BIN_EXE_markback"));
    command
        .args(args)
        .env("MARKBACK_CONFIG", world.folder.path().join("markback.toml"))
        .env("USER", "operator")
        .env_remove("SUDO_USER");
    let output = tokio::task::spawn_blocking(move || command.output().unwrap());
    let output = output.await.unwrap();
    Said {
        code: output.status.code().unwrap(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

#[tokio::test]
async fn an_operator_finds_what_went_wrong_and_puts_it_right() {
    let mut world = ApiEnv::new().await;
    let fault = Fault::RejectWriteback {
        message: Some("Pupil is locked".to_owned()),
    };
    world
        .sandbox
        .add_fault(FaultRule::new(fault).times(3))
        .unwrap();
    world.take(vec![world.sign_in("e1", 0, "08:50")]).await;
    world.run();
    world.until("e1", EventState::Rejected).await;
    world.take(vec![world.sign_in("e2", 1, "09:05")]).await;
    world.until("e2", EventState::Confirmed).await;

    let said = markback(&world, &["events", "ls", "--state", "problem"]).await;
    assert_eq!(said.code, 0, "{}", said.err);
    assert!(
        said.out.contains("e1") && !said.out.contains("e2"),
        "{}",
        said.out
    );
    assert!(
        said.out.contains("rejected") && said.out.contains("1 event\n"),
        "{}",
        said.out
    );
    let said = markback(
        &world,
        &[
            "events",
            "ls",
            "--from",
            "2026-11-23",
            "--to",
            "2026-11-23",
            "--format",
            "json",
        ],
    )
    .await;
    let listed: Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(listed["events"].as_array().unwrap().len(), 2);
    let said = markback(&world, &["events", "ls", "--state", "lost"]).await;
    assert_eq!(said.code, 2);
    assert!(said.err.contains("there are: received"), "{}", said.err);

    let said = markback(&world, &["events", "show", "e1"]).await;
    for told in [
        "Pupil is locked",
        "to do:",
        "steps of the decision:",
        "1. ",
        "planned  code: /",
        "refused",
    ] {
        assert!(said.out.contains(told), "{told}: {}", said.out);
    }
    let said = markback(&world, &["events", "show", "e3"]).await;
    assert_eq!(said.code, 1);
    assert!(said.err.contains("was never received"), "{}", said.err);

    let said = markback(
        &world,
        &["events", "retry", "e1", "e2", "--note", "unlocked"],
    )
    .await;
    assert_eq!(said.code, 1);
    assert!(said.out.starts_with("e1: retried"), "{}", said.out);
    assert!(
        said.err.contains("e2: the MIS already has the mark"),
        "{}",
        said.err
    );
    // The command goes by the machine's clock, not the test's: the service takes the job up when that time has come.
    let e1 = world.event("e1").await;
    assert_eq!((e1.state, e1.round), (EventState::Received, 1));
    let retried = e1
        .history
        .iter()
        .find(|line| line.what == "retried")
        .unwrap();
    assert_eq!(
        (&retried.record["by"], &retried.record["via"]),
        (&json!("operator"), &json!("command line"))
    );
    world.rest().await;

    world.take(vec![world.sign_in("e4", 2, "08:50")]).await;
    let said = markback(&world, &["events", "discard", "e4", "--by", "Head"]).await;
    assert_eq!((said.code, said.out.trim()), (0, "e4: discarded"));
    assert_eq!(world.event("e4").await.state, EventState::Discarded);
}

#[tokio::test]
async fn a_decision_is_replayed_and_a_difference_is_told() {
    let mut world = ApiEnv::new().await;
    world.run();
    world.take(vec![world.sign_in("e1", 0, "08:50")]).await;
    world.until("e1", EventState::Confirmed).await;

    let said = markback(&world, &["events", "replay-decision", "e1"]).await;
    assert_eq!(said.code, 0, "{}{}", said.out, said.err);
    assert!(
        said.out.contains("first decision of 2026-")
            && said.out.contains(", by settings file ")
            && said.out.contains(": the same\n"),
        "{}",
        said.out
    );
    let json = ["events", "replay-decision", "e1", "--format", "json"];
    let said = markback(&world, &json).await;
    let replay: Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(
        (&replay["same"], &replay["event"]),
        (&json!(true), &json!("e1"))
    );
    let decision = &replay["decisions"][0];
    assert_eq!(decision["look"], "first");
    assert_eq!(decision["stored"], decision["replayed"]);
    let said = markback(&world, &["events", "show", "e1"]).await;
    assert!(said.out.contains("\n  settings: file "), "{}", said.out);

    // As if another version had decided it.
    let change =
        "UPDATE markback_events SET decision = replace(decision, 'in time', 'early enough')";
    let mut tx = world.markback.store().database().begin().await.unwrap();
    on_tx!(tx, conn => outbox::sqlx::query(change).execute(conn).await.map(|_| ())).unwrap();
    tx.commit().await.unwrap();
    let said = markback(&world, &["events", "replay-decision", "e1"]).await;
    assert_eq!(said.code, 1, "{}", said.out);
    for told in [
        "DIFFERENT",
        "early enough",
        "in time",
        "decided then:",
        "decided now:",
    ] {
        assert!(said.out.contains(told), "{told}: {}", said.out);
    }

    let said = markback(&world, &["events", "replay-decision", "e9"]).await;
    assert!(said.code != 0 && said.err.contains("event"), "{}", said.err);
}

#[tokio::test]
async fn a_draft_is_tried_on_past_events() {
    let mut world = ApiEnv::new().await;
    world.run();
    for (id, pupil, time) in [("e1", 0, "08:50"), ("e2", 1, "09:05"), ("e3", 2, "09:12")] {
        world.take(vec![world.sign_in(id, pupil, time)]).await;
        world.until(id, EventState::Confirmed).await;
    }
    let settings = std::fs::read_to_string(world.settings_path()).unwrap();
    let late = settings
        .lines()
        .find(|line| line.contains("late = \"09:00\""))
        .expect("the settings have a time from which pupils are late");
    let draft = settings.replace(late, &late.replace("09:00", "09:10"));
    let path = world.folder.path().join("draft.toml");
    std::fs::write(&path, draft).unwrap();
    let school = world.school.id.clone();
    let draft = path.to_str().unwrap();
    let args = ["settings", "try", "--school", &school, "--draft", draft];
    let said = markback(&world, &args).await;
    assert_eq!(said.code, 0, "{}{}", said.out, said.err);
    for told in [
        "3 of 3 events compared",
        "Monday 23 November: ",
        "1 L becomes /",
        "Mon 23 Nov  █",
        "e2, sign in of person",
        "active settings: write L in AM",
        "draft: write / in AM",
    ] {
        assert!(said.out.contains(told), "{told}: {}", said.out);
    }
    assert!(!said.out.contains("\u{1b}"), "{}", said.out);
    let json = [args.as_slice(), &["--format", "json"]].concat();
    let said = markback(&world, &json).await;
    let report: Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(
        (&report["events"], &report["compared"]),
        (&json!(3), &json!(3))
    );
    assert_eq!(report["differences"][0]["event"], "e2");
    assert_eq!(report["differences"][0]["change"]["to"], "/");
    assert_eq!(report["apart"], json!([]));

    // The table of the school alone, with a problem.
    std::fs::write(&path, "timezone = \"Europe/Lodon\"\n").unwrap();
    let said = markback(&world, &args).await;
    assert_eq!(said.code, 2, "{}", said.out);
    assert!(said.err.contains("Europe/London"), "{}", said.err);
}

#[tokio::test]
async fn the_status_tells_schools_queues_and_who_rests() {
    let world = ApiEnv::new().await;
    world.take(vec![world.sign_in("e1", 0, "08:50")]).await;
    let (outbox, store) = (world.markback.outbox(), world.markback.store());
    let mut tx = store.database().begin().await.unwrap();
    let until = outbox::PauseUntil::At("2999-01-01T00:00:00Z".parse().unwrap());
    outbox
        .pause(&mut tx, &world.school.id, until, "the MIS is away")
        .await
        .unwrap();
    tx.commit().await.unwrap();
    let told = json!({"payload_type": "schoolMigration", "school_id": world.school.id, "migrate_to": "Arbor"});
    world.hook(&told).await;

    let said = markback(&world, &["status"]).await;
    assert_eq!(said.code, 0, "{}", said.err);
    for told in [
        world.school.id.as_str(),
        "not known yet",
        "decide",
        "is paused until",
        "the MIS is away",
        "to Arbor",
    ] {
        assert!(said.out.contains(told), "{told}: {}", said.out);
    }
    let said = markback(&world, &["status", "--format", "json"]).await;
    let status: Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(status["schools"][0]["events"]["received"], 1);
    assert_eq!(status["pauses"][0]["reason"], "the MIS is away");
    assert_eq!(status["notices"][0]["kind"], "migration");
    assert_eq!(status["schools"][0]["paused"]["reason"], "the MIS is away");
}

#[tokio::test]
async fn the_status_tells_the_mis_that_was_found() {
    let mut world = ApiEnv::new().await;
    world.run();
    world.known().await;
    let said = markback(&world, &["status", "--format", "json"]).await;
    let status: Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(status["schools"][0]["mis_found"], "SIMS", "{}", said.out);

    let said = markback(&world, &["groups", "export"]).await;
    assert!(
        said.out.starts_with("school,") && !said.out.contains('\r'),
        "{}",
        said.err
    );
    let said = markback(&world, &["groups", "export", "--excel"]).await;
    assert!(
        said.out.starts_with("\u{feff}school,") && said.out.contains("\r\n"),
        "{}",
        said.err
    );

    // A person whom nobody knows is a mistake, one without events is none.
    let said = markback(&world, &["events", "ls", "--person", "A-nobody"]).await;
    assert_eq!(said.code, 2, "{}", said.out);
    assert!(said.err.contains("`A-nobody`"), "{}", said.err);
    let said = markback(&world, &["events", "ls", "--person", &world.pupils[0].id]).await;
    assert_eq!(said.code, 0, "{}", said.err);
}

#[tokio::test]
async fn a_command_that_looks_makes_no_store() {
    let world = ApiEnv::new().await;
    let toml = std::fs::read_to_string(world.folder.path().join("markback.toml")).unwrap();
    let toml = toml.replace("markback.db", "elsewhere.db");
    std::fs::write(world.folder.path().join("markback.toml"), toml).unwrap();
    let said = markback(&world, &["events", "ls"]).await;
    assert_eq!(said.code, 1, "{}", said.out);
    assert!(!world.folder.path().join("elsewhere.db").exists());
}
