//! Wonde's webhooks: hints that may arrive twice, late or out of order, at an address with a secret.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use markback::{
    operator::Actor,
    pipeline::WorkerConfig,
    service::EventState,
    store::{Notice, NoticeKind, SettingsKey},
};
use markback_lab::harness::{ApiEnv, SECRET, Setup, answer, quick_sandbox};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use wonde_sandbox::{Access, Fault, FaultRule, SandboxOptions};

async fn notices(world: &ApiEnv) -> Vec<Notice> {
    world.markback.store().notices().await.unwrap()
}

/// A service that hardly looks at writebacks by itself, and an MIS that has marks at once.
async fn without_looks() -> ApiEnv {
    let world = ApiEnv::with(Setup {
        workers: WorkerConfig {
            poll: Duration::from_millis(10),
            confirm_after: Duration::from_secs(50 * 60),
            ..WorkerConfig::default()
        },
        ..Setup::default()
    })
    .await;
    world.sandbox.set_write_delay(Duration::ZERO);
    world
}

#[tokio::test]
async fn repeated_webhooks_read_a_writeback_once() {
    let mut world = without_looks().await;
    world.run();
    world.known().await;
    world.take(vec![world.sign_in("e1", 0, "08:50")]).await;
    let accepted = world.until_still("e1", EventState::Accepted).await;

    let told = json!({"payload_type": "writeback", "writeback_id": accepted.writeback_id.unwrap(),
                      "status": "failed", "type": "attendance"});
    let (status, body) = world.hook(&told).await;
    assert_eq!(
        (status, &body["done"]),
        (200, &json!("Wonde is asked about it now"))
    );
    // The webhook reports a failure, but Wonde's API reports success.
    world.until_still("e1", EventState::Confirmed).await;
    let (status, body) = world.hook(&told).await;
    assert_eq!(
        (status, &body["done"]),
        (
            200,
            &json!("nothing waits for this writeback for longer than planned")
        )
    );
    assert_eq!(world.event("e1").await.state, EventState::Confirmed);
}

#[tokio::test]
async fn once_webhooks_have_told_of_all_writebacks_they_are_read_together() {
    let mut world = without_looks().await;
    world.run();
    world.known().await;
    world.register_read().await;
    let mut told = Vec::new();
    for n in 0..3 {
        let id = format!("e{n}");
        world.take(vec![world.sign_in(&id, n, "08:50")]).await;
        let accepted = world.until(&id, EventState::Accepted).await;
        told.push(
            json!({"payload_type": "writeback", "writeback_id": accepted.writeback_id.unwrap(),
                   "status": "complete", "type": "attendance"}),
        );
        if n == 0 {
            // From now on webhooks are known to come.
            world.hook(&told[0]).await;
            world.until_still("e0", EventState::Confirmed).await;
        }
    }
    world.clock.advance(Duration::from_secs(60 * 60));
    assert_eq!(
        world.hook(&told[1]).await.1["done"],
        "nothing waits for this writeback for longer than planned"
    );
    assert_eq!(world.event("e1").await.state, EventState::Accepted);
    assert_eq!(
        world.hook(&told[2]).await.1["done"],
        "Wonde is asked about it now"
    );
    for id in ["e1", "e2"] {
        world.until_still(id, EventState::Confirmed).await;
    }
}

#[tokio::test]
async fn a_partly_settled_writeback_is_read_again_at_once() {
    let mut world = without_looks().await;
    let lost = FaultRule::new(Fault::LoseMark { named: false });
    world
        .sandbox
        .add_fault(lost.on("attendance/session").method("POST"))
        .unwrap();
    let events = (0..3).map(|n| world.sign_in(&format!("e{n}"), n, "08:50"));
    let events: Vec<_> = events.collect();
    world.run();
    world.known().await;
    // Until then the register shows no mark.
    world.register_read().await;
    world.take(events).await;
    let accepted = world.until_still("e1", EventState::Accepted).await;
    let told = json!({"payload_type": "writeback", "writeback_id": accepted.writeback_id.unwrap()});
    assert_eq!(
        world.hook(&told).await.1["done"],
        "Wonde is asked about it now"
    );
    // Wonde reports an error that names no mark. The register must show each mark; without a webhook it is read after
    // fifty minutes.
    world
        .wait_until("the errors are known", Duration::ZERO, async || {
            let waiting = world.event("e1").await.waiting;
            waiting.is_some_and(|why| why.contains("errors"))
        })
        .await;
    assert_eq!(world.event("e1").await.state, EventState::Accepted);
    world.clock.advance(Duration::from_secs(60));
    assert_eq!(
        world.hook(&told).await.1["done"],
        "Wonde is asked about it now"
    );
    world.until_still("e1", EventState::Confirmed).await;
    world.until_still("e2", EventState::Confirmed).await;
    // Once more, for the remaining mark.
    assert_eq!(world.event("e0").await.state, EventState::Accepted);
    assert_eq!(
        world.hook(&told).await.1["done"],
        "Wonde is asked about it now"
    );
}

