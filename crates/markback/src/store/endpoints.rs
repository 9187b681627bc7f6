//! Endpoints for webhooks, what is to be delivered to them, and the log of attempts.

use std::time::Duration;

use chrono::{DateTime, Utc};
use outbox::{NewJob, Sql, Tx, on_pool, on_tx};
use serde_json::json;

use super::{NewEntry, Store, row::row, rows};
use crate::{
    audit_log::NewAuditEntry,
    endpoints::{
        Attempt, Delivery, DeliveryFilter, DeliveryState, Endpoint, EndpointState, NewEndpoint,
        SEALED, StoredSecret,
    },
    feed::{Cursor, FeedEntry, FeedFilter, FeedKind, FeedRead, NoticeWhat},
    queues,
};

/// The most deliveries that are queued again in one transaction.
const BATCH: i64 = 500;

static FAN_OUT: Sql = Sql::new(
    "INSERT INTO markback_feed_deliveries (endpoint, seq, state, round, attempts, at_ms) \
     SELECT e.id, f.seq, 'waiting', 0, 0, $3 FROM markback_feed f JOIN markback_feed_endpoints e ON e.state = 'active' \
         AND (e.school = '' OR e.school = f.school) AND (e.kinds = '' OR e.kinds LIKE '%,' || f.kind || ',%') \
     WHERE f.seq > $1 AND f.seq <= $2 ON CONFLICT (endpoint, seq) DO NOTHING RETURNING endpoint, seq, round",
);
const ANY: &str =
    "SELECT count(*) FROM (SELECT 1 FROM markback_feed_endpoints WHERE state = 'active' LIMIT 1) e";

const ADD: &str = "INSERT INTO markback_feed_endpoints (id, school, kinds, url, note, state, secret, created_ms, rounds) \
     VALUES ($1, $2, $3, $4, $5, 'active', $6, $7, 0)";
const ALL: &str = "SELECT * FROM markback_feed_endpoints ORDER BY created_ms, id";
const ONE: &str = "SELECT * FROM markback_feed_endpoints WHERE id = $1";
const REMOVE: &str = "DELETE FROM markback_feed_endpoints WHERE id = $1";
const REMOVE_DELIVERIES: &str = "DELETE FROM markback_feed_deliveries WHERE endpoint = $1";
const REMOVE_ATTEMPTS: &str = "DELETE FROM markback_feed_attempts WHERE endpoint = $1";
const SET_STATE: &str =
    "UPDATE markback_feed_endpoints SET state = $2, failing_ms = NULL, rounds = 0 WHERE id = $1";
const ROTATE: &str = "UPDATE markback_feed_endpoints SET old_secret = secret, old_until_ms = $3, secret = $2 WHERE id = $1";

const SUCCEEDED: &str = "UPDATE markback_feed_endpoints SET failing_ms = NULL, rounds = 0, success_ms = $2 WHERE id = $1";
/// The row as it is then decides whether the endpoint is dead, so it is locked from here on.
const FAILED: &str = "UPDATE markback_feed_endpoints SET failing_ms = coalesce(failing_ms, $2), rounds = rounds + $3, \
     error = $4 WHERE id = $1 AND state = 'active' RETURNING failing_ms, rounds";
const SECRETS: &str = "SELECT id, secret FROM markback_feed_endpoints \
     UNION ALL SELECT id, old_secret FROM markback_feed_endpoints WHERE old_secret IS NOT NULL AND old_until_ms > $1";
/// Only where it has not been rotated meanwhile. An old secret that no longer signs is removed.
const REPLACE_SECRET: &str = "UPDATE markback_feed_endpoints SET secret = CASE WHEN secret = $2 THEN $3 ELSE secret END, \
     old_secret = CASE WHEN old_secret = $2 THEN $3 ELSE old_secret END WHERE id = $1 AND (secret = $2 OR old_secret = $2)";
