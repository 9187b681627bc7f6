//! Interrupted syncs: another service resumes them without reading the same pages again.

use std::{num::NonZeroUsize, sync::Arc, time::Duration};

use markback::{store::SyncState, sync::SyncRequest};
use roster::PersonKind;
use rstest::rstest;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::stage::{EVERYBODY, On, Stage, done, groups, settings_of};

/// A time longer than any lease.
const LEASE: Duration = Duration::from_secs(300);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The process dies.
    Killed,
    /// The service stops normally.
    Stopped,
}

#[rstest]
#[case(On::Sqlite, End::Killed)]
#[case(On::Postgres, End::Killed)]
#[case(On::Sqlite, End::Stopped)]
#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_sync_does_not_read_pages_again(#[case] on: On, #[case] end: End) {
    let Some(stage) = Stage::on(on, 400).await else {
        return;
    };
    let school = stage.school(0);
    let markback = stage.service().await;
    let (tell, mut told) = mpsc::unbounded_channel();
    let rosters = markback
        .sync()
        .clone()
        .with_observer(Arc::new(move |_, progress| {
            let _ = tell.send(progress);
        }));
    let id = rosters
        .ask(&settings_of(&markback, &school), SyncRequest::default())
        .await
        .unwrap();
    let stop = CancellationToken::new();
    let workers = tokio::spawn({
        let stop = stop.clone();
        async move { rosters.run_workers(stop).await }
    });
    // While the parents are read: the students and the staff are stored.
    loop {
        let progress = told.recv().await.unwrap();
        if progress.kind == PersonKind::Parent {
            break;
        }
    }
    match end {
        End::Killed => workers.abort(),
        End::Stopped => stop.cancel(),
    }
    let _ = workers.await;
    let record = markback.store().sync(&school, &id).await.unwrap().unwrap();
    assert_eq!(record.state, SyncState::Running);
    assert!(
        markback
            .store()
            .groups_read(&school)
            .await
            .unwrap()
            .is_none(),
        "all or nothing"
    );
    let read = |kind: &str| {
        let requests = stage.sandbox.requests().by_kind;
        requests
            .get(&format!("GET {kind}"))
            .copied()
            .unwrap_or_default()
    };
    let (students, staff) = (read("students"), read("employees"));
    assert!(
        students >= 8 && staff >= 1,
        "{:?}",
        stage.sandbox.requests()
    );

    if end == End::Killed {
        stage.pass(LEASE);
    }
    let next = stage.service().await;
    let record = done(&next, &school, &id).await;
    assert_eq!(record.state, SyncState::Done);
    assert_eq!((read("students"), read("employees")), (students, staff));
    assert_eq!(groups(&next, &school).await, stage.truth(&school));
}

#[rstest]
#[case(On::Sqlite)]
#[case(On::Postgres)]
#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_lost_its_lease_stores_nothing(#[case] on: On) {
    let Some(stage) = Stage::on(on, 60).await else {
        return;
    };
    let school = stage.school(0);
    let mut settings = stage.settings(1, EVERYBODY);
    // With more concurrent syncs, one could freeze during a claim, and then an SQLite file could not be written.
    settings.service.sync.at_once = NonZeroUsize::MIN;
    let slow = stage.open(settings).await;
    let (tell, mut told) = mpsc::unbounded_channel();
    let (go, gone) = std::sync::mpsc::channel::<()>();
    let gone = std::sync::Mutex::new(gone);
    // Freezes after the first kind of people, like a machine that swaps or sleeps.
    let rosters = slow
        .sync()
        .clone()
        .with_observer(Arc::new(move |_, progress| {
            if progress.done && progress.kind == PersonKind::Parent {
                let _ = tell.send(());
                // Other tasks of this thread continue on another one, because they may hold the database.
                let _ = tokio::task::block_in_place(|| gone.lock().unwrap().recv());
            }
        }));
    let id = rosters
        .ask(&settings_of(&slow, &school), SyncRequest::default())
        .await
        .unwrap();
    let stop = CancellationToken::new();
    let workers = tokio::spawn({
        let stop = stop.clone();
        async move { rosters.run_workers(stop).await }
    });
    told.recv().await.unwrap();
    stage.pass(LEASE);
    let quick = stage.service().await;
    let record = done(&quick, &school, &id).await;
    assert_eq!(record.state, SyncState::Done);
    let cursor = quick
        .store()
        .groups_read(&school)
        .await
        .unwrap()
        .unwrap()
        .cursor;
    go.send(()).unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    stop.cancel();
    workers.await.unwrap();
    let after = quick.store().groups_read(&school).await.unwrap().unwrap();
    assert_eq!(
        after.cursor, cursor,
        "what the first one had read changes nothing any more"
    );
    assert_eq!(groups(&quick, &school).await, stage.truth(&school));
}
