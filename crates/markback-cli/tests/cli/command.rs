//! `markback events` and `markback status`, on the database of a running service.

use crate::support::markback_on as markback;
use markback::service::EventState;
use markback_lab::harness::{ApiEnv, Setup};
use outbox::on_tx;
use serde_json::{Value, json};
use wonde_sandbox::{Fault, FaultRule};

#[tokio::test]
async fn an_operator_finds_a_rejected_event_and_retries_it() {
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
    // The command uses the system's clock, not the test's: the service claims the job at that time.
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
async fn an_operator_releases_and_drops_held_marks() {
    let mut world = ApiEnv::with(Setup {
        writeback: "hold = { codes = ['L', 'U'] }\n",
        ..Setup::default()
    })
    .await;
    world.run();
    world.known().await;
    let late = [(0, "09:05"), (1, "09:06"), (2, "09:25"), (3, "09:26")];
    let events = late.map(|(n, at)| world.sign_in(&format!("e{n}"), n, at));
    world.take(events.into()).await;
    for n in 0..4 {
        world.until(&format!("e{n}"), EventState::Held).await;
    }
    world.rest().await;
    let said = markback(&world, &["events", "ls", "--state", "held"]).await;
    assert!(said.out.contains("4 events"), "{}", said.out);
    let said = markback(&world, &["status", "--format", "json"]).await;
    let status: Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(status["schools"][0]["events"]["held"], 4);
    assert_eq!(status["schools"][0]["last_error"], Value::Null);

    let said = markback(&world, &["events", "release"]).await;
    assert_eq!(said.code, 2, "{}", said.out);
    let said = markback(&world, &["events", "release", "e0", "e9"]).await;
    assert_eq!(said.code, 1);
    assert!(said.out.starts_with("e0: released"), "{}", said.out);
    assert!(said.err.contains("e9: "), "{}", said.err);
    assert_eq!(world.event("e0").await.state, EventState::Planned);

    let all = [
        "events",
        "drop",
        "--all-held",
        "--code",
        "u",
        "--note",
        "sports day",
    ];
    let said = markback(&world, &all).await;
    assert_eq!(
        (said.code, said.out.lines().count()),
        (0, 2),
        "{}",
        said.out
    );
    for (id, state) in [
        ("e1", EventState::Held),
        ("e2", EventState::Discarded),
        ("e3", EventState::Discarded),
    ] {
        assert_eq!(world.event(id).await.state, state, "{id}");
    }
    let dropped = world.event("e2").await;
    assert_eq!(
        dropped.outcome.unwrap(),
        "dropped by an operator: sports day"
    );
    let said = markback(&world, &["events", "release", "--all-held"]).await;
    assert_eq!(
        (said.code, said.out.lines().count()),
        (0, 1),
        "{}",
        said.out
    );
    let said = markback(&world, &["events", "release", "--all-held"]).await;
    assert_eq!((said.code, said.out.trim()), (0, "no such mark is held"));
}

#[tokio::test]
async fn a_decision_is_replayed_and_a_difference_is_reported() {
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
        ", Monday 23 November 2026, draft file ",
        "3 of 3 events compared, 2 marks of 2 people differ",
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
async fn the_status_shows_schools_queues_and_pauses() {
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
async fn the_status_shows_the_schools_mis() {
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

    // An unknown person is an error; a person without events is not.
    let said = markback(&world, &["events", "ls", "--person", "A-nobody"]).await;
    assert_eq!(said.code, 2, "{}", said.out);
    assert!(said.err.contains("`A-nobody`"), "{}", said.err);
    let said = markback(&world, &["events", "ls", "--person", &world.pupils[0].id]).await;
    assert_eq!(said.code, 0, "{}", said.err);
}

#[tokio::test]
async fn a_read_only_command_creates_no_database() {
    let world = ApiEnv::new().await;
    let toml = std::fs::read_to_string(world.folder.path().join("markback.toml")).unwrap();
    let toml = toml.replace("markback.db", "elsewhere.db");
    std::fs::write(world.folder.path().join("markback.toml"), toml).unwrap();
    let said = markback(&world, &["events", "ls"]).await;
    assert_eq!(said.code, 1, "{}", said.out);
    assert!(!world.folder.path().join("elsewhere.db").exists());
}

#[tokio::test]
async fn an_event_that_was_wrong_is_corrected() {
    let mut world = ApiEnv::new().await;
    world.take(vec![world.sign_in("e1", 0, "09:15")]).await;
    world.run();
    world.until("e1", EventState::Confirmed).await;
    let file = tempfile::NamedTempFile::new().unwrap();
    let name = file.path().to_str().unwrap();
    let correct = ["events", "correct", "e1", "--reason", "a wrong clock"];
    let with = [&correct[..], &["--replacement", name]].concat();

    std::fs::write(&file, "{").unwrap();
    let said = markback(&world, &with).await;
    assert_eq!(said.code, 2);
    assert!(said.err.contains("is not JSON"), "{}", said.err);
    let mut right = world.sign_in("e1b", 0, "08:50");
    let at = std::mem::replace(&mut right["at"], json!("soon"));
    std::fs::write(&file, right.to_string()).unwrap();
    let said = markback(&world, &with).await;
    assert_eq!(said.code, 1);
    assert!(said.err.contains("replacement.at"), "{}", said.err);

    right["at"] = at;
    std::fs::write(&file, right.to_string()).unwrap();
    let said = markback(&world, &with).await;
    assert_eq!(said.code, 0, "{}", said.err);
    assert!(
        said.out.contains("e1b: received; it replaces e1"),
        "{}",
        said.out
    );
    let said = markback(&world, &["events", "show", "e1"]).await;
    assert!(
        said.out
            .contains("withdrawn: a wrong clock; e1b replaces it"),
        "{}",
        said.out
    );
    let said = markback(&world, &["events", "show", "e1b"]).await;
    assert!(said.out.contains("replaces: e1"), "{}", said.out);
    let said = markback(&world, &correct).await;
    assert_eq!(said.code, 1);
    assert!(said.err.contains("corrected before"), "{}", said.err);
}
