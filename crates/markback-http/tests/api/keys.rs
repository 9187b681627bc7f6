//! Keys with scopes and schools, on every route.

use std::{collections::BTreeSet, time::Duration};

use chrono::TimeDelta;
use markback::{
    keys::{self, KeyRecord, NewKey, Scope},
    operator::Actor,
};
use markback_lab::harness::{ApiEnv, Setup, answer};
use reqwest::Method;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};

/// A guarded operation of the document.
struct Route {
    method: String,
    /// Its path, whose `{school}` is left open.
    path: String,
    needed: Scope,
    /// A body that no handler could read.
    body: Option<&'static str>,
}

impl Route {
    fn at(&self, school: &str) -> String {
        self.path.replace("{school}", school)
    }
}

/// Every guarded operation of the document, which is made from the router.
fn routes() -> Vec<Route> {
    let paths = markback_http::document()["paths"].as_object().unwrap();
    let mut routes = Vec::new();
    for (path, item) in paths {
        for (method, operation) in item.as_object().unwrap() {
            let Some(needed) = operation.pointer("/security/0/key/0") else {
                assert!(!path.starts_with("/v1/"), "{method} {path} is not guarded");
                continue;
            };
            let mut path = path.clone();
            for (name, value) in [
                ("{event}", "e1"),
                ("{group}", "Pupils"),
                ("{sync}", "s1"),
                ("{key}", "0123456789"),
                ("{endpoint}", "e1"),
                ("{template}", "secondary"),
                ("{number}", "1"),
                ("{cause}", "no-such-cause"),
                ("{action}", "retry"),
            ] {
                path = path.replace(name, value);
            }
            assert!(!path.replace("{school}", "").contains('{'), "{path}");
            if path.ends_with("/stream") {
                // A stream that begins does not end by itself.
                path.push_str("?after=nothing");
            }
            routes.push(Route {
                method: method.to_uppercase(),
                path,
                needed: needed.as_str().unwrap().parse().unwrap(),
                body: (method != "get").then_some("no JSON"),
            });
        }
    }
    assert!(routes.len() >= 60);
    routes
}

async fn add(world: &ApiEnv, new: NewKey) -> (SecretString, KeyRecord) {
    let added = keys::add(world.markback.store(), &new, &Actor::default()).await;
    world.markback.keys().look_again();
    added.unwrap()
}

fn new(scopes: &[Scope], schools: Option<&[&str]>) -> NewKey {
    let schools = schools.map(|ids| ids.iter().map(|id| (*id).into()).collect());
    NewKey {
        name: "a host".to_owned(),
        scopes: scopes.iter().copied().collect::<BTreeSet<_>>(),
        schools,
        expires_at: None,
    }
}

/// The public part of one key with the secret of another, and a checksum that fits, as somebody who guesses would make it.
fn mixed(one: &SecretString, other: &SecretString) -> String {
    let (one, other) = (one.expose_secret(), other.expose_secret());
    let body = format!("{}{}", &one[..14], &other[14..57]);
    let key = format!("{body}{}", keys::checksum(&body));
    assert!(keys::public_part(key.as_bytes()).is_some());
    key
}

/// The answer to a request with this key: its status and body, without the request's own id.
async fn ask(
    world: &ApiEnv,
    (method, path, body): (&str, &str, Option<&str>),
    key: Option<&str>,
) -> (u16, Value) {
    let url = format!("{}{path}", world.address);
    let method: Method = method.parse().unwrap();
    let mut request = world.http.request(method, url);
    if let Some(key) = key {
        request = request.bearer_auth(key);
    }
    if let Some(body) = body {
        request = request.body(body.to_owned());
    }
    let (status, mut body) = answer(request).await;
    if let Some(fields) = body.as_object_mut() {
        fields.remove("instance");
    }
    (status, body)
}

/// Lets so much time pass that no wrong key is slowed.
fn calm(world: &ApiEnv) {
    world.clock.advance(Duration::from_secs(10));
}

