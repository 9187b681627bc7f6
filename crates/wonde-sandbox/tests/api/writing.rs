//! A register is accepted, written to the MIS later, and read back after the next extraction.

use serde_json::{Value, json};
use wonde_sandbox::{SandboxOptions, TeacherMark};

use crate::lab::{Lab, TODAY, options};

#[tokio::test]
async fn a_mark_is_accepted_then_in_the_mis_then_in_the_api() {
    let lab = Lab::new().await;
    let school = lab.school("SIMS").id;
    let pupil = &lab.pupils(&school).await[0];
    let mut mark = lab.mark(&school, pupil, "L").await;
    mark["comment"] = json!("Bus");
    mark["minutes_late"] = json!(7);
    let writeback = lab
        .write(&school, "session", std::slice::from_ref(&mark))
        .await;
    assert!(lab.written(&school).is_empty(), "it is not there at once");
    assert_eq!(lab.status(&writeback).await["status"], "queued");
    lab.pass(1);
    assert_eq!(lab.status(&writeback).await["status"], "processing");
    lab.pass(1);
    assert_eq!(lab.status(&writeback).await["status"], "completed");

    let held = &lab.written(&school)[0];
    assert_eq!(
        (held.code.as_str(), held.session, held.writes),
        ("L", Some("AM"), 1)
    );
    assert_eq!(
        (held.comment.as_deref(), held.minutes_late),
        (Some("Bus"), Some(7))
    );
    assert_eq!(held.writeback_id.as_deref(), Some(writeback.as_str()));

    let path = format!(
        "schools/{school}/attendance/session?per_page=200&updated_after=2026-11-23%2007:55:00"
    );
    assert!(
        lab.all(&path).await.is_empty(),
        "the copy is older than the write"
    );
    lab.pass(3_600);
    let read = lab.all(&path).await;
    assert_eq!(read.len(), 1);
    assert_eq!(read[0]["student"].as_str(), Some(pupil.as_str()));
    assert_eq!(read[0]["attendance_code"], mark["attendance_code_id"]);
    assert_eq!(read[0]["date"]["date"], format!("{TODAY} 00:00:00.000000"));
    assert_eq!(read[0]["session"], "AM");
    assert_eq!(read[0]["updated_at"]["date"], "2026-11-23 08:50:00.000000");
}

#[tokio::test]
async fn a_later_mark_replaces_an_earlier_one() {
    let lab = Lab::new().await;
    let school = lab.school("SIMS").id;
    let pupil = &lab.pupils(&school).await[0];
    for letter in ["L", "M"] {
        let mark = lab.mark(&school, pupil, letter).await;
        lab.write(&school, "session", &[mark]).await;
    }
    lab.pass(2);
    let held = lab.written(&school);
    assert_eq!(held.len(), 1);
    assert_eq!((held[0].code.as_str(), held[0].writes), ("M", 2));
}

#[tokio::test]
async fn each_mis_stores_its_supported_fields() {
    let lab = Lab::of_every_mis().await;
    for (mis, word, comment, minutes) in [
        ("SIMS", "completed", true, true),
        ("Bromcom", "complete", true, true),
        ("iSAMS", "Successful", true, true),
        ("Pupil Asset", "processed", true, true),
        ("Engage", "success", true, false),
        ("Facility CMIS", "written", false, false),
        ("Cloud School", "complete", false, false),
        ("SchoolBase", "Successful", false, false),
    ] {
        let school = lab.school(mis).id;
        let pupil = &lab.pupils(&school).await[0];
        let mut mark = lab.mark(&school, pupil, "L").await;
        mark["comment"] = json!("Bus");
        mark["minutes_late"] = json!(7);
        let writeback = lab.write(&school, "session", &[mark]).await;
        lab.pass(2);
        assert_eq!(lab.status(&writeback).await["status"], word, "{mis}");
        let held = &lab.written(&school)[0];
        assert_eq!(
            (held.comment.is_some(), held.minutes_late.is_some()),
            (comment, minutes),
            "{mis}"
        );
    }
    for (mis, word) in [
        ("Arbor", "error"),
        ("ScholarPack", "rejected"),
        ("RM Integris", "cancelled"),
        ("Nonesuch MIS", "failed"),
    ] {
        let school = lab.school(mis).id;
        let pupil = &lab.pupils(&school).await[0];
        let mark = lab.mark(&school, pupil, "L").await;
        let writeback = lab.write(&school, "session", &[mark]).await;
        lab.pass(2);
        let status = lab.status(&writeback).await;
        assert_eq!(status["status"], word, "{mis}");
        assert!(status["message"].is_string());
        assert!(lab.written(&school).is_empty(), "{mis}");
    }
}

