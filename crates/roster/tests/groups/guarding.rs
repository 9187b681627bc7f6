//! What is not believed: each trap by which a group could be emptied or a value lost by mistake.

use chrono::TimeDelta;
use mis_core::{ErrorKind, Person, Relation};
use roster::{
    Cause, ChangeKind, Guard, HeldBack, HoldReason, Part, PersonKind, Property, Pull, RosterState,
    Settings,
};
use serde_json::json;

use crate::model::{School, group, keys, parent, staff, student};

fn settings() -> Settings {
    Settings::new(vec![
        group("Lower", PersonKind::Student, json!({"years": [7, 8]})),
        group("Upper", PersonKind::Student, json!({"years": [9, 10]})),
        group("Staff", PersonKind::Staff, json!({})),
        group("Parents", PersonKind::Parent, json!({"of": ["Lower"]})),
    ])
}

/// 100 pupils in four years, 20 staff, a parent for each pupil.
fn school() -> School {
    let mut school = School::new();
    for n in 0..100 {
        school.put(Person {
            contacts: vec![Relation::new(format!("C{n:04}"))],
            ..student(n, &format!("{}", 7 + n % 4))
        });
        school.put(parent(n));
    }
    for n in 0..20 {
        school.put(staff(n, n % 2 == 0));
    }
    school.wait(TimeDelta::days(1));
    school
}

fn sizes(state: &RosterState) -> Vec<usize> {
    ["Lower", "Upper", "Staff", "Parents"]
        .iter()
        .map(|group| keys(state, group).len())
        .collect()
}

const WHOLE: [usize; 4] = [50, 50, 20, 50];

#[tokio::test]
async fn an_empty_response_is_held_back_and_the_lists_stay() {
    let mut school = school();
    let state = school.first(&settings()).await;
    assert_eq!(sizes(&state), WHOLE);
    school.wait(TimeDelta::days(1));
    school.world().empty = true;
    let outcome = school.sync(&state, &settings(), true).await;
    assert_eq!(sizes(&outcome.state), WHOLE);
    assert!(outcome.changes.is_empty());
    assert_eq!(outcome.report.held.len(), 3);
    assert!(
        outcome.report.held[0]
            .to_string()
            .contains("no students (100 before)")
    );
    // A small sync in between stands on the old lists, and goes on from where it was.
    school.world().empty = false;
    school.put(student(500, "7"));
    let outcome = school.sync(&outcome.state, &settings(), false).await;
    assert_eq!(sizes(&outcome.state), [51, 50, 20, 50]);
}

#[tokio::test]
async fn an_empty_response_is_held_back_in_the_first_sync_too() {
    let school = school();
    school.world().empty = true;
    let outcome = school
        .sync(&RosterState::default(), &settings(), true)
        .await;
    assert_eq!(outcome.report.held.len(), 3);
    assert!(
        outcome.state.lists.is_empty(),
        "a list that was never read is not an empty list"
    );
    // A person says that there is nobody: from then on that is no news.
    let answers = school
        .read(&RosterState::default(), &settings(), true)
        .await;
    let accepted = RosterState::default().apply(&settings(), &answers, school.when(), true);
    assert!(accepted.report.held.is_empty());
    let again = school.sync(&accepted.state, &settings(), true).await;
    assert!(again.report.held.is_empty());
}

#[tokio::test]
async fn a_much_smaller_response_is_held_back_until_accepted() {
    let mut school = school();
    let state = school.first(&settings()).await;
    school.wait(TimeDelta::days(1));
    for n in 0..30 {
        school.take_out(PersonKind::Student, &format!("S{n:04}"));
    }
    let outcome = school.sync(&state, &settings(), true).await;
    let held = HeldBack::Kind {
        kind: PersonKind::Student,
        doubt: HoldReason::Shrunk {
            before: 100,
            gone: 30,
        },
    };
    assert_eq!(outcome.report.held, [held]);
    assert_eq!(sizes(&outcome.state), WHOLE);

    let answers = school.read(&outcome.state, &settings(), true).await;
    let accepted = outcome
        .state
        .apply(&settings(), &answers, school.when(), true);
    assert!(accepted.report.held.is_empty());
    assert_eq!(sizes(&accepted.state)[..2], [34, 36]);
    let gone = ChangeKind::Left { cause: Cause::Gone };
    assert_eq!(
        accepted
            .changes
            .iter()
            .filter(|change| change.kind == gone)
            .count(),
        30
    );
}

