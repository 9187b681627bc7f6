//! Filters, and everything beyond people, timetable and registers.

use reqwest::Method;
use serde_json::{Value, json};

use crate::lab::{Lab, ids};

const EVERYTHING: [&str; 29] = [
    "achievements",
    "achievements/attributes",
    "assessment/aspects",
    "assessment/marksheets",
    "assessment/results",
    "assessment/resultsets",
    "assessment/templates",
    "attendance/absence",
    "attendance/detention",
    "attendance-codes",
    "attendance-leavers/session",
    "attendance-summaries",
    "behaviours",
    "behaviours/attributes",
    "detention-attendance-codes",
    "detention-types",
    "detentions",
    "doctors",
    "employee-absences",
    "events",
    "exclusions",
    "medical-conditions",
    "medical-events",
    "medical-notes",
    "photos",
    "rooms",
    "students-leaver",
    "students-pre-admission",
    "subjects",
];

#[tokio::test]
async fn every_resource_has_records_that_can_be_read_alone() {
    let lab = Lab::new().await;
    let school = lab.school("SIMS").id;
    for list in EVERYTHING {
        let rows = lab
            .all(&format!("schools/{school}/{list}?per_page=200"))
            .await;
        if rows.is_empty() && list == "attendance-leavers/session" {
            continue;
        }
        for row in [rows.first(), rows.last()] {
            let row = row.unwrap_or_else(|| panic!("{list} is empty"));
            let id = row["id"].as_str().unwrap();
            let one = lab.get(&format!("schools/{school}/{list}/{id}")).await;
            assert_eq!(one.status, 200, "{list}: {}", one.text);
            assert_eq!(one.json()["data"], *row, "{list}");
            assert!(one.json()["meta"]["includes"].is_array(), "{list}");
        }
        let foreign = lab.get(&format!("schools/{school}/{list}/{school}")).await;
        assert_eq!(foreign.status, 404, "{list}");
    }
}

#[tokio::test]
async fn every_scope_is_a_permission_and_can_be_withdrawn() {
    let lab = Lab::new().await;
    let school = lab.school("SIMS").id;
    let permissions = format!("meta/schools/{school}/permissions");
    for list in EVERYTHING {
        let scope = match list {
            "achievements/attributes" => "achievements",
            "behaviours/attributes" => "behaviours",
            "attendance-leavers/session" => "attendance-leavers-session",
            list => list,
        };
        lab.sandbox.set_scope(&school, scope, false).unwrap();
        assert_eq!(
            lab.get(&format!("schools/{school}/{list}")).await.status,
            403,
            "{list}"
        );
        let all = lab.get(&permissions).await.rows();
        let own = all
            .iter()
            .find(|p| p["identity"] == format!("{scope}.read"))
            .unwrap();
        assert_eq!(own["approved"], false, "{list}");
    }
    let answer = lab
        .get(&format!("schools/{school}/students?include=achievements"))
        .await;
    assert_eq!(answer.status, 403);
}

#[tokio::test]
async fn the_documented_includes_work() {
    let lab = Lab::new().await;
    let school = lab.school("SIMS").id;
    let include = "classes.employees,classes.subject,attendance_summary,year.employees,groups.employees,permissions,\
        identifiers,behaviours.employees,achievements.employees,photo,sen_needs,siblings,medical_conditions.notes,\
        medical_events.notes,medical_notes,doctors,in_care_date_ranges,sen_date_ranges,fsm_date_ranges,\
        user_defined_fields,results.aspect,results.resultset,exclusions,child_protection_plan_date_ranges,\
        upfsm_date_ranges";
    let rows = lab
        .all(&format!(
            "schools/{school}/students?per_page=200&include={include}"
        ))
        .await;
    for (name, many) in [
        ("behaviours", true),
        ("achievements", true),
        ("results", true),
        ("siblings", true),
        ("medical_conditions", true),
        ("user_defined_fields", true),
        ("fsm_date_ranges", true),
        ("photo", false),
        ("attendance_summary", false),
    ] {
        let there = |row: &&Value| match many {
            true => row[name]["data"]
                .as_array()
                .is_some_and(|list| !list.is_empty()),
            false => row[name]["data"].is_object(),
        };
        assert!(rows.iter().any(|row| there(&row)), "{name}");
    }
    let result = rows
        .iter()
        .find_map(|row| row["results"]["data"].get(0))
        .unwrap();
    assert!(result["aspect"]["data"]["name"].is_string());
    let pupil = rows
        .iter()
        .find(|row| row["medical_conditions"]["data"].get(0).is_some())
        .unwrap();
    assert!(pupil["medical_conditions"]["data"][0]["notes"]["data"][0]["note"].is_string());

    let include = "students.contact_details,students.house,employees.employment_details,employees.extended_details,\
        subject,lessons.room,lessons.period";
    let classes = lab
        .get(&format!("schools/{school}/classes?include={include}"))
        .await
        .rows();
    assert!(classes[0]["lessons"]["data"][0]["room"]["data"]["name"].is_string());
}

