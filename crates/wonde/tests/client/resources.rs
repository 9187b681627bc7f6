//! The generic reader and writer, over the wire.

use crate::common::{Api, SCHOOL};
use futures::TryStreamExt as _;
use serde_json::json;
use wiremock::{Mock, ResponseTemplate, matchers};
use wonde::{
    ErrorKind, ListQuery, Recovery, SchoolContact, SchoolList, SchoolQuery, WritebackStatus,
    resources::{self, Resource},
};

#[tokio::test]
async fn every_resource_is_read_from_its_path() {
    let api = Api::start().await;
    for resource in resources::ALL {
        let rows = json!({"data": [{"id": "A1", "anything": {"data": []}}]});
        let answer = ResponseTemplate::new(200).set_body_json(rows);
        api.told(
            "GET",
            &Api::below(resource.path()),
            &[("per_page", "200")],
            answer,
        )
        .expect(1)
        .mount(&api.server)
        .await;
        let rows: Vec<_> = api
            .school()
            .list(*resource, ListQuery::new())
            .try_collect()
            .await
            .unwrap();
        assert_eq!(rows[0].id(), Some("A1"), "{resource:?}");
    }
    let mut paths: Vec<_> = resources::ALL.iter().map(Resource::path).collect();
    paths.sort_unstable();
    paths.dedup();
    assert_eq!(paths.len(), resources::ALL.len());
}

#[test]
fn the_readme_lists_every_resource_with_its_label() {
    let readme = include_str!("../../README.md");
    for resource in resources::ALL {
        let cell = format!("| `{}` |", resource.path());
        let line = readme.lines().find(|line| line.contains(&cell));
        let line = line.unwrap_or_else(|| panic!("{resource:?} is missing"));
        assert!(
            line.contains(&format!("| [{}] |", resource.source())),
            "{line}"
        );
        for write in resource.writes() {
            assert!(
                line.contains(&format!("{write:?}").to_lowercase()),
                "{line}"
            );
        }
    }
}

#[tokio::test]
async fn one_record_is_read_with_its_includes() {
    let api = Api::start().await;
    let doctor = json!({"data": {"id": "A7", "surname": "Example", "telephone": 1632}, "meta": {"includes": []}});
    let answer = ResponseTemplate::new(200).set_body_json(doctor);
    api.told(
        "GET",
        &Api::below("doctors/A7"),
        &[("include", "students,notes")],
        answer,
    )
    .expect(1)
    .mount(&api.server)
    .await;
    let doctor = api
        .school()
        .get(resources::DOCTORS, "A7", &["students", "notes"])
        .await
        .unwrap();
    assert_eq!(doctor.telephone.as_deref(), Some("1632"));
    assert!(!format!("{doctor:?}").contains("Example"));
}

#[tokio::test]
async fn records_are_created_updated_and_deleted() {
    let api = Api::start().await;
    let body = json!({"absence_type": "SIC"});
    let answers = [
        (
            "POST",
            "employee-absences",
            json!({"data": {"id": "A9"}}).to_string(),
        ),
        (
            "PUT",
            "employee-absences/A9",
            json!({"id": "A9"}).to_string(),
        ),
        ("DELETE", "employee-absences/A9", String::new()),
    ];
    for (verb, at, answer) in answers {
        let mut mock = Mock::given(matchers::method(verb))
            .and(matchers::path(format!("/v1.0{}", Api::below(at))));
        if verb != "DELETE" {
            mock = mock.and(matchers::body_json(&body));
        }
        mock.respond_with(ResponseTemplate::new(200).set_body_string(answer))
            .expect(1)
            .mount(&api.server)
            .await;
    }
    let school = api.school();
    let absences = resources::EMPLOYEE_ABSENCES;
    assert_eq!(
        school.create(absences, &body).await.unwrap().id(),
        Some("A9")
    );
    assert_eq!(
        school.update(absences, "A9", &body).await.unwrap().id(),
        Some("A9")
    );
    let deleted = school.delete(absences, "A9").await.unwrap();
    assert_eq!(
        deleted.names().count(),
        0,
        "an empty answer is an empty record"
    );
}

#[tokio::test]
async fn unsupported_writes_are_rejected_before_any_request() {
    let api = Api::start().await;
    let school = api.school();
    let nothing = json!({});
    for error in [
        school
            .create(resources::STUDENTS, &nothing)
            .await
            .unwrap_err(),
        school
            .update(resources::ACHIEVEMENTS, "A1", &nothing)
            .await
            .unwrap_err(),
        school.delete(resources::EVENTS, "A1").await.unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::Config);
    }
}

