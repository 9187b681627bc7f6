//! Correct adapters.

use mis_conformance::{Kind, Report};
use mis_wonde::{
    Ability, Capabilities, Descriptor, GENERIC, first_lesson_marks, read_only, register_adapter,
    session_marks,
};

use crate::{
    bent::{FIRST_LESSON, READ_ONLY, SESSION, STRAIGHT, WITHOUT_ROSTER, bent, named},
    fixtures,
};

static RIGHT: Descriptor = named(SESSION, "rightsession", "Right Session")
    .with_connect(|context| bent(&RIGHT, context, STRAIGHT));
static RIGHT_SHORT: Descriptor = named(SESSION, "rightshort", "Right with short comments")
    .with_capabilities(
        Capabilities::SESSION_MARKS
            .with(Ability::Comment)
            .with_comment_max(40),
    )
    .with_connect(|context| session_marks(&RIGHT_SHORT, context));
static RIGHT_LESSON: Descriptor = named(FIRST_LESSON, "rightlesson", "Right Lesson")
    .with_connect(|context| first_lesson_marks(&RIGHT_LESSON, context));
static RIGHT_READER: Descriptor = named(READ_ONLY, "rightreader", "Right Reader")
    .with_connect(|context| read_only(&RIGHT_READER, context));
static RIGHT_WITHOUT_ROSTER: Descriptor = named(
    WITHOUT_ROSTER,
    "rightwithoutroster",
    "Right without a roster",
)
.with_connect(|context| read_only(&RIGHT_WITHOUT_ROSTER, context));

register_adapter!(RIGHT);
register_adapter!(RIGHT_SHORT);
register_adapter!(RIGHT_LESSON);
register_adapter!(RIGHT_READER);
register_adapter!(RIGHT_WITHOUT_ROSTER);

fn passes(descriptor: &'static Descriptor, folder: &str) -> Report {
    let report = mis_conformance::check(descriptor, fixtures(folder));
    let failed: Vec<_> = report
        .cases
        .iter()
        .filter_map(|case| Some(format!("{}: {}", case.name, case.failure.as_ref()?)))
        .collect();
    assert!(
        failed.is_empty() && report.passed(),
        "{}",
        failed.join("\n")
    );
    report
}

#[test]
fn an_adapter_with_session_marks_passes() {
    let report = passes(&RIGHT, "session");
    for kind in [Kind::Positive, Kind::Negative, Kind::Fault] {
        assert!(
            report.counts.get(&kind).is_some_and(|count| count.ran > 0),
            "{report}"
        );
    }
}

#[test]
fn an_adapter_with_short_comments_passes() {
    passes(&RIGHT_SHORT, "short");
}

#[test]
fn an_adapter_with_first_lesson_marks_passes() {
    passes(&RIGHT_LESSON, "first_lesson");
}

#[test]
fn a_read_only_adapter_passes() {
    passes(&RIGHT_READER, "read_only");
}

#[test]
fn an_adapter_without_a_roster_passes_without_fixtures() {
    passes(&RIGHT_WITHOUT_ROSTER, "none");
}

#[test]
fn the_generic_adapter_passes_without_registration() {
    let report = mis_conformance::check(&GENERIC, fixtures("read_only"));
    let failed: Vec<_> = report
        .cases
        .iter()
        .filter(|case| !case.passed())
        .map(|case| case.name.as_str())
        .collect();
    assert_eq!(failed, ["descriptor::is_registered"]);
}

#[test]
fn a_report_lists_the_cases_and_round_trips_as_json() {
    let report = mis_conformance::check(&RIGHT_READER, fixtures("read_only"));
    let text = serde_json::to_string(&report).unwrap();
    assert_eq!(serde_json::from_str::<Report>(&text).unwrap(), report);
    assert!(
        report
            .to_string()
            .starts_with("conformance of Right Reader (rightreader): "),
        "{report}"
    );
}