#[tokio::test]
async fn no_route_tells_anything_to_a_wrong_key() {
    let world = ApiEnv::new().await;
    let own = world.school.id.as_str();
    let all = Scope::ALL;
    let (good, _) = add(&world, new(all, Some(&[own]))).await;
    let (revoked, record) = add(&world, new(all, None)).await;
    keys::revoke(world.markback.store(), &record.id, &Actor::default())
        .await
        .unwrap();
    let soon = world.markback.store().now() + Duration::from_secs(1);
    let brief = NewKey {
        expires_at: Some(soon),
        ..new(all, None)
    };
    let (expired, _) = add(&world, brief).await;
    let (foreign, _) = add(&world, new(all, Some(&["A0000000001"]))).await;
    // The public part of a key that exists, with another secret.
    let mixed = mixed(&good, &foreign);
    let mut told = Vec::new();
    for route in routes() {
        let (method, needed, body) = (route.method.as_str(), route.needed, route.body);
        let (here, nowhere) = (route.at(own), route.at("A9999999999"));
        let what = format!("{method} {here}");
        // Wrong keys get one answer, whatever is wrong with them and whatever school is named.
        calm(&world);
        let refused = ask(&world, (method, &here, body), Some("garbage")).await;
        assert_eq!(refused.0, 401, "{what}");
        for wrong in [&mixed, revoked.expose_secret(), expired.expose_secret()] {
            for path in [&here, &nowhere] {
                calm(&world);
                let answer = ask(&world, (method, path, body), Some(wrong)).await;
                assert_eq!(answer, refused, "{what}");
            }
        }
        let missing = ask(&world, (method, &here, body), None).await;
        assert_eq!(missing.0, 401, "{what}");
        assert_eq!(ask(&world, (method, &nowhere, body), None).await, missing);
        // A missing scope is told, and only at a school that the key sees.
        let others: Vec<_> = all
            .iter()
            .copied()
            .filter(|scope| *scope != needed && *scope != Scope::Admin)
            .collect();
        let (lacking, _) = add(&world, new(&others, Some(&[own]))).await;
        let lacking = lacking.expose_secret();
        let (status, told_of) = ask(&world, (method, &here, body), Some(lacking)).await;
        assert_eq!(status, 403, "{what}");
        assert!(
            told_of.to_string().contains(needed.as_str()),
            "{what}: {told_of}"
        );
        if here != nowhere {
            // A school that the key does not see is one that does not exist, before the body is read.
            let unknown = ask(&world, (method, &nowhere, body), Some(good.expose_secret())).await;
            assert_eq!(unknown.0, 404, "{what}");
            let other = ask(&world, (method, &here, body), Some(foreign.expose_secret())).await;
            assert_eq!(other, unknown, "{what}");
            let hidden = ask(&world, (method, &nowhere, body), Some(lacking)).await;
            assert_eq!(hidden, unknown, "{what}");
            told.push(unknown.1.to_string());
        }
        // The key with this scope alone, and the one of the settings, come through to the handler.
        let (enough, _) = add(&world, new(&[needed], Some(&[own]))).await;
        for key in [enough.expose_secret(), markback_lab::harness::KEY] {
            let (status, answer) = ask(&world, (method, &here, body), Some(key)).await;
            assert!(
                ![401, 403, 429].contains(&status),
                "{what}: {status} {answer}"
            );
            told.push(answer.to_string());
        }
        for answer in [refused, missing] {
            told.push(answer.1.to_string());
        }
    }
    let told = told.concat();
    for secret in [&good, &revoked, &expired, &foreign] {
        assert!(!told.contains(&secret.expose_secret()[..14]));
    }
}

#[tokio::test]
async fn wrong_keys_are_slowed_and_a_right_one_from_the_same_address_is_not() {
    let world = ApiEnv::new().await;
    let (good, _) = add(&world, new(&[Scope::EventsRead], None)).await;
    let (other, _) = add(&world, new(&[Scope::EventsRead], None)).await;
    let path = format!("/v1/schools/{}/events", world.school.id);
    let get = |key: String, header: Option<String>| {
        let request = world.http.get(format!("{}{path}", world.address));
        let request = request.bearer_auth(key);
        match header {
            Some(address) => request.header("x-forwarded-for", address),
            None => request,
        }
    };
    let guess = mixed(&good, &other);
    let mut slowed = None;
    for n in 0..100 {
        // A client cannot be somebody else by a header.
        let answer = get(guess.clone(), Some(format!("192.0.2.{n}")))
            .send()
            .await;
        let answer = answer.unwrap();
        if answer.status() == 429 {
            slowed = Some(answer);
            break;
        }
        assert_eq!(answer.status(), 401);
    }
    let slowed = slowed.expect("wrong keys are slowed");
    let seconds: u64 = slowed.headers()["retry-after"]
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    assert!((1..=6).contains(&seconds), "{seconds}");
    // The right key, with the same public part and from the same address.
    for key in [&good, &other] {
        let answer = get(key.expose_secret().to_owned(), None)
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 200);
    }
    world.clock.advance(Duration::from_secs(seconds));
    assert_eq!(get(guess, None).send().await.unwrap().status(), 401);
}

#[tokio::test]
async fn a_revoked_key_stops_on_every_node_within_seconds() {
    for store in markback_lab::harness::stores() {
        let world = ApiEnv::with(Setup {
            store,
            ..Setup::default()
        })
        .await;
        let second = world.open(world.options()).await;
        let (key, record) = add(&world, new(&[Scope::EventsRead], None)).await;
        let path = format!("/v1/schools/{}/events", world.school.id);
        let key = key.expose_secret();
        assert_eq!(ask(&world, ("GET", &path, None), Some(key)).await.0, 200);
        keys::revoke(second.store(), &record.id, &Actor::default())
            .await
            .unwrap();
        world.clock.advance(Duration::from_secs(2));
        assert_eq!(ask(&world, ("GET", &path, None), Some(key)).await.0, 401);
    }
}