#[tokio::test]
async fn a_write_is_never_retried() {
    let api = Api::start().await;
    let answer = ResponseTemplate::new(500);
    api.told("POST", &Api::below("achievements"), &[], answer)
        .expect(1)
        .mount(&api.server)
        .await;
    let error = api
        .school()
        .create(resources::ACHIEVEMENTS, &json!({}))
        .await
        .unwrap_err();
    assert_eq!(error.recovery(), Recovery::Unknown);
}

#[tokio::test]
async fn a_raw_response_is_returned_unchanged() {
    let api = Api::start().await;
    let answer = ResponseTemplate::new(200)
        .set_body_json(json!({"data": [{"forename": "Secret"}]}))
        .insert_header("x-ratelimit-remaining", "59")
        .insert_header("x-other", "1");
    api.told("GET", &Api::below("students"), &[("page", "2")], answer)
        .expect(1)
        .mount(&api.server)
        .await;
    let raw = api
        .school()
        .raw("students", &[("page", "2")])
        .await
        .unwrap();
    assert_eq!(raw.body["data"][0]["forename"], "Secret");
    assert_eq!(
        raw.rate_limit,
        [("x-ratelimit-remaining".to_owned(), "59".to_owned())]
    );
    assert!(!format!("{raw:?}").contains("Secret"));
}

#[tokio::test]
async fn schools_are_found_by_a_query() {
    let api = Api::start().await;
    let query = [
        ("postcode", "CB21"),
        ("la_code", "873"),
        ("per_page", "200"),
    ];
    api.get("/schools/all", &query, "schools").await;
    let query = SchoolQuery::new().postcode("CB21").la_code("873");
    let schools: Vec<_> = api
        .client()
        .find_schools(SchoolList::All, query)
        .try_collect()
        .await
        .unwrap();
    assert_eq!(schools.len(), 2);
}

#[tokio::test]
async fn writebacks_are_listed_under_either_name_of_their_id() {
    let api = Api::start().await;
    let rows = json!({"data": [{"id": "A1", "status": "completed"}, {"writeback_id": "A2", "status": "new word"}]});
    let answer = ResponseTemplate::new(200).set_body_json(rows);
    api.told("GET", "/writebacks", &[("per_page", "200")], answer)
        .expect(1)
        .mount(&api.server)
        .await;
    let all: Vec<_> = api.client().writebacks().try_collect().await.unwrap();
    let all: Vec<_> = all.iter().map(|w| (w.id.as_str(), w.status)).collect();
    assert_eq!(
        all,
        [("A1", WritebackStatus::Done), ("A2", WritebackStatus::Open)]
    );
}

#[tokio::test]
async fn the_access_list_is_read_with_and_without_types() {
    let api = Api::start().await;
    let acl = json!({"data": {"mode": "exclude", "ids": ["A1", {"id": "A2", "type": "student"}]}});
    let answer = ResponseTemplate::new(200).set_body_json(acl);
    let at = format!("/meta/schools/{SCHOOL}/acl");
    api.told("GET", &at, &[("with_user_type", "true")], answer)
        .expect(1)
        .mount(&api.server)
        .await;
    let list = api.client().access_list(&SCHOOL.into()).await.unwrap();
    let kinds: Vec<_> = list.ids.iter().map(|one| one.kind.as_deref()).collect();
    assert_eq!(kinds, [None, Some("student")]);
}

#[tokio::test]
async fn a_request_for_access_can_name_contacts() {
    let api = Api::start().await;
    let at = format!("/v1.0/schools/{SCHOOL}/request-access");
    Mock::given(matchers::method("POST"))
        .and(matchers::path(at))
        .and(matchers::body_json(
            json!({"contacts": [{"first_name": "Sam"}]}),
        ))
        .respond_with(
            ResponseTemplate::new(200).set_body_json(json!({"success": true, "state": "pending"})),
        )
        .expect(1)
        .mount(&api.server)
        .await;
    let mut contact = SchoolContact::default();
    contact.first_name = Some("Sam".to_owned());
    assert!(!format!("{contact:?}").contains("Sam"));
    let change = api
        .client()
        .request_access_with(&SCHOOL.into(), &[contact])
        .await
        .unwrap();
    assert_eq!(change.state.as_deref(), Some("pending"));
}

#[test]
fn an_untyped_record_shows_no_values_in_debug_and_errors() {
    let record: wonde::OpenRecord =
        serde_json::from_value(json!({"id": "A1", "comment": "Secret", "student": "A2"})).unwrap();
    assert_eq!(record.related_id("student"), Some("A2"));
    assert!(!format!("{record:?}").contains("Secret"));
    #[derive(Debug, serde::Deserialize)]
    #[allow(dead_code, reason = "only the reading is looked at")]
    struct Wrong {
        comment: u32,
    }
    let error = record.read::<Wrong>().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Decode);
    assert!(!format!("{error} {error:?}").contains("Secret"));
    assert!(error.to_string().contains("comment"));
}
