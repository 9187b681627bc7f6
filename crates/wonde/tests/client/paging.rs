//! Lists of several pages, and errors between pages.

use crate::common::{Api, SCHOOL};
use futures::{StreamExt as _, TryStreamExt as _};
use rstest::rstest;
use serde_json::{Value, json};
use wiremock::ResponseTemplate;
use wonde::{ErrorKind, Paging, PeopleQuery, Recovery, Student};

const LIST: [(&str, &str); 1] = [("per_page", "200")];

fn ids(students: &[Student]) -> Vec<&str> {
    students.iter().map(|student| student.id.as_str()).collect()
}

async fn page(api: &Api, query: &[(&str, &str)], body: Value) {
    let answer = ResponseTemplate::new(200).set_body_json(body);
    api.told("GET", &Api::below("students"), query, answer)
        .expect(1)
        .mount(&api.server)
        .await;
}

async fn all(api: &Api, query: PeopleQuery) -> wonde::Result<Vec<Student>> {
    api.school().students(query).try_collect().await
}

#[tokio::test]
async fn all_pages_form_one_stream() {
    let api = Api::start().await;
    let at = Api::below("students");
    let first = [("include", "year"), ("per_page", "1")];
    api.get(&at, &first, "students_page_1").await;
    // The following pages link to the next one with a full URL, relative to the page, and relative to the host.
    api.get(&at, &[("page", "2")], "students_page_2").await;
    api.get(&at, &[("page", "3")], "students_page_3").await;
    api.get(&at, &[("page", "4")], "students_page_4").await;
    let query = PeopleQuery {
        per_page: 1,
        ..PeopleQuery::new().include(["year"])
    };
    let students = all(&api, query).await.unwrap();
    assert_eq!(ids(&students), ["A1749191433", "A2", "A4"]);

    let ada = &students[0];
    assert_eq!(ada.legal_surname.as_deref(), Some("Byron"));
    assert_eq!(
        ada.date_of_birth,
        chrono::NaiveDate::from_ymd_opt(2012, 12, 10)
    );
    assert_eq!(
        ada.created_at,
        Some("2015-10-29T14:53:44Z".parse().unwrap())
    );
    assert_eq!(
        ada.updated_at,
        Some("2026-06-01T08:00:00Z".parse().unwrap())
    );
    let nobody = &students[1];
    assert_eq!(
        (&nobody.surname, nobody.date_of_birth, nobody.created_at),
        (&None, None, None)
    );
}

#[tokio::test]
async fn pages_are_requested_when_needed() {
    let api = Api::start().await;
    api.get(&Api::below("students"), &LIST, "students_page_1")
        .await;
    let mut students = api.school().students(PeopleQuery::default());
    let first = students.next().await.unwrap().unwrap();
    assert_eq!(first.id.as_str(), "A1749191433");
    // The second page is not requested; the mock would fail the test.
}

#[tokio::test]
async fn lists_can_be_paged_by_cursor() {
    let api = Api::start().await;
    let next = format!(
        "{}/schools/{SCHOOL}/students?cursor=eyJpZCI6MX0%3D&per_page=200",
        api.base()
    );
    page(
        &api,
        &[("per_page", "200"), ("cursor", "true")],
        json!({"data": [{"id": "A1"}], "meta": {"pagination": {"next": next, "more": true, "per_page": "200"}}}),
    )
    .await;
    page(
        &api,
        &[("cursor", "eyJpZCI6MX0="), ("per_page", "200")],
        json!({"data": [{"id": "A2"}], "meta": {"pagination": {"next": null, "more": false}}}),
    )
    .await;
    let query = PeopleQuery {
        paging: Paging::Cursor,
        ..PeopleQuery::default()
    };
    assert_eq!(ids(&all(&api, query).await.unwrap()), ["A1", "A2"]);
}

#[rstest]
#[case::no_meta(json!({"data": [{"id": "A1"}]}))]
#[case::meta_null(json!({"data": [{"id": "A1"}], "meta": null}))]
#[case::meta_empty_list(json!({"data": [{"id": "A1"}], "meta": []}))]
#[case::no_pagination(json!({"data": [{"id": "A1"}], "meta": {"includes": ["year"]}}))]
#[case::pagination_null(json!({"data": [{"id": "A1"}], "meta": {"pagination": null}}))]
#[case::pagination_empty_list(json!({"data": [{"id": "A1"}], "meta": {"pagination": []}}))]
#[case::text_per_page(json!({"data": [{"id": "A1"}], "meta": {"pagination": {"next": null, "per_page": "50"}}}))]
#[case::meta_first(json!({"meta": {"pagination": {"next": "", "more": "0"}}, "data": [{"id": "A1"}]}))]
#[case::next_false(json!({"data": [{"id": "A1"}], "meta": {"pagination": {"next": false, "more": 0}}}))]
#[tokio::test]
async fn a_list_may_have_a_single_page(#[case] body: Value) {
    let api = Api::start().await;
    page(&api, &LIST, body).await;
    assert_eq!(
        ids(&all(&api, PeopleQuery::default()).await.unwrap()),
        ["A1"]
    );
}

