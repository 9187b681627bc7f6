//! Settings as versions, schools and templates over HTTP.

use std::{collections::BTreeSet, time::Duration};

use markback::{
    keys::{self, NewKey, Scope},
    operator::Actor,
    service::EventState,
};
use markback_lab::harness::{ApiEnv, KEY, Setup, answer};
use reqwest::Method;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use wonde_sandbox::Access;

/// A school's settings that hold, with the time after which a sign-in is late.
fn text(late: &str) -> String {
    format!(
        "timezone = 'Europe/London'\ntoken_file = 'token'\n[[group]]\nname = 'Pupils'\nkind = 'students'\n\
         [group.writeback]\ncloses = '15:30'\nam = {{ late = '{late}', unauthorised = '09:20' }}\n"
    )
}

/// One who asks, by the key.
struct Client<'w> {
    world: &'w ApiEnv,
    key: String,
}

impl<'w> Client<'w> {
    /// The key of the settings.
    fn of_settings(world: &'w ApiEnv) -> Self {
        let key = KEY.to_owned();
        Self { world, key }
    }

    /// A key with this scope at the world's school only.
    async fn of_school(world: &'w ApiEnv, scope: Scope) -> Self {
        let new = NewKey {
            name: "office".to_owned(),
            scopes: BTreeSet::from([scope]),
            schools: Some(BTreeSet::from([world.id()])),
            expires_at: None,
        };
        let (key, _) = keys::add(world.markback.store(), &new, &Actor::default())
            .await
            .unwrap();
        world.markback.keys().look_again();
        let key = key.expose_secret().to_owned();
        Self { world, key }
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        base: Option<&str>,
        body: &Value,
    ) -> (u16, Value) {
        let url = format!("{}{path}", self.world.address);
        let mut request = self.world.http.request(method, url).bearer_auth(&self.key);
        if let Some(base) = base {
            request = request.header("if-match", base);
        }
        if !body.is_null() {
            request = request.json(body);
        }
        answer(request).await
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        self.send(Method::GET, path, None, &Value::Null).await
    }

    async fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        self.send(Method::POST, path, None, body).await
    }
}

fn school_path(world: &ApiEnv) -> String {
    format!("/v1/schools/{}", world.school.id)
}

/// The kind of a problem.
fn kind(problem: &Value) -> &str {
    problem["type"]
        .as_str()
        .unwrap_or_default()
        .trim_start_matches("/problems/")
}

/// A world whose school is moved into the database.
async fn adopted() -> ApiEnv {
    let world = ApiEnv::new().await;
    let adopt = format!("{}/adopt", school_path(&world));
    let (status, body) = world.post(&adopt, &json!({"note": "to the office"})).await;
    assert_eq!(
        (status, &body["number"], &body["active"]),
        (200, &json!(1), &json!(true)),
        "{body}"
    );
    world
}

#[tokio::test]
async fn a_school_of_the_file_is_shown_and_checked_and_never_pretends_to_be_saved() {
    let world = ApiEnv::new().await;
    let client = Client::of_settings(&world);
    let school = school_path(&world);
    let settings = format!("{school}/settings");
    let (status, shown) = client.get(&settings).await;
    assert_eq!(
        (status, &shown["owner"], &shown["number"]),
        (200, &json!("file"), &Value::Null),
        "{shown}"
    );
    assert!(shown["version"].as_str().unwrap().starts_with("file "));
    assert!(
        shown["body"]
            .as_str()
            .unwrap()
            .contains("name = \"Pupils\""),
        "{shown}"
    );
    let (status, exported) = client.get(&format!("{settings}/export")).await;
    assert_eq!(status, 200);
    assert!(exported["toml"].as_str().unwrap().contains("[[school]]"));
    let (status, checked) = client
        .post(
            &format!("{settings}/check"),
            &json!({"body": text("09:05")}),
        )
        .await;
    assert_eq!((status, &checked["ok"]), (200, &json!(true)), "{checked}");

    let draft = json!({"body": text("09:05")});
    let writes = [
        (Method::PUT, format!("{settings}/draft"), &draft),
        (Method::DELETE, format!("{settings}/draft"), &Value::Null),
        (Method::POST, format!("{settings}/activate"), &Value::Null),
        (Method::POST, format!("{settings}/undo"), &Value::Null),
        (Method::DELETE, school.clone(), &Value::Null),
        (
            Method::PUT,
            format!("{school}/token"),
            &json!({"token": "SECRET"}),
        ),
    ];
    for (method, path, body) in writes {
        let (status, refused) = client.send(method.clone(), &path, Some("*"), body).await;
        assert_eq!(
            (status, kind(&refused)),
            (409, "settings-in-file"),
            "{method} {path}: {refused}"
        );
        let words = refused["detail"].as_str().unwrap();
        assert!(
            words.contains("settings file") && words.contains("adopt"),
            "{words}"
        );
    }
    let (_, after) = client.get(&settings).await;
    assert_eq!(after, shown);
}

