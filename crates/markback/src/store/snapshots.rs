//! Snapshots of decisions on disk. What many of them share is stored once, by its hash.

use std::{
    collections::{BTreeMap, HashMap},
    num::NonZeroUsize,
    sync::{Arc, Mutex, PoisonError},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use lru::LruCache;
use mis_core::SchoolId;
use outbox::{Sql, Tx, on_pool, on_tx};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::{Store, rows};
use crate::snapshot::Look;
use crate::store::row::row;

/// How long a node takes a part for stored without writing it again. Prune removes a part only when it has not been
/// written for longer, so a node never refers to a part that is gone.
const KNOWN_FOR: TimeDelta = TimeDelta::days(1);
/// How much longer than the data a part without users is kept.
const PRUNE_AFTER: TimeDelta = TimeDelta::days(2);
/// The most parts that a node knows to be stored.
const KNOWN_AT_MOST: NonZeroUsize = NonZeroUsize::MIN.saturating_add(65_535);
/// The bytes of a SHA-256 hash that name a part.
const HASH_BYTES: usize = 15;

/// In the order of the hashes, so that two transactions never wait for each other.
static PARTS: Sql = Sql::new(
    "INSERT INTO markback_snapshot_parts (hash, body, used_ms) \
     SELECT r.hash, r.body, $2 FROM {rows $1: hash text, body text} r WHERE true ORDER BY r.hash \
     ON CONFLICT (hash) DO UPDATE SET used_ms = excluded.used_ms",
);

/// An event that was pruned meanwhile gets no snapshot.
static KEEP: Sql = Sql::new(
    "INSERT INTO markback_snapshots (school, event, look, decided_ms, job, group_part, mis_part, body) \
     SELECT r.school, r.event, r.look, $2, r.job, r.group_part, r.mis_part, r.body \
     FROM {rows $1: school text, event text, look int, job int, group_part text, mis_part text, body text} r \
     JOIN markback_events e ON e.school = r.school AND e.id = r.event WHERE true \
     ON CONFLICT (school, event, look) DO UPDATE SET decided_ms = excluded.decided_ms, job = excluded.job, \
        group_part = excluded.group_part, mis_part = excluded.mis_part, body = excluded.body",
);

static DROP_LATER: Sql = Sql::new(
    "DELETE FROM markback_snapshots WHERE look > 0 AND (school, event) IN \
     (SELECT r.school, r.event FROM {rows $1: school text, event text} r)",
);

const OF_EVENT: &str = "SELECT event, look, decided_ms, job, group_part, mis_part, body FROM markback_snapshots \
     WHERE school = $1 AND event = $2 ORDER BY look";

pub(super) const SINCE: &str = "SELECT s.event, s.look, s.decided_ms, s.job, s.group_part, s.mis_part, s.body \
     FROM markback_events e JOIN markback_snapshots s ON s.school = e.school AND s.event = e.id \
     WHERE e.school = $1 AND e.at_ms >= $2";

pub(super) const PAST: &str = "SELECT body, state, student, day, session, received_ms, sent_ms, accepted_ms, settled_ms, \
        CAST(CASE WHEN decision IS NULL THEN 0 ELSE 1 END AS BIGINT) AS decided, \
        CAST(CASE WHEN correction IS NULL THEN 0 ELSE 1 END AS BIGINT) AS withdrawn FROM markback_events \
     WHERE school = $1 AND at_ms >= $2";

/// From one day to the one before it that has events, each by one look into the index; at most `$2`. A day has 86,400,000
/// ms.
pub(super) const DAYS: &str = "WITH RECURSIVE d(utc_day, n) AS ( \
         SELECT max(at_ms) / 86400000, CAST(1 AS BIGINT) FROM markback_events WHERE school = $1 \
         UNION ALL SELECT (SELECT max(e.at_ms) / 86400000 FROM markback_events e \
             WHERE e.school = $1 AND e.at_ms < d.utc_day * 86400000), d.n + 1 \
             FROM d WHERE d.utc_day IS NOT NULL AND d.n < $2) \
     SELECT utc_day FROM d WHERE utc_day IS NOT NULL ORDER BY utc_day DESC";

pub(super) const SCHOOL_DAYS: &str = "SELECT DISTINCT day FROM markback_events WHERE school = $1 AND at_ms >= $2 AND day IS NOT NULL";

static BODIES: Sql = Sql::new(
    "SELECT p.hash, p.body FROM {rows $1: hash text} r JOIN markback_snapshot_parts p ON p.hash = r.hash",
);

/// A decision uses parts that were written at most [`KNOWN_FOR`] before it, and an event is received before it is decided. So
/// whatever still needs a part that was last written before `$1` was received less than two days (172,800,000 ms) later, and
/// only the snapshots of events that are as old are searched. Those are few: most have been pruned. The lower bound lets
/// PostgreSQL expect that.
pub(super) static UNUSED_PARTS: Sql = Sql::new(
    "DELETE FROM markback_snapshot_parts WHERE hash IN (SELECT p.hash FROM markback_snapshot_parts p WHERE p.used_ms < $1 \
        AND p.hash NOT IN (SELECT s.mis_part FROM markback_events e \
            JOIN markback_snapshots s ON s.school = e.school AND s.event = e.id \
            WHERE e.received_ms >= 0 AND e.received_ms < $1 + 172800000) \
        AND p.hash NOT IN (SELECT s.group_part FROM markback_events e \
            JOIN markback_snapshots s ON s.school = e.school AND s.event = e.id \
            WHERE e.received_ms >= 0 AND e.received_ms < $1 + 172800000 AND s.group_part IS NOT NULL) \
     ORDER BY p.hash LIMIT $2)",
);

/// A text that many snapshots share.
#[derive(Clone)]
pub(crate) struct Part {
    hash: Arc<str>,
    body: Arc<str>,
}

impl Part {
    /// The JSON form of a value, and its hash.
    pub(crate) fn of(value: &impl Serialize) -> serde_json::Result<Self> {
        let body = serde_json::to_string(value)?;
        let hash = Sha256::digest(body.as_bytes());
        let hash = hash.get(..HASH_BYTES).unwrap_or_default();
        Ok(Self {
            hash: URL_SAFE_NO_PAD.encode(hash).into(),
            body: body.into(),
        })
    }
}

/// A snapshot to store.
#[derive(Clone)]
pub(crate) struct NewSnapshot {
    pub(crate) school: String,
    pub(crate) event: String,
    pub(crate) look: Look,
    /// The decision begins the event anew: what was decided later in an earlier round no longer counts.
    pub(crate) restarts: bool,
    pub(crate) job: i64,
    pub(crate) group: Option<Part>,
    pub(crate) mis: Part,
    pub(crate) body: String,
}

row! {
    /// A stored snapshot.
    pub(crate) struct StoredSnapshot {
        pub(crate) event: String,
        pub(crate) look: i64,
        pub(crate) decided_ms: i64,
        pub(crate) job: i64,
        pub(crate) group_part: Option<String>,
        pub(crate) mis_part: String,
        pub(crate) body: String,
    }
}

row! {
    /// An event of the past, for trying settings out.
    pub(crate) struct PastRow {
        pub(crate) body: String,
        pub(crate) state: String,
        pub(crate) student: Option<String>,
        pub(crate) day: Option<String>,
        pub(crate) session: Option<String>,
        pub(crate) received_ms: i64,
        pub(crate) sent_ms: Option<i64>,
        pub(crate) accepted_ms: Option<i64>,
        pub(crate) settled_ms: Option<i64>,
        /// Whether it has a decision: 0 or 1.
        pub(crate) decided: i64,
        /// Whether it was withdrawn: 0 or 1.
        pub(crate) withdrawn: i64,
    }
}

/// The parts that this node has stored lately, each with the time.
#[derive(Debug)]
pub(super) struct KnownParts(Mutex<LruCache<Arc<str>, DateTime<Utc>>>);

impl Default for KnownParts {
    fn default() -> Self {
        Self(Mutex::new(LruCache::new(KNOWN_AT_MOST)))
    }
}

impl KnownParts {
    fn has(&self, hash: &Arc<str>, now: DateTime<Utc>) -> bool {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let since = known.get(hash).copied();
        since.is_some_and(|since| (now - since).abs() < KNOWN_FOR)
    }

    fn add<'p>(&self, parts: impl Iterator<Item = &'p Part>, now: DateTime<Utc>) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for part in parts {
            known.put(part.hash.clone(), now);
        }
    }
}

