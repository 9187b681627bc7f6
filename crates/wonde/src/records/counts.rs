//! Counts, and deleted rows.

use std::{collections::BTreeMap, fmt};

use chrono::{DateTime, Utc};
use serde::{
    Deserialize, Deserializer,
    de::{Error, IgnoredAny, MapAccess, Visitor},
};

use crate::wire::{instant, scalar, text};

/// How many rows of each kind a school has, by Wonde's name for the kind: `students`. The format is not
/// known \[?\]: numbers, numbers as text, and `{count}`, `{total}` or `{data: ...}` around them are accepted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts(BTreeMap<String, u64>);

impl Counts {
    /// The count of a kind; `None` if it was not requested or is not allowed.
    pub fn get(&self, kind: &str) -> Option<u64> {
        self.0.get(kind).copied()
    }

    /// All counts, by kind.
    pub fn iter(&self) -> impl Iterator<Item = (&str, u64)> {
        self.0.iter().map(|(kind, count)| (kind.as_str(), *count))
    }
}

impl<'de> Deserialize<'de> for Counts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let counts = BTreeMap::<String, Count>::deserialize(deserializer)?;
        Ok(Self(
            counts
                .into_iter()
                .filter_map(|(kind, count)| Some((kind, count.0?)))
                .collect(),
        ))
    }
}

struct Count(Option<u64>);

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(CountVisitor).map(Self)
    }
}

struct CountVisitor;

impl<'de> Visitor<'de> for CountVisitor {
    type Value = Option<u64>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a count")
    }

    fn visit_unit<E: Error>(self) -> Result<Option<u64>, E> {
        Ok(None)
    }

    fn visit_u64<E: Error>(self, count: u64) -> Result<Option<u64>, E> {
        Ok(Some(count))
    }

    fn visit_str<E: Error>(self, count: &str) -> Result<Option<u64>, E> {
        count
            .trim()
            .parse()
            .map(Some)
            .map_err(|_| scalar::expected("a count"))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Option<u64>, A::Error> {
        let mut found = None;
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "count" | "total" | "data" => found = found.or(map.next_value::<Count>()?.0),
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(found)
    }
}

/// A row that was deleted from a school's data, or restored \[T\]. Only top-level rows are listed, so a full read is
/// still needed now and then.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct Deletion {
    /// The kind of row, in Wonde's words: `student`.
    #[serde(default, rename = "type", deserialize_with = "text")]
    pub kind: Option<String>,
    /// The id the row had.
    #[serde(deserialize_with = "scalar::id")]
    pub id: String,
    /// The MIS's own key of it.
    #[serde(default, deserialize_with = "text")]
    pub mis_id: Option<String>,
    /// When it was deleted.
    #[serde(default, deserialize_with = "instant")]
    pub deleted_at: Option<DateTime<Utc>>,
    /// When it was restored, if it was.
    #[serde(default, deserialize_with = "instant")]
    pub restored_at: Option<DateTime<Utc>>,
}

impl Deletion {
    /// Whether the row is deleted and has not been restored since.
    pub fn is_gone(&self) -> bool {
        match (self.deleted_at, self.restored_at) {
            (_, None) => true,
            (None, Some(_)) => false,
            (Some(deleted), Some(restored)) => restored < deleted,
        }
    }
}
