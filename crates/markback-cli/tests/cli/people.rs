//! The commands about people: syncs that are paused until a day, and rehearsals of a migration to another MIS.

use crate::support::markback_on as markback;
use markback_lab::harness::{TestBed, quick_sandbox};
use wonde_sandbox::SandboxOptions;

const SCHOOL: &str = r#"mis = "SIMS"
token_file = "token"
timezone = "Europe/London"

[[school.group]]
name = "Pupils"
kind = "students"
houses = ["*"]
include = ["A1"]

[[school.group]]
name = "All"
kind = "students"

[school.group.writeback]
closes = "15:30"
am = { late = "09:00" }

[[school.group]]
name = "Staff"
kind = "staff"
properties = ["name", "email"]
"#;

/// A test bed with the settings of one school.
async fn test_bed() -> TestBed {
    let options = SandboxOptions {
        schools: 1,
        pupils_per_school: 30,
        ..quick_sandbox()
    };
    let bed = TestBed::start(None, options).await;
    bed.write_settings("", "", 1, SCHOOL);
    bed
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_shows_that_syncs_are_paused_until_a_day() {
    let bed = test_bed().await;
    let said = markback(&bed, &["sync"]).await;
    assert_eq!(said.code, 0, "{}{}", said.out, said.err);
    let said = markback(&bed, &["sync", "--pause-until", "2090-09-01"]).await;
    assert_eq!(said.code, 0, "{}{}", said.out, said.err);
    assert!(said.out.contains("2090-09-01"), "{}", said.out);
    let status = markback(&bed, &["status", "--format", "json"]).await.json();
    assert_eq!(
        status["schools"][0]["sync_paused_until"],
        "2090-08-31T23:00:00Z"
    );
    assert!(markback(&bed, &["status"]).await.out.contains("--resume"));
    // A sync on request still runs.
    assert_eq!(markback(&bed, &["sync", "--full"]).await.code, 0);
    let said = markback(&bed, &["sync", "--resume"]).await;
    assert_eq!(said.code, 0, "{}{}", said.out, said.err);
    let status = markback(&bed, &["status", "--format", "json"]).await.json();
    assert!(status["schools"][0]["sync_paused_until"].is_null());
    for (args, code) in [
        (["--pause-until", "2019-09-01"], 2),
        (["--pause-until", "01/09/2090"], 2),
    ] {
        let said = markback(&bed, &["sync", args[0], args[1]]).await;
        assert_eq!(said.code, code, "{}", said.err);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_migration_is_rehearsed_by_the_name_of_the_mis() {
    let bed = test_bed().await;
    let school = bed.school(0);
    let rehearse = ["migrate", "rehearse", "--school", school.as_str(), "--to"];
    let with = |to: &'static str| [rehearse.as_slice(), &[to]].concat();
    let said = markback(&bed, &with("ScholarPack")).await;
    assert_eq!(said.code, 1, "{}{}", said.out, said.err);
    assert!(said.out.contains("lost: session"), "{}", said.out);
    assert!(
        said.out.contains("`writeback` has no effect"),
        "{}",
        said.out
    );
    assert!(
        said.out.contains("must be changed or removed"),
        "{}",
        said.out
    );
    let said = markback(&bed, &with("Bromcomm")).await;
    assert_eq!(said.code, 2);
    assert!(said.err.contains("Bromcom"), "{}", said.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_migration_is_rehearsed_with_people_and_stores_nothing() {
    let bed = test_bed().await;
    let token = bed.path("token").display().to_string();
    let school = bed.school(0);
    let rehearse = [
        "migrate",
        "rehearse",
        "--school",
        school.as_str(),
        "--format",
        "json",
        "--to",
        &token,
    ];
    let said = markback(&bed, &rehearse).await;
    assert_eq!(said.code, 2, "nobody has been read: {}", said.out);
    assert_eq!(markback(&bed, &["sync"]).await.code, 0);
    let before = markback(&bed, &["groups", "export", "--format", "json"])
        .await
        .out;
    bed.sandbox.renumber(school.as_str()).unwrap();
    let said = markback(&bed, &rehearse).await;
    assert_eq!(said.code, 1, "{}{}", said.out, said.err);
    let report = said.json();
    let of = |kind: &str| {
        let people = report["people"].as_array().unwrap();
        people.iter().find(|one| one["kind"] == kind).unwrap()
    };
    let pupils = bed.sandbox.students(school.as_str()).unwrap();
    let here = pupils.iter().filter(|pupil| pupil.on_roll).count();
    assert_eq!(of("student")["matched"]["count"], here);
    assert_eq!(of("student")["new"]["count"], 0);
    assert!(of("staff")["proposed"]["count"].as_u64().unwrap() > 0);
    assert!(!said.out.contains('@'), "no address is shown");
    assert_eq!(
        markback(&bed, &["groups", "export", "--format", "json"])
            .await
            .out,
        before
    );
    // The sync holds the staff back until an operator accepts it, and everybody keeps their key.
    let said = markback(&bed, &["sync", "--full"]).await;
    assert_eq!(said.code, 1, "{}", said.out);
    assert!(said.out.contains("another MIS, staff"), "{}", said.out);
    let said = markback(&bed, &["sync", "--accept"]).await;
    assert_eq!(said.code, 0, "{}{}", said.out, said.err);
    let keys = |text: &str| {
        let groups: serde_json::Value = serde_json::from_str(text).unwrap();
        let people = groups["groups"].as_array().unwrap().iter();
        let people = people.flat_map(|group| group["people"].as_array().unwrap().iter());
        let mut keys: Vec<_> = people
            .map(|one| one["id"].as_str().unwrap().to_owned())
            .collect();
        keys.sort();
        keys
    };
    let after = markback(&bed, &["groups", "export", "--format", "json"])
        .await
        .out;
    assert_eq!(keys(&after), keys(&before));
    assert_ne!(after, before, "the ids at Wonde are others");
}