#[tokio::test]
async fn a_draft_is_written_checked_compared_activated_and_undone() {
    let world = adopted().await;
    let client = Client::of_settings(&world);
    let settings = format!("{}/settings", school_path(&world));
    let (_, shown) = client.get(&settings).await;
    assert_eq!(
        (&shown["owner"], &shown["number"], &shown["draft"]),
        (&json!("store"), &json!(1), &Value::Null)
    );

    let draft = format!("{settings}/draft");
    let wrong = json!({"body": text("25:00"), "note": "later"});
    let (status, missing) = client.send(Method::PUT, &draft, None, &wrong).await;
    assert_eq!((status, kind(&missing)), (428, "version-needed"));
    let (status, written) = client
        .send(Method::PUT, &draft, Some("\"1\""), &wrong)
        .await;
    assert_eq!(
        (status, &written["number"], &written["active"]),
        (200, &json!(2), &json!(false)),
        "{written}"
    );
    assert_eq!(written["problems"][0]["key"], "group[0].writeback.am.late");
    let (_, checked) = client.post(&format!("{settings}/check"), &wrong).await;
    assert_eq!(checked["ok"], false);
    let first = &checked["problems"][0];
    assert_eq!(
        (&first["pointer"], &first["line"]),
        (&json!("/group/0/writeback/am/late"), &json!(8))
    );
    let activate = format!("{settings}/activate");
    let (status, refused) = client
        .send(Method::POST, &activate, Some("\"2\""), &Value::Null)
        .await;
    assert_eq!(
        (status, kind(&refused)),
        (422, "invalid-settings"),
        "{refused}"
    );
    assert_eq!(
        refused["problems"][0]["setting"],
        "group[0].writeback.am.late"
    );
    assert_eq!(refused["problems"][0]["line"], 8);

    let right = json!({"body": text("09:10"), "by": "Ann", "note": "late from 9:10"});
    let (status, written) = client
        .send(Method::PUT, &draft, Some("\"2\""), &right)
        .await;
    assert_eq!(
        (status, &written["number"], &written["problems"]),
        (200, &json!(3), &json!([])),
        "{written}"
    );
    let (_, shown) = client.get(&settings).await;
    assert_eq!(
        (&shown["number"], &shown["draft"], &shown["newest"]),
        (&json!(1), &json!(3), &json!(3))
    );
    let (_, kept) = client.get(&draft).await;
    assert_eq!(
        (&kept["body"], &kept["by"]),
        (&right["body"], &json!("Ann"))
    );
    let (_, difference) = client.get(&format!("{settings}/diff")).await;
    assert_eq!(
        (&difference["from"], &difference["to"]),
        (&json!(1), &json!(3))
    );
    assert!(
        difference["diff"]
            .as_str()
            .unwrap()
            .contains("+am = { late = '09:10'"),
        "{difference}"
    );

    let note = json!({"note": "agreed"});
    let (status, active) = client
        .send(Method::POST, &activate, Some("\"3\""), &note)
        .await;
    assert_eq!((status, &active["active"]), (200, &json!(true)), "{active}");
    // At once on this node.
    let ruling = world.markback.school(&world.id()).unwrap();
    assert_eq!(ruling.version.to_string(), "store 3");
    let (status, again) = client.send(Method::POST, &activate, Some("*"), &note).await;
    assert_eq!((status, kind(&again)), (409, "conflict"), "{again}");
    let (status, none) = client.get(&draft).await;
    assert_eq!((status, kind(&none)), (404, "unknown-version"));

    let (status, undone) = client
        .post(&format!("{settings}/undo"), &json!({"note": "too late"}))
        .await;
    assert_eq!((status, &undone["number"]), (200, &json!(4)), "{undone}");
    let (_, history) = client.get(&format!("{settings}/versions")).await;
    let versions = history["versions"].as_array().unwrap();
    let notes: Vec<_> = versions
        .iter()
        .map(|one| one["note"].as_str().unwrap_or_default())
        .collect();
    assert_eq!(
        notes,
        [
            "as version 1: too late",
            "late from 9:10",
            "later",
            "adopted from the settings file: to the office"
        ]
    );
    assert_eq!(
        (&versions[0]["rules"], &versions[2]["ruled"]),
        (&json!(true), &json!([]))
    );
    assert_eq!(versions[1]["ruled"][0]["note"], "agreed");
    let (_, first) = client.get(&format!("{settings}/versions/1")).await;
    let (_, last) = client.get(&format!("{settings}/versions/4")).await;
    assert_eq!(first["body"], last["body"]);
    for number in ["9", "0", "x", "4294967296"] {
        let (status, unknown) = client.get(&format!("{settings}/versions/{number}")).await;
        assert_eq!(
            (status, kind(&unknown)),
            (404, "unknown-version"),
            "{number}"
        );
    }

    let (_, log) = world.get("/v1/audit").await;
    let of_settings = log["entries"].as_array().unwrap().iter();
    let of_settings =
        of_settings.filter(|entry| entry["action"].as_str().unwrap().starts_with("settings_"));
    let told: Vec<_> = of_settings
        .map(|entry| (&entry["action"], &entry["subject"], &entry["key"]))
        .collect();
    assert_eq!(told.len(), 5, "{told:?}");
    assert!(told.iter().all(|(_, _, key)| *key == "settings"));
}

