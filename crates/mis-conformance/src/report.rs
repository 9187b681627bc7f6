//! The results of a run, for people and for programs.

use std::{collections::BTreeMap, fmt, time::Duration};

use mis_wonde::{Ability, Capabilities, Descriptor};
use serde::{Deserialize, Serialize};

/// The purpose of a case.
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
    /// A declared ability works.
    Positive,
    /// An undeclared ability or an invalid mark is rejected.
    Negative,
    /// A failed request is reported correctly and can be recovered from.
    Fault,
}

impl Kind {
    /// The name used in output.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// The result of one case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CaseReport {
    /// The name, as `group::expected_behaviour`.
    pub name: String,
    /// The purpose of the case.
    pub kind: Kind,
    /// The ability that it tests; `None` if it tests no single ability.
    pub ability: Option<Ability>,
    /// The reason of a failure; `None` if the case passed.
    pub failure: Option<String>,
    /// The duration in milliseconds.
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
    /// How many of them failed.
    pub failed: usize,
}

/// The report on one adapter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Report {
    /// The adapter's id.
    pub adapter: String,
    /// The MIS's name.
    pub name: String,
    /// The declared capabilities, which selected the cases.
    pub capabilities: Capabilities,
    /// The numbers of positive, negative and fault cases.
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
            0 if self.cases.is_empty() => f.write_str(" cases; none ran"),
            0 => f.write_str(" cases; none failed"),
            failed => write!(f, " cases; {failed} failed"),
        }
    }
}
