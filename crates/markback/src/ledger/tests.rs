//! What becomes of our own marks of one session.

use chrono::DateTime;
use mis_core::{EventKind, Session};
use rstest::rstest;
use writeback::{ChosenMark, Rule};

use super::*;

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000 + seconds, 0).unwrap()
}

fn mark(event: &str, code: &str, planned: i64) -> LedgerMark {
    LedgerMark {
        event: event.to_owned(),
        code: Code::new(code),
        comment: None,
        minutes_late: None,
        planned_at: at(planned),
        sent_at: None,
        answered: false,
        confirmed_at: None,
        against: Standing::default(),
        over: None,
        found: None,
        held: false,
        withdrawn: false,
        repairs: None,
    }
}

fn chosen(event: &str) -> Option<ChosenMark> {
    Some(ChosenMark {
        event: event.to_owned(),
        at: at(0).fixed_offset(),
        kind: EventKind::SignOut,
        rule: Rule::CustomCode,
        code: Code::new("M"),
        comment: None,
    })
}

fn clock(event: &str) -> Option<Arrival> {
    Some(Arrival {
        event: event.to_owned(),
        at: at(0).fixed_offset(),
    })
}

fn plan(mark: &LedgerMark) -> Change {
    Change::Plan {
        mark: mark.clone(),
        standing: None,
    }
}

fn accept(mark: &LedgerMark, sent: i64) -> Change {
    Change::Accept(LedgerMark {
        sent_at: Some(at(sent)),
        answered: true,
        ..mark.clone()
    })
}

fn row(changes: &[(i64, Change)]) -> LedgerRow {
    let mut row = LedgerRow::default();
    for (now, change) in changes {
        row.apply(change, at(*now));
    }
    row
}

fn held(code: &str, changed: Option<i64>) -> HeldMark {
    HeldMark {
        student: "A1".into(),
        session: Session::Am,
        code: HeldCode::Known(Code::new(code)),
        comment: None,
        minutes_late: None,
        changed_at: changed.map(at),
    }
}

/// The newest mark left with its stage and times.
fn newest(row: &LedgerRow) -> Option<(&str, Stage, DateTime<Utc>)> {
    let mark = row.newest()?;
    Some((&mark.event, mark.stage(), mark.since()))
}

#[rstest]
#[case::refused(Change::Forget("e2".to_owned()))]
#[case::discarded(Change::Discard("e2".to_owned()))]
fn the_mark_before_keeps_its_stage_and_its_time(#[case] end: Change) {
    let (first, second) = (mark("e1", "L", 0), mark("e2", "M", 100));
    let row = row(&[
        (0, plan(&first)),
        (2, accept(&first, 1)),
        (30, Change::Confirm("e1".to_owned())),
        (100, plan(&second)),
        (900, end),
    ]);
    assert_eq!(newest(&row), Some(("e1", Stage::Confirmed, at(30))));
    assert_eq!(row.marks[0].sent_at, Some(at(1)));
}

/// Whether a row with our own protected code is our mark, which was sent at 10 and confirmed at 30.
#[test]
fn a_row_with_our_code_is_ours_only_between_sending_and_confirming() {
    let own = mark("a", "M", 5);
    let answered = row(&[
        (5, plan(&own)),
        (10, accept(&own, 10)),
        (30, Change::Confirm("a".to_owned())),
    ]);
    for (changed, ours) in [
        (Some(4), false),
        (Some(20), true),
        (Some(30), true),
        (Some(31), false),
        (None, true),
    ] {
        let held = held("M", changed);
        assert_eq!(answered.is_own_mark(&held), Some(ours), "{changed:?}");
    }
    let unconfirmed = row(&[(5, plan(&own)), (10, accept(&own, 10))]);
    assert_eq!(unconfirmed.is_own_mark(&held("M", Some(20))), None);
    // Found in the register after an answer that never came: somebody else may have entered it.
    let found = row(&[(5, plan(&own)), (30, Change::Confirm("a".to_owned()))]);
    assert_eq!(found.is_own_mark(&held("M", Some(20))), Some(false));
}

#[test]
fn a_mark_that_is_refused_below_a_newer_one_does_not_come_back() {
    let (first, second) = (mark("e1", "L", 0), mark("e2", "M", 100));
    let until_refused = [
        (0, plan(&first)),
        (1, accept(&first, 1)),
        (100, plan(&second)),
    ];
    for end in [
        Change::Forget("e1".to_owned()),
        Change::SendAgain("e1".to_owned()),
    ] {
        let mut row = row(&until_refused);
        row.apply(&end, at(110));
        assert_eq!(newest(&row), Some(("e2", Stage::Planned, at(100))));
        row.apply(&Change::Forget("e2".to_owned()), at(120));
        assert_eq!(newest(&row), None);
    }
}

