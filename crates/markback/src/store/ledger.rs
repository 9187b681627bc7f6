//! The ledger: what we wrote into each pupil's session, and when the pupil arrived. It comes before Wonde's copy of the
//! register, which may be hours old.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, FixedOffset, NaiveDate, Utc};
use mis_core::{Code, Session, wonde::StudentId};
use outbox::{Sql, Tx, on_pool, on_tx};
use serde::Serialize;
use sqlx::FromRow;
use writeback::{Arrival, Standing};

use super::{Store, rows};

/// One pupil's session at a school.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LedgerKey {
    /// The school.
    pub school: String,
    /// The pupil's id at Wonde.
    pub student: StudentId,
    /// The school day.
    pub date: NaiveDate,
    /// Morning or afternoon.
    pub session: Session,
}

/// How far our own mark has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// It is to be sent.
    Planned,
    /// Wonde has it.
    Accepted,
    /// The MIS has it.
    Confirmed,
}

impl Stage {
    fn word(self) -> &'static str {
        match self {
            Self::Planned => "planned",
            Self::Accepted => "accepted",
            Self::Confirmed => "confirmed",
        }
    }
}

/// Our own mark.
#[derive(Clone, PartialEq, Eq)]
pub struct LedgerMark {
    /// Its code.
    pub code: Code,
    /// Its comment.
    pub comment: Option<String>,
    /// Whole minutes late.
    pub minutes_late: Option<u32>,
    /// The event that wrote it.
    pub event: String,
    /// How far it has come.
    pub stage: Stage,
    /// When it came there.
    pub since: DateTime<Utc>,
    /// Which events had had their say when it was planned, its own among them.
    pub standing: Option<Standing>,
}

/// What the ledger knows of one pupil's session.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct LedgerRow {
    /// What we wrote, if anything.
    pub mark: Option<LedgerMark>,
    /// What we had written before that: the register holds it until `mark` is there.
    pub before: Option<LedgerMark>,
    /// The arrival we recorded, if any.
    pub arrival: Option<Arrival>,
    /// Which events have had their say.
    pub standing: Standing,
}

#[derive(FromRow)]
struct Row {
    school: String,
    student: String,
    day: String,
    session: String,
    code: Option<String>,
    comment: Option<String>,
    minutes_late: Option<i64>,
    event: Option<String>,
    stage: Option<String>,
    stage_ms: Option<i64>,
    before_code: Option<String>,
    before_comment: Option<String>,
    before_minutes_late: Option<i64>,
    before_event: Option<String>,
    arrival_event: Option<String>,
    arrival_at: Option<String>,
    standing: Option<String>,
    before_standing: Option<String>,
}

static LOOK: Sql = Sql::new(
    "SELECT l.* FROM {rows $1: school text, student text, day text, session text} r \
     JOIN markback_ledger l ON l.school = r.school AND l.student = r.student AND l.day = r.day AND l.session = r.session",
);

static PLAN: Sql = Sql::new(
    "INSERT INTO markback_ledger (school, student, day, session, code, comment, minutes_late, event, stage, stage_ms, standing) \
     SELECT r.school, r.student, r.day, r.session, r.code, r.comment, r.minutes_late, r.event, r.stage, $2, r.standing \
     FROM {rows $1: school text, student text, day text, session text, event text, code text, comment text, \
           minutes_late int, stage text, standing text} r WHERE true \
     ON CONFLICT (school, student, day, session) DO UPDATE SET \
         before_code = CASE WHEN markback_ledger.stage IN ('accepted', 'confirmed') AND markback_ledger.event <> excluded.event THEN markback_ledger.code ELSE markback_ledger.before_code END, \
         before_comment = CASE WHEN markback_ledger.stage IN ('accepted', 'confirmed') AND markback_ledger.event <> excluded.event THEN markback_ledger.comment ELSE markback_ledger.before_comment END, \
         before_minutes_late = CASE WHEN markback_ledger.stage IN ('accepted', 'confirmed') AND markback_ledger.event <> excluded.event THEN markback_ledger.minutes_late \
                                    ELSE markback_ledger.before_minutes_late END, \
         before_event = CASE WHEN markback_ledger.stage IN ('accepted', 'confirmed') AND markback_ledger.event <> excluded.event THEN markback_ledger.event ELSE markback_ledger.before_event END, \
         before_standing = CASE WHEN markback_ledger.stage IN ('accepted', 'confirmed') AND markback_ledger.event <> excluded.event THEN markback_ledger.standing ELSE markback_ledger.before_standing END, \
         code = excluded.code, comment = excluded.comment, minutes_late = excluded.minutes_late, \
         event = excluded.event, stage = excluded.stage, stage_ms = excluded.stage_ms, \
         standing = excluded.standing",
);

