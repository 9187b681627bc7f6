//! Writes of marks: the content, and that they are sent once.

use crate::common::{self, Api, SCHOOL};
use chrono::NaiveDate;
use serde_json::{Value, json};
use wiremock::{
    Mock, ResponseTemplate,
    matchers::{body_json, header, method, path},
};
use wonde::{ErrorKind, LessonMark, Recovery, Session, SessionMark};

fn session_mark() -> SessionMark {
    SessionMark {
        student_id: "A1749191433".into(),
        date: NaiveDate::from_ymd_opt(2026, 11, 23).unwrap(),
        session: Session::Am,
        attendance_code_id: "A113".into(),
        comment: None,
        minutes_late: None,
        employee_id: None,
    }
}

fn lesson_mark() -> LessonMark {
    LessonMark {
        lesson_id: "A700".into(),
        student_id: "A1749191433".into(),
        attendance_code_id: "A113".into(),
        comment: None,
        minutes_late: None,
    }
}

/// Expects exactly this register at this path.
async fn take(api: &Api, kind: &str, register: Value) {
    Mock::given(method("POST"))
        .and(path(format!("/v1.0/schools/{SCHOOL}/attendance/{kind}")))
        .and(header("content-type", "application/json"))
        .and(header("authorization", format!("Bearer {}", common::TOKEN)))
        .and(body_json(register))
        .respond_with(api.answer("writeback_receipt"))
        .expect(1)
        .mount(&api.server)
        .await;
}

#[tokio::test]
async fn session_marks_are_sent_with_and_without_optional_fields() {
    let api = Api::start().await;
    let marks = [
        SessionMark {
            comment: Some("Bus \"42\" – spät".to_owned()),
            minutes_late: Some(7),
            employee_id: Some("A500".into()),
            ..session_mark()
        },
        SessionMark {
            session: Session::Pm,
            minutes_late: Some(0),
            ..session_mark()
        },
        session_mark(),
    ];
    let register = json!({"attendance": [
        {"student_id": "A1749191433", "date": "2026-11-23", "session": "AM", "attendance_code_id": "A113",
         "comment": "Bus \"42\" – spät", "minutes_late": 7, "employee_id": "A500"},
        {"student_id": "A1749191433", "date": "2026-11-23", "session": "PM", "attendance_code_id": "A113", "minutes_late": 0},
        {"student_id": "A1749191433", "date": "2026-11-23", "session": "AM", "attendance_code_id": "A113"},
    ]});
    take(&api, "session", register).await;
    let receipt = api.school().write_session_attendance(&marks).await.unwrap();
    assert_eq!(receipt.writeback_id.as_str(), "A9911");
}

#[tokio::test]
async fn lesson_marks_are_sent_with_and_without_optional_fields() {
    let api = Api::start().await;
    let marks = [
        LessonMark {
            comment: Some("Bus".to_owned()),
            minutes_late: Some(12),
            ..lesson_mark()
        },
        lesson_mark(),
    ];
    let register = json!({"attendance": [
        {"lesson_id": "A700", "student_id": "A1749191433", "attendance_code_id": "A113", "comment": "Bus", "minutes_late": 12},
        {"lesson_id": "A700", "student_id": "A1749191433", "attendance_code_id": "A113"},
    ]});
    take(&api, "lesson", register).await;
    let receipt = api.school().write_lesson_attendance(&marks).await.unwrap();
    assert_eq!(receipt.writeback_id.as_str(), "A9911");
}

#[tokio::test]
async fn an_empty_register_sends_no_request() {
    let api = Api::start().await;
    let school = api.school();
    for error in [
        school.write_session_attendance(&[]).await.unwrap_err(),
        school.write_lesson_attendance(&[]).await.unwrap_err(),
    ] {
        assert_eq!(
            (error.kind(), error.recovery()),
            (ErrorKind::Config, Recovery::Never)
        );
    }
}

#[tokio::test]
async fn a_wrapped_numeric_receipt_is_read() {
    let api = Api::start().await;
    let answer = ResponseTemplate::new(201).set_body_json(json!({"data": {"writeback_id": 9911}}));
    api.told("POST", &Api::below("attendance/session"), &[], answer)
        .expect(1)
        .mount(&api.server)
        .await;
    let receipt = api
        .school()
        .write_session_attendance(&[session_mark()])
        .await
        .unwrap();
    assert_eq!(receipt.writeback_id.as_str(), "9911");
}

#[tokio::test]
async fn a_response_without_a_receipt_has_an_unknown_effect() {
    let api = Api::start().await;
    let answer = ResponseTemplate::new(200).set_body_json(json!({"success": true}));
    api.told("POST", &Api::below("attendance/session"), &[], answer)
        .expect(1)
        .mount(&api.server)
        .await;
    let error = api
        .school()
        .write_session_attendance(&[session_mark()])
        .await
        .unwrap_err();
    assert_eq!(
        (error.kind(), error.recovery()),
        (ErrorKind::Decode, Recovery::Unknown)
    );
    assert!(error.to_string().contains("writeback_id"), "{error}");
}
