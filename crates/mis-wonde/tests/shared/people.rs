//! People, relations, deletions and counts in every form of Wonde's responses.
use std::collections::BTreeMap;

use futures::TryStreamExt as _;
use mis_wonde::{
    ConnectContext, Descriptor, ErrorKind, Mis, PeopleQuery, Person, PersonKind, Property,
    Relation, read_only,
};
use rstest::rstest;
use serde_json::{Value, json};
use wiremock::{
    Mock, MockServer, Request, ResponseTemplate,
    matchers::{any, method, path},
};

use crate::common;

static DESCRIPTOR: Descriptor = Descriptor::new("people", "People", |context| {
    read_only(&DESCRIPTOR, context)
});

/// A school with one list; any other request fails the test.
struct School {
    server: MockServer,
    mis: Mis,
}

impl School {
    async fn giving(list: &str, answer: ResponseTemplate) -> Self {
        let server = MockServer::start().await;
        let region = json!({"domain": server.address().to_string()});
        let record = json!({"data": {"id": "A1", "timezone": "Europe/London", "region": region}});
        for (at, answer) in [
            (
                "/v1.0/schools/A1".to_owned(),
                ResponseTemplate::new(200).set_body_json(record),
            ),
            (format!("/v1.0/schools/A1/{list}"), answer),
        ] {
            Mock::given(method("GET"))
                .and(path(at))
                .respond_with(answer)
                .mount(&server)
                .await;
        }
        let unexpected = Mock::given(any()).respond_with(ResponseTemplate::new(418));
        unexpected.with_priority(255).expect(0).mount(&server).await;
        let mut context = ConnectContext::new("A1");
        context.ask_grants = false;
        let mis = common::connect(&server, &DESCRIPTOR, context).await;
        Self { server, mis }
    }

    async fn rows(list: &str, rows: Value) -> Self {
        Self::giving(list, ok(rows)).await
    }

    async fn people(&self, query: PeopleQuery) -> mis_wonde::Result<Vec<Person>> {
        self.mis.people(query).try_collect().await
    }

    /// The query of the last request.
    async fn asked(&self) -> BTreeMap<String, String> {
        let requests: Vec<Request> = self.server.received_requests().await.unwrap();
        requests
            .last()
            .unwrap()
            .url
            .query_pairs()
            .into_owned()
            .collect()
    }
}

fn ok(rows: Value) -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_json(json!({"data": rows, "meta": {}}))
}

fn everything(kind: PersonKind) -> PeopleQuery {
    PeopleQuery::new(kind).with(Property::ALL)
}

fn date(text: &str) -> Option<chrono::NaiveDate> {
    Some(text.parse().unwrap())
}

fn stamp(date: &str) -> Value {
    json!({"date": format!("{date} 00:00:00.000000"), "timezone_type": 3, "timezone": "Europe/London"})
}

