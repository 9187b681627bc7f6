//! Tests of how the calendar is read from the settings.

use rstest::rstest;
use writeback::SchoolDay;

use super::*;
use crate::{
    calendar::ReadClosures,
    settings::{self, LoadError, Loaded},
};

const SCHOOL: &str = "[[school]]\nid = 'A1'\ntimezone = 'Europe/London'\ntoken_env = 'TOKEN'\n";
const GROUP: &str = "[[school.group]]\nname = 'G'\nkind = 'students'\n[school.group.writeback]\ncloses = '15:30'\npresent = true\n";

fn load(text: &str) -> Result<Loaded, LoadError> {
    settings::from_text(Path::new("etc/markback.toml"), text)
}

fn with(calendar: &str) -> Result<Loaded, LoadError> {
    load(&format!("{SCHOOL}[school.calendar]\n{calendar}\n"))
}

#[test]
fn a_calendar_is_read() {
    let loaded = with(
        "terms = ['2026-11-02..2026-12-18', '2026-09-02..2026-10-23']\n\
         closures = [{ on = '2026-11-27', why = 'inset day' }, { on = ['2026-12-01..2026-12-02', 2026-12-04] }]\n\
         ",
    );
    let settings = loaded.unwrap().settings;
    let calendar = settings.schools[0].calendar.as_deref().unwrap();
    let firsts: Vec<_> = calendar
        .terms
        .iter()
        .map(|term| term.first().to_string())
        .collect();
    assert_eq!(firsts, ["2026-09-02", "2026-11-02"]);
    let closures: Vec<_> = calendar
        .closures
        .iter()
        .map(|one| format!("{} {} {}", one.first, one.last, one.why))
        .collect();
    assert_eq!(
        closures,
        [
            "2026-11-27 2026-11-27 inset day",
            "2026-12-01 2026-12-02 closed",
            "2026-12-04 2026-12-04 closed",
        ]
    );
}

#[test]
fn an_ical_file_starts_from_the_settings_folder() {
    let ical = |calendar: &str| {
        let settings = with(calendar).unwrap().settings;
        let calendar = settings.schools[0].calendar.as_deref().unwrap();
        calendar.ical.clone().unwrap()
    };
    let usual = ical("ical_file = 'dates/hill.ics'");
    assert_eq!(usual.place, IcalPlace::File("etc/dates/hill.ics".into()));
    assert!(usual.closure_words.contains(&"half term".to_owned()));
    let own = ical("ical_file = '/srv/hill.ics'\nclosure_words = ['Ferien', ' Shut ']");
    assert_eq!(own.place, IcalPlace::File("/srv/hill.ics".into()));
    assert_eq!(own.closure_words, ["ferien", "shut"]);
}

#[rstest]
#[case("https://hill.example/s3cret.ics", "https://hill.example/s3cret.ics")]
#[case("webcal://hill.example/s3cret.ics", "https://hill.example/s3cret.ics")]
#[case("http://127.0.0.1:8/s3cret.ics", "http://127.0.0.1:8/s3cret.ics")]
fn an_address_is_read_and_its_path_is_shown_nowhere(#[case] written: &str, #[case] fetched: &str) {
    let loaded = with(&format!("ical_url = '{written}'")).unwrap();
    let calendar = loaded.settings.schools[0].calendar.as_deref().unwrap();
    let ical = calendar.ical.clone().unwrap();
    let IcalPlace::Url(url) = &ical.place else {
        panic!("{ical:?}");
    };
    assert_eq!(url.as_url().as_str(), fetched);
    assert!(ical.source().contains("/… ("), "{}", ical.source());
    let shown = format!("{calendar:?}{ical:?}{}{:?}", ical.source(), loaded.hints);
    assert!(!shown.contains("s3cret"), "{shown}");
    assert!(
        loaded
            .settings
            .ical_files(Path::new("markback.toml"))
            .is_empty()
    );
}