#[tokio::test]
async fn few_removals_are_not_held_back() {
    let mut school = school();
    let state = school.first(&settings()).await;
    school.wait(TimeDelta::days(1));
    for n in 0..6 {
        school.take_out(PersonKind::Student, &format!("S{n:04}"));
    }
    let outcome = school.sync(&state, &settings(), true).await;
    assert!(outcome.report.held.is_empty(), "{:?}", outcome.report.held);
    assert_eq!(sizes(&outcome.state)[..2], [46, 48]);
}

#[tokio::test]
async fn many_deletions_are_held_back_too() {
    let mut school = school();
    let state = school.first(&settings()).await;
    school.wait(TimeDelta::hours(1));
    for n in 0..30 {
        school.delete(PersonKind::Student, &format!("S{n:04}"));
    }
    let outcome = school.sync(&state, &settings(), false).await;
    assert_eq!(sizes(&outcome.state), WHOLE);
    assert_eq!(outcome.report.held.len(), 1);
    // It is held again at the next small sync: the place to go on from has not moved.
    school.wait(TimeDelta::hours(6));
    let outcome = school.sync(&outcome.state, &settings(), false).await;
    assert_eq!(outcome.report.held.len(), 1);
}

#[tokio::test]
async fn the_limits_are_settings() {
    let mut school = school();
    let lax = Settings {
        guard: Guard {
            max_shrink: 60,
            at_least: 1,
        },
        ..settings()
    };
    let strict = Settings {
        guard: Guard {
            max_shrink: 0,
            at_least: 1,
        },
        ..settings()
    };
    let state = school.first(&settings()).await;
    school.wait(TimeDelta::days(1));
    for n in 0..30 {
        school.take_out(PersonKind::Student, &format!("S{n:04}"));
    }
    assert!(school.sync(&state, &lax, true).await.report.held.is_empty());
    for n in 30..99 {
        school.put(student(n, "7"));
    }
    assert!(
        !school
            .sync(&state, &strict, true)
            .await
            .report
            .held
            .is_empty()
    );
}

#[tokio::test]
async fn a_held_back_group_accepts_joiners_and_moves_but_no_removals() {
    let mut school = school();
    let state = school.first(&settings()).await;
    school.wait(TimeDelta::hours(1));
    // Half of the lower school gets a year that no group has, and some move up.
    for n in (0..100).step_by(4) {
        school.edit(PersonKind::Student, &format!("S{n:04}"), |person| {
            person.year = Some("77".into())
        });
    }
    school.edit(PersonKind::Student, "S0001", |person| {
        person.year = Some("9".into())
    });
    school.edit(PersonKind::Student, "S0002", |person| {
        person.year = Some("7".into())
    });
    let outcome = school.sync(&state, &settings(), false).await;
    let [
        HeldBack::Group {
            group,
            before,
            leaving,
            ..
        },
    ] = outcome.report.held.as_slice()
    else {
        panic!("{:?}", outcome.report.held);
    };
    assert_eq!((group.as_str(), *before, *leaving), ("Lower", 50, 25));
    assert_eq!(sizes(&outcome.state), WHOLE);
    let (lower, upper) = (keys(&outcome.state, "Lower"), keys(&outcome.state, "Upper"));
    assert!(lower.contains(&"S0002".to_owned()) && !upper.contains(&"S0002".to_owned()));
    assert!(upper.contains(&"S0001".to_owned()) && !lower.contains(&"S0001".to_owned()));
    assert!(lower.contains(&"S0000".to_owned()), "who is in doubt stays");

    // Put right in the MIS: all of it goes through.
    school.wait(TimeDelta::hours(1));
    for n in (0..100).step_by(4) {
        school.edit(PersonKind::Student, &format!("S{n:04}"), |person| {
            person.year = Some("7".into())
        });
    }
    let outcome = school.sync(&outcome.state, &settings(), false).await;
    assert!(outcome.report.held.is_empty());
    assert!(keys(&outcome.state, "Upper").contains(&"S0001".to_owned()));
    assert!(keys(&outcome.state, "Lower").contains(&"S0002".to_owned()));
}

