//! Reads of every list of a school, in all forms of its rows.

use crate::common::Api;
use chrono::{NaiveDate, NaiveTime};
use futures::TryStreamExt as _;
use wiremock::ResponseTemplate;
use wonde::{
    AttendanceQuery, ErrorKind, GroupType, Included, LessonQuery, ListQuery, PeopleQuery, Recovery,
    Session,
};

const LIST: [(&str, &str); 1] = [("per_page", "200")];

#[tokio::test]
async fn pupils_are_read_with_all_includes() {
    let api = Api::start().await;
    let include = "education_details,extended_details,contact_details,contacts.contact_details,year,registration,classes";
    api.get(
        &Api::below("students"),
        &[("include", include), ("per_page", "200")],
        "students_included",
    )
    .await;
    let query = PeopleQuery::new().include(include.split(','));
    let [student] = <[_; 1]>::try_from(
        api.school()
            .students(query)
            .try_collect::<Vec<_>>()
            .await
            .unwrap(),
    )
    .unwrap();

    let education = student.education_details.as_ref().unwrap();
    assert_eq!(education.upn.as_deref(), Some("A123456789012"));
    assert_eq!(education.learner_number.as_deref(), Some("1234567890"));
    assert_eq!(education.admission_number.as_deref(), Some("004321"));
    assert_eq!(
        education.admission_date,
        NaiveDate::from_ymd_opt(2023, 9, 1)
    );
    assert_eq!(education.leaving_date, None);
    assert_eq!(education.current_nc_year.as_deref(), Some("8"));

    let extended = student.extended_details.as_ref().unwrap();
    assert_eq!(extended.get("premium_pupil_indicator"), Some(&true.into()));
    assert_eq!(extended.get("birthplace"), None);
    assert_eq!(
        extended.names().collect::<Vec<_>>(),
        ["birthplace", "premium_pupil_indicator"]
    );

    let reach = student.contact_details.as_ref().unwrap();
    assert_eq!(
        reach.emails.as_ref().unwrap().primary.as_deref(),
        Some("ada@pupils.example")
    );
    assert_eq!(
        reach.phones.as_ref().unwrap().home.as_deref(),
        Some("01638 555 0100")
    );

    let [mother, other] = student.contacts.as_deref().unwrap() else {
        panic!("two contacts")
    };
    let relationship = mother.relationship.as_ref().unwrap();
    assert_eq!(relationship.relationship.as_deref(), Some("Mother"));
    assert_eq!(
        (
            relationship.parental_responsibility,
            relationship.priority,
            relationship.lives_with_pupil
        ),
        (Some(true), Some(1), Some(true))
    );
    let reach = mother.contact_details.as_ref().unwrap();
    assert_eq!(
        reach.phones.as_ref().unwrap().mobile.as_deref(),
        Some("07700 900123")
    );
    assert_eq!(reach.emails, None);
    assert_eq!(
        (
            other.id.as_str(),
            &other.relationship,
            &other.contact_details
        ),
        ("901", &None, &None)
    );

    assert_eq!(student.year.get().unwrap().name.as_deref(), Some("Year 8"));
    assert_eq!(student.registration, Included::Id("A301".into()));
    assert_eq!(student.registration.id(), Some(&"A301".into()));
    assert!(
        student.house.is_absent() && student.boarding.is_absent() && student.campus.is_absent()
    );
    assert_eq!(student.groups.as_deref(), Some(&[][..]));
    assert_eq!(
        student
            .class_ids()
            .map(|id| id.as_str())
            .collect::<Vec<_>>(),
        ["A400", "A401"]
    );
}

