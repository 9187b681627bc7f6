//! When a school's waiting marks go out as the next register.
//!
//! Each register costs a request, and its outcome another; a token has few of them in the morning. So marks wait for
//! others of their school, but only as long as that pays:
//!
//! - The first mark of a school that was quiet goes at once.
//! - After a register the next waits for a pause. The more marks the school had lately, the more are worth waiting for,
//!   so the pause grows; after a crowd it is short again, because the last of it wait for nobody.
//! - Once the marks have waited together for as long as a request is worth, they go: where many come, that is soon. Of all
//!   ways to send so many registers, this one makes the marks of a steady stream wait the shortest.
//! - The busier the school's token, the longer the pause.
//! - No mark waits longer than the limit in the settings, and a full register goes at once.
//!
//! The policy is a pure function of the marks that wait (which the database knows), the registers that this node has
//! sent lately, and the load of the token. A node that has just started, or has taken a school over, knows of no
//! registers: it sends sooner, never later. Where thousands of marks wait, only the oldest are counted ([`Reach`]): a school's
//! marks may then wait longer than pays, but not for longer than the limit, because the age of the oldest is always right.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use outbox::WaitingPartition;

use crate::settings::Gather;

/// The time over which a school's stream of marks is measured, in seconds.
const LATELY: u32 = 60;
/// A request is worth so many seconds of waiting, all marks of a register together. With a pupil a second, registers are 27
/// seconds apart and marks wait 13 seconds on average.
const WORTH: f64 = 355.0;
/// With so many marks lately, the pause is half of the longest.
const COMPANY: f64 = 2.0;
/// After a register marks wait for at most so many times as long as registers are apart where that many come all the time.
const AFTER_A_CROWD: f64 = 1.5;
/// The shortest time between two registers of a school that are not full. What lies there after an outage has waited for
/// long enough, but is still being decided.
pub(super) const APART: Duration = Duration::from_millis(500);

/// What waits for a school.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waiting {
    /// Marks that can be sent, at least.
    marks: u64,
    /// How long the oldest of them has waited.
    oldest: Duration,
}

/// The registers sent to one school lately: when, and with how many marks; the oldest first.
#[derive(Clone, Debug, Default)]
struct Sent(VecDeque<(DateTime<Utc>, u64)>);

impl Sent {
    fn record(&mut self, now: DateTime<Utc>, marks: u64, keep: Duration) {
        self.0.push_back((now, marks));
        self.forget(now, keep);
    }

    /// Forgets registers that no longer count, and those after `now`: the clock was set back.
    fn forget(&mut self, now: DateTime<Utc>, keep: Duration) {
        self.0
            .retain(|(at, _)| elapsed(*at, now).is_some_and(|age| age < keep));
    }

    /// The time since the last register; `None` if none was sent lately.
    fn since_last(&self, now: DateTime<Utc>) -> Option<Duration> {
        let ages = self.0.iter().filter_map(|(at, _)| elapsed(*at, now));
        ages.min()
    }

    /// The marks sent in the last minute.
    fn marks_lately(&self, now: DateTime<Utc>) -> u64 {
        let lately = Duration::from_secs(LATELY.into());
        self.0
            .iter()
            .filter(|(at, _)| elapsed(*at, now).is_some_and(|age| age < lately))
            .map(|(_, marks)| marks)
            .sum()
    }
}

fn elapsed(from: DateTime<Utc>, to: DateTime<Utc>) -> Option<Duration> {
    (to - from).to_std().ok()
}

/// The pause between two registers of a school with so many marks in the last minute, those that wait included, while
/// its token's load is this part of its rate, from 0 to 1. At most `limit`.
fn pause(limit: Duration, marks_lately: u64, load: f64) -> Duration {
    #[expect(clippy::cast_precision_loss, reason = "marks of a minute")]
    let marks = marks_lately.max(1) as f64;
    let grown = limit.as_secs_f64() * marks / (marks + COMPANY);
    let apart = (2.0 * WORTH * f64::from(LATELY) / marks).sqrt();
    busier(limit, grown.min(AFTER_A_CROWD * apart), load)
}

/// How long until these marks have waited together for as long as a request is worth, at most `limit`. They are taken to
/// have come evenly since the oldest.
fn until_worth(limit: Duration, waiting: Waiting, load: f64) -> Duration {
    #[expect(clippy::cast_precision_loss, reason = "marks of a school")]
    let marks = waiting.marks.max(1) as f64;
    busier(limit, 2.0 * WORTH / marks, load).saturating_sub(waiting.oldest)
}

