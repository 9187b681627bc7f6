//! The jobs of the three queues. They carry ids only: an event and its planned mark are read from the event's row.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use mis_core::Receipt;
use outbox::NewJob;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::planned::PlannedMark;
use crate::{queues, store::Followed};

/// An event to decide.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct DecideJob {
    pub(crate) event: String,
    /// How often an operator has retried the event.
    pub(crate) round: u32,
}

impl DecideJob {
    /// The job for an event's round. All events of one person share an order key: the person's key, or the id in the
    /// event while the person is unknown.
    pub(crate) fn new_job(
        event: &str,
        person: &str,
        round: u32,
        school: &str,
        token_key: &str,
    ) -> NewJob {
        let job = Self {
            event: event.to_owned(),
            round,
        };
        NewJob::new(
            queues::DECIDE,
            decide_key(school, event, round),
            payload(&job),
        )
        .order_key(format!("{school}/{person}"))
        .partition(school)
        .throttle_key(token_key)
    }
}

/// A planned mark to send.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct SendJob {
    pub(crate) event: String,
}

impl SendJob {
    /// The job for this mark. It supersedes an older unclaimed one for the same pupil, date and session.
    pub(crate) fn new_job(planned: &PlannedMark, school: &str, token_key: &str) -> NewJob {
        let (mark, event) = (&planned.mark, &planned.event.id);
        let job = Self {
            event: event.clone(),
        };
        let key = send_key(school, event, planned.round, planned.tries());
        NewJob::new(queues::SEND, key, payload(&job))
            .order_key(format!("{school}/{}", mark.student))
            .supersede_key(format!("{}/{}", mark.date, mark.session.as_str()))
            .partition(school)
            .throttle_key(token_key)
    }
}

/// A register that Wonde accepted, to follow until the outcome of each of its marks is known.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct ConfirmJob {
    pub(crate) writeback: Receipt,
    pub(crate) accepted_at: DateTime<Utc>,
    /// The events whose marks are in the register, in the register's order: an answer may name a mark by its place.
    pub(crate) events: Vec<String>,
    /// The places of the marks whose outcome is known.
    #[serde(default)]
    pub(crate) settled: BTreeSet<usize>,
    /// Wonde has answered without settling the other marks: only the register read back can.
    #[serde(default)]
    pub(crate) in_doubt: bool,
}

impl ConfirmJob {
    /// The job that follows this register, first run at `first`.
    pub(crate) fn new_job(&self, school: &str, token_key: &str, first: DateTime<Utc>) -> NewJob {
        // Each later job of a register has more marks settled, or is in doubt, so no two keys are equal.
        let left = match (self.in_doubt, self.settled.len()) {
            (false, 0) => String::new(),
            (false, settled) => format!("#{settled}"),
            (true, settled) => format!("#{settled}?"),
        };
        NewJob::new(
            queues::CONFIRM,
            format!("{}{left}", key(school, self.writeback.as_str())),
            payload(self),
        )
        .partition(school)
        .throttle_key(token_key)
        .not_before(first)
    }

    /// Records `job` as the one that follows the writeback from now on.
    pub(crate) fn followed_by(&self, school: &str, job: &NewJob) -> Followed {
        Followed {
            writeback: self.writeback.to_string(),
            school: school.to_owned(),
            job: job.key.clone(),
        }
    }
}

/// The idempotency key of a school's event or writeback.
pub(crate) fn key(school: &str, id: &str) -> String {
    format!("{school}/{id}")
}

/// The key of an event's decide job. The round comes first because an event's id may end in anything.
pub(crate) fn decide_key(school: &str, event: &str, round: u32) -> String {
    key(school, &format!("{round}#{event}"))
}

/// The key of an event's send job.
pub(crate) fn send_key(school: &str, event: &str, round: u32, tries: u32) -> String {
    key(school, &format!("{round}.{tries}#{event}"))
}

/// The school and the event's id in the key of a decide or send job.
pub(crate) fn event_of_key(key: &str) -> Option<(&str, &str)> {
    let (school, rest) = key.split_once('/')?;
    Some((
        school,
        rest.split_once('#').map_or(rest, |(_, event)| event),
    ))
}

/// The writeback's id in the key of a confirm job.
pub(crate) fn writeback_of_key(key: &str) -> Option<&str> {
    let (_, rest) = key.split_once('/')?;
    Some(
        rest.split_once('#')
            .map_or(rest, |(writeback, _)| writeback),
    )
}

fn payload(job: &impl Serialize) -> Value {
    // Plain structs of ids and numbers always serialise.
    serde_json::to_value(job).unwrap_or_default()
}
