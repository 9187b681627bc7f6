//! Nothing that may be logged contains the token, a name, a date of birth, an address or a comment.

use std::{error::Error as _, fmt::Debug};

use crate::common::{
    Api, SCHOOL, TOKEN, builder,
    wire::{Then, Wire},
};
use chrono::NaiveDate;
use futures::{Stream, TryStreamExt as _};
use serde_json::json;
use wiremock::ResponseTemplate;
use wonde::{
    AttendanceQuery, Error, LessonMark, ListQuery, PeopleQuery, Session, SessionMark, Student,
};

const SECRETS: &[&str] = &[
    TOKEN,
    "Lovelace",
    "Augusta",
    "Byron",
    "Anne",
    "Babbage",
    "Charles",
    "Hopper",
    "Ada",
    "2012-12-10",
    "1991-12-26",
    "A123456789012",
    "example",
    "07700",
    "01638",
    "Mother",
    "Overslept",
    "Came by bus",
    "premium",
];

fn silent(text: &str) {
    for secret in SECRETS {
        assert!(!text.contains(secret), "`{secret}` is in: {text}");
    }
}

/// All texts of an error: `Display`, `Debug`, and those of its sources.
fn silent_error(error: &Error) {
    silent(&format!("{error} {error:?} {error:#?}"));
    let mut cause = error.source();
    while let Some(error) = cause {
        silent(&format!("{error} {error:?}"));
        cause = error.source();
    }
}

fn silent_records(records: &[impl Debug]) {
    assert!(!records.is_empty());
    silent(&format!("{records:?} {records:#?}"));
}

async fn silent_list<T: Debug>(list: impl Stream<Item = wonde::Result<T>>) {
    let records: Vec<T> = list.try_collect().await.unwrap();
    silent_records(&records);
}

#[tokio::test]
async fn debug_texts_of_records_contain_no_personal_data() {
    let api = Api::start().await;
    let list = [("per_page", "200")];
    for (at, fixture) in [
        ("students", "students_included"),
        ("employees", "employees"),
        ("contacts", "contacts"),
        ("classes", "classes"),
        ("attendance/session", "session_attendance"),
        ("attendance/lesson", "lesson_attendance"),
    ] {
        api.get(&Api::below(at), &list, fixture).await;
    }
    api.get("/writebacks/A9911", &[], "writeback_rejected")
        .await;
    let school = api.school();
    let students: Vec<_> = school
        .students(PeopleQuery::default())
        .try_collect()
        .await
        .unwrap();
    silent_records(&students);
    let student = &students[0];
    silent_records(&[student.education_details.as_ref().unwrap()]);
    silent_records(&[student.extended_details.as_ref().unwrap()]);
    let reach = student.contact_details.as_ref().unwrap();
    silent_records(&[reach]);
    silent_records(&[reach.phones.as_ref().unwrap()]);
    silent_records(&[reach.emails.as_ref().unwrap()]);
    let contacts = student.contacts.as_deref().unwrap();
    silent_records(contacts);
    silent_records(&[contacts[0].relationship.as_ref().unwrap()]);
    silent_list(school.employees(PeopleQuery::default())).await;
    silent_list(school.contacts(PeopleQuery::default())).await;
    silent_list(school.classes(ListQuery::default())).await;
    silent_list(school.session_attendance(AttendanceQuery::default())).await;
    silent_list(school.lesson_attendance(AttendanceQuery::default())).await;
    silent_records(&[school.writeback(&"A9911".into()).await.unwrap()]);
    silent(&format!(
        "{school:?} {:?} {:?}",
        school.client(),
        api.builder()
    ));
}

#[test]
fn debug_texts_of_marks_contain_no_comment() {
    let session = SessionMark {
        student_id: "A1749191433".into(),
        date: NaiveDate::from_ymd_opt(2026, 11, 23).unwrap(),
        session: Session::Am,
        attendance_code_id: "A113".into(),
        comment: Some("Overslept, says Ada".to_owned()),
        minutes_late: Some(7),
        employee_id: None,
    };
    let lesson = LessonMark {
        lesson_id: "A700".into(),
        student_id: "A1749191433".into(),
        attendance_code_id: "A113".into(),
        comment: Some("Overslept, says Ada".to_owned()),
        minutes_late: None,
    };
    silent_records(&[&session]);
    silent_records(&[&lesson]);
    // They still show enough to find the mark.
    let text = format!("{session:?} {lesson:?}");
    for part in ["A1749191433", "2026-11-23", "Am", "A113", "7", "A700"] {
        assert!(text.contains(part), "{text}");
    }
}

#[tokio::test]
async fn errors_contain_nothing_of_a_response() {
    let words = format!("Augusta Lovelace: Overslept ({TOKEN})");
    let bodies = [
        json!({"error": words, "error_description": words, "message": words}).to_string(),
        json!({"data": [{"id": {"Lovelace": words}}]}).to_string(),
        json!({"data": [{"id": "A1", "date_of_birth": words}]}).to_string(),
        json!({"data": [{"id": "A1", "created_at": {"date": "2026-01-01 00:00:00", "timezone": words}}]}).to_string(),
        json!({"data": [{"id": "A1", "education_details": {"data": words}, "year": {"data": {"name": words}}}]}).to_string(),
        json!({"data": [], "meta": {"pagination": {"next": format!("http://{TOKEN}.example/Lovelace")}}}).to_string(),
        format!("{{\"{words}\": [1, 2"),
        words.clone(),
    ];
    for body in bodies {
        for status in [200, 400, 401, 403, 404, 422, 429, 500] {
            let api = Api::start().await;
            let answer =
                ResponseTemplate::new(status).set_body_raw(body.clone(), "application/json");
            let at = Api::below("students");
            api.told("GET", &at, &[("per_page", "200")], answer)
                .mount(&api.server)
                .await;
            let rows = api
                .school()
                .students(PeopleQuery::default())
                .try_collect::<Vec<Student>>()
                .await;
            let error = rows.unwrap_err();
            silent_error(&error);
            // Wonde's own message may contain anything but the token.
            assert!(!error.server_message().unwrap_or_default().contains(TOKEN));
        }
    }
}

#[tokio::test]
async fn errors_contain_nothing_of_a_request() {
    let query = || PeopleQuery::new().filter("surname", "Lovelace");
    let wire = Wire::start("", Then::Cut).await;
    let client = builder(&wire.base).build().unwrap();
    let school = client.at_base(&SCHOOL.into());
    let error = school
        .students(query())
        .try_collect::<Vec<Student>>()
        .await
        .unwrap_err();
    assert!(error.source().is_some());
    silent_error(&error);

    let nobody = builder("http://127.0.0.1:1/v1.0")
        .read_retries(0)
        .build()
        .unwrap();
    let school = nobody.at_base(&SCHOOL.into());
    let error = school
        .students(query())
        .try_collect::<Vec<Student>>()
        .await
        .unwrap_err();
    assert!(error.source().is_some());
    silent_error(&error);
}

#[test]
fn errors_of_the_builder_contain_no_token() {
    let error = builder(&format!("https://user:{TOKEN}@api.wonde.com/v1.0"))
        .build()
        .unwrap_err();
    silent_error(&error);
    let error = builder(&format!("{TOKEN}://api.wonde.com"))
        .build()
        .unwrap_err();
    silent_error(&error);
}
