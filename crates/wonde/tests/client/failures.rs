//! Errors: their kind, their recovery, and the number of attempts.

use std::time::Duration;

use crate::common::{
    Api, SCHOOL, builder,
    wire::{Then, Wire},
};
use chrono::NaiveDate;
use futures::TryStreamExt as _;
use rstest::rstest;
use tokio::net::TcpListener;
use wiremock::ResponseTemplate;
use wonde::{Client, Error, ErrorKind, PeopleQuery, Recovery, Session, SessionMark, Student};

/// A permanent error is tried once; a temporary one is retried twice.
const ONCE: u64 = 1;
const THRICE: u64 = 3;

async fn read(client: &Client) -> Error {
    let school = client.at_base(&SCHOOL.into());
    school
        .students(PeopleQuery::default())
        .try_collect::<Vec<Student>>()
        .await
        .unwrap_err()
}

async fn write(client: &Client) -> Error {
    let mark = SessionMark {
        student_id: "A1749191433".into(),
        date: NaiveDate::from_ymd_opt(2026, 11, 23).unwrap(),
        session: Session::Am,
        attendance_code_id: "A113".into(),
        comment: Some("Overslept, says Ada".to_owned()),
        minutes_late: None,
        employee_id: None,
    };
    client
        .at_base(&SCHOOL.into())
        .write_session_attendance(&[mark])
        .await
        .unwrap_err()
}

/// The error of a list of pupils for a response.
async fn read_answered(answer: ResponseTemplate, times: u64) -> Error {
    let api = Api::start().await;
    let mock = api.told(
        "GET",
        &Api::below("students"),
        &[("per_page", "200")],
        answer,
    );
    mock.expect(times).mount(&api.server).await;
    read(&api.client()).await
}

/// The error of a register for a response. The register is sent only once.
async fn write_answered(answer: ResponseTemplate) -> Error {
    let api = Api::start().await;
    let mock = api.told("POST", &Api::below("attendance/session"), &[], answer);
    mock.expect(ONCE).mount(&api.server).await;
    write(&api.client()).await
}

fn fixture(status: u16) -> ResponseTemplate {
    let file = format!(
        "{}/tests/fixtures/error_{status}.json",
        env!("CARGO_MANIFEST_DIR")
    );
    ResponseTemplate::new(status).set_body_raw(std::fs::read(file).unwrap(), "application/json")
}

#[rstest]
#[case(
    400,
    ErrorKind::BadRequest,
    "(400, invalid_include)",
    "invalid_include: houses cannot be included"
)]
#[case(
    401,
    ErrorKind::Unauthorized,
    "(401, invalid_token)",
    "invalid_token: The access token is not valid"
)]
#[case(
    403,
    ErrorKind::Forbidden,
    "(403, invalid_permissions)",
    "You do not have permission to read students"
)]
#[case(
    404,
    ErrorKind::NotFound,
    "(404, resource_not_found)",
    "The school was not found"
)]
#[case(422, ErrorKind::Validation, "(422)", "Overslept, says Ada")]
#[tokio::test]
async fn each_rejection_has_its_kind(
    #[case] status: u16,
    #[case] kind: ErrorKind,
    #[case] words: &str,
    #[case] said: &str,
) {
    for error in [
        read_answered(fixture(status), ONCE).await,
        write_answered(fixture(status)).await,
    ] {
        assert_eq!((error.kind(), error.recovery()), (kind, Recovery::Never));
        assert_eq!(error.context().status, Some(status));
        assert!(error.to_string().contains(words), "{error}");
        assert!(
            error.server_message().unwrap().contains(said),
            "{:?}",
            error.server_message()
        );
    }
}

#[tokio::test]
async fn a_rejection_does_not_repeat_the_request() {
    let error = write_answered(fixture(422)).await;
    for words in [error.to_string(), format!("{error:?}")] {
        assert!(
            !words.contains("Lovelace")
                && !words.contains("Overslept")
                && !words.contains("validation_failed")
        );
    }
}

#[rstest]
#[case::seconds("120", Duration::from_secs(120))]
#[case::date("Mon, 23 Nov 2026 09:02:30 GMT", Duration::from_secs(150))]
#[tokio::test]
async fn a_429_with_retry_after_is_waited_for(#[case] header: &str, #[case] wait: Duration) {
    let answer = || {
        fixture(429)
            .insert_header("retry-after", header)
            .insert_header("date", "Mon, 23 Nov 2026 09:00:00 GMT")
    };
    // The caller must wait: nothing is retried here.
    for error in [
        read_answered(answer(), ONCE).await,
        write_answered(answer()).await,
    ] {
        assert_eq!(
            (error.kind(), error.recovery()),
            (ErrorKind::RateLimited, Recovery::RetryAfter(wait))
        );
    }
}

#[tokio::test]
async fn a_429_without_retry_after_can_be_retried() {
    for error in [
        read_answered(fixture(429), THRICE).await,
        write_answered(fixture(429)).await,
    ] {
        assert_eq!(
            (error.kind(), error.recovery()),
            (ErrorKind::RateLimited, Recovery::Retry)
        );
    }
}

