//! Envelope, pages, includes, filters, tokens and scopes.

use reqwest::Method;
use serde_json::Value;
use wonde_sandbox::SandboxOptions;

use crate::lab::{Lab, distinct, ids, options};

#[tokio::test]
async fn both_kinds_of_paging_return_every_row_once() {
    let lab = Lab::new().await;
    let school = lab.school("SIMS").id;
    let on_roll = lab
        .sandbox
        .students(&school)
        .unwrap()
        .iter()
        .filter(|s| s.on_roll)
        .count();
    let mut seen = Vec::new();
    for query in ["per_page=7", "per_page=7&cursor=true", "per_page=200", ""] {
        let rows = lab.all(&format!("schools/{school}/students?{query}")).await;
        assert_eq!(rows.len(), on_roll, "{query}");
        assert_eq!(distinct(&ids(&rows)), on_roll, "{query}");
        seen.push(rows);
    }
    assert!(
        seen.windows(2).all(|w| w[0] == w[1]),
        "the ways of paging differ"
    );
}

#[tokio::test]
async fn pagination_has_wondes_fields() {
    let lab = Lab::new().await;
    let school = lab.school("SIMS").id;
    let default = lab.get(&format!("schools/{school}/students")).await.json();
    let page = &default["meta"]["pagination"];
    assert_eq!(default["data"].as_array().unwrap().len(), 50);
    assert_eq!(page["per_page"], 50);
    assert_eq!(page["current_page"], 1);
    assert_eq!(page["previous"], Value::Null);
    assert_eq!(page["more"], true);

    let asked = lab
        .get(&format!("schools/{school}/students?per_page=50&page=2"))
        .await
        .json();
    assert_eq!(
        asked["meta"]["pagination"]["per_page"], "50",
        "given as text, it comes back as text"
    );
    assert!(asked["meta"]["pagination"]["previous"].is_string());

    let whole = lab
        .get(&format!("schools/{school}/students?per_page=200"))
        .await
        .json();
    let forced = &whole["meta"]["pagination"];
    assert_eq!(forced["more"], false, "per_page asks for pagination");
    assert_eq!(forced["next"], Value::Null);

    let last = lab
        .get(&format!("schools/{school}/students?per_page=50&page=3"))
        .await
        .json();
    assert_eq!(last["meta"]["pagination"]["more"], false);
    assert_eq!(last["meta"]["pagination"]["next"], Value::Null);
    assert!(
        lab.get(&format!("schools/{school}/students?page=99"))
            .await
            .rows()
            .is_empty()
    );
}

#[tokio::test]
async fn a_short_list_has_its_schools_form_of_meta() {
    let lab = Lab::of_every_mis().await;
    for (mis, meta, pagination) in [
        ("SIMS", true, false),
        ("Bromcom", false, false),
        ("Arbor", true, true),
    ] {
        let school = lab.school(mis).id;
        let list = lab.get(&format!("schools/{school}/groups")).await.json();
        assert_eq!(list.get("meta").is_some(), meta, "{mis}");
        assert_eq!(
            list["meta"].get("pagination").is_some(),
            pagination,
            "{mis}"
        );
        let forced = lab
            .get(&format!("schools/{school}/groups?per_page=200"))
            .await
            .json();
        assert_eq!(forced["meta"]["pagination"]["more"], false, "{mis}");
    }
}

#[tokio::test]
async fn meta_lists_the_supported_includes() {
    let lab = Lab::of_every_mis().await;
    let school = lab.school("SIMS").id;
    let list = lab
        .get(&format!("schools/{school}/classes?include=subject"))
        .await
        .json();
    let includes = serde_json::json!(["students", "employees", "subject", "lessons"]);
    assert_eq!(list["meta"]["includes"], includes);
    let id = list["data"][0]["id"].as_str().unwrap();
    let one = lab
        .get(&format!("schools/{school}/classes/{id}"))
        .await
        .json();
    assert_eq!(one["meta"]["includes"], includes, "of a single record too");
    assert!(one["data"]["restored_at"].is_null() && one["data"]["alternative"] == false);
    let boards = lab.school("iSAMS").id;
    for (school, may) in [(school, false), (boards, true)] {
        let list = lab.get(&format!("schools/{school}/students")).await.json();
        let includes = list["meta"]["includes"].as_array().unwrap();
        assert_eq!(includes.contains(&"boarding".into()), may);
    }
}

