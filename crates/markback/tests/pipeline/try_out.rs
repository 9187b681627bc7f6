//! Settings that are tried on past events: what they would have decided otherwise.

use std::{collections::BTreeMap, time::Duration};

use markback::{
    operator::{self, Actor},
    service::EventState,
    settings::{self, School},
    try_out::{Apart, Report, try_out},
};
use mis_core::{EventKind, Registry};
use outbox::{Clock as _, on_tx};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use rstest::rstest;
use serde_json::{Value, json};

use crate::stage::{SIMS, Setup, Stage, answered, sign_in, sign_out};

const ACTIVE: &str = "present = false\nprotected = [\"M\"]";

/// Texts of the settings file and what takes their place.
type Changes = Vec<(&'static str, &'static str)>;

async fn stage(writeback: &'static str) -> Stage {
    Stage::set(Setup {
        writeback,
        // A trial goes by the copy of the register that a decision had, and where nothing is protected that may be older.
        service: "register_window = \"1s\"",
        ..Setup::default()
    })
    .await
}

/// The school with the settings file changed like this: each first text becomes the second.
fn school(stage: &Stage, changes: &[(&str, &str)]) -> School {
    let mut text = std::fs::read_to_string(stage.settings_path()).unwrap();
    for (from, to) in changes {
        assert!(text.contains(from), "{from} is not in {text}");
        text = text.replace(from, to);
    }
    let loaded = settings::from_text(&stage.settings_path(), &text).unwrap();
    let id = stage.school(SIMS).as_str().into();
    loaded.settings.school(&id).unwrap().clone()
}

async fn tried(stage: &Stage, changes: &[(&str, &str)], days: u32) -> Report {
    let (active, draft) = (school(stage, &[]), school(stage, changes));
    let registry = Registry::discover().unwrap();
    let store = stage.markback.store();
    let now = stage.clock.now();
    try_out(store, &registry, &active, &draft, days, now)
        .await
        .unwrap()
}

/// Event and change of each difference.
fn told(report: &Report) -> Vec<(&str, String)> {
    let differences = report.differences.iter();
    differences
        .map(|one| (one.event.as_str(), one.change.text(1)))
        .collect()
}