#[tokio::test]
async fn staff_are_read() {
    let api = Api::start().await;
    let query = PeopleQuery {
        updated_after: Some("2026-11-01T00:00:00Z".parse().unwrap()),
        updated_before: Some("2026-11-23T12:30:00Z".parse().unwrap()),
        ..PeopleQuery::new()
            .include(["employment_details"])
            .filter("has_role", "true")
    };
    let asked = [
        ("include", "employment_details"),
        ("updated_after", "2026-11-01 00:00:00"),
        ("updated_before", "2026-11-23 12:30:00"),
        ("has_role", "true"),
        ("per_page", "200"),
    ];
    api.get(&Api::below("employees"), &asked, "employees").await;
    let staff: Vec<_> = api.school().employees(query).try_collect().await.unwrap();
    assert_eq!(staff[0].surname.as_deref(), Some("Babbage"));
    assert_eq!(
        staff[0].date_of_birth,
        NaiveDate::from_ymd_opt(1991, 12, 26)
    );
    let employment = staff[0].employment_details.as_ref().unwrap();
    assert_eq!(
        (employment.current, employment.teaching_staff),
        (Some(true), Some(true))
    );
    assert_eq!(
        employment.employment_start_date,
        NaiveDate::from_ymd_opt(2019, 9, 1)
    );
    let classes: Vec<_> = staff[0]
        .classes
        .iter()
        .flatten()
        .map(|class| class.id.as_str())
        .collect();
    assert_eq!(classes, ["A400", "A401"]);
    let roles: Vec<_> = staff[0]
        .roles
        .iter()
        .flatten()
        .map(|role| role.role.as_deref())
        .collect();
    assert_eq!(roles, [Some("Teacher"), Some("First aider"), None]);
    assert_eq!(staff[1].employment_details, None);
}

#[tokio::test]
async fn contacts_are_read() {
    let api = Api::start().await;
    let asked = [("include", "contact_details,students"), ("per_page", "200")];
    api.get(&Api::below("contacts"), &asked, "contacts").await;
    let query = PeopleQuery::new().include(["contact_details", "students"]);
    let contacts: Vec<_> = api.school().contacts(query).try_collect().await.unwrap();
    let details = contacts[0].contact_details.as_ref().unwrap();
    assert_eq!(
        details.emails.as_ref().unwrap().email.as_deref(),
        Some("anne@parents.example")
    );
    assert_eq!(
        contacts[0].students.as_ref().unwrap()[0].id.as_str(),
        "A1749191433"
    );
}

#[tokio::test]
async fn groups_and_classes_are_read() {
    let api = Api::start().await;
    api.get(&Api::below("groups"), &LIST, "groups").await;
    api.get(&Api::below("classes"), &LIST, "classes").await;
    let school = api.school();
    let groups: Vec<_> = school
        .groups(ListQuery::default())
        .try_collect()
        .await
        .unwrap();
    let kinds: Vec<_> = groups.iter().map(|group| group.kind.clone()).collect();
    let club = GroupType::Other("CLUB".to_owned());
    assert_eq!(
        kinds,
        [
            Some(GroupType::Year),
            Some(GroupType::Registration),
            Some(club),
            None
        ]
    );
    assert_eq!(groups[1].mis_id.as_deref(), Some("13"));
    // Only the ids of its pupils are included.
    assert_eq!(
        groups[0].students.as_ref().unwrap()[0].id.as_str(),
        "A1749191433"
    );

    let classes: Vec<_> = school
        .classes(ListQuery::default())
        .try_collect()
        .await
        .unwrap();
    assert_eq!(classes[0].students.as_ref().unwrap().len(), 2);
    assert_eq!(
        classes[0].employees.as_ref().unwrap()[0].id.as_str(),
        "A500"
    );
    assert_eq!(
        (classes[1].name.as_ref(), classes[1].students.as_ref()),
        (None, None)
    );
}

