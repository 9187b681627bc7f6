//! Closures from a school's iCalendar.

use std::time::Duration;

use markback::{service::EventState, settings};

use crate::stage::{SIMS, Setup, Stage, sign_in};

const FILE: &str = "dates.ics";

fn closed_on(date: &str) -> String {
    format!(
        "BEGIN:VCALENDAR\nBEGIN:VEVENT\nDTSTART;VALUE=DATE:{date}\nSUMMARY:Closed for snow\nEND:VEVENT\nEND:VCALENDAR\n"
    )
}

/// All schools of the settings get the iCalendar.
async fn with_ical(stage: &Stage) {
    let path = stage.settings_path();
    let text = std::fs::read_to_string(&path).unwrap();
    let school = "template = \"all\"\n";
    let more = format!("{school}[school.calendar]\nical_file = '{FILE}'\n");
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