#[tokio::test]
async fn arbor_stores_a_session_on_the_pupils_first_lesson() {
    let lab = Lab::new().await;
    let school = lab.school("Arbor").id;
    let path = format!(
        "schools/{school}/lessons?include=class.students&per_page=200&lessons_start_after={TODAY}%2000:00:00&lessons_start_before={TODAY}%2023:59:59"
    );
    let lessons = lab.all(&path).await;
    let pupil = &lab.pupils(&school).await[0];
    let own: Vec<&Value> = lessons
        .iter()
        .filter(|l| {
            let students = l["class"]["data"]["students"]["data"].as_array().unwrap();
            students.iter().any(|s| s["id"] == **pupil)
        })
        .collect();
    assert!(own.len() >= 2, "a pupil has several lessons");
    let code = lab.code(&school, "L").await;
    let mark = |lesson: &Value| json!({"lesson_id": lesson["id"], "student_id": pupil, "attendance_code_id": code, "minutes_late": 7});
    let writeback = lab
        .write(&school, "lesson", &[mark(own[0]), mark(own[1])])
        .await;
    lab.pass(2);
    assert_eq!(lab.status(&writeback).await["status"], "success");
    let held = lab.written(&school);
    let of = |lesson: &Value| {
        let id = lesson["id"].as_str();
        held.iter().find(|m| m.lesson_id.as_deref() == id).unwrap()
    };
    assert!(
        of(own[0]).session.is_some(),
        "the first lesson carries the session"
    );
    assert_eq!(of(own[0]).minutes_late, Some(7));
    let same_session = own[0]["start_at"]["date"].as_str() < Some("2026-11-23 12")
        && own[1]["start_at"]["date"].as_str() < Some("2026-11-23 12");
    assert_eq!(of(own[1]).session.is_some(), !same_session);

    lab.sandbox
        .cancel_lesson(&school, own[0]["id"].as_str().unwrap())
        .unwrap();
    let answer = lab
        .post(
            &format!("schools/{school}/attendance/lesson"),
            &json!({"attendance": [mark(own[0])]}),
        )
        .await;
    assert_eq!(answer.status, 422);
    assert_eq!(lab.all(&path).await.len(), lessons.len() - 1);
}

#[tokio::test]
async fn a_register_with_a_bad_mark_is_rejected_as_a_whole() {
    let lab = Lab::new().await;
    let (school, other) = (lab.school("SIMS").id, lab.school("Arbor").id);
    let pupil = lab.pupils(&school).await[0].clone();
    let good = lab.mark(&school, &pupil, "L").await;
    let path = format!("schools/{school}/attendance/session");
    let with = |field: &str, value: Value| {
        let mut mark = good.clone();
        mark[field] = value;
        mark
    };
    let foreign_pupil = lab.pupils(&other).await[0].clone();
    let foreign_code = lab.code(&other, "L").await;
    for (field, mark) in [
        ("student_id", with("student_id", json!(foreign_pupil))),
        (
            "attendance_code_id",
            with("attendance_code_id", json!(foreign_code)),
        ),
        ("attendance_code_id", with("attendance_code_id", json!("L"))),
        ("date", with("date", json!("23/11/2026"))),
        ("date", with("date", json!("2026-11-31"))),
        ("session", with("session", json!("morning"))),
        ("minutes_late", with("minutes_late", json!("seven"))),
        ("minutes_late", with("minutes_late", json!(-1))),
        ("comment", with("comment", json!(7))),
        ("employee_id", with("employee_id", json!(foreign_pupil))),
        ("mark", with("lesson_id", json!("A1"))),
        ("mark", json!("L")),
        ("student_id", json!({"date": TODAY})),
    ] {
        let answer = lab.post(&path, &json!({"attendance": [good, mark]})).await;
        assert_eq!(answer.status, 422, "{field}: {}", answer.text);
        assert!(
            answer.json()["errors"][format!("attendance.1.{field}")].is_array(),
            "{}",
            answer.text
        );
    }
    for body in [
        json!({}),
        json!([]),
        json!({"attendance": []}),
        json!({"attendance": [good], "extra": 1}),
    ] {
        assert_eq!(lab.post(&path, &body).await.status, 422, "{body}");
    }
    let url = format!("{}/{path}", lab.sandbox.base_url());
    let request = lab
        .http
        .post(url)
        .bearer_auth(lab.sandbox.token())
        .body("{\"attendance\":");
    assert_eq!(request.send().await.unwrap().status(), 400);
    lab.pass(10);
    assert!(
        lab.written(&school).is_empty(),
        "no mark of a rejected register is stored"
    );
}

