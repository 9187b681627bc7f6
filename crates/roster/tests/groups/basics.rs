//! Students by year: the first pull, small ones, and finding a person.

use crate::model::{School, day, group, keys, student};
use chrono::TimeDelta;
use roster::{Directory, PersonKind, Settings};
use serde_json::json;

fn settings() -> Settings {
    Settings::new(vec![
        group("Lower", PersonKind::Student, json!({"years": [7, 8]})),
        group("Upper", PersonKind::Student, json!({"years": ["Year 9"]})),
    ])
}

fn school() -> School {
    let school = School::new();
    for (n, year) in ["7", "08", "Yr 9", "Year 10"].into_iter().enumerate() {
        school.put(student(n, year));
    }
    school
}

#[tokio::test]
async fn a_first_pull_fills_the_groups_and_reports_ungrouped_people() {
    let school = school();
    let outcome = school.sync(&Default::default(), &settings(), false).await;
    assert_eq!(keys(&outcome.state, "Lower"), ["S0000", "S0001"]);
    assert_eq!(keys(&outcome.state, "Upper"), ["S0002"]);
    let ungrouped: Vec<_> = outcome
        .report
        .ungrouped
        .iter()
        .map(|s| s.person.as_str())
        .collect();
    assert_eq!(ungrouped, ["S0003"]);
    assert_eq!(outcome.changes.len(), 3);
    assert_eq!(outcome.report.groups["Lower"].joined, 2);
}

#[tokio::test]
async fn an_incremental_sync_applies_changes() {
    let mut school = school();
    let state = school.first(&settings()).await;
    school.wait(TimeDelta::hours(5));
    school.edit(PersonKind::Student, "S0001", |person| {
        person.year = Some("9".into())
    });
    school.put(student(9, "7"));
    school.delete(PersonKind::Student, "S0000");
    let before = school.requests();
    let state = school.sync(&state, &settings(), false).await.state;
    assert_eq!(school.requests() - before, 2);
    assert_eq!(keys(&state, "Lower"), ["S0009"]);
    assert_eq!(keys(&state, "Upper"), ["S0001", "S0002"]);
}

#[tokio::test]
async fn the_directory_finds_people_by_current_and_former_ids() {
    let mut school = school();
    let state = school.first(&settings()).await;
    school.wait(TimeDelta::hours(1));
    school.delete(PersonKind::Student, "S0000");
    school.put(mis_core::Person {
        id: "S7777".into(),
        ..student(0, "7")
    });
    let state = school.sync(&state, &settings(), false).await.state;
    let directory = Directory::new(&state, day("2026-11-23"));
    for id in ["S0000", "S7777"] {
        let entry = directory.find(id).unwrap();
        assert_eq!((entry.key.as_str(), entry.id.as_str()), ("S0000", "S7777"));
        assert_eq!(entry.group.as_deref(), Some("Lower"));
    }
    assert_eq!(directory.find("S0003").unwrap().group, None);
    assert!(directory.find("S9999").is_none());
    let ids = directory
        .ids()
        .map(|(sort, id, entry)| (sort, id.to_owned(), entry.clone()));
    let stored = Directory::from_ids(ids.collect::<Vec<_>>());
    assert_eq!(stored.find("S0000"), directory.find("S7777"));
    assert_eq!(stored.len(), directory.len());
}
