//! Groups through the program: syncs, previews, exports, and syncs that are held back and accepted; a `kill -9` during
//! a sync; and a re-enrolled pupil.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failed assertion may panic"
)]

use std::time::{Duration, Instant};

use markback_tests::{CommandOutput, Service, World, run, sign_in};
use serde_json::{Value, json};
use wonde_sandbox::{Change, Fault, FaultRule};

const MARKBACK: &str = env!("CARGO_BIN_EXE_markback-under-test");

/// Everybody at a school, with a group per kind.
const GROUPS: &str = r#"
[[school.group]]
name = "Pupils"
kind = "students"

[school.group.writeback]
present = true
closes = "15:30"
am = { late = "09:00", unauthorised = "09:20" }

[[school.group]]
name = "Staff"
kind = "staff"
properties = ["name", "roles"]

[[school.group]]
name = "Parents"
kind = "parents"
parental_responsibility = true
"#;

async fn markback(world: &World, args: &[&str]) -> CommandOutput {
    let settings = world.settings_path();
    let config = ["--config", settings.to_str().unwrap()];
    run(MARKBACK, &[args, &config].concat(), "").await
}

fn count(said: &CommandOutput, place: usize, group: &str, what: &str) -> u64 {
    said.json()["schools"][place]["report"]["groups"][group][what]
        .as_u64()
        .unwrap()
}

#[tokio::test]
async fn a_sync_is_previewed_carried_out_and_exported() {
    let world = World::with_groups(GROUPS).await;
    let school = world.school_with("SIMS");
    let sims = ["--school", &school.id];
    let told = markback(&world, &["sync", "--dry-run", "--format", "json"]).await;
    assert_eq!(told.code, 0, "{told:?}");
    let joins = told.json()["schools"][0]["changes"]
        .as_array()
        .unwrap()
        .len();
    assert!(joins > 80, "{joins}");
    assert!(
        !told.out.contains("\"name\""),
        "names are only shown on request"
    );
    let before = markback(&world, &["groups", "ls"]).await;
    assert!(
        before.code == 0 && before.out.contains("not read yet"),
        "{before:?}"
    );
    let early = markback(&world, &["groups", "export"]).await;
    assert!(
        early.code == 1 && early.err.contains("markback sync"),
        "{early:?}"
    );

    let done = markback(&world, &["sync", "--format", "json"]).await;
    assert_eq!(done.code, 0, "{done:?}");
    let report = &done.json()["schools"][0]["report"]["groups"];
    let joined = |group: &str| report[group]["joined"].as_u64().unwrap();
    let all = joined("Pupils") + joined("Staff") + joined("Parents");
    assert_eq!(usize::try_from(all).unwrap(), joins);

    let pupil = &world.pupils(&school)[0];
    let rename = Change::Rename {
        student: pupil.id.clone(),
        forename: None,
        surname: Some("O’Brien, Jr".into()),
    };
    world.sandbox.change(&school.id, &rename).unwrap();
    let told = markback(
        &world,
        &[&["sync", "--dry-run", "--names"][..], &sims].concat(),
    )
    .await;
    let line = format!(
        "Pupils: {} ({} O’Brien, Jr) would change: surname",
        pupil.id, pupil.forename
    );
    assert!(told.out.contains(&line), "{}", told.out);
    let done = markback(&world, &[&["sync", "--format", "json"][..], &sims].concat()).await;
    assert_eq!(
        (
            count(&done, 0, "Pupils", "changed"),
            count(&done, 0, "Pupils", "left")
        ),
        (1, 0)
    );

    let export = [&["groups", "export", "--group", "Pupils"][..], &sims].concat();
    let csv = markback(&world, &export).await;
    let mut lines = csv.out.lines();
    let heading = "school,group,kind,id,wonde_id,upi,mis_id,forename,surname,year,year_code,registration,children";
    assert_eq!(lines.next(), Some(heading));
    assert_eq!(lines.count() as u64, count(&done, 0, "Pupils", "people"));
    let row = format!(
        "{},Pupils,students,{id},{id},{},{},{},\"O’Brien, Jr\",",
        school.id,
        pupil.upi,
        pupil.mis_id,
        pupil.forename,
        id = pupil.id
    );
    assert!(csv.out.contains(&row), "{row}");
    let all = markback(&world, &["groups", "export", "--format", "json"])
        .await
        .json();
    let staff = &all["groups"][1]["people"][0];
    assert!(
        staff["roles"].is_array() && staff["forename"].is_string() && staff.get("email").is_none()
    );

    let wrong = markback(&world, &["sync", "--school", "nobody"]).await;
    assert!(
        wrong.code == 2 && wrong.err.contains("no school `nobody`"),
        "{wrong:?}"
    );
    let wrong = markback(&world, &["groups", "export", "--group", "Nope"]).await;
    assert!(
        wrong.code == 2 && wrong.err.contains("no group `Nope`"),
        "{wrong:?}"
    );
}

