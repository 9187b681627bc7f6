//! Who is signed in. A session is found by the hash of its id, which only the browser has.
//!
//! A session ends when it is not used for a while, after a longer time in any case, at sign-out, and when the user's
//! password changes or the user is disabled or removed: its stamp is then no longer the user's.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use crate::{keys::Hash, store::Store};

/// How long sessions last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The longest time without a use.
    pub idle: Duration,
    /// The longest time since signing in.
    pub absolute: Duration,
}

impl Limits {
    /// The oldest sign-in and the oldest use of a session that lasts, in ms.
    pub(crate) fn oldest(&self, now: DateTime<Utc>) -> (i64, i64) {
        let before = |length| {
            let length = TimeDelta::from_std(length).ok();
            let at = length.and_then(|length| now.checked_sub_signed(length));
            at.map_or(i64::MIN, |at| at.timestamp_millis())
        };
        (before(self.absolute), before(self.idle))
    }
}

/// A session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionRecord {
    /// The user's name for signing in.
    pub name: String,
    /// The stamp that the user had at sign-in, as [`SignedIn`](super::SignedIn) has it.
    pub stamp: i64,
    /// What the pages keep in it, as a JSON object. No person's data.
    pub data: String,
    /// When it was last used, in ms since 1970.
    pub seen_ms: i64,
}

fn hash_of(id: &[u8]) -> String {
    Hash::of(id).hex()
}

/// Begins a session. Returns `false` if there is one with this id.
///
/// # Errors
/// Returns an error if the database query fails.
pub async fn begin(store: &Store, id: &[u8], session: &SessionRecord) -> outbox::Result<bool> {
    store.add_session(&hash_of(id), session).await
}

/// The session with this id, if it lasts.
///
/// # Errors
/// Returns an error if the database query fails.
pub async fn load(
    store: &Store,
    id: &[u8],
    limits: Limits,
) -> outbox::Result<Option<SessionRecord>> {
    store.session(&hash_of(id), limits).await
}

/// Keeps what changed in a session. One that has ended stays so.
///
/// # Errors
/// Returns an error if the database query fails.
pub async fn save(store: &Store, id: &[u8], session: &SessionRecord) -> outbox::Result<()> {
    store.save_session(&hash_of(id), session).await
}

/// Ends a session.
///
/// # Errors
/// Returns an error if the database query fails.
pub async fn end(store: &Store, id: &[u8]) -> outbox::Result<()> {
    store.end_session(&hash_of(id)).await
}
