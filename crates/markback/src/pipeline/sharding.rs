//! Which schools this node works on first, where several nodes share a database.
//!
//! A node reads a school's register before it decides, so each node should work on schools of its own. This is a
//! preference: a job that waits too long is taken by any idle node.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use outbox::{Engine, Shard};
use tokio_util::sync::CancellationToken;

use crate::store::Store;

/// How often a node announces itself in the database.
const ANNOUNCE_EVERY: Duration = Duration::from_secs(2);
/// How long a job waits for its own node before others take it.
pub(super) const STEAL_AFTER: Duration = Duration::from_secs(5);
/// How often an idle node looks for such jobs.
const STEAL_EVERY: Duration = Duration::from_millis(500);

/// The schools of this node.
#[derive(Debug)]
pub(super) struct Sharding(Mutex<Shard>);

impl Default for Sharding {
    fn default() -> Self {
        Self(Mutex::new(Shard::ALL))
    }
}

impl Sharding {
    /// The shard as last read.
    pub(super) fn shard(&self) -> Shard {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps the shard up to date until told to stop, then leaves it to the other nodes.
    pub(super) async fn run(&self, store: &Store, stop: &CancellationToken) {
        if store.database().engine() == Engine::Sqlite {
            return;
        }
        let node = format!("{:032x}", rand::random::<u128>());
        while !stop.is_cancelled() {
            match store.share_of(&node).await {
                Ok(shard) => *self.0.lock().unwrap_or_else(PoisonError::into_inner) = shard,
                // The last one stays in use: it is only a preference.
                Err(error) => tracing::debug!(%error, "the nodes' shares cannot be read"),
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(ANNOUNCE_EVERY) => {}
            }
        }
        if let Err(error) = store.forget_nodes(&node).await {
            tracing::debug!(%error, "this node's share falls to the others in a few seconds");
        }
    }
}

/// When an idle node looks for jobs of other nodes.
pub(super) struct StealTimer(Option<Instant>);

impl StealTimer {
    pub(super) fn new() -> Self {
        Self(None)
    }

    /// Whether it is time to look, with this share; if so, the timer starts again.
    pub(super) fn is_due(&mut self, share: Shard) -> bool {
        let due = share != Shard::ALL && self.0.is_none_or(|last| last.elapsed() >= STEAL_EVERY);
        if due {
            self.0 = Some(Instant::now());
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_are_stolen_now_and_then_and_only_from_other_nodes() {
        let mut timer = StealTimer::new();
        assert!(!timer.is_due(Shard::ALL));
        let half = Shard { count: 2, index: 1 };
        assert!(timer.is_due(half));
        assert!(!timer.is_due(half));
    }
}