#[tokio::test]
async fn periods_and_lessons_are_read() {
    let api = Api::start().await;
    api.get(&Api::below("periods"), &LIST, "periods").await;
    let asked = [
        ("include", "class,room,period"),
        ("lessons_start_after", "2026-05-31 23:00:00"),
        ("lessons_start_before", "2026-06-01 23:00:00"),
        ("per_page", "200"),
    ];
    api.get(&Api::below("lessons"), &asked, "lessons").await;
    let school = api.school();
    let periods: Vec<_> = school
        .periods(ListQuery::default())
        .try_collect()
        .await
        .unwrap();
    assert_eq!(periods[0].start_time, NaiveTime::from_hms_opt(8, 50, 0));
    assert_eq!(periods[0].end_time, NaiveTime::from_hms_opt(9, 50, 0));
    assert_eq!(
        (
            periods[1].start_time,
            periods[1].end_time,
            periods[1].day.as_deref()
        ),
        (None, None, Some("2"))
    );

    let query = LessonQuery {
        start_after: Some("2026-05-31T23:00:00Z".parse().unwrap()),
        start_before: Some("2026-06-01T23:00:00Z".parse().unwrap()),
        ..LessonQuery::new().include(["class", "room", "period"])
    };
    let lessons: Vec<_> = school.lessons(query).try_collect().await.unwrap();
    assert_eq!(
        lessons[0].start_at,
        Some("2026-06-01T07:50:00Z".parse().unwrap())
    );
    // The zone is applied: 09:50 in London in summer.
    assert_eq!(
        lessons[0].end_at,
        Some("2026-06-01T08:50:00Z".parse().unwrap())
    );
    assert_eq!(lessons[0].period_instance_id.as_deref(), Some("88123"));
    assert_eq!(
        (lessons[0].class_id(), lessons[0].period_id()),
        (Some("A400".into()), Some("A600".into()))
    );
    assert_eq!(lessons[1].class_id(), Some("A401".into()));
    assert_eq!(
        lessons[1].room.get().unwrap().name.as_deref(),
        Some("Hut 6")
    );
    assert!(lessons[1].employee.is_absent() && lessons[1].start_at.is_none());
}

#[tokio::test]
async fn registers_are_read() {
    let api = Api::start().await;
    let asked = [
        ("updated_after", "2026-11-16 00:00:00"),
        ("per_page", "200"),
    ];
    api.get(
        &Api::below("attendance/session"),
        &asked,
        "session_attendance",
    )
    .await;
    api.get(
        &Api::below("attendance/lesson"),
        &asked,
        "lesson_attendance",
    )
    .await;
    let query = AttendanceQuery {
        updated_after: Some("2026-11-16T00:00:00Z".parse().unwrap()),
        ..AttendanceQuery::default()
    };
    let school = api.school();
    let rows: Vec<_> = school
        .session_attendance(query.clone())
        .try_collect()
        .await
        .unwrap();
    assert_eq!(rows[0].date, NaiveDate::from_ymd_opt(2026, 11, 23));
    assert_eq!(
        (rows[0].session, rows[0].minutes_late),
        (Some(Session::Am), Some(7))
    );
    assert_eq!(rows[0].comment.as_deref(), Some("Overslept, says Ada"));
    assert_eq!(rows[0].student_id(), Some("A1749191433".into()));
    assert_eq!(rows[0].employee_id(), Some("A500".into()));
    assert_eq!(rows[0].attendance_code_id(), Some("A113".into()));
    assert_eq!(
        rows[0].updated_at,
        Some("2026-11-23T09:25:00Z".parse().unwrap())
    );
    assert_eq!(
        (rows[1].session, rows[1].comment.as_ref()),
        (Some(Session::Pm), None)
    );
    assert_eq!(
        (rows[1].student_id(), rows[1].attendance_code_id()),
        (Some("A2".into()), Some("A112".into()))
    );
    // An unknown session is kept as a word.
    assert_eq!(
        (rows[2].session, rows[2].session_word.as_deref()),
        (None, Some("EVENING"))
    );
    assert_eq!(
        (&rows[2].id, rows[2].date, rows[2].student_id()),
        (&None, None, None)
    );

    let rows: Vec<_> = school.lesson_attendance(query).try_collect().await.unwrap();
    assert_eq!(
        (rows[0].lesson_id(), rows[0].student_id()),
        (Some("A700".into()), Some("A1749191433".into()))
    );
    assert_eq!(
        (rows[0].minutes_late, rows[0].comment.as_deref()),
        (Some(0), Some("Came by bus"))
    );
    assert_eq!(
        (rows[1].lesson_id(), rows[1].student_id()),
        (Some("A701".into()), Some("2".into()))
    );
}

#[tokio::test]
async fn deletions_are_read() {
    let api = Api::start().await;
    let asked = [
        ("updated_after", "2026-11-19 00:00:00"),
        ("per_page", "200"),
    ];
    api.get(&Api::below("deletions"), &asked, "deletions").await;
    let since = "2026-11-19T00:00:00Z".parse().unwrap();
    let gone: Vec<_> = api
        .school()
        .deletions(Some(since))
        .try_collect()
        .await
        .unwrap();
    assert_eq!(
        (
            gone[0].kind.as_deref(),
            gone[0].id.as_str(),
            gone[0].is_gone()
        ),
        (Some("student"), "A2", true)
    );
    assert_eq!((gone[1].id.as_str(), gone[1].is_gone()), ("302", false));
}

