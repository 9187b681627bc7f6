//! The feed on disk: entries are written with what they tell of, and numbered after that is committed.
//!
//! On PostgreSQL a transaction that took a number first may commit last, and a reader that has seen a later number would
//! never see it. So an entry is written without a number, in the transaction of its change. Whoever reads the feed first
//! numbers all committed entries in a transaction of its own, which holds the lock of the head's row: numbers have no gaps
//! and become visible in their order. The same transaction queues the entries
//! for the endpoints that want them. Entries of one event keep their order, because each transaction that changes the
//! event waits for the one before.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use outbox::{MigrationStep, Migrations, Sql, Tx, on_pool, on_tx};
use roster::{Change, ChangeKind};
use serde_json::{Value, json};

use super::{EventState, EventUpdate, Store, roster::corrupt, row::row, rows};
use crate::feed::{Cursor, FeedEntry, FeedFilter, FeedKind, FeedPage, FeedRead, NoticeWhat};

const FEED_SQLITE: &str = include_str!("../../migrations/feed/0001_feed.sqlite.sql");
const FEED_POSTGRES: &str = include_str!("../../migrations/feed/0001_feed.postgres.sql");
const ENDPOINTS: &str = include_str!("../../migrations/feed/0002_endpoints.sql");

/// The tables of the feed.
pub(super) const MIGRATIONS: Migrations = Migrations {
    prefix: "markback_feed",
    steps: &[
        MigrationStep {
            version: 1,
            name: "entries",
            sqlite: FEED_SQLITE,
            postgres: FEED_POSTGRES,
        },
        MigrationStep {
            version: 2,
            name: "endpoints",
            sqlite: ENDPOINTS,
            postgres: ENDPOINTS,
        },
    ],
};

/// The most entries numbered or pruned in one transaction.
const BATCH: i64 = 1_000;
/// The most numbers that one page looks through for entries of some schools or kinds.
const WINDOW: i64 = 20_000;
/// How long after the end of a pause the school or token counts as resumed: its first request may pause it again.
const RESUMED_AFTER_MS: i64 = 2 * 60 * 1_000;

static PUBLISH: Sql = Sql::new(
    "INSERT INTO markback_feed (school, kind, at_ms, body) SELECT r.school, r.kind, $2, r.body \
     FROM {rows $1: school text, kind text, body text} r WHERE true",
);

/// PostgreSQL reads no JSON with an escaped zero byte, which a comment in the decision may hold. The replacement is as long, so
/// that a backslash before it stays one that is escaped.
macro_rules! decision {
    () => {
        "{e.decision|replace(e.decision, '\\u0000', '\\ufffd')::jsonb}"
    };
}

/// Neither the outcome's text, which may quote the MIS or an operator, nor anything else of the decision.
static PUBLISH_OUTCOMES: Sql = Sql::new(concat!(
    "INSERT INTO markback_feed (school, kind, at_ms, body) SELECT e.school, 'event', $2, \
         {json_object|jsonb_build_object}('id', e.id, 'person', e.person, 'student', e.student, 'state', e.state, \
             'date', e.day, 'session', e.session, 'code', ",
    decision!(),
    "->'mark'->>'code', 'reason', ",
    decision!(),
    "->>'reason'){|::text} \
     FROM {rows $1: school text, id text} r JOIN markback_events e ON e.school = r.school AND e.id = r.id",
));

const HEAD: &str = "SELECT seq, (SELECT count(*) FROM (SELECT 1 FROM markback_feed WHERE seq IS NULL LIMIT 1) f) \
     FROM markback_feed_head WHERE one = 1";
static LOCK_HEAD: Sql = Sql::new("SELECT seq FROM markback_feed_head WHERE one = 1 {|FOR UPDATE}");
pub(super) const NUMBER: &str = "UPDATE markback_feed SET seq = $1 + n.place FROM (SELECT id, row_number() OVER (ORDER BY id) AS place \
     FROM (SELECT id FROM markback_feed WHERE seq IS NULL ORDER BY id LIMIT $2) u) n WHERE markback_feed.id = n.id";
const MOVE_HEAD: &str = "UPDATE markback_feed_head SET seq = $1 WHERE one = 1";

