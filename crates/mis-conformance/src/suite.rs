//! Selects the cases by the declared capabilities, and runs each on its own schools.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    time::{Duration, Instant},
};

use anyhow::bail;
use mis_wonde::{Ability, Descriptor};

use crate::{
    bench::Bench,
    case::Case,
    cases,
    fixtures::Fixtures,
    report::{CaseReport, Kind, Report},
};

/// The maximum duration of a case. Most take a few milliseconds.
const PATIENCE: Duration = Duration::from_secs(20);

/// The names of all cases, in the suite's order.
pub fn case_names() -> impl Iterator<Item = &'static str> {
    cases::all().into_iter().map(|case| case.name)
}

/// The cases that apply to an adapter's capabilities.
pub(crate) fn cases_for(descriptor: &Descriptor) -> Vec<Case> {
    cases::all()
        .into_iter()
        .filter(|case| (case.is_for)(&descriptor.capabilities))
        .collect()
}

/// Runs the suite on one adapter, case by case, and returns a report: [`run`](crate::run) without a test harness.
pub fn check(descriptor: &'static Descriptor, fixtures: impl AsRef<Path>) -> Report {
    let reports = cases_for(descriptor)
        .into_iter()
        .map(|case| run_case(case, descriptor, fixtures.as_ref()))
        .collect();
    Report::new(descriptor, reports)
}

/// Runs one case by its name. `None` if there is no such case, or it does not apply to the adapter's capabilities.
pub fn check_case(
    descriptor: &'static Descriptor,
    fixtures: impl AsRef<Path>,
    name: &str,
) -> Option<CaseReport> {
    let case = cases_for(descriptor)
        .into_iter()
        .find(|case| case.name == name)?;
    Some(run_case(case, descriptor, fixtures.as_ref()))
}

pub(crate) fn run_case(case: Case, descriptor: &'static Descriptor, fixtures: &Path) -> CaseReport {
    timed(case.name, case.kind, case.ability, || {
        try_case(case, descriptor, fixtures)
    })
}

/// Runs a case and reports its outcome; a panic is a failure.
pub(crate) fn timed(
    name: &str,
    kind: Kind,
    ability: Option<Ability>,
    case: impl FnOnce() -> anyhow::Result<()>,
) -> CaseReport {
    let began = Instant::now();
    let outcome = catch_unwind(AssertUnwindSafe(case)).unwrap_or_else(|panic| {
        Err(anyhow::anyhow!(
            "the adapter or the suite panicked: {}",
            words(panic.as_ref())
        ))
    });
    CaseReport {
        name: name.to_owned(),
        kind,
        ability,
        failure: outcome.err().map(|error| format!("{error:#}")),
        millis: 0,
    }
    .took(began.elapsed())
}

fn try_case(case: Case, descriptor: &'static Descriptor, fixtures: &Path) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let outcome = runtime.block_on(async {
        let bench = Bench::new(descriptor, Fixtures::new(fixtures)).await;
        tokio::select! {
            outcome = (case.run)(&bench) => outcome,
            () = bench.server.until_flooded() => bail!("the adapter repeats requests without end; retries are the host's task"),
            () = tokio::time::sleep(PATIENCE) => bail!("the adapter did not finish within {} s", PATIENCE.as_secs()),
        }
    });
    // A task that the adapter left running must not delay the next case.
    runtime.shutdown_background();
    outcome
}

fn words(panic: &(dyn std::any::Any + Send)) -> &str {
    panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("no message")
}
