//! The feed over HTTP: what it tells of, in pages and as a stream.

use std::collections::BTreeMap;

use markback::{
    keys::{self, NewKey, Scope},
    operator::Actor,
    service::EventState,
};
use markback_lab::harness::{ApiEnv, KEY, Setup, stores};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use wonde_sandbox::{Fault, FaultRule};

/// All entries after a cursor, in pages of this size.
async fn entries(world: &ApiEnv, after: Option<&str>, filter: &str, limit: u32) -> Vec<Value> {
    let mut all = Vec::new();
    let mut after = after.map(str::to_owned);
    loop {
        let from = after.map_or_else(String::new, |after| format!("&after={after}"));
        let path = format!("/v1/feed?limit={limit}{filter}{from}");
        let (status, mut page) = world.get(&path).await;
        assert_eq!(status, 200, "{page}");
        all.append(page["entries"].as_array_mut().unwrap());
        after = Some(page["cursor"].as_str().unwrap().to_owned());
        if page["more"] == json!(false) {
            return all;
        }
    }
}

/// The states of each event in the order of the feed.
fn states(entries: &[Value]) -> BTreeMap<&str, Vec<&str>> {
    let mut states: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for event in entries.iter().filter_map(|entry| entry.get("event")) {
        let state = event["state"].as_str().unwrap();
        states
            .entry(event["id"].as_str().unwrap())
            .or_default()
            .push(state);
    }
    states
}

/// Stream of server-sent events.
struct Events {
    answer: reqwest::Response,
    text: String,
}

impl Events {
    async fn open(world: &ApiEnv, query: &str, last_event_id: Option<&str>) -> Self {
        let url = format!("{}/v1/feed/stream{query}", world.address);
        let mut request = world.http.get(url).bearer_auth(KEY);
        if let Some(id) = last_event_id {
            request = request.header("last-event-id", id);
        }
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 200);
        let form = answer.headers()["content-type"].to_str().unwrap();
        assert!(form.starts_with("text/event-stream"), "{form}");
        Self {
            answer,
            text: String::new(),
        }
    }

    /// The id, name and data of the next event; `None` at the end of the stream.
    async fn next(&mut self) -> Option<(String, String, Value)> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let (event, rest) = (event.to_owned(), rest.to_owned());
                self.text = rest;
                let field = |name: &str| {
                    let line = event.lines().find_map(|line| line.strip_prefix(name));
                    line.map(|value| value.trim().to_owned())
                };
                if let Some(data) = field("data:") {
                    let data = serde_json::from_str(&data).unwrap();
                    return Some((field("id:").unwrap(), field("event:").unwrap(), data));
                }
                continue;
            }
            let part = self.answer.chunk().await.unwrap()?;
            self.text += std::str::from_utf8(&part).unwrap();
        }
    }
}

#[tokio::test]
async fn each_outcome_is_told_once_and_nothing_that_people_wrote() {
    for store in stores() {
        let mut world = ApiEnv::with(Setup {
            store,
            ..Setup::default()
        })
        .await;
        let fault = Fault::RejectWriteback {
            message: Some("Amy Ward is locked".to_owned()),
        };
        let mut why = world.sign_in("why", 1, "08:52");
        why["answers"] = json!({"Why?": "Bus"});
        let mut saturday = world.sign_in("saturday", 2, "08:50");
        saturday["at"] = json!("2026-11-21T08:50:00Z");
        world
            .take(vec![world.sign_in("gone", 3, "08:50"), saturday, why])
            .await;
        let school = world.school.id.clone();
        let path = format!("/v1/schools/{school}/events/gone/discard");
        let note = json!({"note": "Amy Ward came by herself"});
        assert_eq!(world.post(&path, &note).await.0, 200);
        world.run();
        world.until("why", EventState::Confirmed).await;
        world.until("saturday", EventState::Skipped).await;
        world
            .sandbox
            .add_fault(FaultRule::new(fault).times(3))
            .unwrap();
        world.take(vec![world.sign_in("locked", 4, "08:50")]).await;
        world.until("locked", EventState::Rejected).await;

        let found = entries(&world, None, "", 2).await;
        let told = states(&found);
        assert_eq!(told["gone"], ["discarded"]);
        assert_eq!(told["saturday"], ["skipped"]);
        assert_eq!(told["why"], ["accepted", "confirmed"]);
        assert_eq!(told["locked"].last(), Some(&"rejected"));
        assert_eq!(
            told["locked"]
                .iter()
                .filter(|state| **state == "rejected")
                .count(),
            1
        );

        let of = |id: &str, state: &str| {
            let mut events = found.iter().filter(|entry| entry["kind"] == "event");
            let entry =
                events.find(|entry| entry["event"]["id"] == id && entry["event"]["state"] == state);
            entry.unwrap()
        };
        let confirmed = of("why", "confirmed");
        assert_eq!(confirmed["school"], json!(school));
        assert_eq!(
            confirmed["event"],
            json!({
                "id": "why", "person": world.pupils[1].id, "student": world.pupils[1].id, "state": "confirmed",
                "code": "/", "date": "2026-11-23", "session": "AM",
            })
        );
        assert!(of("saturday", "skipped")["event"]["reason"].is_string());
        let text = serde_json::to_string(&found).unwrap();
        for private in ["Bus", "Amy", "locked by", "herself"] {
            assert!(!text.contains(private), "{private} in {text}");
        }
        // The first sync read the people.
        let syncs: Vec<_> = found
            .iter()
            .filter(|entry| entry["kind"] == "sync")
            .collect();
        assert_eq!(syncs[0]["sync"]["state"], "done");
        let group = found.iter().find(|entry| entry["kind"] == "group").unwrap();
        assert_eq!(group["group"]["name"], "Pupils");
        assert_eq!(group["group"]["joined"], json!(world.pupils.len()));
        let changes = format!(
            "/v1/schools/{school}/groups/Pupils/changes?since={}",
            group["group"]["cursor"].as_str().unwrap()
        );
        assert_eq!(world.get(&changes).await.1["changes"], json!([]));
    }
}