const REMOVE_OLD_SECRETS: &str = "UPDATE markback_feed_endpoints SET old_secret = NULL, old_until_ms = NULL \
     WHERE old_until_ms <= $1";
const IN_CLEAR: &str = "SELECT count(*) FROM markback_feed_endpoints WHERE secret NOT LIKE $1 OR old_secret NOT LIKE $1";
const END: &str = "UPDATE markback_feed_endpoints SET state = $2 WHERE id = $1";

const DELIVERY: &str = "UPDATE markback_feed_deliveries SET state = $3, attempts = attempts + $4, at_ms = $5 \
     WHERE endpoint = $1 AND seq = $2";
const ATTEMPT: &str = "INSERT INTO markback_feed_attempts (endpoint, seq, at_ms, took_ms, status, error) \
     VALUES ($1, $2, $3, $4, $5, $6)";

const DELIVERIES: &str = "SELECT seq, state, round, attempts, at_ms FROM markback_feed_deliveries \
     WHERE endpoint = $1 AND seq < $2 AND ($3 = '' OR state = $3) ORDER BY seq DESC LIMIT $4";
static ATTEMPTS: Sql = Sql::new(
    "SELECT a.seq, a.at_ms, a.took_ms, a.status, a.error FROM {rows $1: seq int} r \
     JOIN markback_feed_attempts a ON a.endpoint = $2 AND a.seq = r.seq ORDER BY a.at_ms",
);

const RESEND_ONE: &str = "INSERT INTO markback_feed_deliveries (endpoint, seq, state, round, attempts, at_ms) \
     SELECT $1, f.seq, 'waiting', 0, 0, $3 FROM markback_feed f WHERE f.seq = $2 \
     ON CONFLICT (endpoint, seq) DO UPDATE SET state = 'waiting', round = markback_feed_deliveries.round + 1, attempts = 0, \
         at_ms = excluded.at_ms \
     WHERE markback_feed_deliveries.state <> 'waiting' RETURNING endpoint, seq, round";
/// What failed, and what was never queued because the endpoint got nothing at that time.
const RESEND_SINCE: &str = "INSERT INTO markback_feed_deliveries (endpoint, seq, state, round, attempts, at_ms) \
     SELECT e.id, f.seq, 'waiting', 0, 0, $4 FROM markback_feed_endpoints e JOIN markback_feed f \
         ON (e.school = '' OR e.school = f.school) AND (e.kinds = '' OR e.kinds LIKE '%,' || f.kind || ',%') \
     WHERE e.id = $1 AND f.seq > $2 AND f.at_ms >= $3 AND NOT EXISTS (SELECT 1 FROM markback_feed_deliveries d \
         WHERE d.endpoint = e.id AND d.seq = f.seq AND d.state <> 'failed') \
     ORDER BY f.seq LIMIT $5 \
     ON CONFLICT (endpoint, seq) DO UPDATE SET state = 'waiting', round = markback_feed_deliveries.round + 1, attempts = 0, \
         at_ms = excluded.at_ms \
     RETURNING endpoint, seq, round";

pub(super) static OLD_ATTEMPTS: Sql = Sql::new(
    "DELETE FROM markback_feed_attempts WHERE {rowid IN (|ctid = ANY(ARRAY(}SELECT {rowid|ctid} FROM markback_feed_attempts \
     WHERE at_ms < $1 ORDER BY at_ms LIMIT $2{)|))}",
);
pub(super) static OLD_DELIVERIES: Sql = Sql::new(
    "DELETE FROM markback_feed_deliveries WHERE (endpoint, seq) IN (SELECT endpoint, seq FROM markback_feed_deliveries \
     WHERE at_ms < $1 AND state <> 'waiting' ORDER BY at_ms LIMIT $2)",
);

row! {
    struct Row {
        id: String,
        school: String,
        kinds: String,
        url: String,
        note: Option<String>,
        state: String,
        secret: String,
        old_secret: Option<String>,
        old_until_ms: Option<i64>,
        created_ms: i64,
        failing_ms: Option<i64>,
        rounds: i64,
        success_ms: Option<i64>,
        error: Option<String>,
    }
}