#[tokio::test]
async fn a_key_is_not_taken_for_an_event_or_a_school() {
    let world = ApiEnv::new().await;
    let (key, _) = add(&world, new(&[Scope::EventsWrite], None)).await;
    let path = format!("/v1/schools/{}/events", world.school.id);
    let body = json!([world.sign_in("e1", 0, "08:50")]).to_string();
    let sent = ask(
        &world,
        ("POST", &path, Some(&body)),
        Some(key.expose_secret()),
    )
    .await;
    assert_eq!(sent.0, 202, "{}", sent.1);
    let encoded = format!("/v1/schools/%FF/events?{}", key.expose_secret());
    let (status, _) = ask(&world, ("GET", &encoded, None), Some(key.expose_secret())).await;
    assert_eq!(status, 400);
}

#[tokio::test]
async fn an_administrator_makes_and_revokes_keys_within_their_schools() {
    let world = ApiEnv::new().await;
    let own = world.school.id.as_str();
    let (status, made) = world
        .post(
            "/v1/keys",
            &json!({"name": "office", "scopes": ["admin"], "schools": [own]}),
        )
        .await;
    assert_eq!(status, 201, "{made}");
    let office = made["key"].as_str().unwrap();
    let post = async |path: &str, body: &Value| {
        let body = body.to_string();
        ask(&world, ("POST", path, Some(&body)), Some(office)).await
    };
    let want = |schools: Value| json!({"name": "x", "scopes": ["events:read"], "schools": schools});
    // All schools, an unknown one, and one that this key does not see.
    for (schools, told) in [
        (Value::Null, "sees some schools only"),
        (json!(["A9999999999"]), "no school with one of these ids"),
        (
            json!([own, "A9999999999"]),
            "no school with one of these ids",
        ),
        (json!([]), "empty"),
    ] {
        let (status, answer) = post("/v1/keys", &want(schools)).await;
        assert_eq!(status, 422, "{answer}");
        assert_eq!(answer["problems"][0]["pointer"], "/schools");
        assert!(answer.to_string().contains(told), "{answer}");
    }
    let (status, answer) = post("/v1/keys", &json!({"name": "x", "scope": "admin"})).await;
    assert_eq!(status, 422, "{answer}");
    let past = json!({"name": "x", "scopes": ["admin"], "schools": [own], "expires_at": "2026-11-23T09:00:00Z"});
    let (status, answer) = post("/v1/keys", &past).await;
    assert_eq!(
        (status, &answer["problems"][0]["pointer"]),
        (422, &json!("/expires_at"))
    );

    let (status, made) = post("/v1/keys", &want(json!([own]))).await;
    assert_eq!(status, 201, "{made}");
    let (reader, id) = (made["key"].as_str().unwrap(), made["record"]["id"].as_str());
    let events = format!("/v1/schools/{own}/events");
    // At once on this node.
    assert_eq!(
        ask(&world, ("GET", &events, None), Some(reader)).await.0,
        200
    );
    let (wide, record) = add(&world, new(&[Scope::Admin], None)).await;
    let (_, all) = ask(
        &world,
        ("GET", "/v1/keys", None),
        Some(wide.expose_secret()),
    )
    .await;
    assert_eq!(all["keys"].as_array().unwrap().len(), 3);
    // The key that sees all schools does not exist for one that does not.
    let (_, some) = ask(&world, ("GET", "/v1/keys", None), Some(office)).await;
    assert_eq!(some["keys"].as_array().unwrap().len(), 2);
    let unknown = post("/v1/keys/0123456789/revoke", &json!({})).await;
    assert_eq!(unknown.0, 404);
    let wider = post(&format!("/v1/keys/{}/revoke", record.id), &json!({})).await;
    assert_eq!(wider, unknown);

    let path = format!("/v1/keys/{}/revoke", id.unwrap());
    let (status, revoked) = post(&path, &json!({})).await;
    assert_eq!((status, &revoked["state"]), (200, &json!("revoked")));
    assert_eq!(revoked["revoked_by"], "office");
    assert_eq!(
        ask(&world, ("GET", &events, None), Some(reader)).await.0,
        401
    );
}

