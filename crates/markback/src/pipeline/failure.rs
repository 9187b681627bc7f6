//! What to do after an error or a panic: one policy for deciding, sending and confirming.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use futures::FutureExt as _;
use mis_core::{Error, ErrorKind, Recovery};
use outbox::{ClaimedJob, LeaseToken, RetryAt, Tx};

use super::worker::WorkerConfig;
use crate::{
    clock::SharedClock,
    schools::{Schools, token_key},
    settings::School,
    store::Store,
};

/// How long a school is paused after an error that an operator must fix.
const OPERATOR_PAUSE: Duration = Duration::from_secs(5 * 60);
/// The longest pause, whatever an answer or an adapter asks for: a longer one is a mistake.
const LONGEST_PAUSE: Duration = Duration::from_secs(24 * 60 * 60);
/// How long a token is paused after a 429 that does not say how long.
const RATE_LIMIT_PAUSE: Duration = Duration::from_secs(10);
/// The same as a multiple of [`WorkerConfig::backoff`].
const RATE_LIMIT_STEPS: u32 = 5;
/// A job is given up after so many panics.
const PANICS_MAX: u32 = 3;
/// Precedes the number of panics in a job's note.
const PANIC: &str = "a worker panicked while processing it, attempt ";
const REPORT: &str =
    "this is a bug: report it with the source location in the log, then retry the event";

/// What to do with a job that failed.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Next {
    /// Try it again; this attempt counts.
    Retry {
        /// When.
        when: RetryAt,
        /// Why, for the operator.
        why: String,
    },
    /// Hand it back uncounted and pause its school or token: the cause is not the job's own.
    Pause {
        /// The school's id or the token's key.
        key: String,
        /// How long.
        length: Duration,
        /// Why, for the operator.
        why: String,
        /// Only an operator can remove the cause; the next start checks whether they have.
        needs_operator: bool,
    },
    /// Make it a dead letter: a person must look at it.
    Fail {
        /// Why.
        why: String,
    },
}

impl Next {
    /// What to do after an error that a job of this school met.
    pub(crate) fn after(error: &Error, school: &School) -> Self {
        let why = error.to_string();
        let pause = |key: String, length| Self::Pause {
            key,
            length,
            why: why.clone(),
            needs_operator: false,
        };
        let until_fixed = |key: String| Self::Pause {
            key,
            length: OPERATOR_PAUSE,
            why: why.clone(),
            needs_operator: true,
        };
        match (error.kind(), error.recovery()) {
            (ErrorKind::Unauthorized, _) => until_fixed(token_key(school)),
            (ErrorKind::RateLimited, Recovery::RetryAfter(wait)) => {
                pause(token_key(school), wait.min(LONGEST_PAUSE))
            }
            (ErrorKind::RateLimited, _) => pause(token_key(school), RATE_LIMIT_PAUSE),
            (_, Recovery::RetryAfter(wait)) => {
                pause(school.id.to_string(), wait.min(LONGEST_PAUSE))
            }
            (_, Recovery::Retry | Recovery::Unknown) => Self::Retry {
                when: RetryAt::Backoff,
                why,
            },
            (
                ErrorKind::Forbidden
                | ErrorKind::NotFound
                | ErrorKind::Config
                | ErrorKind::Registry,
                _,
            ) => until_fixed(school.id.to_string()),
            (_, Recovery::Never) => Self::Fail { why },
        }
    }

    /// Fails a job that is older than `limit`.
    pub(crate) fn within(self, limit: Duration, age: TimeDelta) -> Self {
        match self {
            Self::Retry { why, .. } | Self::Pause { why, .. } if is_longer(age, limit) => {
                Self::Fail { why }
            }
            other => other,
        }
    }
}

/// A job that failed, with what to do about it.
#[derive(Clone)]
pub(super) struct FailedJob {
    pub(super) lease: LeaseToken,
    /// The school and id of each of its events.
    pub(super) events: Vec<(String, String)>,
    pub(super) next: Next,
}

/// A school that did not answer properly.
#[derive(Clone)]
pub(super) struct Outage {
    school: String,
    length: Duration,
    why: String,
}

impl Outage {
    /// An outage of this length if the error is one.
    pub(super) fn of(error: &Error, school: &School, length: Duration) -> Option<Self> {
        let outage = error.kind() == ErrorKind::Unavailable
            && matches!(error.recovery(), Recovery::Retry | Recovery::Unknown);
        outage.then(|| Self {
            school: school.id.to_string(),
            length,
            why: error.to_string(),
        })
    }

    /// Pauses the school: its other jobs would only fail too.
    pub(super) async fn pause(&self, store: &Store, tx: &mut Tx) -> outbox::Result<()> {
        store
            .pause(tx, &self.school, self.length, &self.why, false)
            .await
    }
}

/// How failed jobs continue, by the settings.
#[derive(Clone, Debug)]
pub(super) struct FailurePolicy {
    pub(super) schools: Arc<Schools>,
    pub(super) clock: SharedClock,
    pub(super) config: WorkerConfig,
    /// The oldest event that is accepted, and so the longest that a paused job waits.
    pub(super) accept_age: Duration,
}