#[tokio::test]
async fn a_wrong_webhook_secret_is_answered_like_an_unknown_path() {
    let told = json!({"payload_type": "weather"});
    let world = ApiEnv::new().await;
    assert_eq!(world.hook(&told).await.0, 200);
    let elsewhere = world.http.post(format!("{}/nowhere", world.address));
    let nothing = without_instance(answer(elsewhere.json(&told)).await);
    assert_eq!(nothing.0, 404);
    for wrong in [
        "x",
        "%ff",
        &SECRET[1..],
        &SECRET.to_uppercase(),
        &format!("{SECRET}x"),
    ] {
        let url = format!("{}/webhooks/wonde/{wrong}", world.address);
        let answer = answer(world.http.post(url).json(&told)).await;
        assert_eq!(without_instance(answer), nothing);
    }

    let closed = ApiEnv::with(Setup {
        extra: "",
        ..Setup::default()
    })
    .await;
    assert_eq!(without_instance(closed.hook(&told).await), nothing);
}

/// The answer without the id of its request.
fn without_instance((status, mut body): (u16, Value)) -> (u16, Value) {
    body["instance"].take();
    (status, body)
}

#[tokio::test]
async fn invalid_webhooks_have_no_effect() {
    let world = ApiEnv::new().await;
    let url = format!("{}/webhooks/wonde/{SECRET}", world.address);
    for (body, status) in [
        ("".to_owned(), 400),
        ("{".to_owned(), 400),
        ("[]".to_owned(), 200),
        (r#"{"payload_type":{"a":1}}"#.to_owned(), 200),
        (
            r#"{"payload_type":"writeback","writeback_id":null}"#.to_owned(),
            200,
        ),
        (
            r#"{"payload_type":"accessRevoked","school_id":"unknown"}"#.to_owned(),
            200,
        ),
        (format!("\"{}\"", "x".repeat(70_000)), 413),
    ] {
        let answer = answer(world.http.post(&url).body(body.clone())).await;
        assert_eq!(answer.0, status, "{:.60}", body);
    }
    assert_eq!(notices(&world).await, []);
    assert_eq!(world.paused().await, Vec::<String>::new());
}

#[tokio::test]
async fn a_school_is_paused_if_wonde_confirms_its_revocation() {
    let world = ApiEnv::new().await;
    let school = world.school.id.clone();
    let revoked =
        json!({"payload_type": "accessRevoked", "school_id": school, "revoke_reason": "Moved"});
    let (status, body) = world.hook(&revoked).await;
    assert_eq!(status, 200);
    assert!(body["done"].as_str().unwrap().contains("still approves"));
    assert_eq!(world.paused().await, Vec::<String>::new());

    world.sandbox.set_access(&school, Access::Revoked).unwrap();
    for _ in 0..2 {
        let (_, body) = world.hook(&revoked).await;
        assert_eq!(body["done"], "the school is paused");
        assert_eq!(world.paused().await, std::slice::from_ref(&school));
    }
    let told = notices(&world).await;
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].kind, NoticeKind::Revoked);

    let declined = json!({"payload_type": "accessDeclined", "school_id": school});
    assert_eq!(
        world.hook(&declined).await.1["done"],
        "the school is paused"
    );

    world.sandbox.set_access(&school, Access::Approved).unwrap();
    let approved = json!({"payload_type": "schoolApproved", "school_id": school, "school_name": "Hill School",
                          "school_token": "a-token-nobody-keeps"});
    assert_eq!(world.hook(&approved).await.0, 200);
    assert_eq!(world.paused().await, Vec::<String>::new());
    let text = format!("{:?}", notices(&world).await);
    assert!(!text.contains("a-token-nobody-keeps"), "{text}");
    // A late webhook about a finished change.
    let (_, body) = world.hook(&revoked).await;
    assert!(body["done"].as_str().unwrap().contains("still approves"));
    assert_eq!(world.paused().await, Vec::<String>::new());
}

