//! Following the feed while the service runs.

use std::{sync::Arc, time::Duration};

use tokio::sync::watch;

use super::{Cursor, Feed, FeedEntry, FeedFilter, FeedRead, Signal};

/// The most entries that a follower hands over at once.
const BATCH: u32 = 100;
/// How long to wait before the database is asked again after an error.
const RETRY: Duration = Duration::from_secs(1);

/// Follows the feed. It holds no entries itself: whoever takes them slowly makes nobody else wait, and none pile up.
#[derive(Debug)]
pub struct Follower {
    feed: Feed,
    signal: watch::Receiver<Signal>,
    /// `None` begins with the oldest entry that is kept.
    at: Option<Cursor>,
    filter: FeedFilter,
    /// Whether the cursor was compared with what is kept.
    is_checked: bool,
}

/// What a follower is told.
#[derive(Debug)]
pub enum FeedUpdate {
    /// Entries in order, at least one.
    Entries(Vec<Arc<FeedEntry>>),
    /// Entries are missing; see [`FeedRead::Resync`]. Nothing follows.
    Resync,
}

impl Follower {
    pub(super) fn new(feed: Feed, at: Option<Cursor>, filter: FeedFilter) -> Self {
        Self {
            signal: feed.shared.signal.subscribe(),
            feed,
            at,
            filter,
            is_checked: false,
        }
    }

    /// Waits for the next entries. `None` when the service stops.
    pub async fn next(&mut self) -> Option<FeedUpdate> {
        loop {
            let Signal { head, stopping } = *self.signal.borrow_and_update();
            if stopping {
                return None;
            }
            match self.at {
                Some(at) if self.is_checked && at.number() >= head => {
                    self.signal.changed().await.ok()?;
                    continue;
                }
                _ => {}
            }
            match self.read().await {
                Ok(FeedUpdate::Entries(entries)) if entries.is_empty() => {}
                Ok(told) => return Some(told),
                Err(error) => {
                    tracing::warn!(%error, "a stream could not read the feed; retrying");
                    tokio::time::sleep(RETRY).await;
                }
            }
        }
    }

    async fn read(&mut self) -> outbox::Result<FeedUpdate> {
        if let (Some(at), true) = (self.at, self.is_checked) {
            let limit = usize::try_from(BATCH).unwrap_or(usize::MAX);
            let recent = self
                .feed
                .recent(|recent| recent.after(at.number(), &self.filter, limit));
            if let Some((entries, reached)) = recent {
                self.at = Some(Cursor::new(reached));
                return Ok(FeedUpdate::Entries(entries));
            }
        }
        // Closed never.
        let _turn = self.feed.shared.readers.acquire().await.ok();
        let store = &self.feed.shared.store;
        match store.feed_after(self.at, &self.filter, BATCH).await? {
            FeedRead::Page(page) => {
                self.is_checked = true;
                self.at = Some(page.cursor);
                let entries = page.entries.into_iter().map(Arc::new).collect();
                Ok(FeedUpdate::Entries(entries))
            }
            FeedRead::Resync => Ok(FeedUpdate::Resync),
        }
    }
}
