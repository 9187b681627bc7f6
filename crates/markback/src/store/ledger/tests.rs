//! What the ledger keeps, on both databases.

use std::sync::Arc;

use chrono::Utc;
use mis_core::{Code, HeldCode};
use outbox::{Database, Migrations, SystemClock};
use writeback::{ChosenMark, Rule};

use super::*;
use crate::{
    ledger::{LedgerMark, SeenMark, Stage},
    store::MIGRATIONS,
};

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
            comment: Some("Dentist, \"at ten\"\u{0}".to_owned()),
        }),
    }
}

fn ms(ms: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(ms).unwrap()
}

fn mark(event: &str, against: Standing) -> LedgerMark {
    LedgerMark {
        event: event.to_owned(),
        code: Code::new("M"),
        comment: Some("a \"comment\"".to_owned()),
        minutes_late: Some(3),
        planned_at: ms(5),
        sent_at: None,
        answered: false,
        confirmed_at: None,
        against,
        over: Some(SeenMark {
            code: HeldCode::Known(Code::new("\\")),
            changed_at: ms(3),
        }),
        found: None,
        held: false,
        withdrawn: false,
        repairs: None,
    }
}

async fn found(store: &Store) -> LedgerRow {
    let mut rows = store.ledger(&[key()]).await.unwrap();
    rows.remove(&key()).unwrap()
}

async fn change(store: &Store, changes: Vec<Change>) -> Vec<bool> {
    let changes: Vec<_> = changes.into_iter().map(|change| (key(), change)).collect();
    let mut tx = store.database().begin().await.unwrap();
    let took_hold = store.change_ledger(&mut tx, &changes).await.unwrap();
    tx.commit().await.unwrap();
    took_hold
}

async fn what_stands_goes_with_its_mark(url: &str) {
    let store = Store::open(url, outbox::Settings::default(), Arc::new(SystemClock))
        .await
        .unwrap();
    change(&store, vec![Change::Stand(standing("e1"))]).await;
    let row = found(&store).await;
    assert!(row.marks.is_empty());
    assert!(row.standing == standing("e1"));

    let marks = [mark("e2", standing("e1")), mark("e3", standing("e2"))];
    let plans = marks.iter().map(|mark| Change::Plan {
        mark: mark.clone(),
        standing: Some(standing(&mark.event)),
    });
    let taken = marks.iter().map(|mark| {
        Change::Accept(LedgerMark {
            sent_at: Some(ms(7)),
            ..mark.clone()
        })
    });
    change(&store, plans.chain(taken).collect()).await;
    let row = found(&store).await;
    assert_eq!(row.standing, standing("e3"));
    assert_eq!(row.marks.len(), 2);
    assert!(row.marks[0].over == marks[0].over && row.marks[0].comment == marks[0].comment);
    assert_eq!(row.newest().unwrap().stage(), Stage::Accepted);

    let ends = ["e3", "e4"].map(|event| Change::Forget(event.to_owned()));
    assert_eq!(change(&store, ends.to_vec()).await, [true, false]);
    assert_eq!(found(&store).await.standing, standing("e2"));

    // What had been said before any mark was planned is left when all marks have come to nothing.
    let arrival = Arrival {
        event: "e9".to_owned(),
        at: DateTime::parse_from_rfc3339("2026-11-23T09:50:00.25+01:00").unwrap(),
    };
    let last = vec![
        Change::Arrive(arrival.clone()),
        Change::Forget("e2".to_owned()),
    ];
    change(&store, last).await;
    let row = found(&store).await;
    assert!(row.marks.is_empty() && row.arrival == Some(arrival));
    assert_eq!(row.standing, standing("e1"));
}

/// Two transactions that begin the same session, and lock theirs in different orders.
async fn transactions_wait_for_each_other(url: &str) {
    let store = Store::open(url, outbox::Settings::default(), Arc::new(SystemClock))
        .await
        .unwrap();
    let pupils: Vec<_> = (0..20)
        .map(|n| LedgerKey {
            student: format!("A{n}").into(),
            ..key()
        })
        .collect();
    let planning = (0..8).map(|n| {
        let (store, mut keys) = (store.clone(), pupils.clone());
        tokio::spawn(async move {
            if n % 2 == 0 {
                keys.reverse();
            }
            let plan = Change::Plan {
                mark: mark(&format!("e{n}"), Standing::default()),
                standing: None,
            };
            let changes: Vec<_> = keys.into_iter().map(|key| (key, plan.clone())).collect();
            let mut tx = store.database().begin().await.unwrap();
            store.change_ledger(&mut tx, &changes).await.unwrap();
            tx.commit().await.unwrap();
        })
    });
    for planned in planning.collect::<Vec<_>>() {
        planned.await.unwrap();
    }
    let rows = store.ledger(&pupils).await.unwrap();
    assert_eq!(rows.len(), pupils.len());
    assert!(rows.values().all(|row| row.marks.len() == 8));
}

