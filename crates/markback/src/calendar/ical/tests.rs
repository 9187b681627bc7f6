//! Tests of which events of an iCalendar are closures.

use proptest::prelude::*;
use rstest::rstest;

use super::*;

fn words() -> Vec<String> {
    ["closed", "inset", "half term"].map(str::to_owned).into()
}

fn calendar(events: &str) -> String {
    format!("BEGIN:VCALENDAR\r\nVERSION:2.0\r\n{events}END:VCALENDAR\r\n")
}

fn event(lines: &str) -> String {
    let lines: String = lines.lines().flat_map(|line| [line, "\r\n"]).collect();
    format!("BEGIN:VEVENT\r\nUID:1\r\n{lines}END:VEVENT\r\n")
}

/// Each closure with its first and last day, and what was left out.
fn told(text: &str) -> String {
    let Some(reading) = closures(text, &words()) else {
        return "incomplete".to_owned();
    };
    let mut told: Vec<_> = reading
        .closures
        .iter()
        .map(|one| format!("{}..{} {}", one.first, one.last, one.why))
        .collect();
    if reading.left_out != LeftOut::default() {
        told.push(reading.left_out.to_string());
    }
    told.join(", ")
}

#[rstest]
#[case::all_day(
    "DTSTART;VALUE=DATE:20261127\nDTEND;VALUE=DATE:20261128\nSUMMARY:INSET day",
    "2026-11-27..2026-11-27 INSET day"
)]
#[case::several_days(
    "DTSTART;VALUE=DATE:20261024\nDTEND;VALUE=DATE:20261101\nSUMMARY:Half term",
    "2026-10-24..2026-10-31 Half term"
)]
#[case::without_end(
    "DTSTART;VALUE=DATE:20261127\nSUMMARY:Closed",
    "2026-11-27..2026-11-27 Closed"
)]
#[case::end_is_the_day(
    "DTSTART;VALUE=DATE:20261127\nDTEND;VALUE=DATE:20261127\nSUMMARY:Closed",
    "2026-11-27..2026-11-27 Closed"
)]
#[case::end_before_start(
    "DTSTART;VALUE=DATE:20261127\nDTEND;VALUE=DATE:20261126\nSUMMARY:Closed",
    "events that cannot be read: 1"
)]
#[case::too_long(
    "DTSTART;VALUE=DATE:20261127\nDTEND;VALUE=DATE:20271127\nSUMMARY:Closed",
    "events that cannot be read: 1"
)]
#[case::no_such_date(
    "DTSTART;VALUE=DATE:20261131\nSUMMARY:Closed",
    "events that cannot be read: 1"
)]
#[case::no_start("SUMMARY:Closed", "events that cannot be read: 1")]
#[case::end_with_time(
    "DTSTART;VALUE=DATE:20261127\nDTEND:20261128T000000Z\nSUMMARY:Closed",
    "events that cannot be read: 1"
)]
#[case::by_category(
    "DTSTART;VALUE=DATE:20261127\nSUMMARY:Election\nCATEGORIES:Public,School closed",
    "2026-11-27..2026-11-27 Election"
)]
#[case::second_categories(
    "DTSTART;VALUE=DATE:20261127\nCATEGORIES:Public\nCATEGORIES:CLOSED",
    "2026-11-27..2026-11-27 closed"
)]
#[case::part_of_a_word("DTSTART;VALUE=DATE:20261127\nSUMMARY:Enclosed: insets", "")]
#[case::another_event("DTSTART;VALUE=DATE:20261127\nSUMMARY:Sports day", "")]
#[case::another_recurring_event(
    "DTSTART;VALUE=DATE:20261127\nRRULE:FREQ=WEEKLY\nSUMMARY:Assembly",
    ""
)]
#[case::timed(
    "DTSTART:20261127T120000Z\nDTEND:20261127T150000Z\nSUMMARY:Pool closed",
    "closures that are not all day: 1"
)]
#[case::recurring(
    "DTSTART;VALUE=DATE:20261127\nRRULE:FREQ=YEARLY\nSUMMARY:Closed",
    "recurring closures: 1"
)]
#[case::on_further_dates(
    "DTSTART;VALUE=DATE:20261127\nRDATE;VALUE=DATE:20261130\nSUMMARY:Closed",
    "recurring closures: 1"
)]
#[case::cancelled("DTSTART;VALUE=DATE:20261127\nSTATUS:CANCELLED\nSUMMARY:Closed", "")]
#[case::folded(
    "DTSTART;VALUE=DATE:20261127\nSUMMARY:School clo\n sed\\, snow",
    "2026-11-27..2026-11-27 School closed, snow"
)]
#[case::names_in_lower_case(
    "dtstart;value=date:20261127\nsummary:Closed",
    "2026-11-27..2026-11-27 Closed"
)]
#[case::alarm(
    "DTSTART;VALUE=DATE:20261127\nSUMMARY:Sports day\nBEGIN:VALARM\nSUMMARY:Closed\nEND:VALARM",
    ""
)]
#[case::malformed_elsewhere(
    "DTSTART;VALUE=DATE:20261127\nX-?;;=:\nSUMMARY:Closed",
    "2026-11-27..2026-11-27 Closed"
)]
fn an_event(#[case] lines: &str, #[case] expected: &str) {
    assert_eq!(told(&calendar(&event(lines))), expected);
}

