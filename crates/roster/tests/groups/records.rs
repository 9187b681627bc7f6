//! Records as MISs really keep them: values nobody can read, dates that contradict each other, parents kept once for
//! each child, and pupils who are yet to start.

use chrono::TimeDelta;
use mis_core::{Person, Relation};
use roster::{
    Cause, ChangeKind, DateDecision, HeldBack, HoldReason, PersonKind, Persons, Property,
    RosterState, Settings,
};
use serde_json::json;

use crate::model::{School, day, group, keys, parent, staff, student};

fn years() -> Settings {
    Settings::new(vec![
        group("Sevens", PersonKind::Student, json!({"years": [7]})),
        group("Eights", PersonKind::Student, json!({"years": [8]})),
        group("Staff", PersonKind::Staff, json!({})),
    ])
}

/// 40 pupils of Year 7, and four of staff.
fn school() -> School {
    let mut school = School::new();
    for n in 0..40 {
        school.put(student(n, "7"));
    }
    for n in 0..4 {
        school.put(staff(n, true));
    }
    school.wait(TimeDelta::days(1));
    school
}

#[tokio::test]
async fn an_unreadable_value_is_reported_and_excludes_nobody() {
    let school = school();
    school.world().unread = vec![
        (
            PersonKind::Student,
            Some("S0005"),
            "education_details.admission_date",
        ),
        (PersonKind::Student, None, "id"),
    ];
    let outcome = school.sync(&RosterState::default(), &years(), true).await;
    assert!(outcome.report.held.is_empty(), "{:?}", outcome.report.held);
    assert_eq!(keys(&outcome.state, "Sevens").len(), 40);
    let told: Vec<_> = outcome
        .report
        .unread
        .iter()
        .map(|unread| {
            (
                unread.kind,
                unread.issue.id.as_deref(),
                unread.issue.left_out,
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            (PersonKind::Student, Some("S0005"), false),
            (PersonKind::Student, None, true),
        ]
    );
}

#[tokio::test]
async fn known_values_survive_an_unreadable_record() {
    let mut school = school();
    let state = school.first(&years()).await;
    school.wait(TimeDelta::days(1));
    school.world().unread = vec![(PersonKind::Student, Some("S0005"), "year.id")];
    school.edit(PersonKind::Student, "S0005", |person| person.year = None);
    for full in [true, false] {
        let outcome = school.sync(&state, &years(), full).await;
        assert!(outcome.changes.is_empty(), "{:?}", outcome.changes);
        assert_eq!(outcome.report.unread.len(), 1);
    }
}

#[tokio::test]
async fn too_many_unreadable_records_hold_back_the_kind_until_accepted() {
    let school = school();
    let ids = [
        "S0000", "S0001", "S0002", "S0003", "S0004", "S0005", "S0006", "S0007", "S0008",
    ];
    school.world().unread = ids
        .iter()
        .map(|id| (PersonKind::Student, Some(*id), "year.id"))
        .collect();
    let outcome = school.sync(&RosterState::default(), &years(), true).await;
    let held = HeldBack::Kind {
        kind: PersonKind::Student,
        doubt: HoldReason::Unread { records: 9, of: 40 },
    };
    assert_eq!(outcome.report.held, [held]);
    assert!(!outcome.state.lists.contains_key("Sevens"));
    assert_eq!(
        keys(&outcome.state, "Staff").len(),
        4,
        "the others are right"
    );
    let answers = school.read(&outcome.state, &years(), true).await;
    let accepted = outcome.state.apply(&years(), &answers, school.when(), true);
    assert_eq!(keys(&accepted.state, "Sevens").len(), 40);
    // The share is a setting.
    let lax = Settings {
        persons: Persons {
            max_unread: 30,
            ..Persons::default()
        },
        ..years()
    };
    let outcome = school.sync(&RosterState::default(), &lax, true).await;
    assert!(outcome.report.held.is_empty());
}

#[tokio::test]
async fn nobody_is_removed_while_a_record_has_no_id() {
    let mut school = school();
    let state = school.first(&years()).await;
    school.wait(TimeDelta::days(1));
    school.take_out(PersonKind::Student, "S0003");
    school.world().unread = vec![(PersonKind::Student, None, "")];
    let outcome = school.sync(&state, &years(), true).await;
    let held = HeldBack::Kind {
        kind: PersonKind::Student,
        doubt: HoldReason::LeftOut {
            records: 1,
            gone: 1,
        },
    };
    assert_eq!(outcome.report.held, [held]);
    assert_eq!(keys(&outcome.state, "Sevens").len(), 40);
    school.world().unread.clear();
    let outcome = school.sync(&outcome.state, &years(), true).await;
    assert_eq!(keys(&outcome.state, "Sevens").len(), 39);
}

#[tokio::test]
async fn contradictory_dates_are_reported_and_exclude_nobody() {
    let school = school();
    let today = "2026-11-24";
    school.edit(PersonKind::Student, "S0001", |person| {
        person.joins = Some(day("2026-09-03"));
        person.leaves = Some(day("2025-07-18"));
    });
    school.edit(PersonKind::Student, "S0002", |person| {
        person.leaves = Some(day("1900-01-01"));
    });
    school.edit(PersonKind::Student, "S0003", |person| {
        person.leaves = Some(day("2025-07-18"));
    });
    school.edit(PersonKind::Student, "S0004", |person| {
        person.leaves = Some(day("2026-11-20"));
    });
    school.edit(PersonKind::Staff, "E0001", |person| {
        person.leaves = Some(day("2024-08-31"));
    });
    let outcome = school.sync(&RosterState::default(), &years(), true).await;
    assert_eq!(school.today(), day(today));
    let sevens = keys(&outcome.state, "Sevens");
    assert!(
        ["S0001", "S0002", "S0003"]
            .iter()
            .all(|id| sevens.contains(&(*id).to_owned()))
    );
    assert!(
        !sevens.contains(&"S0004".to_owned()),
        "that date is no old one"
    );
    assert_eq!(keys(&outcome.state, "Staff").len(), 4);
    let told: Vec<_> = outcome
        .report
        .dates
        .iter()
        .map(|decided| (decided.person.as_str(), decided.decision))
        .collect();
    assert_eq!(
        told,
        [
            ("S0001", DateDecision::EarlierStay),
            ("S0002", DateDecision::NoDate),
            ("S0003", DateDecision::StillListed),
            ("E0001", DateDecision::StillEmployed),
        ]
    );
}

#[tokio::test]
async fn a_leaver_who_stays_listed_does_not_return() {
    let mut school = school();
    school.edit(PersonKind::Student, "S0001", |person| {
        person.leaves = Some(day("2026-11-25"));
    });
    let mut state = school.first(&years()).await;
    for _ in 0..50 {
        school.wait(TimeDelta::days(2));
        state = school.sync(&state, &years(), true).await.state;
        let left = !keys(&state, "Sevens").contains(&"S0001".to_owned());
        assert!(left, "back on {}", school.today());
    }
    // Enrolled again, with the old date still there.
    school.edit(PersonKind::Student, "S0001", |person| {
        person.joins = Some(day("2027-01-10"));
    });
    state = school.sync(&state, &years(), true).await.state;
    assert!(keys(&state, "Sevens").contains(&"S0001".to_owned()));
}

fn families(same_parent: bool) -> Settings {
    Settings {
        persons: Persons {
            same_parent,
            ..Persons::default()
        },
        ..Settings::new(vec![
            group("Pupils", PersonKind::Student, json!({})),
            group(
                "Parents",
                PersonKind::Parent,
                json!({"properties": ["name"]}),
            ),
        ])
    }
}

/// Two siblings, each with a record of the same mother; the father of a third has her number and another name.
fn siblings() -> School {
    let school = School::new();
    for n in 0..3 {
        school.put(Person {
            contacts: vec![Relation::new(format!("C{n:04}"))],
            ..student(n, "7")
        });
    }
    let kept = |n: usize, forename: &str, email: &str, mobile: &str| Person {
        forename: Some(forename.to_owned()),
        surname: Some("Hopper".into()),
        email: Some(email.to_owned()),
        mobile: Some(mobile.to_owned()),
        ..parent(n)
    };
    school.put(kept(0, "Grace", "grace@home.example", "07700 900123"));
    school.put(kept(1, "grace ", "work@office.example", "+44 7700 900123"));
    school.put(kept(2, "Vincent", "vincent@home.example", "07700 900123"));
    school
}

#[tokio::test]
async fn a_parent_stored_per_child_can_be_merged_by_settings() {
    let mut school = siblings();
    let apart = school
        .sync(&RosterState::default(), &families(false), true)
        .await;
    assert_eq!(keys(&apart.state, "Parents"), ["C0000", "C0001", "C0002"]);
    assert!(apart.report.one_person.is_empty());
    school.wait(TimeDelta::days(1));
    let outcome = school.sync(&apart.state, &families(true), true).await;
    assert_eq!(keys(&outcome.state, "Parents"), ["C0000", "C0002"]);
    let children =
        &outcome.state.lists["Parents"].members[&roster::PersonKey::new("C0000")].children;
    assert_eq!(children.len(), 2);
    let left: Vec<_> = outcome
        .changes
        .iter()
        .filter_map(|change| match &change.kind {
            ChangeKind::Left { cause } => Some(cause.clone()),
            _ => None,
        })
        .collect();
    let merged = Cause::Merged {
        into: roster::PersonKey::new("C0000"),
    };
    assert_eq!(left, [merged]);
    let [one] = outcome.report.one_person.as_slice() else {
        panic!("{:?}", outcome.report.one_person);
    };
    assert_eq!(one.records, ["C0000", "C0001"]);
    let member = &outcome.state.lists["Parents"].members[&roster::PersonKey::new("C0000")];
    assert!(member.person.mobile.is_none() && member.person.email.is_none());
    // Without the setting they are two again.
    let outcome = school.sync(&outcome.state, &families(false), true).await;
    assert_eq!(keys(&outcome.state, "Parents"), ["C0000", "C0001", "C0002"]);
}

fn joiners() -> Settings {
    Settings::new(vec![
        group(
            "Sevens",
            PersonKind::Student,
            json!({"years": [7], "pre_admission": true}),
        ),
        group("Eights", PersonKind::Student, json!({"years": [8]})),
    ])
}

fn coming(n: usize, year: &str) -> Person {
    Person {
        pre_admission: true,
        joins: Some(day("2026-12-01")),
        ..student(n, year)
    }
}

#[tokio::test]
async fn future_pupils_can_be_grouped_and_keep_their_keys() {
    let mut school = School::new();
    for n in 0..3 {
        school.put(student(n, "7"));
    }
    school.put(coming(7, "7"));
    school.put(coming(8, "8"));
    let state = school
        .sync(&RosterState::default(), &joiners(), true)
        .await
        .state;
    assert_eq!(keys(&state, "Sevens"), ["S0000", "S0001", "S0002", "S0007"]);
    assert!(
        keys(&state, "Eights").is_empty(),
        "this group waits for the first day"
    );
    // On the first day they are pupils like all others, under new ids at Wonde.
    while school.today() < day("2026-12-01") {
        school.wait(TimeDelta::days(1));
    }
    for n in [7, 8] {
        school.take_out(PersonKind::Student, &format!("S{n:04}"));
        school.put(Person {
            id: format!("S9{n:03}"),
            joins: Some(day("2026-12-01")),
            ..student(n, &n.to_string())
        });
    }
    let outcome = school.sync(&state, &joiners(), true).await;
    assert_eq!(
        keys(&outcome.state, "Sevens"),
        ["S0000", "S0001", "S0002", "S0007"]
    );
    assert_eq!(keys(&outcome.state, "Eights"), ["S0008"]);
    assert!(outcome.report.held.is_empty());
}

#[tokio::test]
async fn the_pupil_number_alone_preserves_the_key() {
    let mut school = School::new();
    let with_upn = |person: Person| Person {
        upn: Some("Z000000000007".into()),
        ..person
    };
    school.put(student(1, "7"));
    school.put(with_upn(Person {
        upi: None,
        mis_id: None,
        ..coming(7, "7")
    }));
    let state = school
        .sync(&RosterState::default(), &joiners(), true)
        .await
        .state;
    school.wait(TimeDelta::days(10));
    school.take_out(PersonKind::Student, "S0007");
    school.put(with_upn(Person {
        id: "S9007".into(),
        ..student(7, "7")
    }));
    let outcome = school.sync(&state, &joiners(), true).await;
    assert_eq!(keys(&outcome.state, "Sevens"), ["S0001", "S0007"]);
    assert!(outcome.report.held.is_empty());
}

#[tokio::test]
async fn a_school_without_access_to_future_pupils_is_still_read() {
    let mut school = School::new();
    school.put(student(1, "7"));
    school.put(coming(7, "7"));
    let state = school
        .sync(&RosterState::default(), &joiners(), true)
        .await
        .state;
    school.world().hides_pre_admission = true;
    school.wait(TimeDelta::days(1));
    for full in [true, false] {
        let outcome = school.sync(&state, &joiners(), full).await;
        assert!(outcome.report.pre_admission_refused);
        assert!(outcome.report.held.is_empty(), "{:?}", outcome.report.held);
        assert_eq!(
            keys(&outcome.state, "Sevens"),
            ["S0001", "S0007"],
            "what was known stays"
        );
    }
    let first = school.sync(&RosterState::default(), &joiners(), true).await;
    assert_eq!(keys(&first.state, "Sevens"), ["S0001"]);
}

#[test]
fn pupil_numbers_are_read_only_if_events_can_use_them() {
    let mut settings = years();
    assert!(!settings.needs()[&PersonKind::Student].contains(&Property::Card));
    settings.persons.numbers = [Property::Card].into();
    assert!(settings.needs()[&PersonKind::Student].contains(&Property::Card));
    assert!(!settings.needs()[&PersonKind::Staff].contains(&Property::Card));
}
