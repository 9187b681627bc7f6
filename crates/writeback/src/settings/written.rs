//! Times and dates in the settings: `"09:00"` in quotes, or a TOML time or date without.

use std::{fmt, marker::PhantomData};

use chrono::{NaiveDate, NaiveTime};
use serde::{Deserialize, Deserializer, Serialize, de};

macro_rules! written {
    ($(#[$doc:meta])* $name:ident, $expected:literal, $pattern:literal, $example:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Serialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// The text as it was written.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.to_owned())
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> Self {
                Self(text)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_any(Written { expected: $expected, to: PhantomData })
            }
        }

        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({
                    "type": "string",
                    "description": $expected,
                    "pattern": $pattern,
                    "examples": [$example],
                })
            }
        }
    };
}

written! {
    /// A time of day in the school's time zone. Stored as written; [`parse`](Self::parse) returns it if it is valid.
    LocalTime, "a time of day such as \"09:00\" or \"09:00:30\"", r"^([01]\d|2[0-3]):[0-5]\d(:[0-5]\d)?$", "09:00"
}

written! {
    /// A calendar date. Stored as written; [`parse`](Self::parse) returns it if it is valid.
    LocalDate, "a date such as \"2026-12-21\"", r"^\d{4}-\d{2}-\d{2}$", "2026-12-21"
}

written! {
    /// Days: one of every week, a date, or the first and the last date. Stored as written; [`parse`](Self::parse) returns
    /// them if they are valid.
    LocalDays, "a day of the week such as \"friday\", a date such as \"2026-12-18\", or two dates with `..` between",
    r"^([A-Za-z]{3,9}|\d{4}-\d{2}-\d{2}( *\.\. *\d{4}-\d{2}-\d{2})?)$", "2026-12-14..2026-12-18"
}

impl LocalTime {
    /// The time, if the text is `HH:MM` or `HH:MM:SS`.
    pub fn parse(&self) -> Option<NaiveTime> {
        let (hour, rest) = two_digits(self.0.trim())?;
        let (minute, rest) = two_digits(rest.strip_prefix(':')?)?;
        let (second, rest) = match rest.strip_prefix(':') {
            Some(rest) => two_digits(rest)?,
            None => (0, rest),
        };
        if rest.is_empty() {
            NaiveTime::from_hms_opt(hour, minute, second)
        } else {
            None
        }
    }
}

impl LocalDate {
    /// The date, if the text is `YYYY-MM-DD`.
    pub fn parse(&self) -> Option<NaiveDate> {
        let text = self.0.trim();
        let shape = text.len() == 10
            && text.bytes().enumerate().all(|(place, byte)| match place {
                4 | 7 => byte == b'-',
                _ => byte.is_ascii_digit(),
            });
        if shape {
            NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()
        } else {
            None
        }
    }
}

fn two_digits(text: &str) -> Option<(u32, &str)> {
    let (digits, rest) = text.split_at_checked(2)?;
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some((digits.parse().ok()?, rest))
}

/// Accepts any scalar as a time or a date. The check of the settings reports invalid ones with their key.
struct Written<T> {
    expected: &'static str,
    to: PhantomData<T>,
}

impl<'de, T: From<String>> de::Visitor<'de> for Written<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expected)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        Ok(text.to_owned().into())
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<T, E> {
        Ok(number.to_string().into())
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<T, E> {
        Ok(number.to_string().into())
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<T, E> {
        Ok(number.to_string().into())
    }

    fn visit_bool<E: de::Error>(self, flag: bool) -> Result<T, E> {
        Ok(flag.to_string().into())
    }

    // An unquoted TOML time or date reaches a visitor as a map that only the `toml` crate's own type can read.
    fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        toml::value::Datetime::deserialize(de::value::MapAccessDeserializer::new(map))
            .map(|written| written.to_string().into())
            .map_err(|_| de::Error::invalid_type(de::Unexpected::Map, &self))
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("09:00", Some((9, 0, 0)))]
    #[case(" 09:00:30 ", Some((9, 0, 30)))]
    #[case("23:59:59", Some((23, 59, 59)))]
    #[case("9:00", None)]
    #[case("24:00", None)]
    #[case("09:60", None)]
    #[case("09:00:60", None)]
    #[case("09:00:00.5", None)]
    #[case("09.00", None)]
    #[case("09:00 Uhr", None)]
    #[case("+9:00", None)]
    #[case("0š:00", None)]
    #[case("", None)]
    fn times(#[case] text: &str, #[case] time: Option<(u32, u32, u32)>) {
        let expected = time.and_then(|(h, m, s)| NaiveTime::from_hms_opt(h, m, s));
        assert_eq!(LocalTime::from(text).parse(), expected);
    }

    #[rstest]
    #[case("2026-12-21", true)]
    #[case("2026-02-29", false)]
    #[case("2026-1-1", false)]
    #[case("21/12/2026", false)]
    #[case("2026-12-21T09:00:00", false)]
    fn dates(#[case] text: &str, #[case] is_one: bool) {
        assert_eq!(LocalDate::from(text).parse().is_some(), is_one);
    }

    #[derive(Deserialize)]
    struct Table {
        time: LocalTime,
        dates: Vec<LocalDate>,
    }

    #[rstest]
    #[case("time = '09:00'\ndates = ['2026-12-21']")]
    #[case("time = 09:00:00\ndates = [2026-12-21]")]
    fn toml_with_and_without_quotes(#[case] text: &str) {
        let table: Table = toml::from_str(text).unwrap();
        assert_eq!(table.time.parse(), NaiveTime::from_hms_opt(9, 0, 0));
        assert_eq!(
            table.dates[0].parse(),
            NaiveDate::from_ymd_opt(2026, 12, 21)
        );
    }

    #[rstest]
    #[case("time = 9\ndates = []", "9")]
    #[case("time = 9.5\ndates = []", "9.5")]
    #[case("time = true\ndates = []", "true")]
    #[case("time = 2026-12-21\ndates = []", "2026-12-21")]
    fn invalid_times_are_kept_for_the_check(#[case] text: &str, #[case] kept: &str) {
        let table: Table = toml::from_str(text).unwrap();
        assert_eq!(table.time.as_str(), kept);
        assert_eq!(table.time.parse(), None);
    }

    #[test]
    fn a_table_is_not_a_time() {
        let error = toml::from_str::<Table>("time = { at = '09:00' }\ndates = []")
            .err()
            .unwrap()
            .to_string();
        assert!(error.contains("a time of day such as \"09:00\""), "{error}");
    }
}