#[tokio::test]
async fn a_conflict_shows_both_texts() {
    let world = adopted().await;
    let client = Client::of_settings(&world);
    let settings = format!("{}/settings", school_path(&world));
    let draft = format!("{settings}/draft");
    let (ann, ben) = (
        json!({"body": text("09:05"), "by": "Ann"}),
        json!({"body": text("09:10"), "by": "Ben"}),
    );
    assert_eq!(
        client
            .send(Method::PUT, &draft, Some("\"1\""), &ann)
            .await
            .0,
        200
    );
    let (status, conflict) = client.send(Method::PUT, &draft, Some("\"1\""), &ben).await;
    assert_eq!(
        (status, kind(&conflict)),
        (412, "settings-changed"),
        "{conflict}"
    );
    let both = &conflict["conflict"];
    assert_eq!((&both["base"], &both["yours"]), (&json!(1), &ben["body"]));
    assert_eq!(
        (&both["theirs"]["number"], &both["theirs"]["by"]),
        (&json!(2), &json!("Ann"))
    );
    assert_eq!(both["theirs"]["body"], ann["body"]);
    // Neither does anything else go by what somebody has not seen.
    for (method, path) in [
        (Method::POST, format!("{settings}/activate")),
        (Method::POST, format!("{settings}/undo")),
        (Method::DELETE, draft.clone()),
        (Method::DELETE, school_path(&world)),
    ] {
        let (status, conflict) = client
            .send(method, &path, Some("\"1\""), &Value::Null)
            .await;
        assert_eq!(
            (status, &conflict["conflict"]["theirs"]["number"]),
            (412, &json!(2)),
            "{path}: {conflict}"
        );
    }
    let (status, dropped) = client
        .send(Method::DELETE, &draft, Some("\"2\""), &Value::Null)
        .await;
    assert_eq!(
        (status, &dropped["number"], &dropped["active"]),
        (200, &json!(3), &json!(true)),
        "{dropped}"
    );
    assert_eq!(client.get(&draft).await.0, 404);
    let (_, shown) = client.get(&settings).await;
    assert!(shown["body"].as_str().unwrap().contains("09:00"), "{shown}");
    let (status, none) = client
        .send(Method::DELETE, &draft, None, &Value::Null)
        .await;
    assert_eq!((status, kind(&none)), (404, "unknown-version"));
}

#[tokio::test]
async fn a_key_of_one_school_chooses_no_places_on_the_server() {
    let world = adopted().await;
    let office = Client::of_school(&world, Scope::SettingsWrite).await;
    let settings = format!("{}/settings", school_path(&world));
    let kept = text("09:10");
    let others = [
        kept.replace("token_file = 'token'", "token_file = 'key'"),
        kept.replace("token_file = 'token'", "token_env = 'HOME'"),
        format!("link = {{ adapter = 'csv', folder = '/' }}\n{kept}"),
        format!("calendar.ical_file = '/etc/hosts'\n{kept}"),
    ];
    for other in others {
        for (method, path) in [
            (Method::PUT, "draft"),
            (Method::POST, "check"),
            (Method::POST, "try"),
        ] {
            let path = format!("{settings}/{path}");
            let (status, refused) = office
                .send(method, &path, Some("*"), &json!({"body": other}))
                .await;
            assert_eq!(
                (status, kind(&refused)),
                (403, "forbidden"),
                "{path}: {refused}"
            );
            let words = refused["detail"].as_str().unwrap();
            assert!(words.contains("names a place on the server"), "{words}");
        }
    }
    let draft = format!("{settings}/draft");
    let (status, written) = office
        .send(Method::PUT, &draft, Some("\"1\""), &json!({"body": kept}))
        .await;
    assert_eq!(
        (status, &written["problems"]),
        (200, &json!([])),
        "{written}"
    );
    // One who administers all schools may.
    let client = Client::of_settings(&world);
    let other = json!({"body": kept.replace("token_file = 'token'", "token_env = 'TOKEN'")});
    assert_eq!(
        client.send(Method::PUT, &draft, Some("*"), &other).await.0,
        200
    );
}

