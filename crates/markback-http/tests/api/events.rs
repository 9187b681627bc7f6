//! Searching, retrying and discarding events.

use std::time::Duration;

use chrono::Utc;
use markback::{
    operator::{self, Actor, OperatorError},
    service::EventState,
    store::EventFilter,
};
use markback_lab::harness::{self, ApiEnv, Setup, stores};
use serde_json::{Value, json};
use wonde_sandbox::{Access, Fault, FaultRule};

fn ids(answer: &Value) -> Vec<&str> {
    let events = answer["events"].as_array().unwrap();
    events
        .iter()
        .map(|event| event["id"].as_str().unwrap())
        .collect()
}

/// Rejects writebacks until the service gives up.
fn refuse(world: &ApiEnv) {
    let fault = Fault::RejectWriteback {
        message: Some("Pupil is locked".to_owned()),
    };
    world
        .sandbox
        .add_fault(FaultRule::new(fault).times(3))
        .unwrap();
}

#[tokio::test]
async fn a_rejected_event_is_explained_and_can_be_retried() {
    let mut world = ApiEnv::new().await;
    refuse(&world);
    world.take(vec![world.sign_in("e1", 0, "08:50")]).await;
    world.run();
    let rejected = world.until("e1", EventState::Rejected).await;
    assert!(rejected.outcome.unwrap().contains("Pupil is locked"));
    assert!(rejected.advice.unwrap().contains("retry it"));

    let school = &world.school.id;
    let path = format!("/v1/schools/{school}/events/e1/retry");
    let (status, answer) = world
        .post(&path, &json!({"by": "Office", "note": "unlocked"}))
        .await;
    assert_eq!((status, &answer["state"]), (200, &json!("received")));
    assert_eq!(answer["outcome"], Value::Null);

    let confirmed = world.until("e1", EventState::Confirmed).await;
    assert_eq!(confirmed.round, 1);
    let retried = confirmed
        .history
        .iter()
        .find(|line| line.what == "retried")
        .unwrap();
    assert_eq!(retried.record["by"], "Office");
    assert_eq!(retried.record["note"], "unlocked");
    assert_eq!(retried.record["via"], "API");
    let marks = world.sandbox.mis_marks(school).unwrap();
    assert_eq!(marks.iter().filter(|mark| mark.writes > 0).count(), 1);

    let (status, answer) = world.post(&path, &json!({})).await;
    assert_eq!(
        (status, &answer["type"]),
        (409, &json!("/problems/conflict"))
    );
}

#[tokio::test]
async fn retrying_an_older_event_does_not_replace_a_later_one() {
    let mut world = ApiEnv::new().await;
    refuse(&world);
    world.take(vec![world.sign_in("early", 0, "08:50")]).await;
    world.run();
    world.until("early", EventState::Rejected).await;
    let mut later = world.sign_in("later", 0, "09:05");
    later["answers"] = json!({"Why?": "M - Medical appointment"});
    world.take(vec![later]).await;
    world.until("later", EventState::Confirmed).await;

    let path = format!("/v1/schools/{}/events/early/retry", world.school.id);
    assert_eq!(world.post(&path, &json!({})).await.0, 200);
    let early = world.until("early", EventState::Skipped).await;
    let decision = early.decision.unwrap();
    assert_eq!(decision["reason"], "later_event_stands", "{decision}");
    let marks = world.sandbox.mis_marks(&world.school.id).unwrap();
    let held: Vec<_> = marks.iter().filter(|mark| mark.writes > 0).collect();
    assert_eq!(held.len(), 1);
    assert_eq!(held[0].code, "M");
}

#[tokio::test]
async fn a_discarded_event_stays_discarded_and_a_sent_one_cannot_be_discarded() {
    let mut world = ApiEnv::new().await;
    world
        .take(vec![
            world.sign_in("e1", 0, "08:50"),
            world.sign_in("e2", 1, "08:51"),
        ])
        .await;
    let school = world.school.id.clone();
    let discard = |id: &str| format!("/v1/schools/{school}/events/{id}/discard");
    let (status, answer) = world
        .post(&discard("e1"), &json!({"note": "entered by hand"}))
        .await;
    assert_eq!((status, &answer["state"]), (200, &json!("discarded")));
    assert_eq!(
        answer["outcome"],
        "discarded by an operator: entered by hand"
    );
    assert_eq!(world.post(&discard("e1"), &json!({})).await.0, 409);

    world.run();
    world.until("e2", EventState::Confirmed).await;
    assert_eq!(world.event("e1").await.state, EventState::Discarded);
    let (status, answer) = world.post(&discard("e2"), &json!({})).await;
    assert_eq!(status, 409);
    assert!(answer["detail"].as_str().unwrap().contains("already"));
    let marks = world.sandbox.mis_marks(&school).unwrap();
    assert_eq!(marks.iter().filter(|mark| mark.writes > 0).count(), 1);
    assert!(world.markback.is_settled().await.unwrap());
}