/// A delivery's endpoint, entry and round.
type Queued = (String, i64, i64);

/// An endpoint with the secrets that sign now, the newest first.
#[derive(Debug)]
pub(crate) struct SigningEndpoint {
    pub(crate) endpoint: Endpoint,
    pub(crate) secrets: Vec<StoredSecret>,
}

/// The end of an attempt.
#[derive(Debug)]
pub(crate) struct AttemptEnd<'a> {
    pub(crate) endpoint: &'a str,
    pub(crate) seq: i64,
    pub(crate) at: DateTime<Utc>,
    pub(crate) took: Duration,
    /// The status of the answer, if there was one.
    pub(crate) status: Option<u16>,
    /// Why it does not count as delivered.
    pub(crate) error: Option<&'a str>,
    /// Whether it is tried again.
    pub(crate) is_last: bool,
    /// The endpoint has said that it is gone for good.
    pub(crate) is_gone: bool,
    /// The endpoint was not asked, for a reason that is ours. It does not die of that.
    pub(crate) is_ours: bool,
}

/// When an endpoint counts as dead.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// After each attempt has failed for so long.
    pub(crate) length: chrono::TimeDelta,
    /// After so many deliveries in a row were given up.
    pub(crate) rounds: i64,
}

impl Store {
    /// Queues deliveries of the entries with these numbers, in the transaction that numbers them.
    pub(super) async fn fan_out(&self, tx: &mut Tx, after: i64, last: i64) -> outbox::Result<()> {
        let any: i64 = on_tx!(tx, conn => sqlx::query_scalar(ANY).fetch_one(conn).await)?;
        if any == 0 || last <= after {
            return Ok(());
        }
        let (text, now) = (FAN_OUT.on(tx.engine()), self.now_ms());
        let queued: Vec<Queued> = on_tx!(tx, conn => {
            sqlx::query_as(text).bind(after).bind(last).bind(now).fetch_all(conn).await
        })?;
        self.queue_deliveries(tx, queued).await
    }

    async fn queue_deliveries(&self, tx: &mut Tx, mut queued: Vec<Queued>) -> outbox::Result<()> {
        queued.sort_unstable_by_key(|(_, seq, _)| *seq);
        let job = |(endpoint, seq, round): &Queued| {
            let key = format!("{endpoint}/{seq}/{round}");
            let payload = json!({ "endpoint": endpoint, "seq": seq });
            NewJob::new(queues::ENDPOINTS, key, payload).partition(endpoint)
        };
        let jobs: Vec<_> = queued.iter().map(job).collect();
        self.outbox.enqueue(tx, &jobs).await.map(|_| ())
    }

    /// Adds an endpoint. Entries that are written from now on are delivered to it.
    pub(crate) async fn add_endpoint(
        &self,
        id: &str,
        new: &NewEndpoint,
        secret: &StoredSecret,
        entry: NewAuditEntry,
    ) -> outbox::Result<()> {
        // What was committed before is not for it.
        self.number_feed().await?;
        let now = self.now_ms();
        let mut tx = self.db.begin().await?;
        on_tx!(tx, conn => {
            sqlx::query(ADD)
                .bind(id)
                .bind(new.school.as_deref().unwrap_or_default())
                .bind(kinds_text(&new.kinds))
                .bind(new.url.as_str())
                .bind(new.note.as_deref())
                .bind(secret.as_text())
                .bind(now)
                .execute(conn)
                .await
                .map(|_| ())
        })?;
        self.record_in(&mut tx, &[entry]).await?;
        tx.commit().await
    }

