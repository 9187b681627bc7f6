//! The schedule of extractions of the register, and what interrupts it.

use chrono::{DateTime, TimeDelta, Utc};

/// A period of time, excluding its end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    pub(crate) from: DateTime<Utc>,
    pub(crate) until: DateTime<Utc>,
}

impl Window {
    pub(crate) fn holds(&self, t: DateTime<Utc>) -> bool {
        self.from <= t && t < self.until
    }
}

/// Extractions at fixed steps from the start, except while the MIS is offline or the copy is frozen.
#[derive(Debug)]
pub(crate) struct Extraction {
    start: DateTime<Utc>,
    every: TimeDelta,
    steps_done: i64,
    /// When the last extraction was.
    pub(crate) last: DateTime<Utc>,
    pub(crate) offline: Option<Window>,
    pub(crate) frozen: Option<Window>,
}

impl Extraction {
    /// An interval of zero keeps the copy up to date.
    pub(crate) fn new(start: DateTime<Utc>, every: TimeDelta) -> Self {
        Self {
            start,
            every,
            steps_done: 0,
            last: start,
            offline: None,
            frozen: None,
        }
    }

    /// Whether the MIS is online.
    pub(crate) fn online(&self, t: DateTime<Utc>) -> bool {
        !self.offline.is_some_and(|w| w.holds(t))
    }

    fn blocking(&self, t: DateTime<Utc>) -> Option<Window> {
        [self.offline, self.frozen]
            .into_iter()
            .flatten()
            .find(|w| w.holds(t))
    }

    fn step(&self, k: i64) -> DateTime<Utc> {
        let ms = self.every.num_milliseconds().saturating_mul(k);
        TimeDelta::try_milliseconds(ms)
            .and_then(|d| self.start.checked_add_signed(d))
            .unwrap_or(DateTime::<Utc>::MAX_UTC)
    }

    fn steps_until(&self, t: DateTime<Utc>) -> i64 {
        let every = self.every.num_milliseconds().max(1);
        (t - self.start).num_milliseconds().div_euclid(every)
    }

    /// Advances to `t` and returns the time of the first extraction on the way. At that time, marks that changed since
    /// the last step appear in the copy.
    pub(crate) fn advance(&mut self, t: DateTime<Utc>) -> Option<DateTime<Utc>> {
        if self.every <= TimeDelta::zero() {
            if self.blocking(t).is_some() {
                return None;
            }
            self.last = self.last.max(t);
            return Some(t);
        }
        let last = self.steps_until(t);
        if last <= self.steps_done {
            return None;
        }
        let first = self.first_open(self.steps_done + 1, last);
        let newest = (self.steps_done + 1..=last)
            .rev()
            .find(|&k| self.blocking(self.step(k)).is_none());
        if let Some(k) = newest {
            self.last = self.step(k);
        }
        self.steps_done = last;
        first.map(|k| self.step(k))
    }

    fn first_open(&self, from: i64, last: i64) -> Option<i64> {
        let mut k = from;
        while k <= last {
            match self.blocking(self.step(k)) {
                None => return Some(k),
                Some(window) => k = (self.steps_until(window.until)).max(k + 1),
            }
        }
        None
    }

    /// Records an extraction outside the schedule.
    pub(crate) fn now(&mut self, t: DateTime<Utc>) {
        self.last = self.last.max(t);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(seconds, 0).unwrap()
    }

    #[test]
    fn extractions_do_not_depend_on_the_polling_interval() {
        let every = TimeDelta::seconds(10);
        let mut seldom = Extraction::new(at(0), every);
        assert_eq!(seldom.advance(at(35)), Some(at(10)));
        assert_eq!(seldom.last, at(30));

        let mut often = Extraction::new(at(0), every);
        assert_eq!(often.advance(at(9)), None);
        assert_eq!(often.advance(at(12)), Some(at(10)));
        assert_eq!(often.advance(at(15)), None);
        assert_eq!(often.advance(at(35)), Some(at(20)));
        assert_eq!(often.last, at(30));
    }

    #[test]
    fn nothing_is_extracted_while_the_mis_is_offline() {
        let mut e = Extraction::new(at(0), TimeDelta::seconds(10));
        e.offline = Some(Window {
            from: at(5),
            until: at(25),
        });
        assert_eq!(e.advance(at(24)), None);
        assert_eq!(e.last, at(0));
        assert!(!e.online(at(24)));
        assert_eq!(e.advance(at(45)), Some(at(30)));
        assert!(e.online(at(25)));
    }
}
