//! Each step of the rules and its edges.
use crate::common::{
    self, CODE_ONLY, FIRST_LESSON, FULL, School, brief, by_our_record, cannot_look, event,
    event_at, held, looked,
};
use chrono::{DateTime, FixedOffset, TimeDelta};
use mis_core::{
    Ability, AttendanceCode, Capabilities, Code, CodeBook, EventKind, HeldCode, Session,
};
use rstest::rstest;
use writeback::{
    Arrival, ChosenMark, DecisionOutcome, Event, Previous, RegisterMark, RegisterSource,
    RegisterView, Rule, SkipReason, Standing, decide, settings::GroupKind,
};

// Before the steps, and step 1.

#[rstest]
#[case("out", "automatic", "not_written_back")]
#[case("in", "remote", "not_written_back")]
#[case("in", "automatic", "L AM 7")]
#[case("out", "remote", "M AM")]
fn automatic_sign_outs_and_remote_sign_ins_are_not_written(
    #[case] kind: &str,
    #[case] flag: &str,
    #[case] outcome: &str,
) {
    let mut event = event(kind, "09:07", "");
    (event.automatic, event.remote) = (flag == "automatic", flag == "remote");
    assert_eq!(
        School::with(&["leaver_code = \"M\""]).brief(&event),
        outcome
    );
}

#[rstest]
#[case(GroupKind::Students, "L AM 7")]
#[case(GroupKind::Staff, "not_written_back")]
#[case(GroupKind::Parents, "not_written_back")]
fn only_groups_of_students_write_back(#[case] kind: GroupKind, #[case] outcome: &str) {
    let school = School {
        kind,
        ..School::example()
    };
    assert_eq!(school.brief(&event("in", "09:07", "")), outcome);
}

#[test]
fn without_group_or_settings_nothing_is_written() {
    let event = event("in", "09:07", "");
    let school = School {
        rules: None,
        ..School::example()
    };
    assert_eq!(school.brief(&event), "not_written_back");
    assert_eq!(
        brief(&decide(&event, &"A123".into(), None, &school.view())),
        "not_written_back"
    );
}

#[test]
fn an_answer_with_write_false_writes_nothing() {
    assert_eq!(
        School::example().brief(&event("in", "09:07", " Sent on an errand ")),
        "answer_not_written"
    );
}

// Step 2: the session.

#[rstest]
#[case("in", "2026-11-23T11:59:59Z", "U AM 179")]
#[case("in", "2026-11-23T12:00:00Z", "\\ PM")]
#[case("in", "2026-11-23T15:29:59.999Z", "U PM 149")]
#[case("in", "2026-11-23T15:30:00Z", "outside_school_day")]
#[case("in", "2026-11-23T23:59:59Z", "outside_school_day")]
#[case("in", "2026-11-23T00:00:00Z", "/ AM")]
#[case("in", "2026-11-21T09:07:00Z", "not_a_school_day")]
#[case("in", "2026-11-22T23:59:59Z", "not_a_school_day")]
#[case("in", "2026-11-24T09:07:00Z", "not_a_school_day")]
#[case("out", "2026-11-22T09:07:00Z", "not_a_school_day")]
// Midnight in London is an hour earlier in UTC while summer time holds: the local date counts.
#[case("in", "2026-06-07T23:30:00Z", "/ AM")]
#[case("in", "2026-06-07T22:30:00Z", "not_a_school_day")]
// The same instants in other offsets.
#[case("in", "2026-11-23T00:30:00+14:00", "not_a_school_day")]
#[case("in", "2026-11-22T21:07:00-12:00", "L AM 7")]
fn sessions(#[case] kind: &str, #[case] at: &str, #[case] outcome: &str) {
    let school = School::with(&["closed = [\"2026-11-24\"]"]);
    assert_eq!(school.brief(&event_at(kind, at, "")), outcome);
}

/// On Sunday 25 October 2026 London's clocks go back from 02:00 to 01:00, on 29 March they went from 01:00 to 02:00.
#[rstest]
#[case::first_time("2026-10-25T00:30:01Z", "L AM 1")] // 01:30:01 BST
#[case::second_time("2026-10-25T01:30:01Z", "L AM 1")] // 01:30:01 GMT
#[case::second_time_in_time("2026-10-25T01:15:00Z", "/ AM")] // 01:15:00 GMT, after the first 01:30
#[case::before_the_gap("2026-03-29T00:59:59Z", "/ AM")] // 00:59:59 GMT
#[case::after_the_gap("2026-03-29T01:00:00Z", "L AM 30")] // 02:00:00 BST
fn an_instant_has_one_local_time_even_when_the_clocks_change(
    #[case] at: &str,
    #[case] outcome: &str,
) {
    let school = School::with(&["days = ['sun']", "am = { late = '01:30' }"]);
    assert_eq!(school.brief(&event_at("in", at, "")), outcome);
}

#[test]
fn session_of_returns_the_session_before_the_decision() {
    let school = School::example();
    let session_of = |at: &str| {
        school
            .rules
            .as_ref()
            .unwrap()
            .session_of(event_at("in", at, "").at, school.timezone)
    };
    assert_eq!(session_of("2026-11-23T09:07:00Z").unwrap().1, Session::Am);
    assert_eq!(session_of("2026-11-23T15:00:00Z").unwrap().1, Session::Pm);
    assert_eq!(session_of("2026-11-23T15:30:00Z"), None);
    assert_eq!(session_of("2026-11-22T09:07:00Z"), None);
    let decision = school.decide(&event("in", "09:07", ""));
    assert_eq!(decision.session, session_of("2026-11-23T09:07:00Z"));
}

// Step 3: what the MIS can.

#[rstest]
#[case("in", Capabilities::READ_ONLY, Some("session"))]
#[case("out", Capabilities::READ_ONLY, Some("session"))]
#[case("out", FIRST_LESSON, Some("early_leaver"))]
#[case("in", FIRST_LESSON, None)]
fn the_detail_names_the_unsupported_ability(
    #[case] kind: &str,
    #[case] capabilities: Capabilities,
    #[case] ability: Option<&str>,
) {
    let outcome = School::example()
        .keeping(capabilities)
        .decide(&event(kind, "09:07", ""))
        .outcome;
    let unsupported = match &outcome {
        DecisionOutcome::Skip {
            reason: SkipReason::Unsupported,
            detail,
        } => Some(detail.as_str()),
        _ => None,
    };
    assert_eq!(unsupported, ability);
}

