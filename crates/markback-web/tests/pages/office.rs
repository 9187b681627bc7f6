//! What an office does: problems by cause, the front desk, rules.
use crate::support::{Page, get, pages, visitor};
use axum::{
    Router,
    body::{Body, to_bytes},
    http::{Request, header},
};
use markback::{
    operator::Actor,
    service::EventState::{Confirmed, Held, Rejected},
    store::SettingsKey,
};
use markback_lab::harness::{ApiEnv, Setup};
use markback_web::{Role, SchoolsSeen, Visitor};
use tower::ServiceExt as _;
use wonde_sandbox::{Fault, FaultRule};

/// Text as it may stand in a page: what was given never becomes a tag.
const HOSTILE: &str = "<b>Locked</b> & \"closed\"";

async fn post(router: &Router, path: &str, form: &[(&str, &str)]) -> Page {
    let body: Vec<_> = form
        .iter()
        .map(|(name, value)| format!("{}={}", encoded(name), encoded(value)))
        .collect();
    let request = Request::post(path)
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(Body::from(body.join("&")))
        .unwrap();
    let response = router.clone().oneshot(request).await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let bytes = to_bytes(response.into_body(), usize::MAX).await.unwrap();
    Page {
        status,
        headers,
        text: String::from_utf8(bytes.to_vec()).unwrap(),
    }
}

fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

/// The value of a field of a form in a page.
fn value_of(page: &Page, name: &str) -> String {
    let field = format!("name=\"{name}\" value=\"");
    let (_, rest) = page.text.split_once(&field).expect(name);
    let value = rest.split_once('"').unwrap().0;
    value
        .replace("&#34;", "\"")
        .replace("&quot;", "\"")
        .replace("&#38;", "&")
}

async fn with_refused_marks(world: &mut ApiEnv) {
    world.run();
    world.known().await;
    let rule = FaultRule::new(Fault::RejectWriteback {
        message: Some(HOSTILE.to_owned()),
    });
    let rule = rule.on("attendance/session").method("POST");
    world.sandbox.add_fault(rule).unwrap();
    let events = ["e0", "e1"].iter().enumerate();
    let events = events
        .map(|(n, id)| world.sign_in(id, n, "08:50"))
        .collect();
    world.take(events).await;
    for id in ["e0", "e1"] {
        world.until(id, Rejected).await;
    }
    world.sandbox.clear_faults();
}

#[tokio::test]
async fn a_problem_is_dealt_with_after_a_look_at_what_that_does() {
    let mut world = ApiEnv::new().await;
    with_refused_marks(&mut world).await;
    let router = pages(&world.markback, Some(visitor(Role::Tend)));
    let problems = format!("/schools/{}/problems", world.id());
    let page = get(&router, &problems).await;
    assert_eq!(page.status, 200);
    assert!(page.text.contains("The MIS refused the marks"));
    assert!(!page.text.contains("<b>Locked"), "{}", page.text);
    let (_, rest) = page
        .text
        .split_once(&format!("{problems}/refused-"))
        .unwrap();
    let preview = format!("{problems}/refused-{}", rest.split_once('"').unwrap().0);
    assert!(preview.ends_with("/retry"), "{preview}");

    let page = get(&router, &preview).await;
    assert!(page.text.contains("Writes 2 marks again."), "{}", page.text);
    assert_eq!(
        world.event("e0").await.state,
        Rejected,
        "a look changes nothing"
    );
    let named = value_of(&page, "events");
    let looker = pages(&world.markback, Some(visitor(Role::Look)));
    let form = [("events", named.as_str()), ("note", "unlocked")];
    assert_eq!(post(&looker, &preview, &form).await.status, 403);
    assert_eq!(world.event("e0").await.state, Rejected);
    let broken = post(&router, &preview, &[("events", "all of them")]).await;
    assert_eq!(broken.status, 422);

    let done = post(&router, &preview, &form).await;
    assert_eq!(done.status, 303, "{}", done.text);
    let page = get(&router, done.header("location")).await;
    assert!(
        page.text.contains("2 marks are on the way again."),
        "{}",
        page.text
    );
    for id in ["e0", "e1"] {
        let event = world.until(id, Confirmed).await;
        let retried = event
            .history
            .iter()
            .find(|line| line.what == "retried")
            .unwrap();
        assert_eq!(retried.record["note"], "unlocked");
        assert_eq!(retried.record["by"], "j.marsh");
    }
    // The same form again does nothing, and says so.
    let again = post(&router, &preview, &form).await;
    let page = get(&router, again.header("location")).await;
    assert!(
        page.text.contains("Left alone, because they have changed"),
        "{}",
        page.text
    );
    assert!(page.text.contains("Nothing needs you."));
}

