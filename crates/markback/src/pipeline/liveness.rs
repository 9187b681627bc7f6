//! Whether the workers are alive: each queue is looked at, and each batch makes progress.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use crate::queues;

/// The longest time in which nothing of a batch may be settled, and in which all workers of a queue may be busy: Wonde may
/// be slow, and the rate limit low.
const PROGRESS_WITHIN: Duration = Duration::from_secs(10 * 60);

const QUEUES: [&str; 3] = [queues::DECIDE, queues::SEND, queues::CONFIRM];

/// The state of the workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Health {
    /// They make progress.
    Well,
    /// They have not started, or have ended.
    NotRunning,
    /// No worker has claimed from this queue for too long.
    Stuck(&'static str),
    /// A worker has held a batch of this queue for too long.
    Hung {
        /// The queue.
        queue: &'static str,
        /// Time since anything of the batch was settled.
        age: Duration,
    },
}

/// When the workers of each queue last looked for jobs, and the batches in hand.
#[derive(Debug)]
pub(crate) struct Liveness {
    start: Instant,
    running: AtomicBool,
    rounds: [AtomicU64; QUEUES.len()],
    /// By number: the queue, and when the batch last made progress.
    batches: Mutex<BTreeMap<u64, (&'static str, u64)>>,
    numbers: AtomicU64,
}

/// A batch in hand, until this is dropped.
#[derive(Debug)]
pub(crate) struct BatchProgress<'a> {
    liveness: &'a Liveness,
    number: u64,
}

impl BatchProgress<'_> {
    /// A part of the batch is settled.
    pub(crate) fn made(&self) {
        let now = self.liveness.elapsed();
        if let Some((_, since)) = self.liveness.batches().get_mut(&self.number) {
            *since = now;
        }
    }
}

impl Drop for BatchProgress<'_> {
    fn drop(&mut self) {
        self.liveness.batches().remove(&self.number);
    }
}

impl Default for Liveness {
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

impl Liveness {
    /// The workers run until the guard is dropped.
    pub(crate) fn run(&self) -> impl Drop {
        for queue in QUEUES {
            self.heartbeat(queue);
        }
        self.running.store(true, Ordering::Release);
        Running(self)
    }

    /// A worker of this queue looks for jobs.
    pub(crate) fn heartbeat(&self, queue: &str) {
        let now = self.elapsed();
        for (name, round) in QUEUES.iter().zip(&self.rounds) {
            if *name == queue {
                round.fetch_max(now, Ordering::Relaxed);
            }
        }
    }

    /// A worker begins a batch of this queue.
    pub(crate) fn batch(&self, queue: &'static str) -> BatchProgress<'_> {
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        self.batches().insert(number, (queue, self.elapsed()));
        BatchProgress {
            liveness: self,
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

struct Running<'a>(&'a Liveness);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.running.store(false, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_that_is_not_looked_at_is_noticed() {
        let liveness = Liveness::default();
        assert_eq!(liveness.health(), Health::NotRunning);
        let run = liveness.run();
        assert_eq!(liveness.health(), Health::Well);
        let late = PROGRESS_WITHIN.as_secs() + 1;
        assert_eq!(liveness.health_at(late), Health::Stuck(queues::DECIDE));
        liveness.rounds[0].store(late, Ordering::Relaxed);
        assert_eq!(liveness.health_at(late), Health::Stuck(queues::SEND));
        drop(run);
        assert_eq!(liveness.health_at(late), Health::NotRunning);
    }

    #[test]
    fn one_batch_without_progress_is_noticed_while_others_make_some() {
        let liveness = Liveness::default();
        let _run = liveness.run();
        let hung = liveness.batch(queues::CONFIRM);
        let quick = liveness.batch(queues::SEND);
        let late = PROGRESS_WITHIN.as_secs() + 1;
        for round in &liveness.rounds {
            round.store(late, Ordering::Relaxed);
        }
        liveness
            .batches()
            .insert(quick.number, (queues::SEND, late));
        let age = Duration::from_secs(late);
        let queue = queues::CONFIRM;
        assert_eq!(liveness.health_at(late), Health::Hung { queue, age });
        hung.made();
        liveness.batches().insert(hung.number, (queue, late));
        assert_eq!(liveness.health_at(late), Health::Well);
        assert_eq!(liveness.health_at(2 * late), Health::Hung { queue, age });
        drop(hung);
        let queue = queues::SEND;
        assert_eq!(liveness.health_at(2 * late), Health::Hung { queue, age });
        drop(quick);
        assert_eq!(liveness.health_at(late), Health::Well);
    }
}