/// Parts that a transaction has written. They count as stored once it is committed.
#[must_use]
pub(crate) struct WrittenParts {
    parts: Vec<Part>,
    at: DateTime<Utc>,
}

impl Store {
    /// Stores snapshots. Call [`snapshots_committed`](Self::snapshots_committed) after the commit.
    pub(crate) async fn keep_snapshots(
        &self,
        tx: &mut Tx,
        snapshots: &[NewSnapshot],
    ) -> outbox::Result<WrittenParts> {
        let at = self.now();
        // One statement must not write a row twice; the last counts.
        let latest: BTreeMap<_, _> = snapshots
            .iter()
            .map(|new| ((&new.school, &new.event, new.look as i64), new))
            .collect();
        let used = latest
            .values()
            .flat_map(|new| new.group.iter().chain([&new.mis]));
        let parts: BTreeMap<_, _> = used
            .filter(|part| !self.parts.has(&part.hash, at))
            .map(|part| (&part.hash, part))
            .collect();
        let table: Vec<_> = parts
            .values()
            .map(|part| (&part.hash, &part.body))
            .collect();
        self.write_rows(tx, &PARTS, &table).await?;
        let restarted: Vec<_> = latest
            .values()
            .filter(|new| new.restarts)
            .map(|new| (&new.school, &new.event))
            .collect();
        if !restarted.is_empty() {
            let (text, table) = (DROP_LATER.on(tx.engine()), rows(&restarted)?);
            on_tx!(tx, conn => sqlx::query(text).bind(&table).execute(conn).await.map(|_| ()))?;
        }
        let table: Vec<_> = latest
            .into_iter()
            .map(|((school, event, look), new)| {
                let group = new.group.as_ref().map(|part| &part.hash);
                (
                    school,
                    event,
                    look,
                    new.job,
                    group,
                    &new.mis.hash,
                    &new.body,
                )
            })
            .collect();
        self.write_rows(tx, &KEEP, &table).await?;
        let parts = parts.into_values().cloned().collect();
        Ok(WrittenParts { parts, at })
    }

