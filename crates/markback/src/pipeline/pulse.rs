//! Whether the workers go round.

use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::{Duration, Instant},
};

use crate::queue;

/// The longest that all workers of a queue may be busy with what they claimed: Wonde may be slow, and its rate small.
const ROUND_WITHIN: Duration = Duration::from_secs(10 * 60);

const QUEUES: [&str; 3] = [queue::DECIDE, queue::SEND, queue::CONFIRM];

/// How the workers are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// They go round.
    Well,
    /// They were not started, or have ended.
    NotRunning,
    /// Those of this queue have not come round for long.
    Stuck(&'static str),
}

/// When each queue's workers last began a round.
#[derive(Debug)]
pub(crate) struct Pulse {
    start: Instant,
    running: AtomicBool,
    rounds: [AtomicU64; QUEUES.len()],
}

impl Default for Pulse {
    fn default() -> Self {
        Self {
            start: Instant::now(),
            running: AtomicBool::new(false),
            rounds: Default::default(),
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

    pub(crate) fn health(&self) -> Health {
        self.health_at(self.elapsed())
    }

    fn health_at(&self, now: u64) -> Health {
        if !self.running.load(Ordering::Acquire) {
            return Health::NotRunning;
        }
        let late = QUEUES.iter().zip(&self.rounds).find(|(_, round)| {
            now.saturating_sub(round.load(Ordering::Relaxed)) > ROUND_WITHIN.as_secs()
        });
        late.map_or(Health::Well, |(queue, _)| Health::Stuck(queue))
    }

    fn elapsed(&self) -> u64 {
        self.start.elapsed().as_secs()
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
        let late = ROUND_WITHIN.as_secs() + 1;
        assert_eq!(pulse.health_at(late), Health::Stuck(queue::DECIDE));
        pulse.rounds[0].store(late, Ordering::Relaxed);
        assert_eq!(pulse.health_at(late), Health::Stuck(queue::SEND));
        drop(run);
        assert_eq!(pulse.health_at(late), Health::NotRunning);
    }
}