#[tokio::test]
async fn the_office_signs_a_pupil_in_once_and_takes_it_back() {
    let mut world = ApiEnv::new().await;
    world.run();
    world.known().await;
    let router = pages(&world.markback, Some(visitor(Role::Tend)));
    let (school, pupil) = (world.id(), world.pupils[0].clone());
    let page = get(&router, &format!("/schools/{school}/desk?q={}", pupil.id)).await;
    let desk = format!("/schools/{school}/desk/student/{}", pupil.id);
    assert!(page.text.contains(&desk), "{}", page.text);

    let page = get(&router, &desk).await;
    assert!(page.text.contains("Show the mark"));
    let id = value_of(&page, "id");
    let form = [
        ("id", id.as_str()),
        ("kind", "in"),
        ("date", "2026-11-23"),
        ("time", "09:05"),
        ("answer:Why?", "M - Medical appointment"),
    ];
    let page = post(&router, &desk, &form).await;
    assert_eq!(page.status, 200, "{}", page.text);
    assert!(
        page.text.contains("This mark is written for the morning"),
        "{}",
        page.text
    );
    assert!(
        page.text.contains("<span class=\"code big\">M</span>"),
        "{}",
        page.text
    );
    let stored = world.markback.event(&school, &id).await.unwrap();
    assert!(stored.is_none(), "a look stores nothing");

    let sign = format!("{desk}/sign");
    let looker = pages(&world.markback, Some(visitor(Role::Look)));
    assert_eq!(post(&looker, &sign, &form).await.status, 403);
    for _ in 0..2 {
        let made = post(&router, &sign, &form).await;
        assert_eq!(made.status, 303, "{}", made.text);
    }
    let event = world.until(&id, Confirmed).await;
    assert_eq!(event.decision.unwrap()["mark"]["code"], "M");
    let marks = world.sandbox.mis_marks(&world.school.id).unwrap();
    assert_eq!(marks.iter().filter(|mark| mark.writes > 0).count(), 1);

    let correct = format!("/schools/{school}/desk/events/{id}/correct");
    let page = get(&router, &correct).await;
    assert!(
        page.text.contains("Its mark is in the register."),
        "{}",
        page.text
    );
    let page = post(&router, &correct, &[("reason", "  ")]).await;
    assert!(page.text.contains("Say why it was wrong"), "{}", page.text);
    assert_eq!(world.event(&id).await.state, Confirmed);
    let done = post(&router, &correct, &[("reason", "the wrong Amy")]).await;
    assert_eq!(done.status, 303, "{}", done.text);
    let record = world.event(&id).await;
    assert!(record.correction.is_some());
    let again = get(&router, &correct).await;
    assert_eq!(again.status, 409);
}

#[tokio::test]
async fn what_is_wrong_with_an_entry_stands_at_its_field() {
    let mut world = ApiEnv::new().await;
    world.run();
    world.known().await;
    let router = pages(&world.markback, Some(visitor(Role::Tend)));
    let desk = format!(
        "/schools/{}/desk/student/{}",
        world.id(),
        world.pupils[0].id
    );
    let form = |time, answer| {
        [
            ("id", "desk-1"),
            ("kind", "in"),
            ("date", "2026-11-23"),
            ("time", time),
            ("answer:Why?", answer),
        ]
    };
    let page = post(&router, &desk, &form("soon", "")).await;
    assert!(
        page.text.contains("Give the time, such as 09:05."),
        "{}",
        page.text
    );
    let page = post(&router, &desk, &form("23:50", "")).await;
    assert!(page.text.contains("in the future"), "{}", page.text);
    let page = post(&router, &desk, &form("09:05", "<i>The dog</i>")).await;
    assert!(page.text.contains("role=\"alert\""), "{}", page.text);
    assert!(!page.text.contains("<i>The dog"));
    let nobody = get(
        &router,
        &format!("/schools/{}/desk/student/nobody", world.id()),
    )
    .await;
    assert_eq!(nobody.status, 404);
}