    /// All endpoints, the oldest first.
    ///
    /// # Errors
    /// Returns an error if the database query fails.
    pub async fn endpoints(&self) -> outbox::Result<Vec<Endpoint>> {
        let rows: Vec<Row> = on_pool!(self.db, pool => sqlx::query_as(ALL).fetch_all(pool).await)?;
        rows.into_iter()
            .map(|row| Ok(read(row)?.endpoint))
            .collect()
    }

    /// An endpoint with its secrets.
    pub(crate) async fn endpoint(&self, id: &str) -> outbox::Result<Option<SigningEndpoint>> {
        let row: Option<Row> =
            on_pool!(self.db, pool => sqlx::query_as(ONE).bind(id).fetch_optional(pool).await)?;
        let Some(row) = row else { return Ok(None) };
        let mut found = read(row)?;
        let now = self.now();
        if found
            .endpoint
            .old_secret_until
            .is_none_or(|until| until <= now)
        {
            found.secrets.truncate(1);
            found.endpoint.old_secret_until = None;
        }
        Ok(Some(found))
    }

    /// The secrets that sign now, each with its endpoint.
    pub(crate) async fn endpoint_secrets(&self) -> outbox::Result<Vec<(String, StoredSecret)>> {
        let now = self.now_ms();
        let found: Vec<(String, String)> = on_pool!(self.db, pool => {
            sqlx::query_as(SECRETS).bind(now).fetch_all(pool).await
        })?;
        let found = found.into_iter();
        Ok(found
            .map(|(id, secret)| (id, StoredSecret::from(secret)))
            .collect())
    }

    /// Replaces secrets of endpoints, each given as it was and as it will be, and removes those that no longer sign. Leaves
    /// alone what was changed meanwhile. Returns the number of secrets.
    pub(crate) async fn replace_endpoint_secrets(
        &self,
        secrets: &[(String, StoredSecret, StoredSecret)],
        entry: NewAuditEntry,
    ) -> outbox::Result<usize> {
        let now = self.now_ms();
        let mut tx = self.db.begin().await?;
        let mut replaced = 0;
        on_tx!(tx, conn => {
            sqlx::query(REMOVE_OLD_SECRETS).bind(now).execute(&mut *conn).await?;
            for (id, before, after) in secrets {
                let done = sqlx::query(REPLACE_SECRET)
                    .bind(id)
                    .bind(before.as_text())
                    .bind(after.as_text())
                    .execute(&mut *conn)
                    .await?;
                replaced += usize::from(done.rows_affected() > 0);
            }
            Ok::<_, sqlx::Error>(())
        })?;
        if replaced > 0 {
            self.record_in(&mut tx, &[entry.amount(replaced)]).await?;
        }
        tx.commit().await?;
        Ok(replaced)
    }

    /// How many endpoints have a secret in the database that is not sealed.
    ///
    /// # Errors
    /// Returns an error if the database query fails.
    pub async fn endpoint_secrets_in_clear(&self) -> outbox::Result<u64> {
        let sealed = format!("{SEALED}%");
        let count: i64 = on_pool!(self.db, pool => {
            sqlx::query_scalar(IN_CLEAR).bind(&sealed).fetch_one(pool).await
        })?;
        Ok(u64::try_from(count).unwrap_or_default())
    }

    /// Removes an endpoint with its log. Returns false if there is none.
    pub(crate) async fn remove_endpoint(
        &self,
        id: &str,
        entry: NewAuditEntry,
    ) -> outbox::Result<bool> {
        let mut tx = self.db.begin().await?;
        for text in [REMOVE_ATTEMPTS, REMOVE_DELIVERIES] {
            on_tx!(tx, conn => sqlx::query(text).bind(id).execute(conn).await.map(|_| ()))?;
        }
        let removed = on_tx!(tx, conn => {
            sqlx::query(REMOVE).bind(id).execute(conn).await.map(|done| done.rows_affected())
        })?;
        self.commit_change(tx, removed, entry).await
    }

