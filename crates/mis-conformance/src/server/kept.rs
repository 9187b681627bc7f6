//! The marks that the standard schools' MIS holds.

use chrono::{DateTime, NaiveDate, Utc};
use mis_wonde::Session;

/// Where a mark is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// As a session mark.
    Session,
    /// On this lesson.
    Lesson(String),
}

/// A mark that the MIS holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Kept {
    pub(crate) school: u8,
    pub(crate) student: String,
    pub(crate) date: NaiveDate,
    pub(crate) session: Session,
    pub(crate) place: Place,
    pub(crate) code: String,
    pub(crate) comment: Option<String>,
    pub(crate) minutes_late: Option<u32>,
    pub(crate) changed: DateTime<Utc>,
    /// The writeback that wrote it; `None` for a mark that existed before.
    pub(crate) writeback: Option<String>,
    /// How often it was written.
    pub(crate) times: usize,
}