#[tokio::test]
async fn rules_of_the_file_are_shown_and_never_saved() {
    let world = ApiEnv::new().await;
    let router = pages(&world.markback, Some(visitor(Role::Set)));
    let rules = format!("/schools/{}/rules", world.id());
    let page = get(&router, &rules).await;
    assert!(
        page.text.contains("kept in the settings file"),
        "{}",
        page.text
    );
    let group = format!("{rules}/groups/Pupils");
    let page = get(&router, &group).await;
    assert!(page.text.contains("value=\"09:20\""), "{}", page.text);
    assert!(page.text.contains("<fieldset class=\"whole\" disabled>"));
    let saved = post(&router, &group, &[("base", "0"), ("am.late", "09:10")]).await;
    assert_eq!(saved.status, 409);
    let trial = get(&router, &format!("{rules}/try")).await;
    assert_eq!((trial.status, trial.header("location")), (303, &*rules));
    assert_eq!(
        get(&router, &format!("{rules}/groups/Nobody")).await.status,
        404
    );
}

/// The form of a group with these values, and what else the settings of the tests have.
fn rules_form<'a>(base: &'a str, late: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![
        ("base", base),
        ("am.late", late),
        ("am.unauthorised", "09:20"),
        ("pm.late", "13:00"),
        ("pm.unauthorised", "13:15"),
        ("closes", "15:30"),
        ("present", "true"),
        ("minutes_late", "true"),
        ("first_arrival_stands", "true"),
    ]
}