/// Programs keep the word, people read what it means.
#[rstest]
#[case("in", "no mark is written: the MIS does not accept marks")]
#[case("out", "no mark is written: the MIS does not accept marks")]
fn display_describes_the_unsupported_ability(#[case] kind: &str, #[case] words: &str) {
    let school = School::example().keeping(Capabilities::READ_ONLY);
    let decision = school.decide(&event(kind, "09:07", ""));
    assert_eq!(decision.outcome.to_string(), words);
    assert_eq!(decision.steps.last().map(String::as_str), Some(words));
}

/// An MIS that keeps U for its office, and five characters of a comment.
const QUIRKS: mis_core::Quirks = mis_core::Quirks::NONE
    .refusing(|mark| (mark.code.as_str() == "U").then(|| "U is for the office alone".into()))
    .adjusting(|mark| mis_core::cut_comment(mark, 5));

#[test]
fn quirks_skip_or_change_a_mark_in_advance() {
    let school = School {
        quirks: QUIRKS,
        ..School::example()
    };
    let refused = school.decide(&event("in", "09:21", ""));
    assert_eq!(
        refused.outcome,
        DecisionOutcome::Skip {
            reason: SkipReason::Unsupported,
            detail: "U is for the office alone".to_owned()
        }
    );
    let cut = school.decide(&event("in", "09:07", "Bus broke down"));
    let mark = &cut.planned().unwrap().mark;
    assert_eq!(mark.comment.as_deref(), Some("Bus b"));
    assert!(
        cut.steps
            .iter()
            .any(|step| step.contains("cut at 5 characters")),
        "{:?}",
        cut.steps
    );
    // What the register then holds is the mark as it was cut, and nothing new.
    let school = school.seeing(looked(Some(held("L", Some("Bus b"), Some(7)))));
    assert_eq!(
        school.brief(&event("in", "09:07", "Bus broke down")),
        "already_recorded"
    );
}

// Step 4: the code of a sign-in.

#[rstest]
#[case("09:00:00", "/ AM")]
#[case("09:00:00.400", "/ AM")]
#[case("09:00:00.999999999", "/ AM")]
#[case("09:00:01", "L AM 1")]
#[case("09:00:30", "L AM 1")]
#[case("09:01:59", "L AM 1")]
#[case("09:02:00", "L AM 2")]
#[case("09:20:00", "L AM 20")]
#[case("09:20:00.9", "L AM 20")]
#[case("09:20:01", "U AM 20")]
#[case("13:00:00", "\\ PM")]
#[case("13:00:01", "L PM 1")]
#[case("13:15:01", "U PM 15")]
fn later_is_strict_and_to_the_second(#[case] time: &str, #[case] outcome: &str) {
    assert_eq!(School::example().brief(&event("in", time, "")), outcome);
}

#[rstest]
#[case("am = { late = '09:00' }", "11:00", "L AM 120")]
#[case("am = { unauthorised = '09:20' }", "09:20", "/ AM")]
#[case("am = { unauthorised = '09:20' }", "09:25", "U AM")]
#[case(
    "am = { starts = '08:50', unauthorised = '09:20' }",
    "09:25",
    "U AM 35"
)]
#[case(
    "am = { starts = '08:50', late = '09:00', unauthorised = '09:20' }",
    "09:00",
    "/ AM"
)]
#[case(
    "am = { starts = '08:50', late = '09:00', unauthorised = '09:20' }",
    "09:00:01",
    "L AM 10"
)]
#[case(
    "am = { starts = '08:50', late = '09:00', unauthorised = '09:20' }",
    "09:21",
    "U AM 31"
)]
#[case(
    "am = { starts = '08:50:30', late = '09:00:30' }",
    "09:00:31",
    "L AM 10"
)]
#[case("am = { starts = '08:50' }", "11:00", "/ AM")]
#[case("am = {}", "11:00", "/ AM")]
#[case(
    "am = { late = '09:00', unauthorised = '09:00' }",
    "09:00:01",
    "U AM 1"
)]
fn a_missing_time_disables_its_step(#[case] am: &str, #[case] time: &str, #[case] outcome: &str) {
    assert_eq!(School::with(&[am]).brief(&event("in", time, "")), outcome);
}

#[rstest]
#[case("06:00", "M - Medical appointment", "M AM \"M - Medical appointment\"")]
#[case("11:00", "M - Medical appointment", "M AM \"M - Medical appointment\"")]
#[case("14:00", "M - Medical appointment", "M PM \"M - Medical appointment\"")]
#[case("15:30", "M - Medical appointment", "outside_school_day")]
#[case("08:00", "Missed the bus", "L AM \"Missed the bus\"")]
#[case("09:07", "Missed the bus", "L AM \"Missed the bus\"")]
#[case("09:07", "Drop-off was late", "L AM 7 \"Drop-off was late\"")]
#[case("09:07", "E-scooter broke down", "L AM 7 \"E-scooter broke down\"")]
#[case("09:07", "  ", "L AM 7")]
#[case("09:07", "A code of our own", "unknown_code")]
fn custom_codes_of_a_sign_in(#[case] time: &str, #[case] answer: &str, #[case] outcome: &str) {
    assert_eq!(School::example().brief(&event("in", time, answer)), outcome);
}

#[test]
fn only_the_named_field_has_codes() {
    let school = School::with(&["custom_codes = {}"]);
    assert_eq!(
        school.brief(&event("in", "09:07", "M - Medical appointment")),
        "L AM 7 \"M - Medical appointment\""
    );
    assert_eq!(
        school.brief(&event("in", "09:07", "Missed the bus")),
        "L AM 7 \"Missed the bus\""
    );
}

#[rstest]
#[case("08:52", "present_writeback_off")]
#[case("09:07", "L AM 7")]
fn present_may_be_off(#[case] time: &str, #[case] outcome: &str) {
    assert_eq!(
        School::with(&["present = false"]).brief(&event("in", time, "")),
        outcome
    );
}

#[rstest]
#[case("08:52", "P AM")]
#[case("09:07", "V AM 7")]
#[case("09:21", "W AM 21")]
#[case("12:58", "B PM")]
fn codes_can_be_replaced_in_the_settings(#[case] time: &str, #[case] outcome: &str) {
    let school = School::with(&[
        "codes = { late = 'v', unauthorised = 'w', present_am = 'p', present_pm = 'b' }",
    ]);
    assert_eq!(school.brief(&event("in", time, "")), outcome);
}

// Step 4: the code of a sign-out.

#[rstest]
#[case("10:15", "M – Dentist", "M AM")]
#[case("10:15", "m — Dentist", "M AM")]
#[case("14:10", "C1 – On stage", "C1 PM")]
#[case("14:10", "Home", "leaver_writeback_off")]
#[case("14:10", "", "leaver_writeback_off")]
#[case("15:30", "M – Dentist", "outside_school_day")]
fn custom_codes_of_a_sign_out(#[case] time: &str, #[case] answer: &str, #[case] outcome: &str) {
    assert_eq!(
        School::example().brief(&event("out", time, answer)),
        outcome
    );
}

