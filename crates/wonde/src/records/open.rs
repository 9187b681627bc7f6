//! Records whose properties no source gives in full.

use std::fmt;

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};

use crate::{
    Error, Result,
    error::Effect,
    wire::{
        body::Unreadable,
        time::{self, WrittenTime},
    },
};

/// A record as Wonde sends it, with whatever properties it has. `Debug` names the properties and keeps their values.
///
/// ```
/// use wonde::OpenRecord;
///
/// # fn main() -> Result<(), serde_json::Error> {
/// let json = r#"{"id": "A1", "comment": null, "student": {"data": {"id": "A2"}}}"#;
/// let record: OpenRecord = serde_json::from_str(json)?;
/// assert_eq!(record.id(), Some("A1"));
/// assert_eq!(record.get("comment"), None);
/// assert_eq!(record.related_id("student"), Some("A2"));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct OpenRecord(Map<String, Value>);

impl OpenRecord {
    /// The record's id.
    pub fn id(&self) -> Option<&str> {
        self.get("id")?.as_str()
    }

    /// A property that is present and not null.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    /// The id of a related record, included or not.
    pub fn related_id(&self, name: &str) -> Option<&str> {
        let related = self.get(name)?;
        let related = related.get("data").unwrap_or(related);
        related.get("id").unwrap_or(related).as_str()
    }

    /// The names of all properties, with or without a value.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// A property that is a time or a date, in any of the forms in which Wonde writes one. `None` if it is absent or something
    /// else.
    pub fn time(&self, name: &str) -> Option<WrittenTime> {
        time::written(self.get(name)?).ok().flatten()
    }

    /// All properties.
    pub fn into_map(self) -> Map<String, Value> {
        self.0
    }

    /// Reads the record as a type of the caller's own.
    ///
    /// # Errors
    /// [`Decode`](crate::ErrorKind::Decode) if a property does not fit the type.
    pub fn read<T: DeserializeOwned>(self) -> Result<T> {
        serde_path_to_error::deserialize(Value::Object(self.0)).map_err(|error| {
            let words = format!("`{}` does not match the requested type", error.path());
            Error::unreadable(Unreadable::Misfit(words), Effect::Read)
        })
    }
}

impl<K: Into<String>> FromIterator<(K, Value)> for OpenRecord {
    fn from_iter<I: IntoIterator<Item = (K, Value)>>(properties: I) -> Self {
        Self(
            properties
                .into_iter()
                .map(|(name, value)| (name.into(), value))
                .collect(),
        )
    }
}

impl fmt::Debug for OpenRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}
