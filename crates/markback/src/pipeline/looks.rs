//! When Wonde is asked what became of a school's registers.
//!
//! A question about one register costs as much as a question about all of them (`GET /writebacks`), so the looks of a
//! school are brought together:
//!
//! - The first look at a register is due when this school's MIS usually has it. That is learned: it grows when a look
//!   comes too early, and shrinks slowly while looks find everything settled.
//! - A look that is nearly due waits for the next one that is planned. Two looks of a school are at least a minute apart,
//!   and no further than the longest time between two looks in the settings.
//! - While webhooks come, bad news comes by itself and is asked about at once. Good news can wait, so the looks are three
//!   times as far apart as the settings allow otherwise.
//!
//! Each node knows what it has seen itself. What it does not know costs a question, and delays none beyond these bounds.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};

use super::{
    failure::{doubled, later},
    worker::WorkerConfig,
};

/// The shortest time between two looks at a school's registers that are planned.
const APART: Duration = Duration::from_secs(60);
/// How long webhooks count as coming after the last one.
const HOOKS_COME: Duration = Duration::from_secs(60 * 60);
/// How many times as far apart looks are while webhooks come.
const APART_WITH_HOOKS: u32 = 3;
/// How much shorter the expected delay gets with each look that finds everything settled.
const SHRINK: f64 = 0.9;
/// How far beyond the age of an unsettled register it is expected: where the delay is known, and where it is not.
const GROW: f64 = 1.25;
const GROW_AT_FIRST: f64 = 2.0;

/// What is known of a school's looks.
#[derive(Clone, Copy, Debug, Default)]
struct SchoolLooks {
    /// How long after its acceptance a register is usually settled, as far as is known.
    delay: Option<Duration>,
    /// Whether a look has found everything settled yet.
    is_learned: bool,
    /// The look that was planned last.
    next: Option<DateTime<Utc>>,
    /// The last webhook.
    hook: Option<DateTime<Utc>>,
}

/// What the settings say.
#[derive(Clone, Copy, Debug)]
struct Pace {
    /// The shortest expected delay.
    first: Duration,
    /// The longest time between two looks.
    every: Duration,
}

impl Pace {
    fn of(config: &WorkerConfig) -> Self {
        Self {
            first: config.confirm_after,
            every: config.confirm_at_least_every.max(config.confirm_after),
        }
    }

    /// The longest time between two looks while webhooks come.
    fn with_hooks(self) -> Duration {
        self.every.saturating_mul(APART_WITH_HOOKS)
    }
}

/// When to look, for all schools.
#[derive(Debug)]
pub(super) struct Looks {
    pace: Mutex<Pace>,
    schools: Mutex<HashMap<String, SchoolLooks>>,
}

impl Looks {
    pub(super) fn new(config: &WorkerConfig) -> Self {
        Self {
            pace: Mutex::new(Pace::of(config)),
            schools: Mutex::default(),
        }
    }

    /// Goes by other settings from now on.
    pub(super) fn follow(&self, config: &WorkerConfig) {
        *self.pace.lock().unwrap_or_else(PoisonError::into_inner) = Pace::of(config);
    }

