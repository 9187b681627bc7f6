//! A school that changes its MIS: every id is new, and nobody joins or leaves for it.

use chrono::TimeDelta;
use mis_core::{Person, Relation};
use roster::{
    Cause, ChangeKind, Directory, Field, HeldBack, MatchedBy, Migration, PersonKey, PersonKind,
    RosterState, Settings,
};
use serde_json::json;

use crate::model::{School, day, group, keys, parent, staff, student};

fn settings() -> Settings {
    Settings::new(vec![
        group("Sevens", PersonKind::Student, json!({"years": [7]})),
        group(
            "Staff",
            PersonKind::Staff,
            json!({"properties": ["name", "email"]}),
        ),
        group(
            "Parents",
            PersonKind::Parent,
            json!({"properties": ["name", "date_of_birth"]}),
        ),
    ])
}

fn upn(n: usize) -> Option<String> {
    Some(format!("Z{n:012}"))
}

/// 30 pupils with their parents, and 6 of staff.
fn before() -> School {
    let mut school = School::new();
    for n in 0..30 {
        school.put(Person {
            upn: upn(n),
            contacts: vec![Relation::new(format!("C{n:04}"))],
            ..student(n, "7")
        });
        school.put(Person {
            born: Some(day("1985-04-01") + TimeDelta::days(i64::try_from(n).unwrap())),
            ..parent(n)
        });
    }
    for n in 0..6 {
        school.put(Person {
            email: Some(format!("staff{n}@school.example")),
            ..staff(n, true)
        });
    }
    school.wait(TimeDelta::days(1));
    school
}

/// The same people under the ids of another MIS, whose own keys are those of others under the old one.
fn migrate(school: &School) {
    let old: Vec<Person> = school.world().people.values().cloned().collect();
    school.world().people.clear();
    let total = old.len();
    for (n, person) in old.into_iter().enumerate() {
        school.put(Person {
            id: format!("N{}", person.id),
            upi: person.upi.map(|upi| format!("new-{upi}")),
            mis_id: Some(format!("{}", (n + 7) % total)),
            contacts: person
                .contacts
                .iter()
                .map(|one| Relation::new(format!("N{}", one.contact)))
                .collect(),
            ..person
        });
    }
}

async fn accepted(school: &School, state: &RosterState) -> roster::SyncOutcome {
    let answers = school.read(state, &settings(), true).await;
    state.apply(&settings(), &answers, school.when(), true)
}

fn of(migrations: &[Migration], kind: PersonKind) -> &Migration {
    migrations.iter().find(|one| one.kind == kind).unwrap()
}

fn all(state: &RosterState) -> [Vec<String>; 3] {
    ["Sevens", "Staff", "Parents"].map(|name| keys(state, name))
}

#[tokio::test]
async fn keys_survive_a_migration_and_an_operator_matches_the_adults() {
    let mut school = before();
    let state = school.first(&settings()).await;
    let groups = all(&state);
    school.wait(TimeDelta::days(1));
    migrate(&school);
    // Also when the change is met by a small sync.
    let outcome = school.sync(&state, &settings(), false).await;
    assert_eq!(all(&outcome.state), groups);
    let migrations = &outcome.report.migrations;
    let students = of(migrations, PersonKind::Student);
    assert_eq!(students.matched.len(), 30);
    assert!(students.matched.iter().all(|one| one.by == MatchedBy::Upn));
    assert!(!students.needs_a_person());
    let adults = [
        (PersonKind::Staff, MatchedBy::Email, 6),
        (PersonKind::Parent, MatchedBy::NameAndBirthDate, 30),
    ];
    for (kind, by, count) in adults {
        let found = of(migrations, kind);
        assert_eq!(found.proposed.len(), count);
        assert!(found.proposed.iter().all(|one| one.by == by));
    }
    let held: Vec<_> = outcome
        .report
        .held
        .iter()
        .filter(|held| matches!(held, HeldBack::Migration { .. }))
        .collect();
    assert_eq!(held.len(), 2, "{held:?}");
    // Pupils have marks at once, under the new ids; nobody joined and nobody left.
    assert!(outcome.changes.iter().all(|change| matches!(
        &change.kind,
        ChangeKind::Changed { fields, .. } if fields.contains(&Field::Id)
    )));
    let directory = Directory::new(&outcome.state, school.today());
    for id in ["S0003", "NS0003"] {
        let entry = directory.find(id).unwrap();
        assert_eq!((entry.key.as_str(), entry.id.as_str()), ("S0003", "NS0003"));
    }
    // It stays so until a person has said yes, and small syncs do not slip anybody in.
    school.wait(TimeDelta::hours(1));
    let again = school.sync(&outcome.state, &settings(), false).await;
    assert_eq!(all(&again.state), groups);
    assert!(again.changes.is_empty(), "{:?}", again.changes);
    assert_eq!(again.report.held.len(), 2);
    let outcome = accepted(&school, &again.state).await;
    assert_eq!(all(&outcome.state), groups);
    assert!(outcome.report.held.is_empty(), "{:?}", outcome.report.held);
    let directory = Directory::new(&outcome.state, school.today());
    assert_eq!(directory.find("E0002").unwrap().id, "NE0002");
    assert_eq!(directory.find("C0002").unwrap().id, "NC0002");
    // From then on all is as ever.
    school.wait(TimeDelta::hours(1));
    let quiet = school.sync(&outcome.state, &settings(), true).await;
    assert!(
        quiet.changes.is_empty()
            && quiet.report.held.is_empty()
            && quiet.report.migrations.is_empty()
    );
}

