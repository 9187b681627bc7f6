//! The time of a sync: the instant, and the day in the school's time zone.

use chrono::{DateTime, NaiveDate, Utc};

/// The time of a sync.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SyncTime {
    /// The instant.
    pub now: DateTime<Utc>,
    /// The day in the school's time zone, which decides about joiners and leavers.
    pub today: NaiveDate,
}