#[tokio::test]
async fn a_key_that_expires_makes_none_that_is_valid_for_longer() {
    let world = ApiEnv::new().await;
    let end = world.markback.store().now() + TimeDelta::days(7);
    let brief = NewKey {
        expires_at: Some(end),
        ..new(&[Scope::Admin], None)
    };
    let (brief, _) = add(&world, brief).await;
    let make = async |key: &str, expires: Value| {
        let body = json!({"name": "x", "scopes": ["admin"], "expires_at": expires}).to_string();
        ask(&world, ("POST", "/v1/keys", Some(&body)), Some(key)).await
    };
    let second = TimeDelta::seconds(1);
    for (expires, status) in [
        (json!(end), 201),
        (json!(end - second), 201),
        (json!(end + second), 422),
        (Value::Null, 422),
    ] {
        let (answered, answer) = make(brief.expose_secret(), expires.clone()).await;
        assert_eq!(answered, status, "{expires}: {answer}");
        if status == 422 {
            assert_eq!(answer["problems"][0]["pointer"], "/expires_at");
        }
    }
    let key = markback_lab::harness::KEY;
    assert_eq!(make(key, Value::Null).await.0, 201);
}

#[tokio::test]
async fn changes_and_looks_are_in_the_audit_log_with_ids_only() {
    let world = ApiEnv::new().await;
    let own = world.school.id.as_str();
    let (host, record) = add(&world, new(&[Scope::EventsWrite, Scope::EventsRead], None)).await;
    let host = host.expose_secret();
    let events = format!("/v1/schools/{own}/events");
    let body = json!([
        world.sign_in("e1", 0, "08:50"),
        world.sign_in("e2", 1, "08:51")
    ]);
    let body = body.to_string();
    for expected in [2, 0] {
        let sent = ask(&world, ("POST", &events, Some(&body)), Some(host)).await;
        assert_eq!(sent.0, 202, "{expected}: {}", sent.1);
    }
    let person = &world.pupils[1].id;
    for (path, status) in [
        (format!("{events}/e2"), 200),
        (format!("{events}?person={person}"), 200),
        (events.clone(), 200),
        // Nothing is shown of whom does not exist.
        (format!("{events}/Amy"), 404),
        (format!("{events}?person=Amy"), 200),
    ] {
        let answer = ask(&world, ("GET", &path, None), Some(host)).await;
        assert_eq!(answer.0, status, "{path}: {}", answer.1);
    }
    let discard = json!({"by": "Ann", "note": "Amy is ill"}).to_string();
    let path = format!("{events}/e1/discard");
    let discarded = ask(&world, ("POST", &path, Some(&discard)), Some(host)).await;
    assert_eq!(discarded.0, 200);
    assert_eq!(
        world
            .post(&format!("/v1/schools/{own}/sync"), &json!({}))
            .await
            .0,
        202
    );
    world.markback.write_records().await;

    let (status, log) = world.get("/v1/audit").await;
    assert_eq!(status, 200);
    let entries = log["entries"].as_array().unwrap();
    let mut told: Vec<_> = entries
        .iter()
        .map(|entry| {
            let text = |name: &str| entry[name].as_str().unwrap_or_default();
            (
                text("action"),
                text("subject"),
                entry["amount"].as_u64().unwrap_or_default(),
                text("key"),
            )
        })
        .collect();
    told.retain(|(action, ..)| !["key_added", "sync_started"].contains(action));
    told.sort_unstable();
    let host = record.id.as_str();
    assert_eq!(
        told,
        [
            ("event_discarded", "e1", 0, host),
            ("event_shown", "e2", 0, host),
            // The second sending brought nothing new.
            ("events_listed", "", 2, host),
            ("events_listed", person, 1, host),
            ("events_sent", "", 2, host),
        ]
    );
    let text = log.to_string();
    assert!(!text.contains("Amy") && !text.contains("Ann"), "{text}");
    let started = entries
        .iter()
        .find(|entry| entry["action"] == "sync_started");
    assert_eq!(started.unwrap()["key"], "settings");

    // Page by page.
    let (_, first) = world.get("/v1/audit?limit=3").await;
    let next = first["next"].as_str().unwrap();
    let (_, rest) = world
        .get(&format!("/v1/audit?limit=1000&cursor={next}"))
        .await;
    assert_eq!(rest["next"], Value::Null);
    let pages = [&first["entries"], &rest["entries"]].map(|page| page.as_array().unwrap().clone());
    assert_eq!(&pages.concat(), entries);
    for wrong in ["since=noon", "cursor=x", "who=me"] {
        assert_eq!(world.get(&format!("/v1/audit?{wrong}")).await.0, 422);
    }
    // One who sees some schools only gets the entries about these, and none about keys.
    let (office, _) = add(&world, new(&[Scope::Admin], Some(&["A1"]))).await;
    for path in ["/v1/audit".to_owned(), format!("/v1/audit?school={own}")] {
        let (status, log) = ask(&world, ("GET", &path, None), Some(office.expose_secret())).await;
        assert_eq!((status, &log["entries"]), (200, &json!([])));
    }
}
