//! Which schools this node works on first, where several nodes share a database.
//!
//! A node reads a school's register before it decides for it, so each should do so for schools of its own. It is a
//! preference: what lies too long is taken by whoever has nothing else to do.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use outbox::{Engine, Shard};
use tokio_util::sync::CancellationToken;

use super::Pipeline;

/// How often a node says that it is there.
const SAY_EVERY: Duration = Duration::from_secs(2);
/// How long a job waits for the node whose school it is before others take it.
pub(super) const OVERDUE: Duration = Duration::from_secs(5);
/// How often at most a node with nothing else to do looks for such jobs.
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(500);

/// This node's share, as last heard.
#[derive(Debug)]
pub(crate) struct Shared(Mutex<Shard>);

impl Default for Shared {
    fn default() -> Self {
        Self(Mutex::new(Shard::ALL))
    }
}

impl Shared {
    pub(super) fn get(&self) -> Shard {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, share: Shard) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = share;
    }
}

/// When a node looks for what others leave lying.
pub(super) struct Leftovers(Option<Instant>);

impl Leftovers {
    pub(super) fn new() -> Self {
        Self(None)
    }

    /// Whether it is time to look, with this share; if so, it counts as done.
    pub(super) fn are_due(&mut self, share: Shard) -> bool {
        let due = share != Shard::ALL && self.0.is_none_or(|last| last.elapsed() >= LOOK_EVERY);
        if due {
            self.0 = Some(Instant::now());
        }
        due
    }
}

impl Pipeline {
    /// Keeps the share up to date until told to stop, then leaves it to the others.
    pub(super) async fn keep_share(&self, stop: &CancellationToken) {
        if self.store.database().engine() == Engine::Sqlite {
            return;
        }
        let node = format!("{:032x}", rand::random::<u128>());
        while !stop.is_cancelled() {
            match self.store.share_of(&node).await {
                Ok(share) => self.share.set(share),
                // The last one heard stays: it is only where to begin.
                Err(error) => {
                    tracing::debug!(%error, "the nodes' shares of the schools are not known");
                }
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(SAY_EVERY) => {}
            }
        }
        if let Err(error) = self.store.forget_nodes(&node).await {
            tracing::debug!(%error, "this node's share falls to the others in a few seconds");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leftovers_are_looked_for_now_and_then_and_only_where_there_are_others() {
        let mut leftovers = Leftovers::new();
        assert!(!leftovers.are_due(Shard::ALL));
        let half = Shard { count: 2, index: 1 };
        assert!(leftovers.are_due(half));
        assert!(!leftovers.are_due(half));
    }
}