/// One statement, so that the entries and the horizon are those of one moment.
macro_rules! after {
    ($filter:literal) => {
        concat!(
            "SELECT h.seq AS head, h.pruned_seq AS pruned, f.seq AS seq, f.school AS school, f.kind AS kind, \
                    f.at_ms AS at_ms, f.body AS body \
             FROM markback_feed_head h LEFT JOIN (SELECT seq, school, kind, at_ms, body FROM markback_feed \
                 WHERE seq > $1 AND seq <= $2",
            $filter,
            " ORDER BY seq LIMIT $3) f ON true WHERE h.one = 1 ORDER BY f.seq"
        )
    };
}
pub(super) const AFTER: &str = after!("");
pub(super) static AFTER_OF_KINDS: Sql = Sql::new(after!(
    " AND kind IN (SELECT k.kind FROM {rows $4: kind text} k)"
));
pub(super) static AFTER_OF_SCHOOL: Sql = Sql::new(after!(
    " AND kind IN (SELECT k.kind FROM {rows $4: kind text} k) AND school = $5"
));
pub(super) static AFTER_OF_SCHOOLS: Sql = Sql::new(after!(
    " AND kind IN (SELECT k.kind FROM {rows $4: kind text} k) \
      AND school IN (SELECT s.school FROM {rows $5: school text} s)"
));

pub(super) const OLD: &str = "SELECT max(seq) FROM (SELECT seq, at_ms FROM markback_feed WHERE seq IS NOT NULL ORDER BY seq LIMIT $2) o \
     WHERE at_ms < $1";
pub(super) const DROP: &str = "DELETE FROM markback_feed WHERE seq <= $1";
const MOVE_HORIZON: &str =
    "UPDATE markback_feed_head SET pruned_seq = $1 WHERE one = 1 AND pruned_seq < $1";

const PAUSED: &str =
    "INSERT INTO markback_feed_paused (key, until_ms) VALUES ($1, $2) ON CONFLICT (key) DO NOTHING";
const PAUSED_LONGER: &str = "UPDATE markback_feed_paused SET until_ms = $2 WHERE key = $1";
const RESUMED: &str = "DELETE FROM markback_feed_paused WHERE key = $1";
const OVER: &str = "DELETE FROM markback_feed_paused WHERE until_ms < $1 RETURNING key";
const ANY_OVER: &str = "SELECT count(*) FROM markback_feed_paused WHERE until_ms < $1";

row! {
    struct Row {
        head: i64,
        pruned: i64,
        seq: Option<i64>,
        school: Option<String>,
        kind: Option<String>,
        at_ms: Option<i64>,
        body: Option<String>,
    }
}

/// An entry to write.
#[derive(Debug)]
pub(crate) struct NewEntry {
    /// Empty if it concerns no school or several.
    pub(crate) school: String,
    pub(crate) kind: FeedKind,
    /// The part of the entry that the kind names. It holds no name and no comment.
    pub(crate) body: Value,
}

impl NewEntry {
    pub(crate) fn notice(school: &str, what: NoticeWhat, text: impl Into<String>) -> Self {
        Self {
            school: school.to_owned(),
            kind: FeedKind::Notice,
            body: json!({ "what": what, "text": text.into() }),
        }
    }
}

impl Store {
    /// Writes entries with the changes of the transaction.
    pub(crate) async fn publish(&self, tx: &mut Tx, entries: &[NewEntry]) -> outbox::Result<()> {
        let table: Vec<_> = entries
            .iter()
            .map(|new| (&new.school, <&str>::from(new.kind), new.body.to_string()))
            .collect();
        self.write_rows(tx, &PUBLISH, &table).await
    }

    /// Writes an entry for each event that the updates brought into a state that hosts follow. Call it after the updates,
    /// in their transaction: the entries show the events as they are then.
    pub(crate) async fn publish_outcomes(
        &self,
        tx: &mut Tx,
        updates: &[EventUpdate],
    ) -> outbox::Result<()> {
        let told: BTreeSet<_> = updates
            .iter()
            .filter(|update| update.state.is_some_and(EventState::is_published))
            .map(|update| (&update.school, &update.id))
            .collect();
        self.write_rows(tx, &PUBLISH_OUTCOMES, &Vec::from_iter(told))
            .await
    }