#[tokio::test]
async fn a_school_is_added_removed_and_brought_back() {
    let world = ApiEnv::new().await;
    let client = Client::of_settings(&world);
    let (id, one) = ("A1930499544", "/v1/schools/A1930499544");
    let new = |draft: bool, body: &str| json!({"id": id, "body": body, "draft": draft, "note": "new school"});
    let (status, refused) = client
        .post("/v1/schools", &new(false, &text("25:00")))
        .await;
    assert_eq!(
        (status, kind(&refused)),
        (422, "invalid-settings"),
        "{refused}"
    );
    assert_eq!(client.get(one).await.0, 404);
    let (status, added) = client.post("/v1/schools", &new(true, &text("25:00"))).await;
    assert_eq!((status, &added["active"]), (201, &json!(false)), "{added}");
    // A draft is seen where settings are administered only.
    let (_, overview) = client.get(one).await;
    assert_eq!(
        (&overview["owner"], &overview["draft"]),
        (&Value::Null, &json!(1)),
        "{overview}"
    );
    assert_eq!(client.get(&format!("{one}/events")).await.0, 404);
    let (_, shown) = client.get(&format!("{one}/settings")).await;
    assert_eq!((&shown["body"], &shown["draft"]), (&Value::Null, &json!(1)));
    for (method, path) in [(Method::DELETE, "draft"), (Method::GET, "export")] {
        let path = format!("{one}/settings/{path}");
        let (status, refused) = client.send(method, &path, None, &Value::Null).await;
        assert_eq!(
            (status, kind(&refused)),
            (409, "conflict"),
            "{path}: {refused}"
        );
    }
    let draft = format!("{one}/settings/draft");
    let sound = json!({"body": text("09:05")});
    assert_eq!(
        client
            .send(Method::PUT, &draft, Some("\"1\""), &sound)
            .await
            .0,
        200
    );
    let activate = format!("{one}/settings/activate");
    assert_eq!(
        client
            .send(Method::POST, &activate, Some("\"2\""), &Value::Null)
            .await
            .0,
        200
    );
    assert_eq!(client.get(&format!("{one}/events")).await.0, 200);
    let (status, twice) = client
        .post("/v1/schools", &new(false, &text("09:00")))
        .await;
    assert_eq!((status, kind(&twice)), (409, "conflict"), "{twice}");

    let (status, removed) = client
        .send(Method::DELETE, one, Some("\"2\""), &Value::Null)
        .await;
    assert_eq!(
        (status, &removed["active"]),
        (200, &json!(false)),
        "{removed}"
    );
    let (_, overview) = client.get(one).await;
    assert_eq!(
        (&overview["removed"], &overview["owner"], &overview["draft"]),
        (&json!(true), &Value::Null, &Value::Null)
    );
    assert_eq!(client.get(&format!("{one}/events")).await.0, 404);
    let (status, again) = client.send(Method::DELETE, one, None, &Value::Null).await;
    assert_eq!((status, kind(&again)), (404, "unknown-school"), "{again}");
    let (status, undone) = client
        .post(&format!("{one}/settings/undo"), &Value::Null)
        .await;
    assert_eq!((status, &undone["active"]), (200, &json!(true)), "{undone}");
    assert_eq!(client.get(&format!("{one}/events")).await.0, 200);

    let (_, listed) = client.get("/v1/schools").await;
    let ids: Vec<_> = listed["schools"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["id"])
        .collect();
    assert_eq!(ids, [&json!(world.school.id), &json!(id)]);
    let office = Client::of_school(&world, Scope::Admin).await;
    let (_, listed) = office.get("/v1/schools").await;
    assert_eq!(listed["schools"].as_array().unwrap().len(), 1);
    assert_eq!(office.get(one).await.0, 404);
    for wrong in ["A 1", "", "Ä1", "../x"] {
        let new = json!({"id": wrong, "body": text("09:00")});
        let (status, refused) = client.post("/v1/schools", &new).await;
        assert_eq!(
            (status, &refused["problems"][0]["pointer"]),
            (422, &json!("/id")),
            "{wrong}: {refused}"
        );
    }
    let elsewhere = json!({"id": "A3", "body": text("09:00")});
    assert_eq!(office.post("/v1/schools", &elsewhere).await.0, 422);
}

#[tokio::test]
async fn a_draft_alone_is_removed_and_brought_back() {
    let world = ApiEnv::new().await;
    let client = Client::of_settings(&world);
    let new = json!({"id": "A1930499544", "body": text("09:00"), "draft": true});
    assert_eq!(client.post("/v1/schools", &new).await.0, 201);
    let one = "/v1/schools/A1930499544";
    assert_eq!(
        client.send(Method::DELETE, one, None, &Value::Null).await.0,
        200
    );
    let (_, overview) = client.get(one).await;
    assert_eq!(
        (&overview["removed"], &overview["draft"]),
        (&json!(true), &Value::Null)
    );
    let (status, undone) = client
        .post(&format!("{one}/settings/undo"), &json!({"to": 1}))
        .await;
    assert_eq!((status, &undone["active"]), (200, &json!(true)), "{undone}");
}

#[tokio::test]
async fn a_token_is_sealed_and_never_shown() {
    let world = ApiEnv::with(Setup {
        extra: "seal_key_file = 'seal-key'\n",
        ..Setup::default()
    })
    .await;
    let client = Client::of_settings(&world);
    assert_eq!(
        client
            .post(&format!("{}/adopt", school_path(&world)), &Value::Null)
            .await
            .0,
        200
    );
    let path = format!("{}/token", school_path(&world));
    let set = json!({"token": "a-new-token", "note": "rotated"});
    let (status, refused) = client.send(Method::PUT, &path, None, &set).await;
    assert_eq!(
        (status, kind(&refused)),
        (409, "conflict"),
        "there is no such file: {refused}"
    );
    assert!(!refused.to_string().contains("seal-key"), "{refused}");
    std::fs::write(
        world.path("seal-key"),
        "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=",
    )
    .unwrap();
    let (status, kept) = client.send(Method::PUT, &path, None, &set).await;
    assert_eq!(status, 200, "{kept}");
    assert!(
        kept["elsewhere"].as_str().unwrap().contains("token"),
        "{kept}"
    );
    let (status, wrong) = client
        .send(Method::PUT, &path, None, &json!({"token": "two words"}))
        .await;
    assert_eq!(
        (status, &wrong["problems"][0]["pointer"]),
        (422, &json!("/token"))
    );
    assert!(!wrong.to_string().contains("two words"));
    assert_eq!(
        client
            .send(Method::DELETE, &path, None, &Value::Null)
            .await
            .0,
        204
    );
    let (status, none) = client.send(Method::DELETE, &path, None, &Value::Null).await;
    assert_eq!((status, kind(&none)), (409, "conflict"));
    let (_, log) = world.get("/v1/audit").await;
    assert!(log.to_string().contains("token_stored") && log.to_string().contains("token_removed"));
    assert!(!log.to_string().contains("a-new-token"));
}

