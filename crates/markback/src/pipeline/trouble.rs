//! How to go on after an error: one answer for deciding, sending and confirming.

use std::time::Duration;

use chrono::TimeDelta;
use mis_core::{Error, ErrorKind, Recovery};
use outbox::{Claimed, Held, Tx, Until, When};

use super::Pipeline;
use crate::{
    schools::token_lane,
    settings::School,
    sight,
    store::{EventState, EventUpdate},
};

/// How long a school rests after an error that a person must mend, before it is tried whether they have.
const REST: Duration = Duration::from_secs(5 * 60);
/// How long a token rests after a 429 that does not say how long.
const SLOW_DOWN: Duration = Duration::from_secs(10);

/// What to do with a job that met an error.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum GoOn {
    /// Try it again; this attempt counts.
    Again {
        /// When.
        when: When,
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
        };
        match (error.kind(), error.recovery()) {
            (ErrorKind::Unauthorized, _) => rest(token_lane(school), REST),
            (ErrorKind::RateLimited, Recovery::RetryAfter(wait)) => rest(token_lane(school), wait),
            (ErrorKind::RateLimited, _) => rest(token_lane(school), SLOW_DOWN),
            (_, Recovery::RetryAfter(wait)) => rest(school.id.to_string(), wait),
            (_, Recovery::Retry | Recovery::Unknown) => Self::Again {
                when: When::Backoff,
                why,
            },
            (
                ErrorKind::Forbidden
                | ErrorKind::NotFound
                | ErrorKind::Config
                | ErrorKind::Registry,
                _,
            ) => rest(school.id.to_string(), REST),
            (_, Recovery::Never) => Self::GiveUp { why },
        }
    }
}

/// A job with what to do about it.
pub(crate) struct Troubled {
    pub(crate) held: Held,
    pub(crate) events: Vec<(String, String)>,
    pub(crate) go_on: GoOn,
}

impl Pipeline {
    /// The way on from an error that met a job of this school. A token that Wonde would not take is looked up anew.
    pub(crate) fn go_on(&self, error: &Error, school: &School) -> GoOn {
        if error.kind() == ErrorKind::Unauthorized {
            self.schools.forget_token(school);
        }
        GoOn::after(error, school)
    }

    /// Whether something has been tried for so long that a person must look.
    pub(crate) fn is_hopeless(&self, job: &Claimed) -> bool {
        let limit = TimeDelta::from_std(self.pace.give_up_after).unwrap_or(TimeDelta::MAX);
        self.now() - job.enqueued_at > limit
    }

    /// Does with each job what it needs, and tells its events what they wait for.
    pub(crate) async fn settle_trouble(
        &self,
        tx: &mut Tx,
        troubled: Vec<Troubled>,
    ) -> outbox::Result<()> {
        let outbox = self.store.outbox();
        let mut updates = Vec::new();
        for Alike {
            go_on,
            held,
            events,
        } in together(troubled)
        {
            let settled = match &go_on {
                GoOn::Again { when, why } => outbox.retry(tx, &held, *when, why).await?,
                GoOn::Rest { lane, length, why } => {
                    tracing::warn!(%lane, seconds = length.as_secs(), why, "it rests for a while; its work waits");
                    outbox.pause(tx, lane, Until::For(*length), why).await?;
                    outbox.release(tx, &held).await?
                }
                GoOn::GiveUp { why } => outbox.bury(tx, &held, why).await?,
            };
            settled.all()?;
            updates.extend(events.iter().map(|(school, id)| {
                let update = EventUpdate::of(school, id);
                match &go_on {
                    GoOn::GiveUp { why } => update.state(EventState::Failed).outcome(why.clone()),
                    GoOn::Again { why, .. } | GoOn::Rest { why, .. } => update.waiting(why.clone()),
                }
            }));
        }
        self.store.update_events(tx, &updates).await?;
        sight::news(updates.iter().map(|update| update.state));
        Ok(())
    }

    pub(crate) fn now(&self) -> chrono::DateTime<chrono::Utc> {
        self.store.now()
    }
}

/// Jobs that go on in the same way, and their events.
struct Alike {
    go_on: GoOn,
    held: Vec<Held>,
    events: Vec<(String, String)>,
}

/// What met one job of a register mostly met all of it.
fn together(troubled: Vec<Troubled>) -> Vec<Alike> {
    let mut all: Vec<Alike> = Vec::new();
    for one in troubled {
        match all.iter_mut().find(|alike| alike.go_on == one.go_on) {
            Some(alike) => {
                alike.held.push(one.held);
                alike.events.extend(one.events);
            }
            None => all.push(Alike {
                go_on: one.go_on,
                held: vec![one.held],
                events: one.events,
            }),
        }
    }
    all
}
