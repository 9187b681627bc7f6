//! What came of it.

use std::{collections::BTreeMap, fmt, path::PathBuf, time::Duration};

use super::{
    Morning, Plan, StoreKind,
    dispute::Disputes,
    env::{MarkKey, Marks},
    faults::Done,
};

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// To repeat it.
    pub seed: u64,
    store: &'static str,
    nodes: usize,
    events: usize,
    marks: usize,
    /// Events that failed, were rejected or stayed unconfirmed, and should not have been.
    pub(crate) ended_badly: u64,
    kills: u32,
    freezes: u32,
    restarts: u32,
    away: u32,
    /// How often an event was not taken at once, and brought again.
    pub turned_away: u64,
    /// Faults by kind.
    pub faults: BTreeMap<String, u64>,
    /// Requests to the sandbox.
    pub requests: u64,
    /// Events by their last state.
    pub states: BTreeMap<&'static str, u64>,
    /// Events that have not come to their end.
    pub open: u64,
    /// Marks that should be in the MIS and are not.
    pub lost: usize,
    /// Marks that were written again although they were there.
    pub doubled: u32,
    /// Marks that say something else than they should, or should not be there.
    pub wrong: usize,
    /// Protected codes of teachers that Wonde had shown and that were written over.
    pub overwritten: Vec<String>,
    disputes: Disputes,
    /// The first few of the lost, doubled and wrong ones.
    pub examples: Vec<String>,
    /// How long it took.
    pub took: Duration,
    /// Where all is kept, when something went wrong.
    pub kept: Option<PathBuf>,
}

/// What the events wanted of one mark.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Writer {
    /// How often they wanted it written.
    pub(crate) times: u32,
    /// Whether the comment was left out of it, by what their history says.
    pub(crate) without_comment: bool,
    /// The same for the minutes late.
    pub(crate) without_minutes: bool,
}

impl Report {
    pub(crate) fn new(plan: &Plan, morning: &Morning) -> Self {
        Self {
            seed: plan.seed,
            store: match plan.store {
                StoreKind::Sqlite => "sqlite",
                StoreKind::Postgres => "postgres",
            },
            nodes: match plan.store {
                StoreKind::Sqlite => 1,
                StoreKind::Postgres => plan.nodes,
            },
            events: morning.events,
            ..Self::default()
        }
    }

    pub(crate) fn suffered(&mut self, done: &Done) {
        (self.kills, self.freezes) = (done.kills, done.freezes);
        (self.restarts, self.away) = (done.restarts, done.away);
    }

    pub(crate) fn disputed(&mut self, disputes: Disputes) {
        self.events += disputes.events;
        self.disputes = disputes;
    }

    /// Against what comes of it in peace. A mark is doubled when it was written more often than it may.
    pub(crate) fn compare(
        &mut self,
        wanted: &Marks,
        held: &Marks,
        writers: &BTreeMap<MarkKey, Writer>,
    ) {
        self.marks = wanted.len();
        // A refusal without a message may be taken to be about the comment or the minutes late: then the mark goes without
        // them, and its history says so.
        let reduced = |key: &MarkKey, says: &str, other: &str| {
            let writer = writers.get(key).copied().unwrap_or_default();
            let parts = |says: &str| {
                let mut parts = says.splitn(3, ' ').map(str::to_owned);
                [parts.next(), parts.next(), parts.next()].map(Option::unwrap_or_default)
            };
            let ([code, minutes, comment], [other_code, other_minutes, other_comment]) =
                (parts(says), parts(other));
            let left_out = |other: &str, without| without && other == "None";
            code == other_code
                && (minutes == other_minutes || left_out(&other_minutes, writer.without_minutes))
                && (comment == other_comment || left_out(&other_comment, writer.without_comment))
        };
        for (key, (says, _)) in wanted {
            match held.get(key) {
                None => {
                    self.lost += 1;
                    self.example(format!("lost: {key:?} {says}"));
                }
                Some((other, _)) if other != says && !reduced(key, says, other) => {
                    self.wrong += 1;
                    self.example(format!("wrong: {key:?} says {other}, not {says}"));
                }
                Some((_, written)) => {
                    let once = writers.get(key).copied().unwrap_or_default().times;
                    let doubled = written.saturating_sub(once);
                    if doubled > 0 {
                        self.doubled += doubled;
                        self.example(format!("doubled: {key:?} {says} written {written} times"));
                    }
                }
            }
        }
        for (key, (says, _)) in held.iter().filter(|(key, _)| !wanted.contains_key(*key)) {
            self.wrong += 1;
            self.example(format!(
                "wrong: {key:?} says {says}, and nothing should be there"
            ));
        }
    }

    fn example(&mut self, text: String) {
        if self.examples.len() < 5 {
            self.examples.push(text);
        }
    }

    /// Whether nothing was lost or wrong, and every event has come to a good end.
    pub fn is_clean(&self) -> bool {
        let counted: u64 = self.states.values().sum();
        self.lost == 0
            && self.wrong == 0
            && self.overwritten.is_empty()
            && self.open == 0
            && self.ended_badly == 0
            && usize::try_from(counted) == Ok(self.events)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = |counts: &BTreeMap<String, u64>| {
            let all: Vec<_> = counts
                .iter()
                .map(|(name, n)| format!("{name} {n}"))
                .collect();
            if all.is_empty() {
                "none".to_owned()
            } else {
                all.join(", ")
            }
        };
        let states = self
            .states
            .iter()
            .map(|(state, n)| ((*state).to_owned(), *n))
            .collect();
        writeln!(f, "store         {} with {} nodes", self.store, self.nodes)?;
        writeln!(
            f,
            "events        {} in {:.0?}, for {} marks; not taken at once: {}",
            self.events, self.took, self.marks, self.turned_away
        )?;
        writeln!(
            f,
            "ended as      {}; still open: {}, badly: {}",
            counts(&states),
            self.open,
            self.ended_badly
        )?;
        writeln!(
            f,
            "kills         {}, frozen {}, store restarted {}, MIS away or copy old {}",
            self.kills, self.freezes, self.restarts, self.away
        )?;
        writeln!(
            f,
            "faults        {} (of {} requests)",
            counts(&self.faults),
            self.requests
        )?;
        writeln!(f, "lost          {}", self.lost)?;
        writeln!(f, "doubled       {}", self.doubled)?;
        writeln!(f, "wrong         {}", self.wrong)?;
        for example in &self.examples {
            writeln!(f, "              {example}")?;
        }
        let Disputes {
            events,
            edits,
            discarded,
            retried,
        } = self.disputes;
        writeln!(
            f,
            "disputes      {events} of the events, edited by teachers {edits}, discarded {discarded}, retried {retried}"
        )?;
        writeln!(f, "overwritten   {}", self.overwritten.len())?;
        for example in self.overwritten.iter().take(5) {
            writeln!(f, "              {example}")?;
        }
        if let Some(kept) = &self.kept {
            writeln!(f, "kept          {}", kept.display())?;
        }
        write!(f, "seed          {}", self.seed)
    }
}