#[tokio::test]
async fn a_migration_webhook_selects_the_new_adapter() {
    let mut world = ApiEnv::new().await;
    let school = world.school.id.clone();
    world.take(vec![world.sign_in("before", 0, "08:50")]).await;
    world.run();
    world.until("before", EventState::Confirmed).await;
    let told = |scheduled: &str, completed: Value| {
        json!({"payload_type": "schoolMigration", "school_id": school, "migrate_from": "SIMS", "migrate_to": "Bromcom",
               "scheduled_at": {"date": scheduled, "timezone_type": 3, "timezone": "UTC"}, "completed_at": completed})
    };
    let planned = told("2026-11-24 00:00:00.000000", Value::Null);
    for _ in 0..2 {
        assert_eq!(
            world.hook(&planned).await.1["done"],
            "the operator is warned"
        );
    }
    let settings = world.markback.school(&world.id()).unwrap();
    let mis = world.markback.schools().mis(&settings).await.unwrap();
    let before = mis.descriptor().id;
    let list = notices(&world).await;
    assert_eq!(list.len(), 1);
    assert!(
        !list[0].done && list[0].words.contains("2026-11-24"),
        "{list:?}"
    );

    world.sandbox.migrate(&school, "Bromcom").unwrap();
    let over = told("2026-11-24 00:00:00.000000", json!("2026-11-23 09:00:00"));
    let (status, body) = world.hook(&over).await;
    assert_eq!(
        (status, &body["done"]),
        (200, &json!("the school's MIS is read again"))
    );
    let mis = world.markback.schools().mis(&settings).await.unwrap();
    assert_eq!((before, mis.descriptor().id), ("sims", "bromcom"));
    // A late webhook about the plan does not warn of the finished change.
    assert_eq!(world.hook(&planned).await.1["done"], "that is over already");
    let list = notices(&world).await;
    assert!(list.len() == 1 && list[0].done, "{list:?}");

    world.take(vec![world.sign_in("after", 1, "08:52")]).await;
    world.until("after", EventState::Confirmed).await;
}

/// A service with a seal key, and the sandbox's second school, which the settings do not have.
async fn with_a_stranger(extra: &'static str) -> (ApiEnv, String, String) {
    let sandbox = SandboxOptions {
        schools: 2,
        pupils_per_school: 5,
        ..quick_sandbox()
    };
    let world = ApiEnv::with(Setup {
        extra,
        sandbox,
        ..Setup::default()
    })
    .await;
    std::fs::write(world.path("seal"), STANDARD.encode([7; 32])).unwrap();
    let stranger = world.sandbox.schools().remove(1);
    (world, stranger.id, stranger.token)
}

const SEALED: &str = "webhook_secret_file = 'webhook-secret'\nseal_key_file = 'seal'\n";

fn approved(school: &str, token: &str) -> Value {
    json!({"payload_type": "schoolApproved", "school_id": school, "school_name": "Mill\nLane School",
           "school_token": token})
}

fn note_of(notices: &[Notice], school: &str) -> String {
    let notice = notices.iter().find(|one| one.school.as_str() == school);
    notice.unwrap().words.clone()
}

