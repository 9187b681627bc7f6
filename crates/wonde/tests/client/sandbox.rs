//! The client against the sandbox: every resource of every MIS, typed and open.

use std::sync::Arc;

use futures::{StreamExt as _, TryStreamExt as _};
use secrecy::SecretString;
use serde::de::DeserializeOwned;
use serde_json::json;
use wonde::{Client, ListQuery, OpenRecord, Resource, SchoolClient, resources};
use wonde_sandbox::{Sandbox, SandboxOptions};

async fn sandbox() -> (Sandbox, Vec<SchoolClient>) {
    let noon = "2026-11-23T12:00:00Z".parse().unwrap();
    let sandbox = Sandbox::start(SandboxOptions {
        schools: 12,
        pupils_per_school: 30,
        clock: Arc::new(move || noon),
        ..SandboxOptions::default()
    })
    .await
    .unwrap();
    let client = Client::builder(SecretString::from(sandbox.token()))
        .base_url(sandbox.base_url())
        .build()
        .unwrap();
    let schools = sandbox
        .schools()
        .into_iter()
        .map(|s| client.at_base(&s.id.as_str().into()));
    (sandbox, schools.collect())
}

/// Reads a list and one of its records, typed.
async fn read<T: DeserializeOwned + Send + 'static>(
    school: &SchoolClient,
    resource: Resource<T>,
    include: &[&str],
) {
    let query = ListQuery::new().include(include.iter().copied());
    let rows: Vec<T> = school
        .list(resource, query)
        .try_collect()
        .await
        .unwrap_or_else(|e| panic!("{resource:?}: {e}"));
    let open: Vec<OpenRecord> = school
        .list(resource.open(), ListQuery::new())
        .try_collect()
        .await
        .unwrap();
    assert_eq!(rows.len(), open.len(), "{resource:?}");
    if let Some(id) = open.first().and_then(OpenRecord::id)
        && resource.path() != "deletions"
    {
        school
            .get(resource, id, include)
            .await
            .unwrap_or_else(|e| panic!("{resource:?} {id}: {e}"));
    }
}

#[tokio::test]
async fn every_resource_of_every_mis_is_read() {
    let (sandbox, schools) = sandbox().await;
    for school in &schools {
        for resource in resources::ALL {
            read(school, *resource, &[]).await;
        }
        let everything = [
            "achievements.employees",
            "attendance_summary",
            "behaviours",
            "classes.subject",
            "contacts",
            "doctors",
            "education_details",
            "exclusions",
            "fsm_date_ranges",
            "identifiers",
            "medical_conditions.notes",
            "permissions",
            "photo",
            "results.aspect",
            "sen_needs",
            "siblings",
            "user_defined_fields",
            "year.employees",
        ];
        read(school, resources::STUDENTS, &everything).await;
        read(
            school,
            resources::EMPLOYEES,
            &["employment_details", "extended_details"],
        )
        .await;
        read(
            school,
            resources::CLASSES,
            &["subject", "lessons.room", "students"],
        )
        .await;
        read(school, resources::SUBJECTS, &[]).await;
        read(school, resources::ROOMS, &[]).await;
        read(school, resources::LESSONS, &["period"]).await;
        read(school, resources::DOCTORS, &[]).await;
        read(school, resources::ATTENDANCE_SUMMARIES, &["student"]).await;
    }
    sandbox.stop().await;
}

#[tokio::test]
async fn an_achievement_is_created_read_and_deleted() {
    let (sandbox, schools) = sandbox().await;
    let school = &schools[0];
    let pupil = school
        .students(Default::default())
        .next()
        .await
        .unwrap()
        .unwrap();
    let teacher = school
        .employees(Default::default())
        .next()
        .await
        .unwrap()
        .unwrap();
    let created = school
        .create(
            resources::ACHIEVEMENTS,
            &json!({
                "students": [{"student_id": pupil.id, "points": 3}],
                "employee_id": teacher.id, "date": "2026-11-20", "type": "MERIT",
            }),
        )
        .await
        .unwrap();
    let id = created.id().unwrap();
    let read = school
        .get(resources::ACHIEVEMENTS, id, &["student"])
        .await
        .unwrap();
    assert_eq!(read.related_id("student"), Some(pupil.id.as_str()));
    school.delete(resources::ACHIEVEMENTS, id).await.unwrap();
    assert!(school.get(resources::ACHIEVEMENTS, id, &[]).await.is_err());
    sandbox.stop().await;
}

#[tokio::test]
async fn a_schools_permissions_and_access_list_are_read() {
    let (sandbox, schools) = sandbox().await;
    let client = schools[0].client();
    let permissions = client.permissions(schools[0].id()).await.unwrap();
    assert!(
        permissions
            .iter()
            .all(|p| p.active_from.is_some() && p.optional.is_some() && p.group.is_some())
    );
    assert_eq!(
        permissions
            .iter()
            .filter(|p| p.is_attendance_write())
            .count(),
        1
    );
    let list = client.access_list(schools[0].id()).await.unwrap();
    assert_eq!(list.ids[0].kind.as_deref(), Some("student"));
    let all = client
        .schools(wonde::SchoolList::All)
        .try_collect::<Vec<_>>()
        .await
        .unwrap();
    let audited = |s: &&wonde::School| s.extended.is_some_and(|e| e.audit_approved_at.is_some());
    assert_eq!(all.iter().filter(audited).count(), 6);
    sandbox.stop().await;
}
