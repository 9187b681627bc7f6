//! The report of a run.

use std::{collections::BTreeMap, fmt, path::PathBuf, time::Duration};

use super::{
    Morning, Plan, StoreKind,
    dispute::Disputes,
    env::{MarkKey, Marks},
    faults::FaultCounts,
    settings::Agreement,
};

/// The report of a run.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// The seed, to repeat the run.
    pub seed: u64,
    store: &'static str,
    nodes: usize,
    events: usize,
    marks: usize,
    /// Events that unexpectedly failed, were rejected or stayed unconfirmed.
    pub(crate) unexpected: u64,
    kills: u32,
    freezes: u32,
    restarts: u32,
    outages: u32,
    /// How often the delivery of an event was retried.
    pub retries: u64,
    /// Faults by kind.
    pub faults: BTreeMap<String, u64>,
    /// Requests to the sandbox.
    pub requests: u64,
    /// Events by their final state.
    pub states: BTreeMap<&'static str, u64>,
    /// Events without a final state.
    pub open: u64,
    /// Expected marks that the MIS does not have.
    pub lost: usize,
    /// Marks that were written more often than necessary.
    pub doubled: u32,
    /// Marks with other content than expected, and unexpected marks.
    pub wrong: usize,
    /// Teachers' protected codes that Wonde had shown and that were overwritten.
    pub overwritten: Vec<String>,
    /// How the feed differs from the events.
    pub(crate) untold: Vec<String>,
    disputes: Disputes,
    /// What the events say about the settings that they were decided by, if those changed.
    pub(crate) settings: Agreement,
    /// The first few lost, doubled and wrong marks.
    pub examples: Vec<String>,
    /// The duration of the run.
    pub took: Duration,
    /// The folder with all files, if the run failed.
    pub kept: Option<PathBuf>,
}

/// The expected writes of one mark.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Writer {
    /// How often it may be written.
    pub(crate) times: u32,
    /// Whether the comment was omitted, according to the events' history.
    pub(crate) without_comment: bool,
    /// Whether the minutes late were omitted.
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

    pub(crate) fn add_faults(&mut self, done: &FaultCounts) {
        (self.kills, self.freezes) = (done.kills, done.freezes);
        (self.restarts, self.outages) = (done.restarts, done.outages);
    }

    pub(crate) fn disputed(&mut self, disputes: Disputes) {
        self.events += disputes.events;
        self.disputes = disputes;
    }

    /// Compares the marks with those of the run without faults. A mark is doubled if it was written more often than
    /// allowed.
    pub(crate) fn compare(
        &mut self,
        wanted: &Marks,
        held: &Marks,
        writers: &BTreeMap<MarkKey, Writer>,
    ) {
        self.marks = wanted.len();
        // After a rejection without a message, the service may send the mark without its comment or minutes late, and
        // records that in the history.
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
                    self.example(format!("wrong: {key:?} is {other}, not {says}"));
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
                "wrong: {key:?} is {says}, but there should be no mark"
            ));
        }
    }

    fn example(&mut self, text: String) {
        if self.examples.len() < 5 {
            self.examples.push(text);
        }
    }

    /// How often the settings changed, how many versions decided events, and how many events were decided with the code that was
    /// there before and with the one that it was changed to.
    pub fn settings(&self) -> (u32, usize, [usize; 2]) {
        let Agreement {
            changes,
            versions,
            codes,
            ..
        } = self.settings;
        (changes, versions, codes)
    }

    /// Whether nothing was lost or wrong, and every event ended as expected.
    pub fn is_clean(&self) -> bool {
        let counted: u64 = self.states.values().sum();
        self.lost == 0
            && self.wrong == 0
            && self.overwritten.is_empty()
            && self.untold.is_empty()
            && self.settings.differing.is_empty()
            && self.open == 0
            && self.unexpected == 0
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
        writeln!(f, "database      {} with {} nodes", self.store, self.nodes)?;
        writeln!(
            f,
            "events        {} in {:.0?}, for {} marks; retried deliveries: {}",
            self.events, self.took, self.marks, self.retries
        )?;
        writeln!(
            f,
            "final states  {}; not final: {}, unexpected: {}",
            counts(&states),
            self.open,
            self.unexpected
        )?;
        writeln!(
            f,
            "kills         {}, freezes {}, database restarts {}, MIS offline or copy outdated {}",
            self.kills, self.freezes, self.restarts, self.outages
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
            "disputes      {events} of the events, {edits} edits by teachers, {discarded} discarded, {retried} retried"
        )?;
        writeln!(f, "overwritten   {}", self.overwritten.len())?;
        for example in self.overwritten.iter().take(5) {
            writeln!(f, "              {example}")?;
        }
        writeln!(f, "feed          {} differences", self.untold.len())?;
        for example in self.untold.iter().take(5) {
            writeln!(f, "              {example}")?;
        }
        let Agreement {
            changes,
            replayed,
            versions,
            codes: [usual, other],
            differing,
        } = &self.settings;
        if *changes > 0 {
            writeln!(
                f,
                "settings      {changes} changes, {versions} versions; {replayed} events replayed; {usual} and {other} events \
                 with the one and the other code"
            )?;
            writeln!(f, "differing     {}", differing.len())?;
            for example in differing.iter().take(5) {
                writeln!(f, "              {example}")?;
            }
        }
        if let Some(kept) = &self.kept {
            writeln!(f, "files         {}", kept.display())?;
        }
        write!(f, "seed          {}", self.seed)
    }
}