#[tokio::test]
async fn null_fields_and_minutes_late_as_text_are_accepted() {
    let lab = Lab::new().await;
    let school = lab.school("SIMS").id;
    let mut mark = lab.mark(&school, &lab.pupils(&school).await[0], "L").await;
    for unset in ["comment", "minutes_late", "employee_id"] {
        mark[unset] = Value::Null;
    }
    lab.write(&school, "session", &[mark.clone()]).await;
    lab.pass(2);
    let held = &lab.written(&school)[0];
    assert_eq!((held.comment.as_deref(), held.minutes_late), (None, None));
    mark["minutes_late"] = json!("12");
    lab.write(&school, "session", &[mark.clone()]).await;
    lab.pass(2);
    assert_eq!(lab.written(&school)[0].minutes_late, Some(12));
    mark["date"] = json!(format!("{TODAY} 00:00:00 +0000"));
    lab.write(&school, "session", &[mark.clone()]).await;
    lab.pass(2);
    let held = lab.written(&school);
    assert_eq!(
        (held.len(), held[0].writes),
        (1, 3),
        "the same day, as one client writes it"
    );
    for required in ["student_id", "date", "session", "attendance_code_id"] {
        let mut without = mark.clone();
        without[required] = Value::Null;
        let path = format!("schools/{school}/attendance/session");
        let answer = lab.post(&path, &json!({"attendance": [without]})).await;
        assert_eq!(answer.status, 422, "{required}");
    }
}

#[tokio::test]
async fn writebacks_are_listed() {
    let lab = Lab::new().await;
    let mut ids = Vec::new();
    let school = lab.school("SIMS").id;
    for letter in ["L", "M", "I"] {
        let mark = lab
            .mark(&school, &lab.pupils(&school).await[0], letter)
            .await;
        ids.push(lab.write(&school, "session", &[mark]).await);
    }
    ids.reverse();
    assert_eq!(
        crate::lab::ids(&lab.all("writebacks?per_page=2").await),
        ids
    );
    lab.sandbox
        .set_access(&school, wonde_sandbox::Access::Revoked)
        .unwrap();
    assert!(lab.get("writebacks").await.rows().is_empty());
}

#[tokio::test]
async fn with_partial_registers_only_the_bad_mark_fails() {
    let lab = Lab::with(SandboxOptions {
        partial: true,
        ..options()
    })
    .await;
    let (school, other) = (lab.school("SIMS").id, lab.school("Arbor").id);
    let good = lab.mark(&school, &lab.pupils(&school).await[0], "L").await;
    let mut bad = good.clone();
    bad["student_id"] = json!(lab.pupils(&other).await[0]);
    let writeback = lab.write(&school, "session", &[bad.clone(), good]).await;
    lab.pass(2);
    let status = lab.status(&writeback).await;
    assert_eq!(status["status"], "completed");
    assert_eq!(status["errors"][0]["index"], 0);
    assert_eq!(lab.written(&school).len(), 1);
    let writeback = lab.write(&school, "session", &[bad]).await;
    lab.pass(2);
    assert_eq!(lab.status(&writeback).await["status"], "failed");
}

#[tokio::test]
async fn limits_on_size_and_permission_apply() {
    let lab = Lab::with(SandboxOptions {
        register_max: Some(2),
        ..options()
    })
    .await;
    let school = lab.school("SIMS").id;
    let mark = lab.mark(&school, &lab.pupils(&school).await[0], "L").await;
    let path = format!("schools/{school}/attendance/session");
    let three = json!({"attendance": [mark, mark, mark]});
    assert_eq!(lab.post(&path, &three).await.status, 422);
    lab.sandbox
        .set_scope(&school, "attendance.write", false)
        .unwrap();
    let one = json!({"attendance": [mark]});
    assert_eq!(lab.post(&path, &one).await.status, 403);
    let permissions = lab
        .get(&format!("meta/schools/{school}/permissions"))
        .await
        .rows();
    let write = permissions
        .iter()
        .find(|p| p["name"] == "Write attendance")
        .unwrap();
    assert_eq!(write["approved"], false);
}

