//! The groups over HTTP.

use markback::{service::Markback, settings::SecretSource};
use markback_lab::harness::answer;
use reqwest::Client;
use serde_json::{Value, json};

use super::stage::{DAY, EVERYBODY, Stage, done, ids, synced};

const GROUPS: &str = r#"
[[school.group]]
name = "Years 7-11"
kind = "students"
years = ["7", "8", "9", "10", "11"]
message = "Welcome."
properties = ["name", "year", "email"]

[[school.group.field]]
name = "Why?"
on = "sign_in"
options = ["Bus", "M - Medical appointment"]

[school.group.writeback]
present = true
closes = "15:30"
am = { late = "09:00" }

[[school.group]]
name = "Sixth form"
kind = "students"
"#;

struct Door {
    address: String,
    http: Client,
}

impl Door {
    async fn open(markback: Markback) -> Self {
        let router = markback_http::router(markback).unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}/v1/schools", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self {
            address,
            http: Client::builder().no_proxy().build().unwrap(),
        }
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        let request = self.http.get(format!("{}/{path}", self.address));
        answer(request.bearer_auth("the-key-of-the-tests")).await
    }

    async fn post(&self, path: &str, body: &str) -> (u16, Value) {
        let request = self.http.post(format!("{}/{path}", self.address));
        let request = request.bearer_auth("the-key-of-the-tests");
        answer(request.body(body.to_owned())).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_reads_groups_and_follows_their_changes() {
    let stage = Stage::sqlite(80).await;
    let mut settings = stage.settings(1, GROUPS);
    settings.service.set_api_key(SecretSource::Given(
        "the-key-of-the-tests".to_owned().into(),
    ));
    let (markback, school) = (stage.open(settings).await, stage.school(0));
    let door = Door::open(markback.clone()).await;

    // Before the first sync the members are unknown, and an empty list would be wrong.
    let (status, groups) = door.get(&format!("{school}/groups")).await;
    assert_eq!(
        (status, &groups["groups"][0]["people"]),
        (200, &Value::Null)
    );
    let (status, error) = door.get(&format!("{school}/groups/Sixth%20form")).await;
    assert_eq!(
        (status, &error["type"]),
        (503, &json!("/problems/unavailable"))
    );

    let (status, asked) = door.post(&format!("{school}/sync"), "").await;
    assert_eq!(
        (status, &asked["state"], &asked["why"]),
        (202, &json!("waiting"), &json!("asked"))
    );
    let id = asked["id"].as_str().unwrap();
    done(&markback, &school, id).await;
    let (_, record) = door.get(&format!("{school}/syncs/{id}")).await;
    assert_eq!(record["state"], "done");
    assert!(
        record["took_ms"].is_number()
            && record["report"]["groups"]["Sixth form"]["joined"].as_u64() > Some(5)
    );
    assert!(record["report"]["records"]["student"].as_u64() > Some(70));
    let (_, syncs) = door.get(&format!("{school}/syncs?limit=5")).await;
    assert_eq!(syncs["syncs"], json!([record]));

    let (_, groups) = door.get(&format!("{school}/groups")).await;
    assert_eq!(groups["groups"][0]["name"], "Years 7-11");
    assert_eq!(groups["groups"][0]["writes_back"], true);
    let (status, group) = door.get(&format!("{school}/groups/Years%207-11")).await;
    assert_eq!(status, 200);
    assert_eq!(group["message"], "Welcome.");
    assert_eq!(
        group["fields"][0]["options"][0], "Bus",
        "{}",
        group["fields"]
    );
    assert_eq!(group["writeback"]["closes"], "15:30");
    let person = &group["people"][0];
    let known = ids(&markback, &school, "Years 7-11").await;
    assert_eq!(group["people"].as_array().unwrap().len(), known.len());
    assert!(known.contains(&person["wonde_id"].as_str().unwrap().to_owned()));
    assert!(
        person["forename"].is_string() && person["email"].is_string() && person["year"].is_string()
    );
    assert!(person.get("registration").is_none() && person.get("kind").is_none());

    let cursor = group["cursor"].as_str().unwrap();
    let (_, none) = door
        .get(&format!(
            "{school}/groups/Years%207-11/changes?since={cursor}"
        ))
        .await;
    assert_eq!(
        none,
        json!({"changes": [], "cursor": cursor, "more": false})
    );
    stage.sandbox.a_day_of_changes(school.as_str(), 9).unwrap();
    stage.pass(DAY);
    synced(&markback, &school).await;
    let (_, feed) = door
        .get(&format!(
            "{school}/groups/Years%207-11/changes?since={cursor}"
        ))
        .await;
    let changes = feed["changes"].as_array().unwrap();
    assert!(!changes.is_empty());
    for change in changes {
        let what = change["change"].as_str().unwrap();
        assert!(
            change["id"].is_string() && change["at"].is_string() && change["cursor"].is_string()
        );
        assert_eq!(what == "left", change.get("person").is_none(), "{what}");
        assert_eq!(what == "left", change["cause"]["why"].is_string(), "{what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn invalid_requests_are_explained() {
    let stage = Stage::sqlite(20).await;
    let mut settings = stage.settings(1, EVERYBODY);
    settings.service.set_api_key(SecretSource::Given(
        "the-key-of-the-tests".to_owned().into(),
    ));
    let (markback, school) = (stage.open(settings).await, stage.school(0));
    synced(&markback, &school).await;
    let door = Door::open(markback).await;
    let cases = [
        ("nobody/groups".to_owned(), 404, "unknown-school"),
        (format!("{school}/groups/Nope"), 404, "unknown-group"),
        (
            format!("{school}/groups/Pupils/changes?since=abc"),
            422,
            "invalid-input",
        ),
        (
            format!("{school}/groups/Pupils/changes?sinse=1"),
            422,
            "invalid-input",
        ),
        (
            format!("{school}/groups/Pupils/changes?since=999999"),
            410,
            "cursor-gone",
        ),
        (format!("{school}/syncs/nope"), 404, "unknown-sync"),
        (format!("{school}/syncs?limit=x"), 422, "invalid-input"),
    ];
    for (path, status, kind) in cases {
        let (found, error) = door.get(&path).await;
        assert_eq!(
            (found, error["type"].as_str()),
            (status, Some(format!("/problems/{kind}").as_str())),
            "{path}"
        );
    }
    let (status, _) = door
        .post(&format!("{school}/sync"), r#"{"fool": true}"#)
        .await;
    assert_eq!(status, 422);
    let request = door.http.get(format!("{}/{school}/groups", door.address));
    assert_eq!(answer(request).await.0, 401);
}
