//! Syncs: requested, running and finished.

use chrono::{DateTime, Utc};
use mis_core::SchoolId;
use outbox::{Tx, on_pool, on_tx};
use roster::{Pull, RosterState};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use strum::{EnumString, IntoStaticStr};

use super::{corrupt, kind_of, kind_word};
use crate::feed::FeedKind;
use crate::store::row::row;
use crate::store::{NewEntry, Store};

/// Why a school is synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, IntoStaticStr)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum SyncWhy {
    /// Its people have never been read.
    First,
    /// The daily full sync.
    Nightly,
    /// A sync of changes in between.
    Small,
    /// Somebody requested it.
    Asked,
}

/// The state of a sync.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Hash,
    Serialize,
    Deserialize,
    JsonSchema,
    EnumString,
    IntoStaticStr,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum SyncState {
    /// It has not begun.
    Waiting,
    /// It is reading, or was interrupted.
    Running,
    /// It succeeded.
    Done,
    /// It succeeded, but holds changes back until a person has checked them.
    Held,
    /// It failed, and nothing has changed.
    Failed,
}

impl SyncState {
    /// Whether the sync has ended.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Done | Self::Held | Self::Failed)
    }

    /// The name in records and JSON.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// A sync to run.
#[derive(Clone, Debug)]
pub(crate) struct NewSync<'a> {
    pub(crate) school: &'a SchoolId,
    pub(crate) id: &'a str,
    pub(crate) why: SyncWhy,
    pub(crate) full: bool,
}

/// The end of a sync.
#[derive(Debug)]
pub(crate) struct SyncEnd<'a> {
    pub(crate) state: SyncState,
    /// Whether everything was read, if anything was.
    pub(crate) full: Option<bool>,
    pub(crate) report: Option<&'a Value>,
    pub(crate) error: Option<&'a str>,
}

fn extent(full: bool) -> &'static str {
    if full { "full" } else { "changes" }
}

/// The record of a sync.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct SyncRecord {
    /// Its id, unique within the school.
    pub id: String,
    /// The school.
    pub school: String,
    /// Why it runs: `first`, `nightly`, `small` or `asked`.
    pub why: String,
    /// What was read: all people (`full`), or only the `changes`.
    pub extent: String,
    /// Its state.
    pub state: SyncState,
    /// When it was requested.
    pub asked_at: Option<DateTime<Utc>>,
    /// When it began.
    pub began_at: Option<DateTime<Utc>>,
    /// When it ended.
    pub ended_at: Option<DateTime<Utc>>,
    /// How long it took, in milliseconds.
    pub took_ms: Option<i64>,
    /// Its report, in the form of [`SyncSummary`](crate::forms::SyncSummary).
    #[schemars(with = "Option<crate::forms::SyncSummary>")]
    pub report: Option<Value>,
    /// Its error.
    pub error: Option<String>,
}

row! {
    struct Row {
        school: String,
        id: String,
        why: String,
        extent: String,
        state: String,
        asked_ms: i64,
        began_ms: Option<i64>,
        ended_ms: Option<i64>,
        report: Option<String>,
        error: Option<String>,
    }
}

const NEW: &str = "INSERT INTO markback_roster_syncs (school, id, why, extent, state, asked_ms) \
     VALUES ($1, $2, $3, $4, 'waiting', $5) ON CONFLICT (school, id) DO NOTHING";
const BEGIN: &str = "UPDATE markback_roster_syncs SET state = 'running', began_ms = coalesce(began_ms, $3) \
     WHERE school = $1 AND id = $2";
const TROUBLE: &str = "UPDATE markback_roster_syncs SET error = $3 WHERE school = $1 AND id = $2";
const END: &str = "UPDATE markback_roster_syncs SET state = $3, ended_ms = $4, report = $5, error = $6, \
     extent = coalesce($7, extent) \
     WHERE school = $1 AND id = $2";
const SUPERSEDED: &str =
    "DELETE FROM markback_roster_syncs WHERE school = $1 AND id = $2 AND state = 'waiting'";
const OVERTAKEN: &str = "UPDATE markback_roster_syncs SET state = 'failed', ended_ms = $3, \
     error = coalesce(error || '; ', '') || 'a newer one took its place' \
     WHERE school = $1 AND id = $2 AND state = 'running'";
