//! Registers as rows for a host to store, and as simple reads.
use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use chrono::{DateTime, Days, NaiveDate, TimeDelta, Utc};
use futures::stream::TryStreamExt as _;
use mis_wonde::{
    Capabilities, ConnectContext, Descriptor, ErrorKind, EventKind, HeldCode, Mark, MarkResult,
    Mis, Register, RegisterQuery, RegisterRow, Session, Slot, session_marks,
};
use serde_json::{Value, json};
use wiremock::{
    Mock, MockServer, Request, ResponseTemplate,
    matchers::{method, path},
};

use crate::common;

static DESCRIPTOR: Descriptor = Descriptor::new("sessions", "Sessions", |context| {
    session_marks(&DESCRIPTOR, context)
})
.with_capabilities(Capabilities::SESSION_MARKS);

/// The rows of Wonde's copy; a request returns those that changed in the requested time.
#[derive(Default)]
struct Copy {
    now: Mutex<DateTime<Utc>>,
    rows: Mutex<Vec<Value>>,
    asked: Mutex<Vec<String>>,
    codes: Mutex<Vec<Value>>,
    code_book_reads: AtomicUsize,
}

impl Copy {
    fn tell(&self, request: &Request) -> ResponseTemplate {
        let since = request
            .url
            .query_pairs()
            .find(|(key, _)| key == "updated_after")
            .map(|(_, value)| value.into_owned())
            .unwrap();
        let rows = self.rows.lock().unwrap();
        let told: Vec<_> = rows
            .iter()
            .filter(|row| {
                row["updated_at"]["date"]
                    .as_str()
                    .is_none_or(|at| at >= since.as_str())
            })
            .collect();
        let answer = ResponseTemplate::new(200).set_body_json(json!({ "data": told }));
        self.asked.lock().unwrap().push(since);
        answer
    }

    fn set(&self, rows: &[Value]) {
        *self.rows.lock().unwrap() = rows.to_vec();
    }

    fn code_book_reads(&self) -> usize {
        self.code_book_reads.load(Ordering::Relaxed)
    }

    fn wait(&self, time: TimeDelta) {
        *self.now.lock().unwrap() += time;
    }

    fn last_asked(&self) -> String {
        self.asked.lock().unwrap().last().unwrap().clone()
    }
}

fn code(id: &str, letters: &str) -> Value {
    json!({"id": id, "code": letters})
}

/// A row with a comment and no code.
fn note(id: &str, student: &str, updated: &str) -> Value {
    let mut row = row(id, student, "", Some(updated));
    row["attendance_code"] = Value::Null;
    row["comment"] = json!("Exam in the hall");
    row
}

fn row(id: &str, student: &str, code: &str, updated: Option<&str>) -> Value {
    let mut row = json!({
        "id": id, "date": {"date": "2026-11-23 00:00:00", "timezone_type": 3, "timezone": "Europe/London"},
        "session": "AM", "student": student, "attendance_code": code,
    });
    if let Some(updated) = updated {
        row["updated_at"] = json!({"date": updated, "timezone_type": 3, "timezone": "UTC"});
    }
    row
}

async fn school() -> (Arc<Copy>, Mis, MockServer) {
    let copy = Arc::new(Copy {
        now: Mutex::new("2026-11-23T08:50:00Z".parse().unwrap()),
        codes: Mutex::new(vec![code("L-id", "L"), code("I-id", "I")]),
        ..Copy::default()
    });
    let server = MockServer::start().await;
    let region = json!({"domain": server.address().to_string()});
    let record = json!({"data": {"id": "A1", "timezone": "Europe/London", "region": region}});
    Mock::given(method("GET"))
        .and(path("/v1.0/schools/A1"))
        .respond_with(ResponseTemplate::new(200).set_body_json(record))
        .mount(&server)
        .await;
    let told = copy.clone();
    Mock::given(method("GET"))
        .and(path("/v1.0/schools/A1/attendance-codes"))
        .respond_with(move |_: &Request| {
            told.code_book_reads.fetch_add(1, Ordering::Relaxed);
            let codes = told.codes.lock().unwrap();
            ResponseTemplate::new(200).set_body_json(json!({ "data": *codes }))
        })
        .mount(&server)
        .await;
    let told = copy.clone();
    Mock::given(method("GET"))
        .and(path("/v1.0/schools/A1/attendance/session"))
        .respond_with(move |request: &Request| told.tell(request))
        .mount(&server)
        .await;
    let clock = copy.clone();
    let mut context = ConnectContext::new("A1");
    context.now = Arc::new(move || *clock.now.lock().unwrap());
    let mis = common::connect(&server, &DESCRIPTOR, context).await;
    (copy, mis, server)
}

async fn held(mis: &Mis, student: &str) -> Option<String> {
    let register = mis.register("2026-11-23".parse().unwrap()).await.unwrap();
    let held = register.held(&student.into(), Session::Am)?;
    Some(match &held.code {
        HeldCode::Known(code) => code.to_string(),
        HeldCode::Unreadable(id) => format!("unknown {id}"),
    })
}