#[tokio::test]
async fn entries_are_filtered_by_school_and_kind_and_a_wrong_question_is_told() {
    let mut world = ApiEnv::new().await;
    world.take(vec![world.sign_in("e1", 0, "08:50")]).await;
    world.run();
    world.until("e1", EventState::Confirmed).await;
    let all = entries(&world, None, "", 1_000).await;
    let of = |kind: &str| {
        all.iter()
            .filter(|entry| entry["kind"] == kind)
            .cloned()
            .collect::<Vec<_>>()
    };
    assert_eq!(entries(&world, None, "&kind=event", 1).await, of("event"));
    let filter = format!("&school={},A1&kind=sync,group", world.school.id);
    assert_eq!(
        entries(&world, None, &filter, 1).await.len(),
        of("sync").len() + of("group").len()
    );
    assert!(entries(&world, None, "&school=A1", 1).await.is_empty());
    assert!(entries(&world, Some("latest"), "", 1).await.is_empty());
    for query in ["after=7", "after=f-1", "kind=evnt", "limit=x", "since=f1"] {
        let (status, answer) = world.get(&format!("/v1/feed?{query}")).await;
        assert_eq!(status, 422, "{query}: {answer}");
    }
    // The database of a backup is behind its readers.
    assert_eq!(world.get("/v1/feed?after=f999").await.0, 410);
}

#[tokio::test]
async fn a_request_that_waits_gets_the_entry_that_comes() {
    let mut world = ApiEnv::new().await;
    world.run();
    world.known().await;
    let (_, page) = world.get("/v1/feed?after=latest").await;
    let after = page["cursor"].as_str().unwrap();
    let path = format!("/v1/feed?after={after}&kind=event&wait=20");
    let ((status, page), ()) = tokio::join!(world.get(&path), async {
        world.take(vec![world.sign_in("e1", 0, "08:50")]).await;
        world.until("e1", EventState::Confirmed).await;
    });
    assert_eq!(status, 200);
    assert_eq!(page["entries"][0]["event"]["id"], "e1");
}

#[tokio::test]
async fn a_request_that_waits_takes_a_place_of_the_streams_and_none_of_the_requests() {
    let mut world = ApiEnv::with(Setup {
        extra: "feed = { streams = 1 }\nhttp = { requests = 1 }\n",
        ..Setup::default()
    })
    .await;
    world.run();
    world.known().await;
    let path = "/v1/feed?after=latest&kind=event&wait=20";
    let ((status, page), ()) = tokio::join!(world.get(path), async {
        let url = format!("{}/v1/feed?wait=1&after=latest", world.address);
        let taken = async || {
            let request = world.http.get(&url).bearer_auth(KEY);
            let answer = request.send().await.unwrap();
            answer.status() == 503 && answer.headers()["retry-after"] == "30"
        };
        let no_time = std::time::Duration::ZERO;
        world.wait_until("it waits", no_time, taken).await;
        let (status, _) = world.get("/v1/feed?after=latest").await;
        assert_eq!(status, 200);
        world.take(vec![world.sign_in("e1", 0, "08:50")]).await;
        world.until("e1", EventState::Confirmed).await;
    });
    assert_eq!(status, 200);
    assert_eq!(page["entries"][0]["event"]["id"], "e1");
}