#[test]
fn only_the_newest_mark_is_sent_again() {
    let (first, second) = (mark("e1", "L", 0), mark("e2", "M", 100));
    let again = Change::SendAgain("e1".to_owned());
    let mut row = row(&[(0, plan(&first)), (1, accept(&first, 1))]);
    assert!(row.apply(&again, at(50)));
    assert_eq!(newest(&row), Some(("e1", Stage::Planned, at(0))));
    row.apply(&plan(&second), at(100));
    assert!(!row.apply(&again, at(110)));
    assert!(!row.apply(&again, at(111)));
}

#[test]
fn what_wonde_took_is_kept_although_a_person_gave_the_event_up() {
    let first = mark("e1", "L", 0);
    let mut row = row(&[(0, plan(&first)), (1, accept(&first, 1))]);
    assert!(!row.apply(&Change::Discard("e1".to_owned()), at(10)));
    assert_eq!(newest(&row), Some(("e1", Stage::Accepted, at(1))));
}

#[test]
fn a_mark_that_was_taken_after_a_newer_one_was_planned_goes_below_it() {
    let (first, second) = (mark("e1", "L", 0), mark("e2", "M", 100));
    let row = row(&[(100, plan(&second)), (101, accept(&first, 99))]);
    assert_eq!(newest(&row), Some(("e2", Stage::Planned, at(100))));
    assert_eq!(row.newest_but("e2").unwrap().event, "e1");
}

#[test]
fn what_an_event_said_goes_with_its_mark_wherever_that_is() {
    let said = |clock, chosen| Standing { clock, chosen };
    let with = |mark: &LedgerMark, against: Standing, standing: Standing| Change::Plan {
        mark: LedgerMark {
            against,
            ..mark.clone()
        },
        standing: Some(standing),
    };
    let noted = said(clock("e0"), None);
    let first = said(clock("e0"), chosen("e1"));
    let second = said(clock("e2"), chosen("e1"));
    let mut row = row(&[
        (0, Change::Stand(noted.clone())),
        (1, with(&mark("e1", "M", 1), noted.clone(), first.clone())),
        (2, with(&mark("e2", "L", 2), first, second)),
    ]);
    assert_eq!(row.standing_but("e2"), said(clock("e0"), chosen("e1")));
    row.apply(&Change::Forget("e1".to_owned()), at(3));
    assert_eq!(row.standing, said(clock("e2"), None));
    row.apply(&Change::Forget("e2".to_owned()), at(4));
    assert_eq!(row.standing, noted);
}

#[test]
fn a_mark_is_replaced_when_a_later_one_is_confirmed() {
    let (first, second) = (mark("e1", "L", 0), mark("e2", "M", 100));
    let mut row = row(&[
        (0, plan(&first)),
        (1, accept(&first, 1)),
        (2, Change::Confirm("e1".to_owned())),
        (100, plan(&second)),
        (101, accept(&second, 101)),
    ]);
    assert!(!row.is_replaced("e1"));
    row.apply(&Change::Confirm("e2".to_owned()), at(130));
    assert!(row.is_replaced("e1") && !row.is_replaced("e2"));
}

/// Planned at 100 in sight of a `/` that changed at 50, sent at 101, confirmed at 130.
#[rstest]
#[case::the_row_it_was_decided_on(held("/", Some(50)), Overwritten::Yes)]
#[case::the_same_code_entered_since(held("/", Some(51)), Overwritten::No)]
#[case::another_code(held("I", Some(50)), Overwritten::No)]
#[case::an_earlier_mark_of_ours(held("L", Some(80)), Overwritten::Yes)]
#[case::the_same_code_later_than_it_was_sent(held("L", Some(102)), Overwritten::No)]
#[case::so_near_that_the_clocks_leave_it_open(held("L", Some(97)), Overwritten::No)]
#[case::a_copy_that_tells_no_time(held("/", None), Overwritten::No)]
fn a_row_is_known_to_be_overwritten(#[case] held: HeldMark, #[case] expected: Overwritten) {
    let first = mark("e1", "L", 0);
    let second = LedgerMark {
        over: SeenMark::of(&super::tests::held("/", Some(50))),
        ..mark("e2", "M", 100)
    };
    let mut row = row(&[
        (0, plan(&first)),
        (1, accept(&first, 1)),
        (100, plan(&second)),
        (101, accept(&second, 101)),
    ]);
    let on_its_way = match expected {
        Overwritten::Yes => Overwritten::OnItsWay(at(101)),
        other => other,
    };
    assert_eq!(row.overwritten(&held, "e3"), on_its_way);
    row.apply(&Change::Confirm("e2".to_owned()), at(130));
    assert_eq!(row.overwritten(&held, "e3"), expected);
    // What is decided again does not rely on its own mark.
    if held.code == HeldCode::Known(Code::new("/")) {
        assert_eq!(row.overwritten(&held, "e2"), Overwritten::No);
    }
}

