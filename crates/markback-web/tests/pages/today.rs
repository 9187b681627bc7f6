//! A school's day: the picture, the numbers and what needs a person.
use std::time::{Duration, Instant};

use markback::service::EventState;
use markback_lab::harness::{ApiEnv, Setup, monday};
use markback_web::Role;
use serde_json::json;
use wonde_sandbox::{Change, Fault, FaultRule};

use crate::support::{
    Page, get,
    morning::{events, happen, school},
    pages, visitor,
};

/// The number before a word among the counts.
fn count(page: &Page, label: &str) -> Option<usize> {
    let (before, _) = page.text.split_once(&format!(">{label}</span>"))?;
    let (_, number) = before.rsplit_once("<b class=\"num\">")?;
    number.split('<').next()?.parse().ok()
}

/// The text between two others.
fn between<'p>(page: &'p Page, from: &str, to: &str) -> &'p str {
    let (_, rest) = page
        .text
        .split_once(from)
        .unwrap_or_else(|| panic!("no {from}"));
    rest.split(to).next().unwrap()
}

async fn today(world: &ApiEnv, query: &str) -> Page {
    let router = pages(&world.markback, Some(visitor(Role::Look)));
    let page = get(&router, &format!("/schools/{}/today{query}", world.id())).await;
    assert_eq!(page.status, 200);
    page
}

#[tokio::test]
async fn an_empty_day_says_so() {
    let world = school(3, Setup::default()).await;
    let page = today(&world, "").await;
    assert!(
        page.text.contains("<h1>Monday 23 November</h1>"),
        "{}",
        page.text
    );
    assert!(page.text.contains("Nothing needs you"));
    assert!(page.text.contains("Nobody has signed in or out yet."));
    assert_eq!(
        (count(&page, "sign-ins"), count(&page, "in the register")),
        (Some(0), Some(0))
    );
    // The times of the day are there all the same.
    assert!(page.text.contains("late after 09:00") && page.text.contains("register closes 09:20"));
    assert!(page.text.contains("late after 13:00") && page.text.contains("register closes 13:15"));
    // A weekend has none.
    let page = today(&world, "?date=2026-11-22").await;
    assert!(!page.text.contains("late after"));
    assert!(page.text.contains("Back to today"));
}

#[tokio::test]
async fn each_event_is_counted_drawn_and_listed_once() {
    let world = school(20, Setup::default()).await;
    world
        .take(vec![
            world.sign_in("in-time", 0, "08:50"),
            world.sign_in("late", 1, "09:10"),
            world.sign_in("very-late", 2, "09:25"),
            json!({"id": "out", "person": world.pupils[0].id, "kind": "sign_out", "at": monday("09:29")}),
        ])
        .await;
    for id in ["in-time", "late", "very-late"] {
        world.until(id, EventState::Confirmed).await;
    }
    world.until("out", EventState::Skipped).await;
    let page = today(&world, "").await;
    assert_eq!(
        [
            "sign-ins",
            "sign-out",
            "in the register",
            "nothing to write"
        ]
        .map(|label| count(&page, label)),
        [Some(3), Some(1), Some(3), Some(1)]
    );
    let dots = |class: &str| {
        let path = between(&page, &format!("class=\"dots {class}\""), "/>");
        path.matches("h0").count()
    };
    assert_eq!((dots("done"), dots("nothing")), (3, 1));
    let latest = between(&page, "id=\"latest\"", "</section>");
    let times: Vec<_> = latest
        .split("<td class=\"num\">")
        .skip(1)
        .map(|row| &row[..5])
        .collect();
    assert_eq!(times, ["09:29", "09:25", "09:10", "08:50"]);
    for code in ["L", "U"] {
        assert!(
            latest.contains(&format!("<span class=\"code\">{code}</span>")),
            "{code}"
        );
    }
    assert!(latest.contains("a sign-out without a reason writes no mark here"));
    let quarters = between(&page, "id=\"quarters\"", "</section>");
    let begins: Vec<_> = quarters
        .split("&amp;from=")
        .skip(1)
        .map(|row| &row[..5])
        .collect();
    assert_eq!(begins, ["08:45", "09:00", "09:15"]);
}

#[tokio::test]
async fn what_needs_somebody_is_on_top_by_cause_with_its_people() {
    let setup = Setup {
        writeback: "hold = { codes = ['M'] }\n",
        ..Setup::default()
    };
    let world = school(20, setup).await;
    let fault = Fault::RejectWriteback {
        message: Some("<b>No lesson</b>".to_owned()),
    };
    world.sandbox.add_fault(FaultRule::new(fault)).unwrap();
    let mut held = world.sign_in("held", 3, "09:05");
    held["answers"] = json!({ "Why?": "M - Medical appointment" });
    world
        .take(vec![
            world.sign_in("a", 0, "09:10"),
            world.sign_in("b", 1, "09:10"),
            held,
        ])
        .await;
    for id in ["a", "b"] {
        world.until(id, EventState::Rejected).await;
    }
    world.until("held", EventState::Held).await;
    let page = today(&world, "").await;
    let needs = between(&page, "id=\"needs\"", "</section>");
    assert!(needs.contains("Needs somebody"));
    assert!(
        !needs.contains("<b>No lesson</b>"),
        "the answer of the MIS is text"
    );
    assert!(needs.contains("No lesson"));
    for pupil in [0, 1, 3] {
        assert!(
            needs.contains(&format!("/people/{}\"", world.pupils[pupil].id)),
            "{needs}"
        );
    }
    let (rejected, held) = (
        needs.find("The MIS refused"),
        needs.find("Marks wait for somebody"),
    );
    assert!(
        rejected.unwrap() < held.unwrap(),
        "what is wrong comes before what waits"
    );
    assert_eq!(
        (
            count(&page, "need somebody"),
            count(&page, "waits for a release")
        ),
        (Some(2), Some(1))
    );
}

