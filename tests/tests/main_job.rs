//! A sign-in that is posted to the program over HTTP becomes a mark in the MIS, in spite of faults.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failed assertion may panic"
)]

use markback::service::{Options, WorkerConfig};
use markback_lab::harness::Workers;
use markback_tests::{Service, World, at, run, sign_in};
use serde_json::json;
use wonde_sandbox::{Fault, FaultRule};

const MARKBACK: &str = env!("CARGO_BIN_EXE_markback-under-test");

#[tokio::test(flavor = "multi_thread")]
async fn an_event_posted_over_http_becomes_a_mark_in_the_mis() {
    let world = World::new().await;
    for (mis, path) in [
        ("SIMS", "attendance/session"),
        ("Arbor", "attendance/lesson"),
    ] {
        let school = world.school_with(mis);
        let pupil = &world.pupils(&school)[0];
        let service = Service::start(MARKBACK, &world, mis).await;
        let mut event = sign_in(&format!("{mis}-1"), pupil, "09:07:12");
        event["answers"] = json!({"Why?": "Bus"});
        let answer = service.post(event.to_string()).await;
        assert_eq!(answer.status, 202, "{answer:?}");
        assert_eq!(
            answer.json(),
            json!({"events": [{"id": format!("{mis}-1"), "state": "received"}]})
        );

        let record = service.wait_until(&format!("{mis}-1"), "confirmed").await;
        assert_eq!(record["decision"]["mark"]["code"], "L", "{record:#}");
        assert!(
            record["writeback_id"].is_string() && record["steps"].is_array(),
            "{record:#}"
        );

        let written = world.written(&school, pupil);
        let [mark] = written.as_slice() else {
            panic!("{written:?}")
        };
        assert_eq!(
            (
                mark.session,
                mark.code.as_str(),
                mark.comment.as_deref(),
                mark.minutes_late,
                mark.writes
            ),
            (Some("AM"), "L", Some("Bus"), Some(7), 1)
        );
        assert_eq!(
            world
                .sandbox
                .requests()
                .by_kind
                .get(&format!("POST {path}")),
            Some(&1)
        );
        let (code, _) = service.stop().await;
        assert_eq!(code, Some(0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_at_a_school_that_takes_no_marks_is_skipped_with_a_reason() {
    let world = World::new().await;
    let school = world.school_with("ScholarPack");
    let pupil = &world.pupils(&school)[0];
    let service = Service::start(MARKBACK, &world, "ScholarPack").await;
    service
        .post(sign_in("e1", pupil, "09:07:12").to_string())
        .await;
    let record = service.wait_until("e1", "skipped").await;
    assert_eq!(record["decision"]["reason"], "unsupported", "{record:#}");
    assert_eq!(world.sandbox.requests().marks_accepted, 0);
}

/// Wonde fails, so the mark is decided but cannot be sent; then the service is killed.
#[tokio::test(flavor = "multi_thread")]
async fn a_mark_survives_kill_9_and_is_written_once() {
    let world = World::new().await;
    let school = world.school_with("SIMS");
    let pupil = &world.pupils(&school)[0];
    let away = Fault::Status {
        status: 503,
        retry_after: wonde_sandbox::RetryAfter::None,
    };
    world
        .sandbox
        .add_fault(FaultRule::new(away).on("attendance/session").method("POST"))
        .unwrap();

    let service = Service::start(MARKBACK, &world, "SIMS").await;
    service
        .post(sign_in("e1", pupil, "09:07:12").to_string())
        .await;
    service
        .wait_for("e1", |event| {
            event["waiting"].is_string() && event["state"] != "received"
        })
        .await;
    service.kill();
    assert_eq!(world.written(&school, pupil), []);

    world.sandbox.clear_faults();
    let service = Service::start(MARKBACK, &world, "SIMS").await;
    // The client assumes that the response was lost.
    let again = service
        .post(sign_in("e1", pupil, "09:07:12").to_string())
        .await;
    assert_eq!(again.status, 202);
    let record = service.wait_until("e1", "confirmed").await;
    let written = world.written(&school, pupil);
    assert_eq!(written.len(), 1, "{record:#}");
    assert_eq!(
        (written[0].code.as_str(), written[0].writes),
        ("L", 1),
        "{record:#}"
    );
}

/// The service is killed right after it accepted the events.
#[tokio::test(flavor = "multi_thread")]
async fn an_accepted_event_survives_an_immediate_kill_9() {
    let world = World::new().await;
    let school = world.school_with("SIMS");
    let pupils = world.pupils(&school);
    let events = |from: usize| {
        let events = pupils[from..from + 5].iter().enumerate();
        let events = events.map(|(n, pupil)| sign_in(&format!("e{}", from + n), pupil, "09:07:12"));
        serde_json::Value::from_iter(events).to_string()
    };
    for from in [0, 5, 10] {
        let service = Service::start(MARKBACK, &world, "SIMS").await;
        assert_eq!(service.post(events(from)).await.status, 202);
        service.kill();
    }
    let service = Service::start(MARKBACK, &world, "SIMS").await;
    for (n, pupil) in pupils[..15].iter().enumerate() {
        let record = service.wait_until(&format!("e{n}"), "confirmed").await;
        let writes: Vec<_> = world
            .written(&school, pupil)
            .iter()
            .map(|mark| mark.writes)
            .collect();
        assert_eq!(writes, [1], "{record:#}");
    }
}

/// The connection is cut after Wonde accepted the register: the service reads the register before it retries.
#[tokio::test(flavor = "multi_thread")]
async fn a_register_with_a_lost_response_is_not_written_twice() {
    let world = World::new().await;
    let school = world.school_with("SIMS");
    let pupil = &world.pupils(&school)[0];
    let cut = FaultRule::new(Fault::CutAfter)
        .on("attendance/session")
        .method("POST")
        .times(1);
    world.sandbox.add_fault(cut).unwrap();
    let service = Service::start(MARKBACK, &world, "SIMS").await;
    service
        .post(sign_in("e1", pupil, "09:07:12").to_string())
        .await;
    let record = service.wait_until("e1", "confirmed").await;
    let writes: Vec<_> = world
        .written(&school, pupil)
        .iter()
        .map(|mark| mark.writes)
        .collect();
    assert_eq!(writes, [1], "{record:#}");
}

/// The lease of a job is renewed while it is processed, so no other worker takes it over and sends the mark again.
#[tokio::test(flavor = "multi_thread")]
async fn a_response_slower_than_a_lease_is_awaited() {
    let world = World::new().await;
    let school = world.school_with("SIMS");
    let pupil = &world.pupils(&school)[0];
    let slow = Fault::Slow {
        millis: 6_000,
        after: false,
    };
    let slow = FaultRule::new(slow).on("attendance/session").method("POST");
    world.sandbox.add_fault(slow).unwrap();
    let options = Options {
        workers: Some(WorkerConfig {
            lease: std::time::Duration::from_secs(2),
            ..WorkerConfig::of(world.settings().service.workers)
        }),
        ..Options::default()
    };
    let markback = world.open(options).await;
    let workers = Workers::start(&markback);
    let id = school.id.as_str().into();
    let event = sign_in("e1", pupil, "09:07:12");
    markback.intake(&id, vec![event]).await.unwrap();
    while !markback.is_settled().await.unwrap() {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    workers.stop().await;
    assert_eq!(world.sandbox.requests().marks_accepted, 1);
    assert_eq!(world.written(&school, pupil)[0].writes, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_stops_the_service_in_time_without_losing_events() {
    let world = World::new().await;
    let school = world.school_with("SIMS");
    let pupil = &world.pupils(&school)[0];
    let service = Service::start(MARKBACK, &world, "SIMS").await;
    service
        .post(sign_in("e1", pupil, "09:07:12").to_string())
        .await;
    let (code, took) = service.stop().await;
    assert_eq!(code, Some(0));
    assert!(took.as_secs() <= 30, "{took:?}");
    let service = Service::start(MARKBACK, &world, "SIMS").await;
    service.wait_until("e1", "confirmed").await;
    assert_eq!(world.written(&school, pupil).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_settles_valid_lines_and_reports_bad_ones() {
    let world = World::new().await;
    let (sims, arbor) = (world.school_with("SIMS"), world.school_with("Arbor"));
    let (first, second) = (&world.pupils(&sims)[0], &world.pupils(&arbor)[0]);
    let mut other = sign_in("e2", second, "08:50:00");
    other["school"] = arbor.id.clone().into();
    let mut twice = sign_in("e1", first, "09:21:00");
    twice["school"] = sims.id.clone().into();
    let log = [
        sign_in("e1", first, "09:21:00").to_string(),
        other.to_string(),
        "{\"id\": \"e3\", \"person\"".to_owned(),
        json!({"id": "e4", "person": first.id, "kind": "sign_in", "at": "2026-11-23T09:00:00"}).to_string(),
        json!({"id": "e5", "school": "A0", "person": "A1", "kind": "sign_in", "at": at("09:00:00")}).to_string(),
        twice.to_string(),
        json!({"id": "e6", "person": "A404", "kind": "sign_in", "at": at("09:00:00")}).to_string(),
    ]
    .join("\n");
    let path = world.path("day.jsonl");
    std::fs::write(&path, log).unwrap();
    let settings = world.settings_path();
    let args = [
        "replay",
        "--config",
        settings.to_str().unwrap(),
        "--school",
        &sims.id,
        "--format",
        "json",
    ];
    let args = [&args[..], &[path.to_str().unwrap()]].concat();

    // The second run accepts no event again.
    for _ in 0..2 {
        let said = run(MARKBACK, &args, "").await;
        assert_eq!(said.code, 2, "{said:?}");
        let report = said.json();
        assert_eq!(
            (&report["lines"], &report["events"]),
            (&json!(7), &json!(2)),
            "{report:#}"
        );
        assert_eq!(report["states"], json!({"confirmed": 2}), "{report:#}");
        let bad: Vec<_> = report["bad"]
            .as_array()
            .unwrap()
            .iter()
            .map(|bad| (&bad["line"], &bad["key"]))
            .collect();
        assert_eq!(
            bad,
            [
                (&json!(3), &json!("")),
                (&json!(4), &json!("at")),
                (&json!(5), &json!("school")),
                (&json!(7), &json!("person"))
            ]
        );
    }
    let codes = |school, pupil| -> Vec<_> {
        world
            .written(school, pupil)
            .into_iter()
            .map(|mark| (mark.code, mark.writes))
            .collect()
    };
    assert_eq!(codes(&sims, first), [("U".to_owned(), 1)]);
    assert_eq!(codes(&arbor, second), [("/".to_owned(), 1)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_without_a_school_is_an_error_with_a_hint() {
    let world = World::new().await;
    let settings = world.settings_path();
    let event = sign_in(
        "e1",
        &world.pupils(&world.school_with("SIMS"))[0],
        "09:21:00",
    )
    .to_string();
    let said = run(
        MARKBACK,
        &["replay", "--config", settings.to_str().unwrap(), "-"],
        &event,
    )
    .await;
    assert_eq!(said.code, 2);
    assert!(
        said.err.contains("line 1") && said.err.contains("--school"),
        "{said:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_finds_no_difference() {
    let said = run(
        MARKBACK,
        &[
            "demo", "--format", "json", "--seed", "11", "--events", "150",
        ],
        "",
    )
    .await;
    assert_eq!(said.code, 0, "{said:?}");
    let told = said.json();
    assert_eq!(told["events"], 150);
    assert_eq!(told["comparison"]["differences"], json!([]));
    assert!(
        told["comparison"]["compared"].as_u64().unwrap() > 40,
        "{told:#}"
    );
    let replays = &told["replays"];
    assert_eq!(replays["differ"], json!([]), "{told:#}");
    assert_eq!(replays["events"], 150);
    assert!(replays["decisions"].as_u64().unwrap() >= 150, "{told:#}");
    let outcomes = told["outcomes"].as_object().unwrap();
    assert_eq!(
        outcomes
            .values()
            .map(|count| count.as_u64().unwrap())
            .sum::<u64>(),
        150,
        "{told:#}"
    );
    for outcome in outcomes.keys() {
        assert!(
            ["confirmed", "skipped", "superseded"].contains(&outcome.as_str()),
            "{told:#}"
        );
    }
}
