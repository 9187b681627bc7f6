//! `markback schools` and `markback settings`, on the store of a service that runs in the meantime.

use std::{io::Write as _, path::Path, process::Command};

use markback::service::EventState;
use markback_lab::harness::ApiEnv;
use serde_json::Value;

struct Said {
    code: i32,
    out: String,
    err: String,
}

impl Said {
    fn json(&self) -> Value {
        serde_json::from_str(&self.out)
            .unwrap_or_else(|error| panic!("{error}: {}{}", self.out, self.err))
    }
}

async fn markback(world: &ApiEnv, args: &[&str]) -> Said {
    markback_with_input(world, args, "").await
}

async fn markback_with_input(world: &ApiEnv, args: &[&str], input: &str) -> Said {
    let mut command = Command::new(env!("CARGO_BIN_EXE_markback"));
    command
        .args(args)
        .env("MARKBACK_CONFIG", world.folder.path().join("markback.toml"))
        .env("USER", "operator")
        .env_remove("SUDO_USER")
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped());
    let input = input.to_owned();
    let output = tokio::task::spawn_blocking(move || {
        let mut child = command.spawn().unwrap();
        // A program that does not read it may have gone.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        child.wait_with_output().unwrap()
    });
    let output = output.await.unwrap();
    Said {
        code: output.status.code().unwrap(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

fn write(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

const SCHOOL: &str = "timezone = 'Europe/London'\ntoken_file = 'token'\n";

#[tokio::test]
async fn a_school_lives_in_the_store_from_its_first_version_to_its_removal() {
    let world = ApiEnv::new().await;
    let folder = world.folder.path();
    let file = write(folder, "s1.toml", SCHOOL);
    let said = markback(&world, &["schools", "add", "S1", &file, "--note", "new"]).await;
    assert_eq!(
        (said.code, &*said.out),
        (0, "school S1: it rules as version 1\n"),
        "{}",
        said.err
    );
    assert_eq!(
        world.markback.refresh_settings().await.unwrap(),
        ["S1".into()]
    );

    let moved = write(
        folder,
        "moved.toml",
        &format!("# as agreed\n{SCHOOL}mis = 'Arbor'\n"),
    );
    let draft = [
        "settings", "draft", "--school", "S1", &moved, "--base", "1", "--by", "Ann",
    ];
    assert_eq!(
        markback(&world, &draft).await.out,
        "school S1: a draft as version 2\n"
    );
    let again = markback(&world, &draft).await;
    assert_eq!(again.code, 1);
    for told in [
        "version 2 was written by Ann at 20",
        "somebody else wrote version 2",
    ] {
        assert!(again.err.contains(told), "{told}: {}", again.err);
    }
    let said = markback(&world, &["settings", "diff", "--school", "S1"]).await;
    assert!(said.out.contains("+mis = 'Arbor'"), "{}", said.out);
    let said = markback(
        &world,
        &["settings", "activate", "--school", "S1", "--version", "2"],
    )
    .await;
    assert_eq!(said.code, 0, "{}", said.err);
    world.markback.refresh_settings().await.unwrap();
    let ruling = world.markback.school(&"S1".into()).unwrap();
    assert_eq!(
        (ruling.mis.as_deref(), &*ruling.version.to_string()),
        (Some("Arbor"), "store 2")
    );

    let said = markback(
        &world,
        &["settings", "undo", "--school", "S1", "--note", "later"],
    )
    .await;
    assert_eq!(
        said.out, "school S1: it rules as version 3\n",
        "{}",
        said.err
    );
    let history = markback(
        &world,
        &["settings", "history", "--school", "S1", "--format", "json"],
    )
    .await;
    let versions = history.json()["versions"].clone();
    assert_eq!(versions[0]["note"], "as version 1: later");
    assert_eq!(
        (&versions[0]["rules"], &versions[1]["rules"]),
        (&true.into(), &false.into())
    );
    assert_eq!(
        (&versions[1]["by"], &versions[2]["by"]),
        (&"Ann".into(), &"operator".into())
    );
    assert!(versions[1]["ruled"][0]["until"].is_string());
    let table = markback(&world, &["settings", "history", "--school", "S1"])
        .await
        .out;
    assert!(
        table.contains("as version 1: later") && table.contains("since 20"),
        "{table}"
    );

    let said = markback(&world, &["schools", "remove", "S1"]).await;
    assert_eq!(said.out, "school S1: removed\n", "{}", said.err);
    let listed = markback(&world, &["schools", "ls", "--format", "json"])
        .await
        .json();
    let last = listed["schools"]
        .as_array()
        .unwrap()
        .last()
        .unwrap()
        .clone();
    assert_eq!(
        (&last["id"], &last["removed"]),
        (&"S1".into(), &true.into()),
        "{listed}"
    );
}

#[tokio::test]
async fn every_problem_is_told_before_anything_rules() {
    let world = ApiEnv::new().await;
    let bad = "timezone = 'Europe/Lundon'\nmis = 'SIMS'\nfoo = 1\n";
    let check = ["settings", "check", "--school", "S1", "-"];
    let said = markback_with_input(&world, &check, bad).await;
    assert_eq!(said.code, 2);
    for told in [
        "-:1: timezone",
        "did you mean \"Europe/London\"?",
        "-:3: foo = 1",
        "token_env",
    ] {
        assert!(said.out.contains(told), "{told}: {}", said.out);
    }
    let said = markback_with_input(&world, &["schools", "add", "S1", "-"], bad).await;
    assert_eq!(said.code, 2, "{}", said.err);
    let said = markback_with_input(&world, &["schools", "add", "S1", "-", "--draft"], bad).await;
    assert_eq!(said.code, 0, "{}", said.err);
    let said = markback(&world, &["settings", "activate", "--school", "S1"]).await;
    assert_eq!(said.code, 2, "{}", said.err);
    assert!(
        said.err.contains("school S1, version 1:3: foo"),
        "{}",
        said.err
    );
    let said = markback_with_input(
        &world,
        &["settings", "draft", "--school", "S9", "-"],
        SCHOOL,
    )
    .await;
    assert_eq!(said.code, 1);
    assert!(
        said.err.contains("there is no school S9 in the store"),
        "{}",
        said.err
    );
}

#[tokio::test]
async fn a_school_is_adopted_and_exported_and_other_commands_know_it() {
    let world = ApiEnv::new().await;
    let id = world.id().to_string();
    let said = markback(&world, &["schools", "adopt", &id]).await;
    assert!(
        said.out
            .starts_with(&format!("school {id}: the store has it as version 1\n")),
        "{}{}",
        said.out,
        said.err
    );
    let listed = markback(&world, &["schools", "ls"]).await.out;
    assert!(
        listed.contains("the store owns this school since"),
        "{listed}"
    );
    let exported = markback(&world, &["schools", "export", &id]).await.out;
    assert!(
        exported.contains(&format!("[[school]]\nid = \"{id}\"\n")),
        "{exported}"
    );
    let shown = markback(&world, &["schools", "show", &id, "--format", "json"])
        .await
        .json();
    assert_eq!(
        (&shown["owner"], &shown["text"].is_string()),
        (&"store".into(), &true)
    );
    let status = markback(&world, &["status", "--format", "json"])
        .await
        .json();
    assert!(status["schools"].to_string().contains(&id));

    let list = write(
        world.folder.path(),
        "more.csv",
        "id,timezone,token_file\nS1,Europe/London,token\nS2,Europe/Lundon,token\n",
    );
    let said = markback(&world, &["schools", "import", &list]).await;
    assert_eq!(said.code, 2);
    assert!(said.err.contains("more.csv:3: timezone"), "{}", said.err);
    let list = write(
        world.folder.path(),
        "more.csv",
        "id,timezone,token_file\nS1,Europe/London,token\nS2,Europe/Dublin,token\n",
    );
    let said = markback(&world, &["schools", "import", &list, "--format", "json"]).await;
    assert_eq!(said.json()["written"].as_array().unwrap().len(), 2);
    assert_eq!(world.markback.refresh_settings().await.unwrap().len(), 3);
    let explained = markback(&world, &["events", "ls", "--school", "S2"]).await;
    assert_eq!(explained.code, 0, "{}", explained.err);
}

#[tokio::test]
async fn the_marks_of_a_version_are_listed_after_it_was_undone() {
    let mut world = ApiEnv::new().await;
    let id = world.id().to_string();
    let adopted = markback(&world, &["schools", "adopt", &id]).await;
    assert_eq!(adopted.code, 0, "{}", adopted.err);
    let text = markback(&world, &["settings", "show", "--school", &id]).await;
    let draft = ["settings", "draft", "--school", &id, "-"];
    let text = format!("# a second version\n{}", text.out);
    let drafted = markback_with_input(&world, &draft, &text).await;
    assert_eq!(drafted.code, 0, "{}{}", drafted.out, drafted.err);
    let change = async |world: &ApiEnv, command: &str| {
        let done = markback(world, &["settings", command, "--school", &id]).await;
        assert_eq!(done.code, 0, "{}", done.err);
        world.markback.refresh_settings().await.unwrap();
    };
    change(&world, "activate").await;
    world.run();
    world.take(vec![world.sign_in("by-2", 0, "08:50")]).await;
    world.until("by-2", EventState::Confirmed).await;
    change(&world, "undo").await;
    world.take(vec![world.sign_in("by-3", 1, "08:50")]).await;
    world.until("by-3", EventState::Confirmed).await;

    let marks = [
        "settings", "history", "--school", &id, "--marks", "2", "--format",
    ];
    let json = markback(&world, &[&marks[..], &["json"]].concat()).await;
    let json = json.json();
    let person = world.event("by-2").await.person;
    let mark = &json["marks"][0];
    assert_eq!(
        (&json["version"], json["marks"].as_array().unwrap().len()),
        (&2.into(), 1),
        "{json}"
    );
    for (field, wanted) in [
        ("event", "by-2"),
        ("person", &person),
        ("session", "AM"),
        ("code", "/"),
        ("state", "confirmed"),
        ("settings", "store 2"),
    ] {
        assert_eq!(mark[field], wanted, "{json}");
    }
    let table = markback(&world, &[&marks[..], &["table"]].concat())
        .await
        .out;
    for told in [
        "event", "person", "day", "session", "code", "state", "by-2", &person, "1 mark\n",
    ] {
        assert!(table.contains(told), "{told}: {table}");
    }
    assert!(!table.contains("by-3"), "{table}");

    let none = markback(
        &world,
        &["settings", "history", "--school", &id, "--marks", "1"],
    )
    .await;
    assert!(none.out.ends_with("0 marks\n"), "{}", none.out);
    for (whose, version, told) in [
        ("--school", "9", "has no version 9"),
        ("--template", "1", "cannot be used with"),
    ] {
        let said = markback(
            &world,
            &["settings", "history", whose, &id, "--marks", version],
        )
        .await;
        assert!(said.code != 0 && said.err.contains(told), "{}", said.err);
    }
}

#[tokio::test]
async fn a_version_waits_for_its_day_and_is_cancelled() {
    let world = ApiEnv::new().await;
    let folder = world.folder.path();
    let file = write(folder, "s1.toml", SCHOOL);
    markback(&world, &["schools", "add", "S1", &file]).await;
    let moved = write(folder, "moved.toml", &format!("{SCHOOL}mis = 'Arbor'\n"));
    markback(&world, &["settings", "draft", "--school", "S1", &moved]).await;
    let activate = ["settings", "activate", "--school", "S1", "--from"];
    let activate = |day| [&activate[..], &[day]].concat();
    let said = markback(&world, &activate("2026-01-05")).await;
    assert_eq!(said.code, 1);
    assert!(said.err.contains("name a later day"), "{}", said.err);
    let said = markback(&world, &activate("2097-01-05")).await;
    assert_eq!(
        (said.code, &*said.out),
        (
            0,
            "school S1: it rules from Saturday 5 January 2097 on as version 2\n"
        ),
        "{}",
        said.err
    );
    for command in ["show", "history"] {
        let said = markback(&world, &["settings", command, "--school", "S1"]).await;
        let told = "note: version 2 is to rule from 2097-01-05 on\n";
        assert_eq!((said.code, &*said.err), (0, told), "{}", said.out);
    }
    let said = markback(&world, &["settings", "undo", "--school", "S1", "--to", "1"]).await;
    assert_eq!(said.code, 1);
    assert!(said.err.contains("settings cancel"), "{}", said.err);
    let cancel = ["settings", "cancel", "--school", "S1"];
    let said = markback(&world, &cancel).await;
    assert_eq!(
        (said.code, &*said.out),
        (0, "school S1: cancelled, it stays a draft as version 2\n"),
        "{}",
        said.err
    );
    let said = markback(&world, &cancel).await;
    assert_eq!(said.code, 1);
    assert!(
        said.err.contains("no version of the school S1 waits"),
        "{}",
        said.err
    );
}