/// One morning, and what each draft would have made of it.
#[tokio::test]
async fn a_draft_is_compared_with_the_active_settings() {
    let stage = stage(ACTIVE).await;
    let pupils: Vec<_> = (0..8).map(|n| stage.pupil(SIMS, n)).collect();
    stage.teacher(SIMS, &pupils[5], "AM", Some("C"));
    stage.clock.advance(Duration::from_secs(360));
    let events = vec![
        sign_in("in time", &pupils[0], "08:52:00"),
        answered("late by bus", &pupils[1], "09:07:12", "Bus"),
        sign_in("later", &pupils[2], "09:12:00"),
        sign_in("very late", &pupils[3], "09:21:00"),
        answered("medical", &pupils[4], "09:05:00", "M - Medical appointment"),
        sign_in("over the teacher's C", &pupils[5], "09:08:00"),
        sign_in("in", &pupils[6], "09:15:00"),
        sign_out("out at once", &pupils[6], "09:15:30", "M - Dentist"),
        answered("early by bus", &pupils[7], "08:50:00", "Bus"),
        sign_in("again", &pupils[7], "09:14:00"),
    ];
    // One after the other, as they happened.
    for event in events {
        stage.take(SIMS, event).await;
        stage.settled().await;
    }
    let late = "am = { late = \"09:00\"";
    let protected = "protected = [\"M\"]";
    let bus = "\"Bus\"";
    let none = |event, text: &str| (event, text.to_owned());
    let in_time =
        "1 L is not written any more, because the pupil is now in time and present marks are off";
    let cases: Vec<(Changes, Vec<(&str, String)>)> = vec![
        (vec![], vec![]),
        (
            vec![(late, "am = { late = \"09:10\"")],
            vec![
                none("late by bus", in_time),
                none("over the teacher's C", in_time),
                // Counted from ten past nine.
                none("later", "1 L is written with other minutes late"),
                none("in", "1 L is written with other minutes late"),
                none("very late", "1 U is written with other minutes late"),
            ],
        ),
        (
            vec![("unauthorised = \"09:20\"", "unauthorised = \"09:11\"")],
            vec![none("later", "1 L becomes U"), none("in", "1 L becomes U")],
        ),
        (
            vec![(protected, "protected = [\"M\", \"C\"]")],
            vec![none(
                "over the teacher's C",
                "1 L is not written any more, because C is now protected",
            )],
        ),
        (
            vec![(bus, "{ text = \"Bus\", code = \"C\" }")],
            vec![
                none(
                    "early by bus",
                    "1 C is written in addition; the active settings write nothing, because the pupil is in time and present marks are off",
                ),
                none("late by bus", "1 L becomes C"),
                // The bus was no arrival then.
                none(
                    "again",
                    "1 L is written in addition; the active settings write nothing, because an earlier arrival stands",
                ),
            ],
        ),
        // The first event counts no more, so the second is the arrival.
        (
            vec![(bus, "{ text = \"Bus\", write = false }")],
            vec![
                none(
                    "late by bus",
                    "1 L is not written any more, because the answer is now one that writes nothing",
                ),
                none(
                    "again",
                    "1 L is written in addition; the active settings write nothing, because an earlier arrival stands",
                ),
            ],
        ),
        // The mark of the first sign-in is our own.
        (
            vec![(protected, "protected = [\"M\"]\nshortest_stay = 0")],
            vec![none(
                "out at once",
                "1 M is written in addition; the active settings write nothing, because the event counts as a double tap",
            )],
        ),
        (
            vec![("present = false", "present = true")],
            vec![
                none(
                    "early by bus",
                    "1 / is written in addition; the active settings write nothing, because the pupil is in time and present marks are off",
                ),
                none(
                    "in time",
                    "1 / is written in addition; the active settings write nothing, because the pupil is in time and present marks are off",
                ),
            ],
        ),
        (
            vec![(
                "closes = \"15:30\"",
                "closes = \"15:30\"\nclosed = [\"2026-11-23\"]",
            )],
            [
                "medical",
                "late by bus",
                "over the teacher's C",
                "later",
                "in",
                "very late",
            ]
            .map(|event| {
                let code = match event {
                    "medical" => "M",
                    "very late" => "U",
                    _ => "L",
                };
                (
                    event,
                    format!(
                        "1 {code} is not written any more, because the day is now no school day"
                    ),
                )
            })
            .into(),
        ),
        (
            vec![(
                "closes = \"15:30\"",
                "closes = \"15:30\"\nhold = { codes = [\"U\"] }",
            )],
            vec![none("very late", "1 U waits for release")],
        ),
        // Another name for the same people.
        (vec![("name = \"Pupils\"", "name = \"Children\"")], vec![]),
    ];
    for (changes, mut expected) in cases {
        let report = tried(&stage, &changes, 5).await;
        let mut found = told(&report);
        found.sort_unstable();
        expected.sort_unstable();
        assert_eq!(found, expected, "{changes:?}: {report:#?}");
        assert_eq!(
            (report.events, report.compared),
            (10, 10),
            "{changes:?}: {report:#?}"
        );
        assert_eq!(report.changed_since, 0);
        let sums: usize = report
            .days
            .iter()
            .flat_map(|day| &day.changes)
            .map(|one| one.count)
            .sum();
        assert_eq!(sums, expected.len());
    }
    let report = tried(
        &stage,
        &[("unauthorised = \"09:20\"", "unauthorised = \"09:11\"")],
        5,
    )
    .await;
    assert_eq!(report.summary, ["Monday 23 November: 2 L become U"]);
    let later = &report.differences[0];
    assert!(
        later.active.outcome.starts_with("write L in AM"),
        "{later:?}"
    );
    assert!(
        later.draft.outcome.starts_with("write U in AM"),
        "{later:?}"
    );
    assert!(later.active.steps.len() > 3 && later.draft.steps.len() > 3);
    let json = serde_json::to_string(&report).unwrap();
    assert!(!json.contains("comment\":\"Bus"), "{json}");
}

/// Other members: each student's group is found anew, and nobody's is guessed.
#[tokio::test]
async fn other_members_are_found_among_the_people() {
    let stage = stage(ACTIVE).await;
    let pupil = stage.pupil(SIMS, 0);
    stage.take(SIMS, sign_in("e1", &pupil, "09:07:00")).await;
    stage.settled().await;
    let kind = "kind = \"students\"";
    let without = format!("{kind}\nexclude = [\"{pupil}\"]");
    let report = tried(&stage, &[(kind, &without)], 5).await;
    let text = "1 L is not written any more, because the event now counts for no register";
    assert_eq!(told(&report), [("e1", text.to_owned())]);
    // Houses are not read, so nobody knows who is in one.
    let of_a_house = format!("{kind}\nhouses = [\"Red\"]");
    let report = tried(&stage, &[(kind, &of_a_house)], 5).await;
    assert_eq!((report.compared, report.apart[0].why), (0, Apart::Members));
}

