//! Fault rules: which requests they match, and what happens to those.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

/// What happens to a request that a rule matches.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Fault {
    /// 429; the request is not handled.
    TooManyRequests {
        /// Its `Retry-After` header.
        #[serde(default)]
        retry_after: RetryAfter,
    },
    /// A response with this status and a body that is not JSON; the request is not handled.
    Status {
        /// 500, 502, 503 or any other from 300 to 599.
        status: u16,
        /// Its `Retry-After` header.
        #[serde(default)]
        retry_after: RetryAfter,
    },
    /// The response is delayed by this much real time.
    Slow {
        /// Milliseconds.
        millis: u64,
        /// If true, the request is handled before the delay: a client that gives up has written all the same.
        #[serde(default)]
        after: bool,
    },
    /// The connection is cut before the request is handled.
    CutBefore,
    /// The connection is cut after the request is handled, before the response.
    CutAfter,
    /// The register is accepted; its writeback fails, with this message.
    RejectWriteback {
        /// The message of the MIS.
        #[serde(default)]
        message: Option<String>,
    },
    /// The MIS rejects registers with comments or minutes late that it should accept.
    RefuseExtras {
        /// The maximum length of a comment, in characters; no limit by default.
        #[serde(default)]
        comment_max: Option<u16>,
        /// Whether minutes late are rejected.
        #[serde(default)]
        minutes_late: bool,
        /// If false, the request is rejected; if true, the register is accepted and its writeback fails.
        #[serde(default)]
        later: bool,
        /// Whether the rejection gives no reason.
        #[serde(default)]
        silent: bool,
    },
    /// The register is accepted; its writeback is never applied and never settles.
    StuckWriteback,
    /// The register is accepted and applied; the writeback has an unknown status.
    UnknownStatus {
        /// The word.
        word: String,
    },
    /// The register is accepted and applied except for its first mark.
    LoseMark {
        /// Whether the errors of the writeback name the mark.
        #[serde(default)]
        named: bool,
    },
    /// The school's MIS goes offline for this long, by the sandbox's clock; the request itself is handled.
    Offline {
        /// Seconds.
        seconds: u32,
    },
    /// The register is not extracted for this long, by the sandbox's clock; the request itself is handled.
    StaleReads {
        /// Seconds.
        seconds: u32,
    },
    /// A response without data, as from the wrong region; the request is not handled.
    Empty,
    /// The request is handled, but the JSON of the response is truncated.
    InvalidJson,
    /// A list ends after the requested page, as if there were no more.
    CutPages,
    /// The link to the next page points to another host.
    ForeignNext,
    /// 401, as if the token had been revoked; the request is not handled.
    Unauthorised,
    /// 403, as if access had been revoked; the request is not handled.
    Forbidden,
}

impl Fault {
    /// The fault's name in counts.
    pub fn name(&self) -> &'static str {
        match self {
            Self::TooManyRequests { .. } => "too_many_requests",
            Self::Status { .. } => "status",
            Self::Slow { .. } => "slow",
            Self::CutBefore => "cut_before",
            Self::CutAfter => "cut_after",
            Self::RejectWriteback { .. } => "reject_writeback",
            Self::RefuseExtras { .. } => "refuse_extras",
            Self::StuckWriteback => "stuck_writeback",
            Self::UnknownStatus { .. } => "unknown_status",
            Self::LoseMark { .. } => "lose_mark",
            Self::Offline { .. } => "offline",
            Self::StaleReads { .. } => "stale_reads",
            Self::Empty => "empty",
            Self::InvalidJson => "invalid_json",
            Self::CutPages => "cut_pages",
            Self::ForeignNext => "foreign_next",
            Self::Unauthorised => "unauthorised",
            Self::Forbidden => "forbidden",
        }
    }

    /// Whether only writes of registers can hit this fault.
    fn needs_register(&self) -> bool {
        matches!(
            self,
            Self::RejectWriteback { .. }
                | Self::RefuseExtras { .. }
                | Self::StuckWriteback
                | Self::UnknownStatus { .. }
                | Self::LoseMark { .. }
        )
    }
}

/// The `Retry-After` header of a response.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RetryAfter {
    /// No header.
    #[default]
    None,
    /// This many seconds.
    Seconds(u32),
    /// The date this many seconds from now by the sandbox's clock.
    Date(u32),
}

/// A fault and the requests that hit it. A rule without conditions matches every request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaultRule {
    /// The fault.
    pub fault: Fault,
    /// The kind of address, as in the request counts: `students`, `attendance/session`, `writebacks` and so on.
    #[serde(default)]
    pub on: Option<String>,
    /// `GET`, `POST`, `PUT` or `DELETE`.
    #[serde(default)]
    pub method: Option<String>,
    /// Id of the school.
    #[serde(default)]
    pub school: Option<String>,
    /// The number of matching requests to skip first.
    #[serde(default)]
    pub skip: u32,
    /// How often it happens; always by default.
    #[serde(default)]
    pub count: Option<u32>,
    /// The share of matching requests, from 0 to 1.
    #[serde(default = "always")]
    pub probability: f64,
    /// The seed of the random choice.
    #[serde(default)]
    pub seed: u64,
}

