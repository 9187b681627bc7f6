//! Steps that end at the same time are committed together.
//!
//! With many small schools a step is one register of a mark or two, and most of its cost is its transaction, which on SQLite
//! also waits for all others. So steps that wait for their turn go with the first of them. One that fails fails no other: then
//! each is committed alone.

use std::{
    collections::HashSet,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use outbox::Recovery;
use tokio::sync::{Semaphore, oneshot};

use super::effects::Effects;
use crate::store::Store;

/// Steps go together up to so many events. A longer transaction would keep intake waiting on SQLite, and a step that is larger
/// by itself gains little.
const EVENTS_AT_ONCE: usize = 20;
/// How many transactions of steps are written at the same time on PostgreSQL, and wait for the one writer on SQLite. The
/// decisions of up to sixteen batches wait for it too: if only one of these did, marks would be sent much more slowly than decided.
const AT_ONCE: usize = 4;

/// Commits steps, each of one school.
pub(super) struct Together {
    store: Store,
    turns: Semaphore,
    waiting: Mutex<Vec<Waiting>>,
}

/// A step that waits for its turn, or for the one that takes it along.
struct Waiting {
    school: String,
    effects: Arc<Effects>,
    /// Told what became of it, unless the transaction was dropped.
    end: oneshot::Sender<End>,
}

/// How a transaction of several steps ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Committed,
    Failed { may_be_committed: bool },
}

impl Together {
    pub(super) fn new(store: Store) -> Self {
        Self {
            store,
            turns: Semaphore::new(AT_ONCE),
            waiting: Mutex::default(),
        }
    }

    /// Writes the effects of a step, and retries for a while if the database fails.
    ///
    /// # Errors
    /// Those of [`Effects::commit`].
    pub(super) async fn commit(
        &self,
        school: &str,
        effects: Effects,
        retry_for: Duration,
    ) -> outbox::Result<()> {
        let effects = Arc::new(effects);
        let (end, mut ended) = oneshot::channel();
        self.waiting().push(Waiting {
            school: school.to_owned(),
            effects: effects.clone(),
            end,
        });
        let end = tokio::select! {
            // A step that another has taken along needs no turn.
            biased;
            end = &mut ended => end,
            turn = self.turns.acquire() => {
                let taken = self.take(&effects);
                if taken.is_empty() {
                    // Another has taken it along meanwhile.
                    drop(turn);
                    ended.await
                } else {
                    Ok(self.write(taken).await)
                }
            }
        };
        // A transaction that was dropped may have been about to end.
        let may_be_committed = match end {
            Ok(End::Committed) => return Ok(()),
            Ok(End::Failed { may_be_committed }) => may_be_committed,
            Err(_) => true,
        };
        effects
            .commit_again(&self.store, retry_for, may_be_committed)
            .await
    }

    /// Takes this step and the ones that can go with it, which are of other schools: what follows for a pupil's marks is worked
    /// out for one step at a time. Empty if it has been taken already.
    fn take(&self, effects: &Arc<Effects>) -> Vec<Waiting> {
        let mut waiting = self.waiting();
        let is_own = |one: &Waiting| Arc::ptr_eq(&one.effects, effects);
        let Some(place) = waiting.iter().position(is_own) else {
            return Vec::new();
        };
        let mut taken = vec![waiting.remove(place)];
        // Nobody waits for those any more; their leases have ended.
        waiting.retain(|one| !one.end.is_closed());
        let mut schools: HashSet<String> = taken.iter().map(|one| one.school.clone()).collect();
        let mut events = effects.events.len();
        let goes_along = |one: &mut Waiting| {
            let with_it = events + one.effects.events.len();
            let goes = with_it <= EVENTS_AT_ONCE && schools.insert(one.school.clone());
            if goes {
                events = with_it;
            }
            goes
        };
        taken.extend(waiting.extract_if(.., goes_along));
        taken
    }

    /// Writes these steps in one transaction, and tells the others how it ended.
    async fn write(&self, taken: Vec<Waiting>) -> End {
        let written = match taken.as_slice() {
            [alone] => alone.effects.write_alone(&self.store).await,
            all => {
                let mut together = Effects::default();
                for one in all {
                    together.add(Effects::clone(&one.effects));
                }
                together.write_alone(&self.store).await
            }
        };
        let end = match written {
            Ok(()) => End::Committed,
            Err(error) => {
                tracing::debug!(%error, steps = taken.len(), "steps were not committed together; each is tried alone");
                End::Failed {
                    may_be_committed: error.recovery() == Recovery::Unknown,
                }
            }
        };
        for one in taken {
            // It fails if the worker has given the step up meanwhile.
            let _ = one.end.send(end);
        }
        end
    }

