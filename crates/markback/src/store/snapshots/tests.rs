//! What is stored of decisions' inputs, on both databases.

use std::time::Duration;

use outbox::{Clock as _, TestClock};
use writeback::Event;

use super::*;
use crate::store::{EventState, EventUpdate, NewEvent};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

struct Kept {
    store: Store,
    clock: Arc<TestClock>,
    school: SchoolId,
}

impl Kept {
    async fn open(url: &str) -> Self {
        let clock = Arc::new(TestClock::at(Utc::now()));
        let store = Store::open(url, outbox::Settings::default(), clock.clone());
        Self {
            store: store.await.unwrap(),
            clock,
            school: "A1".into(),
        }
    }

    async fn event(&self, id: &str) {
        let event: Event = serde_json::from_value(serde_json::json!({
            "id": id, "person": "P1", "kind": "sign_in", "at": self.clock.now(),
        }))
        .unwrap();
        let new = NewEvent {
            school: &self.school,
            event: &event,
        };
        let mut tx = self.store.database().begin().await.unwrap();
        self.store.insert_events(&mut tx, &[new]).await.unwrap();
        let settled = EventUpdate::of("A1", id).state(EventState::Skipped);
        self.store.update_events(&mut tx, &[settled]).await.unwrap();
        tx.commit().await.unwrap();
    }

    async fn keep(&self, snapshots: &[NewSnapshot]) {
        let mut tx = self.store.database().begin().await.unwrap();
        let written = self.store.keep_snapshots(&mut tx, snapshots).await.unwrap();
        tx.commit().await.unwrap();
        self.store.snapshots_committed(&written);
    }

    async fn bodies(&self, event: &str) -> Vec<(i64, String)> {
        let found = self.store.snapshots(&self.school, event).await.unwrap();
        found.into_iter().map(|one| (one.look, one.body)).collect()
    }

    async fn parts(&self) -> i64 {
        let count = "SELECT count(*) FROM markback_snapshot_parts";
        on_pool!(self.store.database(), pool => sqlx::query_scalar(count).fetch_one(pool).await)
            .unwrap()
    }
}

fn new(event: &str, look: Look, group: &str, body: &str) -> NewSnapshot {
    NewSnapshot {
        school: "A1".to_owned(),
        event: event.to_owned(),
        look,
        restarts: false,
        job: 1,
        group: Some(Part::of(&group).unwrap()),
        mis: Part::of(&"an MIS").unwrap(),
        body: body.to_owned(),
    }
}

async fn shared_parts_are_stored_once_and_go_with_the_last_event(url: &str) {
    let kept = Kept::open(url).await;
    for id in ["e1", "e2"] {
        kept.event(id).await;
    }
    kept.keep(&[
        new("e1", Look::First, "Pupils", "one"),
        new("e2", Look::First, "Pupils", "two"),
        new(
            "gone",
            Look::First,
            "Pupils",
            "of an event that is not there",
        ),
    ])
    .await;
    assert_eq!(kept.parts().await, 2);
    assert_eq!(kept.bodies("e2").await, [(0, "two".to_owned())]);
    assert!(kept.bodies("gone").await.is_empty());
    let stored = kept.store.snapshots(&kept.school, "e1").await.unwrap();
    let hashes = stored.iter().map(|one| one.mis_part.as_str());
    let parts = kept.store.snapshot_parts(hashes).await.unwrap();
    assert_eq!(parts.into_values().collect::<Vec<_>>(), ["\"an MIS\""]);

    kept.clock.advance(5 * DAY);
    kept.event("e3").await;
    kept.keep(&[new("e3", Look::First, "Pupils", "three")])
        .await;
    kept.clock.advance(6 * DAY);
    kept.store.prune(10 * DAY, 10 * DAY).await.unwrap();
    assert!(kept.bodies("e1").await.is_empty());
    assert_eq!(kept.bodies("e3").await, [(0, "three".to_owned())]);
    assert_eq!(kept.parts().await, 2);
    kept.clock.advance(20 * DAY);
    kept.store.prune(10 * DAY, 10 * DAY).await.unwrap();
    assert_eq!(kept.parts().await, 0);
}

/// An event that waits for a person is kept for longer than others, and so is what its snapshot shares.
async fn parts_stay_as_long_as_an_undecided_event(url: &str) {
    let kept = Kept::open(url).await;
    for (id, state) in [("e1", EventState::Failed), ("e2", EventState::Confirmed)] {
        kept.event(id).await;
        let mut tx = kept.store.database().begin().await.unwrap();
        let settled = EventUpdate::of("A1", id).state(state);
        kept.store.update_events(&mut tx, &[settled]).await.unwrap();
        tx.commit().await.unwrap();
    }
    // Nearly a day later, without writing the part again.
    kept.keep(&[new("e2", Look::First, "Staff", "two")]).await;
    kept.clock.advance(DAY - Duration::from_secs(60));
    kept.keep(&[new("e1", Look::First, "Pupils", "one")]).await;
    assert_eq!(kept.parts().await, 3);
    kept.clock.advance(50 * DAY);
    kept.store.prune(10 * DAY, 100 * DAY).await.unwrap();
    assert_eq!(kept.bodies("e1").await, [(0, "one".to_owned())]);
    assert!(kept.bodies("e2").await.is_empty());
    assert_eq!(kept.parts().await, 2, "the MIS and the group of e1");
    kept.clock.advance(60 * DAY);
    kept.store.prune(10 * DAY, 100 * DAY).await.unwrap();
    assert_eq!(kept.parts().await, 0);
}