#[tokio::test]
async fn rules_are_drafted_checked_tried_activated_and_undone() {
    let mut world = ApiEnv::with(Setup::default()).await;
    world.run();
    world.known().await;
    world.take(vec![world.sign_in("e0", 0, "09:05")]).await;
    world.until("e0", Confirmed).await;
    let key = SettingsKey::school(world.id());
    let mut configuration = world.markback.configuration().await;
    let actor = Actor::default();
    configuration
        .adopt(&[world.id().to_string()], &actor)
        .await
        .unwrap();
    world.markback.refresh_settings().await.unwrap();

    let router = pages(&world.markback, Some(visitor(Role::Set)));
    let rules = format!("/schools/{}/rules", world.id());
    let group = format!("{rules}/groups/Pupils");
    let late = || {
        let school = world.markback.school(&world.id()).unwrap();
        let writeback = school.group("Pupils").unwrap().writeback.clone().unwrap();
        writeback.am.late.unwrap().as_str().to_owned()
    };
    let looker = pages(&world.markback, Some(visitor(Role::Tend)));
    let form = rules_form("1", "09:10");
    assert_eq!(post(&looker, &group, &form).await.status, 403);

    // A time that is none is told at its field, and the draft is kept.
    let saved = post(&router, &group, &rules_form("1", "half nine")).await;
    assert_eq!(saved.status, 303, "{}", saved.text);
    let page = get(&router, saved.header("location")).await;
    assert!(page.text.contains("Saved as a draft."), "{}", page.text);
    let (_, field) = page.text.split_once("id=\"am-late\"").unwrap();
    let (field, _) = field.split_once("class=\"cell").unwrap();
    assert!(field.contains("class=\"error small\""), "{field}");
    assert!(field.contains("Counts now: 09:00."), "{field}");
    assert!(
        get(&router, &rules)
            .await
            .text
            .contains("It cannot be activated yet")
    );
    let activated = post(&router, &format!("{rules}/activate"), &[("number", "2")]).await;
    assert_eq!(activated.status, 422, "{}", activated.text);

    // Somebody who still has the form of version 1 sees what was written meanwhile, and nothing is lost.
    let page = post(&router, &group, &form).await;
    assert_eq!(page.status, 200);
    assert!(
        page.text.contains("Somebody else has saved meanwhile"),
        "{}",
        page.text
    );
    assert!(page.text.contains("half nine"), "theirs is shown");
    assert!(
        page.text.contains("value=\"09:10\""),
        "yours is still there"
    );
    assert_eq!(value_of(&page, "base"), "2");
    let saved = post(&router, &group, &rules_form("2", "09:10")).await;
    assert_eq!(saved.status, 303, "{}", saved.text);
    assert_eq!(late(), "09:00", "a draft does not count");

    let page = get(&router, &format!("{rules}/try")).await;
    assert_eq!(page.status, 200, "{}", page.text);
    assert!(
        page.text.contains("1 mark would have been different."),
        "{}",
        page.text
    );
    assert!(page.text.contains("By the draft"));
    let activate = format!("{rules}/activate");
    let stale = post(&router, &activate, &[("number", "2")]).await;
    assert_eq!(stale.status, 409, "{}", stale.text);
    let done = post(
        &router,
        &activate,
        &[("number", "3"), ("note", "governors")],
    )
    .await;
    assert_eq!(done.status, 303, "{}", done.text);
    assert_eq!(late(), "09:10");

    let page = get(&router, &format!("{rules}/history")).await;
    assert!(page.text.contains("counts since"), "{}", page.text);
    assert!(page.text.contains("Go back to version 1"));
    let undone = [("to", "1"), ("active", "1")];
    assert_eq!(
        post(&router, &format!("{rules}/undo"), &undone)
            .await
            .status,
        409
    );
    let undone = [("to", "1"), ("active", "3")];
    let done = post(&router, &format!("{rules}/undo"), &undone).await;
    assert_eq!(done.status, 303, "{}", done.text);
    assert_eq!(late(), "09:00");
    let newest = world
        .markback
        .store()
        .settings_versions(&key)
        .await
        .unwrap();
    assert_eq!(newest[0].number, 4);
    assert_eq!(newest[0].by.as_deref(), Some("j.marsh"));
}

#[tokio::test]
async fn held_marks_are_released_from_the_list() {
    let mut world = ApiEnv::with(Setup {
        writeback: "hold = { codes = [\"U\"] }\n",
        ..Setup::default()
    })
    .await;
    world.run();
    world.known().await;
    world.take(vec![world.sign_in("h0", 0, "09:25")]).await;
    world.until("h0", Held).await;
    let router = pages(&world.markback, Some(visitor(Role::Tend)));
    let problems = format!("/schools/{}/problems", world.id());
    let page = get(&router, &problems).await;
    assert!(page.text.contains("Release it …"), "{}", page.text);
    let (_, rest) = page.text.split_once(&format!("{problems}/held-")).unwrap();
    let release = format!("{problems}/held-{}", rest.split_once('"').unwrap().0);
    let page = get(&router, &release).await;
    assert!(page.text.contains("Writes 1 mark."), "{}", page.text);
    let named = value_of(&page, "events");
    assert_eq!(
        post(&router, &release, &[("events", &named)]).await.status,
        303
    );
    world.until("h0", Confirmed).await;
}