fn always() -> f64 {
    1.0
}

impl FaultRule {
    /// A rule with this fault for every request.
    pub fn new(fault: Fault) -> Self {
        Self {
            fault,
            on: None,
            method: None,
            school: None,
            skip: 0,
            count: None,
            probability: 1.0,
            seed: 0,
        }
    }

    /// Matches only this kind of address.
    #[must_use]
    pub fn on(mut self, kind: &str) -> Self {
        self.on = Some(kind.to_owned());
        self
    }

    /// Matches only this method.
    #[must_use]
    pub fn method(mut self, method: &str) -> Self {
        self.method = Some(method.to_owned());
        self
    }

    /// Matches only this school.
    #[must_use]
    pub fn school(mut self, id: &str) -> Self {
        self.school = Some(id.to_owned());
        self
    }

    /// Skips this many matching requests first.
    #[must_use]
    pub fn after(mut self, requests: u32) -> Self {
        self.skip = requests;
        self
    }

    /// Happens only this many times.
    #[must_use]
    pub fn times(mut self, count: u32) -> Self {
        self.count = Some(count);
        self
    }

    /// Matches only this share of requests, chosen by a seed.
    #[must_use]
    pub fn by_chance(mut self, probability: f64, seed: u64) -> Self {
        self.probability = probability;
        self.seed = seed;
        self
    }

    /// A mix of all temporary faults: about `share` of all requests hit one.
    pub fn mix(seed: u64, share: f64) -> Vec<Self> {
        let faults = passing();
        let total: f64 = faults.iter().map(|(weight, _)| weight).sum();
        (0..)
            .zip(faults)
            .map(|(n, (weight, fault))| {
                Self::new(fault).by_chance(
                    (share * weight / total).clamp(0.0, 1.0),
                    seed.wrapping_add(n),
                )
            })
            .collect()
    }

    /// Each fault of the mix once, early: in a run of a few seconds, chance may omit half of them. Those that need a
    /// register come first, because registers are few.
    pub fn one_of_each(seed: u64) -> Vec<Self> {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let (registers, any): (Vec<_>, Vec<_>) = passing()
            .into_iter()
            .map(|(_, fault)| fault)
            .partition(Fault::needs_register);
        let registers = registers.into_iter().map(|fault| Self::new(fault).times(1));
        let any = any
            .into_iter()
            .map(|fault| Self::new(fault).after(random.random_range(0..10)).times(1));
        registers.chain(any).collect()
    }

    /// An error in the rule, if any.
    pub(crate) fn problem(&self) -> Option<String> {
        if !(0.0..=1.0).contains(&self.probability) {
            return Some(format!(
                "probability {} is not from 0 to 1",
                self.probability
            ));
        }
        match self.fault {
            Fault::Status { status, .. } if !(300..=599).contains(&status) => {
                Some(format!("status {status} is not from 300 to 599"))
            }
            _ => None,
        }
    }
}

/// All temporary faults, with their relative frequency.
fn passing() -> Vec<(f64, Fault)> {
    vec![
        (
            4.0,
            Fault::TooManyRequests {
                retry_after: RetryAfter::Seconds(1),
            },
        ),
        (
            2.0,
            Fault::TooManyRequests {
                retry_after: RetryAfter::None,
            },
        ),
        (
            1.0,
            Fault::TooManyRequests {
                retry_after: RetryAfter::Date(2),
            },
        ),
        (
            2.0,
            Fault::Status {
                status: 500,
                retry_after: RetryAfter::None,
            },
        ),
        (
            1.0,
            Fault::Status {
                status: 502,
                retry_after: RetryAfter::None,
            },
        ),
        (
            2.0,
            Fault::Status {
                status: 503,
                retry_after: RetryAfter::Seconds(1),
            },
        ),
        (
            2.0,
            Fault::Slow {
                millis: 100,
                after: false,
            },
        ),
        (
            2.0,
            Fault::Slow {
                millis: 100,
                after: true,
            },
        ),
        (2.0, Fault::CutBefore),
        (2.0, Fault::CutAfter),
        (1.0, Fault::InvalidJson),
        (0.5, Fault::Offline { seconds: 20 }),
        (0.5, Fault::StaleReads { seconds: 60 }),
        (1.0, Fault::RejectWriteback { message: None }),
        (
            1.0,
            Fault::UnknownStatus {
                word: "archived".to_owned(),
            },
        ),
    ]
}

