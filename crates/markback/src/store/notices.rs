//! Wonde's notices about schools for the operator, and the school of each writeback.

use chrono::{DateTime, Utc};
use mis_core::SchoolId;
use outbox::{Sql, Tx, on_pool, on_tx};
use serde::{Deserialize, Serialize};
use strum::{EnumString, IntoStaticStr};

use super::Store;
use crate::pipeline::jobs;
use crate::store::{NewEntry, row::row};

/// The kind of a notice.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    EnumString,
    IntoStaticStr,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
#[non_exhaustive]
pub enum NoticeKind {
    /// A school approved the application.
    Approved,
    /// A school revoked its approval.
    Revoked,
    /// A school declined.
    Declined,
    /// A school changes its MIS.
    Migration,
}

/// A notice about a school. Holds nothing personal and no secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Notice {
    /// The school.
    pub school: String,
    /// Its kind.
    pub kind: NoticeKind,
    /// Distinguishes notices of a kind: `SIMS to Arbor`. Usually empty.
    pub subject: String,
    /// The text, with what to do.
    pub words: String,
    /// The matter is closed: later notices about it are stale.
    pub done: bool,
    /// When it was first received.
    pub first_at: DateTime<Utc>,
    /// When it was last received.
    pub last_at: DateTime<Utc>,
}

row! {
    struct Row {
        school: String,
        kind: String,
        subject: String,
        words: String,
        done: i64,
        first_ms: i64,
        last_ms: i64,
    }
}

/// A closed matter stays closed: an announcement received after the completion changes nothing.
const NOTE: &str = "INSERT INTO markback_notices (school, kind, subject, words, done, first_ms, last_ms) \
     VALUES ($1, $2, $3, $4, $5, $6, $6) \
     ON CONFLICT (school, kind, subject) DO UPDATE SET words = excluded.words, done = excluded.done, \
         last_ms = excluded.last_ms \
     WHERE excluded.done >= markback_notices.done";

const ALL: &str = "SELECT * FROM markback_notices ORDER BY last_ms DESC, school, kind, subject";

static FOLLOW: Sql = Sql::new(
    "INSERT INTO markback_writebacks (writeback, school, job, at_ms) \
     SELECT r.writeback, r.school, r.job, $2 FROM {rows $1: writeback text, school text, job text} r WHERE true \
     ON CONFLICT (writeback, school) DO UPDATE SET job = excluded.job",
);

const FOLLOWERS: &str = "SELECT school, job FROM markback_writebacks WHERE writeback = $1";

impl Store {
    /// Stores a notice. A repeated one only updates its time. Returns false for a stale one.
    ///
    /// # Errors
    /// Returns an error if the database query fails.
    pub async fn note(
        &self,
        school: &SchoolId,
        kind: NoticeKind,
        subject: &str,
        words: &str,
        done: bool,
    ) -> outbox::Result<bool> {
        let now = self.now_ms();
        let mut tx = self.db.begin().await?;
        let noted: u64 = on_tx!(tx, conn => {
            sqlx::query(NOTE)
                .bind(school.as_str())
                .bind(<&str>::from(kind))
                .bind(subject)
                .bind(words)
                .bind(i64::from(done))
                .bind(now)
                .execute(conn)
                .await
                .map(|noted| noted.rows_affected())
        })?;
        if noted > 0 {
            let entry = NewEntry::notice(school.as_str(), kind.into(), words);
            self.publish(&mut tx, &[entry]).await?;
        }
        tx.commit().await?;
        Ok(noted > 0)
    }

    /// All notices, latest first.
    ///
    /// # Errors
    /// Returns an error if the database query fails.
    pub async fn notices(&self) -> outbox::Result<Vec<Notice>> {
        let found: Vec<Row> = on_pool!(self.db, pool => sqlx::query_as(ALL).fetch_all(pool).await)?;
        Ok(found.into_iter().filter_map(read).collect())
    }

    /// Records which job follows each of these writebacks from now on, and so its school.
    pub(crate) async fn follow_writebacks(
        &self,
        tx: &mut Tx,
        followed: &[Followed],
    ) -> outbox::Result<()> {
        let table: Vec<_> = followed
            .iter()
            .map(|one| (&one.writeback, &one.school, &one.job))
            .collect();
        self.write_rows(tx, &FOLLOW, &table).await
    }

    /// The schools that this writeback id belongs to (usually one or none), each with the key of the job that follows
    /// it, if recorded.
    pub(crate) async fn followers(
        &self,
        writeback: &str,
    ) -> outbox::Result<Vec<(String, Option<String>)>> {
        Ok(
            on_pool!(self.db, pool => sqlx::query_as(FOLLOWERS).bind(writeback).fetch_all(pool).await)?,
        )
    }

    /// The keys of the jobs that follow a writeback now. `school` names its school in case our own record is not
    /// written yet.
    ///
    /// # Errors
    /// Returns an error if the database query fails.
    pub async fn jobs_of_writeback(
        &self,
        writeback: &str,
        school: Option<String>,
    ) -> outbox::Result<Vec<String>> {
        let mut followers = self.followers(writeback).await?;
        let unknown = |school: &String| followers.iter().all(|(known, _)| known != school);
        followers.extend(school.filter(unknown).map(|school| (school, None)));
        Ok(followers
            .into_iter()
            .map(|(school, job)| job.unwrap_or_else(|| jobs::key(&school, writeback)))
            .collect())
    }
}

/// A writeback with the job that follows it.
#[derive(Clone)]
pub(crate) struct Followed {
    pub(crate) writeback: String,
    pub(crate) school: String,
    /// The job's key.
    pub(crate) job: String,
}

fn read(row: Row) -> Option<Notice> {
    Some(Notice {
        kind: row.kind.parse().ok()?,
        school: row.school,
        subject: row.subject,
        words: row.words,
        done: row.done != 0,
        first_at: DateTime::from_timestamp_millis(row.first_ms)?,
        last_at: DateTime::from_timestamp_millis(row.last_ms)?,
    })
}
