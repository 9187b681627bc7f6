//! How to go on after an error: one answer for deciding, sending and confirming.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use mis_core::{Error, ErrorKind, Recovery};
use outbox::{ClaimedJob, LeaseToken, RetryAt, Tx};

use super::Pipeline;
use crate::{
    schools::token_key,
    settings::School,
    store::{EventState, EventUpdate},
};

/// How long a school rests after an error that a person must mend, before it is tried whether they have.
const REST: Duration = Duration::from_secs(5 * 60);
/// The longest rest, whatever an answer or an adapter asks for: what is longer is a mistake, and would hold up a school for good.
const LONGEST_REST: Duration = Duration::from_secs(24 * 60 * 60);
/// How long a token rests after a 429 that does not say how long.
const SLOW_DOWN: Duration = Duration::from_secs(10);
/// The same in steps of the pace's backoff.
const SLOW_DOWN_STEPS: u32 = 5;

/// What to do with a job that met an error.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum GoOn {
    /// Try it again; this attempt counts.
    Again {
        /// When.
        when: RetryAt,
        /// Why, for the operator.
        why: String,
    },
    /// Hand it back uncounted, and let everything of its lane rest: the trouble is not the job's own.
    Rest {
        /// The school's or the token's lane.
        lane: String,
        /// For how long.
        length: Duration,
        /// Why, for the operator.
        why: String,
        /// Only an operator can remove the cause; the next start tries whether they have.
        needs_operator: bool,
    },
    /// A person must look.
    GiveUp {
        /// Why.
        why: String,
    },
}

impl GoOn {
    /// The way on from an error that met a job of this school.
    pub(crate) fn after(error: &Error, school: &School) -> Self {
        let why = error.to_string();
        let rest = |lane: String, length| Self::Rest {
            lane,
            length,
            why: why.clone(),
            needs_operator: false,
        };
        let until_mended = |lane: String| Self::Rest {
            lane,
            length: REST,
            why: why.clone(),
            needs_operator: true,
        };
        match (error.kind(), error.recovery()) {
            (ErrorKind::Unauthorized, _) => until_mended(token_key(school)),
            (ErrorKind::RateLimited, Recovery::RetryAfter(wait)) => {
                rest(token_key(school), wait.min(LONGEST_REST))
            }
            (ErrorKind::RateLimited, _) => rest(token_key(school), SLOW_DOWN),
            (_, Recovery::RetryAfter(wait)) => rest(school.id.to_string(), wait.min(LONGEST_REST)),
            (_, Recovery::Retry | Recovery::Unknown) => Self::Again {
                when: RetryAt::Backoff,
                why,
            },
            (
                ErrorKind::Forbidden
                | ErrorKind::NotFound
                | ErrorKind::Config
                | ErrorKind::Registry,
                _,
            ) => until_mended(school.id.to_string()),
            (_, Recovery::Never) => Self::GiveUp { why },
        }
    }

    /// Gives up what is older than `limit`.
    pub(crate) fn within(self, limit: Duration, age: TimeDelta) -> Self {
        match self {
            Self::Again { why, .. } | Self::Rest { why, .. } if is_longer(age, limit) => {
                Self::GiveUp { why }
            }
            other => other,
        }
    }
}

/// The moment after a while; one beyond the calendar is its last.
pub(super) fn later(now: DateTime<Utc>, wait: Duration) -> DateTime<Utc> {
    let wait = TimeDelta::from_std(wait).unwrap_or(TimeDelta::MAX);
    now.checked_add_signed(wait)
        .unwrap_or(DateTime::<Utc>::MAX_UTC)
}

/// Whether something is older, or lasts longer, than `limit`; no length is beyond a limit that is beyond the calendar.
pub(crate) fn is_longer(length: TimeDelta, limit: Duration) -> bool {
    length > TimeDelta::from_std(limit).unwrap_or(TimeDelta::MAX)
}

/// A wait that doubles with each step, up to `most`.
pub(super) fn doubled(first: Duration, steps: u32, most: Duration) -> Duration {
    first.saturating_mul(1 << steps.min(20)).min(most)
}

/// A school that did not answer as it should.
pub(crate) struct Away {
    school: String,
    length: Duration,
    why: String,
}

impl Away {
    /// For this long, if the error says that it is.
    pub(crate) fn of(error: &Error, school: &School, length: Duration) -> Option<Self> {
        let away = error.kind() == ErrorKind::Unavailable
            && matches!(error.recovery(), Recovery::Retry | Recovery::Unknown);
        away.then(|| Self {
            school: school.id.to_string(),
            length,
            why: error.to_string(),
        })
    }
}

/// A job with what to do about it.
pub(crate) struct Troubled {
    pub(crate) held: LeaseToken,
    pub(crate) events: Vec<(String, String)>,
    pub(crate) go_on: GoOn,
}

