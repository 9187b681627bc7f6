//! A place in the feed.

use std::{fmt, str::FromStr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A place in the feed: behind an entry. Its text is opaque to readers.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[schemars(with = "String")]
#[serde(into = "String", try_from = "String")]
pub struct Cursor(i64);

/// This text is not a cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is no cursor of the feed")]
pub struct InvalidCursor;

/// Begins each cursor, so that it is not taken for a number that can be computed with.
const MARK: char = 'f';

impl Cursor {
    pub(crate) fn new(number: i64) -> Self {
        Self(number)
    }

    pub(crate) fn number(self) -> i64 {
        self.0
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{MARK}{}", self.0)
    }
}

impl FromStr for Cursor {
    type Err = InvalidCursor;

    fn from_str(text: &str) -> Result<Self, InvalidCursor> {
        let digits = text.strip_prefix(MARK).ok_or(InvalidCursor)?;
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(InvalidCursor);
        }
        digits.parse().map(Self).map_err(|_| InvalidCursor)
    }
}

impl From<Cursor> for String {
    fn from(cursor: Cursor) -> Self {
        cursor.to_string()
    }
}

impl TryFrom<String> for Cursor {
    type Error = InvalidCursor;

    fn try_from(text: String) -> Result<Self, InvalidCursor> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("f0", Some(0))]
    #[case("f9223372036854775807", Some(i64::MAX))]
    #[case("f9223372036854775808", None)]
    #[case("f", None)]
    #[case("f-1", None)]
    #[case("f+1", None)]
    #[case("f 1", None)]
    #[case("1", None)]
    #[case("", None)]
    fn a_cursor_is_read(#[case] text: &str, #[case] number: Option<i64>) {
        assert_eq!(text.parse().ok(), number.map(Cursor));
        if let Some(number) = number {
            assert_eq!(Cursor(number).to_string(), text);
        }
    }
}