#[tokio::test]
async fn a_mistake_in_the_settings_does_not_empty_a_group() {
    let school = school();
    let state = school.first(&settings()).await;
    let mut slip = settings();
    slip.groups[0].membership.years = vec!["&".into()];
    let outcome = school.sync(&state, &slip, false).await;
    assert_eq!(sizes(&outcome.state), WHOLE);
    assert!(
        outcome
            .report
            .held
            .iter()
            .any(|held| matches!(held, HeldBack::Group { group, .. } if group == "Lower"))
    );
}

#[tokio::test]
async fn removals_by_id_or_with_the_whole_group_are_intentional() {
    let school = school();
    let state = school.first(&settings()).await;
    let mut meant = settings();
    meant.groups[0].membership.exclude = keys(&state, "Lower")[..20].to_vec();
    meant.groups.retain(|group| group.name != "Staff");
    let outcome = school.sync(&state, &meant, false).await;
    assert!(outcome.report.held.is_empty(), "{:?}", outcome.report.held);
    assert_eq!(sizes(&outcome.state), [30, 50, 0, 30]);
    assert!(
        !outcome.state.kinds.contains_key(&PersonKind::Staff),
        "nobody needs them, nobody keeps them"
    );
}

#[tokio::test]
async fn moving_up_a_year_is_not_held_back() {
    let mut school = school();
    let state = school.first(&settings()).await;
    school.wait(TimeDelta::days(1));
    for n in 0..100 {
        let year = 8 + n % 4;
        school.edit(PersonKind::Student, &format!("S{n:04}"), |person| {
            person.year = Some(format!("{year}"));
            // Those in Year 10 before leave the school.
            person.leaves = (year == 11).then(|| "2026-11-23".parse().unwrap());
        });
    }
    let outcome = school.sync(&state, &settings(), false).await;
    assert!(outcome.report.held.is_empty(), "{:?}", outcome.report.held);
    assert_eq!(sizes(&outcome.state), [25, 50, 20, 25]);
    let moved = ChangeKind::Left {
        cause: Cause::ChildrenMoved,
    };
    assert_eq!(
        outcome
            .changes
            .iter()
            .filter(|change| change.kind == moved)
            .count(),
        25
    );
}

#[tokio::test]
async fn parents_losing_responsibility_in_bulk_are_held_back() {
    let mut school = school();
    let mut only_responsible = settings();
    only_responsible.groups[3]
        .membership
        .parental_responsibility = Some(true);
    let stands = |n: usize, responsible| Relation {
        parental_responsibility: Some(responsible),
        ..Relation::new(format!("C{n:04}"))
    };
    for n in 0..100 {
        school.edit(PersonKind::Student, &format!("S{n:04}"), |person| {
            person.contacts = vec![stands(n, true)];
        });
    }
    let state = school.first(&only_responsible).await;
    school.wait(TimeDelta::days(1));
    for n in 0..50 {
        school.edit(PersonKind::Student, &format!("S{n:04}"), |person| {
            person.contacts = vec![stands(n, false)];
        });
    }
    let outcome = school.sync(&state, &only_responsible, false).await;
    assert_eq!(outcome.report.held.len(), 1);
    assert_eq!(sizes(&outcome.state), WHOLE);
}