#[tokio::test]
async fn the_list_is_filtered_and_paged() {
    let world = school(20, Setup::default()).await;
    let events: Vec<_> = (0..205)
        .map(|n| json!({"id": format!("e{n:03}"), "person": world.pupils[0].id, "kind": "sign_in", "at": monday("08:50")}))
        .chain([json!({"id": "out", "person": world.pupils[1].id, "kind": "sign_out", "at": monday("09:20")})])
        .collect();
    world.take(events).await;
    let router = pages(&world.markback, Some(visitor(Role::Look)));
    let list = async |query: &str| {
        let page = get(&router, &format!("/schools/{}/events{query}", world.id())).await;
        assert_eq!(page.status, 200);
        (page.text.matches("<td class=\"num\">").count(), page)
    };
    let (rows, page) = list("").await;
    assert_eq!(rows, 200);
    assert!(page.text.contains("1 to 200 of 206"));
    let (rows, page) = list("?page=2").await;
    assert_eq!(rows, 6);
    assert!(page.text.contains("201 to 206 of 206"));
    assert_eq!(list("?page=99999999999999").await.0, 0);
    assert_eq!(list("?kind=out").await.0, 1);
    assert_eq!(list("?from=09:15").await.0, 1);
    assert_eq!(list("?date=2026-11-20").await.0, 0);
    let (rows, page) = list("?from=%22%3E%3Cscript%3E").await;
    assert_eq!(rows, 0);
    assert!(!page.text.contains("\"><script>"));
}

#[tokio::test]
async fn names_that_look_like_html_stay_text() {
    let world = school(5, Setup::default()).await;
    let hostile = "<img src=x onerror=alert(1)>\"'&";
    let renamed = Change::Rename {
        student: world.pupils[0].id.clone(),
        forename: Some(hostile.to_owned()),
        surname: Some("</script><script>alert(2)</script>".to_owned()),
    };
    world.sandbox.change(&world.school.id, &renamed).unwrap();
    world.sandbox.extract_now(&world.school.id).unwrap();
    let (status, _) = world
        .post(&format!("/v1/schools/{}/sync", world.id()), &json!({}))
        .await;
    assert!(status < 300, "{status}");
    let router = pages(&world.markback, Some(visitor(Role::Look)));
    let person = format!("/schools/{}/people/{}", world.id(), world.pupils[0].id);
    world
        .wait_until("the name is known", Duration::from_secs(1), async || {
            get(&router, &person).await.text.contains("onerror")
        })
        .await;
    let fault = Fault::RejectWriteback {
        message: Some("<u>No lesson</u>".to_owned()),
    };
    world.sandbox.add_fault(FaultRule::new(fault)).unwrap();
    world
        .take(vec![world.sign_in("<i>e1</i>", 0, "09:10")])
        .await;
    world.until("<i>e1</i>", EventState::Rejected).await;
    for path in [
        "today",
        "events",
        "people?q=img",
        &format!("people/{}", world.pupils[0].id),
    ] {
        let page = get(&router, &format!("/schools/{}/{path}", world.id())).await;
        for raw in ["<img", "<script>", "<i>e1", "<u>No", "\"'&\""] {
            assert!(!page.text.contains(raw), "{path}: {raw}");
        }
    }
}

#[tokio::test]
async fn looks_are_recorded_once_a_minute() {
    let world = school(5, Setup::default()).await;
    world.take(vec![world.sign_in("a", 0, "09:10")]).await;
    world.until("a", EventState::Confirmed).await;
    let router = pages(&world.markback, Some(visitor(Role::Look)));
    let looks = async || {
        world.markback.write_records().await;
        let (_, log) = world.get("/v1/audit").await;
        let entries = log["entries"].as_array().unwrap().clone();
        let own = entries
            .into_iter()
            .filter(|entry| entry["caller"] == "j.marsh");
        own.map(|entry| entry["action"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let day = format!("/schools/{}/today", world.id());
    let person = format!("/schools/{}/people/{}", world.id(), world.pupils[0].id);
    for path in [&day, &day, &person, &day] {
        assert_eq!(get(&router, path).await.status, 200);
    }
    // The service writes them too; what it has in hand is there a little later.
    world
        .wait_until("both looks are recorded", Duration::ZERO, async || {
            looks().await.len() >= 2
        })
        .await;
    let mut recorded = looks().await;
    recorded.sort();
    assert_eq!(recorded, ["events_listed", "person_shown"]);
    world.clock.advance(Duration::from_secs(61));
    get(&router, &day).await;
    world
        .wait_until("the next look is recorded", Duration::ZERO, async || {
            looks().await.len() == 3
        })
        .await;
}

/// A large school's day is a small page. Prints how long it took; run it in release to know.
#[tokio::test]
#[ignore = "it takes long; run it in release"]
async fn a_day_of_fifteen_hundred_pupils_is_a_small_page() {
    let setup = Setup {
        start: monday("11:40"),
        ..Setup::default()
    };
    let world = school(1_600, setup).await;
    let all = events(&world);
    assert!(all.len() >= 1_500);
    happen(&world, all).await;
    // The names are read once after a sync.
    today(&world, "").await;
    let mut took: Vec<_> = Vec::new();
    let mut size = 0;
    for _ in 0..20 {
        let start = Instant::now();
        size = today(&world, "").await.text.len();
        took.push(start.elapsed());
    }
    took.sort();
    println!(
        "{size} bytes; median {:?}, slowest {:?}",
        took[10], took[19]
    );
    assert!(size < 300_000, "{size} bytes");
}