#[tokio::test]
async fn groups_show_their_people_and_are_read_again_by_who_may() {
    let mut world = ApiEnv::new().await;
    let groups = format!("/schools/{}/groups", world.id());
    let router = pages(&world.markback, Some(visitor(Role::Set)));
    let page = get(&router, &groups).await;
    assert!(page.text.contains("not read yet"), "{}", page.text);
    world.run();
    world.known().await;
    let page = get(&router, &groups).await;
    assert!(
        page.text.contains("The people were read from the MIS"),
        "{}",
        page.text
    );
    let page = get(&router, &format!("{groups}/Pupils")).await;
    let pupil = format!("/people/{}", world.pupils[0].id);
    assert!(page.text.contains(&pupil), "{}", page.text);
    assert_eq!(get(&router, &format!("{groups}/Nobody")).await.status, 404);

    let syncs = format!("/schools/{}/syncs", world.id());
    let looker = pages(&world.markback, Some(visitor(Role::Tend)));
    assert_eq!(get(&looker, &format!("{syncs}/start")).await.status, 403);
    assert_eq!(
        post(&looker, &format!("{syncs}/start"), &[]).await.status,
        403
    );
    let before = world
        .markback
        .store()
        .syncs(&world.id(), 20)
        .await
        .unwrap()
        .len();
    assert_eq!(get(&router, &format!("{syncs}/start")).await.status, 200);
    assert_eq!(
        post(&router, &format!("{syncs}/start"), &[]).await.status,
        303
    );
    let after = world
        .markback
        .store()
        .syncs(&world.id(), 20)
        .await
        .unwrap()
        .len();
    assert_eq!(after, before + 1);
    // Nothing is held back, so there is nothing to apply.
    assert_eq!(get(&router, &format!("{syncs}/accept")).await.status, 409);
    assert_eq!(
        post(&router, &format!("{syncs}/accept"), &[]).await.status,
        409
    );
}

#[tokio::test]
async fn one_event_is_tried_without_anything_being_stored() {
    let mut world = ApiEnv::new().await;
    world.run();
    world.known().await;
    let router = pages(&world.markback, Some(visitor(Role::Look)));
    let one = format!("/schools/{}/rules/groups/Pupils/one", world.id());
    assert!(
        get(&router, &one)
            .await
            .text
            .contains("There is no draft to compare with.")
    );
    let page = get(
        &router,
        &format!("{one}?kind=in&date=2026-11-23&time=09:05"),
    )
    .await;
    assert!(
        page.text.contains("write L in AM of 2026-11-23"),
        "{}",
        page.text
    );
    let page = get(
        &router,
        &format!("{one}?kind=in&date=2026-11-23&time=09:05&held=L"),
    )
    .await;
    assert!(
        page.text.contains("the register holds L as given"),
        "{}",
        page.text
    );
    let page = get(&router, &format!("{one}?kind=in&date=2026-11-23&time=soon")).await;
    assert!(page.text.contains("Give the time"), "{}", page.text);
    let filter = markback::store::EventFilter {
        limit: 10,
        ..Default::default()
    };
    assert!(
        world
            .markback
            .store()
            .search(&filter)
            .await
            .unwrap()
            .is_empty()
    );
}

#[tokio::test]
async fn support_sees_each_school_and_checks_its_connection() {
    let mut world = ApiEnv::new().await;
    with_refused_marks(&mut world).await;
    let router = pages(&world.markback, Some(visitor(Role::Admin)));
    let page = get(&router, "/schools").await;
    assert!(
        page.text.contains("2 events need somebody"),
        "{}",
        page.text
    );
    let connection = format!("/schools/{}/connection", world.id());
    assert!(page.text.contains(&connection));
    let page = get(&router, &connection).await;
    assert!(page.text.contains("The school allows"), "{}", page.text);
    let page = post(&router, &connection, &[]).await;
    assert_eq!(page.status, 200);
    assert!(
        page.text.contains("The connection is in order"),
        "{}",
        page.text
    );
    let looker = pages(&world.markback, Some(visitor(Role::Tend)));
    assert_eq!(post(&looker, &connection, &[]).await.status, 403);
}

