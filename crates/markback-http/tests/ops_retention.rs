//! What came to its end long ago goes; what waits for a person stays.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test may stop at the first surprise"
)]

mod ops_support;

use std::time::Duration;

use chrono::{TimeDelta, Utc};
use markback::{service::EventState, store::Pruned};
use ops_support::{Setup, World, stores};
use serde_json::json;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

#[tokio::test]
async fn a_pupils_data_goes_when_it_has_been_kept_long_enough() {
    let mut world = World::with(Setup {
        extra: "retention = '30d'\nwebhook_secret_file = 'webhook-secret'\n",
        ..Setup::default()
    })
    .await;
    world.take(vec![world.sign_in("e1", 0, "08:50")]).await;
    world.run();
    world.until("e1", EventState::Confirmed).await;
    let gone = json!({"payload_type": "schoolMigration", "school_id": world.school.id, "migrate_to": "Arbor"});
    assert_eq!(world.hook(&gone).await.0, 200);
    world.rest().await;

    world.clock.advance(29 * DAY);
    assert_eq!(world.markback.prune().await.unwrap(), Pruned::default());
    world.clock.advance(3 * DAY);
    let pruned = world.markback.prune().await.unwrap();
    assert_eq!((pruned.events, pruned.ledger, pruned.other), (1, 1, 2));
    // Planned, accepted, confirmed.
    assert_eq!(pruned.audit, 3);
    // Decide, send, confirm, and syncs of the people.
    assert!(pruned.jobs > 3, "{pruned:?}");
    assert!(
        world
            .markback
            .event(&world.id(), "e1")
            .await
            .unwrap()
            .is_none()
    );
    assert_eq!(world.markback.prune().await.unwrap(), Pruned::default());
}

#[tokio::test]
async fn what_waits_for_a_person_stays_with_its_history_on_both_databases() {
    for store in stores() {
        let start = Utc::now();
        let mut world = World::with(Setup {
            store,
            start,
            extra: "retention = '30d'\n",
            ..Setup::default()
        })
        .await;
        let stranger = |id: &str| json!({"id": id, "person": "nobody", "kind": "sign_in", "at": start - TimeDelta::minutes(1)});
        world
            .take(vec![stranger("kept"), stranger("given up")])
            .await;
        world.run();
        world.until("kept", EventState::Failed).await;
        world.until("given up", EventState::Failed).await;
        world.rest().await;
        let (store, school) = (world.markback.store(), world.id());
        let tender = markback::tending::Tender::default();
        let settings = world.markback.settings();
        markback::tending::retry(store, settings, &school, "kept", &tender)
            .await
            .unwrap();
        markback::tending::discard(store, &school, "given up", &tender)
            .await
            .unwrap();

        world.clock.advance(40 * DAY);
        let pruned = world.markback.prune().await.unwrap();
        assert_eq!((pruned.events, pruned.audit), (1, 1), "{pruned:?}");
        assert!(
            world
                .markback
                .event(&school, "given up")
                .await
                .unwrap()
                .is_none()
        );
        let kept = world.event("kept").await;
        assert_eq!(kept.history.len(), 1);
        assert_eq!(kept.state, EventState::Received);
        assert!(!world.markback.is_settled().await.unwrap());
    }
}