impl FailurePolicy {
    /// What to do after an error that a job of this school met. Also forgets a token that Wonde rejected, so that it is
    /// read again, and a connection that may be out of date.
    pub(super) fn after(&self, error: &Error, school: &School, backoff: Duration) -> Next {
        if error.kind() == ErrorKind::Unauthorized {
            self.schools.forget_token(school);
        }
        self.schools.doubt(error, &school.id);
        let mut next = Next::after(error, school);
        match &mut next {
            // Jobs that failed together are retried together.
            Next::Retry { when, .. } if *when == RetryAt::Backoff => {
                *when = RetryAt::After(backoff)
            }
            Next::Pause { length, .. }
                if error.kind() == ErrorKind::RateLimited
                    && !matches!(error.recovery(), Recovery::RetryAfter(_)) =>
            {
                *length = self.config.backoff.saturating_mul(RATE_LIMIT_STEPS);
            }
            _ => {}
        }
        next
    }

    /// What to do with a job over which a worker panicked.
    pub(super) fn after_panic(&self, job: &ClaimedJob) -> Next {
        match note_of_panic(job) {
            (why, true) => Next::Fail { why },
            (why, false) => Next::Retry {
                when: RetryAt::After(self.backoff([job])),
                why,
            },
        }
    }

    /// Fails a job that has been tried for so long that a person must look.
    pub(super) fn limit(&self, job: &ClaimedJob, next: Next) -> Next {
        let limit = match &next {
            Next::Retry { .. } => self.config.give_up_after,
            // The operator has time to fix the cause, but nothing that old is written.
            Next::Pause { .. } => self.accept_age,
            Next::Fail { .. } => return next,
        };
        next.within(limit, self.clock.now() - job.enqueued_at)
    }

    /// How long jobs wait that failed together: random, up to a bound that doubles with each attempt.
    pub(super) fn backoff<'a>(&self, jobs: impl IntoIterator<Item = &'a ClaimedJob>) -> Duration {
        let attempts = jobs
            .into_iter()
            .map(ClaimedJob::attempts)
            .max()
            .unwrap_or(1);
        let steps = attempts.saturating_sub(1);
        let bound = doubled(self.config.backoff, steps, self.config.backoff_max);
        // Not from zero: the other side has just failed.
        bound.mul_f64(rand::random_range(0.25..=1.0))
    }
}

/// The time after a wait, or the last one of the calendar.
pub(super) fn later(now: DateTime<Utc>, wait: Duration) -> DateTime<Utc> {
    let wait = TimeDelta::from_std(wait).unwrap_or(TimeDelta::MAX);
    now.checked_add_signed(wait)
        .unwrap_or(DateTime::<Utc>::MAX_UTC)
}

/// Whether a length exceeds `limit`; nothing exceeds a limit beyond the calendar.
pub(crate) fn is_longer(length: TimeDelta, limit: Duration) -> bool {
    length > TimeDelta::from_std(limit).unwrap_or(TimeDelta::MAX)
}

/// A wait that doubles with each step, up to `max`.
pub(super) fn doubled(first: Duration, steps: u32, max: Duration) -> Duration {
    first.saturating_mul(1 << steps.min(20)).min(max)
}

/// Some work panicked. The message may quote a pupil's data, so it is dropped here; the program's panic hook logs the place.
#[derive(Debug)]
pub(crate) struct Panicked;

/// Runs some work and catches a panic.
pub(crate) async fn caught<T>(work: impl Future<Output = T>) -> Result<T, Panicked> {
    let done = AssertUnwindSafe(work).catch_unwind().await;
    done.map_err(|_| Panicked)
}

/// How often a worker panicked over the job, according to its note.
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

/// The note for one more panic, and whether it was the last.
pub(crate) fn note_of_panic(job: &ClaimedJob) -> (String, bool) {
    let panics = panics_of(job) + 1;
    if panics < PANICS_MAX {
        (format!("{PANIC}{panics} of {PANICS_MAX}"), false)
    } else {
        (
            format!("a worker panicked {panics} times while processing it; {REPORT}"),
            true,
        )
    }
}

/// The error of a request during which the adapter panicked: its outcome is unknown. Also tells whether to give it up.
pub(super) fn panicked_request(job: &ClaimedJob) -> (Error, bool) {
    let (why, is_last) = note_of_panic(job);
    let error = Error::with_recovery(ErrorKind::Unavailable, Recovery::Unknown, why);
    (error, is_last)
}

/// Splits a batch over which a worker panicked into two parts to try by themselves; returns a job that is alone.
pub(super) fn split<T>(mut batch: Vec<T>, parts: &mut Vec<Vec<T>>) -> Option<T> {
    if batch.len() < 2 {
        return batch.pop();
    }
    let second = batch.split_off(batch.len() / 2);
    // The last part is tried first, which keeps jobs in order.
    parts.extend([second, batch]);
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_wait_leads_out_of_the_calendar() {
        let now = DateTime::<Utc>::UNIX_EPOCH;
        let minute = Duration::from_secs(60);
        assert_eq!(later(now, minute), now + TimeDelta::minutes(1));
        for start in [now, DateTime::<Utc>::MAX_UTC] {
            assert_eq!(later(start, Duration::MAX), DateTime::<Utc>::MAX_UTC);
        }
    }
}
