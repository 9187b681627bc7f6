//! When a sync happens, by both clocks: all that is decided by day goes by the school's own.

use chrono::{DateTime, NaiveDate, Utc};

/// When a sync happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SyncTime {
    /// The time.
    pub now: DateTime<Utc>,
    /// The day by the school's own clock: on it joiners come and leavers go.
    pub today: NaiveDate,
}
