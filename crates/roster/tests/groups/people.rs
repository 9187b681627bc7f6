//! One person over time: enrolled again, with siblings, with a namesake; joining and leaving on their days.

use chrono::TimeDelta;
use mis_core::{Person, Relation};
use roster::{Cause, ChangeKind, Directory, Field, PersonKey, PersonKind, Settings};
use serde_json::json;

use crate::model::{School, day, group, keys, parent, student};

fn everybody() -> Settings {
    Settings::new(vec![
        group("Students", PersonKind::Student, json!({})),
        group("Parents", PersonKind::Parent, json!({})),
    ])
}

#[tokio::test]
async fn a_pupil_who_comes_back_is_the_same_person() {
    let mut school = School::new();
    school.put(student(1, "7"));
    school.put(student(2, "7"));
    let state = school.first(&everybody()).await;
    // Leaves, and is not listed for a while.
    school.wait(TimeDelta::days(1));
    school.edit(PersonKind::Student, "S0001", |person| {
        person.leaves = Some(day("2026-11-24"));
    });
    let state = school.sync(&state, &everybody(), false).await.state;
    school.wait(TimeDelta::days(3));
    school.take_out(PersonKind::Student, "S0001");
    let state = school.sync(&state, &everybody(), true).await.state;
    assert_eq!(keys(&state, "Students"), ["S0002"]);
    // Enrols again: another id, another key in the MIS, the same upi.
    school.wait(TimeDelta::days(3));
    school.put(Person {
        id: "S5555".into(),
        mis_id: Some("5555".into()),
        joins: Some(school.today()),
        ..student(1, "8")
    });
    let outcome = school.sync(&state, &everybody(), false).await;
    assert_eq!(keys(&outcome.state, "Students"), ["S0001", "S0002"]);
    let directory = Directory::new(&outcome.state, school.today());
    assert_eq!(directory.find("S0001").unwrap().id, "S5555");
}

#[tokio::test]
async fn the_newer_record_of_a_re_enrolled_pupil_applies() {
    let mut school = School::new();
    school.put(student(1, "7"));
    let state = school.first(&everybody()).await;
    school.wait(TimeDelta::hours(2));
    school.edit(PersonKind::Student, "S0001", |person| {
        person.leaves = Some(day("2026-11-22"));
    });
    school.put(Person {
        id: "S5555".into(),
        joins: Some(day("2026-11-23")),
        ..student(1, "8")
    });
    let outcome = school.sync(&state, &everybody(), false).await;
    let [change] = outcome.changes.as_slice() else {
        panic!("{:?}", outcome.changes);
    };
    let ChangeKind::Changed { member, fields } = &change.kind else {
        panic!("{change:?}");
    };
    assert_eq!(
        (change.person.as_str(), member.person.id.as_str()),
        ("S0001", "S5555")
    );
    assert!(fields.contains(&Field::Id));
    // The old record goes for good: nothing happens to the person.
    school.wait(TimeDelta::hours(2));
    school.delete(PersonKind::Student, "S0001");
    let outcome = school.sync(&outcome.state, &everybody(), false).await;
    assert_eq!(keys(&outcome.state, "Students"), ["S0001"]);
    assert!(outcome.changes.is_empty(), "{:?}", outcome.changes);
}

#[tokio::test]
async fn a_parent_of_siblings_is_one_person() {
    let school = School::new();
    let child = |n, contact: &str| Person {
        contacts: vec![Relation::new(contact)],
        ..student(n, "7")
    };
    // Once for both, and once for each, as some MISs do.
    school.put(child(1, "C0001"));
    school.put(child(2, "C0001"));
    school.put(child(3, "C0002"));
    school.put(child(4, "C0003"));
    school.put(parent(1));
    school.put(parent(2));
    school.put(Person {
        id: "C0003".into(),
        ..parent(2)
    });
    let state = school.first(&everybody()).await;
    assert_eq!(keys(&state, "Parents"), ["C0001", "C0002"]);
    let children = &state.lists["Parents"].members[&PersonKey::new("C0002")].children;
    assert_eq!(children.len(), 2);
}

#[tokio::test]
async fn namesakes_are_two_people() {
    let school = School::new();
    for n in [1, 2] {
        school.put(Person {
            forename: Some("Zoë".into()),
            surname: Some("O’Brien-Nguyễn".into()),
            ..student(n, "7")
        });
        school.put(Person {
            upi: None,
            ..parent(n)
        });
    }
    let state = school.first(&everybody()).await;
    assert_eq!(keys(&state, "Students").len(), 2);
    assert_eq!(state.kinds[&PersonKind::Parent].keys.iter().count(), 2);
}

#[tokio::test]
async fn leavers_and_joiners_follow_their_dates() {
    let mut school = School::new();
    school.put(student(1, "7"));
    school.put(Person {
        leaves: Some(day("2026-11-24")),
        ..student(2, "7")
    });
    school.put(Person {
        joins: Some(day("2026-11-25")),
        ..student(3, "7")
    });
    let mut state = school.first(&everybody()).await;
    let mut lists = vec![keys(&state, "Students").join(" ")];
    for _ in 0..2 {
        school.wait(TimeDelta::days(1));
        // Nothing is read: the day alone does it.
        let outcome = state.apply(&everybody(), &Default::default(), school.when(), false);
        lists.push(keys(&outcome.state, "Students").join(" "));
        if let Some(left) = outcome
            .changes
            .iter()
            .find(|change| change.person.as_str() == "S0002")
        {
            let cause = Cause::LeftSchool {
                on: day("2026-11-24"),
            };
            assert_eq!(left.kind, ChangeKind::Left { cause });
        }
        state = outcome.state;
    }
    assert_eq!(lists, ["S0001 S0002", "S0001 S0002", "S0001 S0003"]);
}

