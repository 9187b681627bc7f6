//! Each fault has exactly its documented effect.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use wonde_sandbox::{Fault, FaultRule, RetryAfter, SandboxOptions};

use crate::lab::{Lab, options};

/// A lab with a register for a SIMS school that is ready to be written.
async fn ready() -> (Lab, String, Value) {
    let lab = Lab::new().await;
    let school = lab.school("SIMS").id;
    let mark = lab.mark(&school, &lab.pupils(&school).await[0], "L").await;
    (lab, school, json!({"attendance": [mark]}))
}

fn once(fault: Fault) -> FaultRule {
    FaultRule::new(fault).times(1)
}

#[tokio::test]
async fn a_fault_response_without_work_changes_nothing() {
    let (lab, school, body) = ready().await;
    let path = format!("schools/{school}/attendance/session");
    let too_many = |retry_after| Fault::TooManyRequests { retry_after };
    let status = |status| Fault::Status {
        status,
        retry_after: RetryAfter::None,
    };
    for (fault, code, header) in [
        (too_many(RetryAfter::None), 429, None),
        (too_many(RetryAfter::Seconds(3)), 429, Some("3")),
        (
            too_many(RetryAfter::Date(60)),
            429,
            Some("Mon, 23 Nov 2026 07:51:00 GMT"),
        ),
        (status(500), 500, None),
        (status(502), 502, None),
        (
            Fault::Status {
                status: 503,
                retry_after: RetryAfter::Seconds(5),
            },
            503,
            Some("5"),
        ),
        (Fault::Unauthorised, 401, None),
        (Fault::Forbidden, 403, None),
    ] {
        lab.sandbox.add_fault(once(fault)).unwrap();
        let answer = lab.post(&path, &body).await;
        assert_eq!(
            (answer.status, answer.retry_after.as_deref()),
            (code, header)
        );
    }
    lab.pass(10);
    assert!(lab.written(&school).is_empty());
    let counts = lab.sandbox.requests();
    assert_eq!(counts.faults["too_many_requests"], 3);
    assert_eq!(counts.by_status[&429], 3);
    assert_eq!(
        lab.post(&path, &body).await.status,
        200,
        "the rules are used up"
    );
}

#[tokio::test]
async fn a_cut_connection_does_not_reveal_the_result_of_a_write() {
    for (fault, written) in [(Fault::CutBefore, 0), (Fault::CutAfter, 1)] {
        let (lab, school, body) = ready().await;
        lab.sandbox.add_fault(once(fault)).unwrap();
        let path = format!("schools/{school}/attendance/session");
        let error = lab.try_post(&path, &body).await.unwrap_err();
        assert!(!error.is_timeout() && error.status().is_none(), "{error:?}");
        lab.pass(2);
        assert_eq!(lab.written(&school).len(), written);
        assert_eq!(lab.sandbox.requests().by_status[&0], 1);
        assert_eq!(
            lab.get("schools").await.status,
            200,
            "the next connection is whole"
        );
    }
}

#[tokio::test]
async fn a_slow_response_can_delay_the_work_or_follow_it() {
    for (after, written) in [(false, 0), (true, 1)] {
        let (lab, school, body) = ready().await;
        let fault = Fault::Slow {
            millis: 60_000,
            after,
        };
        lab.sandbox.add_fault(once(fault)).unwrap();
        let url = format!(
            "{}/schools/{school}/attendance/session",
            lab.sandbox.base_url()
        );
        let request = lab
            .http
            .post(url)
            .bearer_auth(lab.sandbox.token())
            .json(&body);
        let error = request
            .timeout(Duration::from_secs(1))
            .send()
            .await
            .unwrap_err();
        assert!(error.is_timeout(), "{error:?}");
        lab.pass(2);
        assert_eq!(lab.written(&school).len(), written, "after: {after}");
    }
    let (lab, _, _) = ready().await;
    lab.sandbox
        .add_fault(once(Fault::Slow {
            millis: 50,
            after: false,
        }))
        .unwrap();
    let begun = Instant::now();
    assert_eq!(lab.get("schools").await.status, 200);
    assert!(begun.elapsed() >= Duration::from_millis(50));
}

#[tokio::test]
async fn a_writeback_can_fail_hang_or_have_an_unknown_status() {
    let (lab, school, body) = ready().await;
    let path = format!("schools/{school}/attendance/session");
    let write = async |fault| {
        lab.sandbox.add_fault(once(fault)).unwrap();
        let answer = lab.post(&path, &body).await;
        assert_eq!(answer.status, 200);
        answer.json()["writeback_id"].as_str().unwrap().to_owned()
    };
    let message = Some("Pupil is suspended".to_owned());
    let rejected = write(Fault::RejectWriteback { message }).await;
    let stuck = write(Fault::StuckWriteback).await;
    lab.pass(3_600);
    assert!(lab.written(&school).is_empty());
    let status = lab.status(&rejected).await;
    assert_eq!(
        (&status["status"], &status["message"]),
        (&json!("failed"), &json!("Pupil is suspended"))
    );
    assert_eq!(lab.status(&stuck).await["status"], "processing");

    let word = "archived".to_owned();
    let worded = write(Fault::UnknownStatus { word }).await;
    lab.pass(2);
    assert_eq!(lab.status(&worded).await["status"], "archived");
    assert_eq!(lab.written(&school).len(), 1, "it was written all the same");
}