/// The properties of a request that rules match.
pub(crate) struct Subject<'a> {
    pub(crate) kind: &'a str,
    pub(crate) method: &'a str,
    /// Id of the school, if the path names one.
    pub(crate) school: Option<&'a str>,
}

impl Subject<'_> {
    fn is_register(&self) -> bool {
        self.method == "POST" && self.kind.starts_with("attendance/")
    }
}

/// The current rules and their counters.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    rules: Vec<Active>,
}

#[derive(Debug)]
struct Active {
    rule: FaultRule,
    chance: ChaCha8Rng,
}

impl Faults {
    /// Appends rules.
    pub(crate) fn add(&mut self, rules: impl IntoIterator<Item = FaultRule>) {
        self.rules.extend(rules.into_iter().map(|rule| Active {
            chance: ChaCha8Rng::seed_from_u64(rule.seed),
            rule,
        }));
    }

    pub(crate) fn clear(&mut self) {
        self.rules.clear();
    }

    /// The current rules with their remaining counts.
    pub(crate) fn list(&self) -> Vec<FaultRule> {
        self.rules.iter().map(|a| a.rule.clone()).collect()
    }

    /// The fault of the first rule that matches the request.
    pub(crate) fn pick(&mut self, subject: &Subject<'_>) -> Option<Fault> {
        let place = self.rules.iter_mut().position(|a| a.picks(subject))?;
        let active = self.rules.get_mut(place)?;
        let fault = active.rule.fault.clone();
        if let Some(count) = &mut active.rule.count {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.rules.remove(place);
            }
        }
        Some(fault)
    }
}

impl Active {
    fn picks(&mut self, subject: &Subject<'_>) -> bool {
        let rule = &mut self.rule;
        let matches = rule.on.as_deref().is_none_or(|on| on == subject.kind)
            && rule
                .method
                .as_deref()
                .is_none_or(|m| m.eq_ignore_ascii_case(subject.method))
            && rule
                .school
                .as_deref()
                .is_none_or(|s| Some(s) == subject.school)
            && (!rule.fault.needs_register() || subject.is_register())
            && rule.count != Some(0);
        if !matches {
            return false;
        }
        if rule.skip > 0 {
            rule.skip -= 1;
            return false;
        }
        rule.probability >= 1.0 || self.chance.random_bool(rule.probability.clamp(0.0, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POST: Subject<'static> = Subject {
        kind: "attendance/session",
        method: "POST",
        school: Some("A1"),
    };
    const READ: Subject<'static> = Subject {
        kind: "students",
        method: "GET",
        school: Some("A1"),
    };

    #[test]
    fn a_rule_applies_to_matching_requests_a_limited_number_of_times() {
        let mut faults = Faults::default();
        faults.add([FaultRule::new(Fault::CutBefore)
            .on("students")
            .after(1)
            .times(2)]);
        let picked: Vec<bool> = (0..5).map(|_| faults.pick(&READ).is_some()).collect();
        assert_eq!(picked, [false, true, true, false, false]);
        assert!(faults.pick(&POST).is_none());
        assert!(faults.list().is_empty());
    }

    #[test]
    fn a_writeback_fault_applies_to_the_next_register() {
        let mut faults = Faults::default();
        faults.add([FaultRule::new(Fault::StuckWriteback).times(1)]);
        assert_eq!(faults.pick(&READ), None);
        assert_eq!(faults.pick(&POST), Some(Fault::StuckWriteback));
    }

    #[test]
    fn random_faults_depend_only_on_the_seed() {
        let run = |seed| {
            let mut faults = Faults::default();
            faults.add(FaultRule::mix(seed, 0.3));
            (0..500)
                .map(|_| faults.pick(&POST).map(|f| f.name()))
                .collect::<Vec<_>>()
        };
        let first = run(1);
        assert_eq!(first, run(1));
        assert_ne!(first, run(2));
        let met = first.iter().flatten().count();
        assert!((75..225).contains(&met), "{met} of 500 met a fault");
    }

    #[test]
    fn one_of_each_fault_occurs_within_forty_writes() {
        let mut faults = Faults::default();
        faults.add(FaultRule::one_of_each(7));
        let wanted = faults.list().len();
        let met = (0..40).filter(|_| faults.pick(&POST).is_some()).count();
        assert_eq!(met, wanted);
        assert!(faults.list().is_empty());
    }

    #[test]
    fn rules_are_read_from_json() {
        let rule: FaultRule = serde_json::from_str(
            r#"{"fault":{"kind":"too_many_requests","retry_after":{"seconds":2}},"on":"students","count":1}"#,
        )
        .unwrap();
        let wanted = FaultRule::new(Fault::TooManyRequests {
            retry_after: RetryAfter::Seconds(2),
        });
        assert_eq!(rule, wanted.on("students").times(1));
        assert!(serde_json::from_str::<FaultRule>(r#"{"fault":{"kind":"meteor"}}"#).is_err());
    }
}