/// A time in seconds, at most `limit`; the closer to it, the busier the token.
fn busier(limit: Duration, seconds: f64, load: f64) -> Duration {
    let most = limit.as_secs_f64();
    let load = if load.is_nan() { 0.0 } else { load };
    let idle = seconds.min(most);
    let busy = idle + (most - idle) * load.clamp(0.0, 1.0);
    Duration::try_from_secs_f64(busy)
        .unwrap_or(limit)
        .min(limit)
}

/// How long until the waiting marks go; zero if they go now.
fn wait(gather: Gather, sent: &Sent, waiting: Waiting, load: f64, now: DateTime<Utc>) -> Duration {
    let limit = gather.window;
    let full = u64::try_from(gather.max.get()).unwrap_or(u64::MAX);
    let Some(since_last) = sent.since_last(now).filter(|_| waiting.marks < full) else {
        return Duration::ZERO;
    };
    let lately = sent.marks_lately(now).saturating_add(waiting.marks);
    let pause = pause(limit, lately, load).saturating_sub(since_last);
    let worth = until_worth(limit, waiting, load);
    let apart = APART.min(limit).saturating_sub(since_last);
    pause.min(worth).max(apart)
}

/// How many of the oldest waiting marks a node looks at.
///
/// If these belong to few schools, they go soon, and then others are the oldest. The marks of thousands of small schools wait for
/// up to the limit, so the node looks past them: behind them may be the first mark of another school, which goes at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reach(u32);

impl Default for Reach {
    fn default() -> Self {
        Self(Self::LEAST)
    }
}

impl Reach {
    const LEAST: u32 = 2_000;
    /// SQLite takes about 3 µs for each mark, so such a look takes 0.4 s.
    const MOST: u32 = 128_000;
    /// By how much the number grows and shrinks.
    const STEP: u32 = 4;
    /// Schools that have at least so many of the marks, on average, send them soon: see [`until_worth`].
    const FEW_SCHOOLS: u64 = 40;

    pub(super) fn marks(self) -> u32 {
        self.0
    }

    /// The number for the next look. In this one `waiting` was seen, and the marks of `ready` schools go; `enough` schools keep
    /// the senders busy.
    pub(super) fn after(self, waiting: &[WaitingPartition], ready: usize, enough: usize) -> Self {
        let seen: u64 = waiting.iter().map(|one| one.jobs).sum();
        let schools = u64::try_from(waiting.len()).unwrap_or(u64::MAX);
        let reach = u64::from(self.0);
        if seen >= reach && ready < enough && seen < schools.saturating_mul(Self::FEW_SCHOOLS) {
            Self((self.0 * Self::STEP).min(Self::MOST))
        } else if seen.saturating_mul(Self::STEP.into()) <= reach {
            Self((self.0 / Self::STEP).max(Self::LEAST))
        } else {
            self
        }
    }
}

/// The registers that this node has sent lately, by school.
#[derive(Debug)]
pub(super) struct Gathering {
    settings: Mutex<Gather>,
    sent: Mutex<HashMap<String, Sent>>,
}

/// Which schools' marks go now.
#[derive(Debug, Default)]
pub(super) struct Ready {
    /// The schools whose marks go now, the longest waiting first.
    pub(super) schools: VecDeque<String>,
    /// How long until the next school's marks go, if any are held.
    pub(super) next: Option<Duration>,
}

impl Gathering {
    pub(super) fn new(gather: Gather) -> Self {
        Self {
            settings: Mutex::new(gather),
            sent: Mutex::default(),
        }
    }