#[tokio::test]
async fn events_are_found_by_school_state_person_and_day() {
    let mut world = ApiEnv::new().await;
    let mut saturday = world.sign_in("sat", 0, "08:50");
    saturday["at"] = json!("2026-11-21T08:50:00Z");
    world
        .take(vec![
            saturday,
            world.sign_in("a", 0, "08:50"),
            world.sign_in("b", 1, "08:51"),
        ])
        .await;
    world.run();
    world.until("a", EventState::Confirmed).await;
    world.until("b", EventState::Confirmed).await;
    world.until("sat", EventState::Skipped).await;
    let of = format!("/v1/schools/{}/events", world.school.id);
    for (question, found) in [
        ("", &["a", "b", "sat"][..]),
        ("?state=confirmed", &["a", "b"]),
        ("?state=failed,skipped", &["sat"]),
        ("?date=2026-11-24", &[]),
        ("?state=confirmed&date=2026-11-23", &["a", "b"]),
        ("?state=confirmed&from=2026-11-24", &[]),
        ("?state=confirmed&to=2026-11-22", &[]),
    ] {
        let (status, answer) = world.get(&format!("{of}{question}")).await;
        let mut ids = ids(&answer);
        ids.sort_unstable();
        assert_eq!((status, ids.as_slice()), (200, found), "{question}");
    }
    let (_, answer) = world
        .get(&format!(
            "{of}?state=confirmed&person={}",
            world.pupils[1].id
        ))
        .await;
    assert_eq!(ids(&answer), ["b"]);
    let (_, answer) = world.get(&format!("{of}?limit=1")).await;
    assert_eq!(ids(&answer).len(), 1);
    for wrong in ["?state=done", "?date=yesterday", "?colour=red"] {
        assert_eq!(world.get(&format!("{of}{wrong}")).await.0, 422, "{wrong}");
    }
    assert_eq!(world.get("/v1/schools/B0/events").await.0, 404);
    let url = format!("{}{of}", world.address);
    assert_eq!(harness::answer(world.http.get(url)).await.0, 401);
}

/// Follows `next` to the end of a list.
async fn all_pages(world: &ApiEnv, question: &str) -> (Vec<String>, usize) {
    let of = format!("/v1/schools/{}/events", world.school.id);
    let (mut found, mut pages, mut cursor) = (Vec::new(), 0, String::new());
    loop {
        let (status, answer) = world.get(&format!("{of}?{question}{cursor}")).await;
        assert_eq!(status, 200, "{answer}");
        found.extend(ids(&answer).into_iter().map(str::to_owned));
        pages += 1;
        match answer["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return (found, pages),
        }
    }
}

#[tokio::test]
async fn a_list_of_events_goes_on_from_its_cursor() {
    for store in stores() {
        let world = ApiEnv::with(Setup {
            store,
            ..Setup::default()
        })
        .await;
        // Most are received at the same instant, so that the order is by id too.
        let first = (0..7).map(|n| world.sign_in(&format!("e{n}"), n, "08:50"));
        world.take(first.collect()).await;
        world.clock.advance(Duration::from_secs(60));
        world
            .take(vec![world.sign_in("late:r ü", 8, "09:05")])
            .await;
        let every = ["late:r ü", "e0", "e1", "e2", "e3", "e4", "e5", "e6"];
        for (limit, pages) in [(1, 8), (3, 3), (4, 2), (8, 1), (100, 1)] {
            let found = all_pages(&world, &format!("limit={limit}")).await;
            assert_eq!(found, (every.map(str::to_owned).to_vec(), pages), "{limit}");
        }
        // What comes in meanwhile is before all of the list.
        let of = format!("/v1/schools/{}/events", world.school.id);
        let (_, page) = world.get(&format!("{of}?limit=2")).await;
        world.clock.advance(Duration::from_secs(60));
        world.take(vec![world.sign_in("new", 9, "09:06")]).await;
        let next = page["next"].as_str().unwrap();
        let (_, page) = world.get(&format!("{of}?limit=2&cursor={next}")).await;
        assert_eq!(ids(&page), ["e1", "e2"]);
        for wrong in ["", "x", "MTox", "1"] {
            let (status, answer) = world.get(&format!("{of}?cursor={wrong}")).await;
            let problem = &answer["problems"][0];
            assert_eq!(
                (status, &problem["parameter"]),
                (422, &json!("cursor")),
                "{wrong}"
            );
        }
    }
}