async fn a_new_round_replaces_all_earlier_decisions(url: &str) {
    let kept = Kept::open(url).await;
    kept.event("e1").await;
    kept.keep(&[new("e1", Look::First, "Pupils", "one")]).await;
    kept.keep(&[new("e1", Look::BeforeSending, "Pupils", "again")])
        .await;
    kept.keep(&[new("e1", Look::BeforeSending, "Pupils", "once more")])
        .await;
    let looks = [(0, "one".to_owned()), (1, "once more".to_owned())];
    assert_eq!(kept.bodies("e1").await, looks);
    kept.keep(&[NewSnapshot {
        restarts: true,
        ..new("e1", Look::First, "Others", "anew")
    }])
    .await;
    assert_eq!(kept.bodies("e1").await, [(0, "anew".to_owned())]);
}

/// A part whose transaction was rolled back is written again.
async fn a_part_counts_as_stored_only_after_the_commit(url: &str) {
    let kept = Kept::open(url).await;
    kept.event("e1").await;
    let mut tx = kept.store.database().begin().await.unwrap();
    let snapshots = [new("e1", Look::First, "Pupils", "one")];
    let _ = kept
        .store
        .keep_snapshots(&mut tx, &snapshots)
        .await
        .unwrap();
    tx.rollback().await.unwrap();
    assert_eq!(kept.parts().await, 0);
    kept.keep(&snapshots).await;
    assert_eq!(kept.parts().await, 2);
}

/// What a trial of settings reads.
async fn past_events_are_found_by_their_own_times(url: &str) {
    let kept = Kept::open(url).await;
    let start = kept.clock.now();
    kept.event("e1").await;
    kept.keep(&[new("e1", Look::First, "Pupils", "one")]).await;
    kept.clock.advance(3 * DAY);
    kept.event("e2").await;
    kept.event("e3").await;
    kept.keep(&[new("e3", Look::First, "Pupils", "three")])
        .await;
    let decided = EventUpdate {
        decision: Some("{}".to_owned()),
        student: Some("S1".to_owned()),
        day: Some("2026-11-23".to_owned()),
        session: Some("AM".to_owned()),
        settings: Some("store 7".to_owned()),
        ..EventUpdate::of("A1", "e3")
    };
    let mut tx = kept.store.database().begin().await.unwrap();
    kept.store.update_events(&mut tx, &[decided]).await.unwrap();
    tx.commit().await.unwrap();

    let days = async |limit| {
        kept.store
            .days_with_events(&kept.school, limit)
            .await
            .unwrap()
    };
    let today = kept.clock.now().date_naive();
    assert_eq!(days(5).await, [today, start.date_naive()]);
    assert_eq!(days(1).await, [today]);
    let since = kept.clock.now() - TimeDelta::hours(1);
    let rows = kept.store.past_events(&kept.school, since).await.unwrap();
    let mut decided: Vec<_> = rows
        .into_iter()
        .map(|row| (row.decided, row.student, row.session))
        .collect();
    decided.sort();
    let third = (1, Some("S1".to_owned()), Some("AM".to_owned()));
    assert_eq!(decided, [(0, None, None), third]);
    let found = kept.store.snapshots_since(&kept.school, since).await;
    let events: Vec<_> = found.unwrap().into_iter().map(|one| one.event).collect();
    assert_eq!(events, ["e3"]);
    let school_days = kept.store.school_days_since(&kept.school, start).await;
    assert_eq!(school_days.unwrap(), ["2026-11-23"]);
    let event = kept.store.event(&kept.school, "e3").await.unwrap().unwrap();
    assert_eq!(event.settings.as_deref(), Some("store 7"));
}

fn postgres() -> Option<String> {
    let server = throwaway_postgres::shared().unwrap()?;
    Some(server.create_database().unwrap())
}

macro_rules! on_both_databases {
    ($($name:ident),+) => {
        mod sqlite {
            $(#[tokio::test]
            async fn $name() {
                let folder = tempfile::tempdir().unwrap();
                let file = folder.path().join("markback.db");
                super::$name(&format!("sqlite:{}?mode=rwc", file.display())).await;
            })+
        }
        mod postgres {
            $(#[tokio::test]
            async fn $name() {
                if let Some(url) = super::postgres() {
                    super::$name(&url).await;
                }
            })+
        }
    };
}

on_both_databases!(
    shared_parts_are_stored_once_and_go_with_the_last_event,
    parts_stay_as_long_as_an_undecided_event,
    a_new_round_replaces_all_earlier_decisions,
    a_part_counts_as_stored_only_after_the_commit,
    past_events_are_found_by_their_own_times
);