#[tokio::test]
async fn a_suspicious_sync_is_held_back_until_accepted() {
    let world = World::with_groups(GROUPS).await;
    let school = world.school_with("SIMS");
    let sync = |more: &'static [&'static str]| {
        let args = [
            &["sync", "--format", "json", "--school", &school.id][..],
            more,
        ]
        .concat();
        let args: Vec<String> = args.into_iter().map(str::to_owned).collect();
        let world = &world;
        async move { markback(world, &args.iter().map(String::as_str).collect::<Vec<_>>()).await }
    };
    let first = sync(&[]).await;
    let pupils = count(&first, 0, "Pupils", "people");
    world
        .sandbox
        .add_fault(FaultRule::new(Fault::Empty).on("students"))
        .unwrap();
    let held = sync(&["--full"]).await;
    assert_eq!(held.code, 1, "{held:?}");
    assert_eq!(held.json()["schools"][0]["state"], "held");
    assert!(held.out.contains("the region may be wrong"), "{}", held.out);
    assert_eq!(count(&held, 0, "Pupils", "people"), pupils);
    // An operator accepts the response.
    let accepted = sync(&["--accept"]).await;
    assert_eq!(accepted.code, 0, "{accepted:?}");
    assert_eq!(
        (
            count(&accepted, 0, "Pupils", "people"),
            count(&accepted, 0, "Pupils", "left")
        ),
        (0, pupils)
    );
}

/// The members of a group according to the service, as ids at Wonde.
async fn ids(service: &Service, school: &str, group: &str) -> Option<Vec<String>> {
    let answer = service
        .get(&format!("/v1/schools/{school}/groups/{group}"))
        .await;
    if answer.status == 503 {
        return None;
    }
    let group = answer.json();
    let people = group["people"].as_array().unwrap().iter();
    let mut ids: Vec<_> = people
        .map(|person| person["wonde_id"].as_str().unwrap().to_owned())
        .collect();
    ids.sort();
    Some(ids)
}

#[tokio::test]
async fn a_service_killed_during_a_sync_resumes_it() {
    let world = World::with_groups(GROUPS).await;
    let school = world.school_with("SIMS");
    // The parents are read slowly, so that the kill comes during the sync.
    let slow = FaultRule::new(Fault::Slow {
        millis: 400,
        after: false,
    })
    .on("contacts");
    world.sandbox.add_fault(slow).unwrap();
    let service = Service::start(MARKBACK, &world, "SIMS").await;
    let pupil = &world.pupils(&school)[0];
    let posted = service
        .post(sign_in("e1", pupil, "08:52").to_string())
        .await;
    assert_eq!(posted.status, 202, "{posted:?}");
    let reading = Instant::now();
    while !world
        .sandbox
        .requests()
        .by_kind
        .contains_key("GET contacts")
    {
        assert!(
            reading.elapsed() < Duration::from_secs(60),
            "{:?}",
            world.sandbox.requests()
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    service.kill();
    world.sandbox.clear_faults();

    let service = Service::start(MARKBACK, &world, "SIMS").await;
    service.wait_until("e1", "confirmed").await;
    assert_eq!(world.written(&school, pupil).len(), 1);
    let mut wanted: Vec<_> = world.sandbox.students(&school.id).unwrap();
    wanted.retain(|student| student.on_roll);
    let mut parents: Vec<_> = wanted
        .iter()
        .flat_map(|student| student.contacts.iter())
        .filter(|link| link.parental_responsibility)
        .map(|link| link.contact_id.clone())
        .collect();
    parents.sort();
    parents.dedup();
    let mut pupils: Vec<_> = wanted.into_iter().map(|student| student.id).collect();
    pupils.sort();
    assert_eq!(ids(&service, &school.id, "Pupils").await, Some(pupils));
    assert_eq!(ids(&service, &school.id, "Parents").await, Some(parents));
}

#[tokio::test]
async fn a_re_enrolled_pupil_is_marked_under_the_new_id() {
    let world = World::with_groups(GROUPS).await;
    let school = world.school_with("SIMS");
    let service = Service::start(MARKBACK, &world, "SIMS").await;
    let pupil = world.pupils(&school)[0].clone();
    service
        .post(sign_in("before", &pupil, "08:50").to_string())
        .await;
    service.wait_until("before", "confirmed").await;
    let change = Change::ReEnrol {
        student: pupil.id.clone(),
    };
    let new = world.sandbox.change(&school.id, &change).unwrap();
    let path = format!("/v1/schools/{}/sync", school.id);
    let asked = service
        .ask(
            reqwest::Method::POST,
            &path,
            Some("the-key-of-the-tests"),
            None,
        )
        .await;
    assert_eq!(asked.status, 202, "{asked:?}");
    let id = asked.json()["id"].as_str().unwrap().to_owned();
    let waiting = Instant::now();
    loop {
        let sync = service
            .get(&format!("/v1/schools/{}/syncs/{id}", school.id))
            .await
            .json();
        if sync["state"] == "done" {
            break;
        }
        assert!(waiting.elapsed() < Duration::from_secs(120), "{sync:#}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // The sign-in system still knows the pupil by the old id.
    service
        .post(sign_in("after", &pupil, "09:05").to_string())
        .await;
    let event: Value = service.wait_until("after", "confirmed").await;
    assert_eq!(event["person"], pupil.id.as_str());
    assert_eq!(event["student"], new.as_str());
    let answer = service
        .get(&format!("/v1/schools/{}/groups/Pupils/changes", school.id))
        .await
        .json();
    let last = answer["changes"].as_array().unwrap().last().unwrap();
    assert_eq!(
        (&last["change"], &last["id"], &last["person"]["wonde_id"]),
        (&json!("changed"), &json!(pupil.id), &json!(new))
    );
}