#[rstest]
#[case(500, Recovery::Unknown)]
#[case(502, Recovery::Unknown)]
#[case(503, Recovery::Retry)]
#[case(504, Recovery::Unknown)]
#[tokio::test]
async fn server_errors_are_unavailable(#[case] status: u16, #[case] after_a_write: Recovery) {
    let answer = || ResponseTemplate::new(status).set_body_string("<html>Augusta Lovelace</html>");
    let error = read_answered(answer(), THRICE).await;
    assert_eq!(
        (error.kind(), error.recovery()),
        (ErrorKind::Server, Recovery::Retry)
    );
    let error = write_answered(answer()).await;
    assert_eq!(
        (error.kind(), error.recovery()),
        (ErrorKind::Server, after_a_write)
    );
}

#[tokio::test]
async fn a_503_with_retry_after_is_waited_for() {
    let answer = || ResponseTemplate::new(503).insert_header("retry-after", "30");
    let wait = Recovery::RetryAfter(Duration::from_secs(30));
    assert_eq!(read_answered(answer(), ONCE).await.recovery(), wait);
    assert_eq!(write_answered(answer()).await.recovery(), wait);
}

#[tokio::test]
async fn malformed_json_is_a_decoding_error() {
    let answer =
        || ResponseTemplate::new(200).set_body_raw("<html>Back soon, Ada</html>", "text/html");
    let error = read_answered(answer(), THRICE).await;
    assert_eq!(
        (error.kind(), error.recovery()),
        (ErrorKind::Decode, Recovery::Retry)
    );
    let error = write_answered(answer()).await;
    assert_eq!(
        (error.kind(), error.recovery()),
        (ErrorKind::Decode, Recovery::Unknown)
    );
    assert!(!error.to_string().contains("Ada"), "{error}");
}

#[tokio::test]
async fn an_empty_body_is_a_decoding_error() {
    let answer = || ResponseTemplate::new(200);
    assert_eq!(
        read_answered(answer(), THRICE).await.kind(),
        ErrorKind::Decode
    );
    assert_eq!(write_answered(answer()).await.recovery(), Recovery::Unknown);
}

#[rstest]
// The write may have been carried out; the redirect leads to its result.
#[case(301, Recovery::Unknown)]
#[case(302, Recovery::Unknown)]
#[case(303, Recovery::Unknown)]
#[case(307, Recovery::Never)]
#[case(308, Recovery::Never)]
#[tokio::test]
async fn redirects_are_not_followed(#[case] status: u16, #[case] write: Recovery) {
    let elsewhere = Api::start().await;
    let answer = || ResponseTemplate::new(status).insert_header("location", elsewhere.base());
    for (error, recovery) in [
        (read_answered(answer(), ONCE).await, Recovery::Never),
        (write_answered(answer()).await, write),
    ] {
        assert_eq!(
            (error.kind(), error.recovery()),
            (ErrorKind::Redirected, recovery)
        );
        assert!(error.to_string().contains("check the base URL"), "{error}");
    }
    assert!(
        elsewhere
            .server
            .received_requests()
            .await
            .unwrap()
            .is_empty()
    );
}

#[tokio::test]
async fn a_read_is_retried_until_it_succeeds() {
    let api = Api::start().await;
    let at = Api::below("students");
    let query = [("per_page", "200")];
    let failing = api
        .told("GET", &at, &query, ResponseTemplate::new(500))
        .up_to_n_times(2)
        .with_priority(1);
    failing.expect(2).mount(&api.server).await;
    api.get(&at, &query, "students_page_4").await;
    let students: Vec<Student> = api
        .school()
        .students(PeopleQuery::default())
        .try_collect()
        .await
        .unwrap();
    assert_eq!(students.len(), 1);
}

#[tokio::test]
async fn the_number_of_retries_can_be_set() {
    let api = Api::start().await;
    let mock = api.told(
        "GET",
        &Api::below("students"),
        &[("per_page", "200")],
        ResponseTemplate::new(500),
    );
    mock.expect(ONCE).mount(&api.server).await;
    let error = read(&api.builder().read_retries(0).build().unwrap()).await;
    assert_eq!(error.recovery(), Recovery::Retry);
}

#[tokio::test]
async fn every_request_passes_the_gate_including_retries() {
    use std::sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    };

    let api = Api::start().await;
    let mock = api.told(
        "GET",
        &Api::below("students"),
        &[("per_page", "200")],
        ResponseTemplate::new(500),
    );
    mock.expect(3).mount(&api.server).await;
    let passed = Arc::new(AtomicU32::new(0));
    let counter = passed.clone();
    let gate: wonde::Gate = Arc::new(move || {
        counter.fetch_add(1, Ordering::Relaxed);
        Box::pin(std::future::ready(Ok(())))
    });
    read(&api.builder().gate(gate).build().unwrap()).await;
    assert_eq!(passed.load(Ordering::Relaxed), 3);
}

