//! Conformance cases for MIS adapters.
//!
//! An adapter over Wonde runs them as its only test:
//!
//! ```toml
//! [[test]]
//! name = "conformance"
//! harness = false
//! ```
//!
//! ```ignore
//! fn main() -> std::process::ExitCode {
//!     mis_conformance::run(&mis_sims::DESCRIPTOR, concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures"))
//! }
//! ```
//!
//! The descriptor's capabilities choose the cases; an adapter can neither skip nor change one. The suite serves a
//! standard school on a loopback port, and the adapter is used as a host would use it, with its guard and without. The
//! adapter's files in `fixtures/` hold its requests, which must match exactly as JSON, and the answers of its MIS; the
//! crate's README describes each of them.
//!
//! The last case is a whole day against `wonde-sandbox`, which uses no other crate of this workspace, so an error in
//! the client cannot hide in it. This crate depends on no adapter.
//!
//! An adapter for an MIS that is not reached through Wonde runs the cases of [`any`].

mod answer;
pub mod any;
mod bench;
mod case;
mod cases;
mod fixtures;
mod report;
mod server;
mod standard;
mod suite;
mod verdict;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    sync::{Arc, Mutex, PoisonError},
};

use libtest_mimic::{Arguments, Trial};
use mis_wonde::Descriptor;

pub use report::{CaseReport, Count, Kind, Report};
pub use suite::{case_names, check, check_case};

/// The environment variable that names a file for the run's [`Report`] as JSON.
pub const REPORT_VARIABLE: &str = "MARKBACK_CONFORMANCE_REPORT";

/// Runs the suite as a complete test program, and returns its exit code.
///
/// Accepts the usual flags of a Rust test program (a filter, `--list`, `--format json` ...). Below the list of cases it
/// prints how many positive, negative and fault cases ran. A run without a single case fails, unless a filter matched
/// none.
pub fn run(descriptor: &'static Descriptor, fixtures: impl AsRef<Path>) -> ExitCode {
    let fixtures: Arc<Path> = fixtures.as_ref().into();
    let found = Found::default();
    let trials = suite::cases_for(descriptor)
        .into_iter()
        .enumerate()
        .map(|(place, case)| {
            let fixtures = fixtures.clone();
            trial(case.name, case.kind, place, found.clone(), move || {
                suite::run_case(case, descriptor, &fixtures)
            })
        })
        .collect();
    run_trials(descriptor, trials, &found)
}

type Found = Arc<Mutex<Vec<(usize, CaseReport)>>>;

/// Runs the cases as a test program and writes the report.
fn run_trials(descriptor: &'static Descriptor, trials: Vec<Trial>, found: &Found) -> ExitCode {
    let arguments = Arguments::from_args();
    if trials.is_empty() {
        eprintln!("no case applies to the capabilities of `{}`", descriptor.id);
        return ExitCode::FAILURE;
    }
    let conclusion = libtest_mimic::run(&arguments, trials);
    if arguments.list {
        return conclusion.exit_code();
    }
    let mut found = std::mem::take(&mut *found.lock().unwrap_or_else(PoisonError::into_inner));
    found.sort_by_key(|(place, _)| *place);
    let report = Report::new(
        descriptor,
        found.into_iter().map(|(_, case)| case).collect(),
    );
    let machine_reads = arguments
        .format
        .is_some_and(|format| format == libtest_mimic::FormatSetting::Json);
    if !machine_reads {
        println!("{report}\n");
    }
    if let Err(error) = write(&report) {
        eprintln!("the report cannot be written to the file that {REPORT_VARIABLE} names: {error}");
        return ExitCode::FAILURE;
    }
    if report.cases.is_empty() && conclusion.num_filtered_out == 0 {
        eprintln!("no case of `{}` ran", descriptor.id);
        return ExitCode::FAILURE;
    }
    conclusion.exit_code()
}

fn trial(
    name: &str,
    kind: Kind,
    place: usize,
    found: Found,
    run: impl FnOnce() -> CaseReport + Send + 'static,
) -> Trial {
    Trial::test(name, move || {
        let report = run();
        let failure = report.failure.clone();
        found
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push((place, report));
        failure.map_or(Ok(()), |failure| Err(failure.into()))
    })
    .with_kind(kind.as_str())
}

fn write(report: &Report) -> std::io::Result<()> {
    let Some(path) = std::env::var_os(REPORT_VARIABLE).map(PathBuf::from) else {
        return Ok(());
    };
    let mut text = serde_json::to_string_pretty(report)?;
    text.push('\n');
    std::fs::write(path, text)
}
