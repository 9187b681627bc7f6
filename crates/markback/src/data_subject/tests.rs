//! Each table is known, each with people is exported, and an erasure removes what it says.

use std::{collections::BTreeMap, sync::Arc};

use mis_core::SchoolId;
use outbox::{Sql, SystemClock, on_pool, on_tx};
use serde_json::{Value, json};

use super::{
    EraseError, Export, Holds, TABLES, erase, export, find, mentions, preview, take_lines,
};
use crate::{operator::Actor, settings::Settings, store::Store};

/// Both databases, as far as they are installed, with the folder of the file.
async fn stores() -> Vec<(Store, tempfile::TempDir)> {
    let folder = || tempfile::tempdir().unwrap();
    let first = folder();
    let mut urls = vec![(format!("sqlite:{}/m.db", first.path().display()), first)];
    if let Some(server) = throwaway_postgres::shared().unwrap() {
        urls.push((server.create_database().unwrap(), folder()));
    }
    let mut stores = Vec::new();
    for (url, folder) in urls {
        let settings = outbox::Settings::default();
        let store = Store::open(&url, settings, Arc::new(SystemClock)).await;
        stores.push((store.unwrap(), folder));
    }
    stores
}

static NAMES: Sql = Sql::new(
    "{SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%'\
     |SELECT CAST(table_name AS TEXT) FROM information_schema.tables WHERE table_schema = 'public'}",
);

#[tokio::test]
async fn each_table_is_known_to_hold_people_or_not() {
    for (store, _folder) in stores().await {
        let text = NAMES.on(store.database().engine());
        let names: Vec<String> =
            on_pool!(store.database(), pool => sqlx::query_scalar(text).fetch_all(pool).await)
                .unwrap();
        let mut found: Vec<&str> = names
            .iter()
            .map(String::as_str)
            .filter(|name| !name.ends_with("_migrations"))
            .collect();
        found.sort_unstable();
        // On PostgreSQL the queue's numbers are a sequence.
        let is_table = |name: &&str| {
            *name != "outbox_numbers" || store.database().engine() == outbox::Engine::Sqlite
        };
        let mut listed: Vec<&str> = TABLES
            .iter()
            .map(|(name, _)| *name)
            .filter(is_table)
            .collect();
        listed.sort_unstable();
        assert_eq!(found, listed, "say in `tables.rs` what a new table holds");
    }
}

const EVENT: &str = r#"{"id":"e1","person":"P1","kind":"sign_in","at":"2024-11-25T09:20:00Z"}"#;

