//! What becomes of the mark of an event that was withdrawn.
use crate::common::{self, CODE_ONLY, FULL, School, event, held, looked};
use mis_core::{Ability, HeldCode, Session};
use rstest::rstest;
use writeback::{RegisterMark, Rule, Withdrawn, WithdrawnTrace};

fn withdrawn(trace: WithdrawnTrace) -> School {
    School {
        withdrawn: Some(Withdrawn {
            date: "2026-11-23".parse().unwrap(),
            session: Session::Am,
            mark: held("L", Some("Bus"), Some(7)),
            trace,
        }),
        ..School::example()
    }
    .seeing(looked(Some(held("L", Some("Bus"), Some(7)))))
}

fn stands(before: RegisterMark) -> School {
    withdrawn(WithdrawnTrace::Stands {
        before: Some(before),
    })
}

fn unreadable() -> RegisterMark {
    RegisterMark {
        code: HeldCode::Unreadable("77".into()),
        comment: None,
        minutes_late: None,
    }
}

#[rstest]
#[case::a_code(stands(held("M", None, None)), "M AM")]
#[case::with_its_parts(
    stands(held("U", Some("Late again"), Some(25))),
    "U AM 25 \"Late again\""
)]
#[case::without_what_the_mis_does_not_keep(
    stands(held("U", Some("Late again"), Some(25))).keeping(CODE_ONLY),
    "U AM"
)]
#[case::a_protected_code(stands(held("/", None, None)), "/ AM")]
#[case::the_same_mark(stands(held("L", Some("Bus"), Some(7))), "withdrawn")]
#[case::the_same_code_in_another_mark(stands(held("L", None, Some(3))), "L AM 3")]
#[case::an_unreadable_code(stands(unreadable()), "fail")]
#[case::a_code_that_the_school_does_not_have(stands(held("QQ", None, None)), "fail")]
#[case::an_mis_that_takes_no_marks(
    stands(held("M", None, None)).keeping(FULL.without(Ability::Session)),
    "fail"
)]
#[case::nothing_before(withdrawn(WithdrawnTrace::Stands { before: None }), "fail")]
#[case::a_newer_mark(withdrawn(WithdrawnTrace::Replaced), "withdrawn")]
#[case::somebody_elses_change(withdrawn(WithdrawnTrace::Changed), "withdrawn")]
#[case::in_doubt(withdrawn(WithdrawnTrace::Unclear { why: "the copy is old".into() }), "fail")]
#[case::unseen(withdrawn(WithdrawnTrace::Unread { why: "no answer".into() }), "wait")]
fn the_mark_before_is_written_or_a_person_is_told(#[case] school: School, #[case] expected: &str) {
    let event = event("in", "09:07", "Bus");
    let decision = school.decide(&event);
    assert_eq!(common::brief(&decision), expected, "{decision}");
    assert!(!decision.arrival && decision.standing.is_none());
    assert!(decision.session.is_some());
    if let Some(planned) = decision.planned() {
        assert_eq!(planned.rule, Rule::MarkBefore);
        assert!(planned.code_id.is_some());
    }
    let words = decision.to_string();
    assert!(
        !words.contains("Bus") && !words.contains("again\""),
        "{words}"
    );
}

/// The group may be gone since.
#[test]
fn no_group_is_needed() {
    let school = stands(held("M", None, None));
    let event = event("in", "09:07", "");
    let decision = writeback::decide(&event, &"A123".into(), None, &school.view());
    assert_eq!(common::brief(&decision), "M AM", "{decision}");
}
