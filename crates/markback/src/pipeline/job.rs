//! What the jobs of the three queues carry.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use mis_core::{Ability, Mark, Receipt};
use outbox::NewJob;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use writeback::{Event, Rule, Standing};

use super::trial::Trial;
use crate::{
    ledger::SeenMark,
    queue,
    store::{Followed, LedgerKey, session_word},
};

/// An event to be decided.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct DecideJob {
    pub(crate) event: Event,
    /// How often a person had the event tried again from the start.
    #[serde(default)]
    pub(crate) round: u32,
}

/// A mark to be sent, with what is needed to look again before it goes.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct SendJob {
    pub(crate) event: Event,
    pub(crate) mark: Mark,
    pub(crate) group: String,
    pub(crate) rule: Rule,
    pub(crate) dropped: Vec<Ability>,
    /// The register as found when it was decided, for the audit trail.
    pub(crate) found: Value,
    /// When it was planned first.
    pub(crate) planned_at: DateTime<Utc>,
    /// How often a writeback with this mark in it was refused after Wonde had taken it.
    #[serde(default)]
    pub(crate) refusals: u32,
    /// How often a person had the event tried again from the start.
    #[serde(default)]
    pub(crate) round: u32,
    /// When the event came in, or was opened again.
    #[serde(default)]
    pub(crate) received_at: Option<DateTime<Utc>>,
    /// What the MIS refused it with, so that it goes without.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) left_out: Vec<Ability>,
    /// What is shown if it goes through without the last of these.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) trial: Option<Trial>,
    /// Which events had had their say when it was planned: when it is decided again, it is against these.
    #[serde(default)]
    pub(crate) against: Standing,
    /// The same with its own event.
    #[serde(default)]
    pub(crate) standing: Option<Standing>,
    /// What Wonde's copy showed when it was decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) over: Option<SeenMark>,
}

/// A register that Wonde took.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct ConfirmJob {
    pub(crate) writeback: Receipt,
    pub(crate) accepted_at: DateTime<Utc>,
    /// The marks of the register, all of them and in its order: an answer may name one by its place.
    pub(crate) marks: Vec<SendJob>,
    /// The places of those whose end is known already.
    #[serde(default)]
    pub(crate) settled: BTreeSet<usize>,
    /// Wonde's word is in and does not tell of the others: only the register read back can settle them.
    #[serde(default)]
    pub(crate) in_doubt: bool,
}

impl DecideJob {
    /// The job for an event's round. All events of one person are in one line: that of the key they keep, or of the id that
    /// the event gives where nobody is known by it.
    pub(crate) fn new_job(
        event: &Event,
        person: &str,
        round: u32,
        school: &str,
        token_lane: &str,
    ) -> NewJob {
        let job = Self {
            event: event.clone(),
            round,
        };
        NewJob::new(
            queue::DECIDE,
            decide_key(school, &event.id, round),
            payload(&job),
        )
        .order_key(format!("{school}/{person}"))
        .lane(school)
        .second_lane(token_lane)
    }
}

impl SendJob {
    /// The job for this mark. An older one for the same pupil, date and session that nobody holds makes way.
    pub(crate) fn new_job(&self, school: &str, token_lane: &str) -> NewJob {
        let mark = &self.mark;
        let key = send_key(school, &self.event.id, self.round, self.tries());
        NewJob::new(queue::SEND, key, payload(self))
            .order_key(format!("{school}/{}", mark.student))
            .supersede_key(format!("{}/{}", mark.date, session_word(mark.session)))
            .lane(school)
            .second_lane(token_lane)
    }

    /// How often the mark was refused in this round; each try is a job of its own.
    fn tries(&self) -> u32 {
        let left_out = u32::try_from(self.left_out.len()).unwrap_or(u32::MAX);
        self.refusals.saturating_add(left_out)
    }

    /// Takes something out of the mark that the MIS refused it with.
    pub(crate) fn leave_out(&mut self, ability: Ability) {
        match ability {
            Ability::Comment => self.mark.comment = None,
            Ability::MinutesLate => self.mark.minutes_late = None,
            _ => return,
        }
        for list in [&mut self.left_out, &mut self.dropped] {
            list.push(ability);
            list.sort_unstable();
            list.dedup();
        }
    }

    /// The pupil's session that it is for.
    pub(crate) fn ledger_key(&self, school: &str) -> LedgerKey {
        LedgerKey {
            school: school.to_owned(),
            student: self.mark.student.clone(),
            date: self.mark.date,
            session: self.mark.session,
        }
    }
}

impl ConfirmJob {
    /// The marks whose end is not known yet, with their places.
    pub(crate) fn open(&self) -> impl Iterator<Item = (usize, &SendJob)> {
        let all = self.marks.iter().enumerate();
        all.filter(|(place, _)| !self.settled.contains(place))
    }

    /// The job that follows this register, first after a while.
    pub(crate) fn new_job(&self, school: &str, token_lane: &str, first: DateTime<Utc>) -> NewJob {
        // Each later job of a register has more of it settled, or its word, so that no two are alike.
        let left = match (self.in_doubt, self.settled.len()) {
            (false, 0) => String::new(),
            (false, settled) => format!("#{settled}"),
            (true, settled) => format!("#{settled}?"),
        };
        NewJob::new(
            queue::CONFIRM,
            format!("{}{left}", key(school, self.writeback.as_str())),
            payload(self),
        )
        .lane(school)
        .second_lane(token_lane)
        .not_before(first)
    }
}

impl ConfirmJob {
    /// Says that this job follows the writeback from now on.
    pub(crate) fn followed_by(&self, school: &str, job: &NewJob) -> Followed {
        Followed {
            writeback: self.writeback.to_string(),
            school: school.to_owned(),
            job: job.key.clone(),
        }
    }
}

/// The writeback's id in the key of a job that follows it.
pub(crate) fn writeback_of_key<'a>(school: &str, key: &'a str) -> Option<&'a str> {
    let rest = key.strip_prefix(school)?.strip_prefix('/')?;
    Some(
        rest.split_once('#')
            .map_or(rest, |(writeback, _)| writeback),
    )
}

/// The idempotency key of a school's event or writeback.
pub(crate) fn key(school: &str, id: &str) -> String {
    format!("{school}/{id}")
}

/// The key of an event's decide job. The number of the round stands first, for an event's id may end in anything.
pub(crate) fn decide_key(school: &str, event: &str, round: u32) -> String {
    key(school, &format!("{round}#{event}"))
}

/// The key of an event's send job.
pub(crate) fn send_key(school: &str, event: &str, round: u32, tries: u32) -> String {
    key(school, &format!("{round}.{tries}#{event}"))
}

/// The event's id in a decide job's or a send job's key.
pub(crate) fn event_of_key<'a>(school: &str, key: &'a str) -> Option<&'a str> {
    Some(event_of_send(key.strip_prefix(school)?.strip_prefix('/')?))
}

/// The event's id in what follows the school in a job's key.
pub(crate) fn event_of_send(key: &str) -> &str {
    key.split_once('#').map_or(key, |(_, event)| event)
}

fn payload(job: &impl Serialize) -> Value {
    // These are plain structs of texts and numbers: there is nothing in them that JSON could refuse.
    serde_json::to_value(job).unwrap_or_default()
}