#[tokio::test]
async fn rules_are_activated_from_a_day_on_and_cancelled() {
    let world = ApiEnv::new().await;
    let mut configuration = world.markback.configuration().await;
    let actor = Actor::default();
    let id = world.id().to_string();
    configuration.adopt(&[id], &actor).await.unwrap();
    world.markback.refresh_settings().await.unwrap();
    let router = pages(&world.markback, Some(visitor(Role::Set)));
    let rules = format!("/schools/{}/rules", world.id());
    let group = format!("{rules}/groups/Pupils");
    let saved = post(&router, &group, &rules_form("1", "09:10")).await;
    assert_eq!(saved.status, 303, "{}", saved.text);
    // The form has a day field, whose first day is tomorrow.
    let page = get(&router, &format!("{rules}/try")).await;
    assert!(
        page.text.contains("type=\"date\" min=\"2026-11-24\""),
        "{}",
        page.text
    );

    let (activate, cancel) = (format!("{rules}/activate"), format!("{rules}/cancel"));
    for (from, status) in [("soon", 422), ("2026-11-23", 422), ("2026-11-30", 303)] {
        let form = [("number", "2"), ("from", from), ("note", "governors")];
        let done = post(&router, &activate, &form).await;
        assert_eq!(done.status, status, "{from}: {}", done.text);
    }
    let page = get(&router, &format!("{rules}?said=scheduled")).await;
    for told in [
        "Version 2 counts from Monday 30 November 2026 on",
        "governors",
        "Kept for that day.",
        "Cancel this",
    ] {
        assert!(page.text.contains(told), "{told}: {}", page.text);
    }
    assert!(!page.text.contains("A draft waits"), "it is told once");
    let history = get(&router, &format!("{rules}/history")).await;
    assert!(
        history
            .text
            .contains("to count from Monday 30 November 2026 on")
    );
    let looker = pages(&world.markback, Some(visitor(Role::Tend)));
    assert!(!get(&looker, &rules).await.text.contains("Cancel this"));
    assert_eq!(post(&looker, &cancel, &[("number", "2")]).await.status, 403);

    let done = post(&router, &cancel, &[("number", "2")]).await;
    assert_eq!(done.status, 303, "{}", done.text);
    assert_eq!(post(&router, &cancel, &[("number", "2")]).await.status, 409);
    let page = get(&router, &rules).await;
    assert!(
        page.text.contains("A draft waits: version 2"),
        "{}",
        page.text
    );

    // On its day it counts.
    let form = [("number", "2"), ("from", "2026-11-24")];
    assert_eq!(post(&router, &activate, &form).await.status, 303);
    world.clock.advance(std::time::Duration::from_secs(86_400));
    world.markback.refresh_settings().await.unwrap();
    let page = get(&router, &rules).await;
    assert!(page.text.contains("Version 2 counts."), "{}", page.text);
}

#[tokio::test]
async fn a_wrong_pupil_is_replaced_by_the_right_one_after_a_look_at_both_marks() {
    let mut world = ApiEnv::new().await;
    world.run();
    world.known().await;
    world.take(vec![world.sign_in("e0", 0, "09:05")]).await;
    world.until("e0", Confirmed).await;
    let router = pages(&world.markback, Some(visitor(Role::Tend)));
    let (school, right) = (world.id(), world.pupils[1].clone());
    let event = format!("/schools/{school}/desk/events/e0");
    let page = get(&router, &format!("{event}/correct")).await;
    let same = format!("{event}/replace/student/{}", world.pupils[0].id);
    for address in [&same, &format!("{event}/replace")] {
        assert!(
            page.text.contains(&format!("href=\"{address}\"")),
            "{}",
            page.text
        );
    }
    // What the wrong one said is filled in.
    let page = get(&router, &same).await;
    for filled in [
        "name=\"date\" type=\"date\" value=\"2026-11-23\"",
        "value=\"09:05\"",
    ] {
        assert!(page.text.contains(filled), "{filled}: {}", page.text);
    }

    let page = get(&router, &format!("{event}/replace?q={}", right.id)).await;
    let other = format!("{event}/replace/student/{}", right.id);
    assert!(page.text.contains(&other), "{}", page.text);
    let page = get(&router, &other).await;
    let id = value_of(&page, "id");
    let form = |time, reason| {
        [
            ("id", id.as_str()),
            ("kind", "in"),
            ("date", "2026-11-23"),
            ("time", time),
            ("reason", reason),
        ]
    };
    for (time, reason, told) in [
        ("soon", "the wrong Amy", "Give the time, such as 09:05."),
        ("09:25", " ", "Say why it was wrong"),
    ] {
        let page = post(&router, &other, &form(time, reason)).await;
        assert!(page.text.contains(told), "{told}: {}", page.text);
        assert!(!page.text.contains("Put it right"), "{told}");
    }
    let right_form = form("09:25", "the wrong Amy");
    let page = post(&router, &other, &right_form).await;
    for told in [
        "Its mark is in the register.",
        "This mark is written for the morning",
        "<span class=\"code big\">U</span>",
        "Put it right",
    ] {
        assert!(page.text.contains(told), "{told}: {}", page.text);
    }
    assert!(
        world.event("e0").await.correction.is_none(),
        "a look changes nothing"
    );

    let confirm = format!("{other}/confirm");
    let looker = pages(&world.markback, Some(visitor(Role::Look)));
    assert_eq!(post(&looker, &confirm, &right_form).await.status, 403);
    for _ in 0..2 {
        let done = post(&router, &confirm, &right_form).await;
        assert_eq!(done.status, 303, "{}", done.text);
        assert_eq!(
            done.header("location"),
            format!("/schools/{school}/desk/events/{id}")
        );
    }
    let made = world.until(&id, Confirmed).await;
    assert_eq!(made.person, right.id);
    assert_eq!(made.decision.unwrap()["mark"]["code"], "U");
    let wrong = world.event("e0").await.correction.unwrap();
    assert_eq!(wrong.replacement.as_deref(), Some(id.as_str()));
    assert_eq!(
        (wrong.by.as_deref(), &*wrong.reason),
        (Some("j.marsh"), "the wrong Amy")
    );
    let page = get(&router, &format!("/schools/{school}/desk/events/{id}")).await;
    assert!(page.text.contains("It takes the place of"), "{}", page.text);
    assert_eq!(get(&router, &other).await.status, 409);
}