#[rstest]
#[case("08:00", "", "I AM")]
#[case("10:15", "Home", "I AM")]
#[case("14:10", "", "I PM")]
#[case("14:10", "M - Dentist", "M PM")]
fn the_leaver_code_applies_to_sign_outs_without_a_code(
    #[case] time: &str,
    #[case] answer: &str,
    #[case] outcome: &str,
) {
    assert_eq!(
        School::with(&["leaver_code = 'i'"]).brief(&event("out", time, answer)),
        outcome
    );
}

// Step 5: known codes.

#[rstest]
#[case("08:52", "", "unknown_code")]
#[case("09:07", "", "L AM 7")]
#[case("09:21", "", "unknown_code")]
#[case(
    "09:07",
    "M - Medical appointment",
    "L AM 7 \"M - Medical appointment\""
)]
fn only_codes_of_the_schools_own_book_are_written(
    #[case] time: &str,
    #[case] answer: &str,
    #[case] outcome: &str,
) {
    let line = AttendanceCode::new("L").with_id("17");
    let school = School {
        book: CodeBook::new([line]),
        ..School::example()
    };
    assert_eq!(school.brief(&event("in", time, answer)), outcome);
}

#[test]
fn a_mark_carries_the_books_spelling_and_id() {
    let lines = ["l", "m"].map(|code| AttendanceCode::new(code).with_id(format!("id of {code}")));
    let school = School {
        book: CodeBook::new(lines),
        ..School::with(&["employee_id = \"T9\""])
    };
    let decision = school.decide(&event("in", "09:07", ""));
    let planned = decision.planned().unwrap();
    assert_eq!(planned.mark.code, Code::new("l"));
    assert_eq!(planned.code_id, Some("id of l".into()));
    assert_eq!(planned.mark.employee, Some("T9".into()));
    assert_eq!(planned.mark.student, "A123".into());
    assert_eq!(school.brief(&event("out", "09:07", "M - Dentist")), "m AM");
}

// Step 6: protection.

#[rstest]
#[case("in", "M - Medical appointment", "/", "protected")]
#[case("in", "", "m", "protected")]
#[case("in", "", " M ", "protected")]
#[case("in", "", "N", "L AM 7")]
#[case("out", "M - Dentist", "M", "protected")]
#[case("out", "M - Dentist", "L", "M AM")]
fn a_protected_code_takes_precedence_over_every_other(
    #[case] kind: &str,
    #[case] answer: &str,
    #[case] register: &str,
    #[case] outcome: &str,
) {
    let school = School::example().holding(register);
    assert_eq!(
        school
            .brief(&event(kind, "09:07", answer))
            .split(" \"")
            .next(),
        Some(outcome)
    );
}

#[rstest]
#[case("['sign_in', 'sign_out']", "protected", "protected")]
#[case("['sign_in']", "protected", "M AM")]
#[case("['sign_out']", "L AM 7", "protected")]
#[case("[]", "L AM 7", "M AM")]
fn protection_applies_to_the_events_of_protect_on(
    #[case] protect_on: &str,
    #[case] sign_in: &str,
    #[case] sign_out: &str,
) {
    let school = School::with(&[&format!("protect_on = {protect_on}")]).holding("/");
    assert_eq!(school.brief(&event("in", "09:07", "")), sign_in);
    assert_eq!(
        school.brief(&event("out", "09:07", "M - Dentist")),
        sign_out
    );
}

#[rstest]
#[case("protected = ['/']", "wait", "fail")]
#[case("protected = []", "L AM 7", "L AM 7")]
#[case("protect_on = ['sign_out']", "L AM 7", "L AM 7")]
fn an_unreadable_register_makes_protected_schools_wait(
    #[case] setting: &str,
    #[case] not_looked: &str,
    #[case] not_known: &str,
) {
    let unreadable = RegisterMark {
        code: HeldCode::Unreadable("X9".into()),
        comment: None,
        minutes_late: None,
    };
    for (register, outcome) in [
        (cannot_look(), not_looked),
        (looked(Some(unreadable)), not_known),
    ] {
        let school = School::with(&[setting]).seeing(register);
        assert_eq!(school.brief(&event("in", "09:07", "")), outcome);
    }
}

#[test]
fn an_unknown_code_in_the_register_fails_the_event() {
    let unreadable = RegisterMark {
        code: HeldCode::Unreadable("X9".into()),
        comment: None,
        minutes_late: None,
    };
    let school = School::example().seeing(looked(Some(unreadable)));
    let decision = school.decide(&event("in", "08:52", ""));
    let json = serde_json::to_value(&decision).unwrap();
    assert_eq!(json["outcome"], "fail");
    let why = json["detail"].as_str().unwrap();
    assert!(why.contains("a code with the id X9"), "{why}");
    assert!(why.contains("retry the event"), "{why}");
    // The pupil arrived all the same: a later sign-in is no late arrival.
    assert!(decision.arrival);
    assert_eq!(decision.standing, None);
}

/// A book that has these lines and England's other codes.
fn book_with(lines: [AttendanceCode; 2]) -> CodeBook {
    let letters = lines[0].code.clone();
    let others = common::school_book();
    let others = others.iter().filter(|line| line.code != letters).cloned();
    CodeBook::new(lines.into_iter().chain(others.collect::<Vec<_>>()))
}

#[test]
fn a_repeated_code_is_written_with_the_active_id() {
    let old = AttendanceCode {
        active: Some(false),
        ..AttendanceCode::new("L").with_id("old")
    };
    let school = School {
        book: book_with([old, AttendanceCode::new("L").with_id("new")]),
        ..School::example()
    };
    let decision = school.decide(&event("in", "09:07", ""));
    assert_eq!(decision.planned().unwrap().code_id, Some("new".into()));
    let told =
        "the school's code book has L more than once: the active one is written, with the id new";
    assert!(decision.steps.iter().any(|step| step == told), "{decision}");
}

#[test]
fn a_repeated_code_without_an_active_entry_fails_the_event() {
    let school = || School {
        book: book_with(["one", "other"].map(|id| AttendanceCode::new("L").with_id(id))),
        ..School::example()
    };
    let decision = school().decide(&event("in", "09:07", ""));
    let text = decision.to_string();
    assert!(text.contains("has L 2 times (ids one, other)"), "{text}");
    assert_eq!(brief(&decision), "fail");
    assert!(decision.arrival);
    // It matters only where something would be written with it.
    assert_eq!(school().brief(&event("in", "08:52", "")), "/ AM");
    assert_eq!(
        school().holding("M").brief(&event("in", "09:07", "")),
        "protected"
    );
    let same = school().seeing(looked(Some(held("L", None, Some(7)))));
    assert_eq!(same.brief(&event("in", "09:07", "")), "already_recorded");
}