#[test]
fn closures_of_the_mis_are_found_by_the_same_words() {
    let words = |calendar: &str| {
        let settings = with(calendar).unwrap().settings;
        let calendar = settings.schools[0].calendar.as_deref().unwrap();
        calendar.mis.clone().map(|mis| mis.closure_words)
    };
    assert!(
        words("from_mis = true")
            .unwrap()
            .contains(&"inset".to_owned())
    );
    let own = "from_mis = true\nclosure_words = ['Pupil free day']";
    assert_eq!(words(own).unwrap(), ["pupil free day"]);
    assert_eq!(words("from_mis = false\nical_file = 'a.ics'"), None);
}

#[test]
fn an_ical_file_that_hides_closures_gets_a_hint() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("markback.toml");
    let text = format!("{SCHOOL}[school.calendar]\nical_file = 'dates.ics'\n");
    let loaded = settings::from_text(&file, &text).unwrap();
    let hints = || -> Vec<_> {
        let hints = loaded.settings.ical_files(&file);
        hints.into_iter().map(|hint| hint.message).collect()
    };
    let write = |event: &str| {
        let text = format!(
            "BEGIN:VCALENDAR\nBEGIN:VEVENT\nDTSTART:20261127\nSUMMARY:Closed\n{event}END:VEVENT\nEND:VCALENDAR\n"
        );
        std::fs::write(folder.path().join("dates.ics"), text).unwrap();
    };
    assert!(hints()[0].contains("cannot be read"));
    write("");
    assert_eq!(hints(), [""; 0]);
    write("RRULE:FREQ=YEARLY\n");
    assert_eq!(hints(), ["recurring closures: 1"]);
}

#[test]
fn no_calendar_is_none() {
    assert_eq!(load(SCHOOL).unwrap().settings.schools[0].calendar, None);
}

#[rstest]
#[case("", "calendar", "says nothing")]
#[case("terms = ['2026-09-02']\nterm = 1", "calendar.term", "no such setting")]
#[case("terms = ['monday']", "calendar.terms[0]", "not a term")]
#[case(
    "terms = ['2026-10-23..2026-09-02']",
    "calendar.terms[0]",
    "not a term"
)]
#[case(
    "closures = [{ on = 'friday' }]",
    "calendar.closures[0].on",
    "every week"
)]
#[case(
    "closures = [{ on = '27/11/2026' }]",
    "calendar.closures[0].on",
    "not a date"
)]
#[case("closures = [{ on = [] }]", "calendar.closures[0].on", "no day")]
#[case("closures = [{ why = 'x' }]", "calendar.closures[0].on", "no day")]
#[case("ical_file = ''", "calendar.ical_file", "empty")]
#[case("from_mis = false", "calendar", "says nothing")]
#[case(
    "ical_url = 'http://hill.example/a.ics'",
    "calendar.ical_url",
    "not encrypted"
)]
#[case(
    "from_mis = true\nclosure_words = ['']",
    "calendar.closure_words",
    "missing"
)]
#[case("ical_url = 'hill.ics'", "calendar.ical_url", "can be fetched")]
#[case(
    "ical_url = 'ftp://hill.example/a.ics'",
    "calendar.ical_url",
    "can be fetched"
)]
#[case(
    "ical_url = 'https://u:p@hill.example/'",
    "calendar.ical_url",
    "can be fetched"
)]
#[case(
    "ical_file = 'a'\nical_url = 'https://hill.example/'",
    "calendar.ical_url",
    "two places"
)]
#[case(
    "ical_file = 'a.ics'\nclosure_words = []",
    "calendar.closure_words",
    "missing"
)]
#[case(
    "ical_file = 'a.ics'\nclosure_words = ['shut', ' ']",
    "calendar.closure_words",
    "missing"
)]
#[case(
    "terms = ['2026-09-02..2026-10-23']\nclosure_words = ['shut']",
    "calendar.closure_words",
    "no iCalendar"
)]
fn a_problem_is_told(#[case] calendar: &str, #[case] key: &str, #[case] words: &str) {
    let Err(LoadError::Problems { problems, .. }) = with(calendar) else {
        panic!("expected problems");
    };
    let [problem] = problems.as_slice() else {
        panic!("{problems:#?}");
    };
    assert_eq!(problem.key, format!("school[0].{key}"));
    assert!(problem.message.contains(words), "{problem}");
}