/// The text of a template, with the time after which a sign-in is late.
fn template(late: &str) -> String {
    format!(
        "timezone = 'Europe/London'\ntoken_file = 'token'\n[[group]]\nname = 'Pupils'\nkind = 'students'\n[group.writeback]\n\
         closes = '15:30'\nam = {{ late = '{late}', unauthorised = '09:20' }}\n"
    )
}

#[tokio::test]
async fn a_template_is_changed_by_who_looks_after_all_of_its_schools() {
    let mut world = ApiEnv::new().await;
    world.run();
    world.known().await;
    let actor = Actor::default();
    let key = SettingsKey::school(world.id());
    let shared = SettingsKey::template("all");
    let mut configuration = world.markback.configuration().await;
    let id = world.id().to_string();
    configuration.adopt(&[id], &actor).await.unwrap();
    let text = template("09:00");
    configuration
        .add(&shared, &text, false, &actor)
        .await
        .unwrap();
    let own = "template = 'all'\n";
    configuration.draft(&key, own, None, &actor).await.unwrap();
    configuration.activate(&key, None, &actor).await.unwrap();
    let other = SettingsKey::school("S2");
    configuration.add(&other, own, false, &actor).await.unwrap();
    world.markback.refresh_settings().await.unwrap();

    let router = pages(&world.markback, Some(visitor(Role::Set)));
    let rules = format!("/schools/{}/rules", world.id());
    let here = format!("{rules}/template");
    let page = get(&router, &rules).await;
    assert!(
        page.text.contains(&format!("href=\"{here}\"")),
        "{}",
        page.text
    );
    let page = get(&router, &here).await;
    for told in ["Version 1 counts.", "late = &#39;09:00&#39;", "S2"] {
        assert!(page.text.contains(told), "{told}: {}", page.text);
    }
    let changed = template("09:10");
    let form = [("base", "1"), ("text", changed.as_str())];
    // Somebody who sees only one of its schools can look.
    let mut of_one = visitor(Role::Set);
    of_one.schools = SchoolsSeen::Some(vec![world.id()]);
    let of_one = pages(&world.markback, Some(of_one));
    let page = get(&of_one, &here).await;
    assert!(page.text.contains("you can only look"), "{}", page.text);
    assert!(!page.text.contains("S2"), "{}", page.text);
    assert_eq!(post(&of_one, &here, &form).await.status, 403);
    // A place on the server is for an administrator.
    let place = changed.replace("'token'", "'/etc/passwd'");
    let placed = [("base", "1"), ("text", place.as_str())];
    assert_eq!(post(&router, &here, &placed).await.status, 403);

    let saved = post(&router, &here, &form).await;
    assert_eq!(saved.status, 303, "{}", saved.text);
    let page = get(&router, saved.header("location")).await;
    for told in [
        "A draft waits: version 2",
        "It changes 2 groups at 2 schools.",
        "Saved as a draft.",
    ] {
        assert!(page.text.contains(told), "{told}: {}", page.text);
    }
    let stale = post(&router, &here, &form).await;
    assert!(
        stale.text.contains("Somebody else has saved meanwhile"),
        "{}",
        stale.text
    );

    let page = get(&router, &format!("{here}/try")).await;
    assert_eq!(page.status, 200, "{}", page.text);
    assert!(
        page.text.contains("Activate version 2 now"),
        "{}",
        page.text
    );
    assert!(
        !page.text.contains("type=\"date\""),
        "a template does not wait for a day"
    );
    let activate = format!("{here}/activate");
    assert_eq!(
        post(&of_one, &activate, &[("number", "2")]).await.status,
        403
    );
    let done = post(&router, &activate, &[("number", "2")]).await;
    assert_eq!(done.status, 303, "{}", done.text);
    for id in [world.id(), "S2".into()] {
        let school = world.markback.school(&id).unwrap();
        let writeback = school.group("Pupils").unwrap().writeback.clone().unwrap();
        assert_eq!(writeback.am.late.unwrap().as_str(), "09:10");
    }
}

