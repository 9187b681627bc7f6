//! The settings for marks that wait until a person releases them.

use chrono::TimeDelta;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The table `[school.group.writeback.hold]`: marks that wait until a person releases or drops them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct HoldSettings {
    /// Whether all marks of the group wait.
    pub all: bool,
    /// Marks with one of these codes wait.
    pub codes: Vec<String>,
    /// Whether a mark waits that would overwrite one in the register that is not ours, such as a teacher's.
    pub over_teacher: bool,
    /// How long a mark waits before it lapses unwritten: from `"5m"` to `"7d"`. Default: until the end of the day, because
    /// the office closes the day's registers by then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lapse_after: Option<String>,
}

impl HoldSettings {
    /// The shortest time before a mark lapses. In a shorter one nobody could release it.
    pub const SHORTEST: TimeDelta = TimeDelta::minutes(5);
    /// The longest time before a mark lapses. An older one no longer belongs into a register unseen.
    pub const LONGEST: TimeDelta = TimeDelta::days(7);

    /// `lapse_after`, if it is a duration within the bounds.
    pub(crate) fn parse_lapse_after(text: &str) -> Option<TimeDelta> {
        let after = TimeDelta::from_std(humantime::parse_duration(text.trim()).ok()?).ok()?;
        (Self::SHORTEST..=Self::LONGEST)
            .contains(&after)
            .then_some(after)
    }
}