impl Pipeline {
    /// The way on from an error that met a job of this school. A token that Wonde would not take is looked up anew.
    pub(crate) fn go_on(&self, error: &Error, school: &School, backoff: Duration) -> GoOn {
        if error.kind() == ErrorKind::Unauthorized {
            self.schools.forget_token(school);
        }
        match GoOn::after(error, school) {
            // What failed together goes on together.
            GoOn::Again {
                when: RetryAt::Backoff,
                why,
            } => GoOn::Again {
                when: RetryAt::After(backoff),
                why,
            },
            GoOn::Rest {
                lane,
                why,
                needs_operator,
                ..
            } if error.kind() == ErrorKind::RateLimited
                && !matches!(error.recovery(), Recovery::RetryAfter(_)) =>
            {
                GoOn::Rest {
                    lane,
                    length: self.pace.backoff.saturating_mul(SLOW_DOWN_STEPS),
                    why,
                    needs_operator,
                }
            }
            other => other,
        }
    }

    /// Lets a school rest that did not answer as it should: what else there is for it would only fail too.
    pub(crate) async fn rest(&self, tx: &mut Tx, away: Option<&Away>) -> outbox::Result<()> {
        let Some(Away {
            school,
            length,
            why,
        }) = away
        else {
            return Ok(());
        };
        self.store.pause(tx, school, *length, why, false).await
    }

    /// How long jobs that met the same error together wait: random up to a bound that doubles with each attempt.
    pub(crate) fn backoff<'a>(&self, jobs: impl IntoIterator<Item = &'a ClaimedJob>) -> Duration {
        let attempts = jobs
            .into_iter()
            .map(ClaimedJob::attempts)
            .max()
            .unwrap_or(1);
        let steps = attempts.saturating_sub(1);
        let bound = doubled(self.pace.backoff, steps, self.pace.backoff_max);
        // Not from zero on: the other side has just failed.
        bound.mul_f64(rand::random_range(0.25..=1.0))
    }

    /// Gives up what has been tried for so long that a person must look.
    pub(crate) fn or_give_up(&self, job: &ClaimedJob, go_on: GoOn) -> GoOn {
        let limit = match &go_on {
            GoOn::Again { .. } => self.pace.give_up_after,
            // Whoever must mend it has time, but nothing that old is written.
            GoOn::Rest { .. } => self.settings.service.accept_age,
            GoOn::GiveUp { .. } => return go_on,
        };
        go_on.within(limit, self.now() - job.enqueued_at)
    }

    /// Does with the jobs what they need, and tells their events what they wait for. Answers what was told, to be counted
    /// once it is kept.
    pub(crate) async fn settle_trouble(
        &self,
        tx: &mut Tx,
        troubled: &[Troubled],
    ) -> outbox::Result<Vec<EventUpdate>> {
        let outbox = self.store.outbox();
        let mut updates = Vec::new();
        for Alike { go_on, held, of } in together(troubled) {
            let settled = match go_on {
                GoOn::Again { when, why } => outbox.retry(tx, &held, *when, why).await?,
                GoOn::Rest {
                    lane,
                    length,
                    why,
                    needs_operator,
                } => {
                    tracing::warn!(%lane, seconds = length.as_secs(), why, "it rests for a while; its work waits");
                    self.store
                        .pause(tx, lane, *length, why, *needs_operator)
                        .await?;
                    outbox.release(tx, &held).await?
                }
                GoOn::GiveUp { why } => outbox.dead_letter(tx, &held, why).await?,
            };
            settled.all()?;
            updates.extend(of.into_iter().map(|(school, id)| {
                let update = EventUpdate::of(school, id);
                match go_on {
                    GoOn::GiveUp { why } => update.state(EventState::Failed).outcome(why.clone()),
                    GoOn::Again { why, .. } | GoOn::Rest { why, .. } => update.waiting(why.clone()),
                }
            }));
        }
        self.store.update_events(tx, &updates).await?;
        Ok(updates)
    }

    pub(crate) fn now(&self) -> chrono::DateTime<chrono::Utc> {
        self.store.now()
    }
}

/// Jobs that go on in the same way, and their events.
struct Alike<'a> {
    go_on: &'a GoOn,
    held: Vec<LeaseToken>,
    of: Vec<&'a (String, String)>,
}

/// What met one job of a register mostly met all of it.
fn together(troubled: &[Troubled]) -> Vec<Alike<'_>> {
    let mut all: Vec<Alike<'_>> = Vec::new();
    for one in troubled {
        match all.iter_mut().find(|alike| *alike.go_on == one.go_on) {
            Some(alike) => {
                alike.held.push(one.held);
                alike.of.extend(&one.events);
            }
            None => all.push(Alike {
                go_on: &one.go_on,
                held: vec![one.held],
                of: one.events.iter().collect(),
            }),
        }
    }
    all
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