/// What the office has released or dropped is known; what it would have done with a mark that the draft holds is not.
#[tokio::test]
async fn held_marks_are_followed_as_far_as_they_are_known() {
    let hold = "protected = []\nhold = { codes = [\"L\"] }";
    let stage = stage(hold).await;
    let [one, other, third] = [0, 1, 2].map(|n| stage.pupil(SIMS, n));
    let school = stage.school(SIMS).as_str().into();
    let store = stage.markback.store();
    let settings = stage.markback.settings();
    let (nobody, events) = (Actor::default(), [("released", &one), ("dropped", &other)]);
    for (event, pupil) in events {
        stage.take(SIMS, sign_in(event, pupil, "09:07:00")).await;
        stage.reaches(SIMS, event, EventState::Held).await;
    }
    operator::release(store, &settings, &school, "released", &nobody)
        .await
        .unwrap();
    operator::drop_held(store, &school, "dropped", &nobody)
        .await
        .unwrap();
    stage.settled().await;
    let later = [
        sign_out("left", &one, "09:50:00", "M - Dentist"),
        sign_out("left, too", &other, "09:51:00", "M - Dentist"),
        sign_in("very late", &third, "09:30:00"),
        sign_out("left late", &third, "09:52:00", "M - Dentist"),
    ];
    for event in later {
        stage.take(SIMS, event).await;
        stage.settled().await;
    }
    let report = tried(&stage, &[], 5).await;
    assert_eq!((report.events, report.compared), (6, 6), "{report:#?}");
    assert!(report.differences.is_empty(), "{report:#?}");

    let report = tried(&stage, &[(hold, "protected = []")], 5).await;
    // The mark that was released is written either way.
    let free = "1 L is written without release".to_owned();
    assert_eq!(told(&report), [("dropped", free)]);
    assert_eq!(report.compared, 6, "{report:#?}");

    let more = "protected = []\nhold = { codes = [\"L\", \"U\"] }";
    let report = tried(&stage, &[(hold, more)], 5).await;
    assert_eq!(
        told(&report),
        [("very late", "1 U waits for release".to_owned())]
    );
    assert_eq!(report.apart.len(), 1, "{report:#?}");
    let apart = &report.apart[0];
    assert_eq!(
        (apart.why, apart.events.as_slice()),
        (Apart::Held, &["left late".to_owned()][..])
    );
}

#[tokio::test]
async fn events_without_their_input_are_counted_apart_and_days_are_school_days() {
    let stage = stage(ACTIVE).await;
    let [one, other] = [0, 1].map(|n| stage.pupil(SIMS, n));
    stage.take(SIMS, sign_in("monday", &one, "09:07:00")).await;
    stage.settled().await;
    stage.clock.advance(Duration::from_secs(24 * 60 * 60));
    let tuesday = |id: &str, person: &str, time: &str| json!({"id": id, "person": person, "kind": "sign_in", "at": format!("2026-11-24T{time}Z")});
    let events = [
        tuesday("tuesday", &one, "09:07:00"),
        tuesday("kept", &other, "09:08:00"),
        tuesday("lost", &one, "09:12:00"),
    ];
    for event in events {
        stage.take(SIMS, event).await;
        stage.settled().await;
    }
    let later = [("am = { late = \"09:00\"", "am = { late = \"09:10\"")];
    let report = tried(&stage, &later, 1).await;
    assert_eq!((report.events, report.compared), (3, 3));
    // The second one of the pupil comes after the arrival, however that is judged.
    assert_eq!(report.differences.len(), 2, "{report:#?}");
    let report = tried(&stage, &later, 2).await;
    assert_eq!(report.events, 4);

    // As if an older version had decided the first of two events of a pupil's session.
    let forget = "DELETE FROM markback_snapshots WHERE event = 'tuesday'";
    let mut tx = stage.markback.store().database().begin().await.unwrap();
    on_tx!(tx, conn => outbox::sqlx::query(forget).execute(conn).await.map(|_| ())).unwrap();
    tx.commit().await.unwrap();
    let report = tried(&stage, &later, 1).await;
    assert_eq!((report.events, report.compared), (3, 1));
    let apart: Vec<_> = report
        .apart
        .iter()
        .map(|one| (one.why, one.events.clone()))
        .collect();
    assert_eq!(
        apart,
        [
            (Apart::NoSnapshot, vec!["tuesday".to_owned()]),
            (Apart::Earlier, vec!["lost".to_owned()]),
        ]
    );
}

