//! Whether the workers go round: each queue is looked at for work, and each batch comes on.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use crate::queue;

/// The longest that a batch may take without anything of it being settled: Wonde may be slow, and its rate small. As long
/// at most the hands of a queue may all be busy.
const PROGRESS_WITHIN: Duration = Duration::from_secs(10 * 60);

const QUEUES: [&str; 3] = [queue::DECIDE, queue::SEND, queue::CONFIRM];

/// How the workers are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// They go round.
    Well,
    /// They were not started, or have ended.
    NotRunning,
    /// Nobody has looked for work in this queue for long.
    Stuck(&'static str),
    /// A worker has had a batch of this queue in hand for too long.
    Hung {
        /// The queue.
        queue: &'static str,
        /// How long nothing of the batch has been settled.
        age: Duration,
    },
}

/// When each queue's workers last began a round, and what they have in hand.
#[derive(Debug)]
pub(crate) struct Pulse {
    start: Instant,
    running: AtomicBool,
    rounds: [AtomicU64; QUEUES.len()],
    /// By number: the queue, and when the batch last came on.
    batches: Mutex<BTreeMap<u64, (&'static str, u64)>>,
    numbers: AtomicU64,
}

/// A batch in hand, until this is dropped.
#[derive(Debug)]
pub(crate) struct Progress<'a> {
    pulse: &'a Pulse,
    number: u64,
}

impl Progress<'_> {
    /// A part of the batch is settled.
    pub(crate) fn made(&self) {
        let now = self.pulse.elapsed();
        if let Some((_, since)) = self.pulse.batches().get_mut(&self.number) {
            *since = now;
        }
    }
}

impl Drop for Progress<'_> {
    fn drop(&mut self) {
        self.pulse.batches().remove(&self.number);
    }
}

impl Default for Pulse {
    fn default() -> Self {
        Self {
            start: Instant::now(),
            running: AtomicBool::new(false),
            rounds: Default::default(),
            batches: Mutex::default(),
            numbers: AtomicU64::new(0),
        }
    }
}

impl Pulse {
    /// The workers run until the guard is dropped.
    pub(crate) fn run(&self) -> impl Drop {
        for queue in QUEUES {
            self.beat(queue);
        }
        self.running.store(true, Ordering::Release);
        Running(self)
    }

    /// A worker of this queue begins a round.
    pub(crate) fn beat(&self, queue: &str) {
        let now = self.elapsed();
        for (name, round) in QUEUES.iter().zip(&self.rounds) {
            if *name == queue {
                round.fetch_max(now, Ordering::Relaxed);
            }
        }
    }

    /// A worker takes a batch of this queue in hand.
    pub(crate) fn batch(&self, queue: &'static str) -> Progress<'_> {
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        self.batches().insert(number, (queue, self.elapsed()));
        Progress {
            pulse: self,
            number,
        }
    }

    pub(crate) fn health(&self) -> Health {
        self.health_at(self.elapsed())
    }

    fn health_at(&self, now: u64) -> Health {
        if !self.running.load(Ordering::Acquire) {
            return Health::NotRunning;
        }
        let oldest = self
            .batches()
            .values()
            .copied()
            .min_by_key(|(_, since)| *since);
        if let Some((queue, since)) = oldest
            && now.saturating_sub(since) > PROGRESS_WITHIN.as_secs()
        {
            let age = Duration::from_secs(now.saturating_sub(since));
            return Health::Hung { queue, age };
        }
        let late = QUEUES.iter().zip(&self.rounds).find(|(_, round)| {
            now.saturating_sub(round.load(Ordering::Relaxed)) > PROGRESS_WITHIN.as_secs()
        });
        late.map_or(Health::Well, |(queue, _)| Health::Stuck(queue))
    }

    fn elapsed(&self) -> u64 {
        self.start.elapsed().as_secs()
    }

    fn batches(&self) -> std::sync::MutexGuard<'_, BTreeMap<u64, (&'static str, u64)>> {
        self.batches.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Running<'a>(&'a Pulse);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.running.store(false, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_that_do_not_come_round_are_noticed() {
        let pulse = Pulse::default();
        assert_eq!(pulse.health(), Health::NotRunning);
        let run = pulse.run();
        assert_eq!(pulse.health(), Health::Well);
        let late = PROGRESS_WITHIN.as_secs() + 1;
        assert_eq!(pulse.health_at(late), Health::Stuck(queue::DECIDE));
        pulse.rounds[0].store(late, Ordering::Relaxed);
        assert_eq!(pulse.health_at(late), Health::Stuck(queue::SEND));
        drop(run);
        assert_eq!(pulse.health_at(late), Health::NotRunning);
    }

    #[test]
    fn one_batch_that_does_not_come_on_is_noticed_while_others_do() {
        let pulse = Pulse::default();
        let _run = pulse.run();
        let hung = pulse.batch(queue::CONFIRM);
        let quick = pulse.batch(queue::SEND);
        let late = PROGRESS_WITHIN.as_secs() + 1;
        for round in &pulse.rounds {
            round.store(late, Ordering::Relaxed);
        }
        pulse.batches().insert(quick.number, (queue::SEND, late));
        let age = Duration::from_secs(late);
        let queue = queue::CONFIRM;
        assert_eq!(pulse.health_at(late), Health::Hung { queue, age });
        hung.made();
        pulse.batches().insert(hung.number, (queue, late));
        assert_eq!(pulse.health_at(late), Health::Well);
        assert_eq!(pulse.health_at(2 * late), Health::Hung { queue, age });
        drop(hung);
        let queue = queue::SEND;
        assert_eq!(pulse.health_at(2 * late), Health::Hung { queue, age });
        drop(quick);
        assert_eq!(pulse.health_at(late), Health::Well);
    }
}