    /// Writes an entry for each group of a school that a sync has changed. `cursor` is that of the last change.
    pub(super) async fn publish_groups(
        &self,
        tx: &mut Tx,
        school: &str,
        changes: &[Change],
        cursor: u64,
    ) -> outbox::Result<()> {
        let mut groups: BTreeMap<&str, [u64; 3]> = BTreeMap::new();
        for change in changes {
            let [joined, changed, left] = groups.entry(&change.group).or_default();
            *match change.kind {
                ChangeKind::Joined { .. } => joined,
                ChangeKind::Changed { .. } => changed,
                ChangeKind::Left { .. } => left,
            } += 1;
        }
        let entry = |(name, [joined, changed, left]): (&str, [u64; 3])| NewEntry {
            school: school.to_owned(),
            kind: FeedKind::Group,
            body: json!({
                "name": name, "joined": joined, "changed": changed, "left": left, "cursor": cursor.to_string(),
            }),
        };
        let entries: Vec<_> = groups.into_iter().map(entry).collect();
        self.publish(tx, &entries).await
    }

    /// Writes that a school or token rests, unless that is told already. The key is that of the pause.
    pub(super) async fn publish_pause(
        &self,
        tx: &mut Tx,
        key: &str,
        until: DateTime<Utc>,
        why: &str,
    ) -> outbox::Result<()> {
        let until = until.timestamp_millis();
        let is_new = on_tx!(tx, conn => {
            sqlx::query(PAUSED).bind(key).bind(until).execute(conn).await.map(|done| done.rows_affected() > 0)
        })?;
        if is_new {
            return self
                .publish(tx, &[pause(key, NoticeWhat::Paused, why)])
                .await;
        }
        on_tx!(tx, conn => {
            sqlx::query(PAUSED_LONGER).bind(key).bind(until).execute(conn).await.map(|_| ())
        })?;
        Ok(())
    }

    /// Writes that a pause was ended, if the feed has told of it.
    pub(super) async fn publish_end_of_pause(&self, tx: &mut Tx, key: &str) -> outbox::Result<()> {
        let was_told = on_tx!(tx, conn => {
            sqlx::query(RESUMED).bind(key).execute(conn).await.map(|done| done.rows_affected() > 0)
        })?;
        if was_told {
            let resumed = pause(key, NoticeWhat::Resumed, "the pause was ended");
            self.publish(tx, &[resumed]).await?;
        }
        Ok(())
    }

    /// Writes which pauses have ended by themselves.
    pub(crate) async fn publish_ended_pauses(&self) -> outbox::Result<()> {
        let ended = self.now_ms() - RESUMED_AFTER_MS;
        let over: i64 = on_pool!(self.db, pool => sqlx::query_scalar(ANY_OVER).bind(ended).fetch_one(pool).await)?;
        if over == 0 {
            return Ok(());
        }
        let mut tx = self.db.begin().await?;
        let keys: Vec<String> =
            on_tx!(tx, conn => sqlx::query_scalar(OVER).bind(ended).fetch_all(conn).await)?;
        let resumed = |key: &String| pause(key, NoticeWhat::Resumed, "the pause is over");
        let entries: Vec<_> = keys.iter().map(resumed).collect();
        self.publish(&mut tx, &entries).await?;
        tx.commit().await
    }

    /// Numbers all committed entries and returns the last number.
    pub(crate) async fn number_feed(&self) -> outbox::Result<i64> {
        loop {
            let (seq, unnumbered): (i64, i64) =
                on_pool!(self.db, pool => sqlx::query_as(HEAD).fetch_one(pool).await)?;
            if unnumbered == 0 {
                return Ok(seq);
            }
            let mut tx = self.db.begin().await?;
            let lock = LOCK_HEAD.on(tx.engine());
            let seq: i64 = on_tx!(tx, conn => sqlx::query_scalar(lock).fetch_one(conn).await)?;
            // A statement of its own, so that it sees what was numbered while this waited for the lock.
            let numbered = on_tx!(tx, conn => {
                sqlx::query(NUMBER).bind(seq).bind(BATCH).execute(conn).await.map(|done| done.rows_affected())
            })?;
            let (before, seq) = (seq, seq.saturating_add_unsigned(numbered));
            self.fan_out(&mut tx, before, seq).await?;
            on_tx!(tx, conn => sqlx::query(MOVE_HEAD).bind(seq).execute(conn).await.map(|_| ()))?;
            tx.commit().await?;
        }
    }

