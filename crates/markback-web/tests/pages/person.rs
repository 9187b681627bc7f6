//! A person's day: what the register says, why, and how a person is found.
use markback::service::EventState;
use markback_lab::harness::{ApiEnv, Setup, monday};
use markback_web::{Role, SchoolsSeen, Visitor};
use serde_json::json;
use wonde_sandbox::{Fault, FaultRule, TeacherMark};

use crate::support::{Page, get, morning::school, pages, visitor};

async fn ask(world: &ApiEnv, path: &str) -> Page {
    let router = pages(&world.markback, Some(visitor(Role::Look)));
    get(&router, &format!("/schools/{}/{path}", world.id())).await
}

async fn person(world: &ApiEnv, pupil: usize) -> Page {
    let page = ask(world, &format!("people/{}", world.pupils[pupil].id)).await;
    assert_eq!(page.status, 200);
    page
}

/// The text of a part of the page without its tags.
fn part(page: &Page, id: &str) -> String {
    let (_, rest) = page.text.split_once(&format!("id=\"{id}\"")).unwrap();
    let part = rest.split("</section>").next().unwrap();
    let texts = part.split('<').filter_map(|tag| tag.split_once('>'));
    let texts: Vec<_> = texts
        .map(|(_, text)| text.trim())
        .filter(|text| !text.is_empty())
        .collect();
    texts.join(" ")
}

#[tokio::test]
async fn somebody_without_an_event_has_no_mark_and_the_page_says_why() {
    let world = school(5, Setup::default()).await;
    let page = person(&world, 0).await;
    assert!(part(&page, "register").contains("Morning – No mark. Afternoon – No mark."));
    assert!(part(&page, "why").contains("has not signed in or out, so no mark was written."));
    assert!(part(&page, "events").contains("No sign-in and no sign-out so far."));
}

#[tokio::test]
async fn the_register_and_the_reason_come_first() {
    let world = school(5, Setup::default()).await;
    let mut event = world.sign_in("late", 0, "09:25");
    event["answers"] = json!({ "Why?": "Bus" });
    world.take(vec![event]).await;
    world.until("late", EventState::Confirmed).await;
    let page = person(&world, 0).await;
    let register = part(&page, "register");
    assert!(
        register.contains("Morning U Our mark; in the register since 09:3"),
        "{register}"
    );
    let why = part(&page, "why");
    assert!(
        why.contains("signed in at 09:25, so the mark is U, 25 minutes late. It has been in the register since 09:3"),
        "{why}"
    );
    let events = part(&page, "events");
    for text in [
        "09:25:00 signed in U in the register",
        "Why? Bus",
        "Each step of the decision",
        "Rules the settings file",
    ] {
        assert!(events.contains(text), "{text}: {events}");
    }
    let order = ["id=\"register\"", "id=\"why\"", "id=\"events\""].map(|id| page.text.find(id));
    assert!(order.is_sorted());
    // Another pupil's page has nothing of it.
    assert!(!person(&world, 1).await.text.contains("09:25"));
    // Nor has another day.
    let page = ask(
        &world,
        &format!("people/{}?date=2026-11-20", world.pupils[0].id),
    )
    .await;
    assert!(part(&page, "why").contains("has not signed in or out"));
}

#[tokio::test]
async fn a_rejected_mark_is_told_with_the_answer_and_what_to_do() {
    let world = school(5, Setup::default()).await;
    let fault = Fault::RejectWriteback {
        message: Some("No lesson in this session".to_owned()),
    };
    world.sandbox.add_fault(FaultRule::new(fault)).unwrap();
    world.take(vec![world.sign_in("a", 0, "09:10")]).await;
    world.until("a", EventState::Rejected).await;
    let page = person(&world, 0).await;
    let why = part(&page, "why");
    assert!(
        why.contains("The mark L was rejected") && why.contains("No lesson in this session"),
        "{why}"
    );
    assert!(part(&page, "events").contains("What to do:"));
    assert!(part(&page, "register").contains("Morning – No mark."));
}

#[tokio::test]
async fn what_somebody_else_has_entered_is_not_told_as_ours() {
    let world = school(5, Setup::default()).await;
    let mark = TeacherMark {
        student_id: world.pupils[0].id.clone(),
        date: Some(monday("09:00").date_naive()),
        session: Some("AM".to_owned()),
        lesson_id: None,
        code: Some("I".to_owned()),
        comment: None,
        minutes_late: None,
    };
    world.sandbox.set_mark(&world.school.id, &mark).unwrap();
    world.sandbox.extract_now(&world.school.id).unwrap();
    world.clock.advance(std::time::Duration::from_secs(120));
    let register = part(&person(&world, 0).await, "register");
    assert!(
        register.contains("Morning I Entered at the school, not by a sign-in."),
        "{register}"
    );
}

#[tokio::test]
async fn people_are_found_by_name_and_nobody_else_is_shown() {
    let world = school(30, Setup::default()).await;
    let people = world
        .markback
        .people()
        .names(&world.id())
        .await
        .unwrap()
        .unwrap();
    let one = people.iter().next().unwrap();
    let page = ask(&world, &format!("people?q={}", one.key)).await;
    let href = format!("/schools/{}/people/{}", world.id(), one.key);
    assert_eq!((page.status, page.header("location")), (303, href.as_str()));
    let page = ask(&world, "people?q=").await;
    assert!(page.text.contains("Type the beginning of a name"));
    let page = ask(&world, "people?q=%3Cb%3Exyzzy").await;
    assert!(page.text.contains("Nobody has a name like") && !page.text.contains("<b>xyzzy"));
    assert_eq!(ask(&world, "people/nobody").await.status, 404);
}

#[tokio::test]
async fn a_person_of_another_school_does_not_exist() {
    let world = school(5, Setup::default()).await;
    let stranger = Visitor {
        schools: SchoolsSeen::Some(vec!["Another".into()]),
        ..visitor(Role::Admin)
    };
    let router = pages(&world.markback, Some(stranger));
    let known = get(
        &router,
        &format!("/schools/{}/people/{}", world.id(), world.pupils[0].id),
    )
    .await;
    let unknown = get(&router, "/schools/nowhere/people/nobody").await;
    assert_eq!((known.status, unknown.status), (404, 404));
    assert_eq!(known.text, unknown.text);
}
