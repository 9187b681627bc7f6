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
//!   times as far apart as the settings allow otherwise. When it has come of all the school's registers, nothing else is
//!   worth waiting for: they are looked at together, at the usual distance from the look before.
//!
//! Each node knows what it has seen itself. What it does not know costs a question, and delays none beyond these bounds.

use std::{
    collections::HashMap,
    num::NonZeroUsize,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use lru::LruCache;

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
/// Times in the database are rounded. What is planned must not become due a moment before the others of its look, which would
/// then be two.
const ROUNDING: Duration = Duration::from_secs(1);
/// Writebacks remembered whose webhook came before Wonde's answer to the request was recorded.
const EARLY: NonZeroUsize = NonZeroUsize::MIN.saturating_add(999);
/// How much shorter the expected delay gets with each look that finds everything settled.
const SHRINK: f64 = 0.9;
/// How far beyond the age of an unsettled register it is expected: where the delay is known, and where it is not.
const GROW: f64 = 1.25;
const GROW_AT_FIRST: f64 = 2.0;

/// What is known of a school's looks.
#[derive(Debug, Default)]
struct SchoolLooks {
    /// How long after its acceptance a register is usually settled, as far as is known.
    delay: Option<Duration>,
    /// Whether a look has found everything settled yet.
    is_learned: bool,
    /// The last look.
    last: Option<DateTime<Utc>>,
    /// The look that was planned last.
    next: Option<DateTime<Utc>>,
    /// The last webhook.
    hook: Option<DateTime<Utc>>,
    /// The registers that this node has sent and not seen settled yet, by writeback.
    open: HashMap<String, OpenRegister>,
}

#[derive(Clone, Copy, Debug)]
struct OpenRegister {
    accepted_at: DateTime<Utc>,
    /// Whether a webhook tells that it is done.
    is_done: bool,
}

/// What a look found out about a register.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen<'a> {
    pub(super) writeback: &'a str,
    /// The time since its acceptance.
    pub(super) age: TimeDelta,
    pub(super) is_settled: bool,
}

/// What follows from a webhook.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Told {
    /// How long to wait before Wonde is asked about the writeback.
    pub(crate) wait: Duration,
    /// Writebacks to ask about together with it.
    pub(crate) others: Vec<String>,
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
    early: Mutex<LruCache<String, ()>>,
}