/// What is kept about the pupil P1 in each table with people, and about P2 in some.
fn rows() -> Vec<(&'static str, String)> {
    let event = |id: &str, person: &str, state: &str| {
        format!(
            "INSERT INTO markback_events (school, id, person, body, state, student, day, session, received_ms, settled_ms) \
             VALUES ('A1', '{id}', '{person}', '{}', '{state}', '{person}', '2024-11-25', 'AM', 1, 2)",
            EVENT.replace("P1", person).replace("e1", id)
        )
    };
    let roster = |table: &str, kind: &str, id: &str, body: &str| {
        format!(
            "INSERT INTO markback_roster_{table} (school, kind, id, body) VALUES ('A1', '{kind}', '{id}', '{body}')"
        )
    };
    let directory = |person: &str| {
        format!(
            "INSERT INTO markback_roster_directory (school, kind, sort, id, person, present) \
             VALUES ('A1', 'student', 'id', '{person}', '{person}', '{person}')"
        )
    };
    vec![
        ("markback_events", event("e1", "P1", "confirmed")),
        ("", event("e2", "P2", "confirmed")),
        (
            "markback_audit",
            "INSERT INTO markback_audit VALUES ('A1', 'e1', 1, 'planned', '{}')".into(),
        ),
        (
            "",
            "INSERT INTO markback_audit VALUES ('A1', 'e2', 1, 'planned', '{}')".into(),
        ),
        (
            "markback_snapshots",
            "INSERT INTO markback_snapshots (school, event, look, decided_ms, job, mis_part, body) \
             VALUES ('A1', 'e1', 0, 1, 1, 'x', '{}')"
                .into(),
        ),
        (
            "markback_ledger",
            "INSERT INTO markback_ledger (school, student, day, session) VALUES ('A1', 'P1', '2024-11-25', 'AM')"
                .into(),
        ),
        (
            "",
            "INSERT INTO markback_ledger (school, student, day, session) VALUES ('A1', 'P2', '2024-11-25', 'AM')"
                .into(),
        ),
        (
            "markback_register",
            "INSERT INTO markback_register (school, slot, student, row_key, generation, written_ms) \
             VALUES ('A1', 's', 'P1', 'r', 1, 1)"
                .into(),
        ),
        (
            "markback_feed",
            r#"INSERT INTO markback_feed (seq, school, kind, at_ms, body) VALUES (1, 'A1', 'event', 1, '{"id":"e1","person":"P1"}')"#
                .into(),
        ),
        (
            "",
            r#"INSERT INTO markback_feed (seq, school, kind, at_ms, body) VALUES (2, 'A1', 'event', 1, '{"id":"e2","person":"P2"}')"#
                .into(),
        ),
        (
            "markback_feed_deliveries",
            "INSERT INTO markback_feed_deliveries VALUES ('w1', 1, 'delivered', 0, 1, 1)".into(),
        ),
        (
            "markback_feed_attempts",
            "INSERT INTO markback_feed_attempts VALUES ('w1', 1, 1, 1, 200, NULL)".into(),
        ),
        (
            "markback_audit_log_entries",
            "INSERT INTO markback_audit_log_entries (at_ms, kind, action, school, subject, via) \
             VALUES (1, 'look', 'event_shown', 'A1', 'e1', 'API')"
                .into(),
        ),
        ("markback_roster_directory", directory("P1")),
        ("", directory("P2")),
        (
            "markback_roster_keys",
            roster("keys", "student", "P1", r#"{"ids":["P1"],"seen":"2024-11-25"}"#),
        ),
        (
            "markback_roster_former",
            roster(
                "former",
                "Year 7",
                "P1",
                r#"{"group":"Year 7","left":"2024-11-20","member":{"key":"P1","person":{"kind":"student","id":"P1"}}}"#,
            ),
        ),
        (
            "markback_roster_changes",
            "INSERT INTO markback_roster_changes VALUES ('A1', 1, 1, 'Year 7', 'P1', '{}')".into(),
        ),
        (
            "markback_roster_syncs",
            r#"INSERT INTO markback_roster_syncs (school, id, why, extent, state, asked_ms, report)
               VALUES ('A1', 's1', 'asked', 'full', 'done', 1, '{"in_no_group":{"count":2,"people":[{"key":"P1"},{"key":"P2"}]}}')"#
                .into(),
        ),
        (
            "markback_roster_pulls",
            r#"INSERT INTO markback_roster_pulls VALUES ('A1', 'student', '{"records":[{"id":"P1"},{"id":"P2"}]}')"#
                .into(),
        ),
        (
            "outbox_jobs",
            "INSERT INTO outbox_jobs (id, seq, queue, key, order_key, partition_key, throttle_key, state, due_at, run_at, set_at, created_at, payload) \
             VALUES (901, 901, 'decide', 'A1/0#e1', 'A1/P1', 'A1', '', 2, 1, 1, 1, 1, '{}')"
                .into(),
        ),
        (
            "",
            "INSERT INTO markback_roster_schools (school, seq, pruned_seq, known, ready, synced_ms) VALUES ('A1', 1, 0, '{\"kinds\":{},\"lists\":{}}', 1, 1)"
                .into(),
        ),
    ]
}

/// What is kept of somebody whom the school still has.
fn present() -> Vec<(&'static str, String)> {
    let roster = |table: &str, kind: &str, body: &str| {
        format!(
            "INSERT INTO markback_roster_{table} (school, kind, id, body) VALUES ('A1', '{kind}', 'P1', '{body}')"
        )
    };
    vec![
        (
            "markback_roster_records",
            roster("records", "student", r#"{"kind":"student","id":"P1"}"#),
        ),
        (
            "markback_roster_members",
            roster(
                "members",
                "Year 8",
                r#"{"key":"P1","person":{"kind":"student","id":"P1"}}"#,
            ),
        ),
    ]
}

async fn run(store: &Store, statements: Vec<(&'static str, String)>) -> Vec<&'static str> {
    let mut tx = store.database().begin().await.unwrap();
    let mut tables = Vec::new();
    for (table, text) in statements {
        let text = sqlx::AssertSqlSafe(text);
        on_tx!(tx, conn => sqlx::query(text).execute(conn).await.map(|_| ())).unwrap();
        tables.push(table);
    }
    tx.commit().await.unwrap();
    tables.retain(|table| !table.is_empty());
    tables
}

async fn kept(store: &Store, person: &str) -> Export {
    let settings = Settings::default();
    let school = SchoolId::from("A1");
    let subject = find(store, &settings, &school, person, None).await.unwrap();
    export(store, &settings, &subject).await.unwrap()
}

fn because(reason: Option<&str>) -> Actor {
    Actor {
        via: "command line",
        note: reason.map(str::to_owned),
        ..Actor::default()
    }
}

#[tokio::test]
async fn each_table_with_people_is_exported() {
    for (store, _folder) in stores().await {
        let mut filled = run(&store, rows()).await;
        filled.extend(run(&store, present()).await);
        let mut listed: Vec<&str> = TABLES
            .iter()
            .filter(|(_, holds)| *holds == Holds::People)
            .map(|(name, _)| *name)
            .collect();
        filled.sort_unstable();
        listed.sort_unstable();
        assert_eq!(filled, listed, "this test has a row for each table");

        let found = kept(&store, "P1").await;
        let counts = found.counts();
        assert_eq!(counts.len(), listed.len(), "{counts:?}");
        assert!(counts.values().all(|count| *count == 1), "{counts:?}");
        let document = found.document();
        // Others are not in it, not even those on the same list.
        assert!(!mentions(&document, &["P2", "e2"].into()), "{document}");
        assert_eq!(
            document["kept"]["sync_reports"][0]["lines"],
            json!([{"key": "P1"}])
        );
        assert_eq!(document["kept"]["outbox_jobs"], Value::Null);
        assert_eq!(document["kept"]["jobs"][0]["state"], json!(2));
    }
}

#[tokio::test]
async fn all_of_somebody_who_has_left_goes_but_what_must_stay() {
    let settings = Settings::default();
    let school = SchoolId::from("A1");
    for (store, _folder) in stores().await {
        run(&store, rows()).await;
        let before = kept(&store, "P2").await.counts();
        let subject = find(&store, &settings, &school, "P1", None).await.unwrap();
        let told = preview(&store, &settings, &subject).await.unwrap();
        let none = erase(&store, &settings, &subject, &because(None)).await;
        assert!(matches!(none, Err(EraseError::NoReason)));
        let done = erase(&store, &settings, &subject, &because(Some("request 1"))).await;
        let done = done.unwrap();
        assert!(done.done && !told.done);
        assert_eq!((&done.removed, &done.stays), (&told.removed, &told.stays));

        let left = kept(&store, "P1").await;
        let expected: BTreeMap<&str, usize> = [
            // The entry of its own erasure is found by the hash.
            ("audit_log", 1),
            ("group_changes", 1),
            ("register", 1),
            ("syncs_on_their_way", 1),
        ]
        .into();
        assert_eq!(left.counts(), expected);
        let stays: Vec<&str> = done.stays.iter().map(|stays| stays.what.as_str()).collect();
        assert_eq!(
            stays,
            [
                "audit_log",
                "group_changes",
                "register",
                "syncs_on_their_way"
            ]
        );
        assert_eq!(kept(&store, "P2").await.counts(), before);
        // It can be repeated.
        let subject = find(&store, &settings, &school, "P1", None).await.unwrap();
        let again = erase(&store, &settings, &subject, &because(Some("request 1"))).await;
        assert!(!again.unwrap().done);
    }
}

#[tokio::test]
async fn somebody_whom_the_school_has_stays_in_the_directory() {
    let settings = Settings::default();
    for (store, _folder) in stores().await {
        run(&store, rows()).await;
        run(&store, present()).await;
        let school = SchoolId::from("A1");
        let subject = find(&store, &settings, &school, "P1", None).await.unwrap();
        let done = erase(&store, &settings, &subject, &because(Some("request 2"))).await;
        assert!(done.unwrap().done);
        let left = kept(&store, "P1").await.counts();
        for (what, count) in [
            ("directory", Some(&1)),
            ("records", Some(&1)),
            ("identities", Some(&1)),
            ("groups", Some(&1)),
            ("events", None),
            ("former_groups", None),
        ] {
            assert_eq!(left.get(what), count, "{what}");
        }
    }
}

#[tokio::test]
async fn nothing_goes_while_something_is_open() {
    let settings = Settings::default();
    let school = SchoolId::from("A1");
    let cases = [
        (
            "UPDATE markback_events SET state = 'accepted'",
            "not known yet",
        ),
        (
            "UPDATE markback_events SET state = 'held'",
            "waits for a person",
        ),
        (
            "UPDATE markback_events SET state = 'rejected'",
            "waits for a person",
        ),
        (
            "UPDATE markback_events SET state = 'superseded', day = '9999-01-01'",
            "the day is past",
        ),
        (
            "UPDATE markback_ledger SET day = '9999-01-01'",
            "the day is past",
        ),
    ];
    for (store, _folder) in stores().await {
        run(&store, rows()).await;
        for (change, why) in cases {
            let reset = "UPDATE markback_events SET state = 'confirmed', day = '2024-11-25'";
            let reset = [
                reset,
                "UPDATE markback_ledger SET day = '2024-11-25'",
                change,
            ];
            run(&store, reset.map(|text| ("", text.to_owned())).into()).await;
            let subject = find(&store, &settings, &school, "P1", None).await.unwrap();
            let refused = erase(&store, &settings, &subject, &because(Some("request 3"))).await;
            let refused = refused.unwrap();
            assert!(!refused.done, "{change}");
            assert!(
                refused.open[0].why.contains(why),
                "{change}: {:?}",
                refused.open
            );
            assert!(kept(&store, "P1").await.counts().contains_key("events"));
        }
    }
}

#[test]
fn a_line_of_a_report_is_taken_from_its_list_only() {
    let mut report = json!({
        "migrations": [{"kind": "student", "matched": {"count": 2, "list": [["P1", "Q1"], ["P2", "Q2"]]}}],
        "one_person": {"count": 1, "people": [["P1", ["P1", "P9"]]]},
        "groups": {"Year 7": {"joined": 1}},
    });
    let taken = take_lines(&mut report, &["P1"].into());
    assert_eq!(taken.len(), 2);
    assert_eq!(
        report,
        json!({
            "migrations": [{"kind": "student", "matched": {"count": 2, "list": [["P2", "Q2"]]}}],
            "one_person": {"count": 1, "people": []},
            "groups": {"Year 7": {"joined": 1}},
        })
    );
}