    fn pace(&self) -> Pace {
        *self.pace.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// When to look first at a register that was accepted now.
    pub(super) fn first(&self, school: &str, now: DateTime<Utc>) -> DateTime<Utc> {
        self.with(school, |looks| {
            let usual = later(now, self.delay(looks));
            self.plan(looks, usual, now)
        })
    }

    /// When to look again at a register that is not settled, after so many looks at it.
    pub(super) fn again(&self, school: &str, now: DateTime<Utc>, looks: u32) -> DateTime<Utc> {
        let wait = doubled(self.pace().first, looks, self.pace().every);
        self.with(school, |looks| self.plan(looks, later(now, wait), now))
    }

    /// Records a look: how old each register was since its acceptance, and whether it was settled.
    pub(super) fn saw(&self, school: &str, found: &[(TimeDelta, bool)]) {
        let Some(oldest_open) = found
            .iter()
            .filter(|(_, settled)| !settled)
            .map(|(age, _)| age.to_std().unwrap_or_default())
            .max()
        else {
            self.with(school, |looks| {
                if !found.is_empty() {
                    looks.is_learned = true;
                    let shorter = self.delay(looks).mul_f64(SHRINK).max(self.pace().first);
                    looks.delay = Some(shorter);
                }
            });
            return;
        };
        self.with(school, |looks| {
            let grow = if looks.is_learned {
                GROW
            } else {
                GROW_AT_FIRST
            };
            // No register is that old that this overflows, but an age comes from a stored time.
            let longer = Duration::try_from_secs_f64(oldest_open.as_secs_f64() * grow);
            let longer = longer.unwrap_or(self.pace().every).min(self.pace().every);
            looks.delay = Some(self.delay(looks).max(longer));
        });
    }

    /// A webhook tells of a register of this school: how long to wait before Wonde is asked about it. Good news waits for
    /// the next look that is planned.
    pub(super) fn told(&self, school: &str, now: DateTime<Utc>, is_done: bool) -> Duration {
        self.with(school, |looks| {
            looks.hook = Some(now);
            let planned = looks.next.and_then(|next| (next - now).to_std().ok());
            planned
                .filter(|_| is_done)
                .map_or(Duration::ZERO, |wait| wait.min(self.pace().with_hooks()))
        })
    }

    fn delay(&self, looks: &SchoolLooks) -> Duration {
        looks.delay.unwrap_or(self.pace().first)
    }

    /// Plans a look at `wanted`, or together with another one soon after.
    fn plan(
        &self,
        looks: &mut SchoolLooks,
        wanted: DateTime<Utc>,
        now: DateTime<Utc>,
    ) -> DateTime<Utc> {
        let hooks_come = |hook| is_within(hook, now, HOOKS_COME);
        let apart = if looks.hook.is_some_and(hooks_come) {
            self.pace().with_hooks()
        } else {
            self.delay(looks).max(APART).min(self.pace().every)
        };
        let at = match looks.next {
            Some(next) if next >= wanted && next <= later(wanted, apart) => next,
            Some(next) if next < wanted && later(next, apart) > wanted => later(next, apart),
            _ => wanted,
        };
        looks.next = Some(at);
        at
    }

    fn with<T>(&self, school: &str, work: impl FnOnce(&mut SchoolLooks) -> T) -> T {
        let mut schools = self.schools.lock().unwrap_or_else(PoisonError::into_inner);
        match schools.get_mut(school) {
            Some(looks) => work(looks),
            None => work(schools.entry(school.to_owned()).or_default()),
        }
    }
}

/// Whether `from` is at most `length` before `now`, and not after it.
fn is_within(from: DateTime<Utc>, now: DateTime<Utc>, length: Duration) -> bool {
    (now - from).to_std().is_ok_and(|age| age < length)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(seconds: u64) -> DateTime<Utc> {
        let start: DateTime<Utc> = "2026-11-23T08:40:00Z".parse().unwrap();
        later(start, Duration::from_secs(seconds))
    }

    fn seconds(time: DateTime<Utc>) -> i64 {
        (time - at(0)).num_seconds()
    }

    fn looks() -> Looks {
        Looks::new(&WorkerConfig::default())
    }

    fn age(seconds: i64) -> TimeDelta {
        TimeDelta::seconds(seconds)
    }

    #[test]
    fn the_first_look_is_due_when_the_mis_usually_has_it() {
        let looks = looks();
        assert_eq!(seconds(looks.first("hill", at(0))), 15);
        looks.saw("hill", &[(age(15), false)]);
        assert_eq!(seconds(looks.again("hill", at(15), 1)), 75);
        looks.saw("hill", &[(age(75), false)]);
        looks.saw("hill", &[(age(195), true)]);
        // Between 75 seconds, when it was not there, and 195, when it was.
        let first = seconds(looks.first("hill", at(1_000))) - 1_000;
        assert!((75..195).contains(&first), "{first}");
        // Another school is not known yet.
        assert_eq!(seconds(looks.first("dale", at(1_000))), 1_015);
        // The MIS has become faster, and slower again.
        for _ in 1..40 {
            looks.saw("hill", &[(age(20), true)]);
        }
        let first = seconds(looks.first("hill", at(50_000))) - 50_000;
        assert_eq!(first, 15);
        looks.saw("hill", &[(age(100), false)]);
        let first = seconds(looks.first("hill", at(60_000))) - 60_000;
        assert_eq!(first, 125);
    }

    #[test]
    fn looks_at_registers_that_follow_each_other_are_one() {
        let looks = looks();
        looks.saw("hill", &[(age(60), false)]);
        // Registers every 20 seconds, which take two minutes.
        let planned: Vec<_> = (0..12)
            .map(|n| seconds(looks.first("hill", at(20 * n))))
            .collect();
        assert_eq!(planned[..7], [120, 240, 240, 240, 240, 240, 240]);
        assert_eq!(planned[7..], [360; 5]);
    }

    #[test]
    fn while_webhooks_come_looks_are_further_apart_and_bad_news_does_not_wait() {
        let looks = looks();
        // Nothing is planned.
        assert_eq!(looks.told("hill", at(0), true), Duration::ZERO);
        let planned: Vec<_> = (0..30)
            .map(|n| seconds(looks.first("hill", at(30 * n))))
            .collect();
        assert_eq!(planned[0], 15);
        assert_eq!(planned[1..], [915; 29]);
        // Good news waits for the look that is planned, but no longer than the longest time.
        assert_eq!(looks.told("hill", at(630), true), Duration::from_secs(285));
        assert_eq!(looks.told("hill", at(10), true), Duration::from_secs(900));
        assert_eq!(looks.told("hill", at(630), false), Duration::ZERO);
        assert_eq!(looks.told("hill", at(1_000), true), Duration::ZERO);
        // When no more webhooks come, looks are closer again.
        let late = 1_000 + 60 * 60;
        let planned: Vec<_> = (0..3)
            .map(|n| seconds(looks.first("hill", at(late + 10 * n))))
            .collect();
        assert_eq!(planned, [4_615, 4_675, 4_675]);
    }

    proptest! {
        /// No look is planned before it is wanted, nor later than one of the longest times between looks after that.
        #[test]
        fn no_look_is_put_off_beyond_the_bound(
            steps in prop::collection::vec((0_u8..4, 0_u64..900, 0_u32..12, any::<bool>()), 1..60),
        ) {
            let looks = looks();
            let (every, with_hooks) = (looks.pace().every, looks.pace().with_hooks());
            let mut now = 0;
            for (what, gap, tries, flag) in steps {
                now += gap;
                let time = at(now);
                let planned = match what {
                    0 => looks.first("hill", time),
                    1 => looks.again("hill", time, tries),
                    2 => {
                        looks.saw("hill", &[(age(i64::from(tries) * 60), flag)]);
                        continue;
                    }
                    _ => {
                        let wait = looks.told("hill", time, flag);
                        prop_assert!(wait <= with_hooks);
                        prop_assert!(flag || wait.is_zero());
                        continue;
                    }
                };
                let wait = (planned - time).to_std().unwrap();
                prop_assert!(wait >= looks.pace().first && wait <= every + with_hooks, "{wait:?}");
            }
        }
    }

    #[test]
    fn a_changed_pace_counts_from_the_next_look_on() {
        let looks = looks();
        assert_eq!(seconds(looks.first("hill", at(0))), 15);
        looks.follow(&WorkerConfig {
            confirm_after: Duration::from_secs(40),
            ..WorkerConfig::default()
        });
        assert_eq!(seconds(looks.first("dale", at(0))), 40);
    }
}
