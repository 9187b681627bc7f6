//! Tests of the suite: for each rule, an adapter that breaks it must fail the case about the rule, and correct adapters
//! must pass.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failed assertion may panic"
)]

mod bent;
mod declared;
mod failing;
mod lessons;
mod reading;
mod right;
mod together;
mod writing;

use std::{
    collections::BTreeSet,
    path::PathBuf,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use mis_wonde::Descriptor;

/// An adapter that breaks a rule, and the cases that must notice.
pub(crate) struct Wrong {
    /// How it breaks the rule.
    pub(crate) does: &'static str,
    pub(crate) descriptor: &'static Descriptor,
    /// The folder of its fixtures.
    pub(crate) fixtures: &'static str,
    pub(crate) caught_by: &'static [&'static str],
}

fn all() -> impl Iterator<Item = &'static Wrong> {
    [
        declared::WRONG,
        writing::WRONG,
        reading::WRONG,
        failing::WRONG,
        together::WRONG,
        lessons::WRONG,
    ]
    .into_iter()
    .flatten()
}

fn fixtures(folder: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(folder)
}

/// The faults that the suite did not detect.
fn missed(wrong: &Wrong) -> Vec<String> {
    let mut missed = Vec::new();
    for case in wrong.caught_by {
        match mis_conformance::check_case(wrong.descriptor, fixtures(wrong.fixtures), case) {
            Some(report) if report.passed() => {
                missed.push(format!("{case} passes an adapter that {}", wrong.does))
            }
            Some(_) => {}
            None => missed.push(format!(
                "{case} did not run on an adapter that {}",
                wrong.does
            )),
        }
    }
    missed
}

#[test]
fn every_faulty_adapter_fails_its_cases() {
    let wrong: Vec<&Wrong> = all().collect();
    let next = AtomicUsize::new(0);
    let work = || {
        let taken = std::iter::from_fn(|| wrong.get(next.fetch_add(1, Ordering::Relaxed)));
        taken
            .flat_map(|wrong| missed(wrong))
            .collect::<Vec<String>>()
    };
    let missed: Vec<String> = thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(work)).collect();
        threads
            .into_iter()
            .flat_map(|thread| thread.join().unwrap())
            .collect()
    });
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}

#[test]
fn every_case_fails_for_a_faulty_adapter() {
    let catching: BTreeSet<&str> = all().flat_map(|wrong| wrong.caught_by).copied().collect();
    let idle: Vec<&str> = mis_conformance::case_names()
        .filter(|case| !catching.contains(case))
        .collect();
    assert!(
        idle.is_empty(),
        "no faulty adapter fails these cases: {idle:?}"
    );
    let known: BTreeSet<&str> = mis_conformance::case_names().collect();
    let unknown: Vec<_> = catching.difference(&known).collect();
    assert!(unknown.is_empty(), "these cases do not exist: {unknown:?}");
}