#[tokio::test]
async fn each_form_of_a_value_occurs_at_a_school() {
    let lab = Lab::of_every_mis().await;
    for (mis, number, plain) in [("SIMS", true, false), ("Arbor", false, true)] {
        let school = lab.school(mis).id;
        let lesson = &lab.get(&format!("schools/{school}/lessons")).await.rows()[0];
        assert_eq!(lesson["period_instance_id"].is_u64(), number, "{mis}");
        assert!(lesson["updated_at"].is_object() && lesson["alternative"] == false);
        let pupil = &lab.get(&format!("schools/{school}/students")).await.rows()[0];
        assert_eq!(pupil["date_of_birth"].is_string(), plain, "{mis}");
    }
    let schools = lab.get("schools").await.rows();
    assert!(
        schools
            .iter()
            .all(|s| s["region"]["identifiers"]["urn"].is_u64())
    );
    let audited = |s: &&Value| s["extended"].get("audit_approved_at").is_some();
    assert_eq!(schools.iter().filter(audited).count(), schools.len() / 2);
    let school = lab.school("SIMS").id;
    let staff = lab
        .get(&format!(
            "schools/{school}/employees?include=employment_details"
        ))
        .await
        .rows();
    assert!(staff[0]["employment_details"]["data"]["role_text"].is_string());
    for permission in lab
        .get(&format!("meta/schools/{school}/permissions"))
        .await
        .rows()
    {
        for name in [
            "identity",
            "name",
            "description",
            "parent",
            "group",
            "active_from",
            "optional",
            "approved",
            "audited",
        ] {
            assert!(permission.get(name).is_some(), "{name}");
        }
        assert!(permission.get("required").is_none() && permission.get("status").is_none());
    }
}

#[tokio::test]
async fn invalid_query_parameters_are_rejected() {
    let lab = Lab::new().await;
    let school = lab.school("SIMS").id;
    for query in [
        "page=0",
        "page=x",
        "per_page=0",
        "per_page=many",
        "cursor=zzz",
        "updated_after=yesterday",
        "colour=blue",
    ] {
        let answer = lab.get(&format!("schools/{school}/students?{query}")).await;
        assert_eq!(answer.status, 400, "{query}");
        assert!(answer.json()["error_description"].is_string());
    }
}

#[tokio::test]
async fn nested_includes_work_and_unknown_ones_are_rejected() {
    let lab = Lab::of_every_mis().await;
    let school = lab.school("SIMS").id;
    let rows = lab
        .all(&format!(
            "schools/{school}/students?per_page=200&include=education_details,year,registration,house,groups,classes,contacts.contact_details"
        ))
        .await;
    let pupil = &rows[0];
    assert_eq!(pupil["year"]["data"]["type"], "YEAR");
    assert_eq!(
        pupil["year"]["data"]["code"],
        pupil["education_details"]["data"]["current_nc_year"]
    );
    assert!(pupil["classes"]["data"].as_array().unwrap().len() > 2);
    let contact = &pupil["contacts"]["data"][0];
    assert_eq!(contact["relationship"]["priority"], 1);
    assert!(contact["contact_details"]["data"]["emails"].is_object());
    assert!(pupil.get("boarding").is_none());

    for include in [
        "shoe_size",
        "contacts.shoe_size",
        "boarding",
        "year,shoe_size",
    ] {
        let answer = lab
            .get(&format!("schools/{school}/students?include={include}"))
            .await;
        assert_eq!(answer.status, 400, "{include}");
        assert_eq!(answer.json()["error"], "invalid_include");
    }
    let boarding = lab.school("iSAMS").id;
    let rows = lab
        .all(&format!(
            "schools/{boarding}/students?include=boarding,contacts&per_page=200"
        ))
        .await;
    assert!(
        rows.iter()
            .any(|p| p["boarding"]["data"]["type"] == "BOARDING")
    );
    assert!(rows.iter().any(|p| p["boarding"]["data"].is_null()));
    assert_eq!(
        rows[0]["contacts"]["data"][0]["relationship"]["data"]["priority"], 1,
        "wrapped here"
    );
}

#[tokio::test]
async fn relations_are_ids_until_they_are_included() {
    let lab = Lab::new().await;
    let school = lab.school("Arbor").id;
    let plain = &lab.get(&format!("schools/{school}/lessons")).await.rows()[0];
    for relation in ["class", "room", "period", "employee"] {
        assert!(plain[relation].is_string(), "{relation}");
    }
    let path = format!("schools/{school}/lessons?include=class.students,room,period,employee");
    let full = &lab.get(&path).await.rows()[0];
    assert_eq!(full["class"]["data"]["id"], plain["class"]);
    assert!(
        !full["class"]["data"]["students"]["data"]
            .as_array()
            .unwrap()
            .is_empty()
    );
    assert!(full["period"]["data"]["start_time"].is_string());
    assert_eq!(full["employee"]["data"]["id"], plain["employee"]);
}

