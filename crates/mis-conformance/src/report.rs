//! The results of a run, for people and for programs.

use std::{collections::BTreeMap, fmt, time::Duration};

use mis_wonde::{Ability, Capabilities, Descriptor};
use serde::{Deserialize, Serialize};

/// What a case shows.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    strum::Display,
    strum::IntoStaticStr,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
#[non_exhaustive]
pub enum Kind {
    /// What is promised works.
    Positive,
    /// What is not promised, or is wrong, is refused.
    Negative,
    /// A failure on the way is reported truly and recovered from.
    Fault,
}

impl Kind {
    /// The name used in output.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// What became of one case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CaseReport {
    /// The case, as `group::what_holds`.
    pub name: String,
    /// What it shows.
    pub kind: Kind,
    /// The ability that it is about; `None` where it is for every adapter or for no one ability.
    pub ability: Option<Ability>,
    /// Why it failed; `None` where it passed.
    pub failure: Option<String>,
    /// How long it took, in milliseconds.
    pub millis: u64,
}

impl CaseReport {
    /// Whether it passed.
    pub fn passed(&self) -> bool {
        self.failure.is_none()
    }

    pub(crate) fn took(mut self, time: Duration) -> Self {
        self.millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        self
    }
}

/// How many cases of a kind ran and failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Count {
    /// How many ran.
    pub ran: usize,
    /// How many of these failed.
    pub failed: usize,
}

/// What a run found out about one adapter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Report {
    /// The adapter's id.
    pub adapter: String,
    /// The MIS's name.
    pub name: String,
    /// What the adapter declares: it has chosen the cases.
    pub capabilities: Capabilities,
    /// Positive, negative and fault cases, counted.
    pub counts: BTreeMap<Kind, Count>,
    /// The cases that ran, in the suite's order.
    pub cases: Vec<CaseReport>,
}

impl Report {
    pub(crate) fn new(descriptor: &Descriptor, cases: Vec<CaseReport>) -> Self {
        let mut counts = BTreeMap::from(
            [Kind::Positive, Kind::Negative, Kind::Fault].map(|kind| (kind, Count::default())),
        );
        for case in &cases {
            let count = counts.entry(case.kind).or_default();
            count.ran += 1;
            count.failed += usize::from(!case.passed());
        }
        Self {
            adapter: descriptor.id.to_owned(),
            name: descriptor.name.to_owned(),
            capabilities: descriptor.capabilities,
            counts,
            cases,
        }
    }

    /// Whether cases ran and all of them passed.
    pub fn passed(&self) -> bool {
        !self.cases.is_empty() && self.cases.iter().all(CaseReport::passed)
    }

    /// The case of this name, if it ran.
    pub fn case(&self, name: &str) -> Option<&CaseReport> {
        self.cases.iter().find(|case| case.name == name)
    }
}

/// The line under a run: `conformance of SIMS (sims): 20 positive, 9 negative, 18 fault cases; none failed`.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "conformance of {} ({}): ", self.name, self.adapter)?;
        for (place, (kind, count)) in self.counts.iter().enumerate() {
            write!(
                f,
                "{}{} {kind}",
                if place == 0 { "" } else { ", " },
                count.ran
            )?;
        }
        match self.cases.iter().filter(|case| !case.passed()).count() {
            0 if self.cases.is_empty() => f.write_str(" cases; nothing was tried"),
            0 => f.write_str(" cases; none failed"),
            failed => write!(f, " cases; {failed} failed"),
        }
    }
}