#[tokio::test]
async fn events_are_found_by_code_and_by_group() {
    let mut world = ApiEnv::new().await;
    let of = format!("/v1/schools/{}/events", world.school.id);
    let (status, _) = world.get(&format!("{of}?group=Pupils")).await;
    assert_eq!(
        status, 503,
        "until the people are known, nobody can say who is in a group"
    );
    world.run();
    world.known().await;
    let late = (0..3).map(|n| world.sign_in(&format!("late{n}"), n, "09:05"));
    let in_time = (3..6).map(|n| world.sign_in(&format!("early{n}"), n, "08:50"));
    world.take(late.chain(in_time).collect()).await;
    for id in ["late0", "late1", "late2", "early3", "early4", "early5"] {
        world.until(id, EventState::Confirmed).await;
    }
    let (mut found, pages) = all_pages(&world, "code=l&limit=2").await;
    found.sort();
    assert_eq!(
        (found, pages),
        (
            vec!["late0".to_owned(), "late1".to_owned(), "late2".to_owned()],
            2
        )
    );
    assert_eq!(all_pages(&world, "code=M").await, (vec![], 1));
    assert_eq!(all_pages(&world, "group=Pupils").await.0.len(), 6);
    assert_eq!(all_pages(&world, "group=Pupils&code=L").await.0.len(), 3);
    let (status, answer) = world.get(&format!("{of}?group=Pupil")).await;
    assert_eq!(status, 422);
    assert_eq!(answer["problems"][0]["help"], "did you mean `Pupils`?");
}

#[tokio::test]
async fn null_in_an_optional_field_is_absence() {
    let mut world = ApiEnv::new().await;
    world.run();
    world.known().await;
    let path = format!("/v1/schools/{}/events", world.school.id);
    let without = world.sign_in("n1", 0, "08:50");
    let mut with = without.clone();
    for field in ["kind_of_person", "answers", "automatic", "remote"] {
        with[field] = Value::Null;
    }
    let (status, first) = world.post(&path, &json!({"events": [with]})).await;
    assert_eq!(status, 202, "{first}");
    let (status, _) = world.post(&path, &json!({"events": [without]})).await;
    assert_eq!(status, 202, "the same content in another notation");
    let path = format!("{path}/n1/discard");
    let (status, answer) = world.post(&path, &json!({"by": null, "note": null})).await;
    assert!(status == 200 || status == 409, "{answer}");
    let path = format!("/v1/schools/{}/sync", world.school.id);
    let (status, _) = world
        .post(&path, &json!({"full": null, "accept": null}))
        .await;
    assert_eq!(status, 202);
}

#[tokio::test]
async fn a_revoked_token_is_paused_and_its_replacement_works_without_a_restart() {
    let mut world = ApiEnv::new().await;
    world.run();
    world.known().await;
    world
        .sandbox
        .set_token_revoked(&world.sandbox.token(), true);
    world.take(vec![world.sign_in("e1", 0, "08:50")]).await;
    // The school itself may be paused for a moment as well.
    let rests = |paused: &[String]| paused.iter().any(|lane| lane.starts_with("token:file:"));
    let step = Duration::from_secs(60);
    world
        .wait_until(
            "the token is paused and the event waits",
            step,
            async || rests(&world.paused().await) && world.event("e1").await.waiting.is_some(),
        )
        .await;
    let waiting = world.event("e1").await;
    assert!(!waiting.state.is_final());
    assert!(waiting.waiting.unwrap().contains("token"));

    std::fs::write(world.folder.path().join("token"), &world.school.token).unwrap();
    let confirmed = world.until("e1", EventState::Confirmed).await;
    assert_eq!(confirmed.round, 0);
}

