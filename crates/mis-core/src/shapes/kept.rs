//! Registers as they were read before, so that the next read asks only for what may have changed since.
//!
//! A register can be read by time of change alone, and the absences entered days ahead are part of it: read from the
//! beginning each time, a large school's would take dozens of pages every few minutes.

use std::{collections::HashMap, hash::Hash, sync::Arc};

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use tokio::sync::Mutex;
use wonde::{LessonId, Session, StudentId};

use super::{read::Row, timetable::Day};
use crate::Connection;

/// How far before the last read changes are asked for. Wonde renews its copy every hour or two, and it is not known
/// whether a change bears the time of the copy or that of the change itself, which shows only in the next copy.
const OVERLAP: TimeDelta = TimeDelta::hours(3);
/// How long until a register is read from the beginning again: of a mark that is cleared nobody tells.
const READ_ANEW: TimeDelta = TimeDelta::hours(1);
/// Days kept: today, and one that late events belong to.
const DAYS_KEPT: usize = 2;

/// The registers of one connection, by day.
pub(crate) type Registers = Mutex<HashMap<NaiveDate, Kept>>;

/// The rows of a day's register as of the last read.
pub(crate) struct Kept {
    began: DateTime<Utc>,
    read_at: DateTime<Utc>,
    /// What the lessons among the slots were found by.
    day: Option<Arc<Day>>,
    rows: HashMap<(StudentId, Slot), Row>,
}

/// What a mark of the day is for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Slot {
    Session(Session),
    Lesson(LessonId),
}

/// What is known of a register before it is read.
pub(crate) struct Before {
    /// From when on changes are to be asked for.
    pub(crate) since: DateTime<Utc>,
    began: DateTime<Utc>,
    rows: HashMap<(StudentId, Slot), Row>,
}

impl Before {
    /// What is kept of the day, if it can be gone on from; otherwise the read begins at the beginning.
    pub(crate) async fn of(
        connection: &Connection,
        date: NaiveDate,
        now: DateTime<Utc>,
        day: Option<&Arc<Day>>,
    ) -> Self {
        let beginning = connection.register_since(date);
        let kept = connection.registers().lock().await.remove(&date);
        let same = |kept: &Kept| match (&kept.day, day) {
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            (None, None) => true,
            _ => false,
        };
        // Without times of change nobody can say what such a question leaves out.
        let timed = |kept: &Kept| kept.rows.values().all(|row| row.changed_at().is_some());
        match kept {
            Some(kept)
                if same(&kept)
                    && timed(&kept)
                    && (TimeDelta::zero()..READ_ANEW).contains(&(now - kept.began)) =>
            {
                Self {
                    since: beginning.max(kept.read_at - OVERLAP),
                    began: kept.began,
                    rows: kept.rows,
                }
            }
            _ => Self {
                since: beginning,
                began: now,
                rows: HashMap::new(),
            },
        }
    }

    /// Whether nothing is kept of the day, so that all of it is read.
    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Puts together what was kept and what was read, keeps that for the next time, and answers it.
    pub(crate) async fn and(
        mut self,
        connection: &Connection,
        date: NaiveDate,
        now: DateTime<Utc>,
        day: Option<&Arc<Day>>,
        read: HashMap<(StudentId, Slot), Row>,
    ) -> HashMap<(StudentId, Slot), Row> {
        // What was not told of again is not taken for cleared: that would be guessing at what Wonde's times mean, and a
        // mark that is forgotten is not protected.
        for (key, row) in read {
            add(&mut self.rows, key, row);
        }
        let kept = Kept {
            began: self.began,
            read_at: now,
            day: day.cloned(),
            rows: self.rows.clone(),
        };
        let mut registers = connection.registers().lock().await;
        registers.insert(date, kept);
        while registers.len() > DAYS_KEPT {
            let Some(oldest) = registers.keys().min().copied() else {
                break;
            };
            registers.remove(&oldest);
        }
        self.rows
    }
}

/// Adds a row as read. Of two for one place that counts which [`Row::replaces`] the other.
pub(crate) fn add<K: Eq + Hash>(rows: &mut HashMap<K, Row>, key: K, row: Row) {
    if rows.get(&key).is_none_or(|held| row.replaces(held)) {
        rows.insert(key, row);
    }
}
