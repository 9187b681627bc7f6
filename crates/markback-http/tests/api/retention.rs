//! Final events are deleted after the retention period; events that need an operator stay.

use std::time::Duration;

use chrono::{TimeDelta, Utc};
use markback::{service::EventState, store::Pruned};
use markback_lab::harness::{ApiEnv, Setup, stores};
use outbox::on_tx;
use serde_json::json;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

#[tokio::test]
async fn a_pupils_data_is_deleted_after_the_retention_period() {
    let mut world = ApiEnv::with(Setup {
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
    // The copy of the register is deleted once its day is past, if the pupil's mark was in it.
    let early = world.markback.prune().await.unwrap();
    assert_eq!(
        Pruned {
            register: 0,
            ..early
        },
        Pruned::default()
    );
    world.clock.advance(3 * DAY);
    let pruned = world.markback.prune().await.unwrap();
    // A writeback, a notice, and what the snapshots of decisions shared: the group, and the MIS with its codes.
    assert_eq!((pruned.events, pruned.ledger, pruned.other), (1, 1, 4));
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
async fn events_that_need_an_operator_stay_with_their_history() {
    for store in stores() {
        let start = Utc::now();
        let mut world = ApiEnv::with(Setup {
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
        let actor = markback::operator::Actor::default();
        let settings = world.markback.settings();
        markback::operator::retry(store, &settings, &school, "kept", &actor)
            .await
            .unwrap();
        markback::operator::discard(store, &school, "given up", &actor)
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

#[tokio::test]
async fn undecided_events_stay_for_their_own_retention_period() {
    for store in stores() {
        let start = Utc::now();
        let mut world = ApiEnv::with(Setup {
            store,
            start,
            extra: "retention = '30d'\nretention_undecided = '100d'\n",
            ..Setup::default()
        })
        .await;
        let ids = ["failed", "rejected", "unconfirmed"];
        let stranger = |id| json!({"id": id, "person": "nobody", "kind": "sign_in", "at": start - TimeDelta::minutes(1)});
        world.take(ids.map(stranger).into()).await;
        world.run();
        for id in ids {
            // The other states, set directly.
            world.until(id, EventState::Failed).await;
        }
        world.rest().await;
        let mut tx = world.markback.store().database().begin().await.unwrap();
        on_tx!(tx, conn => {
            sqlx::query("UPDATE markback_events SET state = id").execute(conn).await.map(drop)
        })
        .unwrap();
        tx.commit().await.unwrap();

        let are_there = async || {
            let mut there = Vec::new();
            for id in ids {
                let event = world.markback.event(&world.id(), id).await.unwrap();
                there.push(event.is_some());
            }
            there
        };
        world.clock.advance(40 * DAY);
        world.markback.prune().await.unwrap();
        assert_eq!(are_there().await, [true; 3]);
        world.clock.advance(65 * DAY);
        let pruned = world.markback.prune().await.unwrap();
        assert_eq!((pruned.events, are_there().await), (3, vec![false; 3]));
        let stats = world.markback.outbox().stats().await.unwrap();
        assert_eq!(stats.get("decide").map_or(0, |stats| stats.dead), 0);
    }
}