const ONE: &str = "SELECT * FROM markback_roster_syncs WHERE school = $1 AND id = $2";
pub(in crate::store) const LAST_OF_SCHOOL: &str = "SELECT * FROM markback_roster_syncs WHERE school = $1 ORDER BY asked_ms DESC, id DESC LIMIT $2";
const TIMES: &str = "SELECT school, synced_ms, full_ms FROM markback_roster_schools";

const PART: &str = "INSERT INTO markback_roster_pulls (school, part, body) VALUES ($1, $2, $3) \
     ON CONFLICT (school, part) DO UPDATE SET body = excluded.body";
const PARTS: &str = "SELECT part, body FROM markback_roster_pulls WHERE school = $1";
const DROP_PARTS: &str = "DELETE FROM markback_roster_pulls WHERE school = $1";

const HEAD: &str = "head";

/// When a school was last synced, at all and in full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SyncTimes {
    pub(crate) synced: Option<DateTime<Utc>>,
    pub(crate) full: Option<DateTime<Utc>>,
}

impl Store {
    /// Records a requested sync.
    pub(crate) async fn note_sync(&self, tx: &mut Tx, new: &NewSync<'_>) -> outbox::Result<()> {
        let now = self.now_ms();
        on_tx!(tx, conn => {
            sqlx::query(NEW)
                .bind(new.school.as_str())
                .bind(new.id)
                .bind(<&str>::from(new.why))
                .bind(extent(new.full))
                .bind(now)
                .execute(conn)
                .await
                .map(|_| ())
        })?;
        Ok(())
    }

    /// Removes a sync that was superseded before it began, and ends one that had begun.
    pub(crate) async fn drop_sync(
        &self,
        tx: &mut Tx,
        school: &str,
        id: &str,
    ) -> outbox::Result<()> {
        let now = self.now_ms();
        on_tx!(tx, conn => sqlx::query(SUPERSEDED).bind(school).bind(id).execute(conn).await.map(|_| ()))?;
        let overtaken = on_tx!(tx, conn => {
            sqlx::query(OVERTAKEN).bind(school).bind(id).bind(now).execute(conn).await.map(|done| done.rows_affected())
        })?;
        if overtaken > 0 {
            let why = "a newer one took its place";
            self.publish(tx, &[told(school, id, SyncState::Failed, Some(why))])
                .await?;
        }
        Ok(())
    }

    /// Records that a sync has begun.
    pub(crate) async fn begin_sync(&self, school: &SchoolId, id: &str) -> outbox::Result<()> {
        let now = self.now_ms();
        let mut tx = self.db.begin().await?;
        on_tx!(tx, conn => {
            sqlx::query(BEGIN).bind(school.as_str()).bind(id).bind(now).execute(conn).await.map(|_| ())
        })?;
        tx.commit().await
    }

    /// Records the error of a sync.
    pub(crate) async fn trouble_sync(
        &self,
        tx: &mut Tx,
        school: &str,
        id: &str,
        why: &str,
    ) -> outbox::Result<()> {
        on_tx!(tx, conn => sqlx::query(TROUBLE).bind(school).bind(id).bind(why).execute(conn).await.map(|_| ()))?;
        Ok(())
    }

    /// Records the end of a sync.
    pub(crate) async fn end_sync(
        &self,
        tx: &mut Tx,
        school: &str,
        id: &str,
        end: &SyncEnd<'_>,
    ) -> outbox::Result<()> {
        let (now, report) = (self.now_ms(), end.report.map(Value::to_string));
        on_tx!(tx, conn => {
            sqlx::query(END)
                .bind(school)
                .bind(id)
                .bind(end.state.as_str())
                .bind(now)
                .bind(report)
                .bind(end.error)
                .bind(end.full.map(extent))
                .execute(conn)
                .await
                .map(|_| ())
        })?;
        self.publish(tx, &[told(school, id, end.state, end.error)])
            .await
    }

    /// One sync of a school.
    ///
    /// # Errors
    /// Returns an error if the database query fails.
    pub async fn sync(&self, school: &SchoolId, id: &str) -> outbox::Result<Option<SyncRecord>> {
        let row: Option<Row> = on_pool!(self.db, pool => {
            sqlx::query_as(ONE).bind(school.as_str()).bind(id).fetch_optional(pool).await
        })?;
        Ok(row.map(record))
    }