#[tokio::test]
async fn a_property_empty_for_everybody_is_a_lost_permission() {
    let mut school = school();
    let state = school.first(&settings()).await;
    school.wait(TimeDelta::days(1));
    school.world().withdrawn = [Property::Year, Property::Name].into();
    school.put(student(500, "7"));
    let outcome = school.sync(&state, &settings(), true).await;
    // Who was known keeps the year; who is new has none and is shown.
    assert_eq!(sizes(&outcome.state), WHOLE);
    assert!(outcome.changes.is_empty(), "{:?}", outcome.changes);
    let ungrouped = outcome
        .report
        .ungrouped
        .iter()
        .filter(|stray| stray.kind == PersonKind::Student);
    assert_eq!(ungrouped.count(), 1);
    let lost = |kind, part| HeldBack::Property { kind, part };
    for held in [
        lost(PersonKind::Student, Part::Property(Property::Year)),
        lost(PersonKind::Student, Part::Surname),
        lost(PersonKind::Staff, Part::Forename),
    ] {
        assert!(
            outcome.report.held.contains(&held),
            "{held} not in {:?}",
            outcome.report.held
        );
    }
    // It stays so through small syncs, and through the next full one.
    school.wait(TimeDelta::hours(1));
    school.edit(PersonKind::Student, "S0000", |person| {
        person.registration = Some("7B".into())
    });
    let outcome = school.sync(&outcome.state, &settings(), false).await;
    assert_eq!(sizes(&outcome.state), WHOLE);
    assert_eq!(outcome.changes.len(), 1);
    let outcome = school.sync(&outcome.state, &settings(), true).await;
    assert_eq!(sizes(&outcome.state), WHOLE);
    // Given again, one record shows it, and everybody is read.
    school.world().withdrawn.clear();
    school.wait(TimeDelta::hours(1));
    school.edit(PersonKind::Student, "S0001", |person| {
        person.year = Some("9".into())
    });
    let outcome = school.sync(&outcome.state, &settings(), false).await;
    let students: Vec<_> = outcome
        .report
        .held
        .iter()
        .filter(|held| {
            matches!(
                held,
                HeldBack::Property {
                    kind: PersonKind::Student,
                    ..
                }
            )
        })
        .collect();
    assert!(students.is_empty(), "{students:?}");
    assert_eq!(sizes(&outcome.state)[..2], [50, 51]);
}

#[tokio::test]
async fn a_lost_permission_is_detected_in_an_incremental_sync() {
    let mut school = school();
    let state = school.first(&settings()).await;
    school.wait(TimeDelta::days(1));
    // News: one pupil has no registration group any more.
    school.edit(PersonKind::Student, "S0000", |person| {
        person.registration = None
    });
    let before = school.requests();
    let outcome = school.sync(&state, &settings(), false).await;
    assert_eq!(
        school.requests() - before,
        5,
        "a look at one page settles it"
    );
    assert!(outcome.report.held.is_empty());
    assert_eq!(outcome.changes.len(), 1);
    // No news: nobody has one.
    school.wait(TimeDelta::days(1));
    school.world().withdrawn = [Property::Registration].into();
    school.edit(PersonKind::Student, "S0001", |_| ());
    let outcome = school.sync(&outcome.state, &settings(), false).await;
    assert!(outcome.changes.is_empty(), "{:?}", outcome.changes);
    assert_eq!(outcome.report.held.len(), 1);
}

#[tokio::test]
async fn a_lost_property_can_be_accepted() {
    let mut school = school();
    let state = school.first(&settings()).await;
    school.wait(TimeDelta::days(1));
    school.world().withdrawn = [Property::Registration].into();
    let answers = school.read(&state, &settings(), true).await;
    let outcome = state.apply(&settings(), &answers, school.when(), true);
    assert!(outcome.report.held.is_empty());
    assert_eq!(outcome.report.groups["Lower"].changed, 50);
}

#[tokio::test]
async fn identity_survives_the_loss_of_the_upi() {
    let mut school = school();
    let state = school.first(&settings()).await;
    school.wait(TimeDelta::days(1));
    for person in school.world().people.values_mut() {
        person.upi = None;
    }
    let state = school.sync(&state, &settings(), true).await.state;
    assert_eq!(sizes(&state), WHOLE);
    // With the upi given again, a pupil who enrolled anew is still recognised.
    school.wait(TimeDelta::days(1));
    for (n, person) in (0..100).map(|n| (n, student(n, "7"))) {
        school.edit(PersonKind::Student, &format!("S{n:04}"), |row| {
            row.upi = person.upi
        });
    }
    school.delete(PersonKind::Student, "S0003");
    school.put(Person {
        id: "S7777".into(),
        mis_id: Some("7777".into()),
        ..student(3, "10")
    });
    let state = school.sync(&state, &settings(), true).await.state;
    assert!(keys(&state, "Upper").contains(&"S0003".to_owned()));
}

#[tokio::test]
async fn a_list_shorter_than_its_former_count_is_truncated() {
    let mut school = school();
    school.world().counts = true;
    let state = school.first(&settings()).await;
    school.wait(TimeDelta::days(1));
    // Ten of a hundred would be few enough to be let through.
    school.world().cut_at = Some(90);
    let outcome = school.sync(&state, &settings(), true).await;
    assert_eq!(sizes(&outcome.state), WHOLE);
    let cut_off = HeldBack::Kind {
        kind: PersonKind::Student,
        doubt: HoldReason::CutOff {
            received: 90,
            counted: 100,
        },
    };
    assert!(
        outcome.report.held.contains(&cut_off),
        "{:?}",
        outcome.report.held
    );
}

