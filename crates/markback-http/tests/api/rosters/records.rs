//! Realistic records, on both databases: unreadable values, contradictory dates, ids that two people share, duplicate
//! parents, future pupils, and holidays.

use std::time::Duration;

use chrono::TimeDelta;
use markback::store::SyncState;
use markback_lab::harness::wait_until;
use mis_core::SchoolId;
use rstest::rstest;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use wonde_sandbox::{Change, Handle};

use super::stage::{self, DAY, EVERYBODY, FULL, On, Stage, ids, sync, synced};

#[rstest]
#[case(On::Sqlite)]
#[case(On::Postgres)]
#[tokio::test(flavor = "multi_thread")]
async fn unreadable_values_are_reported_and_exclude_nobody(#[case] on: On) {
    let Some(stage) = Stage::on(on, 60).await else {
        return;
    };
    let school = stage.school(0);
    let pupils = on_roll(&stage.sandbox, school.as_str());
    let bend = |id: &str, pointer: &str, value: Value| {
        stage
            .sandbox
            .set_value(school.as_str(), id, pointer, value)
            .unwrap();
    };
    bend(
        &pupils[0],
        "/date_of_birth",
        json!({"date": "01/09/2012", "timezone": "UTC"}),
    );
    bend(
        &pupils[1],
        "/education_details/data/admission_date",
        json!("soon"),
    );
    bend(&pupils[2], "/id", Value::Null);
    let markback = stage.service().await;
    let record = synced(&markback, &school).await;
    assert_eq!(
        ids(&markback, &school, "Pupils").await.len(),
        pupils.len() - 1
    );
    let unread = &record.report.as_ref().unwrap()["unread"];
    assert_eq!(
        (&unread["values"], &unread["records"]),
        (&json!(1), &json!(1))
    );
    assert_eq!(unread["list"][0]["id"], pupils[1].as_str());
    assert_eq!(
        unread["list"][0]["field"],
        "education_details.admission_date"
    );
    assert!(!unread.to_string().contains("soon"), "no value is told");
}