static ARRIVE: Sql = Sql::new(
    "INSERT INTO markback_ledger (school, student, day, session, arrival_event, arrival_at) \
     SELECT r.school, r.student, r.day, r.session, r.event, r.at \
     FROM {rows $1: school text, student text, day text, session text, event text, at text} r WHERE true \
     ON CONFLICT (school, student, day, session) DO UPDATE SET arrival_event = excluded.arrival_event, \
         arrival_at = excluded.arrival_at",
);

static STAND: Sql = Sql::new(
    "INSERT INTO markback_ledger (school, student, day, session, standing) \
     SELECT r.school, r.student, r.day, r.session, r.standing \
     FROM {rows $1: school text, student text, day text, session text, standing text} r WHERE true \
     ON CONFLICT (school, student, day, session) DO UPDATE SET standing = excluded.standing",
);

/// A mark that Wonde took. Where a newer one is planned already, this is what the register holds until that is there.
static ACCEPT: Sql = Sql::new(
    "UPDATE markback_ledger SET \
         stage = CASE WHEN markback_ledger.event = r.event THEN 'accepted' ELSE markback_ledger.stage END, \
         stage_ms = CASE WHEN markback_ledger.event = r.event THEN $2 ELSE markback_ledger.stage_ms END, \
         before_code = CASE WHEN markback_ledger.event = r.event THEN markback_ledger.before_code ELSE r.code END, \
         before_comment = CASE WHEN markback_ledger.event = r.event THEN markback_ledger.before_comment ELSE r.comment END, \
         before_minutes_late = CASE WHEN markback_ledger.event = r.event THEN markback_ledger.before_minutes_late \
                                    ELSE r.minutes_late END, \
         before_event = CASE WHEN markback_ledger.event = r.event THEN markback_ledger.before_event ELSE r.event END, \
         before_standing = CASE WHEN markback_ledger.event = r.event THEN markback_ledger.before_standing ELSE r.standing END \
     FROM {rows $1: school text, student text, day text, session text, event text, code text, comment text, \
           minutes_late int, stage text, standing text} r \
     WHERE markback_ledger.school = r.school AND markback_ledger.student = r.student AND markback_ledger.day = r.day \
       AND markback_ledger.session = r.session \
       AND (markback_ledger.event = r.event OR markback_ledger.stage = 'planned')",
);

static MOVE: Sql = Sql::new(
    "UPDATE markback_ledger SET stage = $2, stage_ms = $3 \
     FROM {rows $1: school text, student text, day text, session text, event text} r \
     WHERE markback_ledger.school = r.school AND markback_ledger.student = r.student AND markback_ledger.day = r.day \
       AND markback_ledger.session = r.session AND markback_ledger.event = r.event \
     RETURNING markback_ledger.school, markback_ledger.event",
);

static FORGET: Sql = Sql::new(
    "UPDATE markback_ledger SET code = before_code, comment = before_comment, minutes_late = before_minutes_late, \
         event = before_event, \
         stage = CASE WHEN before_event IS NULL THEN NULL ELSE 'confirmed' END, \
         stage_ms = CASE WHEN before_event IS NULL THEN NULL ELSE CAST($2 AS BIGINT) END, \
         standing = before_standing, \
         before_code = NULL, before_comment = NULL, before_minutes_late = NULL, before_event = NULL, before_standing = NULL \
     FROM {rows $1: school text, student text, day text, session text, event text} r \
     WHERE markback_ledger.school = r.school AND markback_ledger.student = r.student AND markback_ledger.day = r.day \
       AND markback_ledger.session = r.session AND markback_ledger.event = r.event",
);