#[test]
fn a_protected_code_outside_the_book_is_protected_too() {
    let school = School::with(&["protected = ['qq']"]).holding("QQ");
    assert_eq!(school.brief(&event("in", "09:07", "")), "protected");
}

// Step 7: the first arrival.

#[rstest]
#[case("e0", "09:03:00", "already_arrived")]
#[case("e0", "09:07:00", "already_arrived")]
#[case("e0", "09:07:00.001", "L AM 7")]
#[case("e0", "09:30:00", "L AM 7")]
#[case("e1", "09:03:00", "L AM 7")]
#[case("e1", "09:07:00", "L AM 7")]
fn the_earliest_arrival_stands(#[case] recorded: &str, #[case] time: &str, #[case] outcome: &str) {
    let school = School::example().after(recorded, &format!("2026-11-23T{time}Z"));
    assert_eq!(school.brief(&event("in", "09:07", "")), outcome);
}

#[test]
fn arrivals_are_compared_as_instants() {
    let school = School::example().after("e0", "2026-11-23T10:06:59+01:00");
    assert_eq!(school.brief(&event("in", "09:07", "")), "already_arrived");
}

#[rstest]
#[case("in", "M - Medical appointment", "M AM \"M - Medical appointment\"")]
#[case("out", "M - Dentist", "M AM")]
fn custom_codes_and_sign_outs_are_written_after_an_arrival(
    #[case] kind: &str,
    #[case] answer: &str,
    #[case] outcome: &str,
) {
    let school = School::example().after("e0", "2026-11-23T08:50:00Z");
    assert_eq!(school.brief(&event(kind, "10:15", answer)), outcome);
}

#[test]
fn first_arrival_stands_can_be_off() {
    let school =
        School::with(&["first_arrival_stands = false"]).after("e0", "2026-11-23T08:50:00Z");
    assert_eq!(school.brief(&event("in", "09:07", "")), "L AM 7");
}

#[rstest]
#[case("08:52", "", "", true)]
#[case("09:07", "", "", true)]
#[case("09:21", "", "", true)]
#[case("09:07", "M - Medical appointment", "", false)]
#[case("09:07", "", "present = false", true)]
#[case("08:52", "", "present = false", true)]
#[case("16:00", "", "", false)]
fn only_sign_ins_judged_by_time_are_arrivals(
    #[case] time: &str,
    #[case] answer: &str,
    #[case] setting: &str,
    #[case] arrival: bool,
) {
    let decision = School::with(&[setting]).decide(&event("in", time, answer));
    assert_eq!(decision.arrival, arrival);
    if let Some(planned) = decision.planned() {
        assert_eq!(planned.rule.is_time_based(), arrival);
    }
}

#[test]
fn waiting_and_second_sign_ins_are_not_arrivals() {
    let event = event("in", "09:07", "");
    assert!(
        !School::example()
            .seeing(cannot_look())
            .decide(&event)
            .arrival
    );
    assert!(
        !School::example()
            .after("e0", "2026-11-23T08:50:00Z")
            .decide(&event)
            .arrival
    );
    assert!(School::example().holding("M").decide(&event).arrival);
}

// Step 7: events that are delivered late.

fn clock(at: &str) -> Option<Arrival> {
    Some(Arrival {
        event: "e0".into(),
        at: at_of(at),
    })
}

fn chosen(at: &str) -> Option<ChosenMark> {
    Some(ChosenMark {
        event: "e9".into(),
        at: at_of(at),
        kind: EventKind::SignOut,
        rule: Rule::CustomCode,
        code: "M".into(),
        comment: None,
    })
}

fn at_of(time: &str) -> DateTime<FixedOffset> {
    event("in", time, "").at
}

/// A school without protected codes after these events have had their say; the later of them is in the register.
fn after(clock_at: &str, chosen_at: &str) -> School {
    let of = |at: &str| Some(at.to_owned()).filter(|at| !at.is_empty());
    let (clock, chosen) = (
        of(clock_at).and_then(|at| clock(&at)),
        of(chosen_at).and_then(|at| chosen(&at)),
    );
    School {
        arrival: clock.clone(),
        standing: Standing { clock, chosen },
        ..School::with(&["protected = []", "leaver_code = 'I'"])
    }
    .holding(if chosen_at > clock_at { "M" } else { "U" })
}

#[rstest]
// A code that was chosen stands against every event before it, whatever chose theirs.
#[case("", "10:15", "in", "09:07", "", "later_event_stands")]
#[case(
    "",
    "10:15",
    "in",
    "09:07",
    "M - Medical appointment",
    "later_event_stands"
)]
#[case("", "10:15", "out", "10:00", "", "later_event_stands")]
#[case("", "10:15", "out", "10:15:01", "", "I AM")]
#[case("", "10:15", "in", "10:40", "", "U AM 100")]
// So does an arrival against a code that was chosen before it.
#[case("10:40", "", "out", "10:15", "", "later_event_stands")]
#[case("10:40", "", "out", "10:45", "", "I AM")]
// Of two at one instant the one that is decided last is the later.
#[case("", "10:15", "out", "10:15", "", "I AM")]
#[case("10:15", "", "out", "10:15", "", "I AM")]
#[case("", "10:15", "in", "10:15", "", "U AM 75")]
// The earliest arrival is the one that counts.
#[case("10:40", "", "in", "09:07", "", "L AM 7")]
#[case("10:40", "10:15", "in", "10:20", "", "U AM 80")]
#[case("10:40", "10:15", "in", "10:50", "", "already_arrived")]
#[case("10:10", "10:15", "in", "09:07", "", "later_event_stands")]
// What a sign-in that was not the first had taken the place of counts again.
#[case("10:40", "10:15", "in", "09:07", "", "M AM")]
#[case("10:40", "10:15", "in", "08:50", "", "M AM")]
fn an_event_delivered_late_does_not_override_a_later_one(
    #[case] clock_at: &str,
    #[case] chosen_at: &str,
    #[case] kind: &str,
    #[case] time: &str,
    #[case] answer: &str,
    #[case] outcome: &str,
) {
    let school = after(clock_at, chosen_at);
    assert_eq!(school.brief(&event(kind, time, answer)), outcome);
}