#[tokio::test]
async fn a_closed_gate_prevents_the_request() {
    let api = Api::start().await;
    let gate: wonde::Gate =
        std::sync::Arc::new(|| Box::pin(std::future::ready(Err(wonde::GateClosed))));
    let client = api.builder().gate(gate).read_retries(0).build().unwrap();
    let error = read(&client).await;
    assert_eq!(
        (error.kind(), error.recovery()),
        (ErrorKind::Connect, Recovery::Retry)
    );
    assert_eq!(api.server.received_requests().await.unwrap().len(), 0);
}

#[tokio::test]
async fn observers_receive_the_status_but_not_the_url() {
    use std::sync::{Arc, Mutex};

    let api = Api::start().await;
    let mock = api.told(
        "GET",
        &Api::below("students"),
        &[("per_page", "200")],
        ResponseTemplate::new(429),
    );
    mock.mount(&api.server).await;
    let told = Arc::new(Mutex::new(Vec::new()));
    let notes = told.clone();
    let observer: wonde::RequestObserver = Arc::new(move |asked| notes.lock().unwrap().push(asked));
    read(&api.builder().observer(observer).build().unwrap()).await;
    let told = told.lock().unwrap();
    assert_eq!((told[0].method, told[0].status), ("GET", Some(429)));
    assert_eq!(told[0].resource, "students");
    // The resource's name is in its path, so the rest of the URL is looked for.
    let printed = format!("{told:?}");
    for part in [api.server.uri().as_str(), "://", "/schools/", "per_page"] {
        assert!(!printed.contains(part), "{part} in {printed}");
    }
}

#[rstest]
#[case::before_the_answer("")]
#[case::in_its_head("HTTP/1.1 200 OK\r\ncontent-le")]
#[case::in_its_body("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"data\": [")]
#[tokio::test]
async fn a_cut_connection_is_unavailable(#[case] bytes: &'static str) {
    let wire = Wire::start(bytes, Then::Cut).await;
    let client = builder(&wire.base).build().unwrap();
    let error = read(&client).await;
    assert_eq!(
        (error.kind(), error.recovery()),
        (ErrorKind::Interrupted, Recovery::Retry)
    );
    assert_eq!(wire.requests(), 3);

    let wire = Wire::start(bytes, Then::Cut).await;
    let client = builder(&wire.base).build().unwrap();
    let error = write(&client).await;
    assert_eq!(
        (error.kind(), error.recovery()),
        (ErrorKind::Interrupted, Recovery::Unknown)
    );
    assert_eq!(wire.requests(), 1, "a write goes out once");
}

#[rstest]
#[case::no_answer("")]
#[case::half_an_answer("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"data\": [")]
#[tokio::test]
async fn a_timeout_is_unavailable(#[case] bytes: &'static str) {
    let wire = Wire::start(bytes, Then::Silence).await;
    let client = builder(&wire.base)
        .timeout(Duration::from_secs(1))
        .read_retries(0)
        .build()
        .unwrap();
    let error = read(&client).await;
    assert_eq!(
        (error.kind(), error.recovery()),
        (ErrorKind::Timeout, Recovery::Retry)
    );
    let error = write(&client).await;
    assert_eq!(
        (error.kind(), error.recovery()),
        (ErrorKind::Timeout, Recovery::Unknown)
    );
    assert_eq!(wire.requests(), 2);
}

#[tokio::test]
async fn a_refused_connection_can_be_retried() {
    // Bound and dropped, so nothing listens on this port.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}/v1.0", listener.local_addr().unwrap());
    drop(listener);
    let client = builder(&base).build().unwrap();
    // Nothing was sent, so a write can be repeated as well.
    for error in [read(&client).await, write(&client).await] {
        assert_eq!(
            (error.kind(), error.recovery()),
            (ErrorKind::Connect, Recovery::Retry)
        );
    }
}

#[tokio::test]
async fn a_response_with_an_excessive_length_is_not_read() {
    let wire = Wire::start(
        "HTTP/1.1 200 OK\r\ncontent-length: 100000000000\r\n\r\n{",
        Then::Silence,
    )
    .await;
    let client = builder(&wire.base).build().unwrap();
    let error = read(&client).await;
    assert_eq!(
        (error.kind(), error.recovery()),
        (ErrorKind::Decode, Recovery::Never)
    );
    assert_eq!(write(&client).await.recovery(), Recovery::Unknown);
}

#[tokio::test]
async fn a_rejection_with_an_excessive_length_is_still_a_rejection() {
    let wire = Wire::start(
        "HTTP/1.1 403 No\r\ncontent-length: 100000000000\r\n\r\n{",
        Then::Silence,
    )
    .await;
    let error = read(&builder(&wire.base).build().unwrap()).await;
    assert_eq!(
        (error.kind(), error.server_message()),
        (ErrorKind::Forbidden, None)
    );
}

#[tokio::test]
#[should_panic(expected = "a request that nobody expected")]
async fn an_unexpected_request_fails_the_test() {
    let api = Api::start().await;
    drop(read(&api.client()).await);
}
