//! The mirrored registers, and how far they have been read.
//!
//! Two nodes may read the same school at once: the later version of a row stays, and every write first locks the
//! school's state and checks that the rows are of the MIS that the state names.

use std::collections::HashMap;

use chrono::{DateTime, NaiveDate, Utc};
use mis_core::{AttendanceCodeId, AttendanceId, RegisterRow, SchoolId, Slot, StudentId};
use outbox::{Sql, Tx, on_pool, on_tx};

use super::{Store, rows};
use crate::store::row::row;

/// How far a school's registers have been read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegisterReading {
    /// The adapter's id.
    pub source: String,
    /// All changes up to this time are known. `None` until everything has been read once.
    pub read_at: Option<DateTime<Utc>>,
    /// When the last completed full reading began.
    pub full_at: Option<DateTime<Utc>>,
    /// The full reading in progress.
    pub under_way: Option<FullReading>,
    /// The error of its last try.
    pub trouble: Option<String>,
}

/// A full reading in progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FullReading {
    /// Its number among the school's full readings.
    pub generation: i64,
    /// When it began.
    pub began_at: DateTime<Utc>,
    /// Changes before this have been read.
    pub upto: DateTime<Utc>,
}

/// What happens to earlier rows when a full reading begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Before {
    /// They stay valid until the reading ends.
    Known,
    /// They stay, but may miss changes, so they are not used until the reading ends.
    Doubtful,
    /// They belong to another MIS and are erased.
    Foreign,
}

/// How stored rows advance the reading.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    /// The full reading that they belong to; `None` for a reading of changes.
    pub(crate) generation: Option<i64>,
    /// The number of rows read, stored or not.
    pub(crate) seen: i64,
    /// All changes up to this time have been read.
    pub(crate) upto: Option<DateTime<Utc>>,
    /// All changes up to this time are known. `None` until everything has been read once.
    pub(crate) read_at: Option<DateTime<Utc>>,
    /// The full reading has ended: rows that it did not see were removed.
    pub(crate) ended: bool,
}

row! {
    struct ReadingRow {
        school: String,
        source: String,
        generation: i64,
        read_ms: Option<i64>,
        full_ms: Option<i64>,
        began_ms: Option<i64>,
        upto_ms: Option<i64>,
        trouble: Option<String>,
    }
}

row! {
    struct MarkRow {
        id: Option<String>,
        slot: String,
        student: String,
        day: Option<String>,
        code: Option<String>,
        comment: Option<String>,
        minutes_late: Option<i64>,
        changed_ms: Option<i64>,
    }
}

macro_rules! readings {
    ($of:literal) => {
        concat!(
            "SELECT school, source, generation, read_ms, full_ms, began_ms, upto_ms, trouble FROM markback_register_readings",
            $of
        )
    };
}

pub(super) const READING: &str = readings!(" WHERE school = $1");
const READINGS: &str = readings!("");
const UNTIMED: &str = "SELECT count(*) FROM (SELECT 1 AS one FROM markback_register WHERE school = $1 AND changed_ms IS NULL LIMIT 1) t";
static ROWS: Sql = Sql::new(
    "SELECT m.id, m.slot, m.student, m.day, m.code, m.comment, m.minutes_late, m.changed_ms \
     FROM {rows $1: slot text} r JOIN markback_register m ON m.school = $2 AND m.slot = r.slot",
);

const BEGIN: &str = "INSERT INTO markback_register_readings (school, source, generation, began_ms, from_ms, upto_ms, touched_ms) \
     VALUES ($1, $2, 1, $3, $4, $4, $3) \
     ON CONFLICT (school) DO UPDATE SET \
         source = excluded.source, generation = markback_register_readings.generation + 1, \
         read_ms = CASE WHEN $5 = 1 THEN markback_register_readings.read_ms END, \
         full_ms = CASE WHEN $5 = 1 THEN markback_register_readings.full_ms END, \
         began_ms = excluded.began_ms, from_ms = excluded.from_ms, upto_ms = excluded.upto_ms, seen = 0, trouble = NULL, \
         touched_ms = excluded.touched_ms \
     RETURNING generation";