fn on_roll(sandbox: &Handle, school: &str) -> Vec<String> {
    let students = sandbox.students(school).unwrap();
    students
        .into_iter()
        .filter(|student| student.on_roll)
        .map(|student| student.id)
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn contradictory_dates_are_resolved_and_reported() {
    let stage = Stage::sqlite(60).await;
    let school = stage.school(0);
    let pupils = on_roll(&stage.sandbox, school.as_str());
    let staff = stage.sandbox.employees(school.as_str()).unwrap();
    let employed = staff.iter().find(|one| one.current).unwrap();
    let date = |day: &str| json!({"date": format!("{day} 00:00:00"), "timezone": "Europe/London"});
    for (id, pointer, day) in [
        (
            &pupils[0],
            "/education_details/data/leaving_date",
            "2019-07-18",
        ),
        (
            &pupils[1],
            "/education_details/data/leaving_date",
            "1900-01-01",
        ),
        (
            &employed.id,
            "/employment_details/data/employment_end_date",
            "2024-08-31",
        ),
    ] {
        stage
            .sandbox
            .set_value(school.as_str(), id, pointer, date(day))
            .unwrap();
    }
    let markback = stage.service().await;
    let record = synced(&markback, &school).await;
    let here = ids(&markback, &school, "Pupils").await;
    assert!(here.contains(&pupils[0]) && here.contains(&pupils[1]));
    assert!(
        ids(&markback, &school, "Staff")
            .await
            .contains(&employed.id)
    );
    let dates = &record.report.as_ref().unwrap()["dates"];
    assert_eq!(dates["count"], 3, "{dates}");
    assert!(
        dates["people"][0]["words"]
            .as_str()
            .unwrap()
            .contains("date")
    );
}

#[rstest]
#[case(On::Sqlite)]
#[case(On::Postgres)]
#[tokio::test(flavor = "multi_thread")]
async fn an_id_shared_by_a_pupil_and_an_employee_needs_the_kind(#[case] on: On) {
    let Some(stage) = Stage::on(on, 60).await else {
        return;
    };
    let school = stage.school(0);
    let pupil = on_roll(&stage.sandbox, school.as_str()).remove(0);
    let staff = stage.sandbox.employees(school.as_str()).unwrap();
    let employed = staff.into_iter().find(|one| one.current).unwrap().id;
    stage
        .sandbox
        .set_value(school.as_str(), &employed, "/id", json!(pupil))
        .unwrap();
    let markback = stage.service().await;
    synced(&markback, &school).await;
    let event = |id: &str, kind: Option<&str>| {
        let mut event =
            json!({"id": id, "person": pupil, "kind": "sign_in", "at": stage_now(&stage)});
        if let Some(kind) = kind {
            event["kind_of_person"] = json!(kind);
        }
        vec![event]
    };
    let refused = markback
        .intake(&school, event("e1", None))
        .await
        .unwrap_err();
    let markback::pipeline::IntakeError::Problems(problems) = refused else {
        panic!("{refused:?}");
    };
    let [problem] = problems.as_slice() else {
        panic!("{problems:?}");
    };
    assert_eq!(problem.key, "[0].person");
    assert!(
        problem.message.contains("a student") && problem.message.contains("a member of staff"),
        "{}",
        problem.message
    );
    assert!(problem.help.contains("kind_of_person"));
    for (id, kind) in [("e2", "student"), ("e3", "staff")] {
        markback
            .intake(&school, event(id, Some(kind)))
            .await
            .unwrap();
    }
    let none = markback
        .intake(&school, event("e4", Some("parent")))
        .await
        .unwrap_err();
    assert!(matches!(none, markback::pipeline::IntakeError::Problems(_)));
}

fn stage_now(stage: &Stage) -> String {
    use outbox::Clock as _;
    stage.clock.now().to_rfc3339()
}

#[rstest]
#[case(On::Sqlite)]
#[case(On::Postgres)]
#[tokio::test(flavor = "multi_thread")]
async fn events_identify_people_by_the_configured_ids(#[case] on: On) {
    let Some(stage) = Stage::on(on, 60).await else {
        return;
    };
    let school = stage.school(0);
    let pupils = stage.sandbox.students(school.as_str()).unwrap();
    let pupil = pupils.into_iter().find(|pupil| pupil.on_roll).unwrap();
    for (pointer, value) in [
        ("/education_details/data/upn", json!("Z999000000001")),
        ("/education_details/data/admission_number", json!(1207)),
        ("/extended_details/data/card_number", json!("0004455")),
    ] {
        let (part, name) = pointer
            .trim_start_matches('/')
            .split_once("/data/")
            .unwrap();
        // To add a field that the sandbox does not have, the enclosing object is replaced.
        let value = if name == "upn" {
            (pointer.to_owned(), value)
        } else {
            (
                format!("/{part}"),
                json!({"data": {name: value, "upn": "Z999000000001"}}),
            )
        };
        stage
            .sandbox
            .set_value(school.as_str(), &pupil.id, &value.0, value.1)
            .unwrap();
    }
    let with = |by: &str| stage.settings(1, &format!("[school.persons]\nby = {by}\n{EVERYBODY}"));
    let event = |id: &str, person: &str| {
        vec![json!({"id": id, "person": person, "kind": "sign_in", "at": stage_now(&stage)})]
    };
    let numbers = [
        &pupil.upi,
        &pupil.mis_id,
        "Z999000000001",
        "1207",
        "0004455",
    ];
    let markback = stage
        .open(with(
            r#"["id", "upi", "mis_id", "upn", "admission_number", "card"]"#,
        ))
        .await;
    synced(&markback, &school).await;
    for (n, person) in numbers.into_iter().enumerate() {
        markback
            .intake(&school, event(&format!("all-{n}"), person))
            .await
            .unwrap();
    }
    // Ids that the settings do not name are not accepted, and are deleted in the next sync.
    let markback = stage.open(stage.settings(1, EVERYBODY)).await;
    stage.pass(Duration::from_secs(60));
    sync(&markback, &school, FULL).await;
    for (n, person) in numbers.into_iter().enumerate() {
        let taken = markback
            .intake(&school, event(&format!("few-{n}"), person))
            .await;
        assert_eq!(taken.is_ok(), n == 0, "{n}: {taken:?}");
    }
    if on == On::Sqlite {
        assert!(!stage.holds("0004455").await);
    }
}

#[rstest]
#[case(On::Sqlite)]
#[case(On::Postgres)]
#[tokio::test(flavor = "multi_thread")]
async fn syncs_paused_until_a_day_resume_by_themselves(#[case] on: On) {
    let Some(stage) = Stage::on(on, 30).await else {
        return;
    };
    let markback = stage.open(stage.settings(2, EVERYBODY)).await;
    let (paused, read) = (stage.school(0), stage.school(1));
    let store = markback.store();
    let until_day = stage::start() + TimeDelta::days(40);
    store.pause_syncs(&paused, Some(until_day)).await.unwrap();
    assert_eq!(
        store.paused_syncs().await.unwrap(),
        [(paused.clone(), until_day)]
    );
    let stop = CancellationToken::new();
    let running = tokio::spawn({
        let (rosters, stop) = (markback.sync().clone(), stop.clone());
        async move { rosters.run(stop).await }
    });
    let done = |school: &SchoolId, least: usize| {
        let (store, school) = (store.clone(), school.clone());
        async move {
            let syncs = store.syncs(&school, 50).await.unwrap();
            syncs
                .iter()
                .filter(|sync| sync.state == SyncState::Done)
                .count()
                >= least
        }
    };
    // Due syncs of all schools are queued together, so the other school's end shows that this one was considered.
    wait_until("the syncs are done", || done(&read, 1)).await;
    stage.pass(DAY * 20);
    wait_until("the syncs are done", || done(&read, 2)).await;
    assert!(store.syncs(&paused, 50).await.unwrap().is_empty());
    // A sync on request still runs.
    let asked = sync(&markback, &paused, FULL).await;
    assert_eq!(asked.state, SyncState::Done);
    stage.pass(DAY * 20 + Duration::from_secs(1));
    wait_until("the syncs are done", || done(&paused, 2)).await;
    assert!(store.paused_syncs().await.unwrap().is_empty());
    store
        .pause_syncs(&paused, Some(until_day + TimeDelta::days(9)))
        .await
        .unwrap();
    store.pause_syncs(&paused, None).await.unwrap();
    assert!(store.paused_syncs().await.unwrap().is_empty());
    stop.cancel();
    running.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_future_pupil_is_in_the_group_and_events_wait_for_the_first_day() {
    let stage = Stage::sqlite(30).await;
    let groups = EVERYBODY.replacen(
        "kind = \"students\"",
        "kind = \"students\"\npre_admission = true",
        1,
    );
    let markback = stage.open(stage.settings(1, &groups)).await;
    let school = stage.school(0);
    let first = stage::start().date_naive() + TimeDelta::days(3);
    let join = Change::Join {
        on: Some(first),
        year: None,
        forename: None,
        surname: None,
        sibling_of: None,
    };
    let pupil = stage.sandbox.change(school.as_str(), &join).unwrap();
    synced(&markback, &school).await;
    assert!(ids(&markback, &school, "Pupils").await.contains(&pupil));
    let found =
        |directory: std::sync::Arc<roster::Directory>| directory.find(&pupil).unwrap().clone();
    let directory = markback.people().of(&school).await.unwrap().unwrap();
    assert_eq!(
        found(directory).group,
        None,
        "no register has the pupil yet"
    );
    stage.pass(DAY * 3);
    let record = sync(&markback, &school, FULL).await;
    assert_eq!(record.state, SyncState::Done);
    // A cached directory is checked once a second.
    let mut group = None;
    for _ in 0..100 {
        let directory = markback.people().of(&school).await.unwrap().unwrap();
        group = found(directory).group;
        if group.is_some() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(group.as_deref(), Some("Pupils"));
    // A school that does not grant the list is still read, and the report says so.
    stage
        .sandbox
        .set_scope(school.as_str(), "students-pre-admission", false)
        .unwrap();
    stage.pass(Duration::from_secs(60));
    let record = sync(&markback, &school, FULL).await;
    assert_eq!(record.state, SyncState::Done);
    assert_eq!(record.report.unwrap()["pre_admission_refused"], true);
}
