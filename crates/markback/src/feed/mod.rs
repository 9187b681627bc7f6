//! One durable feed of what hosts follow: outcomes of events, changes of groups, ends of syncs, and notices.
//!
//! An entry is written in the transaction of what it tells of (`store/feed.rs`), so none is lost and none is told in vain.
//! Readers come back with the cursor of the last entry that they have handled; they get each entry after it once, in order.
//! One task of each node looks for new entries; however many streams follow the feed, they share what it finds.

mod cursor;
mod entry;
mod follow;
#[cfg(test)]
mod tests;

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use chrono::TimeDelta;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio_util::sync::CancellationToken;

pub use self::{
    cursor::{Cursor, InvalidCursor},
    entry::{
        EventNews, FeedEntry, FeedFilter, FeedKind, FeedPage, FeedQuery, FeedRead, GroupNews,
        NoticeNews, NoticeWhat, SyncNews,
    },
    follow::{FeedUpdate, Follower},
};
use crate::store::Store;

/// The default and the largest number of entries in a page.
pub const PAGE: u32 = 100;
/// See [`PAGE`].
pub const PAGE_MAX: u32 = 1_000;
/// The latest entries that a node keeps in memory for its streams.
const RECENT: usize = 4_096;
/// The most streams and requests that read the database at the same time.
const READERS: usize = 4;

/// The feed of a service. Cheap to clone; clones share one view of the latest entries.
#[derive(Clone, Debug)]
pub struct Feed {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    store: Store,
    poll: Duration,
    signal: watch::Sender<Signal>,
    recent: Mutex<Recent>,
    readers: Semaphore,
    streams: Arc<Semaphore>,
}

/// What followers wait for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Signal {
    /// The last number that this node has seen.
    head: i64,
    /// The service stops.
    stopping: bool,
}

/// The latest entries, without a gap.
#[derive(Debug, Default)]
struct Recent {
    /// All entries after this number up to `head` are here.
    after: i64,
    head: i64,
    entries: VecDeque<Arc<FeedEntry>>,
}

impl Feed {
    /// The feed in this database. A service has its own. `poll` is the time between two looks for new entries, and `streams`
    /// the most streams at the same time.
    pub fn new(store: Store, poll: Duration, streams: usize) -> Self {
        Self {
            shared: Arc::new(Shared {
                store,
                poll,
                signal: watch::Sender::default(),
                recent: Mutex::default(),
                readers: Semaphore::new(READERS),
                streams: Arc::new(Semaphore::new(streams.min(Semaphore::MAX_PERMITS))),
            }),
        }
    }

    /// Looks for new entries until told to stop, which ends all streams.
    pub(crate) async fn run(&self, stop: CancellationToken) {
        let signal = &self.shared.signal;
        signal.send_modify(|signal| signal.stopping = false);
        while !stop.is_cancelled() {
            if let Err(error) = self.look().await {
                tracing::warn!(%error, "the feed could not be read; retrying");
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(self.shared.poll) => {}
            }
        }
        signal.send_modify(|signal| signal.stopping = true);
    }

    /// Numbers what was committed, and tells the followers of it.
    async fn look(&self) -> outbox::Result<()> {
        let shared = &self.shared;
        let head = shared.store.number_feed().await?;
        loop {
            let known = self.recent(|recent| recent.head);
            if known >= head {
                break;
            }
            // What nobody waits for need not be read.
            if shared.signal.receiver_count() == 0 || known == 0 {
                self.recent(|recent| recent.forget(head));
                break;
            }
            let all = FeedFilter::default();
            let after = Some(Cursor::new(known));
            match shared.store.feed_after(after, &all, PAGE_MAX).await? {
                FeedRead::Page(page) => self.recent(|recent| recent.add(page)),
                FeedRead::Resync => self.recent(|recent| recent.forget(head)),
            }
        }
        let head = self.recent(|recent| recent.head);
        shared.signal.send_if_modified(|signal| {
            let is_new = signal.head != head;
            signal.head = head;
            is_new
        });
        Ok(())
    }

    fn recent<T>(&self, with: impl FnOnce(&mut Recent) -> T) -> T {
        // Nothing panics while it is locked.
        let recent = self.shared.recent.lock();
        with(&mut recent.unwrap_or_else(PoisonError::into_inner))
    }