#[tokio::test]
async fn an_empty_list_is_not_an_error() {
    let api = Api::start().await;
    page(&api, &LIST, json!({"data": []})).await;
    assert!(all(&api, PeopleQuery::default()).await.unwrap().is_empty());
}

#[rstest]
#[case::itself("?per_page=200")]
#[case::itself_with_a_fragment("?per_page=200#again")]
#[tokio::test]
async fn a_page_that_links_to_itself_is_an_error(#[case] next: &str) {
    let api = Api::start().await;
    page(
        &api,
        &LIST,
        json!({"data": [{"id": "A1"}], "meta": {"pagination": {"next": next, "more": true}}}),
    )
    .await;
    let error = all(&api, PeopleQuery::default()).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.recovery()),
        (ErrorKind::Decode, Recovery::Never)
    );
    assert!(error.to_string().contains("leads back"), "{error}");
}

#[tokio::test]
async fn pages_that_form_a_cycle_are_an_error() {
    let api = Api::start().await;
    let to = |page: &str, id: &str| json!({"data": [{"id": id}], "meta": {"pagination": {"next": page}}});
    page(&api, &LIST, to("?page=2", "A1")).await;
    page(&api, &[("page", "2")], to("?page=3", "A2")).await;
    page(&api, &[("page", "3")], to("?page=2", "A3")).await;
    let error = all(&api, PeopleQuery::default()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Decode);
}

#[tokio::test]
async fn more_without_a_next_page_is_an_error() {
    let api = Api::start().await;
    page(
        &api,
        &LIST,
        json!({"data": [{"id": "A1"}], "meta": {"pagination": {"next": null, "more": true}}}),
    )
    .await;
    let error = all(&api, PeopleQuery::default()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Decode);
    assert!(
        error.to_string().contains("meta.pagination.next"),
        "{error}"
    );
}

#[rstest]
#[case::another_host("http://evil.example/v1.0/students?page=2")]
#[case::without_protocol("//evil.example/students")]
#[case::user("http://evil@{host}/v1.0/students")]
#[case::wonde_itself("https://api.wonde.com/v1.0/students?page=2")]
#[tokio::test]
async fn the_token_is_not_sent_to_another_host(#[case] next: &str) {
    let api = Api::start().await;
    let next = next.replace("{host}", &api.host());
    page(
        &api,
        &LIST,
        json!({"data": [{"id": "A1"}], "meta": {"pagination": {"next": next}}}),
    )
    .await;
    let error = all(&api, PeopleQuery::default()).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.recovery()),
        (ErrorKind::ForeignHost, Recovery::Never)
    );
}

#[tokio::test]
async fn the_token_is_not_sent_to_another_port() {
    let (api, other) = (Api::start().await, Api::start().await);
    let next = format!("{}/students?page=2", other.base());
    page(
        &api,
        &LIST,
        json!({"data": [{"id": "A1"}], "meta": {"pagination": {"next": next}}}),
    )
    .await;
    let error = all(&api, PeopleQuery::default()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ForeignHost);
    assert!(other.server.received_requests().await.unwrap().is_empty());
}

#[tokio::test]
async fn the_first_error_ends_the_stream() {
    let api = Api::start().await;
    api.get(&Api::below("students"), &LIST, "students_page_1")
        .await;
    let broken = ResponseTemplate::new(403).set_body_json(api.fixture("error_403"));
    api.told("GET", &Api::below("students"), &[("page", "2")], broken)
        .expect(1)
        .mount(&api.server)
        .await;
    let rows: Vec<_> = api
        .school()
        .students(PeopleQuery::default())
        .collect()
        .await;
    assert_eq!(rows.len(), 2);
    assert_eq!(rows[1].as_ref().unwrap_err().kind(), ErrorKind::Forbidden);
}

#[rstest]
#[case::not_a_list(json!({"data": {"id": "A1"}}), "data")]
#[case::null(json!({"data": null}), "data")]
#[case::no_data(json!({"error": "Lovelace"}), "data")]
#[case::no_id(json!({"data": [{"id": "A1"}, {"surname": "Lovelace"}]}), "data[1]")]
#[case::null_id(json!({"data": [{"id": null, "surname": "Lovelace"}]}), "data[0].id")]
#[case::a_text(json!("Lovelace"), "expected")]
#[tokio::test]
async fn a_body_that_is_not_a_list_is_an_error_with_its_place(
    #[case] body: Value,
    #[case] place: &str,
) {
    let api = Api::start().await;
    page(&api, &LIST, body).await;
    let error = all(&api, PeopleQuery::default()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Decode);
    assert!(
        error.to_string().contains(place) && !error.to_string().contains("Lovelace"),
        "{error}"
    );
}