impl Looks {
    pub(super) fn new(config: &WorkerConfig) -> Self {
        Self {
            pace: Mutex::new(Pace::of(config)),
            schools: Mutex::default(),
            early: Mutex::new(LruCache::new(EARLY)),
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
    pub(super) fn first(&self, school: &str, writeback: &str, now: DateTime<Utc>) -> DateTime<Utc> {
        let is_done = self.early().pop(writeback).is_some();
        self.with(school, |looks| {
            // What is not settled by now may have ended in another way, or on another node.
            let is_recent =
                |register: &OpenRegister| is_within(register.accepted_at, now, HOOKS_COME);
            looks.open.retain(|_, register| is_recent(register));
            let register = OpenRegister {
                accepted_at: now,
                is_done,
            };
            looks.open.insert(writeback.to_owned(), register);
            let usual = later(now, self.delay(looks));
            let planned = self.plan(looks, usual, now);
            if is_done {
                planned.min(later(now, self.good_news(looks, writeback, now).wait))
            } else {
                planned
            }
        })
    }

    /// When to look again at a register that is not settled, after so many looks at it.
    pub(super) fn again(&self, school: &str, now: DateTime<Utc>, looks: u32) -> DateTime<Utc> {
        let wait = doubled(self.pace().first, looks, self.pace().every);
        self.with(school, |looks| self.plan(looks, later(now, wait), now))
    }

    /// Records a look and what it found.
    pub(super) fn saw(&self, school: &str, found: &[Seen<'_>], now: DateTime<Utc>) {
        if found.is_empty() {
            return;
        }
        let open = found.iter().filter(|seen| !seen.is_settled);
        let oldest_open = open.map(|seen| seen.age.to_std().unwrap_or_default()).max();
        self.with(school, |looks| {
            looks.last = Some(now);
            for settled in found.iter().filter(|seen| seen.is_settled) {
                looks.open.remove(settled.writeback);
            }
            let Some(oldest_open) = oldest_open else {
                looks.is_learned = true;
                let shorter = self.delay(looks).mul_f64(SHRINK).max(self.pace().first);
                looks.delay = Some(shorter);
                return;
            };
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

    /// A webhook tells of a register of this school. Good news waits for the next look that is planned, unless it has come
    /// of all registers.
    pub(super) fn told(
        &self,
        school: &str,
        writeback: &str,
        now: DateTime<Utc>,
        is_done: bool,
    ) -> Told {
        self.with(school, |looks| {
            looks.hook = Some(now);
            if !is_done {
                return Told::default();
            }
            match looks.open.get_mut(writeback) {
                Some(register) => register.is_done = true,
                None => self.told_early(writeback),
            }
            self.good_news(looks, writeback, now)
        })
    }

    /// A webhook tells that a writeback is done which is not known yet.
    pub(super) fn told_early(&self, writeback: &str) {
        self.early().put(writeback.to_owned(), ());
    }

    /// When to look after good news of a register.
    fn good_news(&self, looks: &mut SchoolLooks, writeback: &str, now: DateTime<Utc>) -> Told {
        let until = |at: DateTime<Utc>| (at - now).to_std().ok();
        let Some(planned) = looks.next.and_then(until) else {
            return Told::default();
        };
        let apart = looks.last.map(|last| later(last, self.pace().every));
        let soonest = apart.and_then(until).unwrap_or_default();
        let some_are_not_done = looks.open.values().any(|register| !register.is_done);
        if some_are_not_done || soonest >= planned {
            // Longer only if the clock was set back since.
            let longest = self.delay(looks) + self.pace().with_hooks();
            return Told {
                wait: planned.min(longest) + ROUNDING,
                others: Vec::new(),
            };
        }
        looks.next = Some(later(now, soonest));
        let others = looks.open.keys().filter(|other| *other != writeback);
        Told {
            wait: soonest,
            others: others.cloned().collect(),
        }
    }

    fn delay(&self, looks: &SchoolLooks) -> Duration {
        looks.delay.unwrap_or(self.pace().first)
    }

    /// Plans a look at `wanted`, or together with another one soon after. While webhooks come, it is later: they bring it
    /// forward.
    fn plan(
        &self,
        looks: &mut SchoolLooks,
        wanted: DateTime<Utc>,
        now: DateTime<Utc>,
    ) -> DateTime<Utc> {
        let hooks_come = |hook| is_within(hook, now, HOOKS_COME);
        let (apart, earliest) = if looks.hook.is_some_and(hooks_come) {
            let apart = self.pace().with_hooks();
            (apart, wanted.max(later(now, apart)))
        } else {
            let apart = self.delay(looks).max(APART).min(self.pace().every);
            (apart, wanted)
        };
        let at = match looks.next {
            Some(next) if next >= wanted && next <= later(wanted, apart) => next,
            Some(next) if next < wanted && later(next, apart) > wanted => later(next, apart),
            _ => earliest,
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

    fn early(&self) -> MutexGuard<'_, LruCache<String, ()>> {
        self.early.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether `from` is at most `length` before `now`, and not after it.
fn is_within(from: DateTime<Utc>, now: DateTime<Utc>, length: Duration) -> bool {
    (now - from).to_std().is_ok_and(|age| age < length)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

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

    fn seen(writeback: &str, age: i64, is_settled: bool) -> Seen<'_> {
        Seen {
            writeback,
            age: TimeDelta::seconds(age),
            is_settled,
        }
    }

    fn now_alone() -> Told {
        Told::default()
    }

    fn after(seconds: u64, others: &[&str]) -> Told {
        Told {
            wait: Duration::from_secs(seconds),
            others: others.iter().map(|other| (*other).to_owned()).collect(),
        }
    }

    #[test]
    fn the_first_look_is_due_when_the_mis_usually_has_it() {
        let looks = looks();
        let first = |school, time| seconds(looks.first(school, "w", at(time)));
        let saw = |age, is_settled| looks.saw("hill", &[seen("w", age, is_settled)], at(0));
        assert_eq!(first("hill", 0), 15);
        saw(15, false);
        assert_eq!(seconds(looks.again("hill", at(15), 1)), 75);
        saw(75, false);
        saw(195, true);
        // Between 75 seconds, when it was not there, and 195, when it was.
        let wait = first("hill", 1_000) - 1_000;
        assert!((75..195).contains(&wait), "{wait}");
        // Another school is not known yet.
        assert_eq!(first("dale", 1_000), 1_015);
        // The MIS has become faster, and slower again.
        for _ in 1..40 {
            saw(20, true);
        }
        assert_eq!(first("hill", 50_000), 50_015);
        saw(100, false);
        assert_eq!(first("hill", 60_000), 60_125);
    }

    #[test]
    fn looks_at_registers_that_follow_each_other_are_one() {
        let looks = looks();
        looks.saw("hill", &[seen("w", 60, false)], at(0));
        // Registers every 20 seconds, which take two minutes.
        let planned: Vec<_> = (0..12)
            .map(|n| seconds(looks.first("hill", &format!("w{n}"), at(20 * n))))
            .collect();
        assert_eq!(planned[..7], [120, 240, 240, 240, 240, 240, 240]);
        assert_eq!(planned[7..], [360; 5]);
    }

    #[test]
    fn while_webhooks_come_looks_are_further_apart_and_bad_news_does_not_wait() {
        let looks = looks();
        // Nothing is planned.
        assert_eq!(looks.told("hill", "w", at(0), true), now_alone());
        let planned: Vec<_> = (0..30)
            .map(|n| seconds(looks.first("hill", &format!("w{n}"), at(30 * n))))
            .collect();
        assert_eq!(planned, [900; 30]);
        // Good news waits for the look that is planned, bad news does not.
        assert_eq!(looks.told("hill", "w0", at(630), true), after(271, &[]));
        assert_eq!(looks.told("hill", "w1", at(630), false), now_alone());
        assert_eq!(looks.told("hill", "w1", at(1_000), true), now_alone());
        // When no more webhooks come, looks are closer again.
        let late = 1_000 + 60 * 60;
        let planned: Vec<_> = (0..3)
            .map(|n| seconds(looks.first("hill", "v", at(late + 10 * n))))
            .collect();
        assert_eq!(planned, [4_615, 4_675, 4_675]);
    }

    #[test]
    fn when_good_news_of_all_registers_has_come_they_are_looked_at_together() {
        let looks = looks();
        looks.told("hill", "before", at(0), true);
        looks.first("hill", "w1", at(0));
        looks.first("hill", "w2", at(30));
        assert_eq!(looks.told("hill", "w1", at(120), true), after(781, &[]));
        // Told twice, it is still only one of the two.
        assert_eq!(looks.told("hill", "w1", at(121), true), after(780, &[]));
        assert_eq!(looks.told("hill", "w2", at(150), true), after(0, &["w1"]));
        looks.saw(
            "hill",
            &[seen("w1", 150, true), seen("w2", 120, true)],
            at(150),
        );
        // The next ones soon after: not before the usual time between looks has passed.
        assert_eq!(seconds(looks.first("hill", "w3", at(160))), 1_050);
        assert_eq!(looks.told("hill", "w3", at(200), true), after(250, &[]));
        assert_eq!(looks.told("hill", "w3", at(460), true), now_alone());
    }

    #[test]
    fn news_that_comes_before_the_answer_is_recorded_is_not_lost() {
        let looks = looks();
        looks.told("hill", "before", at(0), true);
        // The school of an unknown writeback is not known.
        looks.told_early("w1");
        assert_eq!(seconds(looks.first("hill", "w1", at(10))), 10);
        looks.saw("hill", &[seen("w1", 0, true)], at(10));
        looks.told("hill", "w2", at(1_000), true);
        assert_eq!(seconds(looks.first("hill", "w2", at(1_000))), 1_000);
    }

    proptest! {
        /// No look is planned before it is wanted, unless good news came early, nor later than one of the longest times between
        /// looks after that.
        #[test]
        fn no_look_is_put_off_beyond_the_bound(
            steps in prop::collection::vec((0_u8..4, 0_u64..900, 0_u32..12, any::<bool>()), 1..60),
        ) {
            let looks = looks();
            let (every, with_hooks) = (looks.pace().every, looks.pace().with_hooks());
            let mut now = 0;
            let mut told = HashSet::new();
            for (what, gap, tries, flag) in steps {
                now += gap;
                let time = at(now);
                let writeback = format!("w{tries}");
                let planned = match what {
                    0 => looks.first("hill", &writeback, time),
                    1 => looks.again("hill", time, tries),
                    2 => {
                        looks.saw("hill", &[seen(&writeback, i64::from(tries) * 60, flag)], time);
                        continue;
                    }
                    _ => {
                        if flag {
                            told.insert(writeback.clone());
                        }
                        let wait = looks.told("hill", &writeback, time, flag).wait;
                        prop_assert!(wait <= every + with_hooks + ROUNDING);
                        prop_assert!(flag || wait.is_zero());
                        continue;
                    }
                };
                let wait = (planned - time).to_std().unwrap();
                let soonest = if what == 0 && told.contains(&writeback) { Duration::ZERO } else { looks.pace().first };
                prop_assert!(wait >= soonest && wait <= every + with_hooks, "{wait:?}");
            }
        }
    }

    #[test]
    fn a_changed_pace_counts_from_the_next_look_on() {
        let looks = looks();
        assert_eq!(seconds(looks.first("hill", "w", at(0))), 15);
        looks.follow(&WorkerConfig {
            confirm_after: Duration::from_secs(40),
            ..WorkerConfig::default()
        });
        assert_eq!(seconds(looks.first("dale", "w", at(0))), 40);
    }
}
