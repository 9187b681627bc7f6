//! Days whose times differ, and days on which the school is closed.
use crate::common::{self, School, event_at, group};
use rstest::rstest;
use writeback::{CalendarSource, Rules, SchoolDay, settings::GroupKind};

const DAYS: &[&str] = &[
    "closed = ['2026-12-01']",
    "[[writeback.day]]",
    "on = 'friday'",
    "am = { late = '08:45', unauthorised = '09:05' }",
    "closes = '13:30'",
    "[[writeback.day]]",
    "on = ['2026-12-18', '2026-12-16']",
    "why = 'last days of term'",
    "closes = '12:30'",
    "[[writeback.day]]",
    "on = '2026-12-07..2026-12-11'",
    "am = { starts = '09:50', late = '10:00', unauthorised = '10:20' }",
    "[[writeback.day]]",
    "on = ['wed', 2026-11-26]",
    "pm = { opens = '11:30', late = '12:10' }",
];

fn school() -> School {
    let (keys, tables) = DAYS.split_first().unwrap();
    let toml = common::example_with(&[keys]);
    School::new(&format!("{toml}\n{}", tables.join("\n")))
}

#[rstest]
// Monday: as usual.
#[case("2026-11-23T08:46:00Z", "/ AM")]
#[case("2026-11-23T13:40:00Z", "U PM 40")]
// Fridays.
#[case("2026-11-27T08:45:00Z", "/ AM")]
#[case("2026-11-27T08:46:00Z", "L AM 1")]
#[case("2026-11-27T09:06:00Z", "U AM 21")]
#[case("2026-11-27T13:10:00Z", "L PM 10")]
#[case("2026-11-27T13:30:00Z", "outside_school_day")]
// A date takes precedence over its day of the week, and takes its other times from the usual ones.
#[case("2026-12-18T08:46:00Z", "/ AM")]
#[case("2026-12-18T09:01:00Z", "L AM 1")]
#[case("2026-12-18T12:29:59Z", "\\ PM")]
#[case("2026-12-18T12:30:00Z", "outside_school_day")]
#[case("2026-12-16T11:40:00Z", "U AM 160")]
// Dates from and to; the Friday among them too.
#[case("2026-12-07T10:00:00Z", "/ AM")]
#[case("2026-12-11T10:01:00Z", "L AM 11")]
#[case("2026-12-14T10:01:00Z", "U AM 61")]
// The afternoon begins earlier on Wednesdays, and on one Thursday.
#[case("2026-11-25T11:29:59Z", "U AM 149")]
#[case("2026-11-25T11:30:00Z", "\\ PM")]
#[case("2026-11-25T12:11:00Z", "L PM 1")]
#[case("2026-11-26T11:30:00Z", "\\ PM")]
#[case("2026-12-03T11:30:00Z", "U AM 150")]
fn times_by_day(#[case] at: &str, #[case] expected: &str) {
    assert_eq!(school().brief(&event_at("in", at, "")), expected);
}

#[rstest]
#[case(
    "2026-11-27T08:46:00Z",
    "on Fridays other times apply: AM late 08:45, AM unauthorised 09:05, the day closes at 13:30"
)]
#[case(
    "2026-12-18T14:00:00Z",
    "on 18 December 2026 (last days of term) other times apply: the day closes at 12:30"
)]
#[case(
    "2026-12-09T08:46:00Z",
    "on 9 December 2026 other times apply: AM starts 09:50, AM late 10:00, AM unauthorised 10:20"
)]
fn the_steps_name_the_times_and_the_day(#[case] at: &str, #[case] step: &str) {
    let decision = school().decide(&event_at("in", at, ""));
    assert!(decision.steps.iter().any(|told| told == step), "{decision}");
}

#[test]
fn a_usual_day_has_no_such_step() {
    let decision = school().decide(&event_at("in", "2026-11-23T08:46:00Z", ""));
    assert!(!decision.to_string().contains("other times"), "{decision}");
}

