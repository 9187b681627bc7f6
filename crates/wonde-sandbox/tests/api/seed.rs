//! The same seed returns the same bytes.

use serde_json::json;
use wonde_sandbox::{SandboxOptions, SchoolInfo};

use crate::lab::{Lab, TODAY, options};

async fn transcript(seed: u64) -> String {
    let lab = Lab::with(SandboxOptions {
        seed,
        schools: 5,
        ..options()
    })
    .await;
    let mut all = String::new();
    let mut note = |text: &str| all.push_str(text);
    note(&lab.get("schools").await.text);
    for school in lab.sandbox.schools() {
        let id = &school.id;
        for path in [
            "students?per_page=60&include=contacts.contact_details,groups,classes,education_details",
            "employees?include=employment_details,groups,classes",
            "lessons?include=period,room,class",
            "attendance-codes?per_page=100",
            "attendance/session?cursor=true",
            "attendance/lesson",
            "deletions",
        ] {
            note(&lab.get(&format!("schools/{id}/{path}")).await.text);
        }
        let pupil = &lab.pupils(id).await[0];
        let mark = lab.mark(id, pupil, "L").await;
        let body = json!({"attendance": [mark]});
        note(
            &lab.post(&format!("schools/{id}/attendance/session"), &body)
                .await
                .text,
        );
        lab.sandbox.a_day_of_changes(id, 3).unwrap();
        lab.pass(3_600);
        note(
            &lab.get(&format!(
                "schools/{id}/attendance/session?updated_after={TODAY}"
            ))
            .await
            .text,
        );
        note(
            &lab.get(&format!("schools/{id}/students?updated_after={TODAY}"))
                .await
                .text,
        );
    }
    let host = lab
        .sandbox
        .base_url()
        .replace("http://", "")
        .replace("/v1.0", "");
    all.replace(&host, "host")
}

#[tokio::test]
async fn two_sandboxes_with_one_seed_return_the_same_bytes() {
    let first = transcript(11).await;
    assert_eq!(first, transcript(11).await);
    assert_ne!(first, transcript(12).await);
}

#[tokio::test]
async fn a_school_does_not_depend_on_the_number_of_schools() {
    let few = Lab::new().await;
    let many = Lab::of_every_mis().await;
    let school = few.school("Arbor").id;
    let path = format!("schools/{school}/students?include=contacts&per_page=200");
    assert_eq!(few.get(&path).await.text, many.get(&path).await.text);
}

#[tokio::test]
async fn options_out_of_range_are_rejected() {
    for options in [
        SandboxOptions {
            schools: 0,
            ..options()
        },
        SandboxOptions {
            pupils_per_school: 0,
            ..options()
        },
        SandboxOptions {
            pupils_per_school: 20_000,
            ..options()
        },
        SandboxOptions {
            pupils_of_smallest: Some(0),
            ..options()
        },
        SandboxOptions {
            pupils_of_smallest: Some(options().pupils_per_school + 1),
            ..options()
        },
        SandboxOptions {
            per_page_max: 0,
            ..options()
        },
        SandboxOptions {
            webhook_url: Some("https://example.com/hook".to_owned()),
            ..options()
        },
        SandboxOptions {
            webhook_url: Some("http://192.0.2.1/hook".to_owned()),
            ..options()
        },
    ] {
        assert!(wonde_sandbox::Sandbox::start(options).await.is_err());
    }
}

#[tokio::test]
async fn schools_may_differ_in_size() {
    let lab = Lab::with(SandboxOptions {
        schools: 40,
        pupils_per_school: 200,
        pupils_of_smallest: Some(10),
        ..options()
    })
    .await;
    let size = |school: &SchoolInfo| lab.sandbox.students(&school.id).unwrap().len();
    let mut sizes: Vec<_> = lab.sandbox.schools().iter().map(size).collect();
    sizes.sort_unstable();
    assert!(sizes[0] >= 10 && sizes[0] < 14, "{sizes:?}");
    assert!(sizes[39] > 150 && sizes[39] <= 200, "{sizes:?}");
    // Half of them are smaller than the geometric mean of both ends, which is 45.
    assert!((35..55).contains(&sizes[20]), "{sizes:?}");
}

#[tokio::test]
async fn twenty_four_thousand_schools_cost_little_until_they_are_used() {
    let lab = Lab::with(SandboxOptions {
        schools: 24_000,
        ..options()
    })
    .await;
    let last = lab.get("schools?per_page=200&page=120").await.rows();
    assert_eq!(last.len(), 200);
    let id = last[199]["id"].as_str().unwrap();
    assert_eq!(
        lab.get(&format!("schools/{id}/students"))
            .await
            .rows()
            .len(),
        50
    );
}