#[tokio::test]
async fn a_student_is_read_with_all_properties() {
    let school = School::rows(
        "students",
        json!([{
            "id": "S1", "upi": "u1", "mis_id": 4711, "forename": "Zoë", "surname": "O’Brien", "gender": "FEMALE",
            "date_of_birth": stamp("2014-05-06"), "updated_at": stamp("2026-11-01"),
            "education_details": {"data": {"admission_date": stamp("2025-09-02"), "leaving_date": null, "current_nc_year": "7",
                                           "upn": "Z000000000001", "admission_number": 1207}},
            "extended_details": {"data": {"card_number": 4455, "in_care": "a secret"}},
            "contact_details": {"data": {"phones": {"primary": null, "mobile": "07700 900123"}, "emails": {"home": "zoe@home.example"}}},
            "year": {"data": {"id": "G7", "name": "Year 7", "code": "7", "type": "YEAR"}},
            "registration": {"data": {"id": "R1", "name": null, "code": "7A"}},
            "house": {"data": {"id": "H1", "name": "Curie"}},
            "boarding": {"data": []},
            "campus": {"data": null},
            "groups": {"data": [{"id": "O1", "name": "Orchestra", "type": "USER"}]},
            "classes": {"data": [{"id": "C1", "name": "7x/Ma1"}]},
            "contacts": {"data": [
                {"id": "P1", "surname": "O’Brien", "relationship": {"relationship": "Mother", "parental_responsibility": true,
                                                                     "priority": 1, "lives_with_pupil": true}},
                {"id": "P2", "relationship": {"data": {"relationship": "Father", "parental_responsibility": "0", "priority": "2"}}},
                {"id": "P3"},
            ]},
        }]),
    )
    .await;
    let people = school
        .people(everything(PersonKind::Student))
        .await
        .unwrap();
    let [student] = people.as_slice() else {
        panic!("{people:?}")
    };
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(student.mis_id, text("4711"));
    assert_eq!(student.surname, text("O’Brien"));
    assert_eq!(
        (&student.year, &student.year_code),
        (&text("Year 7"), &text("7"))
    );
    assert_eq!(
        student.registration,
        text("7A"),
        "the code where there is no name"
    );
    assert_eq!(
        (&student.house, &student.boarding, &student.campus),
        (&text("Curie"), &None, &None)
    );
    assert_eq!(student.groups[0].kind, text("USER"));
    assert_eq!(student.classes[0].name, text("7x/Ma1"));
    assert_eq!((student.joins, student.leaves), (date("2025-09-02"), None));
    assert_eq!(student.born, date("2014-05-06"));
    assert_eq!(student.upn, text("Z000000000001"));
    assert_eq!(student.admission_number, text("1207"));
    assert_eq!(student.card, text("4455"));
    assert_eq!(student.mobile, text("07700 900123"));
    assert_eq!(student.phone, text("07700 900123"));
    assert_eq!(student.email, text("zoe@home.example"));
    let [mother, father, third] = student.contacts.as_slice() else {
        panic!("{:?}", student.contacts)
    };
    assert_eq!(
        (mother.parental_responsibility, mother.lives_with),
        (Some(true), Some(true))
    );
    assert_eq!(
        (father.parental_responsibility, father.priority),
        (Some(false), Some(2))
    );
    assert_eq!(third, &Relation::new("P3"), "not told is not no");

    let asked = school.asked().await;
    assert_eq!(
        asked["cursor"], "true",
        "by numbers a row is lost when one before it goes"
    );
    assert_eq!(asked["per_page"], "50");
    let mut includes: Vec<_> = asked["include"].split(',').collect();
    includes.sort_unstable();
    let all = "boarding campus classes contact_details contacts education_details extended_details groups house registration year";
    assert_eq!(includes.join(" "), all);
}

#[tokio::test]
async fn a_student_without_readable_properties_is_read() {
    let school = School::rows(
        "students",
        json!([{
            "id": "S1", "upi": null, "mis_id": null, "forename": null, "surname": null, "date_of_birth": null,
            "education_details": {"data": {"admission_date": null, "leaving_date": null, "current_nc_year": null}},
            "year": null, "registration": {"data": null}, "contacts": {"data": []}, "groups": null,
        }, {"id": "S2"}, {"id": "S3", "education_details": null}]),
    )
    .await;
    let people = school
        .people(everything(PersonKind::Student))
        .await
        .unwrap();
    let bare: Vec<_> = ["S1", "S2", "S3"]
        .map(|id| Person::new(PersonKind::Student, id))
        .into();
    assert!(people == bare, "{people:?}");
}

#[tokio::test]
async fn only_requested_properties_are_read_and_returned() {
    let school = School::rows(
        "students",
        json!([{"id": "S1", "forename": "Zoë", "gender": "FEMALE", "date_of_birth": stamp("2014-05-06"),
                "house": {"data": {"id": "H1", "name": "Curie"}}}]),
    )
    .await;
    let query = PeopleQuery::new(PersonKind::Student)
        .with([Property::House, Property::Teaching])
        .changed_since("2026-11-23T07:00:00Z".parse().unwrap());
    let people = school.people(query).await.unwrap();
    let wanted = Person {
        house: Some("Curie".into()),
        ..Person::new(PersonKind::Student, "S1")
    };
    assert!(people == [wanted], "{people:?}");
    let asked = school.asked().await;
    assert_eq!(asked["include"], "education_details,house");
    assert_eq!(asked["updated_after"], "2026-11-23 07:00:00");
}

