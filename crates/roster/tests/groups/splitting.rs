//! Which group takes whom.

use mis_core::{Group, Person, Relation};
use roster::{PersonKind, Settings};
use rstest::rstest;
use serde_json::{Value, json};

use crate::model::{School, day, group, keys, parent, staff, student};

fn sorted(kind: Option<&str>, name: &str) -> Group {
    Group {
        id: format!("G-{name}"),
        kind: kind.map(str::to_owned),
        name: Some(name.to_owned()),
    }
}

/// A pupil with everything a pupil can have.
fn ada() -> Person {
    Person {
        year: Some("Year 7".into()),
        registration: Some("7 Ab".into()),
        house: Some("Curie".into()),
        boarding: Some("Abbey House".into()),
        campus: Some("Main Site".into()),
        classes: vec![sorted(None, "7x/Ma1")],
        groups: vec![sorted(Some("USER"), "Orchestra")],
        ..student(1, "7")
    }
}

fn teacher() -> Person {
    Person {
        roles: vec!["Teacher".into(), "Head of Year".into()],
        classes: vec![sorted(None, "7x/Ma1")],
        groups: vec![sorted(Some("REGISTRATION"), "7 Ab")],
        ..staff(1, true)
    }
}

/// Whether a group with this membership takes the only person of its kind.
async fn takes(person: Person, membership: Value) -> bool {
    let school = School::new();
    let kind = person.kind;
    school.put(person);
    let settings = Settings::new(vec![group("G", kind, membership)]);
    let state = school.first(&settings).await;
    !keys(&state, "G").is_empty()
}

#[rstest]
#[case(json!({}), true)]
#[case(json!({"years": "7"}), true)]
#[case(json!({"years": [6, 8]}), false)]
#[case(json!({"registrations": ["7B", "7  aB"]}), true)]
#[case(json!({"registrations": ["7B"]}), false)]
#[case(json!({"houses": ["curie"]}), true)]
#[case(json!({"houses": ["Brontë"]}), false)]
#[case(json!({"boarding": ["Abbey House"]}), true)]
#[case(json!({"boarding": ["School House"]}), false)]
#[case(json!({"boarding": "*"}), true)]
#[case(json!({"campuses": ["Main Site"]}), true)]
#[case(json!({"campuses": ["Riverside"]}), false)]
#[case(json!({"classes": ["7x/Ma1", "7x/Ma2"]}), true)]
#[case(json!({"classes": ["7x/Ma2"]}), false)]
#[case(json!({"groups": [{"name": "orchestra"}]}), true)]
#[case(json!({"groups": [{"type": "user", "name": "Orchestra"}]}), true)]
#[case(json!({"groups": [{"type": "COURSE", "name": "Orchestra"}]}), false)]
#[case(json!({"groups": [{"name": "Choir"}, {"name": "Orchestra"}]}), true)]
#[case::all_conditions_hold(json!({"years": [7], "houses": ["Curie"], "campuses": ["Main Site"]}), true)]
#[case::one_does_not(json!({"years": [7], "houses": ["Curie"], "campuses": ["Riverside"]}), false)]
#[case(json!({"include": ["S0001"]}), true)]
#[case(json!({"include": ["S0002"]}), false)]
#[case::named_although_the_conditions_do_not_hold(json!({"years": [9], "include": ["S0001"]}), true)]
#[case::not_named_but_the_conditions_hold(json!({"years": [7], "include": ["S0002"]}), true)]
#[case(json!({"exclude": ["S0001"]}), false)]
#[case::by_upi(json!({"exclude": ["upi-1"]}), false)]
#[case::by_the_mis_key(json!({"include": ["1"]}), true)]
#[tokio::test]
async fn students_match_conditions(#[case] membership: Value, #[case] taken: bool) {
    assert_eq!(takes(ada(), membership).await, taken);
}

#[rstest]
#[case("boarding")]
#[case("houses")]
#[case("registrations")]
#[case("campuses")]
#[case("years")]
#[tokio::test]
async fn an_unknown_property_does_not_match(#[case] key: &str) {
    let nothing_known = Person {
        year: None,
        registration: None,
        ..student(1, "7")
    };
    assert!(!takes(nothing_known, json!({ key: ["x"] })).await);
}

#[rstest]
#[case(json!({}), true)]
#[case(json!({"teaching": true}), true)]
#[case(json!({"teaching": false}), false)]
#[case(json!({"roles": ["head of year"]}), true)]
#[case(json!({"roles": ["Caretaker"]}), false)]
#[case(json!({"classes": ["7x/Ma1"]}), true)]
#[case(json!({"groups": [{"type": "REGISTRATION", "name": "7 Ab"}]}), true)]
#[case(json!({"current": false}), false)]
#[tokio::test]
async fn present_staff_match_conditions(#[case] membership: Value, #[case] taken: bool) {
    assert_eq!(takes(teacher(), membership).await, taken);
}