/// The number of rows of a list with this query.
async fn count(lab: &Lab, list: &str, query: &str) -> usize {
    let school = lab.school("SIMS").id;
    lab.all(&format!("schools/{school}/{list}?per_page=200&{query}"))
        .await
        .len()
}

#[tokio::test]
async fn filters_are_applied() {
    let lab = Lab::new().await;
    let school = lab.school("SIMS").id;
    let list = async |list: &str| {
        lab.all(&format!("schools/{school}/{list}?per_page=200&include="))
            .await
    };
    let students = lab
        .all(&format!(
            "schools/{school}/students?per_page=200&include=education_details"
        ))
        .await;
    let upns: Vec<&str> = students[3..5]
        .iter()
        .map(|s| s["education_details"]["data"]["upn"].as_str().unwrap())
        .collect();
    assert_eq!(
        count(&lab, "students", &format!("only_upns={}", upns.join(","))).await,
        2
    );
    let mis_id = students[0]["mis_id"].as_str().unwrap();
    assert_eq!(
        count(&lab, "students", &format!("only_mis_ids={mis_id}")).await,
        1
    );
    let with_field = count(&lab, "students", "user_defined_field=locker").await;
    assert!(with_field > 0 && with_field < students.len());
    assert_eq!(count(&lab, "students", "user_defined_field=shoe").await, 0);

    let include = "include=user_defined_fields,results";
    let pupils = lab
        .all(&format!("schools/{school}/students?per_page=200&{include}"))
        .await;
    let result = pupils
        .iter()
        .find_map(|s| s["results"]["data"].get(0))
        .unwrap();
    let aspect = result["aspect"].as_str().unwrap();
    for (filter, name, some) in [
        (format!("aspect_id={aspect}"), "results", true),
        ("aspect_id=A1".to_owned(), "results", false),
        (
            "only_user_defined_fields=shoe,locker".to_owned(),
            "user_defined_fields",
            true,
        ),
        (
            "only_user_defined_fields=shoe".to_owned(),
            "user_defined_fields",
            false,
        ),
    ] {
        let query = format!("schools/{school}/students?per_page=200&{include}&{filter}");
        let rows = lab.all(&query).await;
        assert_eq!(rows.len(), pupils.len(), "{filter}");
        assert_eq!(
            rows.iter().any(|s| s[name]["data"].get(0).is_some()),
            some,
            "{filter}"
        );
    }

    let staff = list("employees").await.len();
    assert_eq!(
        count(&lab, "employees", "user_defined_field=locker").await,
        0
    );
    for filter in ["has_class", "has_group", "has_contract"] {
        let yes = count(&lab, "employees", &format!("{filter}=true")).await;
        let no = count(&lab, "employees", &format!("{filter}=false")).await;
        assert_eq!(yes + no, staff, "{filter}");
        assert!(yes > 0, "{filter}");
    }
    assert_eq!(count(&lab, "employees", "has_role=true").await, staff);
    assert_eq!(count(&lab, "employees", "has_role=false").await, 0);
    assert_eq!(count(&lab, "employees", "has_role=headteacher").await, 1);
    let early = count(&lab, "employees", "employment_start_before=2020-01-01").await;
    let late = count(&lab, "employees", "employment_start_after=2020-01-02").await;
    assert_eq!(early + late, staff);
    assert!(early > 0 && late > 0);

    let classes = list("classes").await;
    let name = classes[0]["name"].as_str().unwrap().replace(' ', "%20");
    assert_eq!(
        count(&lab, "classes", &format!("class_name={name}")).await,
        1
    );
    let subject = classes[0]["subject"].as_str().unwrap();
    let of_subject = classes.iter().filter(|c| c["subject"] == subject).count();
    assert_eq!(
        count(&lab, "classes", &format!("class_subject={subject}")).await,
        of_subject
    );
    for filter in ["has_students", "has_lessons"] {
        let yes = count(&lab, "classes", &format!("{filter}=true")).await;
        let no = count(&lab, "classes", &format!("{filter}=false")).await;
        assert_eq!(yes + no, classes.len(), "{filter}");
    }
    assert_eq!(count(&lab, "subjects", "subject_code=Ma").await, 1);
    assert_eq!(count(&lab, "subjects", "subject_name=English").await, 1);
    let gone = list("deletions").await;
    let students = gone.iter().filter(|d| d["type"] == "student").count();
    assert_eq!(count(&lab, "deletions", "type=student").await, students);
    assert_eq!(count(&lab, "deletions", "type=planet").await, 0);

    for list in [
        "rooms",
        "periods",
        "achievements",
        "attendance-summaries",
        "lessons",
    ] {
        assert!(
            count(&lab, list, "updated_after=2020-01-01T00:00:00Z").await > 0,
            "{list}"
        );
        assert_eq!(
            count(&lab, list, "updated_after=2040-01-01T00:00:00Z").await,
            0,
            "{list}"
        );
        assert_eq!(
            count(&lab, list, "updated_before=2020-01-01").await,
            0,
            "{list}"
        );
    }
    for wrong in [
        "employees?has_class=maybe",
        "rooms?has_class=true",
        "students?has_role=true",
    ] {
        assert_eq!(
            lab.get(&format!("schools/{school}/{wrong}")).await.status,
            400,
            "{wrong}"
        );
    }
}

