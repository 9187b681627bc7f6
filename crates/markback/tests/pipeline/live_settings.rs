//! Settings that change while events are decided.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use markback::{operator::Actor, service::EventState, store::SettingsKey};
use wonde_sandbox::{Fault, RetryAfter};

use crate::stage::{ARBOR, SIMS, Setup, Stage, post, sign_in};

fn actor() -> Actor {
    Actor {
        via: "test",
        ..Actor::default()
    }
}

/// The school's own settings, with another time from which it is late.
fn late_from(time: &str) -> String {
    format!(
        "template = 'all'\n[[group]]\nname = 'Pupils'\nkind = 'students'\n\
         writeback.am = {{ opens = '08:00', late = '{time}', unauthorised = '10:30' }}\n\
         writeback.pm = {{ opens = '12:00', late = '13:00', unauthorised = '13:15' }}\nwriteback.closes = '16:00'\nwriteback.present = true\n"
    )
}

/// Moves a school into the database, and lets this text of its settings rule.
async fn activate(stage: &Stage, school: &str, text: &str) {
    let key = SettingsKey::school(school);
    let mut all = stage.markback.configuration().await;
    all.adopt(&[school.to_owned()], &actor()).await.unwrap();
    all.draft(&key, text, None, &actor()).await.unwrap();
    all.activate(&key, None, &actor()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_event_is_decided_by_the_settings_that_were_activated() {
    let stage = Stage::usual().await;
    let (one, other) = (stage.pupil(SIMS, 0), stage.pupil(SIMS, 1));
    stage.take(SIMS, sign_in("before", &one, "09:05:00")).await;
    assert_eq!(
        stage.settled_as(SIMS, "before").await,
        EventState::Confirmed
    );
    assert_eq!(stage.code(SIMS, &one, "AM").as_deref(), Some("L"));

    activate(&stage, &stage.school(SIMS), &late_from("09:10")).await;
    // The workers follow by themselves, without a call.
    stage
        .until("the new version rules", async || {
            let school = stage.markback.school(&stage.school(SIMS).as_str().into());
            school.is_some_and(|school| school.version.to_string().starts_with("store 2"))
        })
        .await;
    stage.take(SIMS, sign_in("after", &other, "09:05:00")).await;
    assert_eq!(stage.settled_as(SIMS, "after").await, EventState::Confirmed);
    assert_eq!(stage.code(SIMS, &other, "AM").as_deref(), Some("/"));
    // What was decided stays.
    assert_eq!(stage.code(SIMS, &one, "AM").as_deref(), Some("L"));
}

/// A mark that is planned, and about to be decided otherwise by new settings when it is sent.
async fn planned_before_the_settings_changed() -> Stage {
    let stage = Stage::usual().await;
    let away = Fault::Status {
        status: 503,
        retry_after: RetryAfter::Seconds(400),
    };
    stage.sandbox.add_fault(post(away).times(1)).unwrap();
    let event = sign_in("e1", &stage.pupil(SIMS, 0), "09:05:00");
    stage.take(SIMS, event).await;
    stage.waits(SIMS, "e1").await;
    activate(&stage, &stage.school(SIMS), &late_from("09:10")).await;
    stage.markback.refresh_settings().await.unwrap();
    stage
}

/// The mark that was sent is known as ours, and its event says why it is another than the one that was planned first.
async fn is_found_as_it_was_sent(stage: &Stage) {
    assert_eq!(stage.settled_as(SIMS, "e1").await, EventState::Confirmed);
    let code = stage.code(SIMS, &stage.pupil(SIMS, 0), "AM");
    assert_eq!(code.as_deref(), Some("/"));
    assert_eq!(stage.requests("POST attendance/session"), 2);
    let event = stage.event(SIMS, "e1").await;
    assert!(event.settings.unwrap().starts_with("store 2"));
    assert_eq!(event.decision.unwrap()["mark"]["code"], "/");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mark_that_new_settings_changed_and_nobody_answered_is_found_in_the_register() {
    let stage = planned_before_the_settings_changed().await;
    let cut = post(Fault::CutAfter).times(1);
    stage.sandbox.add_fault(cut).unwrap();
    stage.clock.advance(Duration::from_secs(400));
    is_found_as_it_was_sent(&stage).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mark_that_new_settings_changed_is_found_after_its_node_was_killed() {
    let mut stage = planned_before_the_settings_changed().await;
    let slow = Fault::Slow {
        millis: 3_600_000,
        after: true,
    };
    stage.sandbox.add_fault(post(slow).times(1)).unwrap();
    stage.clock.advance(Duration::from_secs(400));
    let pupil = stage.pupil(SIMS, 0);
    stage
        .until("the mark is in the MIS", async || {
            stage.code(SIMS, &pupil, "AM").is_some()
        })
        .await;
    stage.crash().await;
    // The lease of what was in hand lapses.
    stage.clock.advance(Duration::from_secs(3700));
    stage.work();
    is_found_as_it_was_sent(&stage).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_arrives_on_the_day_of_a_version_is_decided_by_it() {
    let stage = Stage::usual().await;
    let key = SettingsKey::school(stage.school(SIMS));
    let pupil = stage.pupil(SIMS, 0);
    let mut all = stage.markback.configuration().await;
    all.adopt(&[stage.school(SIMS)], &actor()).await.unwrap();
    all.draft(&key, &late_from("09:10"), None, &actor())
        .await
        .unwrap();
    let tomorrow = stage.today() + chrono::Days::new(1);
    all.activate_from(&key, None, tomorrow, &actor())
        .await
        .unwrap();
    stage.clock.advance(std::time::Duration::from_secs(86_400));
    // The workers follow by themselves, without a call.
    stage
        .until("the version rules", async || {
            let school = stage.markback.school(&stage.school(SIMS).as_str().into());
            school.is_some_and(|school| school.version.to_string().starts_with("store 2"))
        })
        .await;
    // It happened on the day before, and is decided on the day of the version.
    stage.take(SIMS, sign_in("late", &pupil, "09:05:00")).await;
    stage.settled().await;
    let event = stage.event(SIMS, "late").await;
    assert!(event.settings.unwrap().starts_with("store 2"));
    let decision = event.decision.unwrap();
    assert_ne!(decision["mark"]["code"], "L", "{decision}");
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_group_was_renamed_events_wait_for_the_people_and_are_not_skipped() {
    let stage = Stage::usual().await;
    let pupil = stage.pupil(SIMS, 0);
    let renamed = late_from("09:00").replace("name = 'Pupils'", "name = 'Everybody'");
    activate(&stage, &stage.school(SIMS), &renamed).await;
    stage.markback.refresh_settings().await.unwrap();
    stage.take(SIMS, sign_in("e1", &pupil, "08:50:00")).await;
    assert_eq!(stage.settled_as(SIMS, "e1").await, EventState::Confirmed);
    assert_eq!(stage.code(SIMS, &pupil, "AM").as_deref(), Some("/"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_was_opened_by_other_settings_is_not_used() {
    let stage = Stage::usual().await;
    let id = stage.school(SIMS);
    let before = stage.markback.school(&id.as_str().into()).unwrap();
    let text = "template = 'all'\nwithout = ['comment']\n";
    activate(&stage, &id, text).await;
    stage.markback.refresh_settings().await.unwrap();
    // A batch that began before the change opens the connection once more.
    let old = stage.markback.schools().mis(&before).await.unwrap();
    assert!(old.capabilities().has(mis_core::Ability::Comment));
    let now = stage.markback.school(&id.as_str().into()).unwrap();
    let new = stage.markback.schools().mis(&now).await.unwrap();
    assert!(!new.capabilities().has(mis_core::Ability::Comment));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_school_without_a_token_that_can_be_used_waits_alone_until_it_has_one() {
    let stage = Stage::set(Setup {
        service: "seal_key_file = 'seal'\n",
        ..Setup::default()
    })
    .await;
    let seal = |byte: u8| {
        std::fs::write(stage.path("seal"), STANDARD.encode([byte; 32])).unwrap();
    };
    seal(1);
    let id = mis_core::SchoolId::from(stage.school(SIMS));
    let own = late_from("09:00").replace("template = 'all'", "timezone = 'Europe/London'");
    activate(&stage, id.as_str(), &own).await;
    stage.markback.refresh_settings().await.unwrap();
    assert_eq!(stage.markback.tokens_unread(), 1);

    let (one, other) = (stage.pupil(SIMS, 0), stage.pupil(ARBOR, 0));
    stage.take(SIMS, sign_in("e1", &one, "09:05:00")).await;
    stage.take(ARBOR, sign_in("e2", &other, "09:05:00")).await;
    stage.reaches(ARBOR, "e2", EventState::Confirmed).await;
    stage.waits(SIMS, "e1").await;
    let waiting = stage.event(SIMS, "e1").await.waiting.unwrap();
    assert!(waiting.contains("markback token set"), "{waiting}");

    // A token ends the wait, without a restart.
    let all = stage.markback.configuration().await;
    let token = secrecy::SecretString::from(stage.sandbox.token());
    all.set_token(&id, &token, &actor()).await.unwrap();
    assert_eq!(stage.settled_as(SIMS, "e1").await, EventState::Confirmed);
    assert_eq!(stage.markback.tokens_unread(), 0);

    // Another token is used at once, in place of the one before.
    stage
        .sandbox
        .set_token_revoked(&stage.sandbox.token(), true);
    let next = secrecy::SecretString::from(stage.sandbox.schools()[SIMS].token.clone());
    all.set_token(&id, &next, &actor()).await.unwrap();
    stage.markback.refresh_settings().await.unwrap();
    let pupil = stage.pupil(SIMS, 1);
    stage.take(SIMS, sign_in("e3", &pupil, "09:05:00")).await;
    assert_eq!(stage.settled_as(SIMS, "e3").await, EventState::Confirmed);

    // A key that was changed without the tokens is told as that.
    seal(2);
    let school = stage.markback.school(&id).unwrap();
    let told = school.token().unwrap_err().to_string();
    assert!(told.contains("sealed with the key"), "{told}");
}