#[rstest]
#[case::mis_says_so(Person { current: Some(false), ..teacher() }, json!({}), false)]
#[case::last_day_passed(Person { leaves: Some(day("2026-11-22")), ..teacher() }, json!({}), false)]
#[case::not_yet(Person { joins: Some(day("2026-11-24")), ..teacher() }, json!({}), false)]
#[case::the_mis_does_not_say(Person { current: None, ..teacher() }, json!({}), true)]
#[case::former_staff_wanted(Person { current: Some(false), ..teacher() }, json!({"current": false}), true)]
#[case::named(Person { current: Some(false), ..teacher() }, json!({"include": "E0001"}), true)]
#[case::named_but_left(
    Person { leaves: Some(day("2026-11-22")), ..teacher() }, json!({"include": "E0001"}), false
)]
#[tokio::test]
async fn absent_staff_match_only_on_request(
    #[case] person: Person,
    #[case] membership: Value,
    #[case] taken: bool,
) {
    assert_eq!(takes(person, membership).await, taken);
}

fn stands(contact: usize, responsible: bool, priority: u32, lives_with: bool) -> Relation {
    Relation {
        parental_responsibility: Some(responsible),
        priority: Some(priority),
        lives_with: Some(lives_with),
        ..Relation::new(format!("C{contact:04}"))
    }
}

/// Two families: C1 and C2 are parents who live apart, each with one of two siblings; C3 is a grandparent who may be
/// called; C4 has a child in Year 12 only; nothing is told of how C5 stands to anybody.
fn families() -> School {
    let school = School::new();
    let child = |n, year: &str, contacts| Person {
        contacts,
        ..student(n, year)
    };
    school.put(child(
        1,
        "7",
        vec![
            stands(1, true, 1, true),
            stands(2, true, 2, false),
            stands(3, false, 3, false),
        ],
    ));
    school.put(child(
        2,
        "12",
        vec![stands(1, true, 2, false), stands(2, true, 1, true)],
    ));
    school.put(child(
        3,
        "12",
        vec![stands(4, true, 1, true), Relation::new("C0005")],
    ));
    for n in 1..=5 {
        school.put(parent(n));
    }
    school
}

#[rstest]
#[case(json!({}), "C0001 C0002 C0003 C0004 C0005")]
#[case(json!({"parental_responsibility": true}), "C0001 C0002 C0004")]
#[case(json!({"parental_responsibility": false}), "C0003")]
#[case(json!({"priority_max": 1}), "C0001 C0002 C0004")]
#[case(json!({"of": "Lower"}), "C0001 C0002 C0003")]
#[case(json!({"of": ["Lower", "Sixth"]}), "C0001 C0002 C0003 C0004 C0005")]
#[case(json!({"of": "Lower", "priority_max": 2}), "C0001 C0002")]
#[case(json!({"lives_with": true}), "C0001 C0002 C0004")]
// Both live with one of the two; asked of the child in Year 7 it is C1 alone.
#[case(json!({"of": "Lower", "lives_with": true}), "C0001")]
#[case(json!({"of": "Lower", "lives_with": true, "include": "C0005"}), "C0001 C0005")]
#[case(json!({"of": "Lower", "exclude": ["C0001", "contact-2"]}), "C0003")]
#[tokio::test]
async fn parents_match_conditions(#[case] membership: Value, #[case] taken: &str) {
    let settings = Settings::new(vec![
        group("Parents", PersonKind::Parent, membership),
        group("Lower", PersonKind::Student, json!({"years": [7]})),
        group("Sixth", PersonKind::Student, json!({"years": [12, 13]})),
    ]);
    let state = families().first(&settings).await;
    assert_eq!(keys(&state, "Parents").join(" "), taken);
}

#[tokio::test]
async fn a_parent_is_published_with_their_children() {
    let settings = Settings::new(vec![
        group("Pick-up", PersonKind::Parent, json!({"lives_with": true})),
        group("Others", PersonKind::Parent, json!({})),
    ]);
    let state = families().first(&settings).await;
    let children = |group: &str, key: &str| {
        let member = &state.lists[group].members[&roster::PersonKey::new(key)];
        member
            .children
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
    };
    assert_eq!(children("Pick-up", "C0001"), ["S0001"]);
    assert_eq!(children("Pick-up", "C0002"), ["S0002"]);
    assert_eq!(children("Others", "C0003"), ["S0001"]);
}