#[test]
fn the_steps_name_the_standing_event() {
    let decision = after("", "10:15").decide(&event("in", "09:07", ""));
    assert!(decision.arrival, "it is the arrival all the same");
    assert!(
        decision
            .outcome
            .to_string()
            .contains("an event 1 hour later"),
        "{decision}"
    );
    let decision = after("10:40", "10:15").decide(&event("in", "09:07", ""));
    assert!(
        decision
            .steps
            .iter()
            .any(|step| step.contains("M applies again")),
        "{decision}"
    );
    assert_eq!(decision.planned().unwrap().mark.cause, EventKind::SignOut);
}

/// A sign-out that came too late to be written counts all the same when the arrival that stood above it does not.
#[test]
fn a_skipped_late_event_is_recorded_as_standing() {
    let mut school = after("10:40", "");
    let decision = school.decide(&event("out", "10:15", "M - Dentist"));
    assert_eq!(brief(&decision), "later_event_stands");
    school.standing = decision.standing.unwrap();
    assert_eq!(
        school.brief(&event_at("in", "2026-11-23T08:50:00Z", "")),
        "M AM"
    );
}

#[test]
fn an_arrival_in_time_delivered_late_reports_the_wrong_late_mark() {
    let school = School::with(&["protected = []", "present = false"]);
    let school = School {
        arrival: clock("09:30"),
        standing: Standing {
            clock: clock("09:30"),
            chosen: None,
        },
        ..school
    }
    .holding("U");
    let decision = school.decide(&event("in", "08:50", ""));
    assert_eq!(brief(&decision), "present_writeback_off");
    assert!(
        decision.to_string().contains("correct it in the MIS"),
        "{decision}"
    );
    assert_eq!(decision.standing, Some(Standing::default()));
}

// Step 7: back in time.

/// A school without present marks, which protects the leaver's code too, after our own sign-out at 12:08.
fn left() -> School {
    School {
        standing: Standing {
            clock: None,
            chosen: chosen("12:08"),
        },
        ..School::with(&[
            "present = false",
            "leaver_code = 'M'",
            "protected = ['/', '\\', 'M', 'X']",
        ])
    }
    .seeing(by_our_record(Some(held("M", None, None))))
}

fn wondes(code: &str) -> RegisterView {
    looked(Some(held(code, None, None)))
}

#[rstest]
#[case::in_time("12:44", "", left(), "\\ PM")]
#[case::at_the_late_time("13:00", "", left(), "\\ PM")]
#[case::late("13:00:01", "", left(), "L PM 1")]
#[case::after_registration("13:20", "", left(), "U PM 20")]
#[case::with_a_code_of_its_own("12:44", "Missed the bus", left(), "L PM \"Missed the bus\"")]
#[case::unprotected("12:44", "", School { rules: School::with(&["present = false", "protected = []"]).rules, ..left() }, "\\ PM")]
#[case::with_present_marks("12:44", "", School { rules: School::with(&["leaver_code = 'M'"]).rules, ..left() }, "\\ PM")]
// Somebody else has touched it: according to Wonde's copy it is not ours any more.
#[case::touched("12:44", "", left().seeing(wondes("M")), "present_writeback_off")]
#[case::touched_and_late("13:20", "", left().seeing(wondes("M")), "protected")]
#[case::changed("13:20", "", left().seeing(wondes("X")), "protected")]
// Who had arrived before leaving keeps the leaver's mark.
#[case::arrived_before("12:44", "", left().after("e0", "2026-11-23T12:02:00Z"), "present_writeback_off")]
#[case::arrived_before_and_late("13:20", "", left().after("e0", "2026-11-23T12:02:00Z"), "protected")]
// Without a sign-out of ours nothing changes.
#[case::not_left("12:44", "", School { standing: Standing::default(), ..left() }, "present_writeback_off")]
#[case::before_leaving("12:01", "", left(), "present_writeback_off")]
#[case::a_sign_in_chose_it("12:44", "", School {
    standing: Standing { clock: None, chosen: chosen("12:08").map(|mark| ChosenMark { kind: EventKind::SignIn, ..mark }) },
    ..left()
}, "present_writeback_off")]
// Decided again before it is sent: the leaver's mark was never sent, or shows by now, and in doubt it protects.
#[case::again_and_nothing_there("12:44", "", School { planned_before: true, ..left().seeing(looked(None)) }, "\\ PM")]
#[case::again_and_unprotected("12:44", "", School {
    planned_before: true,
    rules: School::with(&["present = false", "protected = ['X']"]).rules,
    ..left().seeing(wondes("M"))
}, "\\ PM")]
// Whether the leaver's mark still stands cannot be seen, so nothing is decided yet.
#[case::unseen("12:44", "", left().seeing(unseen()), "wait")]
#[case::again_and_unseen("12:44", "", School { planned_before: true, ..left().seeing(unseen()) }, "wait")]
#[case::unseen_but_not_left("12:44", "", School { standing: Standing::default(), ..left().seeing(unseen()) }, "present_writeback_off")]
#[case::again_and_in_doubt("12:44", "", School { planned_before: true, ..left().seeing(wondes("M")) }, "protected")]
fn back_in_time(
    #[case] time: &str,
    #[case] answer: &str,
    #[case] school: School,
    #[case] outcome: &str,
) {
    assert_eq!(school.brief(&event("in", time, answer)), outcome);
}

#[test]
fn a_return_is_the_arrival_and_says_so() {
    let decision = left().decide(&event("in", "12:44", ""));
    assert!(decision.arrival);
    let words = decision.to_string();
    for step in [
        "the pupil left 36 minutes earlier (M) without having arrived before, so this return is the arrival → \\",
        "M is protected, but it is our own: the pupil left with M, and nobody else has changed it",
    ] {
        assert!(words.contains(step), "{words}");
    }
}

/// The sign-out is delivered after the return: as if it had come first, the session says present.
#[rstest]
#[case::in_time("12:44", "12:08", "\\ PM")]
#[case::leaves_later("12:44", "13:10", "M PM")]
#[case::back_late("13:05", "12:08", "later_event_stands")]
fn a_sign_out_delivered_after_the_return(
    #[case] back: &str,
    #[case] out: &str,
    #[case] outcome: &str,
) {
    let mut school = School {
        standing: Standing::default(),
        ..left().seeing(looked(None))
    };
    let returned = Event {
        id: "e2".into(),
        ..event("in", back, "")
    };
    let decision = school.decide(&returned);
    assert!(decision.arrival);
    school.arrival = Some(Arrival {
        event: "e2".into(),
        at: returned.at,
    });
    school.standing = decision.standing.clone().unwrap_or_default();
    if let Some(planned) = decision.planned() {
        let mark = &planned.mark;
        school.register = by_our_record(Some(held(mark.code.as_str(), None, mark.minutes_late)));
    }
    let decision = school.decide(&event("out", out, ""));
    assert_eq!(brief(&decision), outcome, "{decision}");
    if outcome == "\\ PM" {
        let planned = decision.planned().unwrap();
        assert_eq!(
            (planned.mark.cause, planned.rule),
            (EventKind::SignIn, Rule::Present)
        );
        let standing = decision.standing.unwrap();
        assert_eq!(standing.clock.unwrap().event, "e2");
        assert_eq!(standing.chosen.unwrap().event, "e1");
    }
}