#[tokio::test]
async fn a_school_that_approves_is_a_draft_with_its_token_until_a_person_activates_it() {
    let (world, school, token) = with_a_stranger(SEALED).await;
    let id = mis_core::SchoolId::from(school.as_str());
    let store = world.markback.store();
    let key = SettingsKey::school(&school);
    let (status, body) = world.hook(&approved(&school, &token)).await;
    assert_eq!(
        (status, &body["done"]),
        (200, &json!("the school is a draft now, with its token"))
    );
    assert!(world.markback.school(&id).is_none());
    let draft = store.settings_versions(&key).await.unwrap().remove(0);
    assert_eq!(
        (draft.by.as_deref(), draft.via.as_str()),
        (Some("Wonde"), "webhook")
    );
    assert!(
        draft.body.contains("\nname = \"MillLane School\"\n"),
        "{}",
        draft.body
    );
    assert!(note_of(&notices(&world).await, &school).contains("markback settings activate"));
    // Once more, nothing changes.
    let (_, body) = world.hook(&approved(&school, &token)).await;
    assert_eq!(body["done"], "the school is resumed");
    assert_eq!(store.settings_versions(&key).await.unwrap().len(), 1);
    assert_eq!(store.token_history(&id).await.unwrap().len(), 1);
    assert!(note_of(&notices(&world).await, &school).contains("markback settings activate"));

    // It cannot rule as it is; completed by a person, it does.
    let actor = Actor::default();
    let mut all = world.markback.configuration().await;
    let incomplete = all.activate(&key, None, &actor).await.unwrap_err();
    assert!(incomplete.to_string().contains("timezone"), "{incomplete}");
    let text = format!("{}timezone = 'Europe/London'\n", draft.body);
    all.draft(&key, &text, None, &actor).await.unwrap();
    let done = all.activate(&key, None, &actor).await.unwrap();
    assert_eq!(done.hints, []);
    world.markback.refresh_settings().await.unwrap();
    let settings = world.markback.school(&id).unwrap();
    assert!(world.markback.schools().mis(&settings).await.is_ok());

    // A new token takes the place of the one before, if Wonde accepts it.
    let (_, body) = world.hook(&approved(&school, "a-token-nobody-knows")).await;
    assert_eq!(body["done"], "Wonde does not confirm it");
    let (_, body) = world.hook(&approved(&school, &world.sandbox.token())).await;
    assert_eq!(body["done"], "the school has its new token");
    let now = world.markback.school(&id).unwrap().token().unwrap();
    assert_eq!(now.expose_secret(), world.sandbox.token());
    let history = store.token_history(&id).await.unwrap();
    assert_eq!(
        (
            history.len(),
            history[0].by.as_deref(),
            history[0].via.as_str()
        ),
        (2, Some("Wonde"), "webhook")
    );
    let told = format!("{:?}{history:?}", notices(&world).await);
    for secret in [&token, &world.sandbox.token(), "a-token-nobody-knows"] {
        assert!(!told.contains(secret), "{told}");
    }
}

#[tokio::test]
async fn without_a_seal_key_a_draft_has_no_token_and_says_so() {
    let (world, school, token) = with_a_stranger(Setup::default().extra).await;
    let (_, body) = world.hook(&approved(&school, &token)).await;
    assert_eq!(body["done"], "the school is a draft now, without a token");
    let store = world.markback.store();
    assert_eq!(store.tokens().await.unwrap(), []);
    let key = SettingsKey::school(&school);
    let draft = store.settings_versions(&key).await.unwrap().remove(0);
    for note in [
        draft.note.unwrap(),
        note_of(&notices(&world).await, &school),
    ] {
        assert!(
            note.contains("was not kept") && note.contains("seal_key_env"),
            "{note}"
        );
    }
}

#[tokio::test]
async fn what_wonde_does_not_confirm_brings_no_school_in() {
    let (world, school, _) = with_a_stranger(SEALED).await;
    let (_, body) = world.hook(&approved(&school, "a-token-nobody-knows")).await;
    assert_eq!(body["done"], "Wonde does not confirm it");
    assert_eq!(
        world.markback.store().settings_summaries().await.unwrap(),
        []
    );
}

#[tokio::test]
async fn schools_of_the_file_and_schools_that_were_removed_are_left_alone() {
    let (world, school, token) = with_a_stranger(SEALED).await;
    let own = world.id().to_string();
    let (_, body) = world.hook(&approved(&own, &world.school.token)).await;
    assert_eq!(body["done"], "the school is resumed");
    let actor = Actor::default();
    let mut all = world.markback.configuration().await;
    let key = SettingsKey::school(&school);
    let text = "timezone = 'Europe/London'\n";
    all.add(&key, text, false, &actor).await.unwrap();
    all.remove(&key, None, &actor).await.unwrap();
    world.markback.refresh_settings().await.unwrap();
    let (_, body) = world.hook(&approved(&school, &token)).await;
    assert!(
        body["done"].as_str().unwrap().contains("stays out"),
        "{body}"
    );
    assert_eq!(world.markback.store().tokens().await.unwrap(), []);
    assert!(world.markback.school(&school.as_str().into()).is_none());
}