    /// Records that the transaction was committed.
    pub(crate) fn snapshots_committed(&self, written: &WrittenParts) {
        self.parts.add(written.parts.iter(), written.at);
    }

    /// The snapshots of an event: of its first decision, then of the last one before sending if there is one.
    pub(crate) async fn snapshots(
        &self,
        school: &SchoolId,
        event: &str,
    ) -> outbox::Result<Vec<StoredSnapshot>> {
        Ok(on_pool!(self.db, pool => {
            sqlx::query_as(OF_EVENT).bind(school.as_str()).bind(event).fetch_all(pool).await
        })?)
    }

    /// The snapshots of the school's events since then, by the events' own times.
    pub(crate) async fn snapshots_since(
        &self,
        school: &SchoolId,
        since: DateTime<Utc>,
    ) -> outbox::Result<Vec<StoredSnapshot>> {
        let since = since.timestamp_millis();
        Ok(on_pool!(self.db, pool => {
            sqlx::query_as(SINCE).bind(school.as_str()).bind(since).fetch_all(pool).await
        })?)
    }

    /// The school's events since then, by their own times.
    pub(crate) async fn past_events(
        &self,
        school: &SchoolId,
        since: DateTime<Utc>,
    ) -> outbox::Result<Vec<PastRow>> {
        let since = since.timestamp_millis();
        Ok(on_pool!(self.db, pool => {
            sqlx::query_as(PAST).bind(school.as_str()).bind(since).fetch_all(pool).await
        })?)
    }

    /// The last days, in UTC, of the school's events, latest first; at most `limit`.
    pub(crate) async fn days_with_events(
        &self,
        school: &SchoolId,
        limit: usize,
    ) -> outbox::Result<Vec<NaiveDate>> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let days: Vec<i64> = on_pool!(self.db, pool => {
            sqlx::query_scalar(DAYS).bind(school.as_str()).bind(limit).fetch_all(pool).await
        })?;
        let day = |day: i64| DateTime::from_timestamp(day.checked_mul(24 * 60 * 60)?, 0);
        Ok(days
            .into_iter()
            .filter_map(|number| Some(day(number)?.date_naive()))
            .collect())
    }

    /// The school days, `YYYY-MM-DD`, of the school's events since then that were in a session.
    pub(crate) async fn school_days_since(
        &self,
        school: &SchoolId,
        since: DateTime<Utc>,
    ) -> outbox::Result<Vec<String>> {
        let since = since.timestamp_millis();
        Ok(on_pool!(self.db, pool => {
            sqlx::query_scalar(SCHOOL_DAYS).bind(school.as_str()).bind(since).fetch_all(pool).await
        })?)
    }

    /// The texts of these parts by their hashes.
    pub(crate) async fn snapshot_parts(
        &self,
        hashes: impl IntoIterator<Item = &str>,
    ) -> outbox::Result<HashMap<String, String>> {
        let table: Vec<_> = hashes.into_iter().map(|hash| (hash,)).collect();
        let (text, table) = (BODIES.on(self.db.engine()), rows(&table)?);
        let found: Vec<(String, String)> =
            on_pool!(self.db, pool => sqlx::query_as(text).bind(&table).fetch_all(pool).await)?;
        Ok(found.into_iter().collect())
    }
}

/// The parts last used before this are pruned once nothing refers to them, in ms.
pub(super) fn parts_before(data_before: i64) -> i64 {
    data_before.saturating_sub(PRUNE_AFTER.num_milliseconds())
}

#[cfg(test)]
mod tests;
