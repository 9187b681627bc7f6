//! Registers as rows for a host to keep, and as the simple way reads them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test may stop at the first surprise"
)]

mod common;

use std::sync::{Arc, Mutex};

use chrono::{DateTime, Days, NaiveDate, Utc};
use futures::stream::TryStreamExt as _;
use mis_core::{
    Capabilities, ConnectOptions, Descriptor, HeldCode, Mis, Register, RegisterQuery, RegisterRow,
    Session, SessionWriteback, Slot, Source, shapes,
};
use serde_json::{Value, json};
use wiremock::{
    Mock, MockServer, Request, ResponseTemplate,
    matchers::{method, path},
};

static DESCRIPTOR: Descriptor = Descriptor {
    id: "sessions",
    name: "Sessions",
    wonde_names: &[],
    capabilities: Capabilities {
        session: SessionWriteback::Session,
        ..Capabilities::READ_ONLY
    },
    notes: "",
    source: Source {
        what: "this test",
        date: "2026-11-23",
    },
    connect: |connection| shapes::session_marks(&DESCRIPTOR, connection),
};

/// Rows of Wonde's copy, of which it tells those that changed since the time asked for.
#[derive(Default)]
struct Copy {
    now: Mutex<DateTime<Utc>>,
    rows: Mutex<Vec<Value>>,
    asked: Mutex<Vec<String>>,
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

    fn last_asked(&self) -> String {
        self.asked.lock().unwrap().last().unwrap().clone()
    }
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
        ..Copy::default()
    });
    let server = MockServer::start().await;
    let region = json!({"domain": server.address().to_string()});
    let record = json!({"data": {"id": "A1", "timezone": "Europe/London", "region": region}});
    let codes = json!({"data": [{"id": "L-id", "code": "L"}, {"id": "I-id", "code": "I"}]});
    for (at, body) in [
        ("/v1.0/schools/A1", record),
        ("/v1.0/schools/A1/attendance-codes", codes),
    ] {
        Mock::given(method("GET"))
            .and(path(at))
            .respond_with(ResponseTemplate::new(200).set_body_json(body))
            .mount(&server)
            .await;
    }
    let told = copy.clone();
    Mock::given(method("GET"))
        .and(path("/v1.0/schools/A1/attendance/session"))
        .respond_with(move |request: &Request| told.tell(request))
        .mount(&server)
        .await;
    let clock = copy.clone();
    let options = ConnectOptions {
        now: Arc::new(move || *clock.now.lock().unwrap()),
        ..ConnectOptions::default()
    };
    let mis = common::connect(&server, &DESCRIPTOR, options).await;
    (copy, mis, server)
}

fn monday() -> NaiveDate {
    "2026-11-23".parse().unwrap()
}

fn code(register: &Register, student: &str) -> Option<HeldCode> {
    let held = register.held(&student.into(), Session::Am);
    held.map(|held| held.code.clone())
}

fn known(code: &str) -> Option<HeldCode> {
    Some(HeldCode::Known(code.into()))
}

#[tokio::test]
async fn rows_are_told_by_when_they_changed_with_the_ids_of_their_codes() {
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
async fn a_register_is_made_of_rows_by_the_code_book_of_now() {
    let (_copy, mis, _server) = school().await;
    let row = |student: &str, date: NaiveDate, code: &str| RegisterRow {
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
    assert_eq!(code(&register, "S1"), known("I"));
    assert_eq!(code(&register, "S2"), Some(HeldCode::Unreadable));
    assert_eq!(code(&register, "S3"), None);
}

#[tokio::test]
async fn the_simple_way_sees_what_was_entered_a_term_ahead_and_what_tells_no_time() {
    let (copy, mis, _server) = school().await;
    copy.set(&[
        row("1", "S1", "I-id", Some("2026-08-18 10:00:00")),
        row("2", "S2", "L-id", None),
    ]);
    let register = mis.register(monday()).await.unwrap();
    assert_eq!(copy.last_asked(), "2026-07-25 23:00:00");
    assert_eq!(code(&register, "S1"), known("I"));
    assert_eq!(code(&register, "S2"), known("L"));

    // Nothing is remembered: what was cleared is gone at once.
    copy.set(&[]);
    let register = mis.register(monday()).await.unwrap();
    assert_eq!(code(&register, "S1"), None);
}
