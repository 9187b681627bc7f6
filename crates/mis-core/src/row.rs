//! Rows of registers. A host that keeps them does not need to read a whole term to know the register of a day.

use std::{
    collections::{HashMap, hash_map::Entry},
    fmt,
    str::FromStr,
};

use chrono::{DateTime, NaiveDate, Utc};

use crate::{
    AttendanceCodeId, AttendanceId, CodeBook, HeldCode, HeldMark, LessonId, Session, StudentId,
    mark::Hidden,
};

/// Which rows of registers to read, by the time of their last change. Not every MIS can filter by a register's own
/// date.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RegisterQuery {
    /// Only rows that changed after this.
    pub updated_after: Option<DateTime<Utc>>,
    /// Only rows that changed before this.
    pub updated_before: Option<DateTime<Utc>>,
}

/// The place of a student's mark in the registers.
///
/// Its text is `2026-11-23 AM`, or `lesson ` and the lesson's id; it can be stored and read back.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Slot {
    /// A session of a school day.
    Session(NaiveDate, Session),
    /// A lesson, which is of one day only.
    Lesson(LessonId),
}

const LESSON: &str = "lesson ";

impl Slot {
    /// The two sessions of a day.
    pub fn sessions_of(date: NaiveDate) -> [Self; 2] {
        [Session::Am, Session::Pm].map(|session| Self::Session(date, session))
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Session(date, session) => write!(f, "{date} {session}"),
            Self::Lesson(lesson) => write!(f, "{LESSON}{lesson}"),
        }
    }
}

/// The error for a text that is not a [`Slot`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a place in a register; write a date and AM or PM, or `lesson` and an id")]
pub struct NotASlot;

impl FromStr for Slot {
    type Err = NotASlot;

    fn from_str(text: &str) -> Result<Self, NotASlot> {
        if let Some(lesson) = text.strip_prefix(LESSON) {
            return Ok(Self::Lesson(LessonId::new(lesson)));
        }
        let (date, session) = text.split_once(' ').ok_or(NotASlot)?;
        Ok(Self::Session(
            date.parse().map_err(|_| NotASlot)?,
            session.parse().map_err(|_| NotASlot)?,
        ))
    }
}

/// A mark in the registers, as read: its code is still the school's id of the code.
///
/// `Debug` does not show the comment: it is a child's data.
#[derive(Clone, PartialEq, Eq)]
pub struct RegisterRow {
    /// The row's id, if it has one. There may be several rows for one slot, such as a mark and a note.
    pub id: Option<AttendanceId>,
    /// The student.
    pub student: StudentId,
    /// The mark's place.
    pub slot: Slot,
    /// The school day; of a lesson's mark only if known.
    pub date: Option<NaiveDate>,
    /// The school's id for the code. A row without one is a note and no mark.
    pub code: Option<AttendanceCodeId>,
    /// The comment kept with the mark.
    pub comment: Option<String>,
    /// Whole minutes late.
    pub minutes_late: Option<u32>,
    /// When it changed last, if known.
    pub changed_at: Option<DateTime<Utc>>,
}

impl RegisterRow {
    /// Distinguishes rows of one student and slot: the row's id, or else whether it is a mark or a note, so that a note
    /// never takes a mark's place.
    pub fn key(&self) -> &str {
        match (&self.id, &self.code) {
            (Some(id), _) => id.as_str(),
            (None, Some(_)) => "",
            (None, None) => "note",
        }
    }

    /// The row as a mark of a session; `None` for a row without a code, which is a note. A code whose id the book does
    /// not know still makes a mark.
    pub fn into_mark(self, book: &CodeBook, session: Session) -> Option<HeldMark> {
        let id = self.code?;
        Some(HeldMark {
            student: self.student,
            session,
            code: match book.by_id(&id) {
                Some(line) => HeldCode::Known(line.code.clone()),
                None => HeldCode::Unreadable(id),
            },
            comment: self.comment.filter(|text| !text.trim().is_empty()),
            minutes_late: self.minutes_late,
            changed_at: self.changed_at,
        })
    }

    /// The latest version of each row. Of two that changed at the same time, the later in the list counts.
    pub fn latest(rows: Vec<Self>) -> Vec<Self> {
        let mut latest: HashMap<_, Self> = HashMap::new();
        for row in rows {
            match latest.entry((row.student.clone(), row.slot.clone(), row.key().to_owned())) {
                Entry::Occupied(held) if held.get().changed_at > row.changed_at => {}
                Entry::Occupied(mut held) => *held.get_mut() = row,
                Entry::Vacant(free) => {
                    free.insert(row);
                }
            }
        }
        latest.into_values().collect()
    }
}

impl fmt::Debug for RegisterRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RegisterRow")
            .field("id", &self.id)
            .field("student", &self.student)
            .field("slot", &self.slot)
            .field("date", &self.date)
            .field("code", &self.code)
            .field("comment", &self.comment.as_ref().map(|_| Hidden))
            .field("minutes_late", &self.minutes_late)
            .field("changed_at", &self.changed_at)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_parsed_from_its_text() {
        let date = NaiveDate::from_ymd_opt(2026, 11, 23).unwrap();
        for (slot, text) in [
            (Slot::Session(date, Session::Am), "2026-11-23 AM"),
            (Slot::Session(date, Session::Pm), "2026-11-23 PM"),
            (Slot::Lesson(LessonId::new("A12")), "lesson A12"),
            (Slot::Lesson(LessonId::new("A 1")), "lesson A 1"),
        ] {
            assert_eq!(slot.to_string(), text);
            assert_eq!(text.parse(), Ok(slot));
        }
        for text in ["", "2026-11-23", "2026-11-23 XX", "2026-13-23 AM"] {
            assert_eq!(text.parse::<Slot>(), Err(NotASlot));
        }
    }

    #[test]
    fn debug_shows_no_comment() {
        let row = RegisterRow {
            id: None,
            student: "A1".into(),
            slot: Slot::Lesson(LessonId::new("A12")),
            date: None,
            code: None,
            comment: Some("overslept again".into()),
            minutes_late: None,
            changed_at: None,
        };
        assert!(!format!("{row:?}").contains("overslept"));
    }
}