#[tokio::test]
async fn every_list_can_be_read_at_every_mis() {
    let lab = Lab::of_every_mis().await;
    for school in lab.sandbox.schools() {
        for list in [
            "students",
            "contacts",
            "employees",
            "groups",
            "classes",
            "periods",
            "rooms",
            "subjects",
            "lessons",
            "attendance-codes",
            "attendance/session",
            "attendance/lesson",
            "attendance-summaries",
            "deletions",
        ] {
            let rows = lab
                .get(&format!("schools/{}/{list}", school.id))
                .await
                .rows();
            let primary =
                ["ScholarPack", "Pupil Asset", "RM Integris"].contains(&school.mis.as_str());
            let empty = match list {
                "periods" | "lessons" => primary,
                "attendance/session" => school.mis == "Arbor",
                "attendance/lesson" => school.mis != "Arbor",
                _ => false,
            };
            assert_eq!(rows.is_empty(), empty, "{} {list}", school.mis);
            if let Some(id) = rows.first().and_then(|r| r["id"].as_str())
                && [
                    "students",
                    "contacts",
                    "employees",
                    "groups",
                    "classes",
                    "lessons",
                ]
                .contains(&list)
            {
                let one = lab
                    .get(&format!("schools/{}/{list}/{id}", school.id))
                    .await
                    .json();
                assert_eq!(one["data"], rows[0], "{} {list}", school.mis);
            }
        }
    }
}

#[tokio::test]
async fn lessons_are_in_utc_and_periods_in_local_time() {
    let lab = Lab::with(SandboxOptions {
        start_date: Some("2026-10-23".parse().unwrap()),
        ..options()
    })
    .await;
    let school = lab.school("Arbor").id;
    // The clocks change on Sunday 25 October 2026.
    for (day, first) in [("2026-10-23", "07:50"), ("2026-10-26", "08:50")] {
        let path = format!(
            "schools/{school}/lessons?include=period&lessons_start_after={day}%2000:00:00&lessons_start_before={day}%2023:59:59"
        );
        let lesson = &lab.get(&path).await.rows()[0];
        assert_eq!(lesson["start_at"]["date"], format!("{day} {first}:00"));
        assert_eq!(lesson["period"]["data"]["start_time"], "08:50:00");
    }
    let weekend = format!(
        "schools/{school}/lessons?lessons_start_after=2026-10-24%2000:00:00&lessons_start_before=2026-10-25%2023:00:00"
    );
    assert!(lab.get(&weekend).await.rows().is_empty());
}

#[tokio::test]
async fn a_token_gives_access_to_its_schools_only() {
    let lab = Lab::new().await;
    let (own, other) = (lab.school("SIMS"), lab.school("Arbor"));
    let base = lab.sandbox.base_url();
    let get = async |path: &str, user: Option<&str>, bearer: Option<&str>| {
        let mut request = lab.http.get(format!("{base}/{path}"));
        if let Some(user) = user {
            request = request.basic_auth(user, Some(""));
        }
        if let Some(token) = bearer {
            request = request.bearer_auth(token);
        }
        request.send().await.unwrap().status().as_u16()
    };
    let token = lab.sandbox.token();
    assert_eq!(get("schools", None, None).await, 401);
    assert_eq!(get("schools", None, Some("nonsense")).await, 401);
    assert_eq!(get("schools", Some(&token), None).await, 200);
    let raw = lab
        .http
        .get(format!("{base}/schools"))
        .header("authorization", format!("Basic {token}"));
    let status = raw.send().await.unwrap().status();
    assert_eq!(status, 200, "as one of Wonde's clients sends it");
    let students = |id: &str| format!("schools/{id}/students");
    assert_eq!(get(&students(&own.id), None, Some(&own.token)).await, 200);
    assert_eq!(get(&students(&other.id), None, Some(&own.token)).await, 403);
    lab.sandbox.set_token_revoked(&token, true);
    assert_eq!(get("schools", None, Some(&token)).await, 401);
    lab.sandbox.set_token_revoked(&token, false);
    assert_eq!(get("schools", None, Some(&token)).await, 200);
}