    /// The settings that rule now.
    pub(super) fn settings(&self) -> Gather {
        *self.settings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Goes by other settings from now on.
    pub(super) fn follow(&self, gather: Gather) {
        *self.settings.lock().unwrap_or_else(PoisonError::into_inner) = gather;
    }

    /// Records a register that goes now.
    pub(super) fn record(&self, school: &str, marks: usize, now: DateTime<Utc>) {
        let marks = u64::try_from(marks).unwrap_or(u64::MAX);
        let mut sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        let school = sent.entry(school.to_owned()).or_default();
        school.record(now, marks, self.keep());
    }

    /// Divides the schools whose marks wait into those that send now and those that wait on. `load` tells the load of a
    /// school's token.
    pub(super) fn ready(
        &self,
        waiting: &[WaitingPartition],
        load: impl Fn(&str) -> f64,
        now: DateTime<Utc>,
    ) -> Ready {
        let mut sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        let mut ready = Ready::default();
        for one in waiting {
            let known = match sent.get_mut(&one.partition) {
                Some(known) => {
                    known.forget(now, self.keep());
                    known.clone()
                }
                None => Sent::default(),
            };
            let waiting = Waiting {
                marks: one.jobs,
                oldest: one.oldest,
            };
            let load = load(&one.partition);
            match wait(self.settings(), &known, waiting, load, now) {
                Duration::ZERO => ready.schools.push_back(one.partition.clone()),
                wait => ready.next = ready.next.into_iter().chain([wait]).min(),
            }
        }
        // Schools that are quiet again.
        if sent.len() > waiting.len().saturating_mul(2) {
            sent.retain(|_, school| {
                school.forget(now, self.keep());
                !school.0.is_empty()
            });
        }
        ready
    }

    /// How long a register counts.
    fn keep(&self) -> Duration {
        self.settings()
            .window
            .max(Duration::from_secs(LATELY.into()))
    }
}

/// How long a mark has gathered already when it is planned, for an event that was received so long ago. Marks of a
/// backlog do not wait for the whole limit again, and a mark that somebody waits for does not wait at all.
pub(super) fn gathered_already(limit: Duration, age: TimeDelta, urgent: bool) -> Duration {
    if urgent {
        return limit;
    }
    let age = age.to_std().unwrap_or_default();
    age.min(limit.saturating_sub(APART))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    fn gather(limit: Duration) -> Gather {
        Gather {
            window: limit,
            ..Gather::default()
        }
    }

    fn at(seconds: u32) -> DateTime<Utc> {
        let start: DateTime<Utc> = "2026-11-23T08:40:00Z".parse().unwrap();
        start + TimeDelta::seconds(seconds.into())
    }

    const MINUTE: Duration = Duration::from_secs(60);

    #[rstest]
    // A pupil now and then, one every two seconds, one a second, a crowd.
    #[case::first(1, 0.0, 20.0)]
    #[case::few(5, 0.0, 42.9)]
    #[case::stream(30, 0.0, 56.25)]
    #[case::one_a_second(60, 0.0, 40.0)]
    #[case::after_a_crowd(1_800, 0.0, 7.3)]
    // The token is half used, and used up.
    #[case::half_used(5, 0.5, 51.4)]
    #[case::used_up(60, 1.0, 60.0)]
    #[case::few_and_used_up(1, 1.0, 60.0)]
    #[case::no_load(5, f64::NAN, 42.9)]
    fn the_pause_follows_the_stream_and_the_load(
        #[case] marks: u64,
        #[case] load: f64,
        #[case] seconds: f64,
    ) {
        let pause = pause(MINUTE, marks, load).as_secs_f64();
        assert!((pause - seconds).abs() < 0.1, "{pause}");
    }

    #[rstest]
    // So many a second, or one in so many seconds.
    #[case::one_in_ten_seconds(0.1, 0.0, 60.0)]
    #[case::one_in_two_seconds(0.5, 0.0, 37.7)]
    #[case::one_a_second(1.0, 0.0, 26.6)]
    #[case::three_a_second(3.0, 0.0, 15.4)]
    #[case::crowd(500.0, 0.0, 1.2)]
    #[case::half_used(1.0, 0.5, 39.1)]
    #[case::used_up(1.0, 1.0, 60.0)]
    fn a_register_goes_once_its_marks_have_waited_for_as_long_as_a_request_is_worth(
        #[case] per_second: f64,
        #[case] load: f64,
        #[case] seconds: f64,
    ) {
        let goes_after = (1..=600)
            .map(|tenth| f64::from(tenth) / 10.0)
            .find(|passed| {
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "a few marks"
                )]
                let marks = (per_second * passed).round().max(1.0) as u64;
                let oldest = Duration::from_secs_f64(*passed);
                until_worth(MINUTE, Waiting { marks, oldest }, load).is_zero()
            });
        let goes_after = goes_after.unwrap();
        assert!((goes_after - seconds).abs() < 1.0, "{goes_after}");
    }

    #[rstest]
    // Everything is seen.
    #[case::few_marks(2_000, 900, 1, 0, 2_000)]
    // More wait than are seen: of many schools that wait on, of many of which enough send, of few.
    #[case::small_schools_wait(2_000, 1_000, 2, 31, 8_000)]
    #[case::small_schools_send(2_000, 1_000, 2, 32, 2_000)]
    #[case::large_schools_wait(2_000, 20, 100, 0, 2_000)]
    #[case::at_most(128_000, 64_000, 2, 0, 128_000)]
    // Fewer wait again.
    #[case::still_many(8_000, 1_001, 2, 0, 8_000)]
    #[case::fewer(8_000, 1_000, 2, 0, 2_000)]
    #[case::none(8_000, 0, 0, 0, 2_000)]
    fn a_node_looks_at_more_marks_while_many_schools_wait_and_few_send(
        #[case] reach: u32,
        #[case] schools: usize,
        #[case] marks_each: u64,
        #[case] ready: usize,
        #[case] next: u32,
    ) {
        let waiting = vec![WaitingPartition::new("hill", marks_each, MINUTE); schools];
        assert_eq!(Reach(reach).after(&waiting, ready, 32), Reach(next));
    }

    #[test]
    fn the_first_mark_of_a_quiet_school_goes_at_once_and_the_next_waits() {
        let gathering = Gathering::new(gather(MINUTE));
        let waiting = |oldest| {
            [WaitingPartition::new(
                "hill",
                1,
                Duration::from_secs(oldest),
            )]
        };
        let ready = |seconds, oldest| gathering.ready(&waiting(oldest), |_| 0.0, at(seconds));
        assert_eq!(ready(0, 0).schools, ["hill"]);
        gathering.record("hill", 1, at(0));
        let held = ready(5, 0);
        assert!(held.schools.is_empty());
        let next = held.next.unwrap();
        assert!(
            next > Duration::ZERO && next < Duration::from_secs(30),
            "{next:?}"
        );
        assert_eq!(ready(30, 25).schools, ["hill"]);
        // Another school is not held for it.
        let other = [WaitingPartition::new("dale", 1, Duration::ZERO)];
        assert_eq!(gathering.ready(&other, |_| 0.0, at(5)).schools, ["dale"]);
        // A minute later it is quiet again.
        assert_eq!(ready(61, 0).schools, ["hill"]);
    }

    #[test]
    fn a_changed_limit_counts_for_marks_that_wait_already() {
        let gathering = Gathering::new(gather(MINUTE));
        gathering.record("hill", 50, at(0));
        let waiting = [WaitingPartition::new("hill", 1, Duration::from_secs(2))];
        let ready = || gathering.ready(&waiting, |_| 1.0, at(2)).schools;
        assert_eq!(ready(), [""; 0]);
        gathering.follow(gather(Duration::from_secs(1)));
        assert_eq!(ready(), ["hill"]);
    }

    #[test]
    fn a_full_register_goes_at_once() {
        let gathering = Gathering::new(gather(MINUTE));
        gathering.record("hill", 400, at(0));
        for (marks, goes) in [(399, false), (400, true)] {
            let waiting = [WaitingPartition::new("hill", marks, Duration::ZERO)];
            let ready = gathering.ready(&waiting, |_| 0.0, at(0));
            assert_eq!(ready.schools.len(), usize::from(goes), "{marks}");
        }
    }

    #[rstest]
    #[case::urgent(0, true, 60_000)]
    #[case::fresh(0, false, 0)]
    #[case::waited(20, false, 20_000)]
    #[case::of_a_backlog(7_200, false, 59_500)]
    #[case::of_a_clock_that_is_ahead(-5, false, 0)]
    fn earlier_waiting_counts(#[case] age: i64, #[case] urgent: bool, #[case] millis: u64) {
        let already = gathered_already(MINUTE, TimeDelta::seconds(age), urgent);
        assert_eq!(already, Duration::from_millis(millis));
    }

    #[test]
    fn a_mark_that_has_waited_for_the_limit_goes_half_a_second_after_the_last_register() {
        let gathering = Gathering::new(gather(MINUTE));
        gathering.record("hill", 50, at(0));
        let waiting = [WaitingPartition::new("hill", 1, MINUTE)];
        let ready = gathering.ready(&waiting, |_| 1.0, at(0));
        assert_eq!((ready.schools.len(), ready.next), (0, Some(APART)));
        assert_eq!(gathering.ready(&waiting, |_| 1.0, at(1)).schools, ["hill"]);
    }

    #[test]
    fn without_a_limit_nothing_is_gathered() {
        let gathering = Gathering::new(gather(Duration::ZERO));
        gathering.record("hill", 50, at(0));
        let waiting = [WaitingPartition::new("hill", 1, Duration::ZERO)];
        assert_eq!(gathering.ready(&waiting, |_| 1.0, at(0)).schools, ["hill"]);
    }

    #[test]
    fn a_clock_that_was_set_back_holds_nothing() {
        let gathering = Gathering::new(gather(MINUTE));
        gathering.record("hill", 50, at(3_600));
        let waiting = [WaitingPartition::new("hill", 1, Duration::ZERO)];
        assert_eq!(gathering.ready(&waiting, |_| 1.0, at(0)).schools, ["hill"]);
    }

    #[test]
    fn schools_that_are_quiet_again_are_forgotten() {
        let gathering = Gathering::new(gather(MINUTE));
        for n in 0..100 {
            gathering.record(&format!("school {n}"), 1, at(0));
        }
        gathering.record("hill", 1, at(100));
        let _ = gathering.ready(&[], |_| 0.0, at(101));
        let sent = gathering.sent.lock().unwrap();
        assert_eq!(sent.keys().collect::<Vec<_>>(), ["hill"]);
    }

    proptest! {
        #[test]
        fn the_pause_keeps_its_limit_and_grows_with_the_load(
            limit in 0_u64..600_000,
            marks in 0_u64..100_000,
            loads in (-0.5_f64..2.0, -0.5_f64..2.0),
        ) {
            let limit = Duration::from_millis(limit);
            let (low, high) = (loads.0.min(loads.1), loads.0.max(loads.1));
            let (short, long) = (pause(limit, marks, low), pause(limit, marks, high));
            prop_assert!(short <= long, "{short:?} {long:?}");
            prop_assert!(long <= limit);
        }

        /// Whatever a node knows of the registers before, its marks wait for no longer than the limit, or for the half
        /// second between two registers.
        #[test]
        fn no_mark_waits_longer_than_the_limit(
            limit in 0_u64..600_000,
            registers in prop::collection::vec((0_u32..1_000, 1_u64..500), 0..20),
            marks in 1_u64..1_000,
            oldest in 0_u64..1_000_000,
            load in 0.0_f64..1.0,
            now in 0_u32..1_000,
        ) {
            let gather = gather(Duration::from_millis(limit));
            let mut sent = Sent::default();
            for (when, marks) in &registers {
                sent.0.push_back((at(*when), *marks));
            }
            let oldest = Duration::from_millis(oldest);
            let wait = wait(gather, &sent, Waiting { marks, oldest }, load, at(now));
            prop_assert!(wait <= gather.window.saturating_sub(oldest).max(APART));
            // A node that knows of no registers waits less.
            let unknown = super::wait(gather, &Sent::default(), Waiting { marks, oldest }, load, at(now));
            prop_assert_eq!(unknown, Duration::ZERO);
        }

        /// A simulated morning: everything goes, nothing waits too long, and there are no more registers than one for
        /// each mark, even if only the first few of the marks that wait are counted.
        #[test]
        fn every_mark_of_a_morning_goes_within_the_limit(
            gaps in prop::collection::vec(0_u64..20_000, 1..200),
            load in 0.0_f64..1.0,
            counted in 1_usize..200,
        ) {
            let gathering = Gathering::new(gather(MINUTE));
            let mut arrivals: VecDeque<u64> = gaps
                .iter()
                .scan(0, |now, gap| { *now += gap; Some(*now) })
                .collect();
            let (mut waiting, mut now, mut registers) = (VecDeque::new(), 0_u64, 0);
            while !(arrivals.is_empty() && waiting.is_empty()) {
                while arrivals.front().is_some_and(|at| *at <= now) {
                    waiting.extend(arrivals.pop_front());
                }
                if let Some(oldest) = waiting.front() {
                    let oldest = Duration::from_millis(now - oldest);
                    let marks = u64::try_from(waiting.len().min(counted)).unwrap();
                    let one = [WaitingPartition::new("hill", marks, oldest)];
                    let clock = at(0) + TimeDelta::milliseconds(i64::try_from(now).unwrap());
                    if !gathering.ready(&one, |_| load, clock).schools.is_empty() {
                        prop_assert!(oldest <= MINUTE + APART, "{oldest:?}");
                        gathering.record("hill", waiting.len(), clock);
                        registers += 1;
                        waiting.clear();
                    }
                }
                now += 100;
            }
            prop_assert!(registers <= gaps.len());
        }
    }
}