#[tokio::test]
async fn schools_are_found_by_number_and_postcode() {
    let lab = Lab::new().await;
    let all = lab.get("schools/all").await.rows();
    let first = &all[0];
    let text = |value: &Value| {
        value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned)
    };
    for (query, found) in [
        (format!("urn={}", text(&first["urn"])), 1),
        (
            format!(
                "establishment_number={}",
                text(&first["establishment_number"])
            ),
            1,
        ),
        ("la_code=999".to_owned(), 3),
        ("la_code=1".to_owned(), 0),
        ("postcode=zz".to_owned(), 3),
        ("postcode=ZZ2%201".to_owned(), 1),
        ("postcode=CB21".to_owned(), 0),
        ("updated_after=2040-01-01".to_owned(), 0),
    ] {
        let rows = lab.get(&format!("schools/all?{query}")).await.rows();
        assert_eq!(rows.len(), found, "{query}");
    }
    assert_eq!(lab.get("schools?mis=SIMS").await.status, 400);
}

#[tokio::test]
async fn summaries_have_the_columns_of_downloads() {
    let lab = Lab::new().await;
    let school = lab.school("SIMS").id;
    let rows = lab
        .all(&format!(
            "schools/{school}/attendance-summaries?per_page=200"
        ))
        .await;
    let number = |row: &Value, name: &str| row[name].as_u64().unwrap();
    for row in &rows {
        let parts = ["present", "authorised_absences", "unauthorized_absences"];
        let sum: u64 = parts.iter().map(|name| number(row, name)).sum();
        assert_eq!(sum, number(row, "possible_marks"));
        let codes = row["attendance_codes"].as_object().unwrap();
        let all: u64 = codes.values().map(|n| n.as_u64().unwrap()).sum();
        assert_eq!(all, sum + number(row, "attendance_not_required"));
    }
}

#[tokio::test]
async fn the_access_list_returns_ids_with_or_without_their_type() {
    let lab = Lab::new().await;
    let school = lab.school("SIMS").id;
    let acl = lab.get(&format!("meta/schools/{school}/acl")).await.json();
    assert!(acl["data"]["ids"][0].is_string());
    let acl = lab
        .get(&format!("meta/schools/{school}/acl?with_user_type=true"))
        .await
        .json();
    assert_eq!(acl["data"]["ids"][0]["type"], "student");
}