#[tokio::test]
async fn a_text_names_no_other_place_on_the_server() {
    let world = ApiEnv::new().await;
    let mut configuration = world.markback.configuration().await;
    let id = world.id().to_string();
    let adopted = configuration.adopt(&[id], &Actor::default()).await;
    adopted.unwrap();
    world.markback.refresh_settings().await.unwrap();
    let path = format!("/schools/{}/rules/text", world.id());
    let text = template("09:00").replace("'token'", "'/etc/passwd'");
    let form = [("base", "1"), ("text", text.as_str())];
    let router = pages(&world.markback, Some(visitor(Role::Set)));
    let refused = post(&router, &path, &form).await;
    assert_eq!(refused.status, 403, "{}", refused.text);
    let router = pages(&world.markback, Some(visitor(Role::Admin)));
    assert_eq!(post(&router, &path, &form).await.status, 303);
}

#[tokio::test]
async fn with_four_eyes_the_author_of_a_draft_finds_no_button() {
    let world = ApiEnv::with(Setup {
        extra: "four_eyes = true\n",
        ..Setup::default()
    })
    .await;
    let mut configuration = world.markback.configuration().await;
    let id = world.id().to_string();
    let adopted = configuration.adopt(&[id], &Actor::default()).await;
    adopted.unwrap();
    world.markback.refresh_settings().await.unwrap();
    let router = pages(&world.markback, Some(visitor(Role::Set)));
    let rules = format!("/schools/{}/rules", world.id());
    let form = rules_form("1", "09:10");
    let saved = post(&router, &format!("{rules}/groups/Pupils"), &form).await;
    assert_eq!(saved.status, 303, "{}", saved.text);

    let (trial, activate) = (format!("{rules}/try"), format!("{rules}/activate"));
    let number = [("number", "2")];
    let page = get(&router, &trial).await;
    assert!(
        page.text.contains("somebody else must look at it"),
        "{}",
        page.text
    );
    assert!(!page.text.contains(&activate));
    assert_eq!(post(&router, &activate, &number).await.status, 403);

    let other = Visitor {
        user: "b.other".to_owned(),
        ..visitor(Role::Set)
    };
    let router = pages(&world.markback, Some(other));
    assert!(get(&router, &trial).await.text.contains(&activate));
    assert_eq!(post(&router, &activate, &number).await.status, 303);
}