/// An earlier return that is delivered after a later one says the same, and nothing has to be corrected by hand.
#[test]
fn of_two_returns_the_first_counts() {
    let school = School {
        arrival: clock("12:44"),
        standing: Standing {
            clock: clock("12:44"),
            chosen: chosen("12:08"),
        },
        ..left()
    };
    let late = school.seeing(by_our_record(Some(held("L", None, Some(4)))));
    let decision = late.decide(&event("in", "12:30", ""));
    assert_eq!(brief(&decision), "\\ PM", "{decision}");
    assert!(!decision.to_string().contains("correct it in the MIS"));
}

/// Who was in time after all, at a school without present marks: what a later sign-in had replaced counts again.
#[test]
fn a_replaced_mark_applies_again_without_present_marks_too() {
    let school = School {
        arrival: clock("10:40"),
        standing: Standing {
            clock: clock("10:40"),
            chosen: chosen("10:15"),
        },
        ..School::with(&["present = false", "protected = []"])
    }
    .seeing(by_our_record(Some(held("U", None, Some(100)))));
    let decision = school.decide(&event("in", "08:50", ""));
    assert_eq!(brief(&decision), "M AM", "{decision}");
}

// Between the steps: double taps.

fn shortly_after(kind: &str, time: &str) -> School {
    let before = event(kind, time, "");
    School {
        previous: Some(Previous {
            event: "e0".into(),
            kind: before.kind,
            at: before.at,
        }),
        ..School::with(&["leaver_code = 'I'"])
    }
}

#[rstest]
#[case("in", "09:05:00", "out", "09:05:02", "", "double_tap")]
#[case("in", "09:05:00", "out", "09:05:59.999", "", "double_tap")]
#[case("in", "09:05:00", "out", "09:06:00", "", "I AM")]
#[case("out", "15:29:00", "in", "15:29:02", "", "double_tap")]
#[case("in", "09:05:00", "out", "09:05:02", "M - Dentist", "double_tap")]
// The same kind again says nothing new, unless it answers something.
#[case("in", "09:05:00", "in", "09:05:02", "", "double_tap")]
#[case(
    "in",
    "09:05:00",
    "in",
    "09:05:20",
    "Missed the bus",
    "L AM \"Missed the bus\""
)]
#[case("out", "09:05:00", "out", "09:05:20", "M - Dentist", "M AM")]
// Of two at the same instant the one decided first is the event before.
#[case("in", "09:05:00", "out", "09:05:00", "", "double_tap")]
// What was later is no event before.
#[case("in", "09:05:01", "out", "09:05:00", "", "I AM")]
fn an_event_too_soon_after_another_is_a_double_tap(
    #[case] before: &str,
    #[case] at: &str,
    #[case] kind: &str,
    #[case] time: &str,
    #[case] answer: &str,
    #[case] outcome: &str,
) {
    let school = shortly_after(before, at);
    assert_eq!(school.brief(&event(kind, time, answer)), outcome);
}

#[test]
fn a_double_tap_is_no_arrival_and_says_why() {
    let decision = shortly_after("out", "09:05:00").decide(&event("in", "09:05:02", ""));
    assert!(!decision.arrival && decision.standing.is_none());
    let words = decision.outcome.to_string();
    assert_eq!(
        words,
        "no mark is written: signed in 2 seconds after a sign-out, sooner than the shortest stay of 1 minute"
    );
}

#[rstest]
#[case("shortest_stay = 0", "I AM")]
#[case("shortest_stay = '0s'", "I AM")]
#[case("shortest_stay = '30s'", "I AM")]
#[case("shortest_stay = '2m'", "double_tap")]
fn the_shortest_stay_is_a_setting(#[case] setting: &str, #[case] outcome: &str) {
    let rules = School::with(&["leaver_code = 'I'", setting]).rules;
    let school = School {
        rules,
        ..shortly_after("in", "09:05:00")
    };
    assert_eq!(school.brief(&event("out", "09:05:40", "")), outcome);
}

/// The first of two taps is delivered last: the other was the double tap, and its mark does not stand.
#[rstest]
#[case("present = true", "09:05:00", "09:05:02", "L AM 5")]
#[case("present = true", "08:50:00", "08:50:02", "/ AM")]
#[case("present = false", "08:50:00", "08:50:02", "/ AM")]
#[case("present = false", "08:50:00", "08:51:00", "present_writeback_off")]
fn a_double_tap_delivered_first_does_not_stand(
    #[case] present: &str,
    #[case] time: &str,
    #[case] tapped: &str,
    #[case] outcome: &str,
) {
    let school = School {
        standing: Standing {
            clock: None,
            chosen: chosen(tapped),
        },
        ..School::with(&[present, "protected = ['M']", "leaver_code = 'M'"])
    }
    .seeing(by_our_record(Some(held("M", None, None))));
    assert_eq!(school.brief(&event("in", time, "")), outcome);
}

// Unicode: an answer in another form is the same answer.

#[rstest]
#[case("Caf\u{e9} - M", "Cafe\u{301} - M")]
#[case("Cafe\u{301} - M", "Caf\u{e9} - M")]
fn an_answer_in_another_unicode_form_is_the_same(#[case] option: &str, #[case] answer: &str) {
    let toml = common::example_with(&[]).replace(
        "\"Overslept\"",
        &format!("{{ text = {option:?}, code = \"L\" }}").replace("\\u{301}", "\u{301}"),
    );
    let school = School::new(&toml);
    let expected = "L AM \"Café - M\"";
    assert_eq!(school.brief(&event("in", "08:50", answer)), expected);
    let recorded = school.seeing(looked(Some(held("L", Some("Cafe\u{301} - M"), None))));
    assert_eq!(
        recorded.brief(&event("in", "08:50", answer)),
        "already_recorded"
    );
}

/// Whatever else stands in its way, a later sign-in does not take the place of an arrival.
#[test]
fn a_protected_register_does_not_make_a_later_sign_in_the_arrival() {
    let school = School::example()
        .after("e0", "2026-11-23T08:50:00Z")
        .holding("M");
    let decision = school.decide(&event("in", "09:07", ""));
    assert_eq!(
        (brief(&decision).as_str(), decision.arrival),
        ("protected", false)
    );
}

