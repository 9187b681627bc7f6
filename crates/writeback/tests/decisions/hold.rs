//! Marks that wait until a person releases them.
use crate::common::{self, School, by_our_record, cannot_look, event, group, held, looked};
use chrono::{DateTime, TimeDelta, Utc};
use rstest::rstest;
use writeback::{RegisterView, Rules, settings::GroupKind};

const BY_CODE: &str = "U is held by the group's settings";

#[rstest]
#[case::no_hold("", "09:21", looked(None), "U AM 21", None)]
#[case::by_code("codes = ['u']", "09:21", looked(None), "U AM 21", Some(BY_CODE))]
#[case::another_code("codes = ['U']", "09:07", looked(None), "L AM 7", None)]
#[case::all(
    "all = true",
    "08:50",
    looked(None),
    "/ AM",
    Some("all marks of the group are held by its settings")
)]
#[case::nothing_to_overwrite("over_teacher = true", "09:21", looked(None), "U AM 21", None)]
#[case::a_teachers_mark(
    "over_teacher = true",
    "09:21",
    looked(Some(held("N", None, None))),
    "U AM 21",
    Some("U would overwrite N, which is not ours")
)]
#[case::our_own_mark(
    "over_teacher = true",
    "09:21",
    by_our_record(Some(held("L", None, None))),
    "U AM 21",
    None
)]
#[case::protected_comes_first(
    "over_teacher = true",
    "09:21",
    looked(Some(held("M", None, None))),
    "protected",
    None
)]
#[case::nothing_new(
    "over_teacher = true",
    "09:21",
    looked(Some(held("U", None, Some(21)))),
    "already_recorded",
    None
)]
#[case::a_skip_is_not_held("all = true", "16:00", looked(None), "outside_school_day", None)]
fn held_marks(
    #[case] hold: &str,
    #[case] at: &str,
    #[case] register: RegisterView,
    #[case] expected: &str,
    #[case] why: Option<&str>,
) {
    let decision = school(hold).seeing(register).decide(&event("in", at, ""));
    assert_eq!(common::brief(&decision), expected, "{decision}");
    assert_eq!(decision.hold.as_ref().map(|hold| hold.why.as_str()), why);
    let json = serde_json::to_value(&decision).unwrap();
    assert_eq!(json.get("hold").and_then(|hold| hold.as_str()), why);
    if let Some(why) = why {
        assert_eq!(
            decision.steps.last().unwrap(),
            &format!("waits for release: {why}")
        );
    }
}

fn school(hold: &str) -> School {
    if hold.is_empty() {
        return School::example();
    }
    School::with(&[&format!("hold = {{ {hold} }}")])
}

/// Without protected codes, so that only the hold needs the register.
fn unprotected(hold: &str) -> School {
    School::with(&["protected = []", &format!("hold = {{ {hold} }}")])
}

#[test]
fn a_register_that_cannot_be_read_may_hold_a_teachers_mark() {
    let late = event("in", "09:21", "");
    let school = unprotected("over_teacher = true").seeing(cannot_look());
    assert!(school.rules.as_ref().unwrap().must_see_register(late.kind));
    assert_eq!(school.brief(&late), "wait");
    // A mark that is held anyway need not wait for that.
    let school = unprotected("over_teacher = true, codes = ['U']").seeing(cannot_look());
    assert_eq!(school.decide(&late).hold.unwrap().why, BY_CODE);
    // Nor one that needs no hold.
    let school = unprotected("codes = ['L']").seeing(cannot_look());
    assert!(!school.rules.as_ref().unwrap().must_see_register(late.kind));
    assert_eq!(school.brief(&late), "U AM 21");
}

#[rstest]
#[case::released(looked(None), "U AM 21")]
#[case::over_a_teachers_mark(looked(Some(held("N", None, None))), "U AM 21")]
#[case::a_teacher_entered_a_protected_code(looked(Some(held("M", None, None))), "protected")]
#[case::the_office_entered_it_by_hand(looked(Some(held("U", None, Some(21)))), "already_recorded")]
fn a_released_mark_is_not_held_again(#[case] register: RegisterView, #[case] expected: &str) {
    let mut school = school("all = true, over_teacher = true").seeing(register);
    (school.released, school.planned_before) = (true, true);
    let decision = school.decide(&event("in", "09:21", ""));
    assert_eq!(common::brief(&decision), expected, "{decision}");
    assert_eq!(decision.hold, None);
}

#[rstest]
#[case::end_of_the_day("", "2026-11-23T09:21:00Z", "2026-11-24T00:00:00Z")]
#[case::by_the_schools_clock("", "2026-06-10T09:21:00Z", "2026-06-10T23:00:00Z")]
#[case::at_least_an_hour("", "2026-11-23T23:30:00Z", "2026-11-24T00:30:00Z")]
#[case::after_two_hours(", lapse_after = '2h'", "2026-11-23T09:21:00Z", "2026-11-23T11:21:00Z")]
fn lapses(#[case] lapse: &str, #[case] held_at: &str, #[case] expected: &str) {
    let decision = school(&format!("all = true{lapse}")).decide(&event("in", "09:21", ""));
    let at = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
    let hold = decision.hold.unwrap();
    assert_eq!(
        hold.lapses_at(at(held_at), chrono_tz::Europe::London),
        at(expected)
    );
    assert_eq!(
        hold.lapse_after,
        (!lapse.is_empty()).then(|| TimeDelta::hours(2))
    );
}

#[rstest]
#[case("", "writeback.hold", "it does not say which marks wait")]
#[case("all = false", "writeback.hold", "it does not say which marks wait")]
#[case("codes = ['QQ']", "writeback.hold.codes", "no such code")]
#[case(
    "all = true, lapse_after = '4m'",
    "writeback.hold.lapse_after",
    "is not a duration"
)]
#[case(
    "all = true, lapse_after = '8d'",
    "writeback.hold.lapse_after",
    "is not a duration"
)]
#[case(
    "all = true, lapse_after = 'soon'",
    "writeback.hold.lapse_after",
    "is not a duration"
)]
fn problems(#[case] hold: &str, #[case] key: &str, #[case] message: &str) {
    let toml = format!("[writeback]\ncloses = '15:30'\nhold = {{ {hold} }}");
    let group = group(&toml);
    let book = common::school_book();
    let checked = Rules::check(GroupKind::Students, &[], &group.writeback, Some(&book));
    let [problem] = checked.problems.as_slice() else {
        panic!("{:#?}", checked.problems)
    };
    assert_eq!(problem.key, key);
    assert!(problem.message.contains(message), "{problem}");
}