    fn waiting(&self) -> MutexGuard<'_, Vec<Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Together {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Together").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use futures::future::join_all;
    use outbox::{ClaimRequest, ErrorKind, NewJob, SystemClock};
    use serde_json::json;

    use super::*;
    use crate::store::EventUpdate;

    const LEASE: Duration = Duration::from_secs(60);

    async fn store(url: &str) -> Store {
        let clock = Arc::new(SystemClock);
        let store = Store::open(url, outbox::Settings::default(), clock).await;
        store.unwrap()
    }

    /// The effects of a finished job at each of these schools.
    async fn steps(store: &Store, schools: &[&str]) -> Vec<(String, Effects)> {
        let job = |school: &&str| NewJob::new("q", *school, json!({})).partition(*school);
        let jobs: Vec<_> = schools.iter().map(job).collect();
        let mut tx = store.database().begin().await.unwrap();
        store.outbox().enqueue(&mut tx, &jobs).await.unwrap();
        tx.commit().await.unwrap();
        let claim = ClaimRequest::mixed(100, LEASE);
        let claimed = store.outbox().claim("q", &claim).await.unwrap();
        let step = |job: outbox::ClaimedJob| {
            let mut effects = Effects::default();
            effects.done.push(job.lease);
            (job.partition, effects)
        };
        claimed.into_iter().map(step).collect()
    }

    async fn check(url: &str) {
        let store = store(url).await;
        let schools = ["a", "b", "c", "d", "e", "f", "g", "h"];
        let mut steps = steps(&store, &schools).await;
        // Another node has taken over what `c` works on.
        let (_, lost) = &mut steps[2];
        lost.done[0].fence -= 1;
        let together = Together::new(store.clone());
        let commits = steps.into_iter().map(|(school, effects)| {
            let together = &together;
            async move {
                let committed = together.commit(&school, effects, LEASE).await;
                (school, committed.map_err(|error| error.kind()))
            }
        });
        let ended: BTreeMap<_, _> = join_all(commits).await.into_iter().collect();
        for school in schools {
            let expected = match school {
                "c" => Err(ErrorKind::Lost),
                _ => Ok(()),
            };
            assert_eq!(ended[school], expected, "{school}");
        }
        let open = store.outbox().stats().await.unwrap();
        let open: u64 = open.values().map(|queue| queue.leased).sum();
        assert_eq!(open, 1);
        assert!(together.waiting().is_empty());
    }

    #[tokio::test]
    async fn a_step_that_fails_fails_no_other() {
        check("sqlite::memory:").await;
        if let Some(server) = throwaway_postgres::shared().unwrap() {
            check(&server.create_database().unwrap()).await;
        }
    }

    #[tokio::test]
    async fn a_step_takes_those_of_other_schools_along_until_it_is_large_enough() {
        let together = Together::new(store("sqlite::memory:").await);
        let mut ends = Vec::new();
        let mut wait = |school: &str, events: usize| {
            let mut effects = Effects::default();
            effects.events = vec![EventUpdate::of(school, "e"); events];
            let effects = Arc::new(effects);
            let (end, ended) = oneshot::channel();
            together.waiting().push(Waiting {
                school: school.to_owned(),
                effects: effects.clone(),
                end,
            });
            ends.push(Some(ended));
            (effects, ends.len() - 1)
        };
        let (first, _) = wait("a", 1);
        let (own, _) = wait("b", 1);
        let (same, _) = wait("a", 1);
        let (_, gone) = wait("c", 1);
        let (large, _) = wait("d", EVENTS_AT_ONCE);
        wait("e", EVENTS_AT_ONCE - 2);
        let (late, _) = wait("f", 1);
        ends[gone] = None;
        let schools = |effects| {
            let taken = together.take(effects).into_iter();
            taken.map(|one| one.school).collect::<Vec<_>>()
        };
        assert_eq!(schools(&own), ["b", "a", "e"]);
        assert_eq!(schools(&first), [""; 0]);
        assert_eq!(schools(&large), ["d"]);
        assert_eq!(schools(&late), ["f", "a"]);
        assert_eq!(schools(&same), [""; 0]);
    }
}