#[tokio::test]
async fn uncertain_people_neither_join_nor_leave_before_acceptance() {
    let mut school = before();
    let state = school.first(&settings()).await;
    school.wait(TimeDelta::days(1));
    migrate(&school);
    // A pupil without a number, one who did not come along, and one who is new.
    school.edit(PersonKind::Student, "NS0001", |person| person.upn = None);
    school.take_out(PersonKind::Student, "NS0002");
    school.put(Person {
        upn: upn(999),
        ..student(999, "7")
    });
    let outcome = school.sync(&state, &settings(), true).await;
    let students = of(&outcome.report.migrations, PersonKind::Student);
    assert_eq!((students.matched.len(), students.new.len()), (28, 1));
    assert_eq!(students.doubtful.len(), 1, "the name alone is no proof");
    assert_eq!(students.doubtful[0].people, [PersonKey::new("S0001")]);
    assert_eq!(
        students.missing,
        [PersonKey::new("S0001"), PersonKey::new("S0002")]
    );
    assert_eq!(keys(&outcome.state, "Sevens").len(), 30);
    assert!(
        !outcome
            .changes
            .iter()
            .any(|change| !matches!(change.kind, ChangeKind::Changed { .. }))
    );
    let again = school.sync(&outcome.state, &settings(), true).await;
    assert!(again.changes.is_empty(), "{:?}", again.changes);
    let outcome = accepted(&school, &again.state).await;
    let joined = outcome
        .changes
        .iter()
        .filter(|change| matches!(change.kind, ChangeKind::Joined { .. }));
    let left = outcome.changes.iter().filter(|change| {
        matches!(
            &change.kind,
            ChangeKind::Left { cause: Cause::Gone }
                | ChangeKind::Left {
                    cause: Cause::ChildrenGone
                }
        )
    });
    assert_eq!(joined.filter(|change| change.group == "Sevens").count(), 2);
    assert_eq!(left.filter(|change| change.group == "Sevens").count(), 2);
    assert_eq!(keys(&outcome.state, "Sevens").len(), 30);
}

#[tokio::test]
async fn a_new_year_with_many_joiners_and_leavers_is_not_a_migration() {
    let mut school = before();
    let state = school.first(&settings()).await;
    school.wait(TimeDelta::days(1));
    for n in 0..12 {
        school.edit(PersonKind::Student, &format!("S{n:04}"), |person| {
            person.leaves = Some(day("2026-11-23"));
        });
        school.put(student(100 + n, "7"));
    }
    let outcome = school.sync(&state, &settings(), true).await;
    assert!(outcome.report.migrations.is_empty());
    assert!(outcome.report.held.is_empty(), "{:?}", outcome.report.held);
}

#[tokio::test]
async fn new_ids_with_the_old_upi_are_not_a_migration() {
    let mut school = before();
    let state = school.first(&settings()).await;
    school.wait(TimeDelta::days(1));
    for n in 0..30 {
        let old = school
            .take_out(PersonKind::Student, &format!("S{n:04}"))
            .unwrap();
        school.put(Person {
            id: format!("N{n:04}"),
            ..old
        });
    }
    let outcome = school.sync(&state, &settings(), true).await;
    assert!(outcome.report.migrations.is_empty() && outcome.report.held.is_empty());
    assert_eq!(keys(&outcome.state, "Sevens"), keys(&state, "Sevens"));
}

#[tokio::test]
async fn former_ids_expire_and_keys_do_not() {
    let mut limited = settings();
    limited.persons.former_id_days = Some(30);
    let mut school = before();
    let mut state = school.first(&limited).await;
    // Two changes, so that the present id, a former one and the key are three.
    for _ in 0..2 {
        school.wait(TimeDelta::days(1));
        migrate(&school);
        let answers = school.read(&state, &limited, true).await;
        state = state.apply(&limited, &answers, school.when(), true).state;
    }
    let by = |state: &RosterState, id: &str| {
        let directory = Directory::new(state, school.today());
        directory.find(id).map(|entry| entry.id.clone())
    };
    let present = Some("NNS0004".to_owned());
    assert_eq!(by(&state, "NS0004"), present);
    for _ in 0..32 {
        school.wait(TimeDelta::days(1));
        state = school.sync(&state, &limited, true).await.state;
    }
    let by = |id: &str| {
        let directory = Directory::new(&state, school.today());
        directory.find(id).map(|entry| entry.id.clone())
    };
    assert_eq!(
        (by("NS0004"), by("S0004"), by("NNS0004")),
        (None, present.clone(), present)
    );
}
