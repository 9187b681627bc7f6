//! The ledger in the database. [`crate::ledger`] defines the changes; rows are loaded, locked and saved here.

use std::collections::{BTreeMap, HashMap, HashSet};

use chrono::{DateTime, FixedOffset, NaiveDate};
use mis_core::{Session, StudentId};
use outbox::{Sql, Tx, on_tx};
use serde::Serialize;
use writeback::{Arrival, Standing};

use super::{Store, rows};
use crate::ledger::{Change, LedgerRow};
use crate::store::row::row;

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

row! {
    #[derive(Clone, Debug)]
    pub(super) struct Row {
        school: String,
        student: String,
        day: String,
        session: String,
        marks: Option<String>,
        arrival_event: Option<String>,
        arrival_at: Option<String>,
        standing: Option<String>,
    }
}

pub(super) static LOOK: Sql = Sql::new(
    "SELECT l.* FROM {rows $1: school text, student text, day text, session text} r \
     JOIN markback_ledger l ON l.school = r.school AND l.student = r.student AND l.day = r.day AND l.session = r.session",
);

/// Locks rows in the given order and creates missing ones, so that two transactions that begin a session wait for each
/// other.
static LOCK: Sql = Sql::new(
    "INSERT INTO markback_ledger (school, student, day, session) SELECT r.school, r.student, r.day, r.session \
     FROM {rows $1: school text, student text, day text, session text} r WHERE true \
     ON CONFLICT (school, student, day, session) DO UPDATE SET standing = markback_ledger.standing \
     RETURNING school, student, day, session, marks, arrival_event, arrival_at, standing",
);

static SAVE: Sql = Sql::new(
    "UPDATE markback_ledger SET marks = r.marks, arrival_event = r.arrival_event, arrival_at = r.arrival_at, \
         standing = r.standing \
     FROM {rows $1: school text, student text, day text, session text, marks text, arrival_event text, \
           arrival_at text, standing text} r \
     WHERE markback_ledger.school = r.school AND markback_ledger.student = r.student AND markback_ledger.day = r.day \
       AND markback_ledger.session = r.session",
);

impl Store {
    /// The ledger of these sessions. Unknown ones are missing.
    pub(crate) async fn ledger(
        &self,
        keys: &[LedgerKey],
    ) -> outbox::Result<HashMap<LedgerKey, LedgerRow>> {
        if keys.is_empty() {
            return Ok(HashMap::new());
        }
        let table: Vec<_> = keys.iter().map(columns).collect();
        let found = self.ask_together(&self.asked.ledger, &LOOK, &table).await?;
        let asked: HashSet<_> = keys
            .iter()
            .map(|key| {
                let (school, student, day, session) = columns(key);
                (school, student, day.to_string(), session)
            })
            .collect();
        let is_asked = |row: &&Row| {
            asked.contains(&(&*row.school, &*row.student, row.day.clone(), &*row.session))
        };
        found.iter().filter(is_asked).cloned().map(read).collect()
    }

    /// Applies changes in the given order. Returns for each whether it applied. The rows stay locked until the
    /// transaction ends.
    pub(crate) async fn change_ledger(
        &self,
        tx: &mut Tx,
        changes: &[(LedgerKey, Change)],
    ) -> outbox::Result<Vec<bool>> {
        if changes.is_empty() {
            return Ok(Vec::new());
        }
        // In the same order everywhere, so that no two transactions wait for each other.
        let keys: BTreeMap<_, _> = changes.iter().map(|(key, _)| (columns(key), key)).collect();
        let table: Vec<_> = keys.keys().collect();
        let (text, table) = (LOCK.on(tx.engine()), rows(&table)?);
        let found: Vec<Row> =
            on_tx!(tx, conn => sqlx::query_as(text).bind(&table).fetch_all(conn).await)?;
        let mut found: HashMap<LedgerKey, LedgerRow> =
            found.into_iter().map(read).collect::<outbox::Result<_>>()?;
        let now = self.now();
        let took_hold = changes
            .iter()
            .map(|(key, change)| found.entry(key.clone()).or_default().apply(change, now))
            .collect();
        let table: Vec<_> = keys
            .values()
            .filter_map(|key| Some(written(key, found.get(*key)?)))
            .collect();
        let (text, table) = (SAVE.on(tx.engine()), rows(&table)?);
        on_tx!(tx, conn => sqlx::query(text).bind(&table).execute(conn).await.map(|_| ()))?;
        Ok(took_hold)
    }
}

fn columns(key: &LedgerKey) -> (&str, &str, NaiveDate, &'static str) {
    (
        &key.school,
        key.student.as_str(),
        key.date,
        key.session.as_str(),
    )
}

fn written(key: &LedgerKey, row: &LedgerRow) -> impl Serialize {
    let (school, student, day, session) = columns(key);
    let marks = Some(&row.marks).filter(|marks| !marks.is_empty());
    let standing = Some(&row.standing).filter(|standing| **standing != Standing::default());
    let arrival = row.arrival.as_ref();
    (
        school.to_owned(),
        student.to_owned(),
        day,
        session,
        marks.and_then(|marks| serde_json::to_string(marks).ok()),
        arrival.map(|arrival| arrival.event.clone()),
        arrival.map(|arrival| arrival.at.to_rfc3339()),
        standing.and_then(|standing| serde_json::to_string(standing).ok()),
    )
}

/// A row that cannot be read is an error: treated as empty, it would let a protected mark be overwritten.
fn read(row: Row) -> outbox::Result<(LedgerKey, LedgerRow)> {
    let key = LedgerKey {
        date: row.day.parse().map_err(|_| unreadable("day"))?,
        session: match row.session.as_str() {
            "AM" => Session::Am,
            _ => Session::Pm,
        },
        school: row.school,
        student: StudentId::from(row.student),
    };
    let arrival = match row.arrival_event.zip(row.arrival_at) {
        Some((event, at)) => {
            let at: DateTime<FixedOffset> =
                DateTime::parse_from_rfc3339(&at).map_err(|_| unreadable("arrival"))?;
            Some(Arrival { event, at })
        }
        None => None,
    };
    let known = LedgerRow {
        marks: json(row.marks, "marks")?,
        arrival,
        standing: json(row.standing, "standing")?,
    };
    Ok((key, known))
}

fn json<T: serde::de::DeserializeOwned + Default>(
    text: Option<String>,
    what: &'static str,
) -> outbox::Result<T> {
    text.map_or_else(
        || Ok(T::default()),
        |text| serde_json::from_str(&text).map_err(|_| unreadable(what)),
    )
}

fn unreadable(what: &str) -> outbox::Error {
    outbox::Error::invalid(format!(
        "the ledger's {what} cannot be read; was it written by another version?"
    ))
}

#[cfg(test)]
mod tests;
