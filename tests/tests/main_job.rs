//! A sign-in becomes a mark in the MIS, through the program, over HTTP, and whatever happens in between.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test may stop at the first surprise"
)]

use markback::service::{Markback, Options, WorkerConfig};
use markback_tests::{Service, World, at, run, sign_in};
use serde_json::json;
use tokio_util::sync::CancellationToken;
use wonde_sandbox::{Fault, FaultRule};

const MARKBACK: &str = env!("CARGO_BIN_EXE_markback-under-test");

#[tokio::test(flavor = "multi_thread")]
async fn an_event_over_http_is_a_mark_in_the_mis() {
    let world = World::new().await;
    for (mis, path) in [
        ("SIMS", "attendance/session"),
        ("Arbor", "attendance/lesson"),
    ] {
        let school = world.school(mis);
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
async fn nothing_is_written_to_a_school_that_takes_no_marks_and_it_says_so() {
    let world = World::new().await;
    let school = world.school("ScholarPack");
    let pupil = &world.pupils(&school)[0];
    let service = Service::start(MARKBACK, &world, "ScholarPack").await;
    service
        .post(sign_in("e1", pupil, "09:07:12").to_string())
        .await;
    let record = service.wait_until("e1", "skipped").await;
    assert_eq!(record["decision"]["reason"], "unsupported", "{record:#}");
    assert_eq!(world.sandbox.requests().marks_accepted, 0);
}

/// Wonde is out of order, so that the mark is decided and cannot be sent; then the service is killed.
#[tokio::test(flavor = "multi_thread")]
async fn a_mark_survives_kill_9_and_is_written_once() {
    let world = World::new().await;
    let school = world.school("SIMS");
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
    // The sender's answer got lost, as far as it knows.
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

/// Killed the moment the events were taken in, whatever it is doing then.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_answered_202_survives_kill_9_at_once() {
    let world = World::new().await;
    let school = world.school("SIMS");
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

/// The connection is cut after Wonde took the register: it looks before it repeats.
#[tokio::test(flavor = "multi_thread")]
async fn a_register_whose_answer_got_lost_is_not_written_twice() {
    let world = World::new().await;
    let school = world.school("SIMS");
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

/// A job is held for as long as it is worked on, so that no other worker takes it over and sends the mark again.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_takes_longer_than_a_lease_is_waited_for() {
    let world = World::new().await;
    let school = world.school("SIMS");
    let pupil = &world.pupils(&school)[0];
    let slow = Fault::Slow {
        millis: 6_000,
        after: false,
    };
    let slow = FaultRule::new(slow).on("attendance/session").method("POST");
    world.sandbox.add_fault(slow).unwrap();
    let settings = markback::settings::load(&world.settings())
        .unwrap()
        .settings;
    let options = Options {
        workers: Some(WorkerConfig {
            lease: std::time::Duration::from_secs(2),
            ..WorkerConfig::of(settings.service.workers)
        }),
        ..Options::default()
    };
    let markback = Markback::open(settings, options).await.unwrap();
    let stop = CancellationToken::new();
    let workers = tokio::spawn({
        let (markback, stop) = (markback.clone(), stop.clone());
        async move { markback.run(stop).await }
    });
    let id = school.id.as_str().into();
    let event = sign_in("e1", pupil, "09:07:12");
    markback.intake(&id, vec![event]).await.unwrap();
    while !markback.is_settled().await.unwrap() {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    stop.cancel();
    workers.await.unwrap();
    assert_eq!(world.sandbox.requests().marks_accepted, 1);
    assert_eq!(world.written(&school, pupil)[0].writes, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_ends_it_within_the_stated_time_and_loses_nothing() {
    let world = World::new().await;
    let school = world.school("SIMS");
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
async fn a_log_is_replayed_its_good_lines_settled_and_its_bad_ones_named() {
    let world = World::new().await;
    let (sims, arbor) = (world.school("SIMS"), world.school("Arbor"));
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
    let settings = world.settings();
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

    // Twice: nothing of it is taken in again.
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
async fn a_log_that_names_no_school_is_told_what_to_do() {
    let world = World::new().await;
    let settings = world.settings();
    let event = sign_in("e1", &world.pupils(&world.school("SIMS"))[0], "09:21:00").to_string();
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
async fn the_demonstration_finds_no_difference() {
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