#[tokio::test]
async fn a_request_for_access_can_name_contacts() {
    let lab = Lab::new().await;
    let school = lab.school("SIMS").id;
    let path = format!("schools/{school}/request-access");
    let contact = json!({"first_name": "Sam", "last_name": "Sample", "phone_number": null, "email_address": "s@example.org"});
    for (body, status) in [
        (json!([]), 200),
        (json!({}), 200),
        (json!({"contacts": [contact]}), 200),
        (json!({"contacts": [{"shoe_size": "9"}]}), 422),
        (json!({"contacts": "Sam"}), 422),
        (json!({"reason": "why not"}), 422),
    ] {
        assert_eq!(lab.post(&path, &body).await.status, status, "{body}");
    }
}

#[tokio::test]
async fn achievements_behaviours_and_absences_are_created_updated_and_deleted() {
    let lab = Lab::new().await;
    let school = lab.school("SIMS").id;
    let pupils = lab.pupils(&school).await;
    let staff = ids(&lab.get(&format!("schools/{school}/employees")).await.rows());
    let achievement = json!({
        "students": [{"student_id": pupils[0], "points": 200, "award": "TROP", "award_date": "2026-11-20"}],
        "employee_id": staff[0], "date": "2026-11-19", "type": "NYPA", "comment": "Read a book", "activity_type": "RE",
    });
    let behaviour = json!({
        "students": [
            {"student_id": pupils[0], "role": "AG", "action": "COOL", "action_date": "2026-11-20", "points": 200},
            {"student_id": pupils[1], "role": "TA", "points": 2},
        ],
        "employee_id": staff[0], "date": "2026-11-19", "status": "REV2", "type": "BULL", "bullying_type": "B_INT",
        "comment": "Said so", "activity_type": "RE", "location": "CORR", "time": "LUN",
    });
    let absence =
        json!({"employee_id": staff[1], "absence_type": "SIC", "start_date": "2026-11-19"});
    for (list, body) in [
        ("achievements", &achievement),
        ("behaviours", &behaviour),
        ("employee-absences", &absence),
    ] {
        let path = format!("schools/{school}/{list}");
        let before = lab.all(&format!("{path}?per_page=200")).await.len();
        let created = lab.post(&path, body).await;
        assert_eq!(created.status, 200, "{list}: {}", created.text);
        let id = created.json()["data"]["id"].as_str().unwrap().to_owned();
        let read = lab
            .get(&format!("{path}/{id}?include=employee"))
            .await
            .json();
        assert_eq!(
            read["data"]["employee"]["data"]["id"], body["employee_id"],
            "{list}"
        );
        assert_eq!(read["data"]["comment"], body["comment"], "{list}");
        assert_eq!(
            lab.all(&format!("{path}?per_page=200")).await.len(),
            before + 1
        );
        let url = format!("{}/{path}/{id}", lab.sandbox.base_url());
        let change = json!({"absence_type": "TRN"});
        let changed = lab.send(Method::PUT, &url, Some(&change)).await.unwrap();
        if list == "employee-absences" {
            assert_eq!(changed.json()["data"]["absence_type"], "TRN");
        } else {
            assert_eq!(changed.status, 405, "{list}");
        }
        // With two slashes, as one of Wonde's clients sends it.
        let url = format!("{}/{path}//{id}", lab.sandbox.base_url());
        let removed = lab.send(Method::DELETE, &url, None).await.unwrap();
        assert_eq!(removed.status, 200, "{list}");
        assert_eq!(lab.get(&format!("{path}/{id}")).await.status, 404, "{list}");
        assert_eq!(lab.all(&format!("{path}?per_page=200")).await.len(), before);

        for (field, value) in [
            ("employee_id", json!(pupils[0])),
            ("employee_id", Value::Null),
            ("shoe_size", json!(9)),
            ("comment", json!(9)),
        ] {
            let mut wrong = body.clone();
            wrong[field] = value;
            let answer = lab.post(&path, &wrong).await;
            assert_eq!(answer.status, 422, "{list} {field}");
            assert!(answer.json()["errors"][field].is_array(), "{}", answer.text);
        }
        lab.sandbox
            .set_scope(&school, &format!("{list}.write"), false)
            .unwrap();
        assert_eq!(lab.post(&path, body).await.status, 403, "{list}");
    }
    let include = lab
        .get(&format!(
            "schools/{school}/students/{}?include=behaviours",
            pupils[0]
        ))
        .await
        .json();
    let removed = include["data"]["behaviours"]["data"].as_array().unwrap();
    assert!(removed.iter().all(|b| b["type"] != "BULL"));
}