impl Store {
    /// What the ledger knows of these sessions. Those it knows nothing of are missing.
    pub(crate) async fn ledger(
        &self,
        keys: &[LedgerKey],
    ) -> outbox::Result<HashMap<LedgerKey, LedgerRow>> {
        if keys.is_empty() {
            return Ok(HashMap::new());
        }
        let table: Vec<_> = keys.iter().map(columns).collect();
        let (text, table) = (LOOK.on(self.db.engine()), rows(&table)?);
        let found: Vec<Row> =
            on_pool!(self.db, pool => sqlx::query_as(text).bind(&table).fetch_all(pool).await)?;
        Ok(found.into_iter().filter_map(read).collect())
    }

    /// Notes marks that are to be sent, each in the place of what was there.
    pub(crate) async fn plan_marks(
        &self,
        tx: &mut Tx,
        marks: &[(LedgerKey, LedgerMark)],
    ) -> outbox::Result<()> {
        self.write_rows(tx, &PLAN, &with_mark(marks)).await
    }

    /// Notes marks that Wonde took.
    pub(crate) async fn accept_marks(
        &self,
        tx: &mut Tx,
        marks: &[(LedgerKey, LedgerMark)],
    ) -> outbox::Result<()> {
        self.write_rows(tx, &ACCEPT, &with_mark(marks)).await
    }

    /// Notes arrivals, each in the place of a later one.
    pub(crate) async fn note_arrivals(
        &self,
        tx: &mut Tx,
        arrivals: &[(LedgerKey, Arrival)],
    ) -> outbox::Result<()> {
        if arrivals.is_empty() {
            return Ok(());
        }
        let table: Vec<_> = arrivals
            .iter()
            .map(|(key, arrival)| {
                let (school, student, day, session) = columns(key);
                let at = arrival.at.to_rfc3339();
                (school, student, day, session, &arrival.event, at)
            })
            .collect();
        let (text, table) = (ARRIVE.on(tx.engine()), rows(&table)?);
        on_tx!(tx, conn => sqlx::query(text).bind(&table).execute(conn).await.map(|_| ()))?;
        Ok(())
    }

    /// Notes which events have had their say where no mark comes of it.
    pub(crate) async fn note_standing(
        &self,
        tx: &mut Tx,
        standing: &[(LedgerKey, Standing)],
    ) -> outbox::Result<()> {
        if standing.is_empty() {
            return Ok(());
        }
        let table: Vec<_> = standing
            .iter()
            .map(|(key, standing)| {
                let (school, student, day, session) = columns(key);
                (school, student, day, session, as_text(Some(standing)))
            })
            .collect();
        let (text, table) = (STAND.on(tx.engine()), rows(&table)?);
        on_tx!(tx, conn => sqlx::query(text).bind(&table).execute(conn).await.map(|_| ()))?;
        Ok(())
    }

    /// Moves marks on, as far as the ledger still holds them from these events. Answers which those were, as school and
    /// event; their rows are locked until the transaction ends.
    pub(crate) async fn move_marks(
        &self,
        tx: &mut Tx,
        marks: &[(LedgerKey, String)],
        stage: Stage,
    ) -> outbox::Result<HashSet<(String, String)>> {
        if marks.is_empty() {
            return Ok(HashSet::new());
        }
        let table = rows(&with_event(marks))?;
        let (text, now) = (MOVE.on(tx.engine()), self.now_ms());
        let moved: Vec<(String, String)> = on_tx!(tx, conn => {
            sqlx::query_as(text).bind(&table).bind(stage.word()).bind(now).fetch_all(conn).await
        })?;
        Ok(moved.into_iter().collect())
    }

