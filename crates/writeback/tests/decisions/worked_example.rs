//! The worked example of the rules, row by row: late 09:00 and 13:00, unauthorised 09:20 and 13:15, present marks on, fields
//! that carry codes, and `/`, `\` and `M` protected.
use crate::common::{CODE_ONLY, FIRST_LESSON, FULL, School, brief, event, event_at};
use mis_core::{Ability, Capabilities};
use rstest::rstest;

#[rstest]
#[case("in", "08:52", "", "-", FULL, "/ AM")]
#[case("in", "09:00:00", "", "-", FULL, "/ AM")]
#[case("in", "09:07:12", "Bus", "-", FULL, "L AM 7 \"Bus\"")]
#[case("in", "09:21", "", "-", FULL, "U AM 21")]
#[case(
    "in",
    "09:07",
    "M - Medical appointment",
    "-",
    FULL,
    "M AM \"M - Medical appointment\""
)]
#[case("in", "09:30", "", "M", FULL, "protected")]
#[case("in", "10:40", "", "/", FULL, "protected")]
#[case("in", "12:58", "", "-", FULL, "\\ PM")]
#[case("in", "13:16", "", "-", FULL, "U PM 16")]
#[case("out", "10:15", "M – Dentist", "L", FULL, "M AM")]
#[case("out", "10:15", "M - Dentist", "/", FULL, "protected")]
#[case("out", "14:10", "", "-", FULL, "leaver_writeback_off")]
#[case("out", "14:10", "", "-", FIRST_LESSON, "unsupported")]
#[case("in", "09:07", "Bus", "-", CODE_ONLY, "L AM")]
#[case("in", "09:07", "", "-", Capabilities::READ_ONLY, "unsupported")]
#[case("in", "09:07", "Bus", "-", FIRST_LESSON, "L AM 7 \"Bus\"")]
fn row(
    #[case] kind: &str,
    #[case] time: &str,
    #[case] answer: &str,
    #[case] register: &str,
    #[case] capabilities: Capabilities,
    #[case] outcome: &str,
) {
    let school = School::example().holding(register).keeping(capabilities);
    assert_eq!(school.brief(&event(kind, time, answer)), outcome);
}

#[test]
fn unsupported_parts_are_listed() {
    let decision = School::example()
        .keeping(CODE_ONLY)
        .decide(&event("in", "09:07", "Bus"));
    assert_eq!(decision.dropped, [Ability::Comment, Ability::MinutesLate]);
}

#[rstest]
#[case("2026-10-23T09:07:00+01:00", "2026-10-23")]
#[case("2026-10-26T09:07:00+00:00", "2026-10-26")]
fn the_clocks_change_and_the_local_time_does_not(#[case] at: &str, #[case] date: &str) {
    let decision = School::example().decide(&event_at("in", at, "Bus"));
    assert_eq!(brief(&decision), "L AM 7 \"Bus\"");
    assert_eq!(decision.planned().unwrap().mark.date.to_string(), date);
}