    /// The entries after a cursor.
    ///
    /// # Errors
    /// Returns an error if the database query fails.
    pub async fn page(&self, query: &FeedQuery) -> outbox::Result<FeedRead> {
        let store = &self.shared.store;
        let head = store.number_feed().await?;
        let limit = query.limit.clamp(1, PAGE_MAX);
        if query.latest {
            return Ok(FeedRead::Page(FeedPage {
                entries: Vec::new(),
                cursor: Cursor::new(head),
                more: false,
            }));
        }
        store.feed_after(query.after, &query.filter, limit).await
    }

    /// The entries after a cursor. If there are none yet, waits for one, at most for `wait`, or until the service stops.
    ///
    /// # Errors
    /// Returns an error if the database query fails.
    pub async fn page_within(&self, query: &FeedQuery, wait: Duration) -> outbox::Result<FeedRead> {
        let mut signal = self.shared.signal.subscribe();
        let over = tokio::time::sleep(wait);
        tokio::pin!(over);
        let mut query = query.clone();
        loop {
            signal.mark_unchanged();
            let found = self.page(&query).await?;
            match &found {
                FeedRead::Page(page) if page.entries.is_empty() => {
                    (query.after, query.latest) = (Some(page.cursor), false);
                    if page.more {
                        continue;
                    }
                }
                _ => return Ok(found),
            }
            if wait.is_zero() || signal.borrow().stopping {
                return Ok(found);
            }
            tokio::select! {
                () = &mut over => return Ok(found),
                changed = signal.changed() => if changed.is_err() { return Ok(found) },
            }
        }
    }

    /// A place among the streams of this node; `None` if all are taken. It is given back when dropped.
    pub fn stream_permit(&self) -> Option<OwnedSemaphorePermit> {
        self.shared.streams.clone().try_acquire_owned().ok()
    }

    /// Follows the feed from a cursor on, or from its present end. Entries come while the service runs.
    ///
    /// # Errors
    /// Returns an error if the database query fails.
    pub async fn follow(&self, query: &FeedQuery) -> outbox::Result<Follower> {
        let from = match (query.after, query.latest) {
            (Some(after), false) => Some(after),
            (None, false) => None,
            (_, true) => Some(Cursor::new(self.shared.store.number_feed().await?)),
        };
        Ok(Follower::new(self.clone(), from, query.filter.clone()))
    }

    /// Removes entries and deliveries that are older than that, and returns their number.
    pub(crate) async fn prune(&self, keep: Duration) -> outbox::Result<u64> {
        let store = &self.shared.store;
        let keep = TimeDelta::from_std(keep).unwrap_or(TimeDelta::MAX);
        match store.now().checked_sub_signed(keep) {
            Some(before) => {
                let deliveries = store.prune_deliveries(before).await?;
                Ok(deliveries + store.prune_feed(before).await?)
            }
            None => Ok(0),
        }
    }
}

impl Recent {
    fn add(&mut self, page: FeedPage) {
        self.entries.extend(page.entries.into_iter().map(Arc::new));
        self.head = page.cursor.number();
        while self.entries.len() > RECENT {
            if let Some(oldest) = self.entries.pop_front() {
                self.after = oldest.cursor.number();
            }
        }
    }

    /// Keeps nothing up to this number.
    fn forget(&mut self, head: i64) {
        *self = Self {
            after: head,
            head,
            entries: VecDeque::new(),
        };
    }

    /// The entries after this number that the filter takes, at most `limit`, and the number up to which they reach. `None`
    /// if some of them are not here any more.
    fn after(
        &self,
        number: i64,
        filter: &FeedFilter,
        limit: usize,
    ) -> Option<(Vec<Arc<FeedEntry>>, i64)> {
        if number < self.after || number > self.head {
            return None;
        }
        let first = self
            .entries
            .partition_point(|entry| entry.cursor.number() <= number);
        let mut found = Vec::new();
        for entry in self.entries.range(first..) {
            if filter.takes(entry) {
                found.push(entry.clone());
                if found.len() >= limit {
                    return Some((found, entry.cursor.number()));
                }
            }
        }
        Some((found, self.head))
    }
}
