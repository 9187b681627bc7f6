//! What became of a register that was handed in.

use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use super::{
    debug_only,
    failures::{Failures, MarkFailure},
    status::WritebackStatus,
};
use crate::WritebackId;

/// The answer to a write: the register was taken, and goes to the MIS later \[D\]. One id stands for all its marks.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct WritebackReceipt {
    /// What to ask the outcome by.
    pub writeback_id: WritebackId,
}

/// How far a register that was handed in has come \[C\].
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Writeback {
    /// Its id.
    pub id: WritebackId,
    /// How far it has come, read from `word`.
    pub status: WritebackStatus,
    /// Wonde's own word for it.
    pub word: Option<String>,
    /// What Wonde says about it. May repeat what was written: show it to whoever may see the mark, and log it nowhere.
    pub message: Option<String>,
    /// The marks that are named as not written, whatever the word says of the whole \[?\].
    pub failures: Vec<MarkFailure>,
    /// Whether something is said against the register that names no mark for certain \[?\]: then any of its marks may be
    /// missing, and only the register read back can tell.
    pub unclear: bool,
}

debug_only! { Writeback { id, status, word, failures, unclear } }

/// The answer as it comes: which name the id has in it is not known, nor what else there is \[?\].
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

/// A status is a word; where it is anything else, it is one we do not know.
fn word<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(match serde_json::Value::deserialize(deserializer)? {
        serde_json::Value::String(word) => Some(word),
        serde_json::Value::Number(number) => Some(number.to_string()),
        _ => None,
    })
}

impl WritebackRow {
    /// The id, where the answer has one.
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