/// A random morning of sign-ins and sign-outs, some delivered late, some double taps.
fn morning(random: &mut StdRng, pupils: &[String], count: usize) -> Vec<Value> {
    let mut events: Vec<_> = (0..count)
        .map(|n| {
            let pupil = &pupils[random.random_range(0..pupils.len())];
            // Half an hour from a quarter to nine, in which all the times of the settings are.
            let second = 8 * 3600 + 45 * 60 + random.random_range(0..40 * 60);
            let at = format!(
                "{:02}:{:02}:{:02}",
                second / 3600,
                second / 60 % 60,
                second % 60
            );
            let id = format!("e{n}");
            let event = match random.random_range(0..10) {
                0 | 1 => sign_out(&id, pupil, &at, "M - Dentist"),
                2 => sign_out(&id, pupil, &at, "Going home"),
                3 => answered(&id, pupil, &at, "M - Medical appointment"),
                4 => answered(&id, pupil, &at, "I - Ill"),
                5 => answered(&id, pupil, &at, "Bus"),
                _ => sign_in(&id, pupil, &at),
            };
            (
                second + if random.random_bool(0.2) { 1800 } else { 0 },
                event,
            )
        })
        .collect();
    events.sort_by_key(|(delivered, _)| *delivered);
    events.into_iter().map(|(_, event)| event).collect()
}

/// The code of each event's mark, as decided.
async fn codes(stage: &Stage, events: &[Value]) -> BTreeMap<String, Option<String>> {
    let mut codes = BTreeMap::new();
    for event in events {
        let id = event["id"].as_str().unwrap();
        let decision = stage.event(SIMS, id).await.decision.unwrap();
        let code = decision["mark"]["code"].as_str().map(str::to_owned);
        codes.insert(id.to_owned(), code);
    }
    codes
}

/// Plays a morning; each time as many events as `at_once` come before the first of them is settled.
async fn played(writeback: &'static str, seed: u64, at_once: usize) -> (Stage, Vec<Value>) {
    let stage = stage(writeback).await;
    let pupils: Vec<_> = (0..6).map(|n| stage.pupil(SIMS, n)).collect();
    let events = morning(&mut StdRng::seed_from_u64(seed), &pupils, 30);
    for batch in events.chunks(at_once) {
        stage.take_all(SIMS, batch.to_vec()).await;
        stage.settled().await;
    }
    (stage, events)
}

/// What the trial says is what the service decides when the draft is active.
#[rstest]
#[case(
    1,
    1,
    "present = false\nprotected = [\"M\"]",
    "present = true\nprotected = [\"M\"]"
)]
#[case(
    2,
    1,
    "present = false\nprotected = [\"M\"]",
    "present = false\nprotected = [\"I\"]\nleaver_code = \"I\""
)]
#[case(
    3,
    1,
    "present = true\nprotected = []",
    "present = true\nprotected = [\"L\"]\nshortest_stay = \"10m\""
)]
#[case(
    4,
    1,
    "present = true\nprotected = [\"I\"]\nfirst_arrival_stands = false",
    "present = true\nprotected = [\"I\"]"
)]
#[case(
    5,
    6,
    "present = false\nprotected = []",
    "present = true\nprotected = []\nleaver_code = \"I\""
)]
#[case(
    6,
    30,
    "present = true\nprotected = []",
    "present = false\nprotected = []\nfirst_arrival_stands = false"
)]
#[case(
    7,
    10,
    "present = true\nprotected = [\"I\"]",
    "present = true\nprotected = [\"M\", \"L\"]\nshortest_stay = 0"
)]
#[tokio::test]
async fn a_trial_foretells_what_the_service_decides(
    #[case] seed: u64,
    #[case] at_once: usize,
    #[case] active: &'static str,
    #[case] draft: &'static str,
) {
    let (one, events) = played(active, seed, at_once).await;
    let (other, _) = played(draft, seed, at_once).await;
    let then = codes(&one, &events).await;
    let truth = codes(&other, &events).await;

    let same = tried(&one, &[], 5).await;
    assert_eq!((same.events, same.compared), (30, 30), "{same:#?}");
    assert!(same.differences.is_empty(), "{same:#?}");

    let report = tried(&one, &[(active, draft)], 5).await;
    let apart: Vec<_> = report
        .apart
        .iter()
        .flat_map(|one| one.events.clone())
        .collect();
    assert!(apart.len() < 5, "{report:#?}");
    let differences: BTreeMap<_, _> = report
        .differences
        .iter()
        .map(|one| (one.event.as_str(), one))
        .collect();
    assert!(!differences.is_empty());
    for (event, truth) in &truth {
        if apart.contains(event) {
            continue;
        }
        let foretold = match differences.get(event.as_str()) {
            Some(difference) => difference.change.to.clone(),
            None => then[event].clone(),
        };
        assert_eq!(
            foretold,
            *truth,
            "{event}: {:#?}",
            differences.get(event.as_str())
        );
    }
    for difference in differences.values() {
        assert_eq!(
            difference.change.from, then[&difference.event],
            "{difference:#?}"
        );
        assert!(matches!(
            difference.kind,
            EventKind::SignIn | EventKind::SignOut
        ));
    }
}