const ERASE: &str = "DELETE FROM markback_register WHERE school = $1 AND generation < $2";
const TROUBLE: &str = "UPDATE markback_register_readings SET trouble = $2 WHERE school = $1";

/// Returns no row if the state has changed meanwhile.
const PROGRESS: &str = "UPDATE markback_register_readings SET touched_ms = $3, seen = seen + $4, \
         upto_ms = coalesce($5, upto_ms), read_ms = coalesce($6, read_ms), \
         full_ms = CASE WHEN $7 = 1 THEN began_ms ELSE full_ms END, \
         began_ms = CASE WHEN $7 = 1 THEN NULL ELSE began_ms END, \
         trouble = CASE WHEN $8 IS NULL THEN trouble END \
     WHERE school = $1 AND source = $2 \
       AND ($8 IS NULL AND read_ms IS NOT NULL OR generation = $8 AND began_ms IS NOT NULL) \
     RETURNING generation, from_ms, seen";

static KEEP: Sql = Sql::new(
    "INSERT INTO markback_register (school, slot, student, row_key, id, day, code, comment, minutes_late, changed_ms, generation, written_ms) \
     SELECT $2, r.slot, r.student, r.row_key, r.id, r.day, r.code, r.comment, r.minutes_late, r.changed_ms, $3, $4 \
     FROM {rows $1: slot text, student text, row_key text, id text, day text, code text, comment text, minutes_late int, changed_ms int} r WHERE true \
     ON CONFLICT (school, slot, student, row_key) DO UPDATE SET day = excluded.day, code = excluded.code, comment = excluded.comment, \
         minutes_late = excluded.minutes_late, changed_ms = excluded.changed_ms, generation = excluded.generation, \
         written_ms = excluded.written_ms \
     WHERE markback_register.changed_ms IS NULL OR excluded.changed_ms IS NULL \
        OR excluded.changed_ms >= markback_register.changed_ms",
);
/// A row that was older than the stored version was still seen.
static SEEN: Sql = Sql::new(
    "UPDATE markback_register SET generation = $3, written_ms = $4 \
     FROM {rows $1: slot text, student text, row_key text, id text, day text, code text, comment text, minutes_late int, changed_ms int} r \
     WHERE markback_register.school = $2 AND markback_register.slot = r.slot AND markback_register.student = r.student \
       AND markback_register.row_key = r.row_key \
       AND markback_register.generation < $3",
);
/// Rows that a full reading should have seen and did not. It cannot have seen rows that changed before its start time,
/// and rows without a time of change are uncertain.
const SWEEP: &str =
    "DELETE FROM markback_register WHERE school = $1 AND generation < $2 AND changed_ms >= $3";

const DROP_ROWS: &str = "DELETE FROM markback_register WHERE school = $1";
const DROP_READING: &str = "DELETE FROM markback_register_readings WHERE school = $1";
const IDLE: &str = "SELECT school FROM markback_register_readings WHERE touched_ms < $1";

impl ReadingRow {
    fn reading(self) -> (SchoolId, RegisterReading) {
        let time = |ms: Option<i64>| ms.and_then(DateTime::from_timestamp_millis);
        let under_way = time(self.began_ms).zip(time(self.upto_ms));
        let reading = RegisterReading {
            source: self.source,
            read_at: time(self.read_ms),
            full_at: time(self.full_ms),
            under_way: under_way.map(|(began_at, upto)| FullReading {
                generation: self.generation,
                began_at,
                upto,
            }),
            trouble: self.trouble,
        };
        (SchoolId::from(self.school), reading)
    }
}

