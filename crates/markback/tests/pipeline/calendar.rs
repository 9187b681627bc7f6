//! Closures from a school's iCalendar.

use std::time::Duration;

use markback::{service::EventState, settings};
use rstest::rstest;
use wiremock::{
    Mock, MockServer, ResponseTemplate,
    matchers::{header, method, path},
};

use crate::stage::{ARBOR, SIMS, Setup, Stage, sign_in};

const FILE: &str = "dates.ics";

fn closed_on(date: &str) -> String {
    format!(
        "BEGIN:VCALENDAR\nBEGIN:VEVENT\nDTSTART;VALUE=DATE:{date}\nSUMMARY:Closed for snow\nEND:VEVENT\nEND:VCALENDAR\n"
    )
}

/// All schools of the settings get the iCalendar file.
async fn with_ical(stage: &Stage) {
    with_calendar(stage, &format!("ical_file = '{FILE}'")).await;
}

/// All schools of the settings get this calendar.
async fn with_calendar(stage: &Stage, calendar: &str) {
    let path = stage.settings_path();
    let text = std::fs::read_to_string(&path).unwrap();
    let school = "template = \"all\"\n";
    let more = format!("{school}[school.calendar]\n{calendar}\n");
    std::fs::write(&path, text.replace(school, &more)).unwrap();
    stage.markback.reload_file(&path).await.unwrap();
}