/// A ledger as it was before all marks of a session were kept.
const BEFORE: &str = r#"
INSERT INTO markback_events (school, id, person, body, state, received_ms, decided_ms, sent_ms, accepted_ms, settled_ms)
    VALUES ('A1', 'e1', 'p', '{}', 'confirmed', 1000, 1001, 1002, 1003, 1004),
           ('A1', 'e2', 'p', '{}', 'accepted', 2000, 2001, 2002, 2003, NULL),
           ('A1', 'e3', 'p', '{}', 'planned', 3000, 3001, NULL, NULL, NULL),
           ('A1', 'e4', 'p', '{}', 'confirmed', 4000, 4001, 4002, 4003, 4004);
INSERT INTO markback_ledger (school, student, day, session, code, comment, minutes_late, event, stage, stage_ms, standing,
                             before_code, before_comment, before_event, before_standing, arrival_event, arrival_at)
    VALUES ('A1', 'A2', '2026-11-23', 'AM', 'M', 'a "comment"', 3, 'e2', 'accepted', 2005, '{"standing": 0}',
            'L', 'Bus', 'e1', '{"standing": 1}', 'e1', '2026-11-23T09:50:00.25+01:00'),
           ('A1', 'A3', '2026-11-23', 'AM', 'I', NULL, NULL, 'e3', 'planned', 3001, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
           ('A1', 'A4', '2026-11-23', 'AM', 'I', NULL, NULL, 'e4', 'confirmed', 9000, NULL, 'U', NULL, 'gone', NULL, NULL, NULL),
           ('A1', 'A5', '2026-11-23', 'AM', NULL, NULL, NULL, NULL, NULL, NULL, '{"standing": 0}', NULL, NULL, NULL, NULL, NULL, NULL);
"#;

async fn a_ledger_from_before_is_read(url: &str) {
    let db = Database::open(url).await.unwrap();
    let old = Migrations {
        steps: &MIGRATIONS.steps[..4],
        ..MIGRATIONS
    };
    db.migrate(&old).await.unwrap();
    let json = |event| serde_json::to_string(&standing(event)).unwrap();
    let before = BEFORE
        .replace("{\"standing\": 0}", &json("e2"))
        .replace("{\"standing\": 1}", &json("e1"));
    let mut tx = db.begin().await.unwrap();
    on_tx!(tx, conn => sqlx::raw_sql(sqlx::AssertSqlSafe(before)).execute(conn).await.map(|_| ()))
        .unwrap();
    tx.commit().await.unwrap();
    drop(db);

    let store = Store::open(url, outbox::Settings::default(), Arc::new(SystemClock))
        .await
        .unwrap();
    let keys = ["A2", "A3", "A4", "A5"].map(|student| LedgerKey {
        student: student.into(),
        ..key()
    });
    let rows = store.ledger(&keys).await.unwrap();
    let [two, three, four, five] = keys.map(|key| rows[&key].clone());

    let (first, second) = (&two.marks[0], &two.marks[1]);
    assert_eq!(
        (first.event.as_str(), first.stage()),
        ("e1", Stage::Confirmed)
    );
    assert_eq!(first.comment.as_deref(), Some("Bus"));
    assert_eq!(
        (first.planned_at, first.sent_at),
        (ms(1001), Some(ms(1002)))
    );
    assert_eq!(
        (second.event.as_str(), second.stage()),
        ("e2", Stage::Accepted)
    );
    assert_eq!(second.comment.as_deref(), Some("a \"comment\""));
    assert_eq!(
        (second.minutes_late, second.sent_at),
        (Some(3), Some(ms(2002)))
    );
    assert_eq!(second.against, standing("e1"));
    assert_eq!(two.standing, standing("e2"));
    assert_eq!(two.arrival.unwrap().event, "e1");

    assert_eq!(three.newest().unwrap().stage(), Stage::Planned);
    // One whose event is gone came at a time that nobody knows.
    assert_eq!(
        (four.marks[0].stage(), four.marks[0].sent_at),
        (Stage::Accepted, Some(ms(0)))
    );
    assert_eq!(four.newest().unwrap().confirmed_at, Some(ms(9000)));
    assert!(five.marks.is_empty() && five.standing == standing("e2"));
}

async fn all_of_it(new: impl Fn() -> String) {
    what_stands_goes_with_its_mark(&new()).await;
    transactions_wait_for_each_other(&new()).await;
    a_ledger_from_before_is_read(&new()).await;
}

#[tokio::test]
async fn on_sqlite_the_ledger_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let files = std::cell::Cell::new(0);
    all_of_it(|| {
        files.set(files.get() + 1);
        format!("sqlite:{}/{}.db", folder.path().display(), files.get())
    })
    .await;
}

#[tokio::test]
async fn on_postgres_the_ledger_is_kept() {
    let Some(server) = throwaway_postgres::shared().unwrap() else {
        return;
    };
    all_of_it(|| server.create_database().unwrap()).await;
}