    /// The last syncs of a school, latest first.
    ///
    /// # Errors
    /// Returns an error if the database query fails.
    pub async fn syncs(&self, school: &SchoolId, limit: u32) -> outbox::Result<Vec<SyncRecord>> {
        let rows: Vec<Row> = on_pool!(self.db, pool => {
            sqlx::query_as(LAST_OF_SCHOOL).bind(school.as_str()).bind(i64::from(limit)).fetch_all(pool).await
        })?;
        Ok(rows.into_iter().map(record).collect())
    }

    /// When each school was last synced.
    pub(crate) async fn sync_times(&self) -> outbox::Result<Vec<(SchoolId, SyncTimes)>> {
        let found: Vec<(String, i64, Option<i64>)> =
            on_pool!(self.db, pool => sqlx::query_as(TIMES).fetch_all(pool).await)?;
        let time = DateTime::from_timestamp_millis;
        Ok(found
            .into_iter()
            .map(|(school, synced, full)| {
                (
                    SchoolId::from(school),
                    SyncTimes {
                        synced: time(synced),
                        full: full.and_then(time),
                    },
                )
            })
            .collect())
    }

    /// Stores a pull in progress: its head and the answers that are not stored yet.
    pub(crate) async fn keep_pull(
        &self,
        school: &SchoolId,
        pull: &Pull,
        kept: &[roster::PersonKind],
    ) -> outbox::Result<()> {
        let mut parts = vec![(
            HEAD,
            serde_json::to_string(&pull.head()).map_err(corrupt("a pull"))?,
        )];
        for (kind, answer) in pull
            .answers()
            .iter()
            .filter(|(kind, _)| !kept.contains(kind))
        {
            parts.push((
                kind_word(*kind),
                serde_json::to_string(answer).map_err(corrupt("a pull"))?,
            ));
        }
        let mut tx = self.db.begin().await?;
        for (part, body) in &parts {
            on_tx!(tx, conn => {
                sqlx::query(PART).bind(school.as_str()).bind(part).bind(body).execute(conn).await.map(|_| ())
            })?;
        }
        tx.commit().await
    }

    /// The interrupted pull. One that cannot be read starts again.
    pub(crate) async fn stored_pull(&self, school: &SchoolId) -> outbox::Result<Option<Pull>> {
        let parts: Vec<(String, String)> = on_pool!(self.db, pool => sqlx::query_as(PARTS).bind(school.as_str()).fetch_all(pool).await)?;
        let head = parts.iter().find(|(part, _)| part == HEAD);
        let Some(mut pull) = head.and_then(|(_, body)| serde_json::from_str::<Pull>(body).ok())
        else {
            return Ok(None);
        };
        for (part, body) in &parts {
            if let (Some(kind), Ok(answer)) = (kind_of(part), serde_json::from_str(body)) {
                pull.put_back(kind, answer);
            }
        }
        Ok(Some(pull))
    }

    /// Removes a finished pull.
    pub(crate) async fn drop_pull(&self, tx: &mut Tx, school: &SchoolId) -> outbox::Result<()> {
        on_tx!(tx, conn => sqlx::query(DROP_PARTS).bind(school.as_str()).execute(conn).await.map(|_| ()))?;
        Ok(())
    }

    /// The present state; a new one before the first sync.
    pub(crate) async fn roster_or_new(&self, school: &SchoolId) -> outbox::Result<RosterState> {
        Ok(self.roster(school).await?.unwrap_or_default())
    }
}

/// The feed's entry about the end of a sync.
fn told(school: &str, id: &str, state: SyncState, error: Option<&str>) -> NewEntry {
    NewEntry {
        school: school.to_owned(),
        kind: FeedKind::Sync,
        body: json!({ "id": id, "state": state, "error": error }),
    }
}

fn record(row: Row) -> SyncRecord {
    let time = |ms: Option<i64>| ms.and_then(DateTime::from_timestamp_millis);
    SyncRecord {
        id: row.id,
        school: row.school,
        why: row.why,
        extent: row.extent,
        state: row.state.parse().unwrap_or(SyncState::Failed),
        asked_at: time(Some(row.asked_ms)),
        began_at: time(row.began_ms),
        ended_at: time(row.ended_ms),
        took_ms: row
            .began_ms
            .zip(row.ended_ms)
            .map(|(began, ended)| ended - began),
        report: row.report.and_then(|text| serde_json::from_str(&text).ok()),
        error: row.error,
    }
}