    /// Lets an endpoint get entries again, or none. Returns false if there is none.
    pub(crate) async fn set_endpoint_state(
        &self,
        id: &str,
        state: EndpointState,
        entry: NewAuditEntry,
    ) -> outbox::Result<bool> {
        let mut tx = self.db.begin().await?;
        let changed = on_tx!(tx, conn => {
            sqlx::query(SET_STATE).bind(id).bind(state.as_str()).execute(conn).await.map(|done| done.rows_affected())
        })?;
        self.commit_change(tx, changed, entry).await
    }

    /// Commits a change with its entry in the audit log. Returns false, without an entry, if no row was changed.
    async fn commit_change(
        &self,
        mut tx: Tx,
        changed: u64,
        entry: NewAuditEntry,
    ) -> outbox::Result<bool> {
        if changed > 0 {
            self.record_in(&mut tx, &[entry]).await?;
        }
        tx.commit().await?;
        Ok(changed > 0)
    }

    /// Gives an endpoint a new secret; the one before it signs too until then. Returns false if there is none.
    pub(crate) async fn rotate_endpoint(
        &self,
        id: &str,
        secret: &StoredSecret,
        old_until: DateTime<Utc>,
        entry: NewAuditEntry,
    ) -> outbox::Result<bool> {
        let until = old_until.timestamp_millis();
        let mut tx = self.db.begin().await?;
        let changed = on_tx!(tx, conn => {
            sqlx::query(ROTATE)
                .bind(id)
                .bind(secret.as_text())
                .bind(until)
                .execute(conn)
                .await
                .map(|done| done.rows_affected())
        })?;
        self.commit_change(tx, changed, entry).await
    }

    /// The entry with this number, if it is still kept.
    pub(crate) async fn feed_entry(&self, seq: i64) -> outbox::Result<Option<FeedEntry>> {
        let before = Cursor::new(seq.saturating_sub(1));
        let all = FeedFilter::default();
        match self.feed_after(Some(before), &all, 1).await? {
            FeedRead::Page(page) => Ok(page
                .entries
                .into_iter()
                .find(|entry| entry.cursor.number() == seq)),
            FeedRead::Resync => Ok(None),
        }
    }

    /// Records an attempt, and what follows from it for the delivery and its endpoint. Returns the endpoint's new state if
    /// it gets nothing any more.
    pub(crate) async fn note_attempt(
        &self,
        tx: &mut Tx,
        end: &AttemptEnd<'_>,
        patience: Patience,
    ) -> outbox::Result<Option<EndpointState>> {
        let now = self.now_ms();
        let state = match (end.error, end.is_last) {
            (None, _) => DeliveryState::Delivered,
            (Some(_), true) => DeliveryState::Failed,
            (Some(_), false) => DeliveryState::Waiting,
        };
        let took = i64::try_from(end.took.as_millis()).unwrap_or(i64::MAX);
        on_tx!(tx, conn => {
            sqlx::query(DELIVERY)
                .bind(end.endpoint)
                .bind(end.seq)
                .bind(state.as_str())
                .bind(1_i64)
                .bind(now)
                .execute(&mut *conn)
                .await?;
            sqlx::query(ATTEMPT)
                .bind(end.endpoint)
                .bind(end.seq)
                .bind(end.at.timestamp_millis())
                .bind(took)
                .bind(end.status.map(i64::from))
                .bind(end.error)
                .execute(conn)
                .await
                .map(|_| ())
        })?;
        let Some(error) = end.error else {
            on_tx!(tx, conn => {
                sqlx::query(SUCCEEDED).bind(end.endpoint).bind(now).execute(conn).await.map(|_| ())
            })?;
            return Ok(None);
        };
        let failing: Option<(i64, i64)> = on_tx!(tx, conn => {
            sqlx::query_as(FAILED)
                .bind(end.endpoint)
                .bind(now)
                .bind(i64::from(end.is_last && !end.is_gone && !end.is_ours))
                .bind(error)
                .fetch_optional(conn)
                .await
        })?;
        let Some((since, rounds)) = failing else {
            return Ok(None);
        };
        if end.is_ours {
            return Ok(None);
        }
        let is_dead = now.saturating_sub(since) >= patience.length.num_milliseconds()
            || rounds >= patience.rounds;
        let state = match (end.is_gone, is_dead) {
            (true, _) => EndpointState::Gone,
            (false, true) => EndpointState::Dead,
            (false, false) => return Ok(None),
        };
        on_tx!(tx, conn => {
            sqlx::query(END).bind(end.endpoint).bind(state.as_str()).execute(conn).await.map(|_| ())
        })?;
        let why = match state {
            EndpointState::Gone => "it answered that it is gone (410)".to_owned(),
            _ => format!("its deliveries fail: {error}"),
        };
        let id = end.endpoint;
        let text = format!(
            "the webhook endpoint {id} gets nothing any more, because {why}; once it works again, enable it and resend \
             what failed since"
        );
        let school: Option<String> = on_tx!(tx, conn => {
            sqlx::query_scalar("SELECT school FROM markback_feed_endpoints WHERE id = $1").bind(id).fetch_optional(conn).await
        })?;
        let notice = NewEntry::notice(&school.unwrap_or_default(), NoticeWhat::EndpointDead, text);
        self.publish(tx, &[notice]).await?;
        Ok(Some(state))
    }

