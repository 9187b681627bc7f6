//! Tests of terms and closures.

use rstest::rstest;

use super::*;

fn date(text: &str) -> NaiveDate {
    text.parse().unwrap()
}

fn range(first: &str, last: &str) -> DateRange {
    DateRange::new(date(first), date(last)).unwrap()
}

fn closure(first: &str, last: &str, why: &str) -> Closure {
    Closure {
        first: date(first),
        last: date(last),
        why: why.to_owned(),
    }
}

/// Two terms with half a year between, and an inset day.
fn calendar() -> Calendar {
    Calendar {
        terms: vec![
            range("2026-09-02", "2026-10-23"),
            range("2026-11-02", "2026-12-18"),
        ],
        closures: vec![closure("2026-11-27", "2026-11-27", "inset day")],
        ..Calendar::default()
    }
}

fn brief(day: &SchoolDay) -> String {
    match day {
        SchoolDay::NoCalendar => "none".to_owned(),
        SchoolDay::Open => "open".to_owned(),
        SchoolDay::Closed { why, source } => format!("{why}, by {source}"),
        SchoolDay::Unknown { why } => format!("unknown: {why}"),
    }
}

#[rstest]
#[case(
    "2026-09-01",
    "unknown: the first term in the settings begins on 2026-09-02"
)]
#[case("2026-09-02", "open")]
#[case("2026-10-23", "open")]
#[case("2026-10-24", "not in term, by the settings")]
#[case("2026-11-01", "not in term, by the settings")]
#[case("2026-11-02", "open")]
#[case("2026-11-27", "inset day, by the settings")]
#[case("2026-12-18", "open")]
#[case(
    "2026-12-19",
    "unknown: the last term in the settings ended on 2026-12-18"
)]
fn terms_and_closures(#[case] day: &str, #[case] expected: &str) {
    assert_eq!(
        brief(&calendar().day(date(day), &ReadClosures::default())),
        expected
    );
}

#[rstest]
#[case::open("2026-11-30", Some(""), "open")]
#[case("2026-11-30", Some("2026-11-30"), "snow, by the school's iCalendar")]
#[case::in_both("2026-11-27", Some("2026-11-27"), "inset day, by the settings")]
#[case::never_read(
    "2026-11-30",
    None,
    "unknown: the school's iCalendar has not been read yet"
)]
#[case::never_read_after_the_terms(
    "2027-01-04",
    None,
    "unknown: the school's iCalendar has not been read yet"
)]
#[case::never_read_between_terms("2026-10-24", None, "not in term, by the settings")]
#[case::after_the_terms(
    "2026-12-19",
    Some(""),
    "unknown: the last term in the settings ended on 2026-12-18"
)]
#[case::closed_after_the_terms("2026-12-19", Some("2026-12-19"), "snow, by the school's iCalendar")]
fn closures_of_an_ical(#[case] day: &str, #[case] read: Option<&str>, #[case] expected: &str) {
    let calendar = Calendar {
        ical: Some(Ical {
            place: IcalPlace::File("dates.ics".into()),
            closure_words: vec!["closed".to_owned()],
        }),
        ..calendar()
    };
    let read: Option<Vec<_>> = read.map(|day| {
        let days = Some(day).filter(|day| !day.is_empty());
        days.map(|day| closure(day, day, "snow"))
            .into_iter()
            .collect()
    });
    let read = ReadClosures {
        ical: read,
        mis: None,
    };
    assert_eq!(brief(&calendar.day(date(day), &read)), expected);
}

#[rstest]
#[case::open("2026-11-18", Some(""), "open")]
#[case::closed("2026-11-18", Some("2026-11-18"), "snow, by the MIS's calendar")]
#[case::never_read(
    "2026-11-18",
    None,
    "unknown: the calendar in the school's MIS has not been read yet"
)]
#[case::closed_by_the_settings("2026-11-27", None, "inset day, by the settings")]
fn closures_of_the_mis(#[case] day: &str, #[case] read: Option<&str>, #[case] expected: &str) {
    let calendar = Calendar {
        mis: Some(MisCalendar {
            closure_words: vec!["closed".to_owned()],
        }),
        ..calendar()
    };
    let closures = read.map(|day| {
        let days = Some(day).filter(|day| !day.is_empty());
        days.map(|day| closure(day, day, "snow"))
            .into_iter()
            .collect()
    });
    let read = ReadClosures {
        ical: None,
        mis: closures,
    };
    assert_eq!(brief(&calendar.day(date(day), &read)), expected);
}

#[rstest]
#[case("2026-11-18", None)]
#[case("2026-11-19", Some("2026-12-18"))]
#[case("2027-01-04", Some("2026-12-18"))]
fn terms_run_out(#[case] today: &str, #[case] end: Option<&str>) {
    assert_eq!(calendar().runs_out(date(today)), end.map(date));
    assert_eq!(Calendar::default().runs_out(date(today)), None);
}