async fn calendar_error(stage: &Stage) -> Option<String> {
    let mut overview = stage.markback.store().overview().await.unwrap();
    let school = stage.school(SIMS);
    overview.remove(&school.as_str().into())?.calendar_error
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closure_of_the_ical_skips_events_even_when_the_file_is_gone() {
    let stage = Stage::set(Setup::default()).await;
    let (file, pupil) = (stage.path(FILE), stage.pupil(SIMS, 0));
    let store = stage.markback.store();

    // Never read: it counts as a school day, and the decision says so.
    with_ical(&stage).await;
    stage
        .take(SIMS, sign_in("unread", &pupil, "08:50:00"))
        .await;
    assert_eq!(
        stage.settled_as(SIMS, "unread").await,
        EventState::Confirmed
    );
    let steps = stage.event(SIMS, "unread").await.steps.join("\n");
    assert!(steps.contains("iCalendar has not been read yet"), "{steps}");
    let error = calendar_error(&stage).await.unwrap();
    assert!(error.contains("no day is closed by it"), "{error}");
    assert_ne!(store.calendars_unread().await.unwrap(), 0);

    // It is tried again by itself.
    let today = stage.today().format("%Y%m%d").to_string();
    std::fs::write(&file, closed_on(&today)).unwrap();
    stage
        .until("the iCalendar is read", async || {
            stage.clock.advance(Duration::from_secs(60));
            stage.markback.read_calendars_that_are_due().await;
            calendar_error(&stage).await.is_none()
        })
        .await;
    assert_eq!(store.calendars_unread().await.unwrap(), 0);

    std::fs::remove_file(&file).unwrap();
    stage
        .markback
        .reload_file(&stage.settings_path())
        .await
        .unwrap();
    let error = calendar_error(&stage).await.unwrap();
    assert!(error.contains("its closures as read on"), "{error}");
    let pupil = stage.pupil(SIMS, 1);
    stage
        .take(SIMS, sign_in("closed", &pupil, "08:50:00"))
        .await;
    assert_eq!(stage.settled_as(SIMS, "closed").await, EventState::Skipped);
    let steps = stage.event(SIMS, "closed").await.steps.join("\n");
    assert!(
        steps.contains("Closed for snow, according to the school's iCalendar"),
        "{steps}"
    );

    // A calendar that is taken out of the settings is forgotten.
    let text = std::fs::read_to_string(stage.settings_path()).unwrap();
    let text = text.replace(&format!("[school.calendar]\nical_file = '{FILE}'\n"), "");
    let loaded = settings::from_text(&stage.settings_path(), &text).unwrap();
    stage.markback.reload(loaded.settings).await.unwrap();
    assert_eq!(calendar_error(&stage).await, None);
    let pupil = stage.pupil(SIMS, 2);
    stage.take(SIMS, sign_in("open", &pupil, "08:50:00")).await;
    assert_eq!(stage.settled_as(SIMS, "open").await, EventState::Confirmed);
}

const PATH: &str = "/s3cret/dates.ics";

/// A server that has this answer.
async fn server(answer: ResponseTemplate) -> MockServer {
    let server = MockServer::start().await;
    let given = Mock::given(method("GET")).and(path(PATH));
    given.respond_with(answer).mount(&server).await;
    server
}

/// The workers are not at work yet, so that nothing is fetched beside the test.
async fn at_address(server: &MockServer, private: bool) -> Stage {
    let stage = Stage::idle(Setup {
        service: if private {
            "targets = { loopback = true }\n"
        } else {
            ""
        },
        ..Setup::default()
    })
    .await;
    let calendar = format!("ical_url = '{}{PATH}'", server.uri());
    with_calendar(&stage, &calendar).await;
    stage
}

async fn fetched(stage: &Stage) -> Option<String> {
    stage.markback.read_calendars_that_are_due().await;
    calendar_error(stage).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ical_is_fetched_daily_and_a_failure_keeps_the_last_good_one() {
    let today = "20261123";
    let answer = ResponseTemplate::new(200)
        .set_body_string(closed_on(today))
        .insert_header("ETag", "\"1\"");
    let first = server(answer).await;
    let mut stage = at_address(&first, true).await;
    assert_eq!(fetched(&stage).await, None);
    // All schools share one request, and it is not repeated before a day has passed.
    let requests = async || first.received_requests().await.unwrap().len();
    assert_eq!(requests().await, 1);
    assert_eq!(fetched(&stage).await, None);
    assert_eq!(requests().await, 1);
    stage.work();
    stage.people_known().await;
    let pupil = stage.pupil(SIMS, 0);
    stage.take(SIMS, sign_in("e1", &pupil, "08:50:00")).await;
    assert_eq!(stage.settled_as(SIMS, "e1").await, EventState::Skipped);
    let steps = stage.event(SIMS, "e1").await.steps.join("\n");
    assert!(
        steps.contains("according to the school's iCalendar"),
        "{steps}"
    );

    // A day later the server only says that nothing has changed.
    first.reset().await;
    let unchanged = Mock::given(header("If-None-Match", "\"1\""));
    unchanged
        .respond_with(ResponseTemplate::new(304))
        .mount(&first)
        .await;
    stage.clock.advance(Duration::from_secs(25 * 60 * 60));
    assert_eq!(fetched(&stage).await, None);

    // Then it fails, which is told without the address.
    first.reset().await;
    stage.clock.advance(Duration::from_secs(25 * 60 * 60));
    let error = fetched(&stage).await.unwrap();
    assert!(
        error.contains("the server answered 404") && error.contains("its closures as read on"),
        "{error}"
    );
    assert!(!error.contains("s3cret"), "{error}");
    let closures = stage.markback.store().calendars_unread().await.unwrap();
    assert_eq!(closures, 3);
    // Tried again after ten minutes, and well again.
    let again = Mock::given(method("GET")).and(path(PATH));
    let answer = ResponseTemplate::new(200).set_body_string(closed_on(today));
    again.respond_with(answer).mount(&first).await;
    stage.clock.advance(Duration::from_secs(11 * 60));
    assert_eq!(fetched(&stage).await, None);
    assert_eq!(stage.markback.store().calendars_unread().await.unwrap(), 0);
}

#[rstest]
#[case::private(ResponseTemplate::new(200), false, "not encrypted")]
#[case::elsewhere(
    ResponseTemplate::new(302).insert_header("Location", "http://localhost:9/x"),
    true,
    "redirects to another host"
)]
#[case::in_a_circle(
    ResponseTemplate::new(302).insert_header("Location", PATH),
    true,
    "redirects too often"
)]
#[case::too_large(
    ResponseTemplate::new(200).set_body_string("x".repeat(1_100_000)),
    true,
    "larger than 1 MB"
)]
#[case::no_calendar(
    ResponseTemplate::new(200).set_body_string("<html>"),
    true,
    "not a complete iCalendar"
)]
#[case::unasked(ResponseTemplate::new(304), true, "the server answered 304")]
#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_fetched_is_told_and_closes_no_day(
    #[case] answer: ResponseTemplate,
    #[case] private: bool,
    #[case] told: &str,
) {
    let server = server(answer).await;
    let mut stage = at_address(&server, private).await;
    let error = fetched(&stage).await.unwrap();
    assert!(
        error.contains(told) && error.contains("no day is closed by it"),
        "{error}"
    );
    assert!(!error.contains("s3cret"), "{error}");
    if !private {
        assert_eq!(server.received_requests().await.unwrap().len(), 0);
    }
    stage.work();
    stage.people_known().await;
    let pupil = stage.pupil(ARBOR, 0);
    stage.take(ARBOR, sign_in("e1", &pupil, "08:50:00")).await;
    assert_eq!(stage.settled_as(ARBOR, "e1").await, EventState::Confirmed);
}