#[tokio::test]
async fn responses_can_be_malformed_empty_or_incomplete() {
    let lab = Lab::new().await;
    let school = lab.school("SIMS").id;
    let path = format!("schools/{school}/students");
    let faulty = async |fault| {
        lab.sandbox.add_fault(once(fault)).unwrap();
        lab.get(&path).await
    };
    let broken = faulty(Fault::InvalidJson).await;
    assert_eq!(broken.status, 200);
    assert!(serde_json::from_str::<Value>(&broken.text).is_err());
    assert_eq!(faulty(Fault::Empty).await.rows().len(), 0);
    let cut = faulty(Fault::CutPages).await;
    assert_eq!(cut.rows().len(), 50);
    assert!(cut.json()["meta"].get("pagination").is_none());
    let foreign = faulty(Fault::ForeignNext).await.json();
    let next = foreign["meta"]["pagination"]["next"].as_str().unwrap();
    assert!(!next.starts_with(&lab.sandbox.base_url()), "{next}");
}

#[tokio::test]
async fn rules_match_by_path_method_school_and_count() {
    let lab = Lab::new().await;
    let (one, other) = (lab.school("SIMS").id, lab.school("Arbor").id);
    let fault = Fault::Status {
        status: 500,
        retry_after: RetryAfter::None,
    };
    let rule = FaultRule::new(fault)
        .on("students")
        .method("get")
        .school(&one)
        .after(1)
        .times(1);
    lab.sandbox.add_fault(rule).unwrap();
    let get =
        async |school: &str, list: &str| lab.get(&format!("schools/{school}/{list}")).await.status;
    assert_eq!(get(&one, "students").await, 200);
    assert_eq!(get(&one, "groups").await, 200);
    assert_eq!(get(&other, "students").await, 200);
    assert_eq!(get(&one, "students").await, 500);
    assert_eq!(get(&one, "students").await, 200);
    let silly = FaultRule::new(Fault::CutBefore).by_chance(1.5, 0);
    assert!(lab.sandbox.add_fault(silly).is_err());
}

#[tokio::test]
async fn writes_wait_while_the_mis_is_offline() {
    let (lab, school, body) = ready().await;
    lab.sandbox
        .set_offline(&school, Some(Duration::from_secs(600)))
        .unwrap();
    let path = format!("schools/{school}/attendance/session");
    let writeback = lab.post(&path, &body).await.json()["writeback_id"]
        .as_str()
        .unwrap()
        .to_owned();
    lab.pass(300);
    assert!(lab.written(&school).is_empty());
    assert_eq!(lab.sandbox.waiting(&school).unwrap(), 1);
    assert_eq!(
        lab.get(&format!("meta/schools/{school}")).await.json()["data"]["online"],
        false
    );
    assert_eq!(lab.get("schools/offline").await.rows().len(), 1);
    assert!(!lab.sandbox.extract_now(&school).unwrap());
    lab.pass(300);
    assert_eq!(lab.written(&school).len(), 1);
    assert_eq!(lab.status(&writeback).await["status"], "completed");
    assert!(lab.get("schools/offline").await.rows().is_empty());

    lab.sandbox
        .add_fault(once(Fault::Offline { seconds: 60 }))
        .unwrap();
    assert_eq!(lab.post(&path, &body).await.status, 200);
    assert_eq!(lab.get("schools/offline").await.rows().len(), 1);
    lab.sandbox.set_offline(&school, None).unwrap();
    assert_eq!(
        lab.sandbox.waiting(&school).unwrap(),
        0,
        "what waited is written when it is back"
    );
}

#[tokio::test]
async fn stale_reads_miss_newer_extractions() {
    let (lab, school, body) = ready().await;
    let path = format!("schools/{school}/attendance/session");
    let seen = format!("{path}?updated_after=2026-11-23%2007:55:00");
    lab.sandbox
        .add_fault(once(Fault::StaleReads { seconds: 7_200 }))
        .unwrap();
    assert_eq!(lab.post(&path, &body).await.status, 200);
    lab.pass(3_700);
    assert_eq!(lab.written(&school).len(), 1);
    assert!(lab.get(&seen).await.rows().is_empty());
    lab.pass(7_200);
    assert_eq!(lab.get(&seen).await.rows().len(), 1);
}

#[tokio::test]
async fn requests_of_a_token_are_limited_per_minute() {
    let lab = Lab::with(SandboxOptions {
        rate_limit: Some(2),
        ..options()
    })
    .await;
    assert_eq!(lab.get("schools").await.status, 200);
    assert_eq!(lab.get("schools").await.status, 200);
    let answer = lab.get("schools").await;
    assert_eq!(
        (answer.status, answer.retry_after.as_deref()),
        (429, Some("60"))
    );
    lab.pass(60);
    assert_eq!(lab.get("schools").await.status, 200);
}

#[tokio::test]
async fn a_mix_of_faults_contains_every_kind() {
    let lab = Lab::with(SandboxOptions {
        faults: FaultRule::mix(5, 0.9)
            .into_iter()
            .filter(|r| !matches!(r.fault, Fault::Slow { .. }))
            .collect(),
        ..options()
    })
    .await;
    let url = format!("{}/schools", lab.sandbox.base_url());
    for _ in 0..400 {
        // Most of these requests fail, as intended.
        let _ = lab.send(reqwest::Method::GET, &url, None).await;
    }
    let met = lab.sandbox.requests().faults;
    for name in [
        "too_many_requests",
        "status",
        "cut_before",
        "cut_after",
        "invalid_json",
    ] {
        assert!(met.contains_key(name), "{name} is missing in {met:?}");
    }
}