    /// The numbered entries after `after`, at most `limit`. `None` begins with the oldest entry that is kept.
    pub(crate) async fn feed_after(
        &self,
        after: Option<Cursor>,
        filter: &FeedFilter,
        limit: u32,
    ) -> outbox::Result<FeedRead> {
        let from = match after {
            Some(after) => after.number(),
            None => self.feed_horizon().await?,
        };
        let (limit, engine) = (i64::from(limit), self.db.engine());
        let last = match filter.takes_all() {
            true => i64::MAX,
            false => from.saturating_add(WINDOW),
        };
        let kinds: Vec<_> = filter.kinds().map(|kind| (<&str>::from(kind),)).collect();
        let kinds = rows(&kinds)?;
        let found: Vec<Row> = on_pool!(self.db, pool => match filter.schools.as_deref() {
            None if filter.takes_all() => {
                sqlx::query_as(AFTER).bind(from).bind(last).bind(limit).fetch_all(pool).await
            }
            None => {
                sqlx::query_as(AFTER_OF_KINDS.on(engine))
                    .bind(from).bind(last).bind(limit).bind(&kinds).fetch_all(pool).await
            }
            Some([school]) => {
                sqlx::query_as(AFTER_OF_SCHOOL.on(engine))
                    .bind(from).bind(last).bind(limit).bind(&kinds).bind(school.as_str()).fetch_all(pool).await
            }
            Some(schools) => {
                let schools: Vec<_> = schools.iter().map(|school| (school,)).collect();
                sqlx::query_as(AFTER_OF_SCHOOLS.on(engine))
                    .bind(from).bind(last).bind(limit).bind(&kinds).bind(rows(&schools)?).fetch_all(pool).await
            }
        })?;
        let Some(first) = found.first() else {
            return Err(corrupt_head());
        };
        let (head, pruned) = (first.head, first.pruned);
        // What was pruned since the horizon was read was never promised.
        if from > head || from < pruned && after.is_some() {
            return Ok(FeedRead::Resync);
        }
        let is_full = i64::try_from(found.len()).is_ok_and(|found| found >= limit);
        let cursor = match found.last().and_then(|row| row.seq) {
            Some(last) if is_full => last,
            _ => head.min(last),
        };
        let entries = found
            .into_iter()
            .filter_map(entry)
            .collect::<outbox::Result<_>>()?;
        Ok(FeedRead::Page(FeedPage {
            entries,
            more: cursor < head,
            cursor: Cursor::new(cursor),
        }))
    }

    async fn feed_horizon(&self) -> outbox::Result<i64> {
        const HORIZON: &str = "SELECT pruned_seq FROM markback_feed_head WHERE one = 1";
        Ok(on_pool!(self.db, pool => sqlx::query_scalar(HORIZON).fetch_one(pool).await)?)
    }

    /// Removes entries from before that time in short transactions, and returns their number. An entry goes with all
    /// before it.
    pub(crate) async fn prune_feed(&self, before: DateTime<Utc>) -> outbox::Result<u64> {
        self.number_feed().await?;
        let before = before.timestamp_millis();
        let mut removed = 0;
        loop {
            let old: Option<i64> = on_pool!(self.db, pool => {
                sqlx::query_scalar(OLD).bind(before).bind(BATCH).fetch_one(pool).await
            })?;
            let Some(last) = old else {
                return Ok(removed);
            };
            let mut tx = self.db.begin().await?;
            on_tx!(tx, conn => sqlx::query(MOVE_HORIZON).bind(last).execute(conn).await.map(|_| ()))?;
            removed += on_tx!(tx, conn => {
                sqlx::query(DROP).bind(last).execute(conn).await.map(|done| done.rows_affected())
            })?;
            tx.commit().await?;
        }
    }
}

/// The notice about a pause. Its key is a school's id, or that of a token, which several schools may share.
fn pause(key: &str, what: NoticeWhat, text: &str) -> NewEntry {
    match key.strip_prefix("token:") {
        Some(place) => NewEntry::notice("", what, format!("the token {place}: {text}")),
        None => NewEntry::notice(key, what, text),
    }
}

fn entry(row: Row) -> Option<outbox::Result<FeedEntry>> {
    let (seq, kind, at) = (row.seq?, row.kind?, row.at_ms?);
    let (school, body) = (row.school.unwrap_or_default(), row.body.unwrap_or_default());
    // An entry of a kind that a newer version writes is passed over.
    let kind: FeedKind = kind.parse().ok()?;
    let entry = FeedEntry::read(Cursor::new(seq), school, kind, at, &body);
    Some(entry.map_err(corrupt("an entry of the feed")))
}

fn corrupt_head() -> outbox::Error {
    outbox::Error::schema("the feed's head is missing")
}