/// The ids of the events in the calendar of the school's MIS.
async fn events(stage: &Stage) -> Vec<String> {
    let url = format!(
        "{}/schools/{}/events",
        stage.sandbox.base_url(),
        stage.school(SIMS)
    );
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let answer = http.get(url).bearer_auth(stage.sandbox.token()).send();
    let answer = answer.await.unwrap().text().await.unwrap();
    let answer: serde_json::Value = serde_json::from_str(&answer).unwrap();
    let events = answer["data"].as_array().unwrap().iter();
    events
        .map(|event| event["id"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn closures_of_the_mis_count_only_if_the_settings_say_so() {
    let mut stage = Stage::idle(Setup::default()).await;
    let school = stage.school(SIMS);
    let event = events(&stage).await.remove(0);
    let today = serde_json::json!("2026-11-23");
    for (pointer, value) in [
        ("/name", serde_json::json!("INSET day")),
        ("/start_at", today.clone()),
        ("/end_at", today),
        ("/all_day", serde_json::json!(true)),
    ] {
        stage
            .sandbox
            .set_value(&school, &event, pointer, value)
            .unwrap();
    }
    stage.work();
    stage.people_known().await;
    let pupil = stage.pupil(SIMS, 0);
    stage.take(SIMS, sign_in("e1", &pupil, "08:50:00")).await;
    assert_eq!(stage.settled_as(SIMS, "e1").await, EventState::Confirmed);

    // A school that does not grant it: told, and no day is closed.
    stage.sandbox.set_scope(&school, "events", false).unwrap();
    with_calendar(&stage, "from_mis = true").await;
    stage.markback.read_calendars_that_are_due().await;
    let error = calendar_error(&stage).await.unwrap();
    assert!(
        error.contains("calendar in the school's MIS cannot be read")
            && error.contains("no day is closed by it"),
        "{error}"
    );
    let pupil = stage.pupil(SIMS, 1);
    stage.take(SIMS, sign_in("e2", &pupil, "08:50:00")).await;
    assert_eq!(stage.settled_as(SIMS, "e2").await, EventState::Confirmed);
    let steps = stage.event(SIMS, "e2").await.steps.join("\n");
    assert!(steps.contains("has not been read yet"), "{steps}");

    // Granted, it is read within hours.
    stage.sandbox.set_scope(&school, "events", true).unwrap();
    stage.clock.advance(Duration::from_secs(6 * 60 * 60));
    stage.markback.read_calendars_that_are_due().await;
    assert_eq!(calendar_error(&stage).await, None);
    let pupil = stage.pupil(SIMS, 2);
    stage.take(SIMS, sign_in("e3", &pupil, "08:50:00")).await;
    assert_eq!(stage.settled_as(SIMS, "e3").await, EventState::Skipped);
    let steps = stage.event(SIMS, "e3").await.steps.join("\n");
    assert!(
        steps.contains("INSET day, according to the MIS's calendar"),
        "{steps}"
    );

    // What was read goes on counting when it cannot be read any more.
    stage.sandbox.set_scope(&school, "events", false).unwrap();
    stage.clock.advance(Duration::from_secs(25 * 60 * 60));
    stage.markback.read_calendars_that_are_due().await;
    let error = calendar_error(&stage).await.unwrap();
    assert!(
        error.contains("its closures as read on 2026-11-23"),
        "{error}"
    );
}
