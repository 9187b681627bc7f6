//! The outcome of a submitted register.

use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use super::{
    debug_only,
    failures::{Failures, MarkFailure},
    status::WritebackStatus,
};
use crate::WritebackId;

/// The response to a write: the register was accepted and goes to the MIS later \[D\]. One id covers all its marks.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct WritebackReceipt {
    /// The id to ask for the outcome with.
    pub writeback_id: WritebackId,
}

/// The state of a submitted register \[C\].
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Writeback {
    /// Its id.
    pub id: WritebackId,
    /// The status, derived from `word`.
    pub status: WritebackStatus,
    /// The status in Wonde's own word.
    pub word: Option<String>,
    /// Wonde's message. It may repeat what was written: show it only to people who may see the mark, and never log it.
    pub message: Option<String>,
    /// The marks that are reported as not written, whatever the overall status \[?\].
    pub failures: Vec<MarkFailure>,
    /// Whether there is an error that cannot be assigned to a mark for certain \[?\]: then any mark may be missing, and
    /// only reading the register back can tell.
    pub unclear: bool,
}

debug_only! { Writeback { id, status, word, failures, unclear } }

/// The response on the wire: the name of the id and the other properties are not known \[?\].
#[derive(Deserialize)]
pub(crate) struct WritebackRow {
    #[serde(default)]
    id: Option<WritebackId>,
    #[serde(default)]
    writeback_id: Option<WritebackId>,
    #[serde(default, deserialize_with = "word")]
    status: Option<String>,
    #[serde(flatten)]
    more: Map<String, Value>,
}

/// A status is a word; anything else is an unknown status.
fn word<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(match serde_json::Value::deserialize(deserializer)? {
        serde_json::Value::String(word) => Some(word),
        serde_json::Value::Number(number) => Some(number.to_string()),
        _ => None,
    })
}

impl WritebackRow {
    /// The id, if the response has one.
    pub(crate) fn id(&self) -> Option<WritebackId> {
        self.writeback_id.clone().or_else(|| self.id.clone())
    }

    pub(crate) fn into_writeback(self, asked: &WritebackId) -> Writeback {
        let found = Failures::read(&self.more);
        let text = |key: &str| {
            let text = self.more.get(key)?.as_str()?;
            (!text.is_empty()).then(|| text.to_owned())
        };
        let of_a_mark = || found.marks.iter().find_map(|mark| mark.said.clone());
        Writeback {
            id: self.id().unwrap_or_else(|| asked.clone()),
            status: self
                .status
                .as_deref()
                .map_or(WritebackStatus::Open, WritebackStatus::from_word),
            word: self.status,
            message: text("message")
                .or_else(|| text("error_description"))
                .or_else(|| text("error"))
                .or_else(|| found.said.clone())
                .or_else(of_a_mark),
            failures: found.marks,
            unclear: found.unclear,
        }
    }
}
