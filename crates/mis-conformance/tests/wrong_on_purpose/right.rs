//! Adapters with nothing wrong.

use mis_conformance::{Kind, Report};
use mis_core::{Capabilities, Descriptor, Registry, register_adapter, shapes};

use crate::{
    bent::{FIRST_LESSON, READ_ONLY, SESSION, STRAIGHT, bent},
    fixtures,
};

static RIGHT: Descriptor = Descriptor {
    id: "rightsession",
    name: "Right Session",
    connect: |connection| bent(&RIGHT, connection, STRAIGHT),
    ..SESSION
};
static RIGHT_SHORT: Descriptor = Descriptor {
    id: "rightshort",
    name: "Right with short comments",
    capabilities: Capabilities {
        comment_max: Some(40),
        minutes_late: false,
        early_leaver: false,
        ..SESSION.capabilities
    },
    connect: |connection| shapes::session_marks(&RIGHT_SHORT, connection),
    ..SESSION
};
static RIGHT_LESSON: Descriptor = Descriptor {
    id: "rightlesson",
    name: "Right Lesson",
    connect: |connection| shapes::first_lesson_marks(&RIGHT_LESSON, connection),
    ..FIRST_LESSON
};
static RIGHT_READER: Descriptor = Descriptor {
    id: "rightreader",
    name: "Right Reader",
    connect: |connection| shapes::read_only(&RIGHT_READER, connection),
    ..READ_ONLY
};
static RIGHT_WITHOUT_ROSTER: Descriptor = Descriptor {
    id: "rightwithoutroster",
    name: "Right without a roster",
    capabilities: Capabilities {
        roster: false,
        ..Capabilities::READ_ONLY
    },
    connect: |connection| shapes::read_only(&RIGHT_WITHOUT_ROSTER, connection),
    ..READ_ONLY
};

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
fn one_that_keeps_session_marks_passes() {
    let report = passes(&RIGHT, "session");
    for kind in [Kind::Positive, Kind::Negative, Kind::Fault] {
        assert!(
            report.counts.get(&kind).is_some_and(|count| count.ran > 0),
            "{report}"
        );
    }
}

#[test]
fn one_that_keeps_short_comments_passes() {
    passes(&RIGHT_SHORT, "short");
}

#[test]
fn one_that_keeps_marks_on_first_lessons_passes() {
    passes(&RIGHT_LESSON, "first_lesson");
}

#[test]
fn one_that_only_reads_passes() {
    passes(&RIGHT_READER, "read_only");
}

#[test]
fn one_without_a_roster_passes_and_needs_no_fixture() {
    passes(&RIGHT_WITHOUT_ROSTER, "none");
}

#[test]
fn the_generic_one_passes_though_nobody_registers_it() {
    let generic = Registry::from_descriptors([]).unwrap().for_mis("Nonesuch");
    let report = mis_conformance::check(generic, fixtures("read_only"));
    let failed: Vec<_> = report
        .cases
        .iter()
        .filter(|case| !case.passed())
        .map(|case| case.name.as_str())
        .collect();
    assert_eq!(failed, ["descriptor::is_registered"]);
}

#[test]
fn a_report_says_what_ran_and_survives_json() {
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