#[test]
fn a_return_is_judged_by_the_times_of_its_day() {
    // Signed out before registration, back at 08:50: late on a Friday, in time on other days.
    let settings = common::example_with(&["leaver_code = 'M'", "present = false"]);
    let friday = format!("{settings}\n[[writeback.day]]\non = 'fri'\nam = {{ late = '08:45' }}");
    for (settings, expected) in [(&settings, "/ AM"), (&friday, "L AM 5")] {
        let mut school = School::new(settings);
        let left = event_at("out", "2026-11-27T08:30:00Z", "");
        school.standing = school.decide(&left).standing.unwrap();
        school.register = common::by_our_record(Some(common::held("M", None, None)));
        let mut back = event_at("in", "2026-11-27T08:50:00Z", "");
        back.id = "e2".into();
        assert_eq!(school.brief(&back), expected);
    }
}

/// The problems of the example with these days, as `key = value: message`.
fn problems(days: &str) -> Vec<String> {
    let settings = common::example_with(&[]);
    let toml = format!("{settings}\n[[writeback.day]]\n{days}");
    let group = group(&toml);
    let checked = Rules::check(GroupKind::Students, &group.fields, &group.writeback, None);
    assert_eq!(checked.rules.is_none(), !checked.problems.is_empty());
    let told = checked.problems.iter();
    told.map(|problem| format!("{} = {}: {}", problem.key, problem.value, problem.message))
        .collect()
}

#[rstest]
#[case::no_day(
    "closes = '12:00:01'",
    &["writeback.day[0].on = : there is no day to which the times apply"]
)]
#[case::no_time("on = 'friday'", &["writeback.day[0] = : it changes no time"])]
#[case::bad_day(
    "on = ['fryday', '2026-12-18']\ncloses = '13:00'",
    &["writeback.day[0].on = \"fryday\": is not a day"]
)]
#[case::bad_time(
    "on = 'friday'\nam = { late = '8:45' }",
    &["writeback.day[0].am.late = \"8:45\": is not a time of day"]
)]
#[case::own_time_after_a_usual_one(
    "on = 'friday'\nam = { late = '09:30' }",
    &["writeback.day[0].am.late = \"09:30\": is after am.unauthorised = \"09:20\""]
)]
#[case::own_time_before_a_usual_one(
    "on = 'friday'\nam = { unauthorised = '08:50' }",
    &["writeback.day[0].am.unauthorised = \"08:50\": is before am.late = \"09:00\""]
)]
#[case::own_afternoon_after_its_end(
    "on = 'friday'\ncloses = '12:30'\npm = { late = '12:40' }",
    &["writeback.day[0].pm.late = \"12:40\": is not before day[0].closes = \"12:30\""]
)]
#[case::ends_in_the_morning(
    "on = 'friday'\nam = { late = '09:30', unauthorised = '10:00' }\npm = { opens = '09:45' }",
    &["writeback.day[0].am.unauthorised = \"10:00\": is not before day[0].pm.opens = \"09:45\""]
)]
#[case::twice_by_weekday(
    "on = ['mon', 'fri']\ncloses = '13:00'\n[[writeback.day]]\non = 'friday'\ncloses = '14:00'",
    &[
        "writeback.day[0].on = \"friday\": day[1] has this day as well",
        "writeback.day[1].on = \"friday\": day[0] has this day as well",
    ]
)]
#[case::twice_by_date(
    "on = '2026-12-14..2026-12-18'\ncloses = '13:00'\n[[writeback.day]]\non = '2026-12-18'\ncloses = '14:00'",
    &[
        "writeback.day[0].on = \"2026-12-18\": day[1] has this day as well",
        "writeback.day[1].on = \"2026-12-18\": day[0] has this day as well",
    ]
)]
#[case::a_date_and_its_weekday("on = 'fri'\ncloses = '13:00'\n[[writeback.day]]\non = '2026-12-18'\ncloses = '14:00'", &[])]
#[case::the_same_day_twice_in_one_entry("on = ['fri', 'friday']\ncloses = '13:00'", &[])]
#[case::early_end("on = 'fri'\ncloses = '11:30'", &[])]
fn each_problem_has_its_place(#[case] days: &str, #[case] expected: &[&str]) {
    assert_eq!(problems(days), expected);
}

