//! Keys with scopes and schools, on every route.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failed assertion may panic"
)]

use std::{collections::BTreeSet, time::Duration};

use markback::{
    keys::{self, KeyRecord, NewKey, Scope},
    operator::Actor,
};
use markback_lab::harness::{ApiEnv, Setup, answer};
use reqwest::Method;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};

/// The guarded routes of a school, with what is needed for each and a body if one is read.
const ROUTES: [(&str, &str, Scope, Option<&str>); 13] = [
    ("POST", "events", Scope::EventsWrite, Some("no JSON")),
    ("GET", "events", Scope::EventsRead, None),
    ("GET", "events/e1", Scope::EventsRead, None),
    (
        "POST",
        "events/e1/retry",
        Scope::EventsWrite,
        Some("no JSON"),
    ),
    (
        "POST",
        "events/e1/discard",
        Scope::EventsWrite,
        Some("no JSON"),
    ),
    (
        "POST",
        "events/e1/release",
        Scope::EventsWrite,
        Some("no JSON"),
    ),
    (
        "POST",
        "events/e1/drop",
        Scope::EventsWrite,
        Some("no JSON"),
    ),
    ("GET", "groups", Scope::GroupsRead, None),
    ("GET", "groups/Pupils", Scope::GroupsRead, None),
    ("GET", "groups/Pupils/changes", Scope::GroupsRead, None),
    ("POST", "sync", Scope::SettingsWrite, Some("no JSON")),
    ("GET", "syncs", Scope::GroupsRead, None),
    ("GET", "syncs/s1", Scope::GroupsRead, None),
];

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
    for (method, rest, needed, body) in ROUTES {
        let route = |school: &str| format!("/v1/schools/{school}/{rest}");
        let (here, nowhere) = (route(own), route("A9999999999"));
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
        // A school that the key does not see is one that does not exist, before the body is read.
        let unknown = ask(&world, (method, &nowhere, body), Some(good.expose_secret())).await;
        assert_eq!(unknown.0, 404, "{what}");
        let other = ask(&world, (method, &here, body), Some(foreign.expose_secret())).await;
        assert_eq!(other, unknown, "{what}");
        // A missing scope is told, and only at a school that the key sees.
        let others: Vec<_> = all
            .iter()
            .copied()
            .filter(|scope| *scope != needed && *scope != Scope::Admin)
            .collect();
        let (lacking, _) = add(&world, new(&others, Some(&[own]))).await;
        let lacking = lacking.expose_secret();
        let (status, body_of_it) = ask(&world, (method, &here, body), Some(lacking)).await;
        assert_eq!(status, 403, "{what}");
        assert!(
            body_of_it.to_string().contains(needed.as_str()),
            "{what}: {body_of_it}"
        );
        let hidden = ask(&world, (method, &nowhere, body), Some(lacking)).await;
        assert_eq!(hidden, unknown, "{what}");
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
        for answer in [refused, missing, unknown] {
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