#[tokio::test]
async fn a_count_that_never_matched_is_ignored() {
    let mut school = school();
    school.world().counts = true;
    school.world().cut_at = Some(90);
    // The first list does not fit the count: it may count leavers as well.
    let outcome = school
        .sync(&RosterState::default(), &settings(), true)
        .await;
    school.wait(TimeDelta::days(1));
    let outcome = school.sync(&outcome.state, &settings(), true).await;
    assert!(outcome.report.held.is_empty(), "{:?}", outcome.report.held);
}

#[tokio::test]
async fn an_unreadable_kind_does_not_affect_the_others() {
    let mut school = school();
    let state = school.first(&settings()).await;
    school.wait(TimeDelta::days(1));
    school.world().forbidden = [PersonKind::Staff].into();
    school.take_out(PersonKind::Student, "S0000");
    let outcome = school.sync(&state, &settings(), true).await;
    assert_eq!(sizes(&outcome.state), [49, 50, 20, 49]);
    let [held] = outcome.report.held.as_slice() else {
        panic!("{:?}", outcome.report.held);
    };
    assert!(
        held.to_string().starts_with("the staff could not be read"),
        "{held}"
    );
}

#[tokio::test]
async fn an_unreadable_relation_does_not_affect_the_people() {
    let mut school = school();
    let state = school.first(&settings()).await;
    school.wait(TimeDelta::days(1));
    school.world().refused = [Property::Contacts].into();
    school.take_out(PersonKind::Student, "S0002");
    let outcome = school.sync(&state, &settings(), true).await;
    // Students are right, and parents stay parents.
    assert_eq!(sizes(&outcome.state), [50, 49, 20, 50]);
    assert_eq!(
        outcome.report.refused,
        [(PersonKind::Student, Property::Contacts)]
    );
    assert!(outcome.report.held.contains(&HeldBack::Property {
        kind: PersonKind::Student,
        part: Part::Property(Property::Contacts),
    }));
    // Small syncs do not ask for it; the next full one tries again.
    school.wait(TimeDelta::hours(1));
    let before = school.requests();
    let outcome = school.sync(&outcome.state, &settings(), false).await;
    assert_eq!(school.requests() - before, 4);
    assert_eq!(sizes(&outcome.state), [50, 49, 20, 50]);
    school.world().refused.clear();
    let outcome = school.sync(&outcome.state, &settings(), true).await;
    assert!(outcome.report.held.is_empty() && outcome.report.refused.is_empty());
}

#[tokio::test]
async fn an_interrupted_pull_resumes() {
    let mut school = school();
    school.world().breaks_after = Some(5);
    let state = RosterState::default();
    let mut pull = Pull::new(&state, &settings(), true, school.now);
    let error = pull
        .run(&school.mis(), &state, || school.now, &mut |_| ())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    // Students (count and two pages) were done; it is stored, and read back by another process.
    let head = serde_json::to_string(&pull.head()).unwrap();
    let parts = serde_json::to_string(pull.answers()).unwrap();
    let mut pull: Pull = serde_json::from_str(&head).unwrap();
    for (kind, answer) in serde_json::from_str::<roster::Answers>(&parts).unwrap() {
        pull.put_back(kind, answer);
    }
    let missing: Vec<_> = pull.missing().collect();
    assert_eq!(missing, [PersonKind::Parent]);
    assert!(pull.serves(&settings()));
    school.world().breaks_after = None;
    school.wait(TimeDelta::minutes(5));
    let before = school.requests();
    let mut told = Vec::new();
    pull.run(&school.mis(), &state, || school.now, &mut |progress| {
        told.push(progress)
    })
    .await
    .unwrap();
    assert_eq!(school.requests() - before, 3);
    assert!(
        told.last()
            .is_some_and(|last| last.done && last.read == 100)
    );
    let outcome = state.apply(&settings(), &pull.into_answers(), school.when(), false);
    assert_eq!(sizes(&outcome.state), WHOLE);
}