#[tokio::test]
async fn the_first_matching_group_applies_and_overlaps_are_reported() {
    let school = School::new();
    school.put(ada());
    school.put(student(2, "7"));
    let settings = Settings::new(vec![
        group("Curie", PersonKind::Student, json!({"houses": ["Curie"]})),
        group("Year 7", PersonKind::Student, json!({"years": [7]})),
        group("Everybody else", PersonKind::Student, json!({})),
    ]);
    let outcome = school.sync(&Default::default(), &settings, true).await;
    assert_eq!(keys(&outcome.state, "Curie"), ["S0001"]);
    assert_eq!(keys(&outcome.state, "Year 7"), ["S0002"]);
    let [overlap] = outcome.report.overlaps.as_slice() else {
        panic!("{:?}", outcome.report.overlaps);
    };
    assert_eq!(
        (
            overlap.person.as_str(),
            overlap.group.as_str(),
            overlap.also.join(" ")
        ),
        ("S0001", "Curie", "Year 7".to_owned())
    );
}

#[tokio::test]
async fn only_expected_people_are_reported_as_ungrouped() {
    let school = families();
    school.put(Person {
        leaves: Some(day("2026-11-20")),
        ..student(8, "9")
    });
    school.put(student(9, "9"));
    school.put(parent(9));
    school.put(Person {
        current: Some(false),
        ..staff(1, true)
    });
    school.put(staff(2, false));
    let settings = Settings::new(vec![
        group("Lower", PersonKind::Student, json!({"years": [7]})),
        group("Teachers", PersonKind::Staff, json!({"teaching": true})),
        group("Parents", PersonKind::Parent, json!({"of": "Lower"})),
    ]);
    let outcome = school.sync(&Default::default(), &settings, true).await;
    let ungrouped: Vec<_> = outcome
        .report
        .ungrouped
        .iter()
        .map(|s| s.person.as_str())
        .collect();
    assert_eq!(
        ungrouped,
        ["S0002", "S0003", "S0009", "E0002", "C0004", "C0005"]
    );
}

#[tokio::test]
async fn staff_who_are_parents_are_in_both() {
    let school = families();
    school.put(Person {
        upi: Some("contact-1".into()),
        ..staff(1, true)
    });
    let settings = Settings::new(vec![
        group("Staff", PersonKind::Staff, json!({})),
        group(
            "Parents",
            PersonKind::Parent,
            json!({"parental_responsibility": true}),
        ),
    ]);
    let outcome = school.sync(&Default::default(), &settings, true).await;
    assert_eq!(keys(&outcome.state, "Staff"), ["E0001"]);
    assert!(keys(&outcome.state, "Parents").contains(&"C0001".to_owned()));
    assert!(outcome.report.overlaps.is_empty());
}

/// What other conditions would make of the people is what a sync makes of them.
#[rstest]
#[case(json!([{"years": [7]}, {}]))]
#[case(json!([{"houses": "Curie"}, {"years": [8]}]))]
#[case(json!([{"exclude": ["S0001"]}, {}]))]
#[case(json!([{"include": ["S0002"]}, {"classes": ["7x/Ma1"]}]))]
#[case(json!([{"years": [12]}]))]
#[tokio::test]
async fn groups_by_other_conditions_are_those_of_a_sync(#[case] memberships: Value) {
    let school = School::new();
    school.put(ada());
    school.put(student(2, "8"));
    school.put(student(3, "7"));
    let everything = json!({"houses": "Curie", "classes": "7x/Ma1", "years": 7});
    let read = Settings::new(vec![group("All", PersonKind::Student, everything)]);
    let state = school.first(&read).await;

    let memberships = memberships.as_array().unwrap().clone();
    let groups: Vec<_> = memberships
        .into_iter()
        .enumerate()
        .map(|(n, membership)| group(&format!("G{n}"), PersonKind::Student, membership))
        .collect();
    let found = state.students_by_group(&groups, school.today()).unwrap();
    let synced = school.first(&Settings::new(groups.clone())).await;
    assert_eq!(found.len(), 3, "{found:?}");
    for one in &groups {
        let taken: Vec<_> = found
            .iter()
            .filter(|(_, name)| name.as_deref() == Some(one.name.as_str()))
            .map(|(id, _)| id.clone())
            .collect();
        assert_eq!(taken, keys(&synced, &one.name), "{}", one.name);
    }
}

#[tokio::test]
async fn a_condition_on_what_was_not_read_has_no_answer() {
    let school = School::new();
    school.put(ada());
    let read = Settings::new(vec![group("All", PersonKind::Student, json!({}))]);
    let state = school.first(&read).await;
    let by = |membership| {
        let groups = [group("G", PersonKind::Student, membership)];
        state.students_by_group(&groups, school.today())
    };
    assert!(by(json!({"years": [7]})).is_some());
    assert_eq!(by(json!({"houses": ["Curie"]})), None);
    let nobody = roster::RosterState::default();
    assert_eq!(nobody.students_by_group(&[], school.today()), None);
}