impl Store {
    /// How far a school's registers have been read.
    ///
    /// # Errors
    /// Returns an error if the database query fails.
    pub async fn register_reading(
        &self,
        school: &SchoolId,
    ) -> outbox::Result<Option<RegisterReading>> {
        let found: Option<ReadingRow> = on_pool!(self.db, pool => {
            sqlx::query_as(READING).bind(school.as_str()).fetch_optional(pool).await
        })?;
        Ok(found.map(|row| row.reading().1))
    }

    /// The same for all schools.
    pub(crate) async fn register_readings(
        &self,
    ) -> outbox::Result<HashMap<SchoolId, RegisterReading>> {
        let found: Vec<ReadingRow> =
            on_pool!(self.db, pool => sqlx::query_as(READINGS).fetch_all(pool).await)?;
        Ok(found.into_iter().map(ReadingRow::reading).collect())
    }

    /// Whether the school has rows without a time of change.
    pub(crate) async fn register_is_untimed(&self, school: &SchoolId) -> outbox::Result<bool> {
        let found: i64 = on_pool!(self.db, pool => {
            sqlx::query_scalar(UNTIMED).bind(school.as_str()).fetch_one(pool).await
        })?;
        Ok(found > 0)
    }

    /// Begins a full reading of the changes since `from`.
    pub(crate) async fn begin_register(
        &self,
        school: &SchoolId,
        source: &str,
        from: DateTime<Utc>,
        before: Before,
    ) -> outbox::Result<FullReading> {
        let began_at = self.now();
        let mut tx = self.db.begin().await?;
        let generation: i64 = on_tx!(tx, conn => {
            sqlx::query_scalar(BEGIN)
                .bind(school.as_str())
                .bind(source)
                .bind(began_at.timestamp_millis())
                .bind(from.timestamp_millis())
                .bind(i64::from(before == Before::Known))
                .fetch_one(conn)
                .await
        })?;
        if before == Before::Foreign {
            on_tx!(tx, conn => {
                sqlx::query(ERASE).bind(school.as_str()).bind(generation).execute(conn).await.map(|_| ())
            })?;
        }
        tx.commit().await?;
        Ok(FullReading {
            generation,
            began_at,
            upto: from,
        })
    }

    /// Stores rows and how far the reading has come. Returns false, and stores nothing, if the school's MIS or full
    /// reading has changed meanwhile.
    pub(crate) async fn keep_register(
        &self,
        school: &SchoolId,
        source: &str,
        rows: &[RegisterRow],
        progress: Progress,
    ) -> outbox::Result<bool> {
        let ms = |time: Option<DateTime<Utc>>| time.map(|time| time.timestamp_millis());
        let now = self.now_ms();
        let mut tx = self.db.begin().await?;
        let state: Option<(i64, Option<i64>, i64)> = on_tx!(tx, conn => {
            sqlx::query_as(PROGRESS)
                .bind(school.as_str())
                .bind(source)
                .bind(now)
                .bind(progress.seen)
                .bind(ms(progress.upto))
                .bind(ms(progress.read_at))
                .bind(i64::from(progress.ended))
                .bind(progress.generation)
                .fetch_optional(conn)
                .await
        })?;
        let Some((generation, from, seen)) = state else {
            tx.rollback().await?;
            return Ok(false);
        };
        self.write_register(&mut tx, school, generation, rows)
            .await?;
        // An empty list is also what the wrong region returns.
        if progress.ended && seen > 0 {
            on_tx!(tx, conn => {
                sqlx::query(SWEEP).bind(school.as_str()).bind(generation).bind(from).execute(conn).await.map(|_| ())
            })?;
        }
        tx.commit().await?;
        Ok(true)
    }

