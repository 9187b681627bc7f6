//! Whether the school's calendar has school on a day.

use serde::{Deserialize, Serialize};

/// What the school's calendar says about a day.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum SchoolDay {
    /// The school has no calendar: only the group's own `days` and `closed` count.
    #[default]
    NoCalendar,
    /// Nothing says that the school is closed.
    Open,
    /// The school is closed.
    Closed {
        /// Why, in a few words: `inset day`.
        why: String,
        /// Who says so.
        source: CalendarSource,
    },
    /// The calendar does not tell. It counts as a school day: a mark too many can be corrected, a missing one is not seen.
    Unknown {
        /// Why not, as text for the steps.
        why: String,
    },
}

/// Where a calendar comes from.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, strum::Display,
)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum CalendarSource {
    /// The school's settings.
    #[strum(to_string = "the settings")]
    Settings,
    /// An iCalendar file or address.
    #[strum(to_string = "the school's iCalendar")]
    Ical,
    /// The calendar of the school's MIS.
    #[strum(to_string = "the MIS's calendar")]
    Mis,
}
