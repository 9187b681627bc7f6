//! Regions, migration, and the control API.

use reqwest::Method;
use serde_json::json;

use crate::lab::{Lab, TODAY};

#[tokio::test]
async fn the_wrong_region_returns_empty_lists() {
    let lab = Lab::new().await;
    let school = lab.school("SIMS").id;
    let wrong = lab.sandbox.wrong_region_url();
    let get = async |path: &str| {
        lab.send(Method::GET, &format!("{wrong}/{path}"), None)
            .await
            .unwrap()
    };
    assert_eq!(get("schools").await.rows().len(), 0);
    assert_eq!(
        get(&format!("schools/{school}/students"))
            .await
            .rows()
            .len(),
        0
    );
    let record = get(&format!("schools/{school}")).await.json();
    let domain = record["data"]["region"]["domain"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_eq!(
        format!("http://{domain}/v1.0"),
        lab.sandbox.base_url(),
        "the record says where to go"
    );

    lab.sandbox.set_other_region(&school, true).unwrap();
    assert_eq!(
        get(&format!("schools/{school}/students"))
            .await
            .rows()
            .len(),
        50
    );
    assert!(
        lab.get(&format!("schools/{school}/students"))
            .await
            .rows()
            .is_empty()
    );
    let mark = lab
        .post(
            &format!("schools/{school}/attendance/session"),
            &json!({"attendance": [{}]}),
        )
        .await;
    assert_eq!(
        mark.text, "{\"data\":[]}",
        "a register sent to the wrong place gets no writeback"
    );
}

#[tokio::test]
async fn a_migration_changes_code_ids_and_behaviour() {
    let lab = Lab::new().await;
    let school = lab.school("SIMS").id;
    let pupil = lab.pupils(&school).await[0].clone();
    let old = lab.mark(&school, &pupil, "L").await;
    lab.sandbox.migrate(&school, "Facility CMIS").unwrap();
    let record = lab.get(&format!("schools/{school}")).await.json();
    assert_eq!(record["data"]["mis"], "Facility CMIS");
    let path = format!("schools/{school}/attendance/session");
    assert_eq!(
        lab.post(&path, &json!({"attendance": [old]})).await.status,
        422
    );
    let mut new = lab.mark(&school, &pupil, "L").await;
    new["comment"] = json!("Bus");
    lab.write(&school, "session", &[new]).await;
    lab.pass(2);
    assert_eq!(lab.written(&school)[0].comment, None);
    assert!(lab.sandbox.migrate(&school, "Paper").is_err());
    assert!(
        lab.sandbox.migrate(&school, "RM Integris").is_err(),
        "a primary school's MIS"
    );
}

#[tokio::test]
async fn the_control_api_matches_the_library() {
    let lab = Lab::new().await;
    let (get, post, delete) = (Method::GET, Method::POST, Method::DELETE);
    let overview = lab.control(get.clone(), "", None).await.json();
    assert_eq!(overview["token"], lab.sandbox.token());
    let schools = lab.control(get.clone(), "schools", None).await.json();
    let id = schools[0]["id"].as_str().unwrap().to_owned();
    let students = lab
        .control(get.clone(), &format!("schools/{id}/students"), None)
        .await
        .json();
    let pupil = students
        .as_array()
        .unwrap()
        .iter()
        .find(|s| s["on_roll"] == true)
        .unwrap()["id"]
        .clone();

    let marks = format!("schools/{id}/marks");
    let mark = json!({"student_id": pupil, "date": TODAY, "session": "PM", "code": "V"});
    assert_eq!(
        lab.control(post.clone(), &marks, Some(&mark)).await.status,
        200
    );
    let held = lab.control(get.clone(), &marks, None).await.json();
    let held = held.as_array().unwrap();
    assert!(
        held.iter()
            .any(|m| m["student_id"] == pupil && m["session"] == "PM" && m["code"] == "V")
    );

    let rule = json!({"fault": {"kind": "status", "status": 503}, "on": "schools", "count": 1});
    assert_eq!(
        lab.control(post.clone(), "faults", Some(&rule))
            .await
            .status,
        200
    );
    assert_eq!(lab.get("schools").await.status, 503);
    let mix = json!({"mix": {"seed": 1, "share": 0.5}});
    let rules = lab.control(post.clone(), "faults", Some(&mix)).await.json();
    assert!(rules.as_array().unwrap().len() > 10);
    lab.control(delete.clone(), "faults", None).await;
    assert_eq!(lab.control(get.clone(), "faults", None).await.text, "[]");

    lab.control(delete, "requests", None).await;
    lab.get("schools").await;
    let counts = lab.control(get.clone(), "requests", None).await.json();
    assert_eq!(
        (&counts["total"], &counts["by_kind"]["GET schools"]),
        (&json!(1), &json!(1))
    );

    let before = lab.sandbox.now();
    let put_forward = json!({"advance_seconds": 90});
    lab.control(post.clone(), "clock", Some(&put_forward)).await;
    assert_eq!((lab.sandbox.now() - before).num_seconds(), 90);

    for (path, body) in [
        ("offline", json!({"on": true, "seconds": 60})),
        ("offline", json!({"on": false})),
        ("stale", json!({"on": true})),
        ("access", json!({"access": "revoked"})),
        ("scopes", json!({"scope": "students.upi", "granted": false})),
        ("region", json!({"other": true})),
        ("migrate", json!({"mis": "Bromcom"})),
        ("day", json!({"seed": 1})),
        (
            "changes",
            json!({"change": "rename", "student": pupil, "surname": "Neu"}),
        ),
        ("extract", json!({})),
    ] {
        let answer = lab
            .control(post.clone(), &format!("schools/{id}/{path}"), Some(&body))
            .await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text);
    }
    let missing = lab.control(get, "schools/A123/marks", None).await;
    assert_eq!(missing.status, 404);
    assert!(missing.json()["error"].as_str().unwrap().contains("A123"));
    let bad = lab
        .control(post, "schools/A123/offline", Some(&json!({"no": 1})))
        .await;
    assert_eq!(bad.status, 400);
    assert!(
        bad.json()["error"].as_str().unwrap().contains("`no`"),
        "{}",
        bad.text
    );
}

