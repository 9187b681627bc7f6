//! Versions that are to rule from a day on.

use chrono::{DateTime, NaiveDate, Utc};
use outbox::{Tx, on_pool, on_tx};

use super::{
    SettingsKey, number,
    read::{key, unreadable},
};
use crate::{
    feed::NoticeWhat,
    operator::Actor,
    store::{NewEntry, Store, row::row},
};

/// A version that is to rule from a day on.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoredSchedule {
    /// Whose.
    pub key: SettingsKey,
    /// The version.
    pub number: u32,
    /// The day, at the school.
    pub day: NaiveDate,
    /// When that day begins.
    pub from: DateTime<Utc>,
    /// Who decided that, if known.
    pub by: Option<String>,
    /// Why, in their words.
    pub note: Option<String>,
    /// When they did.
    pub at: Option<DateTime<Utc>>,
    /// Why it did not begin to rule although the day has begun.
    pub problem: Option<String>,
}

row! {
    struct Row {
        scope: String,
        name: String,
        number: i64,
        day: String,
        from_ms: i64,
        author: Option<String>,
        note: Option<String>,
        at_ms: i64,
        problem: Option<String>,
    }
}

/// Holds the lock of the generation without raising it: nothing begins to rule before the end of the transaction.
const HOLD: &str = "UPDATE markback_settings_generation SET generation = generation WHERE one = 1";

const ALL: &str = "SELECT scope, name, number, day, from_ms, author, note, at_ms, problem \
     FROM markback_settings_scheduled ORDER BY from_ms, scope, name";

const ONE: &str = "SELECT scope, name, number, day, from_ms, author, note, at_ms, problem \
     FROM markback_settings_scheduled WHERE scope = $1 AND name = $2";

const DUE: &str = "SELECT scope, name, number, day, from_ms, author, note, at_ms, problem \
     FROM markback_settings_scheduled \
     WHERE from_ms <= $1 AND (tried_generation IS NULL OR tried_generation < $2) ORDER BY from_ms, scope, name";

const SET: &str = "INSERT INTO markback_settings_scheduled (scope, name, number, day, from_ms, author, via, note, at_ms) \
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) \
     ON CONFLICT (scope, name) DO UPDATE SET number = excluded.number, day = excluded.day, from_ms = excluded.from_ms, \
         author = excluded.author, via = excluded.via, note = excluded.note, at_ms = excluded.at_ms, \
         problem = NULL, tried_generation = NULL";

const END: &str = "DELETE FROM markback_settings_scheduled WHERE scope = $1 AND name = $2";

const TRIED: &str = "UPDATE markback_settings_scheduled SET tried_generation = $4 \
     WHERE scope = $1 AND name = $2 AND number = $3";

const TOLD: &str = "UPDATE markback_settings_scheduled SET problem = $4 \
     WHERE scope = $1 AND name = $2 AND number = $3 AND (problem IS NULL OR problem <> $4)";

const AGAIN: &str = "UPDATE markback_settings_scheduled SET tried_generation = NULL WHERE tried_generation IS NOT NULL";

impl Store {
    /// Keeps everything from beginning to rule until the end of the transaction.
    pub(crate) async fn hold_settings_generation(&self, tx: &mut Tx) -> outbox::Result<()> {
        on_tx!(tx, conn => sqlx::query(HOLD).execute(conn).await.map(|_| ()))?;
        Ok(())
    }

    /// The version of a school that is to rule from a day on.
    ///
    /// # Errors
    /// Returns an error if the database query fails.
    pub async fn settings_schedule(
        &self,
        key: &SettingsKey,
    ) -> outbox::Result<Option<StoredSchedule>> {
        let row: Option<Row> = on_pool!(self.db, pool => {
            sqlx::query_as(ONE)
                .bind(<&str>::from(key.scope))
                .bind(&key.name)
                .fetch_optional(pool)
                .await
        })?;
        row.map(schedule).transpose()
    }

    /// All versions that are to rule from a day on, by that day.
    ///
    /// # Errors
    /// Returns an error if the database query fails.
    pub async fn settings_schedules(&self) -> outbox::Result<Vec<StoredSchedule>> {
        let rows: Vec<Row> = on_pool!(self.db, pool => sqlx::query_as(ALL).fetch_all(pool).await)?;
        rows.into_iter().map(schedule).collect()
    }