    async fn write_register(
        &self,
        tx: &mut Tx,
        school: &SchoolId,
        generation: i64,
        read: &[RegisterRow],
    ) -> outbox::Result<()> {
        if read.is_empty() {
            return Ok(());
        }
        // One statement must not write a row twice. Of two rows for one place the later change counts, of equal ones
        // the later in the list.
        let mut latest: HashMap<(&Slot, &StudentId, &str), &RegisterRow> = HashMap::new();
        for row in read {
            let held = latest
                .entry((&row.slot, &row.student, row.key()))
                .or_insert(row);
            if row.changed_at >= held.changed_at {
                *held = row;
            }
        }
        let table: Vec<_> = latest
            .into_values()
            .map(|row| {
                (
                    row.slot.to_string(),
                    row.student.as_str(),
                    row.key(),
                    row.id.as_ref().map(AttendanceId::as_str),
                    row.date,
                    row.code.as_ref().map(AttendanceCodeId::as_str),
                    row.comment.as_deref(),
                    row.minutes_late,
                    row.changed_at.map(|at| at.timestamp_millis()),
                )
            })
            .collect();
        let (table, now) = (rows(&table)?, self.now_ms());
        for statement in [&KEEP, &SEEN] {
            let text = statement.on(tx.engine());
            on_tx!(tx, conn => {
                sqlx::query(text)
                    .bind(&table)
                    .bind(school.as_str())
                    .bind(generation)
                    .bind(now)
                    .execute(conn)
                    .await
                    .map(|_| ())
            })?;
        }
        Ok(())
    }

    /// The rows of these slots.
    ///
    /// # Errors
    /// Returns an error if the database query fails.
    pub async fn register_rows(
        &self,
        school: &SchoolId,
        slots: &[Slot],
    ) -> outbox::Result<Vec<RegisterRow>> {
        let table: Vec<_> = slots.iter().map(|slot| (slot.to_string(),)).collect();
        let (text, table) = (ROWS.on(self.db.engine()), rows(&table)?);
        let found: Vec<MarkRow> = on_pool!(self.db, pool => {
            sqlx::query_as(text).bind(&table).bind(school.as_str()).fetch_all(pool).await
        })?;
        Ok(found.into_iter().filter_map(register_row).collect())
    }

    /// Records the error of a full reading.
    pub(crate) async fn trouble_register(
        &self,
        tx: &mut Tx,
        school: &SchoolId,
        why: &str,
    ) -> outbox::Result<()> {
        on_tx!(tx, conn => sqlx::query(TROUBLE).bind(school.as_str()).bind(why).execute(conn).await.map(|_| ()))?;
        Ok(())
    }

    /// Removes the registers of schools that are not `known` and have not been read since then.
    pub(crate) async fn drop_registers(
        &self,
        known: impl Fn(&SchoolId) -> bool,
        before: DateTime<Utc>,
    ) -> outbox::Result<()> {
        let before = before.timestamp_millis();
        let idle: Vec<String> =
            on_pool!(self.db, pool => sqlx::query_scalar(IDLE).bind(before).fetch_all(pool).await)?;
        let strangers = idle.into_iter().map(SchoolId::from);
        for school in strangers.filter(|school| !known(school)) {
            let mut tx = self.db.begin().await?;
            for text in [DROP_ROWS, DROP_READING] {
                on_tx!(tx, conn => sqlx::query(text).bind(school.as_str()).execute(conn).await.map(|_| ()))?;
            }
            tx.commit().await?;
        }
        Ok(())
    }
}

fn register_row(row: MarkRow) -> Option<RegisterRow> {
    let slot: Slot = row.slot.parse().ok()?;
    let date: Option<NaiveDate> = row.day.and_then(|day| day.parse().ok());
    Some(RegisterRow {
        id: row.id.map(AttendanceId::from),
        student: StudentId::from(row.student),
        slot,
        date,
        code: row.code.map(AttendanceCodeId::from),
        comment: row.comment,
        minutes_late: row
            .minutes_late
            .and_then(|minutes| u32::try_from(minutes).ok()),
        changed_at: row.changed_ms.and_then(DateTime::from_timestamp_millis),
    })
}