#[tokio::test]
async fn counts_are_read() {
    let api = Api::start().await;
    api.get(
        &Api::below("counts"),
        &[("include", "students,contacts,employees,rooms")],
        "counts",
    )
    .await;
    let counts = api
        .school()
        .counts(&["students", "contacts", "employees", "rooms"])
        .await
        .unwrap();
    assert_eq!(counts.get("students"), Some(812));
    assert_eq!(counts.get("rooms"), None);
    assert_eq!(
        counts.iter().collect::<Vec<_>>(),
        [("contacts", 1544), ("employees", 96), ("students", 812)]
    );
}

#[tokio::test]
async fn an_error_names_the_unreadable_field_but_not_its_value() {
    let api = Api::start().await;
    let mut page = api.fixture("students_included");
    page["data"][0]["contacts"]["data"][0]["relationship"]["data"]["priority"] =
        "Augusta Lovelace".into();
    let answer = ResponseTemplate::new(200).set_body_json(page);
    api.told("GET", &Api::below("students"), &LIST, answer)
        .expect(1)
        .mount(&api.server)
        .await;
    let error = api
        .school()
        .students(PeopleQuery::default())
        .try_collect::<Vec<_>>()
        .await
        .unwrap_err();
    assert_eq!(
        (error.kind(), error.recovery()),
        (ErrorKind::Decode, Recovery::Never)
    );
    let words = error.to_string();
    assert!(
        words.contains("`data[0].contacts.data[0].relationship.data.priority`"),
        "{words}"
    );
    assert!(words.contains("expected a whole number from 0"), "{words}");
    assert!(
        words.contains("GET /v1.0/schools/A1930499544/students"),
        "{words}"
    );
    assert!(
        !words.contains("Lovelace") && !format!("{error:?}").contains("Lovelace"),
        "{error:?}"
    );
    assert_eq!(error.context().status, Some(200));
}

#[tokio::test]
async fn unreadable_values_are_reported_and_skipped_on_request() {
    let api = Api::start().await;
    let page = |rows: serde_json::Value, next: Option<String>| {
        let next = next.map(|at| format!("{}{at}", api.base()));
        wiremock::ResponseTemplate::new(200).set_body_json(serde_json::json!({
            "data": rows, "meta": {"pagination": {"next": next}},
        }))
    };
    let list = Api::below("students");
    let rows = serde_json::json!([
        {"id": "A1", "date_of_birth": {"date": "01/09/2012", "timezone": "UTC"}}, null, {"id": "A2"},
    ]);
    let second = format!("{list}?page=2");
    api.told(
        "GET",
        &list,
        &[("per_page", "200")],
        page(rows, Some(second)),
    )
    .expect(2)
    .mount(&api.server)
    .await;
    let rows = serde_json::json!([{"surname": "Lovelace"}, {"id": "A3"}]);
    api.told("GET", &list, &[("page", "2")], page(rows, None))
        .expect(1)
        .mount(&api.server)
        .await;
    let told = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let sink = told.clone();
    let school = api.school().lenient(std::sync::Arc::new(move |issue| {
        sink.lock().unwrap().push(issue)
    }));
    let rows: Vec<_> = school
        .students(PeopleQuery::new())
        .try_collect()
        .await
        .unwrap();
    let ids: Vec<_> = rows.iter().map(|row| row.id.as_str()).collect();
    assert_eq!(ids, ["A1", "A2", "A3"]);
    let told = std::mem::take(&mut *told.lock().unwrap());
    let told: Vec<_> = told
        .iter()
        .map(|issue| {
            (
                issue.id.as_deref(),
                issue.field.as_str(),
                issue.page,
                issue.left_out,
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            (Some("A1"), "date_of_birth", 1, false),
            (None, "", 1, true),
            (None, "id", 2, true),
        ]
    );
    // Without a callback, the list still ends with an error.
    let strict: wonde::Result<Vec<_>> = api
        .school()
        .students(PeopleQuery::new())
        .try_collect()
        .await;
    assert_eq!(strict.unwrap_err().kind(), wonde::ErrorKind::Decode);
}
