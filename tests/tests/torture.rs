//! Short rounds of the torture test on both stores, with a fixed seed. `cargo xtask torture` runs long rounds with
//! fresh seeds.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failed assertion may panic"
)]

use std::time::Duration;

use markback_tests::torture::{Plan, Report, StoreKind, run};
use rstest::rstest;
use tokio::sync::Mutex;
use wonde_sandbox::FaultRule;

/// Rounds run one at a time, because each needs the whole machine.
static TURN: Mutex<()> = Mutex::const_new(());

fn plan(store: StoreKind) -> Plan {
    Plan {
        program: env!("CARGO_BIN_EXE_markback-under-test").to_owned(),
        seed: 20_261_123,
        store,
        nodes: 1,
        duration: Duration::from_secs(10),
        rate: 40,
        kills: false,
        freezes: false,
        restarts: false,
        faults: 0.0,
        settings: false,
    }
}

/// Runs one round; `None` without PostgreSQL.
async fn round(plan: Plan) -> Option<Report> {
    let _turn = TURN.lock().await;
    if plan.store == StoreKind::Postgres && throwaway_postgres::shared().unwrap().is_none() {
        return None;
    }
    let report = run(&plan).await;
    println!("{report}");
    assert!(report.is_clean(), "\n{report}");
    Some(report)
}

#[rstest]
#[case(StoreKind::Sqlite)]
#[case(StoreKind::Postgres)]
#[tokio::test(flavor = "multi_thread")]
async fn repeated_kills_lose_nothing_and_write_nothing_twice(#[case] store: StoreKind) {
    let plan = Plan {
        kills: true,
        ..plan(store)
    };
    if let Some(report) = round(plan).await {
        assert_eq!(report.doubled, 0, "\n{report}");
    }
}

#[rstest]
#[case(StoreKind::Sqlite)]
#[case(StoreKind::Postgres)]
#[tokio::test(flavor = "multi_thread")]
async fn every_fault_of_wonde_and_the_mis_is_survived(#[case] store: StoreKind) {
    let plan = Plan {
        faults: 0.15,
        ..plan(store)
    };
    if let Some(report) = round(plan).await {
        for rule in FaultRule::one_of_each(0) {
            let kind = rule.fault.name();
            assert!(
                report.faults.contains_key(kind),
                "no fault {kind}\n{report}"
            );
        }
    }
}

#[rstest]
#[case(2)]
#[case(3)]
#[tokio::test(flavor = "multi_thread")]
async fn nodes_on_one_database_survive_kills_freezes_and_restarts(#[case] nodes: usize) {
    let plan = Plan {
        nodes,
        kills: true,
        freezes: true,
        restarts: true,
        ..plan(StoreKind::Postgres)
    };
    round(plan).await;
}

#[rstest]
#[case(StoreKind::Sqlite, 1)]
#[case(StoreKind::Postgres, 2)]
#[tokio::test(flavor = "multi_thread")]
async fn each_mark_is_the_one_that_its_version_of_the_settings_prescribes(
    #[case] store: StoreKind,
    #[case] nodes: usize,
) {
    let plan = Plan {
        nodes,
        kills: true,
        settings: true,
        ..plan(store)
    };
    if let Some(report) = round(plan).await {
        let (changes, versions, codes) = report.settings();
        assert!(changes > 1 && versions > 5, "\n{report}");
        assert!(codes.iter().all(|events| *events > 0), "\n{report}");
    }
}