#[tokio::test]
async fn values_can_be_replaced_and_people_renumbered() {
    let lab = Lab::new().await;
    let school = lab.school("SIMS").id;
    let list = format!("schools/{school}/students?include=education_details");
    let before = lab.get(&list).await.rows();
    let (id, upn) = (
        before[0]["id"].as_str().unwrap().to_owned(),
        before[0]["education_details"]["data"]["upn"].clone(),
    );
    for (pointer, value) in [
        ("/date_of_birth", json!("01/09/2012")),
        ("/education_details/data/leaving_date", json!("1900-01-01")),
    ] {
        lab.sandbox.set_value(&school, &id, pointer, value).unwrap();
    }
    let bent = lab.get(&list).await.rows();
    assert_eq!(bent[0]["date_of_birth"], "01/09/2012");
    assert_eq!(
        bent[0]["education_details"]["data"]["leaving_date"],
        "1900-01-01"
    );
    assert_eq!(bent[1], before[1]);
    lab.sandbox.clear_values(&school).unwrap();
    assert_eq!(lab.get(&list).await.rows(), before);

    lab.sandbox.renumber(&school).unwrap();
    let after = lab.get(&list).await.rows();
    assert_eq!(after.len(), before.len());
    for key in ["id", "upi", "mis_id"] {
        assert_ne!(after[0][key], before[0][key]);
    }
    assert_eq!(after[0]["education_details"]["data"]["upn"], upn);
    let one = |id: &str| format!("schools/{school}/students/{id}");
    assert_eq!(lab.get(&one(&id)).await.status, 404);
    let id = after[0]["id"].as_str().unwrap().to_owned();
    assert_eq!(lab.get(&one(&id)).await.status, 200);
}

#[tokio::test]
async fn future_pupils_are_in_their_own_list() {
    let lab = Lab::new().await;
    let school = lab.school("SIMS").id;
    let join = wonde_sandbox::Change::Join {
        on: Some("2026-11-30".parse().unwrap()),
        year: None,
        forename: None,
        surname: None,
        sibling_of: None,
    };
    let pupil = lab.sandbox.change(&school, &join).unwrap();
    let list = format!("schools/{school}/students-pre-admission");
    let coming = lab.get(&list).await.rows();
    assert!(coming.iter().any(|row| row["id"] == pupil.as_str()));
    lab.sandbox
        .set_scope(&school, "students-pre-admission", false)
        .unwrap();
    assert_eq!(lab.get(&list).await.status, 403);
}
