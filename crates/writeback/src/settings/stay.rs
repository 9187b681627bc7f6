//! The setting for the shortest stay: `"60s"`, `"2m"`, or a whole number of seconds.

use std::fmt;

use chrono::TimeDelta;
use serde::{Deserialize, Deserializer, Serialize, de};

/// The longest allowed value; a longer one is a mistake that would hide real visits.
const LONGEST: TimeDelta = TimeDelta::hours(1);

/// The shortest time between two events of a person. Stored as written; [`parse`](Self::parse) returns the duration if
/// it is valid.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct ShortestStay(String);

impl ShortestStay {
    /// The default.
    pub const DEFAULT: TimeDelta = TimeDelta::seconds(60);

    /// The text as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The duration, if the text is one of at most an hour. Zero disables the check.
    pub fn parse(&self) -> Option<TimeDelta> {
        let text = self.0.trim();
        let stay = match text.parse::<u32>() {
            Ok(seconds) => TimeDelta::seconds(i64::from(seconds)),
            Err(_) => TimeDelta::from_std(humantime::parse_duration(text).ok()?).ok()?,
        };
        (stay <= LONGEST).then_some(stay)
    }
}

impl From<&str> for ShortestStay {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl<'de> Deserialize<'de> for ShortestStay {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Written)
    }
}

impl schemars::JsonSchema for ShortestStay {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "ShortestStay".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "a duration such as \"60s\" or \"2m\", or a whole number of seconds; at most an hour",
            "type": ["string", "integer"],
            "minimum": 0,
            "maximum": 3600,
            "examples": ["60s", "2m", 0],
        })
    }
}

struct Written;

impl de::Visitor<'_> for Written {
    type Value = ShortestStay;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a duration such as \"60s\", or a whole number of seconds")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<ShortestStay, E> {
        Ok(text.into())
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<ShortestStay, E> {
        Ok(ShortestStay(number.to_string()))
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<ShortestStay, E> {
        Ok(ShortestStay(number.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("'60s'", Some(60))]
    #[case("'1m 30s'", Some(90))]
    #[case("'0'", Some(0))]
    #[case("0", Some(0))]
    #[case("45", Some(45))]
    #[case("'1h'", Some(3600))]
    #[case("'61m'", None)]
    #[case("-1", None)]
    #[case("'a minute'", None)]
    #[case("''", None)]
    fn stays(#[case] written: &str, #[case] seconds: Option<i64>) {
        #[derive(Deserialize)]
        struct Table {
            stay: ShortestStay,
        }
        let table: Table = toml::from_str(&format!("stay = {written}")).unwrap();
        assert_eq!(table.stay.parse(), seconds.map(TimeDelta::seconds));
    }
}
