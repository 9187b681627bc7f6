//! Waking those who wait for a queue: in the process at once, on PostgreSQL in other processes too.
//!
//! A wake-up is a courtesy: it may be lost. Polling is the truth.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;

use sqlx::PgPool;
use sqlx::postgres::PgListener;
use tokio::sync::{mpsc, watch};
use tokio::task::AbortHandle;

/// The channel of `LISTEN` and `NOTIFY`.
const CHANNEL: &str = "outbox";
/// A node tells the others of one queue at most this often: `NOTIFY` makes commits queue up on the server.
const TELL_EVERY: Duration = Duration::from_millis(20);
/// Between attempts to listen again after the server went away.
const LISTEN_AGAIN: Duration = Duration::from_millis(500);

/// Waits for something to do in one queue.
///
/// A ring between two waits is not lost: the next wait returns at once. So the loop of a worker is
/// claim; when nothing was claimed, wait; and again.
#[derive(Debug)]
pub struct Bell {
    rings: watch::Receiver<u64>,
}

impl Bell {
    /// Returns when the queue was rung since the last wait, or after `max`. Says whether it was rung.
    pub async fn wait(&mut self, max: Duration) -> bool {
        match tokio::time::timeout(max, self.rings.changed()).await {
            Ok(Ok(())) => true,
            Ok(Err(_)) => {
                // The database was closed: nobody rings any more.
                tokio::time::sleep(max).await;
                false
            }
            Err(_) => false,
        }
    }
}

/// All bells of one open database.
pub(crate) struct Hub {
    bells: Mutex<HashMap<String, watch::Sender<u64>>>,
    others: Option<mpsc::UnboundedSender<String>>,
    tasks: OnceLock<[AbortHandle; 2]>,
}

impl Hub {
    /// Starts the tasks that tell and hear other processes, when there is a server between them.
    pub(crate) fn start(pool: Option<PgPool>) -> Arc<Self> {
        let (tell, told) = mpsc::unbounded_channel();
        let hub = Arc::new(Self {
            bells: Mutex::new(HashMap::new()),
            others: pool.is_some().then_some(tell),
            tasks: OnceLock::new(),
        });
        if let Some(pool) = pool {
            let me = format!("{:016x}", rand::random::<u64>());
            // The hub stands before they run: one that is not there ends them.
            let telling = tokio::spawn(tell_others(pool.clone(), me.clone(), told));
            let hearing = tokio::spawn(hear_others(pool, me, Arc::downgrade(&hub)));
            let tasks = [telling.abort_handle(), hearing.abort_handle()];
            // Nobody else has set them.
            let _ = hub.tasks.set(tasks);
        }
        hub
    }

    pub(crate) fn bell(&self, queue: &str) -> Bell {
        let mut bells = self.bells();
        let rings = match bells.get(queue) {
            Some(bell) => bell.subscribe(),
            None => {
                let (bell, rings) = watch::channel(0);
                bells.insert(queue.to_owned(), bell);
                rings
            }
        };
        Bell { rings }
    }

    /// Rings here and tells the others.
    pub(crate) fn ring_all(&self, queues: BTreeSet<String>) {
        for queue in queues {
            self.ring_here(&queue);
            if let Some(others) = &self.others {
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

    fn ring_here(&self, queue: &str) {
        if let Some(bell) = self.bells().get(queue) {
            bell.send_modify(|rings| *rings = rings.wrapping_add(1));
        }
    }

    fn ring_every_bell_here(&self) {
        for bell in self.bells().values() {
            bell.send_modify(|rings| *rings = rings.wrapping_add(1));
        }
    }

    fn bells(&self) -> MutexGuard<'_, HashMap<String, watch::Sender<u64>>> {
        self.bells.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        self.stop();
    }
}

async fn tell_others(pool: PgPool, me: String, mut told: mpsc::UnboundedReceiver<String>) {
    while let Some(first) = told.recv().await {
        let mut queues = BTreeSet::from([format!("{me} {first}")]);
        while let Ok(queue) = told.try_recv() {
            queues.insert(format!("{me} {queue}"));
        }
        let queues: Vec<String> = queues.into_iter().collect();
        let sent = sqlx::query("SELECT pg_notify($1, queue) FROM unnest($2::text[]) AS queue")
            .bind(CHANNEL)
            .bind(queues)
            .execute(&pool)
            .await;
        if let Err(error) = sent {
            // They poll; and if the server is away, there is nothing to fetch.
            tracing::debug!(error = %crate::Error::from(error), "could not wake other nodes");
        }
        tokio::time::sleep(TELL_EVERY).await;
    }
}

async fn hear_others(pool: PgPool, me: String, hub: Weak<Hub>) {
    loop {
        match listen(&pool, &me, &hub).await {
            Ok(()) => return,
            Err(error) => {
                let error = crate::Error::from(error);
                tracing::debug!(%error, "not listening to other nodes; polling goes on");
            }
        }
        tokio::time::sleep(LISTEN_AGAIN).await;
    }
}

/// Ends with `Ok` when the database was dropped.
async fn listen(pool: &PgPool, me: &str, hub: &Weak<Hub>) -> Result<(), sqlx::Error> {
    let mut listener = PgListener::connect_with(pool).await?;
    listener.listen(CHANNEL).await?;
    // Whatever was said while nobody listened is not said again.
    match hub.upgrade() {
        Some(hub) => hub.ring_every_bell_here(),
        None => return Ok(()),
    }
    loop {
        let heard = listener.try_recv().await?;
        let Some(hub) = hub.upgrade() else {
            return Ok(());
        };
        match heard {
            Some(heard) => match heard.payload().split_once(' ') {
                Some((who, queue)) if who != me => hub.ring_here(queue),
                _ => {}
            },
            // The connection was lost and made anew.
            None => hub.ring_every_bell_here(),
        }
    }
}
