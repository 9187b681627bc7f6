//! Syncs against the sandbox, person for person.

use std::time::Duration;

use markback::rosters::Ask;
use rstest::rstest;

use crate::stage::{On, Stage, groups, sync, synced};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

#[rstest]
#[case(On::Sqlite)]
#[case(On::Postgres)]
#[tokio::test(flavor = "multi_thread")]
async fn a_large_school_matches_the_sandbox_and_a_day_of_changes_costs_little(#[case] on: On) {
    let Some(stage) = Stage::on(on, 2_000).await else { return };
    let (markback, school) = (stage.service().await, stage.school(0));
    let before = stage.sandbox.requests().total;
    let record = synced(&markback, &school).await;
    let full = stage.sandbox.requests().total - before;
    assert_eq!(record.extent, "full", "the first sync is, whatever was asked for");
    let found = groups(&markback, &school).await;
    assert!(found["Pupils"].len() > 1_900 && found["Parents"].len() > 2_000 && found["Staff"].len() > 200);
    assert_eq!(found, stage.truth(&school));

    stage.pass(DAY / 2);
    let changes = stage.sandbox.a_day_of_changes(school.as_str(), 1).unwrap();
    assert!(changes.len() > 20);
    stage.pass(DAY / 2);
    let before = stage.sandbox.requests().total;
    synced(&markback, &school).await;
    let small = stage.sandbox.requests().total - before;
    assert!(small * 20 < full, "{small} requests after {full}");
    assert_eq!(groups(&markback, &school).await, stage.truth(&school));

    // And the nightly full one finds nothing to mend.
    stage.pass(DAY / 8);
    let record = sync(&markback, &school, Ask { full: true, accept: false }).await;
    let tally = &record.report.unwrap()["groups"]["Pupils"];
    assert_eq!((&tally["joined"], &tally["changed"], &tally["left"]), (&0.into(), &0.into(), &0.into()));
}