/// Marks of a late pupil and one in time; only the late one's waits for release.
async fn held_world(store: Option<String>) -> ApiEnv {
    let mut world = ApiEnv::with(Setup {
        store,
        writeback: "hold = { codes = ['L', 'U'] }\n",
        ..Setup::default()
    })
    .await;
    world.run();
    world.known().await;
    let (late, in_time) = (
        world.sign_in("late", 0, "09:05"),
        world.sign_in("e2", 1, "08:50"),
    );
    world.take(vec![late, in_time]).await;
    world.until("late", EventState::Held).await;
    world.until("e2", EventState::Confirmed).await;
    world
}

#[tokio::test]
async fn a_held_mark_is_released_or_dropped_over_the_api() {
    let world = held_world(None).await;
    let school = world.school.id.clone();
    let path = |id: &str, deed: &str| format!("/v1/schools/{school}/events/{id}/{deed}");
    let listed = world
        .get(&format!("/v1/schools/{school}/events?state=problem"))
        .await
        .1;
    assert_eq!(listed["events"].as_array().unwrap().len(), 1);
    let held = &listed["events"][0];
    assert_eq!(
        (&held["id"], &held["state"]),
        (&json!("late"), &json!("held"))
    );
    let waiting = held["waiting"].as_str().unwrap();
    assert!(
        waiting.starts_with("a person's release, until 2026-11-24 00:00: L is held"),
        "{waiting}"
    );
    assert!(held["advice"].as_str().unwrap().contains("release it"));

    assert_eq!(world.post(&path("e2", "release"), &json!({})).await.0, 409);
    assert_eq!(world.post(&path("e3", "drop"), &json!({})).await.0, 404);
    assert_eq!(world.post(&path("late", "retry"), &json!({})).await.0, 409);
    let (status, answer) = world
        .post(
            &path("late", "release"),
            &json!({"by": "Office", "note": "seen"}),
        )
        .await;
    assert_eq!((status, &answer["state"]), (200, &json!("planned")));
    let done = world.until("late", EventState::Confirmed).await;
    let whats: Vec<_> = done.history.iter().map(|line| line.what.as_str()).collect();
    assert_eq!(whats, ["held", "released", "accepted", "confirmed"]);
    assert_eq!(done.history[1].record["by"], "Office");
    assert_eq!(world.post(&path("late", "drop"), &json!({})).await.0, 409);
}

/// Whoever changes the event first wins, and all others change nothing.
#[tokio::test]
async fn of_release_drop_discard_and_lapse_exactly_one_wins() {
    for store in stores() {
        let mut world = held_world(store).await;
        world.take(vec![world.sign_in("u", 2, "09:25")]).await;
        world.until("u", EventState::Held).await;
        for (round, id) in ["late", "u"].into_iter().enumerate() {
            let (settings, school) = (world.markback.settings(), world.id());
            if round == 1 {
                // The time is up at this moment, and the workers are at work.
                world.clock.advance(Duration::from_secs(15 * 3600));
            }
            let deeds = (0..4).map(|n| {
                let (store, settings) = (world.markback.store().clone(), settings.clone());
                let (school, actor) = (school.clone(), Actor::default());
                tokio::spawn(async move {
                    match n {
                        0 => operator::release(&store, &settings, &school, id, &actor).await,
                        1 => operator::discard(&store, &school, id, &actor).await,
                        _ => operator::drop_held(&store, &school, id, &actor).await,
                    }
                })
            });
            let deeds: Vec<_> = deeds.collect();
            let mut done = 0;
            for deed in deeds {
                match deed.await.unwrap() {
                    Ok(_) => done += 1,
                    Err(OperatorError::Busy | OperatorError::State(..)) => {}
                    Err(error) => panic!("{error}"),
                }
            }
            world
                .wait_until(
                    "the event is settled",
                    Duration::from_millis(200),
                    async || world.event(id).await.state.is_final(),
                )
                .await;
            let record = world.event(id).await;
            let ends = ["released", "dropped", "discarded", "lapsed"];
            let told = record
                .history
                .iter()
                .filter(|line| ends.contains(&line.what.as_str()));
            let told: Vec<_> = told.map(|line| line.what.as_str()).collect();
            assert_eq!(told.len(), 1, "{told:?}");
            assert_eq!(done, usize::from(told != ["lapsed"]), "{told:?}");
            let marks = world.sandbox.mis_marks(&world.school.id).unwrap();
            let code = if id == "u" { "U" } else { "L" };
            let written = marks
                .iter()
                .any(|mark| mark.writes > 0 && mark.code == code);
            assert_eq!(written, told == ["released"]);
        }
        world.rest().await;
    }
}