#[tokio::test]
async fn a_key_that_is_revoked_meanwhile_ends_its_waiting_request_and_its_stream() {
    let mut world = ApiEnv::new().await;
    world.run();
    world.known().await;
    let new = NewKey {
        name: "a host".to_owned(),
        scopes: [Scope::EventsRead].into(),
        schools: None,
        expires_at: None,
    };
    let added = keys::add(world.markback.store(), &new, &Actor::default()).await;
    let (key, record) = added.unwrap();
    let get = async |path: &str| {
        let url = format!("{}{path}", world.address);
        let request = world.http.get(url).bearer_auth(key.expose_secret());
        request.send().await.unwrap()
    };
    let mut stream = get("/v1/feed/stream").await;
    assert_eq!(stream.status(), 200);
    let (waited, ()) = tokio::join!(get("/v1/feed?after=latest&kind=event&wait=20"), async {
        let path = format!("/v1/keys/{}/revoke", record.id);
        assert_eq!(world.post(&path, &json!({})).await.0, 200);
    });
    assert_eq!(waited.status(), 401);
    while stream.chunk().await.unwrap().is_some() {}
}

#[tokio::test]
async fn a_stream_resumes_behind_each_event_and_ends_with_the_service() {
    for store in stores() {
        let mut world = ApiEnv::with(Setup {
            store,
            ..Setup::default()
        })
        .await;
        world.run();
        world.known().await;
        let mut live = Events::open(&world, "?after=f0", None).await;
        world
            .take(
                (0..3)
                    .map(|n| world.sign_in(&format!("e{n}"), n, "08:50"))
                    .collect(),
            )
            .await;
        for n in 0..3 {
            world.until(&format!("e{n}"), EventState::Confirmed).await;
        }
        let all = entries(&world, None, "", 100).await;
        for expected in &all {
            let (id, name, data) = live.next().await.unwrap();
            assert_eq!(&data, expected);
            assert_eq!(json!(id), expected["cursor"]);
            assert_eq!(json!(name), expected["kind"]);
        }
        for (place, entry) in all.iter().enumerate().take(all.len() - 1) {
            let id = entry["cursor"].as_str();
            let mut resumed = Events::open(&world, "?after=f0", id).await;
            assert_eq!(resumed.next().await.unwrap().2, all[place + 1]);
        }
        let mut of_events = Events::open(&world, "?after=f0&kind=event", None).await;
        let first = all.iter().find(|entry| entry["kind"] == "event").unwrap();
        assert_eq!(&of_events.next().await.unwrap().2, first);

        let mut beyond = Events::open(&world, "?after=f999", None).await;
        let (id, name, _) = beyond.next().await.unwrap();
        assert_eq!(name, "resync");
        assert_eq!(json!(id), all.last().unwrap()["cursor"]);
        assert!(beyond.next().await.is_none());

        world.rest().await;
        assert!(live.next().await.is_none());
        while of_events.next().await.is_some() {}
    }
}

#[tokio::test]
async fn further_streams_are_asked_to_come_back_later() {
    let mut world = ApiEnv::with(Setup {
        extra: "feed = { streams = 1 }\n",
        ..Setup::default()
    })
    .await;
    world.run();
    let first = Events::open(&world, "", None).await;
    let url = format!("{}/v1/feed/stream", world.address);
    let request = || world.http.get(&url).bearer_auth(KEY);
    let answer = request().send().await.unwrap();
    assert_eq!(answer.status(), 503);
    assert_eq!(answer.headers()["retry-after"], "30");
    drop(first);
    world
        .wait_until(
            "the place is free again",
            std::time::Duration::ZERO,
            async || request().send().await.unwrap().status() == 200,
        )
        .await;
}

/// Prints how long a thousand streams take to hear of an entry, and what they cost. Run it alone, in a release build.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "it measures; see docs/performance.md"]
async fn a_thousand_streams_hear_of_each_entry() {
    const STREAMS: usize = 1_000;
    let mut world = ApiEnv::with(Setup {
        workers: markback::pipeline::WorkerConfig::default(),
        ..Setup::default()
    })
    .await;
    world.run();
    world.known().await;
    let begun = std::time::Instant::now();
    let mut streams = Vec::with_capacity(STREAMS);
    for _ in 0..STREAMS {
        streams.push(Events::open(&world, "?kind=event", None).await);
    }
    println!("{STREAMS} streams opened in {:.2?}", begun.elapsed());
    world.take(vec![world.sign_in("e1", 0, "08:50")]).await;
    world.until("e1", EventState::Confirmed).await;
    let begun = std::time::Instant::now();
    let mut waiting = Vec::new();
    for mut stream in streams {
        waiting.push(tokio::spawn(async move {
            loop {
                let (_, _, entry) = stream.next().await.unwrap();
                if entry["event"]["state"] == "confirmed" {
                    return begun.elapsed();
                }
            }
        }));
    }
    let mut heard = Vec::new();
    for one in waiting {
        heard.push(one.await.unwrap());
    }
    heard.sort_unstable();
    println!(
        "heard after {:.2?} in the middle, {:.2?} at the latest (a node looks once a second)",
        heard[STREAMS / 2],
        heard[STREAMS - 1]
    );
    world.rest().await;
}