#[rstest]
#[case(
    "on = 'saturday'\ncloses = '13:00'",
    Some("there is no school on that day")
)]
#[case(
    "on = '2026-11-28'\ncloses = '13:00'",
    Some("there is no school on that day")
)]
#[case("on = '2026-11-27..2026-11-30'\ncloses = '13:00'", None)]
#[case(
    "on = 'fri'\nam = { late = '08:40' }",
    Some("minutes late are counted from the usual am.starts = \"08:30\"")
)]
#[case("on = 'fri'\nam = { starts = '08:20', late = '08:40' }", None)]
fn hints(#[case] days: &str, #[case] expected: Option<&str>) {
    let settings = common::example_with(&[
        "am = { starts = '08:30', late = '09:00', unauthorised = '09:20' }",
    ]);
    let group = group(&format!("{settings}\n[[writeback.day]]\n{days}"));
    let checked = Rules::check(GroupKind::Students, &group.fields, &group.writeback, None);
    assert_eq!(checked.problems, []);
    let told = |hint: &&writeback::Hint| hint.key.starts_with("writeback.day");
    let hints: Vec<_> = checked.hints.iter().filter(told).collect();
    match expected {
        None => assert!(hints.is_empty(), "{hints:?}"),
        Some(words) => assert!(
            hints.iter().any(|hint| hint.message.contains(words)),
            "{hints:?}"
        ),
    }
}

fn closed(why: &str, source: CalendarSource) -> SchoolDay {
    SchoolDay::Closed {
        why: why.into(),
        source,
    }
}

#[rstest]
#[case(SchoolDay::NoCalendar, "L AM 7", None)]
#[case(SchoolDay::Open, "L AM 7", None)]
#[case(
    closed("inset day", CalendarSource::Settings),
    "school_closed",
    Some("the school is closed on Monday 23 November 2026: inset day, according to the settings")
)]
#[case(
    closed("Half term", CalendarSource::Ical),
    "school_closed",
    Some("Half term, according to the school's iCalendar")
)]
#[case(
    SchoolDay::Unknown { why: "the calendar could not be read".into() },
    "L AM 7",
    Some("Monday 23 November 2026 counts as a school day: the calendar could not be read")
)]
fn the_calendar(#[case] day: SchoolDay, #[case] expected: &str, #[case] words: Option<&str>) {
    let mut school = School::example();
    school.school_day = day;
    let decision = school.decide(&event_at("in", "2026-11-23T09:07:12Z", ""));
    assert_eq!(common::brief(&decision), expected);
    if let Some(words) = words {
        assert!(decision.to_string().contains(words), "{decision}");
    }
    assert!(!decision.arrival || expected != "school_closed");
}

#[test]
fn a_group_may_ignore_the_calendar() {
    let mut school = School::with(&["ignores_calendar = true"]);
    school.school_day = closed("half term", CalendarSource::Mis);
    let decision = school.decide(&event_at("in", "2026-11-23T09:07:12Z", ""));
    assert_eq!(common::brief(&decision), "L AM 7");
    assert!(
        decision.to_string().contains(
            "half term, according to the MIS's calendar; this group ignores the calendar"
        ),
        "{decision}"
    );
}

#[rstest]
#[case::weekend_first("2026-11-22T09:07:00Z", "not_a_school_day")]
#[case::calendar_before_the_end_of_the_day("2026-11-23T18:00:00Z", "school_closed")]
fn the_order_of_reasons(#[case] at: &str, #[case] expected: &str) {
    let mut school = School::example();
    school.school_day = closed("inset day", CalendarSource::Settings);
    assert_eq!(school.brief(&event_at("in", at, "")), expected);
}

#[test]
fn a_school_day_is_kept_as_json() {
    for (day, json) in [
        (SchoolDay::NoCalendar, r#"{"status":"no_calendar"}"#),
        (
            closed("inset day", CalendarSource::Settings),
            r#"{"status":"closed","why":"inset day","source":"settings"}"#,
        ),
    ] {
        assert_eq!(serde_json::to_string(&day).unwrap(), json);
        assert_eq!(serde_json::from_str::<SchoolDay>(json).unwrap(), day);
    }
}