#[tokio::test]
async fn a_record_that_returns_unchanged_is_read_again() {
    let mut school = school();
    let state = school.first(&settings()).await;
    let row = school.take_out(PersonKind::Student, "S0000").unwrap();
    school.wait(TimeDelta::hours(1));
    school.put(row.clone());
    school.delete(PersonKind::Student, "S0000");
    let state = school.sync(&state, &settings(), false).await.state;
    assert_eq!(sizes(&state)[0], 49);
    school.wait(TimeDelta::hours(1));
    {
        let mut world = school.world();
        let back = &mut world.deletions[0];
        back.gone = false;
        back.at = Some(school.now);
        world
            .people
            .insert((PersonKind::Student, row.id.clone()), row);
    }
    let state = school.sync(&state, &settings(), false).await.state;
    assert_eq!(sizes(&state)[0], 50);
}

#[tokio::test]
async fn an_unreliable_list_holds_back_removals_but_not_joiners_or_changes() {
    let mut school = school();
    let state = school.first(&settings()).await;
    school.wait(TimeDelta::days(1));
    for n in 0..30 {
        school.take_out(PersonKind::Student, &format!("S{n:04}"));
    }
    school.put(student(500, "7"));
    school.edit(PersonKind::Student, "S0050", |person| {
        person.surname = Some("Married".into());
    });
    let outcome = school.sync(&state, &settings(), true).await;
    assert_eq!(outcome.report.held.len(), 1);
    assert_eq!(sizes(&outcome.state), [51, 50, 20, 50]);
    let what: Vec<_> = outcome
        .changes
        .iter()
        .map(|change| {
            (
                change.person.as_str(),
                matches!(change.kind, ChangeKind::Joined { .. }),
            )
        })
        .collect();
    assert_eq!(what, [("S0500", true), ("S0050", false)]);
    // A small sync with many deletions does the same, and reads them again the next time.
    let mut school = self::school();
    let state = school.first(&settings()).await;
    school.wait(TimeDelta::hours(1));
    for n in 0..30 {
        school.delete(PersonKind::Student, &format!("S{n:04}"));
    }
    school.put(student(500, "7"));
    let outcome = school.sync(&state, &settings(), false).await;
    assert_eq!(sizes(&outcome.state), [51, 50, 20, 50]);
    school.wait(TimeDelta::hours(6));
    let outcome = school.sync(&outcome.state, &settings(), false).await;
    assert_eq!(outcome.report.held.len(), 1);
}

#[tokio::test]
async fn a_kind_that_wonde_counts_as_empty_is_not_held_back_forever() {
    let mut school = school();
    school.world().counts = true;
    // No parents at the first time, by Wonde's own count too: a school that keeps none.
    for n in 0..100 {
        school.take_out(PersonKind::Parent, &format!("C{n:04}"));
    }
    let first = school
        .sync(&RosterState::default(), &settings(), true)
        .await;
    assert!(first.report.held.is_empty(), "{:?}", first.report.held);
    assert_eq!(sizes(&first.state), [50, 50, 20, 0]);
    // Staff who were there are believed to be gone when it lasts.
    for n in 0..20 {
        school.take_out(PersonKind::Staff, &format!("E{n:04}"));
    }
    let mut state = first.state;
    for _ in 0..8 {
        school.wait(TimeDelta::hours(23));
        let outcome = school.sync(&state, &settings(), true).await;
        assert_eq!(outcome.report.held.len(), 1, "{:?}", outcome.report.held);
        assert_eq!(sizes(&outcome.state), [50, 50, 20, 0]);
        state = outcome.state;
    }
    school.wait(TimeDelta::hours(23));
    let outcome = school.sync(&state, &settings(), true).await;
    assert!(outcome.report.held.is_empty(), "{:?}", outcome.report.held);
    assert_eq!(sizes(&outcome.state), [50, 50, 0, 0]);
}

#[tokio::test]
async fn an_empty_count_from_the_wrong_region_is_held_back() {
    let mut school = school();
    school.world().counts = true;
    let state = school.first(&settings()).await;
    school.world().people.clear();
    for _ in 0..10 {
        school.wait(TimeDelta::days(1));
        let outcome = school.sync(&state, &settings(), true).await;
        assert_eq!(outcome.report.held.len(), 3);
        assert_eq!(sizes(&outcome.state), WHOLE);
    }
    let first = school
        .sync(&RosterState::default(), &settings(), true)
        .await;
    assert_eq!(first.report.held.len(), 3);
}