fn monday() -> NaiveDate {
    "2026-11-23".parse().unwrap()
}

fn code_of(register: &Register, student: &str) -> Option<HeldCode> {
    let held = register.held(&student.into(), Session::Am);
    held.map(|held| held.code.clone())
}

fn known(code: &str) -> Option<HeldCode> {
    Some(HeldCode::Known(code.into()))
}

#[tokio::test]
async fn rows_are_filtered_by_time_of_change_and_keep_code_ids() {
    let (copy, mis, _server) = school().await;
    let old = row("1", "S1", "I-id", Some("2026-09-18 10:00:00"));
    let new = row("2", "S2", "nobodys-id", Some("2026-11-23 07:30:00"));
    copy.set(&[old, new]);
    let query = RegisterQuery {
        updated_after: Some("2026-11-23T05:50:00Z".parse().unwrap()),
        updated_before: Some("2026-11-24T00:00:00Z".parse().unwrap()),
    };
    let rows: Vec<_> = mis.register_rows(query).try_collect().await.unwrap();
    assert_eq!(copy.last_asked(), "2026-11-23 05:50:00");
    let expected = RegisterRow {
        id: Some("2".into()),
        student: "S2".into(),
        slot: Slot::Session(monday(), Session::Am),
        date: Some(monday()),
        code: Some("nobodys-id".into()),
        comment: None,
        minutes_late: None,
        changed_at: Some("2026-11-23T07:30:00Z".parse().unwrap()),
    };
    assert_eq!(rows, [expected]);
}

#[tokio::test]
async fn a_register_is_built_from_rows_with_the_current_code_book() {
    let (_copy, mis, _server) = school().await;
    let row = |student: &str, date: NaiveDate, code: &str| RegisterRow {
        id: None,
        student: student.into(),
        slot: Slot::Session(date, Session::Am),
        date: Some(date),
        code: Some(code.into()),
        comment: None,
        minutes_late: None,
        changed_at: None,
    };
    let slots = mis.register_slots(monday()).await.unwrap();
    assert_eq!(
        slots,
        [Session::Am, Session::Pm].map(|session| Slot::Session(monday(), session))
    );
    let read_at = "2026-11-23T07:00:00Z".parse().unwrap();
    let rows = vec![
        row("S1", monday(), "I-id"),
        row("S2", monday(), "nobodys-id"),
        row("S3", monday() - Days::new(1), "I-id"),
    ];
    let register = mis.register_of(monday(), read_at, rows).await.unwrap();
    assert_eq!(register.read_at(), read_at);
    assert_eq!(code_of(&register, "S1"), known("I"));
    assert_eq!(
        code_of(&register, "S2"),
        Some(HeldCode::Unreadable("nobodys-id".into()))
    );
    assert_eq!(code_of(&register, "S3"), None);
}

#[tokio::test]
async fn a_simple_read_includes_marks_entered_a_term_ahead_and_rows_without_a_time() {
    let (copy, mis, _server) = school().await;
    copy.set(&[
        row("1", "S1", "I-id", Some("2026-08-18 10:00:00")),
        row("2", "S2", "L-id", None),
    ]);
    let register = mis.register(monday()).await.unwrap();
    assert_eq!(copy.last_asked(), "2026-07-25 23:00:00");
    assert_eq!(code_of(&register, "S1"), known("I"));
    assert_eq!(code_of(&register, "S2"), known("L"));

    // Nothing is cached: a cleared mark disappears at once.
    copy.set(&[]);
    let register = mis.register(monday()).await.unwrap();
    assert_eq!(code_of(&register, "S1"), None);
}

#[tokio::test]
async fn a_note_is_not_a_mark_and_does_not_remove_one() {
    let (copy, mis, _server) = school().await;
    copy.set(&[
        note("1", "S1", "2026-11-23 08:00:00"),
        row("2", "S2", "I-id", Some("2026-11-23 07:00:00")),
        note("3", "S2", "2026-11-23 08:00:00"),
        note("4", "S3", "2026-11-23 08:00:00"),
        row("5", "S3", "I-id", Some("2026-11-23 07:00:00")),
    ]);
    assert_eq!(held(&mis, "S1").await, None);
    for student in ["S2", "S3"] {
        assert_eq!(held(&mis, student).await.unwrap(), "I", "{student}");
    }
    // A later note does not remove a mark, but a mark that lost its code is removed.
    copy.wait(TimeDelta::minutes(10));
    copy.set(&[
        row("2", "S2", "I-id", Some("2026-11-23 07:00:00")),
        note("3", "S2", "2026-11-23 08:55:00"),
        // A row is read twice, because pages shifted during the read.
        row("5", "S3", "I-id", Some("2026-11-23 07:00:00")),
        note("5", "S3", "2026-11-23 08:55:00"),
    ]);
    assert_eq!(held(&mis, "S2").await.unwrap(), "I");
    assert_eq!(held(&mis, "S3").await, None);
    assert_eq!(copy.code_book_reads(), 1);
}