#[test]
fn terms_that_overlap_are_told_at_both() {
    let Err(LoadError::Problems { problems, .. }) =
        with("terms = ['2026-09-02..2026-10-23', '2026-10-23..2026-12-18']")
    else {
        panic!("expected problems");
    };
    let told: Vec<_> = problems
        .iter()
        .map(|one| (one.key.as_str(), one.message.as_str()))
        .collect();
    assert_eq!(
        told,
        [
            ("school[0].calendar.terms[0]", "this term overlaps terms[1]"),
            ("school[0].calendar.terms[1]", "this term overlaps terms[0]"),
        ]
    );
}

#[test]
fn a_school_takes_its_templates_calendar_unless_it_has_its_own() {
    let closure = |day: &str| format!("closures = [{{ on = '{day}' }}]\n");
    let text = format!(
        "[[template]]\nname = 'T'\n[template.calendar]\n{}{SCHOOL}template = 'T'\n{}template = 'T'\n[school.calendar]\n{}",
        closure("2026-11-27"),
        SCHOOL.replace("A1", "A2"),
        closure("2026-11-26"),
    );
    let settings = load(&text).unwrap().settings;
    let closed = |school: usize, day: &str| {
        let calendar = settings.schools[school].calendar.as_deref().unwrap();
        matches!(
            calendar.day(day.parse().unwrap(), &ReadClosures::default()),
            SchoolDay::Closed { .. }
        )
    };
    assert!(closed(0, "2026-11-27") && !closed(0, "2026-11-26"));
    assert!(closed(1, "2026-11-26") && !closed(1, "2026-11-27"));
}

#[rstest]
#[case("", true)]
#[case("[school.calendar]\nclosures = [{ on = '2026-11-27' }]\n", false)]
fn a_calendar_is_as_good_as_closed_days(#[case] calendar: &str, #[case] hinted: bool) {
    let loaded = load(&format!("{SCHOOL}{calendar}{GROUP}")).unwrap();
    let told = |hint: &Problem| hint.key.ends_with("writeback.closed");
    assert_eq!(loaded.hints.iter().any(told), hinted, "{:?}", loaded.hints);
}

#[test]
fn calendars_that_run_out_are_told_once_for_all_schools() {
    let calendar = "[school.calendar]\nterms = ['2026-09-02..2026-12-18']\n";
    let other = SCHOOL.replace("A1", "A2");
    let text = format!("{SCHOOL}{calendar}{other}{calendar}");
    let settings = load(&text).unwrap().settings;
    let told = |day: &str| settings.calendars_that_run_out(day.parse().unwrap(), Path::new("x"));
    assert_eq!(told("2026-11-01"), []);
    let hints = told("2026-12-01");
    assert_eq!(hints.len(), 1);
    assert!(
        hints[0].message.contains("2 schools ends on 2026-12-18"),
        "{}",
        hints[0]
    );
}

#[rstest]
#[case("mis = 'Arbor'", true)]
#[case("", true)]
#[case("mis = 'SIMS'", false)]
fn another_afternoon_needs_marks_by_session(#[case] mis: &str, #[case] refused: bool) {
    let text = format!(
        "{SCHOOL}{mis}\n{GROUP}[[school.group.writeback.day]]\non = 'friday'\npm = {{ opens = '11:30' }}\n"
    );
    let key = "school[0].group[0].writeback.day[0].pm.opens";
    match load(&text) {
        Ok(_) => assert!(!refused),
        Err(LoadError::Problems { problems, .. }) => {
            assert!(
                refused && problems.len() == 1 && problems[0].key == key,
                "{problems:?}"
            );
        }
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn a_problem_of_a_day_is_told_at_its_place_in_the_file() {
    let text = format!(
        "{SCHOOL}{GROUP}[[school.group.writeback.day]]\non = 'fri'\ncloses = '13:00'\n\
         [[school.group.writeback.day]]\non = 'friday'\ncloses = '14:00'\n"
    );
    let Err(LoadError::Problems { problems, .. }) = load(&text) else {
        panic!("expected problems");
    };
    let told: Vec<_> = problems
        .iter()
        .map(|one| (one.key.as_str(), one.line))
        .collect();
    assert_eq!(
        told,
        [
            ("school[0].group[0].writeback.day[0].on", Some(12)),
            ("school[0].group[0].writeback.day[1].on", Some(15)),
        ]
    );
}