#[test]
fn old_marks_go_when_a_later_one_is_confirmed_and_not_before() {
    let mut row = LedgerRow::default();
    for n in 0..40 {
        row.apply(&plan(&mark(&format!("e{n}"), "L", n)), at(n));
    }
    assert_eq!(row.marks.len(), 40);
    row.apply(&Change::Confirm("e38".to_owned()), at(50));
    row.apply(&plan(&mark("e40", "L", 51)), at(51));
    assert_eq!(row.marks.len(), MARKS_KEPT);
    assert_eq!(row.marks[MARKS_KEPT - 3].event, "e38");
}

/// A held mark counts for what stands, not for what the register holds, until it is released.
#[test]
fn a_held_mark_is_not_in_the_register() {
    let held = LedgerMark {
        found: None,
        held: true,
        withdrawn: false,
        repairs: None,
        against: Standing {
            clock: None,
            chosen: chosen("e1"),
        },
        ..mark("e2", "U", 10)
    };
    let newest = |row: &LedgerRow| row.newest().map(|mark| mark.event.clone());
    let mut row = LedgerRow::default();
    row.apply(&plan(&mark("e1", "L", 0)), at(0));
    let standing = Standing {
        clock: None,
        chosen: chosen("e2"),
    };
    row.apply(
        &Change::Plan {
            mark: held.clone(),
            standing: Some(standing.clone()),
        },
        at(10),
    );
    assert_eq!(newest(&row).unwrap(), "e1");
    assert_eq!(row.newest_but("e1").map(|mark| &mark.event), None);
    assert!(row.standing == standing && row.mark("e2").is_some());
    // The older one is refused and sent again although the held one is above it.
    row.apply(&accept(&mark("e1", "L", 0), 11), at(11));
    assert!(row.apply(&Change::SendAgain("e1".to_owned()), at(12)));
    assert_eq!(row.mark("e1").unwrap().stage(), Stage::Planned);

    let mut dropped = row.clone();
    assert!(dropped.apply(&Change::Discard("e2".to_owned()), at(20)));
    assert!(dropped.standing.chosen == chosen("e1") && dropped.mark("e2").is_none());

    row.apply(&plan(&mark("e3", "I", 30)), at(30));
    assert_eq!(newest(&row).unwrap(), "e3");
    row.apply(&Change::Release(held.clone()), at(31));
    assert_eq!(newest(&row).unwrap(), "e2");
    assert!(row.apply(&Change::Hold("e2".to_owned()), at(32)));
    assert_eq!(newest(&row).unwrap(), "e3");
    // Released although the list has lost it.
    let mut empty = LedgerRow::default();
    empty.apply(&Change::Release(held), at(33));
    assert_eq!(newest(&empty).unwrap(), "e2");
}

#[test]
fn a_mark_is_stored_and_read_back() {
    let full = LedgerMark {
        comment: Some("Dentist, \"at ten\"".to_owned()),
        minutes_late: Some(7),
        sent_at: Some(at(1)),
        confirmed_at: Some(at(2)),
        against: Standing {
            clock: clock("e0"),
            chosen: chosen("e1"),
        },
        over: Some(SeenMark {
            code: HeldCode::Unreadable("unknown".into()),
            changed_at: at(3) + TimeDelta::microseconds(5),
        }),
        ..mark("e2", "M", 0)
    };
    for mark in [full, mark("e1", "L", 0)] {
        let text = serde_json::to_string(&mark).unwrap();
        assert!(serde_json::from_str::<LedgerMark>(&text).unwrap() == mark);
    }
}

fn withdraw(event: &str, may_stand: bool) -> Change {
    let event = event.to_owned();
    Change::Withdraw { event, may_stand }
}