// Step 8: nothing new.

#[rstest]
#[case(FULL, "L", Some("Bus"), Some(7), "already_recorded")]
#[case(FULL, "l", Some(" Bus "), Some(7), "already_recorded")]
#[case(FULL, "L", Some("Bus"), Some(6), "L AM 7 \"Bus\"")]
#[case(FULL, "L", Some("Bus"), None, "L AM 7 \"Bus\"")]
#[case(FULL, "L", Some("bus"), Some(7), "L AM 7 \"Bus\"")]
#[case(FULL, "L", None, Some(7), "L AM 7 \"Bus\"")]
#[case(FULL, "U", Some("Bus"), Some(7), "L AM 7 \"Bus\"")]
#[case(CODE_ONLY, "L", None, None, "already_recorded")]
#[case(CODE_ONLY, "L", Some("from elsewhere"), Some(3), "already_recorded")]
#[case(CODE_ONLY, "U", None, None, "L AM")]
fn an_unchanged_mark_is_not_written(
    #[case] capabilities: Capabilities,
    #[case] code: &str,
    #[case] comment: Option<&str>,
    #[case] minutes: Option<u32>,
    #[case] outcome: &str,
) {
    let school = School::example()
        .keeping(capabilities)
        .seeing(looked(Some(held(code, comment, minutes))));
    assert_eq!(school.brief(&event("in", "09:07", "Bus")), outcome);
}

#[test]
fn no_comment_is_the_same_as_a_blank_one() {
    let school = School::example().seeing(looked(Some(held("L", Some(" "), Some(7)))));
    assert_eq!(school.brief(&event("in", "09:07", "")), "already_recorded");
}

#[test]
fn an_unreadable_code_is_never_the_same() {
    let unreadable = RegisterMark {
        code: HeldCode::Unreadable("X9".into()),
        comment: None,
        minutes_late: Some(7),
    };
    let school = School::with(&["protected = []"]).seeing(looked(Some(unreadable)));
    assert_eq!(school.brief(&event("in", "09:07", "")), "L AM 7");
}

// Step 9: minutes late and the comment.

#[rstest]
#[case(Some(3), "L AM 7 \"Bus\"", &[])]
#[case(Some(2), "L AM 7", &[Ability::Comment])]
#[case(None, "L AM 7 \"Bus\"", &[])]
fn a_comment_is_never_truncated(
    #[case] comment_max: Option<u16>,
    #[case] outcome: &str,
    #[case] dropped: &[Ability],
) {
    let decision = School::example()
        .keeping(comment_max.map_or(FULL, |max| FULL.with_comment_max(max)))
        .decide(&event("in", "09:07", " Bus "));
    assert_eq!(
        (brief(&decision).as_str(), decision.dropped.as_slice()),
        (outcome, dropped)
    );
}

#[test]
fn parts_that_the_mis_rejected_are_omitted() {
    let school = School {
        refused_with: vec![Ability::Comment, Ability::MinutesLate],
        ..School::example()
    };
    let decision = school.decide(&event("in", "09:07", "Bus"));
    assert_eq!(brief(&decision), "L AM");
    assert_eq!(decision.dropped, [Ability::Comment, Ability::MinutesLate]);
    assert!(
        decision
            .to_string()
            .contains("the MIS refused the mark with it")
    );
}

#[test]
fn the_length_of_a_comment_is_in_characters() {
    let school = School::new(&common::EXAMPLE.replace("Overslept", "Přišel pozdě"))
        .keeping(FULL.with_comment_max(12));
    assert_eq!(
        school.brief(&event("in", "09:07", "Přišel pozdě")),
        "L AM 7 \"Přišel pozdě\""
    );
}

#[rstest]
#[case("minutes_late = false", "09:07", FULL, "L AM", &[])]
#[case("minutes_late = false", "09:07", CODE_ONLY, "L AM", &[])]
#[case("minutes_late = true", "09:07", CODE_ONLY, "L AM", &[Ability::MinutesLate])]
#[case("minutes_late = true", "08:52", CODE_ONLY, "/ AM", &[])]
fn minutes_late_may_be_off(
    #[case] setting: &str,
    #[case] time: &str,
    #[case] capabilities: Capabilities,
    #[case] outcome: &str,
    #[case] dropped: &[Ability],
) {
    let decision = School::with(&[setting])
        .keeping(capabilities)
        .decide(&event("in", time, ""));
    assert_eq!(
        (brief(&decision).as_str(), decision.dropped.as_slice()),
        (outcome, dropped)
    );
}

#[test]
fn a_sign_out_has_a_comment_field_of_its_own() {
    let school = School::with(&["comment = { sign_out = \"Reason for leaving\" }"]);
    assert_eq!(
        school.brief(&event("out", "10:15", "M - Dentist")),
        "M AM \"M - Dentist\""
    );
    assert_eq!(school.brief(&event("in", "09:07", "Bus")), "L AM 7");
}

#[rstest]
#[case("08:52", "", Rule::Present)]
#[case("09:07", "", Rule::Late)]
#[case("09:21", "", Rule::Unauthorised)]
#[case("09:07", "M - Medical appointment", Rule::CustomCode)]
fn a_mark_names_its_rule(#[case] time: &str, #[case] answer: &str, #[case] rule: Rule) {
    let decision = School::example().decide(&event("in", time, answer));
    assert_eq!(decision.planned().unwrap().rule, rule);
    assert_eq!(serde_json::to_value(rule).unwrap(), rule.as_str());
}

// The order of the steps: of two reasons the earlier step gives its own.

#[rstest]
#[case::not_a_school_day_before_the_mis(
    "in",
    "2026-11-22T09:07:00Z",
    "",
    "",
    Capabilities::READ_ONLY,
    "not_a_school_day"
)]
#[case::day_over_before_the_mis(
    "in",
    "2026-11-23T16:00:00Z",
    "",
    "",
    Capabilities::READ_ONLY,
    "outside_school_day"
)]
#[case::weekend_before_day_over("in", "2026-11-22T16:00:00Z", "", "", FULL, "not_a_school_day")]
#[case::answer_before_the_day(
    "in",
    "2026-11-22T09:07:00Z",
    "Sent on an errand",
    "",
    FULL,
    "answer_not_written"
)]
#[case::mis_before_the_code("out", "2026-11-23T09:07:00Z", "", "", FIRST_LESSON, "unsupported")]
#[case::code_before_protection(
    "out",
    "2026-11-23T09:07:00Z",
    "Home",
    "/",
    FULL,
    "leaver_writeback_off"
)]
#[case::unknown_code_before_protection(
    "in",
    "2026-11-23T09:07:00Z",
    "A code of our own",
    "/",
    FULL,
    "unknown_code"
)]
#[case::protection_before_the_same_again("in", "2026-11-23T08:52:00Z", "", "/", FULL, "protected")]
fn earlier_steps_come_first(
    #[case] kind: &str,
    #[case] at: &str,
    #[case] answer: &str,
    #[case] register: &str,
    #[case] capabilities: Capabilities,
    #[case] outcome: &str,
) {
    let school = School::example().holding(register).keeping(capabilities);
    assert_eq!(school.brief(&event_at(kind, at, answer)), outcome);
}