#[tokio::test]
async fn a_pupil_who_left_before_the_write_is_not_marked() {
    let lab = Lab::new().await;
    let school = lab.school("SIMS").id;
    let pupil = lab.pupils(&school).await[0].clone();
    let mark = lab.mark(&school, &pupil, "L").await;
    let writeback = lab.write(&school, "session", &[mark]).await;
    let leave = wonde_sandbox::Change::Leave {
        student: pupil,
        on: None,
    };
    lab.sandbox.change(&school, &leave).unwrap();
    lab.pass(2);
    let status = lab.status(&writeback).await;
    assert_eq!(status["status"], "failed");
    assert!(lab.written(&school).is_empty());
}

#[tokio::test]
async fn teachers_write_and_clear_marks_in_the_mis() {
    let lab = Lab::with(SandboxOptions {
        extraction_every: std::time::Duration::ZERO,
        history_days: 0,
        ..options()
    })
    .await;
    for (mis, list) in [("SIMS", "session"), ("Arbor", "lesson")] {
        let school = lab.school(mis).id;
        let before = lab.sandbox.mis_marks(&school).unwrap().len();
        let absent: Vec<String> = lab
            .sandbox
            .mis_marks(&school)
            .unwrap()
            .into_iter()
            .map(|m| m.student_id)
            .collect();
        let students = lab.sandbox.students(&school).unwrap();
        let pupil = students
            .iter()
            .find(|s| {
                s.on_roll && !["12", "13"].contains(&s.year.as_str()) && !absent.contains(&s.id)
            })
            .unwrap();
        let mut mark = TeacherMark {
            student_id: pupil.id.clone(),
            date: Some(TODAY.parse().unwrap()),
            session: Some("AM".to_owned()),
            code: Some("M".to_owned()),
            ..TeacherMark::default()
        };
        lab.sandbox.set_mark(&school, &mark).unwrap();
        let held = lab.sandbox.mis_marks(&school).unwrap();
        let set = held.iter().find(|m| m.student_id == pupil.id).unwrap();
        assert_eq!(
            (set.code.as_str(), set.session, set.writes),
            ("M", Some("AM"), 0),
            "{mis}"
        );
        let read = lab
            .all(&format!("schools/{school}/attendance/{list}"))
            .await;
        assert!(
            read.iter().any(|m| m["student"] == pupil.id),
            "read at once without delay"
        );
        mark.code = None;
        lab.sandbox.set_mark(&school, &mark).unwrap();
        assert_eq!(
            lab.sandbox.mis_marks(&school).unwrap().len(),
            before,
            "{mis}"
        );
        let read = lab
            .all(&format!("schools/{school}/attendance/{list}"))
            .await;
        assert!(!read.iter().any(|m| m["student"] == pupil.id));
        mark.code = Some("nonsense".to_owned());
        assert!(lab.sandbox.set_mark(&school, &mark).is_err());
    }
}

#[tokio::test]
async fn the_history_of_a_mark_has_its_writers_and_times() {
    let lab = Lab::new().await;
    let school = lab.school("SIMS").id;
    let pupil = &lab.pupils(&school).await[0];
    let start = lab.sandbox.now();
    let by_hand = |code: &str| TeacherMark {
        student_id: pupil.clone(),
        date: Some(TODAY.parse().unwrap()),
        session: Some("AM".to_owned()),
        code: Some(code.to_owned()),
        ..TeacherMark::default()
    };
    lab.sandbox.set_mark(&school, &by_hand("N")).unwrap();
    lab.pass(60);
    // It was replaced before the next extraction.
    lab.sandbox.set_mark(&school, &by_hand("I")).unwrap();
    lab.pass(3_600);
    let mark = lab.mark(&school, pupil, "L").await;
    lab.write(&school, "session", &[mark]).await;
    lab.pass(10);
    let history = lab.sandbox.mark_history(&school).unwrap();
    let mut of_pupil = history
        .into_iter()
        .filter(|mark| mark.student_id == *pupil && mark.date.to_string() == TODAY);
    let versions = of_pupil.next().unwrap().versions;
    let after =
        |time: Option<chrono::DateTime<chrono::Utc>>| time.map(|time| (time - start).num_seconds());
    let told: Vec<_> = versions
        .iter()
        .map(|one| {
            let code = one.code.as_deref().unwrap();
            let changed = after(Some(one.changed_at)).unwrap();
            (code, changed, after(one.accepted_at), after(one.shown_at))
        })
        .collect();
    assert_eq!(
        told,
        [
            ("N", 0, None, None),
            ("I", 60, None, Some(3_600)),
            ("L", 3_662, Some(3_660), None),
        ]
    );
}