/// The arrival and what stands are as if the event had never come. Only a mark that may be in the register stays.
#[rstest]
#[case::never_sent(false, Some("e1"))]
#[case::sent(true, Some("e2"))]
fn a_withdrawn_event_counts_no_longer(#[case] may_stand: bool, #[case] left: Option<&str>) {
    let (first, second) = (mark("e1", "L", 0), mark("e2", "/", 100));
    let second = LedgerMark {
        against: Standing {
            clock: clock("e1"),
            chosen: None,
        },
        ..second
    };
    let third = LedgerMark {
        against: Standing {
            clock: clock("e2"),
            chosen: None,
        },
        held: true,
        ..mark("e3", "M", 200)
    };
    let standing = Some(Standing {
        clock: clock("e2"),
        chosen: None,
    });
    let arrival = |event: &str| Change::Arrive(clock(event).unwrap());
    let mut changes = vec![
        (0, plan(&first)),
        (0, arrival("e1")),
        (
            100,
            Change::Plan {
                mark: second.clone(),
                standing,
            },
        ),
        (100, arrival("e2")),
        (200, plan(&third)),
    ];
    if may_stand {
        changes.push((110, accept(&second, 101)));
    }
    changes.push((300, withdraw("e2", may_stand)));
    let row = row(&changes);
    assert_eq!(newest(&row).map(|(event, ..)| event), left);
    assert_eq!(
        (&row.standing.clock, &row.arrival),
        (&clock("e1"), &clock("e1"))
    );
    let third = row.mark("e3").unwrap();
    assert_eq!(third.against.clock, clock("e1"));
}

/// A mark that left the list is again below those it left the list for, even if they are of the same moment: they cover it.
#[rstest]
#[case::planned_later(10, true)]
#[case::of_the_same_moment(0, true)]
#[case::planned_before(-10, false)]
fn a_mark_that_is_entered_again_stays_covered(#[case] other_at: i64, #[case] is_covered: bool) {
    let mut row = row(&[(0, plan(&mark("e2", "M", other_at)))]);
    row.enter(&mark("e1", "L", 0));
    assert_eq!(row.is_covered("e1"), is_covered);
}

/// What a withdrawn mark was written over: our newest mark below that stands, or what somebody else had entered.
#[test]
fn the_mark_before_a_withdrawn_one() {
    let before = |marks: &[LedgerMark]| {
        let changes: Vec<_> = marks.iter().map(|mark| (0, plan(mark))).collect();
        let found = row(&changes).before("wrong")?;
        let HeldCode::Known(code) = found.mark.code else {
            return None;
        };
        Some((code.as_str().to_owned(), found.is_ours))
    };
    let ours = |code: &str| Some((code.to_owned(), true));
    let theirs = |code: &str| Some((code.to_owned(), false));
    let first = mark("e1", "L", 0);
    let withdrawn = LedgerMark {
        withdrawn: true,
        ..mark("e2", "M", 10)
    };
    let held = LedgerMark {
        held: true,
        ..mark("e3", "U", 20)
    };
    let wrong = mark("wrong", "/", 30);
    let over_n = |mark: &LedgerMark| LedgerMark {
        found: Some(super::RegisterMark {
            code: HeldCode::Known(Code::new("N")),
            comment: None,
            minutes_late: None,
        }),
        ..mark.clone()
    };
    let old = LedgerMark {
        over: SeenMark::of(&self::held("I", Some(0))),
        ..wrong.clone()
    };
    for (marks, expected) in [
        (vec![wrong.clone()], None),
        (vec![first.clone(), wrong.clone()], ours("L")),
        (vec![first.clone(), over_n(&wrong)], theirs("N")),
        (
            vec![first.clone(), withdrawn.clone(), held, wrong.clone()],
            ours("L"),
        ),
        (vec![first, over_n(&withdrawn), wrong.clone()], theirs("N")),
        (vec![withdrawn, wrong], None),
        (vec![old], theirs("I")),
    ] {
        assert_eq!(before(&marks), expected);
    }
}

/// A repair that comes to nothing leaves the withdrawn mark where it was, unless a person has put it right.
#[test]
fn the_withdrawn_mark_is_back_when_its_repair_comes_to_nothing() {
    let wrong = LedgerMark {
        withdrawn: true,
        ..mark("e1", "M", 0)
    };
    let repair = LedgerMark {
        repairs: Some(Box::new(wrong.clone())),
        ..mark("e1", "L", 100)
    };
    let repaired = [(0, plan(&wrong)), (100, plan(&repair))];
    let with = |change| {
        let mut changes = repaired.to_vec();
        changes.push((200, change));
        let row = row(&changes);
        row.marks
            .iter()
            .map(|mark| (mark.code.to_string(), mark.withdrawn))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        with(Change::Forget("e1".to_owned())),
        [("M".to_owned(), true)]
    );
    assert_eq!(with(Change::Discard("e1".to_owned())), []);
    assert!(row(&repaired).unrepaired("e1").marks == [wrong.clone()]);
    let discarded = row(&[(0, plan(&wrong)), (1, Change::Discard("e1".to_owned()))]);
    assert!(discarded.marks.is_empty());
}
