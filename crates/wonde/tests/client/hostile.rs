//! Malicious responses.

use crate::common::Api;
use futures::TryStreamExt as _;
use rstest::rstest;
use wiremock::ResponseTemplate;
use wonde::{ErrorKind, PeopleQuery, Student};

/// The depth of nested records: more than a JSON parser accepts, and more than a thread's 2 MiB stack can hold.
const DEEP: usize = 20_000;

#[rstest]
#[case::lists("classes", r#"[{"id":"1","students":[{"id":"2","classes":"#, "}]}]")]
#[case::wrapped(
    "contacts",
    r#"{"data":[{"id":"1","students":{"data":[{"id":"2","contacts":"#,
    "}]}}]}"
)]
#[case::single("year", r#"{"id":"1","students":[{"id":"2","year":"#, "}]}")]
#[case::wrappers("year", r#"{"data":"#, "}")]
#[case::wrappers_of_lists("contacts", r#"{"data":"#, "}")]
#[case::details("contact_details", r#"{"data":[{"emails":"#, "}]}")]
#[case::first_of_lists("year", "[", "]")]
#[tokio::test]
async fn deep_nesting_is_an_error(#[case] field: &str, #[case] open: &str, #[case] close: &str) {
    let error = read(field, open, close, DEEP).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Decode);
    assert!(error.to_string().contains("nesting"), "{error}");
}

#[rstest]
#[case::lists("classes", r#"[{"id":"1","students":[{"id":"2","classes":"#, "}]}]", 7)]
#[case::wrapped(
    "contacts",
    r#"{"data":[{"id":"1","students":{"data":[{"id":"2","contacts":"#,
    "}]}}]}",
    4
)]
#[case::single("year", r#"{"id":"1","students":[{"id":"2","year":"#, "}]}", 9)]
#[tokio::test]
async fn the_deepest_allowed_nesting_does_not_overflow_the_stack(
    #[case] field: &str,
    #[case] open: &str,
    #[case] close: &str,
    #[case] times: usize,
) {
    let students = read(field, open, close, times).await.unwrap();
    assert_eq!(students.len(), 1);
    assert!(
        read(field, open, close, times + 1).await.is_err(),
        "that was not the deepest"
    );
}

/// Reads one pupil with a field of this nesting.
async fn read(field: &str, open: &str, close: &str, times: usize) -> wonde::Result<Vec<Student>> {
    let (open, close) = (open.repeat(times), close.repeat(times));
    let text = format!(r#"{{"data":[{{"id":"0","{field}":{open}null{close}}}]}}"#);
    let api = Api::start().await;
    let answer = ResponseTemplate::new(200).set_body_raw(text, "application/json");
    api.told(
        "GET",
        &Api::below("students"),
        &[("per_page", "200")],
        answer,
    )
    .expect(1)
    .mount(&api.server)
    .await;
    api.school()
        .students(PeopleQuery::default())
        .try_collect()
        .await
}
