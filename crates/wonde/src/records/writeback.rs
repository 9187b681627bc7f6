//! What became of a register that was handed in.

use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use super::{
    debug_only,
    failures::{Failures, MarkFailure},
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

/// How far a register that was handed in has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WritebackStatus {
    /// It is in the MIS.
    Done,
    /// It is not, and will not be.
    Refused,
    /// Neither is known. Settle it in time by reading the register back.
    Open,
}

impl WritebackStatus {
    /// Reads Wonde's word. Which words there are is not known \[?\]: those that can only mean an end count as one, and
    /// every other leaves it open.
    pub fn from_word(word: &str) -> Self {
        match word.trim().to_ascii_lowercase().as_str() {
            "success" | "successful" | "complete" | "completed" | "processed" | "written" => {
                Self::Done
            }
            "fail" | "failed" | "error" | "rejected" | "cancelled" => Self::Refused,
            _ => Self::Open,
        }
    }
}

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
    pub(crate) fn into_writeback(self, asked: &WritebackId) -> Writeback {
        let found = Failures::read(&self.more);
        let text = |key: &str| {
            let text = self.more.get(key)?.as_str()?;
            (!text.is_empty()).then(|| text.to_owned())
        };
        let of_a_mark = || found.marks.iter().find_map(|mark| mark.said.clone());
        Writeback {
            id: self
                .writeback_id
                .or(self.id)
                .unwrap_or_else(|| asked.clone()),
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

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::WritebackStatus::{self, Done, Open, Refused};

    #[rstest]
    #[case("success", Done)]
    #[case("successful", Done)]
    #[case("complete", Done)]
    #[case("Completed", Done)]
    #[case("processed", Done)]
    #[case(" WRITTEN ", Done)]
    #[case("fail", Refused)]
    #[case("failed", Refused)]
    #[case("error", Refused)]
    #[case("Rejected", Refused)]
    #[case("cancelled", Refused)]
    #[case("pending", Open)]
    #[case("unsuccessful", Open)]
    #[case("incomplete", Open)]
    #[case("", Open)]
    fn words(#[case] word: &str, #[case] status: WritebackStatus) {
        assert_eq!(WritebackStatus::from_word(word), status);
    }
}