#[tokio::test]
async fn a_template_is_drafted_activated_and_kept_while_schools_name_it() {
    let world = ApiEnv::new().await;
    let client = Client::of_settings(&world);
    let (one, draft) = ("/v1/templates/secondary", "/v1/templates/secondary/draft");
    assert_eq!(client.get(one).await.0, 404);
    let body = json!({"body": text("09:00"), "note": "first"});
    let (status, written) = client.send(Method::PUT, draft, Some("*"), &body).await;
    assert_eq!(
        (status, &written["number"], &written["scope"]),
        (200, &json!(1), &json!("template")),
        "{written}"
    );
    assert_eq!(
        client
            .send(
                Method::POST,
                &format!("{one}/activate"),
                Some("\"1\""),
                &Value::Null
            )
            .await
            .0,
        200
    );
    let new = json!({"id": "A1930499544", "body": "template = 'secondary'"});
    let (status, added) = client.post("/v1/schools", &new).await;
    assert_eq!(status, 201, "{added}");
    let (_, listed) = client.get("/v1/templates").await;
    let template = &listed["templates"][0];
    assert_eq!(
        (
            &template["name"],
            &template["schools"],
            &template["version"]
        ),
        (&json!("secondary"), &json!(1), &json!("store 1"))
    );
    let (status, refused) = client.send(Method::DELETE, one, None, &Value::Null).await;
    assert_eq!(
        (status, kind(&refused)),
        (422, "invalid-settings"),
        "{refused}"
    );
    // Without it the school of the database would not hold.
    let broken = json!({"body": "mis = 'SIMS'"});
    let (_, checked) = client.post(&format!("{one}/check"), &broken).await;
    assert_eq!(checked["ok"], false, "{checked}");
    // A key of another school does not see it.
    let office = Client::of_school(&world, Scope::Admin).await;
    assert_eq!(
        office.get("/v1/templates").await.1,
        json!({"templates": []})
    );
    let unknown = office.get(one).await;
    assert_eq!((unknown.0, kind(&unknown.1)), (404, "unknown-template"));
    let hidden = office.send(Method::PUT, draft, Some("*"), &body).await;
    assert_eq!(hidden.1["detail"], unknown.1["detail"]);
    assert_eq!(
        client
            .send(
                Method::DELETE,
                "/v1/schools/A1930499544",
                None,
                &Value::Null
            )
            .await
            .0,
        200
    );
    assert_eq!(
        client
            .send(Method::DELETE, one, Some("\"1\""), &Value::Null)
            .await
            .0,
        200
    );
    assert_eq!(
        client.post(&format!("{one}/undo"), &Value::Null).await.0,
        200
    );
}

#[tokio::test]
async fn scheduled_syncs_are_paused_and_go_on() {
    let world = ApiEnv::new().await;
    let client = Client::of_school(&world, Scope::SettingsWrite).await;
    let path = format!("{}/sync/pause", school_path(&world));
    let (status, paused) = client
        .send(Method::PUT, &path, None, &json!({"until": "2027-06-01"}))
        .await;
    // Midnight in London, in summer.
    assert_eq!(
        (status, &paused["sync_paused_until"]),
        (200, &json!("2027-05-31T23:00:00Z")),
        "{paused}"
    );
    let (_, overview) = world.get(&school_path(&world)).await;
    assert_eq!(overview["sync_paused_until"], paused["sync_paused_until"]);
    for wrong in ["2026-11-23", "2026-13-01"] {
        let refused = client
            .send(Method::PUT, &path, None, &json!({"until": wrong}))
            .await;
        assert_eq!(refused.0, 422, "{wrong}");
    }
    let (status, on) = client.send(Method::DELETE, &path, None, &Value::Null).await;
    assert_eq!((status, &on["sync_paused_until"]), (200, &Value::Null));
    let (_, overview) = world.get(&school_path(&world)).await;
    assert_eq!(overview["sync_paused_until"], Value::Null);
    let (_, log) = world.get("/v1/audit").await;
    assert!(log.to_string().contains("syncs_paused") && log.to_string().contains("syncs_resumed"));
}