    /// Forgets marks that did not come to be, as far as the ledger still holds them from these events: what we had
    /// written before holds again, or else what Wonde says. Arrivals stay: who came is not what could be written.
    pub(crate) async fn forget_marks(
        &self,
        tx: &mut Tx,
        marks: &[(LedgerKey, String)],
    ) -> outbox::Result<()> {
        self.write_rows(tx, &FORGET, &with_event(marks)).await
    }
}

fn columns(key: &LedgerKey) -> (&str, &str, NaiveDate, &'static str) {
    (
        &key.school,
        key.student.as_str(),
        key.date,
        session_word(key.session),
    )
}

/// A table of sessions, each with the event that wrote its mark.
fn with_event(marks: &[(LedgerKey, String)]) -> Vec<impl Serialize> {
    marks
        .iter()
        .map(|(key, event)| {
            let (school, student, day, session) = columns(key);
            (school, student, day, session, event)
        })
        .collect()
}

/// A table of sessions, each with its mark.
fn with_mark(marks: &[(LedgerKey, LedgerMark)]) -> Vec<impl Serialize> {
    marks
        .iter()
        .map(|(key, mark)| {
            let (school, student, day, session) = columns(key);
            (
                school,
                student,
                day,
                session,
                &mark.event,
                &mark.code,
                &mark.comment,
                mark.minutes_late,
                mark.stage.word(),
                as_text(mark.standing.as_ref()),
            )
        })
        .collect()
}

/// As stored. What nobody has had a say in is nothing.
fn as_text(standing: Option<&Standing>) -> Option<String> {
    let standing = standing.filter(|standing| **standing != Standing::default())?;
    serde_json::to_string(standing).ok()
}

fn of_text(text: Option<&String>) -> Option<Standing> {
    serde_json::from_str(text?).ok()
}

/// `AM` or `PM`, as stored.
pub(crate) fn session_word(session: Session) -> &'static str {
    match session {
        Session::Am => "AM",
        Session::Pm => "PM",
    }
}

fn read(row: Row) -> Option<(LedgerKey, LedgerRow)> {
    let key = LedgerKey {
        school: row.school,
        student: StudentId::from(row.student),
        date: row.day.parse().ok()?,
        session: if row.session == "AM" {
            Session::Am
        } else {
            Session::Pm
        },
    };
    let standing = of_text(row.standing.as_ref());
    let mark = match (row.code, row.event, row.stage_ms) {
        (Some(code), Some(event), Some(since)) => Some(LedgerMark {
            code: Code::new(code),
            comment: row.comment,
            minutes_late: row
                .minutes_late
                .and_then(|minutes| u32::try_from(minutes).ok()),
            event,
            stage: match row.stage.as_deref() {
                Some("confirmed") => Stage::Confirmed,
                Some("accepted") => Stage::Accepted,
                _ => Stage::Planned,
            },
            since: DateTime::from_timestamp_millis(since)?,
            standing: standing.clone(),
        }),
        _ => None,
    };
    let minutes = |minutes: Option<i64>| minutes.and_then(|n| u32::try_from(n).ok());
    let before = row
        .before_code
        .zip(row.before_event)
        .map(|(code, event)| LedgerMark {
            code: Code::new(code),
            comment: row.before_comment,
            minutes_late: minutes(row.before_minutes_late),
            event,
            stage: Stage::Accepted,
            since: DateTime::<Utc>::UNIX_EPOCH,
            standing: of_text(row.before_standing.as_ref()),
        });
    let arrival = row
        .arrival_event
        .zip(row.arrival_at)
        .and_then(|(event, at)| {
            let at: DateTime<FixedOffset> = DateTime::parse_from_rfc3339(&at).ok()?;
            Some(Arrival { event, at })
        });
    Some((
        key,
        LedgerRow {
            mark,
            before,
            arrival,
            standing: standing.unwrap_or_default(),
        },
    ))
}

#[cfg(test)]
mod tests;
