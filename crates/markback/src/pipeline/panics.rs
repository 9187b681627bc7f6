//! Panics of a worker: caught, counted by job, and given up after a few.
//!
//! A panic's message may quote a pupil's data, so nothing here looks at it. The place is logged by the panic hook of the
//! program.

use std::panic::AssertUnwindSafe;

use futures::FutureExt as _;
use mis_core::{Error, ErrorKind, Recovery};
use outbox::{ClaimedJob, RetryAt};

use super::{Pipeline, trouble::GoOn};

/// After so many panics a job is given up.
const PANICS_MAX: u32 = 3;
/// Stands in the note of a job over which a worker panicked, before the number of times.
const PANIC: &str = "a worker panicked over it, time ";
/// What to do about it.
const REPORT: &str = "this is a fault of the program: report it with the place that the log names, then try it again";

/// Some work ended in a panic.
#[derive(Debug)]
pub(crate) struct Panicked;

/// Runs some work to its end, be it a panic.
pub(crate) async fn caught<T>(work: impl Future<Output = T>) -> Result<T, Panicked> {
    let done = AssertUnwindSafe(work).catch_unwind().await;
    done.map_err(|_| Panicked)
}

/// How often a worker panicked over the job, as its note has it.
pub(super) fn panics_of(job: &ClaimedJob) -> u32 {
    let note = job.note.as_deref();
    let number = note
        .and_then(|note| note.rsplit_once(PANIC))
        .map(|(_, rest)| {
            let digits = rest.split(|c: char| !c.is_ascii_digit()).next();
            digits.and_then(|digits| digits.parse().ok()).unwrap_or(1)
        });
    number.unwrap_or(0)
}

/// What to write down of one more panic, and whether it was the last.
pub(crate) fn one_more(job: &ClaimedJob) -> (String, bool) {
    let panics = panics_of(job) + 1;
    if panics < PANICS_MAX {
        (format!("{PANIC}{panics} of {PANICS_MAX}"), false)
    } else {
        (
            format!("a worker panicked over it {panics} times; {REPORT}"),
            true,
        )
    }
}

/// The failure of a request in which the adapter panicked: nobody knows whether it took hold. Says also whether this
/// mark is to be given up.
pub(super) fn unknown(job: &ClaimedJob) -> (Error, bool) {
    let (why, is_last) = one_more(job);
    let error = Error::with_recovery(ErrorKind::Unavailable, Recovery::Unknown, why);
    (error, is_last)
}

/// Splits a batch over which a worker panicked into two parts to be tried by themselves; a job alone is handed back.
pub(super) fn split(
    mut jobs: Vec<ClaimedJob>,
    parts: &mut Vec<Vec<ClaimedJob>>,
) -> Option<ClaimedJob> {
    if jobs.len() < 2 {
        return jobs.pop();
    }
    let second = jobs.split_off(jobs.len() / 2);
    // The last is tried first, so that the order of a line is kept.
    parts.extend([second, jobs]);
    None
}

impl Pipeline {
    /// The way on for a job over which a worker panicked.
    pub(super) fn after_panic(&self, job: &ClaimedJob) -> GoOn {
        match one_more(job) {
            (why, true) => GoOn::GiveUp { why },
            (why, false) => GoOn::Again {
                when: RetryAt::After(self.backoff([job])),
                why,
            },
        }
    }
}