/// Every SQL statement of these functions, on both databases.
#[tokio::test]
async fn events_can_be_searched_retried_and_discarded_on_both_databases() {
    for store in stores() {
        // The people are not known before the workers run, so an unknown person is accepted and fails later.
        let start = Utc::now();
        let mut world = ApiEnv::with(Setup {
            store,
            start,
            ..Setup::default()
        })
        .await;
        let stranger = json!({"id": "s1", "person": "nobody", "kind": "sign_in", "at": start});
        world.take(vec![stranger]).await;
        world.run();
        let failed = world.until("s1", EventState::Failed).await;
        assert!(
            failed
                .outcome
                .unwrap()
                .contains("no person at the school has this id")
        );
        assert!(failed.advice.is_some());

        let (store, settings) = (world.markback.store(), world.markback.settings());
        let (school, actor) = (world.id(), Actor::default());
        operator::retry(store, &settings, &school, "s1", &actor)
            .await
            .unwrap();
        let failed = world.until("s1", EventState::Failed).await;
        assert_eq!(failed.round, 1);

        let today = start.date_naive();
        let filter = EventFilter {
            school: Some(school.clone()),
            states: vec![EventState::Failed],
            person: Some("nobody".to_owned()),
            from: today.pred_opt(),
            to: today.succ_opt(),
            after: None,
            limit: 10,
            accept_age: settings.service.accept_age,
        };
        let found = store.search(&filter).await.unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].id, "s1");
        let filter = EventFilter {
            from: today.succ_opt().and_then(|day| day.succ_opt()),
            to: None,
            ..filter
        };
        assert!(store.search(&filter).await.unwrap().is_empty());

        operator::discard(store, &school, "s1", &actor)
            .await
            .unwrap();
        let again = operator::retry(store, &settings, &school, "s1", &actor).await;
        assert!(matches!(
            again,
            Err(OperatorError::State(EventState::Discarded, _))
        ));
        let unknown = operator::discard(store, &school, "s2", &actor).await;
        assert!(matches!(unknown, Err(OperatorError::UnknownEvent)));
        let dead = store.outbox().stats().await.unwrap();
        assert_eq!(dead.get("decide").map_or(0, |stats| stats.dead), 0);
        world.rest().await;
    }
}

#[test]
fn only_states_that_need_an_operator_have_advice() {
    for state in EventState::ALL {
        assert!(!state.needs_person() || state.advice().is_some());
        assert!(!state.is_final() || state.advice().is_some() == state.needs_person());
    }
}

#[tokio::test]
async fn a_partial_batch_stores_valid_events_and_reports_the_others() {
    let mut world = ApiEnv::new().await;
    world.run();
    world.known().await;
    let school = &world.school.id;
    let mut old = world.sign_in("b2", 1, "08:50");
    old["answers"] = json!({"No such field": "x"});
    let batch = json!([
        world.sign_in("b1", 0, "08:50"),
        old,
        {"id": "b3", "person": "nobody", "kind": "sign_in", "at": "noon"},
        {"id": 4, "persn": "p"},
    ]);
    let path = format!("/v1/schools/{school}/events");
    let (status, answer) = world.post(&path, &batch).await;
    assert_eq!(status, 422);
    let problems = answer["problems"].as_array().unwrap();
    let keys: Vec<_> = problems
        .iter()
        .map(|p| {
            format!(
                "{} {}",
                p["pointer"].as_str().unwrap(),
                p["message"].as_str().unwrap()
            )
        })
        .collect();
    for event in [
        "/1/",
        "/2/",
        "/3/id",
        "/3/persn",
        "/3 `person` is missing",
        "/3 `kind` is missing",
        "/3 `at` is missing",
    ] {
        assert!(
            keys.iter().any(|key| key.starts_with(event)),
            "{event}: {keys:?}"
        );
    }
    assert!(
        world
            .markback
            .event(&world.id(), "b1")
            .await
            .unwrap()
            .is_none()
    );

    let (status, answer) = world.post(&format!("{path}?partial=true"), &batch).await;
    assert_eq!(status, 202, "{answer}");
    let events = answer["events"].as_array().unwrap();
    assert_eq!(events.len(), 4);
    assert_eq!(
        (&events[0]["id"], &events[0]["state"]),
        (&json!("b1"), &json!("received"))
    );
    assert!(events[0].get("problems").is_none());
    assert_eq!(
        (&events[1]["id"], events[1].get("state")),
        (&json!("b2"), None)
    );
    assert_eq!(events[2]["problems"][0]["pointer"], "/2/at");
    assert_eq!(events[3]["id"], Value::Null);
    assert!(
        world
            .markback
            .event(&world.id(), "b1")
            .await
            .unwrap()
            .is_some()
    );

    // A used id is reported like any other problem, and does not affect the other events.
    let other = json!([
        world.sign_in("b1", 2, "08:50"),
        world.sign_in("b5", 3, "08:50")
    ]);
    let (status, answer) = world.post(&format!("{path}?partial=true"), &other).await;
    assert_eq!(status, 202, "{answer}");
    assert!(
        answer["events"][0]["problems"][0]["message"].is_string(),
        "{answer}"
    );
    assert_eq!(answer["events"][1]["state"], "received");

    let bad = json!([batch[1]]);
    let (status, answer) = world.post(&format!("{path}?partial=true"), &bad).await;
    assert_eq!(
        (status, &answer["type"]),
        (422, &json!("/problems/invalid-input"))
    );
}