#[test]
fn the_order_of_the_last_steps() {
    let early = event("in", "08:52", "");
    let arrived = |school: School| school.after("e0", "2026-11-23T08:50:00Z");
    assert_eq!(
        arrived(School::with(&["present = false"])).brief(&early),
        "present_writeback_off"
    );
    assert_eq!(
        arrived(School::example().holding("M")).brief(&early),
        "protected"
    );
    assert_eq!(
        arrived(School::example().seeing(cannot_look())).brief(&early),
        "wait"
    );
    assert_eq!(
        arrived(School::with(&["protected = []"]).holding("/")).brief(&early),
        "already_arrived"
    );
}

// What a decision tells.

#[rstest]
#[case(
    "in",
    "09:07:12",
    "signed in 09:07:12, 7 minutes after AM late 09:00, before 09:20 → L"
)]
#[case(
    "in",
    "09:20:00",
    "signed in 09:20:00, 20 minutes after AM late 09:00, not after 09:20 → L"
)]
#[case(
    "in",
    "09:00:48",
    "signed in 09:00:48, 48 seconds after AM late 09:00, before 09:20 → L"
)]
#[case(
    "in",
    "13:16",
    "signed in 13:16:00, 1 minute after PM unauthorised 13:15 → U"
)]
#[case(
    "in",
    "08:52",
    "signed in 08:52:00, not later than AM 09:00: in time → /"
)]
#[case(
    "in",
    "08:52",
    "signed in 08:52:00 in Europe/London, before 12:00: AM of Monday 23 November 2026"
)]
fn steps_are_plain_words(#[case] kind: &str, #[case] time: &str, #[case] step: &str) {
    let steps = School::example().decide(&event(kind, time, "")).steps;
    assert!(steps.iter().any(|told| told == step), "{steps:#?}");
}

#[rstest]
#[case(
    looked(Some(held("N", None, None))),
    "the register holds N according to Wonde's copy, 12 minutes old"
)]
#[case(
    looked(None),
    "the register holds nothing according to Wonde's copy, 12 minutes old"
)]
#[case(cannot_look(), "the register was not read: Wonde does not answer")]
#[case(RegisterView::Looked { held: Some(held("N", None, None)), source: RegisterSource::Given, age: None }, "the register holds N as given")]
#[case(RegisterView::Looked { held: Some(held("N", None, None)), source: RegisterSource::OurLedger, age: Some(TimeDelta::seconds(1)) }, "the register holds N according to what we have written, 1 second old")]
fn every_decision_names_the_register_and_its_age_once(
    #[case] register: RegisterView,
    #[case] step: &str,
) {
    let no_day = event_at("in", "2026-11-22T09:07:00Z", "");
    for event in [
        event("in", "09:07", ""),
        event("in", "08:52", ""),
        event("out", "14:10", ""),
        no_day,
    ] {
        let decision = School::example().seeing(register.clone()).decide(&event);
        assert_eq!(
            decision.steps.iter().filter(|told| *told == step).count(),
            1,
            "{:#?}",
            decision.steps
        );
    }
}

#[test]
fn the_decision_contains_the_register_before() {
    let decision = School::example()
        .holding("N")
        .decide(&event("in", "09:07", ""));
    let found = decision.found.unwrap();
    assert_eq!(found.code, Some(HeldCode::Known("N".into())));
    assert_eq!(
        (found.source, found.age),
        (RegisterSource::Wonde, Some(TimeDelta::minutes(12)))
    );
    assert_eq!(
        School::example()
            .seeing(cannot_look())
            .decide(&event("in", "09:07", ""))
            .found,
        None
    );
}

#[test]
fn no_answer_is_in_the_text() {
    let school = School::example().seeing(looked(Some(held("N", Some("Dentist again"), None))));
    for answer in ["Overslept", "M - Medical appointment"] {
        let decision = school.decide(&event("in", "09:07", answer));
        let words = format!("{decision} {decision:?} {:?}", school.register);
        assert!(
            !["Overslept", "Medical", "Dentist"]
                .iter()
                .any(|word| words.contains(word)),
            "{words}"
        );
        assert!(words.contains("comment kept"), "{words}");
    }
}

#[test]
fn json_of_a_mark() {
    let decision = School::example()
        .keeping(FULL.without(Ability::Comment))
        .decide(&event("in", "09:07", "Bus"));
    let json = serde_json::to_value(&decision).unwrap();
    assert_eq!(
        json,
        serde_json::json!({
            "outcome": "write",
            "mark": {"date": "2026-11-23", "session": "AM", "code": "L", "comment": null, "minutes_late": 7},
            "dropped": ["comment"],
            "steps": decision.steps,
        })
    );
}

#[test]
fn json_of_a_skip_and_of_a_wait() {
    let skip = School::example()
        .keeping(FIRST_LESSON)
        .decide(&event("out", "14:10", ""));
    assert_eq!(
        serde_json::to_value(&skip).unwrap(),
        serde_json::json!({"outcome": "skip", "reason": "unsupported", "detail": "early_leaver", "steps": skip.steps})
    );
    let wait = School::example()
        .seeing(cannot_look())
        .decide(&event("in", "09:07", ""));
    let json = serde_json::to_value(&wait).unwrap();
    assert_eq!(
        (&json["outcome"], &json["steps"]),
        (&"wait".into(), &wait.steps.clone().into())
    );
    assert!(json["detail"].as_str().unwrap().contains("cannot be read"));
}

#[test]
fn lines_of_text() {
    let text = School::example()
        .keeping(CODE_ONLY)
        .decide(&event("in", "09:07", "Bus"))
        .to_string();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(
        lines[..2],
        [
            "write L in AM of 2026-11-23",
            "dropped: comment, minutes_late"
        ]
    );
    assert!(lines[2].starts_with("  1. "), "{text}");
}

#[test]
fn reasons_have_one_name() {
    for reason in SkipReason::ALL {
        assert_eq!(serde_json::to_value(reason).unwrap(), reason.as_str());
    }
}

fn unseen() -> RegisterView {
    RegisterView::CannotLook {
        why: "a sign-out's mark with a protected code is not confirmed yet".to_owned(),
    }
}
