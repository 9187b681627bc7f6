//! Wake-ups for workers: at once within the process, and through `NOTIFY` to other processes on PostgreSQL.
//!
//! A wake-up can be lost. Workers must also poll.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::AbortHandle;

use crate::database::Pools;

/// Wakes a worker when a job of its queue may have become claimable.
///
/// A wake-up between two waits is remembered: the next wait returns at once. A worker therefore claims, and waits only
/// if the claim returned nothing.
#[derive(Debug)]
pub struct Wakeup {
    signals: watch::Receiver<u64>,
}

impl Wakeup {
    /// Waits for a wake-up since the last wait, at most for `max`. Returns whether there was one.
    pub async fn wait(&mut self, max: Duration) -> bool {
        match tokio::time::timeout(max, self.signals.changed()).await {
            Ok(Ok(())) => true,
            Ok(Err(_)) => {
                // The database was closed: there will be no more wake-ups.
                tokio::time::sleep(max).await;
                false
            }
            Err(_) => false,
        }
    }
}

/// The wake-ups of all queues of one open database.
pub(crate) struct Hub {
    queues: Mutex<HashMap<String, watch::Sender<u64>>>,
    other_nodes: Option<mpsc::UnboundedSender<String>>,
    tasks: OnceLock<[AbortHandle; 2]>,
}

impl Hub {
    /// Starts the tasks that notify other processes and listen to them, if there is a server.
    pub(crate) fn start(pools: &Pools) -> Arc<Self> {
        match pools {
            #[cfg(feature = "sqlite")]
            Pools::Sqlite { .. } => Arc::new(Self::new(None)),
            #[cfg(feature = "postgres")]
            Pools::Postgres { pool, .. } => notify::start(pool.clone()),
        }
    }

    fn new(other_nodes: Option<mpsc::UnboundedSender<String>>) -> Self {
        Self {
            queues: Mutex::default(),
            other_nodes,
            tasks: OnceLock::new(),
        }
    }

    pub(crate) fn wakeup(&self, queue: &str) -> Wakeup {
        let mut queues = self.queues();
        let signals = match queues.get(queue) {
            Some(wakeup) => wakeup.subscribe(),
            None => {
                let (wakeup, signals) = watch::channel(0);
                queues.insert(queue.to_owned(), wakeup);
                signals
            }
        };
        Wakeup { signals }
    }

    /// Wakes the workers of this process and of the others.
    pub(crate) fn wake_all(&self, queues: BTreeSet<String>) {
        for queue in queues {
            self.wake_here(&queue);
            if let Some(others) = &self.other_nodes {
                // The task has ended only when the database was closed.
                let _ = others.send(queue);
            }
        }
    }

    pub(crate) fn stop(&self) {
        for task in self.tasks.get().into_iter().flatten() {
            task.abort();
        }
    }

    fn wake_here(&self, queue: &str) {
        if let Some(wakeup) = self.queues().get(queue) {
            wakeup.send_modify(|signals| *signals = signals.wrapping_add(1));
        }
    }

    #[cfg(feature = "postgres")]
    fn wake_all_here(&self) {
        for wakeup in self.queues().values() {
            wakeup.send_modify(|signals| *signals = signals.wrapping_add(1));
        }
    }

    fn queues(&self) -> MutexGuard<'_, HashMap<String, watch::Sender<u64>>> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Wake-ups between processes through `LISTEN` and `NOTIFY`.
#[cfg(feature = "postgres")]
mod notify {
    use std::collections::BTreeSet;
    use std::sync::{Arc, Weak};
    use std::time::Duration;

    use sqlx::PgPool;
    use sqlx::postgres::PgListener;
    use tokio::sync::mpsc;

    use super::Hub;

    /// The channel of `LISTEN` and `NOTIFY`.
    const CHANNEL: &str = "outbox";

    /// The shortest time between two notifications: `NOTIFY` serialises commits on the server.
    const NOTIFY_INTERVAL: Duration = Duration::from_millis(20);

    /// The delay before listening again after a lost connection.
    const RECONNECT_DELAY: Duration = Duration::from_millis(500);

    pub(super) fn start(pool: PgPool) -> Arc<Hub> {
        let (sender, receiver) = mpsc::unbounded_channel();
        let hub = Arc::new(Hub::new(Some(sender)));
        let me = format!("{:016x}", rand::random::<u64>());
        // The hub exists before the tasks run: they end when it is gone.
        let notifier = tokio::spawn(notify_others(pool.clone(), me.clone(), receiver));
        let listener = tokio::spawn(listen_to_others(pool, me, Arc::downgrade(&hub)));
        // Set only here.
        let _ = hub
            .tasks
            .set([notifier.abort_handle(), listener.abort_handle()]);
        hub
    }

    async fn notify_others(
        pool: PgPool,
        me: String,
        mut queues_to_wake: mpsc::UnboundedReceiver<String>,
    ) {
        while let Some(first) = queues_to_wake.recv().await {
            let mut queues = BTreeSet::from([format!("{me} {first}")]);
            while let Ok(queue) = queues_to_wake.try_recv() {
                queues.insert(format!("{me} {queue}"));
            }
            let queues: Vec<String> = queues.into_iter().collect();
            let sent = sqlx::query("SELECT pg_notify($1, queue) FROM unnest($2::text[]) AS queue")
                .bind(CHANNEL)
                .bind(queues)
                .execute(&pool)
                .await;
            if let Err(error) = sent {
                // The other nodes poll; and if the server is down, there is nothing to claim.
                tracing::debug!(error = %crate::Error::from(error), "could not wake other nodes");
            }
            tokio::time::sleep(NOTIFY_INTERVAL).await;
        }
    }

    async fn listen_to_others(pool: PgPool, me: String, hub: Weak<Hub>) {
        loop {
            match listen(&pool, &me, &hub).await {
                Ok(()) => return,
                Err(error) => {
                    let error = crate::Error::from(error);
                    tracing::debug!(%error, "not listening to other nodes; polling goes on");
                }
            }
            tokio::time::sleep(RECONNECT_DELAY).await;
        }
    }

    /// Returns `Ok` when the database was dropped.
    async fn listen(pool: &PgPool, me: &str, hub: &Weak<Hub>) -> Result<(), sqlx::Error> {
        let mut listener = PgListener::connect_with(pool).await?;
        listener.listen(CHANNEL).await?;
        // Notifications sent before the listener was connected are lost.
        match hub.upgrade() {
            Some(hub) => hub.wake_all_here(),
            None => return Ok(()),
        }
        loop {
            let notification = listener.try_recv().await?;
            let Some(hub) = hub.upgrade() else {
                return Ok(());
            };
            match notification {
                Some(notification) => match notification.payload().split_once(' ') {
                    Some((sender, queue)) if sender != me => hub.wake_here(queue),
                    _ => {}
                },
                // The connection was lost and re-established.
                None => hub.wake_all_here(),
            }
        }
    }
}