#[tokio::test]
async fn a_list_may_be_wrapped_and_must_not_be_empty() {
    let world = ApiEnv::new().await;
    let path = format!("/v1/schools/{}/events", world.school.id);
    let wrapped = json!({"events": [world.sign_in("w1", 0, "08:50")]});
    let (status, answer) = world.post(&path, &wrapped).await;
    assert_eq!(
        (status, &answer["events"][0]["id"]),
        (202, &json!("w1")),
        "{answer}"
    );
    let marked = format!("\u{feff}{}", world.sign_in("w2", 1, "08:50"));
    let url = format!("{}{path}", world.address);
    let request = world.http.post(url).bearer_auth(harness::KEY).body(marked);
    assert_eq!(harness::answer(request).await.0, 202);
    for empty in [json!([]), json!({"events": []})] {
        let (status, answer) = world.post(&path, &empty).await;
        assert_eq!(status, 422, "{answer}");
        assert_eq!(answer["problems"][0]["message"], "there is no event in it");
    }
}

#[tokio::test]
async fn an_invalid_query_is_explained() {
    let world = ApiEnv::new().await;
    let path = format!("/v1/schools/{}/events", world.school.id);
    for (question, told) in [
        ("date=27/11/2026", &["`date`", "no day", "2026-11-23"][..]),
        (
            "state=broken",
            &["`state`", "no such state", "received", "`problem`"],
        ),
        ("state=confirmd", &["did you mean `confirmed`?"]),
        ("from=2026-11-23&to=2026-11-20", &["`to`", "before `from`"]),
        ("sate=failed", &["`sate`", "did you mean `state`?"]),
    ] {
        let (status, answer) = world.get(&format!("{path}?{question}")).await;
        let message = answer["detail"].as_str().unwrap();
        assert_eq!(status, 422, "{question}: {answer}");
        assert!(
            told.iter().all(|word| message.contains(word)),
            "{question}: {message}"
        );
    }
    let (status, _) = world.get(&format!("{path}?state=problem")).await;
    assert_eq!(status, 200);
}

#[tokio::test]
async fn readiness_reports_a_missing_database() {
    let mut world = ApiEnv::new().await;
    world.run();
    world.known().await;
    assert_eq!(world.get("/readyz").await.0, 200);
    std::fs::remove_file(world.folder.path().join("markback.db")).unwrap();
    let (status, answer) = world.get("/readyz").await;
    assert_eq!((status, &answer["store"]), (503, &json!("out of reach")));
}

#[tokio::test]
async fn readiness_reports_a_missing_table() {
    let mut world = ApiEnv::new().await;
    world.run();
    world.known().await;
    let mut tx = world.markback.store().database().begin().await.unwrap();
    outbox::on_tx!(tx, conn => {
        sqlx::query("ALTER TABLE markback_events RENAME TO elsewhere").execute(conn).await.map(|_| ())
    })
    .unwrap();
    tx.commit().await.unwrap();
    assert_eq!(world.get("/readyz").await.0, 503);
}