#[tokio::test]
async fn settings_are_tried_on_past_events_before_they_rule() {
    let mut world = adopted().await;
    world.run();
    world.known().await;
    world
        .take(vec![
            world.sign_in("e1", 0, "09:05"),
            world.sign_in("e2", 1, "08:50"),
        ])
        .await;
    for event in ["e1", "e2"] {
        world.until(event, EventState::Confirmed).await;
    }
    world.rest().await;
    let client = Client::of_settings(&world);
    let settings = format!("{}/settings", school_path(&world));
    let (_, shown) = client.get(&settings).await;
    let body = shown["body"].as_str().unwrap();
    let later = body.replace(
        "late = \"09:00\", unauthorised = \"09:20\"",
        "late = \"09:10\", unauthorised = \"09:20\"",
    );
    assert_ne!(later, body);
    let office = Client::of_school(&world, Scope::SettingsWrite).await;
    let tried = format!("{settings}/try");
    let (status, report) = office
        .post(&tried, &json!({"body": later, "days": 3}))
        .await;
    assert_eq!(status, 200, "{report}");
    assert_eq!(
        (&report["events"], &report["compared"]),
        (&json!(2), &json!(2))
    );
    let differences = report["differences"].as_array().unwrap();
    assert_eq!(differences.len(), 1, "{report}");
    let one = &differences[0];
    assert_eq!(
        (&one["event"], &one["change"]["from"]),
        (&json!("e1"), &json!("L"))
    );
    assert!(one["active"]["steps"].is_array() && one["draft"]["outcome"].is_string());
    assert!(
        report["summary"][0]
            .as_str()
            .unwrap()
            .starts_with("Monday 23 November: 1 L"),
        "{report}"
    );

    // The draft in the database, by its number.
    let (status, none) = office.post(&tried, &json!({})).await;
    assert_eq!((status, kind(&none)), (404, "unknown-version"));
    let draft = format!("{settings}/draft");
    assert_eq!(
        office
            .send(Method::PUT, &draft, Some("\"1\""), &json!({"body": later}))
            .await
            .0,
        200
    );
    let (_, report) = office.post(&tried, &Value::Null).await;
    assert_eq!(
        (&report["draft"], &report["differences"][0]["event"]),
        (&json!("store 2"), &json!("e1"))
    );
    let (status, wrong) = office.post(&tried, &json!({"body": "timezone = 1"})).await;
    assert_eq!((status, kind(&wrong)), (422, "invalid-settings"), "{wrong}");
    for days in [0, 367] {
        let (status, wrong) = office.post(&tried, &json!({"days": days})).await;
        assert_eq!(
            (status, &wrong["problems"][0]["pointer"]),
            (422, &json!("/days"))
        );
    }
    world.markback.write_records().await;
    let (_, log) = world.get("/v1/audit").await;
    let looks = log["entries"].as_array().unwrap().iter();
    assert_eq!(
        looks
            .filter(|entry| entry["action"] == "settings_tried")
            .count(),
        2
    );

    // An undo leaves the marks of the version as they are, and the list has them.
    let (_, marks) = office.get(&format!("{settings}/versions/1/marks")).await;
    let events: BTreeSet<_> = marks["marks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|mark| mark["event"].as_str().unwrap())
        .collect();
    assert_eq!(events, BTreeSet::from(["e1", "e2"]));
}

#[tokio::test]
async fn an_event_is_explained_without_being_stored() {
    let mut world = ApiEnv::with(Setup {
        writeback: "protected = ['M']\n",
        ..Setup::default()
    })
    .await;
    world.run();
    world.known().await;
    world.register_read().await;
    let client = Client::of_school(&world, Scope::EventsRead).await;
    let path = format!("{}/explain", school_path(&world));
    let event = world.sign_in("e1", 0, "09:05");
    let (status, now) = client.post(&path, &json!({"event": event})).await;
    assert_eq!(
        (status, &now["outcome"], &now["code"]),
        (200, &json!("write"), &json!("L")),
        "{now}"
    );
    assert!(!now["steps"].as_array().unwrap().is_empty());
    let (_, medical) = client
        .post(&path, &json!({"event": event, "register": {"code": "M"}}))
        .await;
    assert_eq!(
        (&medical["outcome"], medical.get("code")),
        (&json!("skip"), None),
        "{medical}"
    );
    let (_, empty) = client
        .post(&path, &json!({"event": event, "register": {}}))
        .await;
    assert_eq!(empty["code"], "L");
    // A group's rules decide about somebody whom the school does not have.
    let mut stranger = event.clone();
    stranger["person"] = json!("A0");
    let (status, unknown) = client.post(&path, &json!({"event": stranger})).await;
    assert_eq!(
        (status, &unknown["problems"][0]["pointer"]),
        (422, &json!("/event/person")),
        "{unknown}"
    );
    let (_, of_group) = client
        .post(
            &path,
            &json!({"event": stranger, "register": {}, "group": "Pupils"}),
        )
        .await;
    assert_eq!(of_group["code"], "L", "{of_group}");
    for wrong in [
        json!({"event": event, "group": "Pupils"}),
        json!({"event": event, "register": {}, "group": "Pupil"}),
    ] {
        let (status, refused) = client.post(&path, &wrong).await;
        assert_eq!(
            (status, &refused["problems"][0]["pointer"]),
            (422, &json!("/group")),
            "{refused}"
        );
    }
    let (status, wrong) = client
        .post(&path, &json!({"event": {"id": "e1", "kind": "sign_in"}}))
        .await;
    assert_eq!(status, 422);
    assert!(wrong.to_string().contains("/event"), "{wrong}");
    assert_eq!(
        client
            .get(&format!("{}/events/e1", school_path(&world)))
            .await
            .0,
        404,
        "nothing is stored"
    );
    world.markback.write_records().await;
    let (_, log) = world.get("/v1/audit").await;
    let looks = log["entries"].as_array().unwrap().iter();
    let looks: Vec<_> = looks
        .filter(|entry| entry["action"] == "event_explained")
        .collect();
    assert_eq!(looks.len(), 4);
    assert!(
        looks
            .iter()
            .any(|entry| entry["subject"] == json!(world.pupils[0].id))
    );
}

#[tokio::test]
async fn an_adapter_is_told_as_declared_granted_and_effective() {
    let world = adopted().await;
    let client = Client::of_settings(&world);
    let (_, listed) = client.get("/v1/adapters").await;
    let sims = listed["adapters"]
        .as_array()
        .unwrap()
        .iter()
        .find(|one| one["id"] == "sims");
    let path = format!("{}/adapter", school_path(&world));
    let (status, found) = client.get(&path).await;
    assert_eq!((status, Some(&found["adapter"])), (200, sims), "{found}");
    assert_eq!(found["granted"], found["adapter"]["capabilities"]);
    assert_eq!(
        (&found["effective"], &found["missing"]),
        (&found["granted"], &json!([]))
    );
    assert_eq!(found["grants"]["approved"], true);

    let settings = format!("{}/settings", school_path(&world));
    let (_, shown) = client.get(&settings).await;
    let body = format!("without = ['comment']\n{}", shown["body"].as_str().unwrap());
    assert_eq!(
        client
            .send(
                Method::PUT,
                &format!("{settings}/draft"),
                Some("*"),
                &json!({"body": body})
            )
            .await
            .0,
        200
    );
    assert_eq!(
        client
            .send(
                Method::POST,
                &format!("{settings}/activate"),
                Some("*"),
                &Value::Null
            )
            .await
            .0,
        200
    );
    let (_, found) = client.get(&path).await;
    assert_eq!(
        (&found["granted"]["comment"], &found["effective"]["comment"]),
        (&json!(true), &json!(false)),
        "{found}"
    );
    assert_eq!(found["missing"][0]["ability"], "comment");
    assert!(
        found["missing"][0]["why"]
            .as_str()
            .unwrap()
            .contains("without"),
        "{found}"
    );

    world
        .sandbox
        .set_access(&world.school.id, Access::Revoked)
        .unwrap();
    world.clock.advance(Duration::from_secs(2 * 60 * 60));
    let (_, revoked) = client.get(&path).await;
    assert_eq!(revoked["granted"]["session"], "none", "{revoked}");
    assert_eq!(revoked["grants"]["approved"], false);
    let why = revoked["missing"][0]["why"].as_str().unwrap();
    assert!(why.contains("not approved"), "{why}");
}

#[tokio::test]
async fn a_school_is_checked_like_by_the_command() {
    let world = ApiEnv::new().await;
    let office = Client::of_school(&world, Scope::SettingsWrite).await;
    let path = format!("{}/doctor", school_path(&world));
    let (status, found) = office.post(&path, &Value::Null).await;
    assert_eq!((status, &found["ok"]), (200, &json!(true)), "{found}");
    assert!(found["requests"].as_u64().unwrap() > 3);
    let asked: Vec<_> = found["findings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["asked"].as_str().unwrap())
        .collect();
    assert!(
        asked.starts_with(&["token", "region", "approved"]),
        "{asked:?}"
    );
    world
        .sandbox
        .set_access(&world.school.id, Access::Revoked)
        .unwrap();
    let (status, found) = office.post(&path, &Value::Null).await;
    assert_eq!((status, &found["ok"]), (200, &json!(false)), "{found}");
    world.markback.write_records().await;
    let (_, log) = world.get("/v1/audit").await;
    assert!(log.to_string().contains("school_examined"));
}

#[tokio::test]
async fn the_pause_of_a_school_is_ended_and_that_of_a_shared_token_only_by_who_sees_all() {
    let world = adopted().await;
    let client = Client::of_settings(&world);
    let office = Client::of_school(&world, Scope::SettingsWrite).await;
    let path = format!("{}/resume", school_path(&world));
    let pause = async |key: &str| {
        let store = world.markback.store();
        let mut tx = store.database().begin().await.unwrap();
        let hour = Duration::from_secs(3600);
        store
            .pause(&mut tx, key, hour, "its MIS is away", true)
            .await
            .unwrap();
        tx.commit().await.unwrap();
    };
    assert_eq!(kind(&office.post(&path, &Value::Null).await.1), "conflict");
    pause(&world.school.id).await;
    let (_, overview) = client.get(&school_path(&world)).await;
    assert_eq!(overview["paused"]["reason"], "its MIS is away");
    let (status, resumed) = office.post(&path, &Value::Null).await;
    assert_eq!(
        (status, &resumed["paused"]),
        (200, &Value::Null),
        "{resumed}"
    );

    let other = json!({"id": "A1930499544", "body": text("09:00")});
    assert_eq!(client.post("/v1/schools", &other).await.0, 201);
    let token = markback::schools::token_key(&world.markback.school(&world.id()).unwrap());
    pause(&token).await;
    let (status, refused) = office.post(&path, &Value::Null).await;
    assert_eq!((status, kind(&refused)), (409, "conflict"));
    assert!(
        refused["detail"].as_str().unwrap().contains("shared"),
        "{refused}"
    );
    assert_eq!(client.post(&path, &Value::Null).await.0, 200);
    assert!(world.paused().await.is_empty());
    let (_, log) = world.get("/v1/audit").await;
    let ended = log["entries"].as_array().unwrap().iter();
    assert_eq!(
        ended
            .filter(|entry| entry["action"] == "pause_ended")
            .count(),
        2
    );
}

#[tokio::test]
async fn a_version_is_activated_from_a_day_on_and_cancelled() {
    let world = adopted().await;
    let client = Client::of_settings(&world);
    let settings = format!("{}/settings", school_path(&world));
    let activate = format!("{settings}/activate");
    let draft = json!({"body": text("09:10")});
    let path = format!("{settings}/draft");
    let (status, written) = client.send(Method::PUT, &path, Some("\"1\""), &draft).await;
    assert_eq!((status, &written["from"]), (200, &Value::Null), "{written}");

    // It is Monday.
    let from = |day: &str| json!({"from": day, "note": "governors"});
    let schedule = async |base, day| {
        let body = from(day);
        client
            .send(Method::POST, &activate, Some(base), &body)
            .await
    };
    let (status, refused) = schedule("\"2\"", "2026-11-23").await;
    assert_eq!(status, 422, "{refused}");
    assert_eq!(refused["problems"][0]["pointer"], "/from");
    let (status, refused) = schedule("\"1\"", "2026-11-25").await;
    assert_eq!(
        (status, kind(&refused)),
        (412, "settings-changed"),
        "{refused}"
    );
    let (status, done) = schedule("\"2\"", "2026-11-25").await;
    assert_eq!(
        (status, &done["active"], &done["from"]),
        (200, &json!(false), &json!("2026-11-25")),
        "{done}"
    );

    let (_, shown) = client.get(&settings).await;
    assert_eq!(shown["number"], 1);
    let waits = &shown["scheduled"];
    assert_eq!(
        (&waits["number"], &waits["note"]),
        (&json!(2), &json!("governors"))
    );
    assert_eq!(waits["starts_at"], "2026-11-25T00:00:00Z");
    let (_, history) = client.get(&format!("{settings}/versions")).await;
    assert_eq!(history["versions"][0]["from"], "2026-11-25");
    let (status, refused) = client
        .post(&format!("{settings}/undo"), &json!({"to": 1}))
        .await;
    assert_eq!(status, 409, "{refused}");

    let cancel = async |base| {
        client
            .send(Method::DELETE, &activate, base, &Value::Null)
            .await
    };
    assert_eq!(cancel(Some("\"1\"")).await.0, 404);
    assert_eq!(cancel(Some("\"2\"")).await.0, 200);
    let (status, gone) = cancel(None).await;
    assert_eq!((status, kind(&gone)), (404, "unknown-version"), "{gone}");

    assert_eq!(schedule("*", "2026-11-25").await.0, 200);
    world.clock.advance(Duration::from_secs(2 * 86_400));
    let (_, shown) = client.get(&settings).await;
    assert_eq!(
        (&shown["number"], &shown["scheduled"]),
        (&json!(2), &Value::Null),
        "{shown}"
    );
    let (_, audit) = client.get("/v1/audit").await;
    let audit = audit.to_string();
    for action in [
        "settings_scheduled",
        "settings_schedule_cancelled",
        "settings_activated",
    ] {
        assert!(audit.contains(action), "{action}: {audit}");
    }
}

#[tokio::test]
async fn a_version_that_cannot_begin_is_among_the_schools_problems() {
    let world = adopted().await;
    let client = Client::of_settings(&world);
    let settings = format!("{}/settings", school_path(&world));
    let template = json!({"body": "timezone = 'Europe/London'\n"});
    let send = async |method, path: &str, body: &Value| {
        let (status, answer) = client.send(method, path, Some("*"), body).await;
        assert_eq!(status, 200, "{path}: {answer}");
    };
    let empty = json!({});
    send(Method::PUT, "/v1/templates/new/draft", &template).await;
    send(Method::POST, "/v1/templates/new/activate", &empty).await;
    let body = json!({"body": format!("template = 'new'\n{}", text("09:10"))});
    send(Method::PUT, &format!("{settings}/draft"), &body).await;
    let from = json!({"from": "2026-11-25"});
    send(Method::POST, &format!("{settings}/activate"), &from).await;
    let problems = format!("{}/problems", school_path(&world));
    assert_eq!(client.get(&problems).await.1["scheduled"], Value::Null);

    send(Method::DELETE, "/v1/templates/new", &Value::Null).await;
    let (_, told) = client.get(&problems).await;
    assert_eq!(told["scheduled"]["number"], 2, "{told}");
    let (_, school) = client.get("/v1/schools").await;
    let notes = school["schools"][0]["notes"].to_string();
    let note = "version 2 is to rule from 2026-11-25 on and cannot: ";
    assert!(notes.contains(note), "{notes}");
}

#[tokio::test]
async fn with_four_eyes_another_key_activates() {
    let world = ApiEnv::with(Setup {
        extra: "four_eyes = true\n",
        ..Setup::default()
    })
    .await;
    let author = Client::of_settings(&world);
    let settings = format!("{}/settings", school_path(&world));
    author
        .post(&format!("{}/adopt", school_path(&world)), &json!({}))
        .await;
    // The name is not what counts.
    let right = json!({"body": text("09:10"), "by": "Ann"});
    let (status, _) = author
        .send(
            Method::PUT,
            &format!("{settings}/draft"),
            Some("\"1\""),
            &right,
        )
        .await;
    assert_eq!(status, 200);
    let activate = format!("{settings}/activate");
    let (status, refused) = author
        .send(
            Method::POST,
            &activate,
            Some("\"2\""),
            &json!({"by": "Ben"}),
        )
        .await;
    assert_eq!((status, kind(&refused)), (403, "four-eyes"), "{refused}");
    let other = Client::of_school(&world, Scope::SettingsWrite).await;
    let (status, active) = other
        .send(
            Method::POST,
            &activate,
            Some("\"2\""),
            &json!({"by": "Ann"}),
        )
        .await;
    assert_eq!((status, &active["active"]), (200, &json!(true)), "{active}");
}
