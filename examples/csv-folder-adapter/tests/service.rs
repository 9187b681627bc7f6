//! Runs the service with this adapter: an event comes in, its mark is in the CSV file, and its state is confirmed.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::{fs, path::Path, process::Command, sync::Arc, time::Duration};

use markback::{
    service::{EventState, Markback, Options, WorkerConfig},
    settings,
};
use mis_core::SchoolId;
use mis_csv_folder as _;
use outbox::TestClock;
use serde_json::json;
use tokio_util::sync::CancellationToken;

const SETTINGS: &str = r#"
store = "sqlite:markback.db"
gather = { window = "10ms" }

[[school]]
id = "hill"
timezone = "Europe/London"

[school.link]
adapter = "csv-folder"
folder = "school"

[[school.group]]
name = "Pupils"
kind = "students"

[school.group.writeback]
closes = "15:30"
am = { late = "09:00" }
"#;

fn school(folder: &Path, settings: &str) {
    let school = folder.join("school");
    fs::create_dir(&school).unwrap();
    for (name, text) in [
        (
            "students.csv",
            "id,forename,surname,year,registration,upn\nS1,Ada,Lovelace,7,7A,\nS2,Ben,Barker,8,8B,\n",
        ),
        ("groups.csv", "id,type,name\nG1,YEAR,7\n"),
        (
            "codes.csv",
            "code,description\n/,Present\n\\,Present\nL,Late\nM,Medical\nU,Unauthorised\n",
        ),
    ] {
        fs::write(school.join(name), text).unwrap();
    }
    fs::write(folder.join("markback.toml"), settings).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mark_is_written_into_the_file_and_confirmed() {
    let folder = tempfile::tempdir().unwrap();
    school(folder.path(), SETTINGS);
    let loaded = settings::load(&folder.path().join("markback.toml")).unwrap();
    let clock = Arc::new(TestClock::at("2026-11-23T09:10:00Z".parse().unwrap()));
    let options = Options {
        clock: clock.clone(),
        workers: Some(WorkerConfig {
            poll: Duration::from_millis(10),
            ..WorkerConfig::default()
        }),
        ..Options::default()
    };
    let markback = Markback::open(loaded.settings, options).await.unwrap();
    let stop = CancellationToken::new();
    let (service, stopped) = (markback.clone(), stop.clone());
    let running = tokio::spawn(async move { service.run(stopped).await });
    let id = SchoolId::from("hill");
    let event =
        json!({"id": "e1", "person": "S1", "kind": "sign_in", "at": "2026-11-23T09:07:00Z"});
    markback.intake(&id, vec![event]).await.unwrap();

    let confirmed = tokio::time::timeout(Duration::from_secs(60), async {
        loop {
            let event = markback.event(&id, "e1").await.unwrap().unwrap();
            if event.state == EventState::Confirmed {
                break;
            }
            clock.advance(Duration::from_secs(1));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    if confirmed.await.is_err() {
        panic!("{:?}", markback.event(&id, "e1").await.unwrap());
    }

    let register = folder.path().join("school/register-2026-11-23.csv");
    let register = fs::read_to_string(register).unwrap();
    let lines: Vec<_> = register.lines().collect();
    let [header, mark] = lines.as_slice() else {
        panic!("{register}");
    };
    assert_eq!(
        *header,
        "student,session,code,comment,minutes_late,changed_at"
    );
    assert!(mark.starts_with("S1,AM,L,,7,2026-11-23T09:1"), "{mark}");
    stop.cancel();
    running.await.unwrap();
}

fn doctor(folder: &Path) -> (bool, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_markback-csv"))
        .args(["doctor", "--config", "markback.toml"])
        .current_dir(folder)
        .output()
        .unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(text).unwrap())
}

#[test]
fn doctor_examines_the_folder() {
    let folder = tempfile::tempdir().unwrap();
    school(folder.path(), SETTINGS);
    let (well, report) = doctor(folder.path());
    assert!(well, "{report}");
    assert!(report.contains("csv-folder"), "{report}");
    assert!(!report.contains("Lovelace"), "{report}");

    fs::remove_dir_all(folder.path().join("school")).unwrap();
    let (well, report) = doctor(folder.path());
    assert!(!well && report.contains("is not a folder"), "{report}");
}

#[test]
fn a_link_with_an_unknown_key_or_adapter_is_rejected() {
    for (key, wrong) in [("folder =", "folders ="), ("csv-folder", "csv-folders")] {
        let folder = tempfile::tempdir().unwrap();
        school(folder.path(), &SETTINGS.replace(key, wrong));
        let (well, report) = doctor(folder.path());
        assert!(!well, "{report}");
        assert!(report.contains("folder"), "{report}");
    }
}
