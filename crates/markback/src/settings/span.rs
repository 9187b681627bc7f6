//! Durations in the settings: `500ms`, `5m`, `4h`, `7d`.

use std::time::Duration;

use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

/// A longer duration would exceed the calendar, and is a mistake.
const LONGEST: Duration = Duration::from_secs(36_525 * 24 * 60 * 60);

/// For `#[serde(with = …)]`.
pub(super) fn serialize<S: Serializer>(span: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&humantime::format_duration(*span))
}

/// For `#[serde(with = …)]`.
pub(super) fn deserialize<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    let span = humantime::parse_duration(&text).map_err(|_| {
        D::Error::custom("this is not a duration such as \"500ms\", \"5m\", \"4h\" or \"7d\"")
    })?;
    if span > LONGEST {
        return Err(D::Error::custom(
            "this is longer than a hundred years; write a shorter time",
        ));
    }
    Ok(span)
}

/// An optional one, for `#[serde(deserialize_with = …)]`.
pub(super) fn optional<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Duration>, D::Error> {
    deserialize(deserializer).map(Some)
}

/// The JSON Schema of a duration.
pub(super) fn schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({
        "type": "string",
        "pattern": r"^\s*(\d+\s*[a-zA-Zµ]+\s*)+$",
        "examples": ["500ms", "5m", "4h", "7d"],
    })
}