    /// The same within a transaction.
    pub(crate) async fn settings_schedules_in(
        &self,
        tx: &mut Tx,
    ) -> outbox::Result<Vec<StoredSchedule>> {
        let rows: Vec<Row> = on_tx!(tx, conn => sqlx::query_as(ALL).fetch_all(conn).await)?;
        rows.into_iter().map(schedule).collect()
    }

    /// The versions whose day has begun, without those that had problems in this generation already.
    pub(crate) async fn settings_due(
        &self,
        generation: i64,
    ) -> outbox::Result<Vec<StoredSchedule>> {
        let now = self.now_ms();
        let rows: Vec<Row> = on_pool!(self.db, pool => {
            sqlx::query_as(DUE).bind(now).bind(generation).fetch_all(pool).await
        })?;
        rows.into_iter().map(schedule).collect()
    }

    /// Schedules a version, in place of one that waits.
    pub(crate) async fn schedule_settings(
        &self,
        tx: &mut Tx,
        key: &SettingsKey,
        version: u32,
        (day, from): (NaiveDate, DateTime<Utc>),
        actor: &Actor,
    ) -> outbox::Result<()> {
        let (by, note, now) = (actor.by_in_short(), actor.note_in_short(), self.now_ms());
        on_tx!(tx, conn => {
            sqlx::query(SET)
                .bind(<&str>::from(key.scope))
                .bind(&key.name)
                .bind(i64::from(version))
                .bind(day.to_string())
                .bind(from.timestamp_millis())
                .bind(&by)
                .bind(actor.via)
                .bind(&note)
                .bind(now)
                .execute(conn)
                .await
                .map(|_| ())
        })?;
        Ok(())
    }

    /// Removes the schedule of a school.
    pub(crate) async fn end_settings_schedule(
        &self,
        tx: &mut Tx,
        key: &SettingsKey,
    ) -> outbox::Result<()> {
        on_tx!(tx, conn => {
            sqlx::query(END)
                .bind(<&str>::from(key.scope))
                .bind(&key.name)
                .execute(conn)
                .await
                .map(|_| ())
        })?;
        Ok(())
    }

    /// Notes why a version could not begin to rule in this generation. Returns whether that is news.
    pub(crate) async fn settings_not_begun(
        &self,
        one: &StoredSchedule,
        problem: &str,
        generation: i64,
    ) -> outbox::Result<bool> {
        let mut tx = self.db.begin().await?;
        let (scope, name) = (<&str>::from(one.key.scope), &one.key.name);
        let version = i64::from(one.number);
        let told = on_tx!(tx, conn => {
            sqlx::query(TRIED)
                .bind(scope)
                .bind(name)
                .bind(version)
                .bind(generation)
                .execute(&mut *conn)
                .await?;
            sqlx::query(TOLD)
                .bind(scope)
                .bind(name)
                .bind(version)
                .bind(problem)
                .execute(conn)
                .await
                .map(|done| done.rows_affected())
        })?;
        if told > 0 {
            let text = format!(
                "version {} of the settings of the school was to rule from {} and does not: it has problems",
                one.number, one.day
            );
            let what = NoticeWhat::SettingsNotActivated;
            self.publish(&mut tx, &[NewEntry::notice(name, what, text)])
                .await?;
        }
        tx.commit().await?;
        Ok(told > 0)
    }

    /// Lets versions that could not be activated be tried again, because the settings file may have changed.
    pub(crate) async fn try_schedules_again(&self) -> outbox::Result<()> {
        let mut tx = self.db.begin().await?;
        on_tx!(tx, conn => sqlx::query(AGAIN).execute(conn).await.map(|_| ()))?;
        tx.commit().await
    }
}

fn schedule(row: Row) -> outbox::Result<StoredSchedule> {
    Ok(StoredSchedule {
        key: key(&row.scope, row.name)?,
        number: number(row.number),
        day: row.day.parse().map_err(|_| unreadable())?,
        from: DateTime::from_timestamp_millis(row.from_ms).ok_or_else(unreadable)?,
        by: row.author,
        note: row.note,
        at: DateTime::from_timestamp_millis(row.at_ms),
        problem: row.problem,
    })
}