/// Prints how long it takes to try a draft on the week of a school with a thousand pupils.
#[tokio::test]
#[ignore = "a measurement: cargo test --release -p markback --test pipeline week_of -- --ignored --nocapture"]
async fn the_week_of_a_thousand_pupils() {
    let pupils = std::env::var("PUPILS").map_or(1_000, |count| count.parse().unwrap());
    let stage = Stage::set(Setup {
        writeback: ACTIVE,
        sandbox: wonde_sandbox::SandboxOptions {
            pupils_per_school: u32::try_from(pupils * 3 / 2).unwrap(),
            extraction_every: Duration::ZERO,
            ..Default::default()
        },
        ..Setup::default()
    })
    .await;
    let mut people = stage.sandbox.students(&stage.school(SIMS)).unwrap();
    people.retain(|one| one.on_roll && one.leaving.is_none());
    let people: Vec<_> = people.into_iter().take(pupils).map(|one| one.id).collect();
    let mut random = StdRng::seed_from_u64(7);
    let mut count = 0;
    for day in 23..28 {
        let mut events = morning(&mut random, &people, pupils * 3);
        for (n, event) in events.iter_mut().enumerate() {
            let at = event["at"]
                .as_str()
                .unwrap()
                .replace("11-23", &format!("11-{day}"));
            event["at"] = at.into();
            event["id"] = format!("{day}-{n}").into();
        }
        count += events.len();
        for batch in events.chunks(500) {
            stage.take_all(SIMS, batch.to_vec()).await;
        }
        stage
            .until("every event has a final state", async || {
                stage.markback.is_settled().await.unwrap()
            })
            .await;
        stage.clock.advance(Duration::from_secs(24 * 60 * 60));
    }
    let begin = std::time::Instant::now();
    let draft = [("am = { late = \"09:00\"", "am = { late = \"09:10\"")];
    let report = tried(&stage, &draft, 5).await;
    let took = begin.elapsed();
    assert_eq!(report.events, count);
    println!(
        "{} events of {} pupils tried in {took:?}: {} compared, {} differ",
        report.events,
        people.len(),
        report.compared,
        report.differences.len()
    );
    for apart in &report.apart {
        println!("  not compared: {} {}", apart.count, apart.text);
    }
}

/// What the others of the session were decided by is not all recorded.
#[tokio::test]
async fn events_of_a_session_in_which_one_was_withdrawn_are_counted_apart() {
    let stage = Stage::usual().await;
    let [pupil, other] = [0, 1].map(|n| stage.pupil(SIMS, n));
    let events = vec![
        sign_in("e1", &pupil, "09:05:00"),
        sign_in("x1", &other, "09:05:00"),
    ];
    stage.take_all(SIMS, events).await;
    stage.settled().await;
    stage.take(SIMS, sign_in("e2", &pupil, "09:10:00")).await;
    stage.settled().await;
    crate::corrections::withdraw(&stage, "e1", None).await;
    stage.settled().await;
    let report = tried(&stage, &[], 5).await;
    let apart: Vec<_> = report
        .apart
        .iter()
        .map(|apart| (apart.why, apart.events.len()))
        .collect();
    assert_eq!((report.compared, apart), (1, vec![(Apart::Withdrawn, 2)]));
}
