//! Syncs with the sandbox, compared person by person, with all kinds of faults.

use std::time::Duration;

use markback::{store::SyncState, sync::SyncRequest};
use markback_lab::harness::wait_until;
use rstest::rstest;
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use wonde_sandbox::{Change, Fault, FaultRule, RetryAfter};

use super::stage::{
    DAY, EVERYBODY, FULL, On, Stage, done_in_time, groups, ids, people, settings_of, sync, synced,
};

/// A step after a few of which most waits are over.
const SECONDS: Duration = Duration::from_secs(30);

#[rstest]
#[case(On::Sqlite)]
#[case(On::Postgres)]
#[tokio::test(flavor = "multi_thread")]
async fn a_large_school_matches_the_sandbox_and_changes_need_few_requests(#[case] on: On) {
    let Some(stage) = Stage::on(on, 2_000).await else {
        return;
    };
    let (markback, school) = (stage.service().await, stage.school(0));
    let before = stage.sandbox.requests().total;
    let record = synced(&markback, &school).await;
    let full = stage.sandbox.requests().total - before;
    assert_eq!(
        record.extent, "full",
        "the first sync is, whatever was asked for"
    );
    let found = groups(&markback, &school).await;
    assert!(found["Pupils"].len() > 1_900 && found["Parents"].len() > 2_000);
    assert!(found["Staff"].len() > 200);
    assert_eq!(found, stage.truth(&school));
    assert_eq!(people(&markback, &school).await, stage.people(&school));

    stage.pass(DAY / 2);
    let changes = stage.sandbox.a_day_of_changes(school.as_str(), 1).unwrap();
    assert!(changes.len() > 20);
    stage.pass(DAY / 2);
    // A new service without an open connection to the school.
    let markback = stage.service().await;
    let before = stage.sandbox.requests().total;
    synced(&markback, &school).await;
    let small = stage.sandbox.requests().total - before;
    assert!(small * 20 < full, "{small} requests after {full}");
    assert_eq!(people(&markback, &school).await, stage.people(&school));

    // The nightly full sync finds nothing to correct.
    stage.pass(DAY / 8);
    let record = sync(&markback, &school, FULL).await;
    let tally = &record.report.unwrap()["groups"]["Pupils"];
    let none = Value::from(0);
    assert_eq!(
        [&tally["joined"], &tally["changed"], &tally["left"]],
        [&none; 3]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_schedule_reads_every_school_at_the_start_and_then_regularly() {
    let stage = Stage::sqlite(60).await;
    let markback = stage.open(stage.settings(3, EVERYBODY)).await;
    let stop = CancellationToken::new();
    let running = tokio::spawn({
        let (rosters, stop) = (markback.sync().clone(), stop.clone());
        async move { rosters.run(stop).await }
    });
    let all_match = || async {
        for place in 0..3 {
            let school = stage.school(place);
            let read = markback.store().groups_read(&school).await.unwrap();
            if read.is_none() || groups(&markback, &school).await != stage.truth(&school) {
                return false;
            }
        }
        true
    };
    wait_until("all groups match", all_match).await;
    for place in 0..3 {
        assert!(markback.people().knows(&stage.school(place)));
        stage
            .sandbox
            .a_day_of_changes(stage.school(place).as_str(), 3)
            .unwrap();
    }
    // The small syncs come half an hour later. The nightly ones remove everybody who leaves today.
    stage.pass(Duration::from_secs(31 * 60));
    wait_until("all groups match", all_match).await;
    stage.pass(DAY);
    wait_until("all groups match", all_match).await;
    let whys = || async {
        let syncs = markback.store().syncs(&stage.school(0), 10).await.unwrap();
        syncs
            .into_iter()
            .filter(|sync| sync.state == SyncState::Done)
            .map(|sync| sync.why)
            .collect::<Vec<_>>()
    };
    wait_until("all three syncs are done", || async {
        whys().await == ["nightly", "small", "first"]
    })
    .await;
    stop.cancel();
    running.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_re_enrolled_pupil_is_found_by_every_id_and_marked_under_the_current_one() {
    let stage = Stage::sqlite(60).await;
    let (markback, school) = (stage.service().await, stage.school(0));
    synced(&markback, &school).await;
    let old = ids(&markback, &school, "Pupils").await[0].clone();
    let new = stage
        .sandbox
        .change(
            school.as_str(),
            &Change::ReEnrol {
                student: old.clone(),
            },
        )
        .unwrap();
    stage.pass(Duration::from_secs(60));
    synced(&markback, &school).await;
    let directory = markback.people().of(&school).await.unwrap().unwrap();
    for id in [&old, &new] {
        let entry = directory.find(id).unwrap();
        assert_eq!((entry.key.as_str(), &entry.id), (old.as_str(), &new));
        assert_eq!(entry.group.as_deref(), Some("Pupils"));
    }
    // Another service on the same database notices the change.
    let other = stage.service().await;
    let directory = other.people().of(&school).await.unwrap().unwrap();
    assert_eq!(directory.find(&old).unwrap().id, new);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preview_stores_nothing() {
    let stage = Stage::sqlite(60).await;
    let (markback, school) = (stage.service().await, stage.school(0));
    let rosters = markback.sync();
    let preview = rosters
        .preview(&settings_of(&markback, &school), SyncRequest::default())
        .await
        .unwrap();
    assert!(preview.changes.len() > 100);
    assert!(
        markback
            .store()
            .groups_read(&school)
            .await
            .unwrap()
            .is_none()
    );
    synced(&markback, &school).await;
    let student = ids(&markback, &school, "Pupils").await[0].clone();
    let leave = Change::Leave {
        student: student.clone(),
        on: None,
    };
    stage.sandbox.change(school.as_str(), &leave).unwrap();
    let preview = rosters
        .preview(&settings_of(&markback, &school), SyncRequest::default())
        .await
        .unwrap();
    assert_eq!(preview.changes[0].person.as_str(), student);
    assert!(ids(&markback, &school, "Pupils").await.contains(&student));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_wrong_region_empties_no_group() {
    let stage = Stage::sqlite(60).await;
    let (markback, school) = (stage.service().await, stage.school(0));
    synced(&markback, &school).await;
    let before = groups(&markback, &school).await;
    // The school's record names the wrong region.
    let empty = |kind: &str| FaultRule::new(Fault::Empty).on(kind);
    for kind in ["students", "employees", "contacts"] {
        stage.sandbox.add_fault(empty(kind)).unwrap();
    }
    stage.pass(DAY);
    let record = sync(&markback, &school, FULL).await;
    assert_eq!(record.state, SyncState::Held);
    let report = record.report.unwrap();
    assert_eq!(report["held"].as_array().unwrap().len(), 3);
    assert!(
        report["held"][0]["words"]
            .as_str()
            .unwrap()
            .contains("region")
    );
    assert_eq!(groups(&markback, &school).await, before);
    // An operator can accept it.
    let accept = SyncRequest {
        full: false,
        accept: true,
    };
    let record = sync(&markback, &school, accept).await;
    assert_eq!(record.state, SyncState::Done);
    assert!(ids(&markback, &school, "Pupils").await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn withdrawn_scopes_remove_nobody() {
    let stage = Stage::sqlite(60).await;
    let (markback, school) = (stage.service().await, stage.school(0));
    synced(&markback, &school).await;
    let before = groups(&markback, &school).await;
    let year_of = |markback: markback::service::Markback| {
        let school = school.clone();
        async move {
            let page = markback
                .store()
                .group_people(&school, "Pupils")
                .await
                .unwrap()
                .unwrap();
            page.people[0].person.clone()
        }
    };
    let person = year_of(markback.clone()).await;
    assert!(person.surname.is_some() && person.year.is_some());
    for scope in ["contacts", "students.surname", "groups", "students.upi"] {
        stage
            .sandbox
            .set_scope(school.as_str(), scope, false)
            .unwrap();
    }
    stage.pass(DAY);
    let record = sync(&markback, &school, FULL).await;
    assert_eq!(record.state, SyncState::Held, "{record:?}");
    let report = record.report.unwrap();
    let held = report["held"].to_string();
    for word in [
        "surname",
        "contacts",
        "year",
        "upi",
        "parents could not be read",
    ] {
        assert!(held.contains(word), "{word} not in {held}");
    }
    assert_eq!(groups(&markback, &school).await, before);
    assert_eq!(year_of(markback.clone()).await, person);
    // Small syncs continue meanwhile.
    let student = before["Pupils"][0].clone();
    stage
        .sandbox
        .change(
            school.as_str(),
            &Change::Leave {
                student: student.clone(),
                on: None,
            },
        )
        .unwrap();
    stage.pass(DAY / 24);
    sync(&markback, &school, SyncRequest::default()).await;
    assert!(!ids(&markback, &school, "Pupils").await.contains(&student));
    assert_eq!(
        ids(&markback, &school, "Pupils").await.len(),
        before["Pupils"].len() - 1
    );
}

#[rstest]
#[case::the_school_s(Fault::Status { status: 503, retry_after: RetryAfter::None })]
#[case::the_token_s(Fault::TooManyRequests { retry_after: RetryAfter::Seconds(30) })]
#[case::nobody_knows(Fault::CutBefore)]
#[tokio::test(flavor = "multi_thread")]
async fn temporary_faults_are_retried_and_lasting_ones_fail(#[case] fault: Fault) {
    let stage = Stage::sqlite(30).await;
    let (markback, school) = (stage.service().await, stage.school(0));
    stage
        .sandbox
        .add_fault(FaultRule::new(fault.clone()).times(4))
        .unwrap();
    let id = ask(&markback, &school).await;
    let record = done_in_time(&stage, &markback, &school, &id, SECONDS).await;
    assert_eq!(record.state, SyncState::Done, "{record:?}");
    assert_eq!(groups(&markback, &school).await, stage.truth(&school));

    stage.pass(DAY);
    stage.sandbox.add_fault(FaultRule::new(fault)).unwrap();
    let id = ask(&markback, &school).await;
    let record = done_in_time(&stage, &markback, &school, &id, DAY).await;
    assert_eq!(record.state, SyncState::Failed, "{record:?}");
    assert!(record.error.is_some_and(|error| !error.is_empty()));
    assert_eq!(groups(&markback, &school).await, stage.truth(&school));
}

async fn ask(markback: &markback::service::Markback, school: &mis_core::SchoolId) -> String {
    let school = settings_of(markback, school);
    markback
        .sync()
        .ask(&school, SyncRequest::default())
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_incomplete_list_is_held_back() {
    let stage = Stage::sqlite(200).await;
    let (markback, school) = (stage.service().await, stage.school(0));
    synced(&markback, &school).await;
    let before = groups(&markback, &school).await;
    let cut = FaultRule::new(Fault::CutPages)
        .on("students")
        .after(1)
        .times(1);
    stage.sandbox.add_fault(cut).unwrap();
    stage.pass(DAY);
    let record = sync(&markback, &school, FULL).await;
    assert_eq!(record.state, SyncState::Held, "{record:?}");
    assert_eq!(groups(&markback, &school).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_day_with_many_faults_ends_with_the_same_groups() {
    let stage = Stage::sqlite(120).await;
    let markback = stage.open(stage.settings(1, EVERYBODY)).await;
    let school = stage.school(0);
    synced(&markback, &school).await;
    for rule in FaultRule::mix(5, 0.3) {
        let lies = matches!(rule.fault, Fault::Empty | Fault::CutPages);
        let hangs = matches!(rule.fault, Fault::Slow { .. });
        if !lies && !hangs {
            stage.sandbox.add_fault(rule).unwrap();
        }
    }
    for turn in 0..4 {
        stage.pass(DAY / 2);
        stage
            .sandbox
            .a_day_of_changes(school.as_str(), turn)
            .unwrap();
        let ask = SyncRequest {
            full: turn % 2 == 0,
            accept: false,
        };
        let id = markback
            .sync()
            .ask(&settings_of(&markback, &school), ask)
            .await
            .unwrap();
        let record = done_in_time(&stage, &markback, &school, &id, SECONDS).await;
        assert!(record.state.is_final(), "{record:?}");
    }
    stage.sandbox.clear_faults();
    stage.pass(DAY);
    sync(&markback, &school, FULL).await;
    assert_eq!(groups(&markback, &school).await, stage.truth(&school));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_school_removed_from_the_settings_leaves_no_data() {
    let stage = Stage::sqlite(30).await;
    let markback = stage.open(stage.settings(2, EVERYBODY)).await;
    let (stays, goes) = (stage.school(0), stage.school(1));
    synced(&markback, &stays).await;
    synced(&markback, &goes).await;
    let markback = stage.open(stage.settings(1, EVERYBODY)).await;
    stage.pass(20 * DAY);
    markback.prune().await.unwrap();
    assert!(markback.store().groups_read(&goes).await.unwrap().is_some());
    stage.pass(20 * DAY);
    markback.prune().await.unwrap();
    assert!(markback.store().groups_read(&goes).await.unwrap().is_none());
    assert!(markback.people().of(&goes).await.unwrap().is_none());
    assert!(
        markback
            .store()
            .groups_read(&stays)
            .await
            .unwrap()
            .is_some()
    );
}