    /// Ends a delivery without an attempt, because its endpoint gets nothing or the entry is gone.
    pub(crate) async fn give_up_delivery(
        &self,
        tx: &mut Tx,
        endpoint: &str,
        seq: i64,
    ) -> outbox::Result<()> {
        let now = self.now_ms();
        on_tx!(tx, conn => {
            sqlx::query(DELIVERY)
                .bind(endpoint)
                .bind(seq)
                .bind(DeliveryState::Failed.as_str())
                .bind(0_i64)
                .bind(now)
                .execute(conn)
                .await
                .map(|_| ())
        })?;
        Ok(())
    }

    /// Deliveries to an endpoint with their attempts, the newest entry first.
    ///
    /// # Errors
    /// Returns an error if the database query fails.
    pub async fn deliveries(
        &self,
        endpoint: &str,
        filter: &DeliveryFilter,
    ) -> outbox::Result<Vec<Delivery>> {
        type Found = (i64, String, i64, i64, i64);
        let before = filter.before.map_or(i64::MAX, Cursor::number);
        let state = filter.state.map_or("", DeliveryState::as_str);
        let found: Vec<Found> = on_pool!(self.db, pool => {
            sqlx::query_as(DELIVERIES)
                .bind(endpoint)
                .bind(before)
                .bind(state)
                .bind(i64::from(filter.limit))
                .fetch_all(pool)
                .await
        })?;
        type Tried = (i64, i64, i64, Option<i64>, Option<String>);
        let seqs: Vec<_> = found.iter().map(|(seq, ..)| (seq,)).collect();
        let (text, seqs) = (ATTEMPTS.on(self.db.engine()), rows(&seqs)?);
        let tried: Vec<Tried> = on_pool!(self.db, pool => {
            sqlx::query_as(text).bind(&seqs).bind(endpoint).fetch_all(pool).await
        })?;
        let of = |seq: i64| {
            let of_entry = tried.iter().filter(move |(of, ..)| *of == seq);
            of_entry.map(|(_, at, took, status, error)| Attempt {
                at: time(*at),
                took_ms: u64::try_from(*took).unwrap_or_default(),
                status: status.and_then(|status| u16::try_from(status).ok()),
                error: error.clone(),
            })
        };
        let delivery = |(seq, state, round, attempts, at): Found| Delivery {
            entry: Cursor::new(seq),
            state: state.parse().unwrap_or(DeliveryState::Failed),
            resent: u64::try_from(round).unwrap_or_default(),
            attempts_in_round: u64::try_from(attempts).unwrap_or_default(),
            changed_at: time(at),
            attempts: of(seq).collect(),
        };
        Ok(found.into_iter().map(delivery).collect())
    }