#[tokio::test]
async fn a_whole_year_group_can_leave_with_the_parents() {
    let mut school = School::new();
    for n in 0..40 {
        school.put(Person {
            leaves: Some(day("2026-11-23")),
            contacts: vec![Relation::new(format!("C{n:04}"))],
            ..student(n, "11")
        });
        school.put(parent(n));
    }
    let state = school.first(&everybody()).await;
    school.wait(TimeDelta::days(1));
    let outcome = school.sync(&state, &everybody(), false).await;
    assert!(outcome.report.held.is_empty(), "{:?}", outcome.report.held);
    assert!(keys(&outcome.state, "Students").is_empty());
    assert!(keys(&outcome.state, "Parents").is_empty());
    let children_left = |change: &&roster::Change| {
        change.kind
            == ChangeKind::Left {
                cause: Cause::ChildrenLeft,
            }
    };
    assert_eq!(outcome.changes.iter().filter(children_left).count(), 40);
}

#[tokio::test]
async fn leavers_are_kept_for_a_time_and_then_deleted() {
    let mut school = School::new();
    school.put(student(1, "7"));
    school.put(Person {
        leaves: Some(day("2026-11-23")),
        ..student(2, "7")
    });
    let state = school.first(&everybody()).await;
    school.wait(TimeDelta::days(1));
    let state = school.sync(&state, &everybody(), false).await.state;
    assert_eq!(state.former.len(), 1);
    let written = serde_json::to_string(&state).unwrap();
    assert!(written.contains("Family2"));
    // The MIS may still list them.
    school.wait(TimeDelta::days(31));
    let state = school.sync(&state, &everybody(), true).await.state;
    let written = serde_json::to_string(&state).unwrap();
    assert!(
        !written.contains("Family2") && !written.contains("S0002"),
        "{written}"
    );
    assert!(written.contains("Family1"));
}

#[tokio::test]
async fn only_properties_named_in_the_settings_are_kept() {
    let school = School::new();
    school.put(Person {
        email: Some("pupil@school.example".into()),
        phone: Some("07700 900123".into()),
        house: Some("Curie".into()),
        gender: Some("F".into()),
        born: Some(day("2014-05-06")),
        ..student(1, "7")
    });
    let named = |properties: serde_json::Value| {
        Settings::new(vec![group(
            "S",
            PersonKind::Student,
            json!({"properties": properties}),
        )])
    };
    let wide = school
        .first(&named(json!(["name", "email", "house"])))
        .await;
    let written = serde_json::to_string(&wide).unwrap();
    assert!(written.contains("pupil@school.example") && written.contains("Curie"));
    for secret in ["07700", "2014-05-06", "gender", "7A"] {
        assert!(!written.contains(secret), "{secret} in {written}");
    }
    // Named no more, gone at the next sync, however small.
    let narrow = named(json!(["name"]));
    let outcome = school.sync(&wide, &narrow, false).await;
    let written = serde_json::to_string(&outcome.state).unwrap();
    assert!(
        !written.contains("pupil@") && !written.contains("Curie"),
        "{written}"
    );
    // Nor does a log show any of it.
    let shown = format!("{outcome:?} {wide:?}");
    for secret in ["Given1", "Family1", "pupil@", "Curie"] {
        assert!(!shown.contains(secret), "{secret} in {shown}");
    }
}

#[tokio::test]
async fn properties_used_by_conditions_are_kept_but_not_published() {
    let school = School::new();
    school.put(Person {
        house: Some("Curie".into()),
        ..student(1, "7")
    });
    let settings = Settings::new(vec![group(
        "Curie",
        PersonKind::Student,
        json!({"houses": ["Curie"], "properties": ["name"]}),
    )]);
    let state = school.first(&settings).await;
    let member = &state.lists["Curie"].members[&PersonKey::new("S0001")];
    assert_eq!(member.person.house, None);
    assert_eq!(member.person.year, None);
    assert_eq!(member.person.surname.as_deref(), Some("Family1"));
}

#[tokio::test]
async fn added_properties_are_read_in_the_next_sync() {
    let mut school = School::new();
    school.put(Person {
        email: Some("pupil@school.example".into()),
        ..student(1, "7")
    });
    let state = school.first(&everybody()).await;
    school.wait(TimeDelta::hours(1));
    let settings = Settings::new(vec![group(
        "Students",
        PersonKind::Student,
        json!({"properties": ["name", "email"]}),
    )]);
    let outcome = school.sync(&state, &settings, false).await;
    let member = &outcome.state.lists["Students"].members[&PersonKey::new("S0001")];
    assert_eq!(member.person.email.as_deref(), Some("pupil@school.example"));
    assert_eq!(member.person.year, None);
}