#[rstest]
#[case::year_by_its_code(json!({"data": {"id": "G", "name": null, "code": "7"}}), None, Some("7"), Some("7"))]
#[case::no_group(json!(null), Some("R"), None, Some("R"))]
#[case::not_included(json!("G7"), Some("8"), None, Some("8"))]
#[case::both(json!({"data": {"id": "G", "name": "Lower Fourth"}}), Some("9"), Some("Lower Fourth"), Some("9"))]
#[tokio::test]
async fn the_year_is_read_from_any_of_its_fields(
    #[case] year: Value,
    #[case] nc_year: Option<&str>,
    #[case] name: Option<&str>,
    #[case] code: Option<&str>,
) {
    let row = json!([{"id": "S1", "year": year, "education_details": {"data": {"current_nc_year": nc_year}}}]);
    let school = School::rows("students", row).await;
    let people = school
        .people(PeopleQuery::new(PersonKind::Student))
        .await
        .unwrap();
    assert_eq!(
        (people[0].year.as_deref(), people[0].year_code.as_deref()),
        (name, code)
    );
}

#[tokio::test]
async fn staff_are_read_with_employment_and_roles() {
    let school = School::rows(
        "employees",
        json!([
            {"id": "E1", "surname": "Smith",
             "employment_details": {"data": {"current": true, "teaching_staff": 1, "employment_start_date": stamp("2020-09-01")}},
             "roles": {"data": [{"id": "X", "role": "Head of Year"}, {"id": "Y", "name": "Teacher"}, {"id": "Z"}]}},
            {"id": "E2", "employment_details": {"data": {"current": "false", "employment_end_date": stamp("2026-10-30")}}},
        ]),
    )
    .await;
    let people = school.people(everything(PersonKind::Staff)).await.unwrap();
    let [here, gone] = people.as_slice() else {
        panic!("{people:?}")
    };
    assert_eq!(
        (here.current, here.teaching, here.joins),
        (Some(true), Some(true), date("2020-09-01"))
    );
    assert_eq!(here.roles, ["Head of Year", "Teacher"]);
    assert_eq!(
        (gone.current, gone.teaching, gone.leaves),
        (Some(false), None, date("2026-10-30"))
    );
}

#[tokio::test]
async fn parents_are_read_from_contacts() {
    let school = School::rows(
        "contacts",
        json!([{"id": "C1", "upi": "u", "title": "Mrs", "forename": "Ada"}]),
    )
    .await;
    let query = PeopleQuery::new(PersonKind::Parent);
    let people = school.people(query).await.unwrap();
    assert_eq!(
        (people[0].kind, people[0].forename.as_deref()),
        (PersonKind::Parent, Some("Ada"))
    );
    assert!(!school.asked().await.contains_key("include"));
}

#[tokio::test]
async fn deletions_and_restorations_are_read() {
    let row = |kind: &str, id: &str, restored: Value| json!({"type": kind, "id": id, "deleted_at": stamp("2026-11-20"), "restored_at": restored});
    let school = School::rows(
        "deletions",
        json!([
            row("student", "S1", Value::Null),
            row("students", "S2", stamp("2026-11-21")),
            row("EMPLOYEE", "E1", Value::Null),
            row("Contacts", "C1", Value::Null),
            row("lesson", "L1", Value::Null),
            {"id": "X"},
        ]),
    )
    .await;
    let gone: Vec<_> = school.mis.deletions(None).try_collect().await.unwrap();
    let told: Vec<_> = gone
        .iter()
        .map(|row| (row.kind, row.id.as_str(), row.gone))
        .collect();
    let wanted = [
        (PersonKind::Student, "S1", true),
        (PersonKind::Student, "S2", false),
        (PersonKind::Staff, "E1", true),
        (PersonKind::Parent, "C1", true),
    ];
    assert_eq!(told, wanted);
}