#[tokio::test]
async fn an_event_that_waits_for_people_gives_the_reason() {
    let mut world = ApiEnv::new().await;
    world
        .sandbox
        .set_access(&world.school.id, Access::Revoked)
        .unwrap();
    world.take(vec![world.sign_in("e1", 0, "08:50")]).await;
    world.run();
    let why = "have not been read yet: ";
    world
        .wait_until(
            "the event waits for the people",
            Duration::from_secs(1),
            async || {
                let waiting = world.event("e1").await.waiting;
                waiting.is_some_and(|waiting| waiting.contains(why))
            },
        )
        .await;
    let overview = world.markback.store().overview().await.unwrap();
    let school = &overview[&world.id()];
    assert!(school.sync_error.is_some());
    assert!(school.waiting.as_ref().unwrap().0.contains(why));
}

/// Corrections: one by one, and many of which some cannot be made.
#[tokio::test]
async fn events_are_corrected() {
    let mut world = ApiEnv::new().await;
    let school = world.school.id.clone();
    let events = ["e1", "e2", "e3"];
    let taken = events.iter().zip(0..);
    world
        .take(taken.map(|(id, n)| world.sign_in(id, n, "09:15")).collect())
        .await;
    world.run();
    for id in events {
        world.until(id, EventState::Confirmed).await;
    }

    let path = format!("/v1/schools/{school}/events/e1/correct");
    let bad = [
        (json!({"reason": " "}), 422, "/reason"),
        (json!({"replacement": null}), 422, ""),
        (
            json!({"reason": "too late", "replacement": {"id": "e1b", "person": "p", "kind": "sign_in", "at": "soon"}}),
            422,
            "/replacement/at",
        ),
        (
            json!({"reason": "too late", "replacement": world.sign_in("e2", 0, "08:50")}),
            409,
            "/replacement/id",
        ),
    ];
    for (body, status, pointer) in bad {
        let (code, answer) = world.post(&path, &body).await;
        assert_eq!(code, status, "{answer}");
        assert_eq!(answer["problems"][0]["pointer"], pointer, "{answer}");
    }
    let body = json!({"by": "Office", "reason": "too late", "replacement": world.sign_in("e1b", 0, "08:50")});
    let (status, answer) = world.post(&path, &body).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(answer["event"]["correction"]["by"], "Office");
    assert_eq!(answer["replacement"]["corrects"], "e1");
    world.until("e1b", EventState::Confirmed).await;
    world.until("e1", EventState::Withdrawn).await;
    let (status, answer) = world.post(&path, &body).await;
    assert_eq!(
        (status, &answer["event"]["state"]),
        (200, &json!("withdrawn"))
    );
    let (status, answer) = world.post(&path, &json!({"reason": "another"})).await;
    assert_eq!(
        (status, &answer["type"]),
        (409, &json!("/problems/conflict"))
    );

    let many = format!("/v1/schools/{school}/corrections");
    let (status, answer) = world
        .post(
            &many,
            &json!({"corrections": [
                {"event": "e9", "reason": "wrong pupil"},
                {"event": "e2"},
                {"event": "e3", "reason": "wrong pupil", "replacement": world.sign_in("e3b", 3, "09:15")},
                {"event": "e2", "reason": "wrong pupil", "replacement": {"id": "e2b"}},
                {"event": "e2", "reason": "wrong pupil"},
            ]}),
        )
        .await;
    assert_eq!(status, 200, "{answer}");
    let results = answer["corrections"].as_array().unwrap();
    let states: Vec<_> = results.iter().map(|one| &one["state"]).collect();
    let null = &Value::Null;
    let received = &json!("received");
    assert_eq!(states, [null, null, received, null, received], "{answer}");
    assert_eq!(results[2]["replacement"]["id"], "e3b");
    assert_eq!(results[1]["problems"][0]["pointer"], "/corrections/1");
    let field = results[3]["problems"][0]["pointer"].as_str().unwrap();
    assert!(field.starts_with("/corrections/3/replacement"), "{field}");
    world.until("e3b", EventState::Confirmed).await;
    for id in ["e2", "e3"] {
        let failed = world.until(id, EventState::Failed).await;
        assert!(failed.outcome.unwrap().contains("clear it in the MIS"));
    }
    for body in [json!({}), json!({"corrections": []})] {
        let (status, _) = world.post(&many, &body).await;
        assert_eq!(status, 422);
    }
    let (status, listed) = world
        .get(&format!("/v1/schools/{school}/events?state=withdrawn"))
        .await;
    assert_eq!((status, ids(&listed)), (200, vec!["e1"]));
}