#[tokio::test]
async fn unknown_paths_are_not_found() {
    let lab = Lab::new().await;
    let school = lab.school("SIMS").id;
    for path in [
        "schools/A123",
        "schools/A123/students",
        "writebacks/A123",
        "nowhere",
        &format!("schools/{school}/nowhere"),
        &format!("schools/{school}/students/A123"),
        &format!("schools/{school}/students/{school}"),
    ] {
        let answer = lab.get(path).await;
        assert_eq!(answer.status, 404, "{path}");
        assert_eq!(answer.json()["error"], "resource_not_found");
    }
    let wrong = lab
        .post(&format!("schools/{school}/students"), &Value::Null)
        .await;
    assert_eq!(wrong.status, 405);
}

#[tokio::test]
async fn without_a_scope_a_property_is_null_and_an_object_is_forbidden() {
    let lab = Lab::new().await;
    let school = lab.school("SIMS").id;
    for scope in [
        "students.upi",
        "students.education_details.upn",
        "contacts",
        "lessons",
    ] {
        lab.sandbox.set_scope(&school, scope, false).unwrap();
    }
    let path = format!("schools/{school}/students?include=education_details&per_page=200");
    for pupil in lab.get(&path).await.rows() {
        assert!(pupil["upi"].is_null());
        assert!(pupil["education_details"]["data"]["upn"].is_null());
        assert!(pupil["mis_id"].is_string());
    }
    for path in ["lessons", "contacts", "students?include=contacts"] {
        let answer = lab.get(&format!("schools/{school}/{path}")).await;
        assert_eq!(answer.status, 403, "{path}");
        assert_eq!(answer.json()["error"], "invalid_permissions");
    }
    let permissions = lab
        .get(&format!("meta/schools/{school}/permissions"))
        .await
        .rows();
    let lessons = permissions
        .iter()
        .find(|p| p["identity"] == "lessons.read")
        .unwrap();
    assert_eq!(lessons["approved"], false);
    let other = lab.school("Arbor").id;
    assert_eq!(
        lab.get(&format!("schools/{other}/lessons")).await.status,
        200
    );
}

#[tokio::test]
async fn counts_and_summaries_match_the_lists() {
    let lab = Lab::new().await;
    let school = lab.school("SIMS").id;
    let pupils = lab.pupils(&school).await.len();
    let counts = lab
        .get(&format!(
            "schools/{school}/counts?include=students,contacts"
        ))
        .await
        .json();
    assert_eq!(counts["data"]["students"]["data"]["count"], pupils);
    assert!(
        counts["data"]["contacts"]["data"]["count"]
            .as_u64()
            .unwrap()
            > 0
    );
    let summaries = lab
        .all(&format!(
            "schools/{school}/attendance-summaries?per_page=200"
        ))
        .await;
    assert_eq!(summaries.len(), pupils);
    assert!(summaries.iter().any(|s| s["possible_marks"] == 2));
}

#[tokio::test]
async fn schools_are_listed_by_their_state_of_access() {
    use wonde_sandbox::Access;
    let lab = Lab::new().await;
    let school = lab.school("SIMS").id;
    assert_eq!(lab.get("schools").await.rows().len(), 3);
    let revoked = lab
        .send(
            Method::DELETE,
            &format!("{}/schools/{school}/revoke-access", lab.sandbox.base_url()),
            None,
        )
        .await
        .unwrap();
    assert_eq!(revoked.json()["success"], true);
    assert_eq!(
        ids(&lab.get("schools/revoked").await.rows()),
        std::slice::from_ref(&school)
    );
    assert_eq!(lab.get("schools").await.rows().len(), 2);
    assert_eq!(lab.get("schools/all").await.rows().len(), 3);
    assert_eq!(
        lab.get(&format!("schools/{school}/students")).await.status,
        403
    );
    let meta = lab.get(&format!("meta/schools/{school}")).await.json();
    assert_eq!(meta["data"]["approved"], false);

    let asked = lab
        .post(&format!("schools/{school}/request-access"), &Value::Null)
        .await;
    assert_eq!(asked.json()["state"], "pending");
    assert_eq!(
        ids(&lab.get("schools/pending").await.rows()),
        std::slice::from_ref(&school)
    );
    lab.sandbox.set_access(&school, Access::Approved).unwrap();
    assert_eq!(
        lab.get(&format!("schools/{school}/students")).await.status,
        200
    );
}
