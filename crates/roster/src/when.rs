//! The time of a sync: the instant, and the day by the school's clock.

use chrono::{DateTime, NaiveDate, Utc};

/// The time of a sync.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SyncTime {
    /// The instant.
    pub now: DateTime<Utc>,
    /// The day by the school's clock, which decides about joiners and leavers.
    pub today: NaiveDate,
}
