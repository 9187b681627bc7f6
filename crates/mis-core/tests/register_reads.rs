//! A register that is read again and again asks only for what may have changed, and is right all the same.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test may stop at the first surprise"
)]

mod common;

use std::sync::{Arc, Mutex};

use chrono::{DateTime, TimeDelta, Utc};
use mis_core::{
    Capabilities, ConnectOptions, Descriptor, HeldCode, Mis, Session, SessionWriteback, Source,
    shapes,
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
    quirks: mis_core::Quirks::NONE,
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

    fn wait(&self, time: TimeDelta) {
        *self.now.lock().unwrap() += time;
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

async fn held(mis: &Mis, student: &str) -> Option<String> {
    let register = mis.register("2026-11-23".parse().unwrap()).await.unwrap();
    let held = register.held(&student.into(), Session::Am)?;
    match &held.code {
        HeldCode::Known(code) => Some(code.to_string()),
        HeldCode::Unreadable => None,
    }
}

#[tokio::test]
async fn what_was_entered_days_ahead_is_kept_while_only_changes_are_asked_for() {
    let (copy, mis, _server) = school().await;
    let ahead = row("1", "S1", "I-id", Some("2026-11-18 10:00:00"));
    copy.set(std::slice::from_ref(&ahead));
    assert_eq!(held(&mis, "S1").await.unwrap(), "I");
    assert_eq!(copy.last_asked(), "2026-11-16 00:00:00");

    // A mark whose time is from before the last read, as it shows in a copy that was renewed since.
    copy.wait(TimeDelta::minutes(10));
    copy.set(&[
        ahead.clone(),
        row("2", "S2", "L-id", Some("2026-11-23 07:30:00")),
    ]);
    assert_eq!(held(&mis, "S2").await.unwrap(), "L");
    assert_eq!(copy.last_asked(), "2026-11-23 05:50:00");
    assert_eq!(held(&mis, "S1").await.unwrap(), "I");

    copy.set(&[row("1", "S1", "L-id", Some("2026-11-23 08:59:00"))]);
    assert_eq!(held(&mis, "S1").await.unwrap(), "L");
}

#[tokio::test]
async fn within_the_hour_it_is_read_from_the_beginning_and_what_was_cleared_is_gone() {
    let (copy, mis, _server) = school().await;
    copy.set(&[row("1", "S1", "I-id", Some("2026-11-18 10:00:00"))]);
    assert_eq!(held(&mis, "S1").await.unwrap(), "I");
    copy.set(&[]);
    copy.wait(TimeDelta::minutes(61));
    assert_eq!(held(&mis, "S1").await, None);
    assert_eq!(copy.last_asked(), "2026-11-16 00:00:00");
}

#[tokio::test]
async fn without_times_of_change_it_is_read_from_the_beginning_each_time() {
    let (copy, mis, _server) = school().await;
    copy.set(&[row("1", "S1", "I-id", None)]);
    for _ in 0..2 {
        assert_eq!(held(&mis, "S1").await.unwrap(), "I");
        assert_eq!(copy.last_asked(), "2026-11-16 00:00:00");
        copy.wait(TimeDelta::minutes(10));
    }
}

#[tokio::test]
async fn a_clock_that_was_set_back_starts_anew() {
    let (copy, mis, _server) = school().await;
    copy.set(&[row("1", "S1", "I-id", Some("2026-11-18 10:00:00"))]);
    assert_eq!(held(&mis, "S1").await.unwrap(), "I");
    copy.wait(TimeDelta::minutes(-20));
    assert_eq!(held(&mis, "S1").await.unwrap(), "I");
    assert_eq!(copy.last_asked(), "2026-11-16 00:00:00");
}
