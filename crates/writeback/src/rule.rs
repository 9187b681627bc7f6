//! Which of the rules chose a code.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What chose a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// An answer carried it.
    CustomCode,
    /// The sign-in was later than `unauthorised`.
    Unauthorised,
    /// The sign-in was later than `late`.
    Late,
    /// The sign-in was in time.
    Present,
    /// The sign-out took the leaver code.
    LeaverCode,
}

impl Rule {
    /// Whether the clock chose the code, so that the mark tells of an arrival.
    pub fn is_time_based(self) -> bool {
        matches!(self, Self::Unauthorised | Self::Late | Self::Present)
    }

    /// The word for records and JSON.
    pub fn word(self) -> &'static str {
        match self {
            Self::CustomCode => "custom_code",
            Self::Unauthorised => "unauthorised",
            Self::Late => "late",
            Self::Present => "present",
            Self::LeaverCode => "leaver_code",
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}