    /// Queues an entry for an endpoint again. Returns false if it is on its way, or not kept any more.
    pub(crate) async fn resend_one(
        &self,
        endpoint: &str,
        seq: i64,
        entry: NewAuditEntry,
    ) -> outbox::Result<bool> {
        let now = self.now_ms();
        let mut tx = self.db.begin().await?;
        let queued: Vec<Queued> = on_tx!(tx, conn => {
            sqlx::query_as(RESEND_ONE).bind(endpoint).bind(seq).bind(now).fetch_all(conn).await
        })?;
        let count = queued.len() as u64;
        self.queue_deliveries(&mut tx, queued).await?;
        self.commit_change(tx, count, entry).await
    }

    /// Queues for an endpoint what it should have got since then and did not get. Returns the number of entries.
    pub(crate) async fn resend_since(
        &self,
        endpoint: &str,
        since: DateTime<Utc>,
    ) -> outbox::Result<u64> {
        let (mut after, mut resent) = (0, 0);
        loop {
            let now = self.now_ms();
            let mut tx = self.db.begin().await?;
            let queued: Vec<Queued> = on_tx!(tx, conn => {
                sqlx::query_as(RESEND_SINCE)
                    .bind(endpoint)
                    .bind(after)
                    .bind(since.timestamp_millis())
                    .bind(now)
                    .bind(BATCH)
                    .fetch_all(conn)
                    .await
            })?;
            let Some(last) = queued.iter().map(|(_, seq, _)| *seq).max() else {
                return Ok(resent);
            };
            (after, resent) = (last, resent + queued.len() as u64);
            self.queue_deliveries(&mut tx, queued).await?;
            tx.commit().await?;
        }
    }

    /// Removes deliveries and attempts from before that time.
    pub(crate) async fn prune_deliveries(&self, before: DateTime<Utc>) -> outbox::Result<u64> {
        let before = before.timestamp_millis();
        let attempts = self.remove(&OLD_ATTEMPTS, before).await?;
        Ok(attempts + self.remove(&OLD_DELIVERIES, before).await?)
    }
}

fn time(ms: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(ms).unwrap_or_default()
}

/// Kinds as the database compares them.
fn kinds_text(kinds: &[FeedKind]) -> String {
    let words: Vec<_> = kinds.iter().map(|kind| kind.as_str()).collect();
    match words.is_empty() {
        true => String::new(),
        false => format!(",{},", words.join(",")),
    }
}

fn read(row: Row) -> outbox::Result<SigningEndpoint> {
    let unreadable = || {
        outbox::Error::invalid(
            "an endpoint in the store cannot be read; was it written by another version?",
        )
    };
    let kinds = row.kinds.split(',').filter(|word| !word.is_empty());
    let secrets = [Some(row.secret), row.old_secret].into_iter().flatten();
    Ok(SigningEndpoint {
        secrets: secrets.map(StoredSecret::from).collect(),
        endpoint: Endpoint {
            id: row.id,
            school: Some(row.school).filter(|school| !school.is_empty()),
            kinds: kinds
                .map(|word| word.parse().map_err(|_| unreadable()))
                .collect::<outbox::Result<_>>()?,
            url: row.url.parse().map_err(|_| unreadable())?,
            note: row.note,
            state: row.state.parse().map_err(|_| unreadable())?,
            created_at: time(row.created_ms),
            failing_since: row.failing_ms.map(time),
            given_up: u64::try_from(row.rounds).unwrap_or_default(),
            last_success: row.success_ms.map(time),
            last_error: row.error,
            old_secret_until: row.old_until_ms.map(time),
        },
    })
}

/// For callers that need the payload of a job.
#[derive(Debug, serde::Deserialize)]
pub(crate) struct DeliveryJob {
    pub(crate) endpoint: String,
    pub(crate) seq: i64,
}