#[rstest]
#[case::malformed(&event("DTSTART;VALUE=DATE:27/11/2026\nSUMMARY:Closed"))]
#[case::without_end("BEGIN:VEVENT\r\nSUMMARY:Closed\r\n")]
#[case::without_end_in_an_alarm("BEGIN:VEVENT\r\nSUMMARY:Closed\r\nBEGIN:VALARM\r\n")]
fn a_bad_event_does_not_stop_the_others(#[case] bad: &str) {
    let good = |day: u8| event(&format!("DTSTART;VALUE=DATE:202611{day}\nSUMMARY:Closed"));
    // The later one is first in the file.
    let text = calendar(&format!("{}{bad}{}", good(27), good(26)));
    assert_eq!(
        told(&text),
        "2026-11-26..2026-11-26 Closed, 2026-11-27..2026-11-27 Closed, events that cannot be read: 1"
    );
}

#[rstest]
#[case("")]
#[case("<html>Sign in</html>")]
#[case(
    "BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\nDTSTART;VALUE=DATE:20261127\r\nSUMMARY:Closed\r\nEND:VEVENT\r\n"
)]
fn a_text_that_is_cut_off_is_no_calendar(#[case] text: &str) {
    assert_eq!(told(text), "incomplete");
}

#[test]
fn a_file_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| Ical {
        place: IcalPlace::File(folder.path().join(name)),
        closure_words: words(),
    };
    let text = calendar(&event("DTSTART;VALUE=DATE:20261127\nSUMMARY:Closed"));
    std::fs::write(folder.path().join("good.ics"), format!("\u{feff}{text}")).unwrap();
    assert_eq!(
        file("good.ics")
            .read_file()
            .unwrap()
            .unwrap()
            .closures
            .len(),
        1
    );
    std::fs::write(folder.path().join("large.ics"), text.repeat(10_000)).unwrap();
    std::fs::write(folder.path().join("latin.ics"), b"BEGIN:VCALENDAR\xe9").unwrap();
    let error = |name: &str| file(name).read_file().unwrap().unwrap_err();
    assert!(matches!(error("none.ics"), IcalError::Unreadable { .. }));
    assert!(matches!(error("large.ics"), IcalError::TooLarge { .. }));
    assert!(matches!(error("latin.ics"), IcalError::Incomplete { .. }));
}

proptest! {
    #[test]
    fn any_text_is_read_without_a_panic(
        lines in prop::collection::vec(
            prop_oneof![
                Just("BEGIN:VEVENT".to_owned()),
                Just("END:VEVENT".to_owned()),
                Just("BEGIN:VALARM".to_owned()),
                Just("END:VALARM".to_owned()),
                Just("SUMMARY:closed".to_owned()),
                "DT(START|END)(;VALUE=DATE)?:[0-9]{8}",
                "(DTSTART|SUMMARY|RRULE)\\PC{0,12}",
                "\\PC{0,12}",
            ],
            0..30,
        ),
    ) {
        let text = calendar(&lines.iter().flat_map(|line| [line, "\n"]).collect::<String>());
        if let Some(reading) = closures(&text, &words()) {
            for closure in reading.closures {
                prop_assert!(closure.first <= closure.last);
            }
        }
    }
}
