//! What the ledger keeps of the events that stand, on both databases.

use std::sync::Arc;

use outbox::SystemClock;
use writeback::{ChosenMark, Rule};

use super::*;

fn key() -> LedgerKey {
    LedgerKey {
        school: "A1".to_owned(),
        student: "A2".into(),
        date: NaiveDate::from_ymd_opt(2026, 11, 23).unwrap(),
        session: Session::Am,
    }
}

fn standing(event: &str) -> Standing {
    let at = DateTime::parse_from_rfc3339("2026-11-23T09:50:00.25+01:00").unwrap();
    Standing {
        clock: Some(Arrival {
            event: "e0".to_owned(),
            at,
        }),
        chosen: Some(ChosenMark {
            event: event.to_owned(),
            at,
            kind: mis_core::EventKind::SignOut,
            rule: Rule::CustomCode,
            code: Code::new("M"),
            comment: Some("Dentist, \"at ten\"".to_owned()),
        }),
    }
}

fn mark(event: &str) -> LedgerMark {
    LedgerMark {
        code: Code::new("M"),
        comment: None,
        minutes_late: None,
        event: event.to_owned(),
        stage: Stage::Planned,
        since: DateTime::UNIX_EPOCH,
        standing: Some(standing(event)),
    }
}

async fn found(store: &Store) -> LedgerRow {
    let mut rows = store.ledger(&[key()]).await.unwrap();
    rows.remove(&key()).unwrap()
}

async fn what_stands_goes_with_its_mark(url: &str) {
    let store = Store::open(url, outbox::Settings::default(), Arc::new(SystemClock))
        .await
        .unwrap();
    let of = |event: &str| vec![(key(), event.to_owned())];
    let mut tx = store.database().begin().await.unwrap();
    store
        .note_standing(&mut tx, &[(key(), standing("e1"))])
        .await
        .unwrap();
    tx.commit().await.unwrap();
    let row = found(&store).await;
    assert!(row.mark.is_none());
    assert_eq!(row.standing, standing("e1"));

    let mut tx = store.database().begin().await.unwrap();
    for event in ["e2", "e3"] {
        let marks = [(key(), mark(event))];
        store.plan_marks(&mut tx, &marks).await.unwrap();
        store.accept_marks(&mut tx, &marks).await.unwrap();
    }
    tx.commit().await.unwrap();
    let row = found(&store).await;
    assert_eq!(row.standing, standing("e3"));
    assert_eq!(row.before.unwrap().standing, Some(standing("e2")));

    let mut tx = store.database().begin().await.unwrap();
    store.forget_marks(&mut tx, &of("e3")).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(found(&store).await.standing, standing("e2"));

    // One that was taken although a newer one was planned already is what holds if that comes to nothing.
    let mut tx = store.database().begin().await.unwrap();
    store
        .plan_marks(&mut tx, &[(key(), mark("e5"))])
        .await
        .unwrap();
    store
        .accept_marks(&mut tx, &[(key(), mark("e4"))])
        .await
        .unwrap();
    store.forget_marks(&mut tx, &of("e5")).await.unwrap();
    store.forget_marks(&mut tx, &of("e4")).await.unwrap();
    tx.commit().await.unwrap();
    let row = found(&store).await;
    assert!(row.mark.is_none());
    assert_eq!(row.standing, Standing::default());
}

#[tokio::test]
async fn on_sqlite_what_stands_goes_with_its_mark() {
    what_stands_goes_with_its_mark("sqlite::memory:").await;
}

#[tokio::test]
async fn on_postgres_what_stands_goes_with_its_mark() {
    let Some(server) = throwaway_postgres::shared().unwrap() else {
        return;
    };
    what_stands_goes_with_its_mark(&server.create_database().unwrap()).await;
}
