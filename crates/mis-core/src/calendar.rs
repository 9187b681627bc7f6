//! The school's own calendar in its MIS.

use std::fmt;

use chrono::NaiveDate;

/// An entry of the school's own calendar.
///
/// `Debug` shows no text, because an entry may name people.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CalendarEntry {
    /// The first day, by the school's clock.
    pub first: NaiveDate,
    /// The last day, not before the first.
    pub last: NaiveDate,
    /// Whether it takes whole days.
    pub all_day: bool,
    /// What it is called.
    pub name: String,
    /// What else is said about it, such as a description and a type.
    pub more: Vec<String>,
}

impl CalendarEntry {
    /// An entry of whole days, from `first` to `last`.
    pub fn new(first: NaiveDate, last: NaiveDate, name: impl Into<String>) -> Self {
        Self {
            first,
            last: last.max(first),
            all_day: true,
            name: name.into(),
            more: Vec::new(),
        }
    }
}

impl fmt::Debug for CalendarEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CalendarEntry")
            .field("first", &self.first)
            .field("last", &self.last)
            .field("all_day", &self.all_day)
            .finish_non_exhaustive()
    }
}