#[tokio::test]
async fn a_register_without_any_code_is_an_error() {
    let (copy, mis, _server) = school().await;
    let mut rows: Vec<_> = (0..30)
        .map(|n| note(&n.to_string(), &format!("S{n}"), "2026-11-20 08:00:00"))
        .collect();
    copy.set(&rows);
    let error = mis
        .register("2026-11-23".parse().unwrap())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Forbidden);
    rows.push(row("30", "S30", "I-id", Some("2026-11-20 08:00:00")));
    copy.set(&rows);
    assert_eq!(held(&mis, "S30").await.unwrap(), "I");
    assert_eq!(held(&mis, "S0").await, None);
}

#[tokio::test]
async fn an_unknown_code_id_rereads_the_code_book_at_intervals() {
    let (copy, mis, _server) = school().await;
    assert_eq!(held(&mis, "S1").await, None);
    assert_eq!(copy.code_book_reads(), 1);
    copy.set(&[row("1", "S1", "X-id", Some("2026-11-23 08:00:00"))]);
    for _ in 0..3 {
        copy.wait(TimeDelta::seconds(10));
        assert_eq!(held(&mis, "S1").await.unwrap(), "unknown X-id");
        assert_eq!(copy.code_book_reads(), 2);
    }
    // For another id the code book is read again.
    copy.set(&[
        row("1", "S1", "X-id", Some("2026-11-23 08:00:00")),
        row("2", "S2", "Y-id", Some("2026-11-23 08:00:00")),
    ]);
    assert_eq!(held(&mis, "S2").await.unwrap(), "unknown Y-id");
    assert_eq!(copy.code_book_reads(), 3);
    copy.wait(TimeDelta::minutes(3));
    copy.codes.lock().unwrap().push(code("X-id", "X"));
    assert_eq!(held(&mis, "S1").await.unwrap(), "X");
    assert_eq!(copy.code_book_reads(), 4);
}

#[tokio::test]
async fn a_code_listed_twice_is_known_by_each_id() {
    let (copy, mis, _server) = school().await;
    copy.codes.lock().unwrap().push(code("I-new", "I"));
    copy.set(&[
        row("1", "S1", "I-id", Some("2026-11-23 08:00:00")),
        row("2", "S2", "I-new", Some("2026-11-23 08:00:00")),
    ]);
    for student in ["S1", "S2"] {
        assert_eq!(held(&mis, student).await.unwrap(), "I", "{student}");
    }
}

/// Two listed codes `L`, and the one that a mark is written with.
#[rstest::rstest]
#[case(json!({}), json!({}), None)]
#[case(json!({"active": false}), json!({}), Some("L-new"))]
#[case(json!({"is_active": 1}), json!({"is_active": 0}), Some("L-id"))]
#[case(json!({"end_date": "2026-08-31"}), json!({}), Some("L-new"))]
#[case(json!({}), json!({"active_from": "2027-09-01"}), Some("L-id"))]
#[case(
    json!({"created_at": {"date": "2025-08-01 10:00:00", "timezone_type": 3, "timezone": "UTC"}}),
    json!({"created_at": {"date": "2026-08-01 10:00:00", "timezone_type": 3, "timezone": "UTC"}}),
    Some("L-new")
)]
#[tokio::test]
async fn a_mark_is_written_with_the_active_code(
    #[case] one: Value,
    #[case] other: Value,
    #[case] expected: Option<&str>,
) {
    let (copy, mis, server) = school().await;
    let with = |mut line: Value, more: Value| {
        let more = more.as_object().unwrap().clone();
        line.as_object_mut().unwrap().extend(more);
        line
    };
    *copy.codes.lock().unwrap() = vec![
        with(code("L-id", "L"), one),
        with(code("L-new", "L"), other),
    ];
    Mock::given(method("POST"))
        .and(path("/v1.0/schools/A1/attendance/session"))
        .respond_with(ResponseTemplate::new(200).set_body_json(json!({"writeback_id": "W1"})))
        .mount(&server)
        .await;
    let mark = Mark {
        student: "S1".into(),
        date: "2026-11-23".parse().unwrap(),
        session: Session::Am,
        code: "L".into(),
        cause: EventKind::SignIn,
        comment: None,
        minutes_late: None,
        employee: None,
    };
    let results = mis.write(&[mark]).await.unwrap();
    let sent = server.received_requests().await.unwrap();
    let body = sent
        .iter()
        .find(|request| request.method.as_str() == "POST");
    let id = body.map(|request| request.body_json::<Value>().unwrap());
    let id = id.map(|body| body["attendance"][0]["attendance_code_id"].clone());
    assert_eq!(id, expected.map(Value::from));
    if expected.is_none() {
        let [MarkResult::Refused(error)] = results.as_slice() else {
            panic!("{results:?}");
        };
        assert!(
            error.to_string().contains("L 2 times (ids L-id, L-new)"),
            "{error}"
        );
    }
}
