//! A server that goes away in the middle and comes back.

use std::time::Duration;

use outbox::{ClaimRequest, Database, JobState, OpenOptions, Outbox, Recovery, SystemClock};
use throwaway_postgres::{Server, Stop};

use crate::support::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn work_continues_after_a_server_restart() {
    let Some(server) = throwaway_postgres::start_or_skip(&Server::builder()).unwrap() else {
        return;
    };
    let options = OpenOptions::default().busy_timeout(Duration::from_secs(2));
    let url = server.create_database().unwrap();
    let db = Database::open_with(&url, &options).await.unwrap();
    let outbox = Outbox::new(db.clone(), settings(), std::sync::Arc::new(SystemClock));
    outbox.migrate().await.unwrap();
    let request = ClaimRequest::mixed(10, LEASE);

    for (round, how) in [Stop::Immediate, Stop::Fast].into_iter().enumerate() {
        let key = |what: &str| format!("{what} {round}");
        let mut tx = db.begin().await.unwrap();
        outbox.enqueue(&mut tx, &[job(&key("kept"))]).await.unwrap();
        tx.commit().await.unwrap();
        let claimed = outbox.claim("q", &request).await.unwrap();
        assert_eq!(keys(&claimed), [key("kept")]);
        let mut wakeup = outbox.wakeup("q");
        let mut open = db.begin().await.unwrap();
        outbox
            .enqueue(&mut open, &[job(&key("lost"))])
            .await
            .unwrap();

        server.stop(how).unwrap();
        // The commit's fate is not known to who sent it; everything else may simply be done again.
        let error = open.commit().await.unwrap_err();
        assert!(
            error.is_unavailable() && error.recovery() == Recovery::Unknown,
            "{error:?}"
        );
        let error = outbox.claim("q", &request).await.unwrap_err();
        assert!(
            error.is_unavailable() && error.recovery() == Recovery::Retry,
            "{error:?}"
        );
        server.start().unwrap();

        // Old connections of the pool may fail once more each.
        let settled = loop {
            match complete(&db, &outbox, &claimed).await {
                Ok(settled) => break settled,
                Err(error) => assert!(error.is_unavailable(), "{error:?}"),
            }
        };
        settled.all().unwrap();
        assert!(outbox.find("q", &key("lost")).await.unwrap().is_none());
        assert_eq!(
            outbox.find("q", &key("kept")).await.unwrap().unwrap().state,
            JobState::Done
        );
        // The listener is back too: it rings everything when it is.
        assert!(wakeup.wait(Duration::from_secs(30)).await);
    }
}

async fn complete(
    db: &Database,
    outbox: &Outbox,
    jobs: &[outbox::ClaimedJob],
) -> outbox::Result<outbox::Settled> {
    let mut tx = db.begin().await?;
    let settled = outbox.complete(&mut tx, &held(jobs)).await?;
    tx.commit().await?;
    Ok(settled)
}