#[rstest]
#[case::a_number(json!({"data": {"students": 1200}}), Some(1200))]
#[case::a_text(json!({"data": {"students": "1200"}}), Some(1200))]
#[case::wrapped(json!({"data": {"students": {"data": {"count": 1200}}}}), Some(1200))]
#[case::of_something_else(json!({"data": {"contacts": 7}}), None)]
#[case::not_told(json!({"data": {"students": null}}), None)]
#[case::nonsense(json!({"data": ["?"]}), None)]
#[tokio::test]
async fn counts_are_read_in_every_form(#[case] body: Value, #[case] count: Option<u64>) {
    let answer = ResponseTemplate::new(200).set_body_json(body);
    let school = School::giving("counts", answer).await;
    assert_eq!(
        school.mis.people_count(PersonKind::Student).await.unwrap(),
        count
    );
}

#[rstest]
#[case(403, None)]
#[case(404, None)]
#[case(400, None)]
#[case(500, Some(ErrorKind::Unavailable))]
#[case(401, Some(ErrorKind::Unauthorized))]
#[tokio::test]
async fn an_unavailable_count_is_none(#[case] status: u16, #[case] kind: Option<ErrorKind>) {
    let school = School::giving("counts", ResponseTemplate::new(status)).await;
    let count = school.mis.people_count(PersonKind::Parent).await;
    assert_eq!(
        count.map_err(|error| error.kind()),
        kind.map_or(Ok(None), Err)
    );
}

#[rstest]
#[case(403, json!({"error": "invalid_permissions"}), ErrorKind::Forbidden)]
#[case(400, json!({"error": "invalid_include"}), ErrorKind::Refused)]
#[case(429, json!({}), ErrorKind::RateLimited)]
#[case(500, json!({}), ErrorKind::Unavailable)]
#[case(200, json!({"data": [{"id": null, "surname": "Lovelace"}]}), ErrorKind::Decode)]
#[tokio::test]
async fn errors_keep_their_kind_and_contain_no_name(
    #[case] status: u16,
    #[case] body: Value,
    #[case] kind: ErrorKind,
) {
    let answer = ResponseTemplate::new(status).set_body_json(body);
    let school = School::giving("students", answer).await;
    let error = school
        .people(PeopleQuery::new(PersonKind::Student))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), kind);
    assert!(!format!("{error} {error:?}").contains("Lovelace"));
}

#[tokio::test]
async fn unreadable_values_are_noted_on_request_and_others_are_read() {
    let rows = json!([
        {"id": "S1", "date_of_birth": "01/09/2012", "surname": "Lovelace"},
        null,
        {"id": "S2", "education_details": {"data": {"admission_date": "soon", "leaving_date": null}}},
        {"surname": "Hopper"},
        {"id": "S3"},
    ]);
    let school = School::rows("students", rows).await;
    let issues = mis_wonde::Issues::default();
    let query = PeopleQuery::new(PersonKind::Student).noting(&issues);
    let people = school.people(query).await.unwrap();
    let ids: Vec<_> = people.iter().map(|person| person.id.as_str()).collect();
    assert_eq!(ids, ["S1", "S2", "S3"]);
    let told = issues.take();
    let noted: Vec<_> = told
        .iter()
        .map(|issue| (issue.id.as_deref(), issue.field.as_str(), issue.left_out))
        .collect();
    assert_eq!(
        noted,
        [
            (None, "", true),
            (Some("S2"), "education_details.admission_date", false),
            (None, "id", true),
        ],
        "nobody asked for the birthday"
    );
    assert!(!format!("{told:?}").contains("Hopper"));
    let query = PeopleQuery::new(PersonKind::Student)
        .with([Property::DateOfBirth])
        .noting(&issues);
    school.people(query).await.unwrap();
    assert!(
        issues
            .take()
            .iter()
            .any(|issue| issue.field == "date_of_birth")
    );
}

#[tokio::test]
async fn future_pupils_are_listed_separately() {
    let rows = json!([{"id": "S9", "education_details": {"data": {"admission_date": stamp("2027-01-05")}}}]);
    let school = School::rows("students-pre-admission", rows).await;
    let query = PeopleQuery {
        pre_admission: true,
        ..PeopleQuery::new(PersonKind::Student)
    };
    let people = school.people(query).await.unwrap();
    let [coming] = people.as_slice() else {
        panic!("{people:?}")
    };
    assert!(coming.pre_admission);
    assert_eq!(coming.joins, date("2027-01-05"));
}
