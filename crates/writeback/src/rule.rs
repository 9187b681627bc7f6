//! The rule that chose a code.

use serde::{Deserialize, Serialize};

/// The rule that chose a code.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Hash,
    Serialize,
    Deserialize,
    strum::Display,
    strum::EnumString,
    strum::IntoStaticStr,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Rule {
    /// An answer had the code.
    CustomCode,
    /// The sign-in was later than `unauthorised`.
    Unauthorised,
    /// The sign-in was later than `late`.
    Late,
    /// The sign-in was in time.
    Present,
    /// The sign-out has the leaver code.
    LeaverCode,
    /// The event was withdrawn: the mark before its own is written again.
    MarkBefore,
}

impl Rule {
    /// Whether the time chose the code, so that the mark records an arrival.
    pub fn is_time_based(self) -> bool {
        matches!(self, Self::Unauthorised | Self::Late | Self::Present)
    }

    /// The name in records and JSON.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}
