//! Lengths of time as settings write them: `500ms`, `5m`, `4h`, `7d`.

use std::time::Duration;

use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

/// What is longer would lead out of the calendar, and is a slip.
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
        D::Error::custom("this is no length of time such as \"500ms\", \"5m\", \"4h\" or \"7d\"")
    })?;
    if span > LONGEST {
        return Err(D::Error::custom(
            "this is longer than a hundred years; write a shorter time",
        ));
    }
    Ok(span)
}

/// One that may be left out, for `#[serde(deserialize_with = …)]`.
pub(super) fn optional<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Duration>, D::Error> {
    deserialize(deserializer).map(Some)
}

/// What the JSON Schema says of one.
pub(super) fn schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({
        "type": "string",
        "pattern": r"^\s*(\d+\s*[a-zA-Zµ]+\s*)+$",
        "examples": ["500ms", "5m", "4h", "7d"],
    })
}
