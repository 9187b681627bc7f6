//! How far an event has come, and what a person may do about it there.

use serde::{Deserialize, Serialize};

use crate::settings::nearest;

/// The word for all states that wait for a person.
const PROBLEM: &str = "problem";

/// A word that names no state.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no state `{word}`; {}", self.help())]
pub struct UnknownState {
    /// The word.
    pub word: String,
}

impl UnknownState {
    /// What to write instead.
    pub fn help(&self) -> String {
        let words = EventState::ALL.map(EventState::word);
        match nearest(&self.word, words.into_iter().chain([PROBLEM])) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => format!(
                "there are: {}, and `{PROBLEM}` for all that wait for a person",
                words.join(", ")
            ),
        }
    }
}

/// How far an event has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventState {
    /// Taken in, not decided yet; `waiting` tells why, if something is in the way.
    Received,
    /// Decided: nothing is to be written.
    Skipped,
    /// Decided: a mark is to be written.
    Planned,
    /// Sent, and nobody knows whether it was taken; it is looked up before it is sent again.
    Sent,
    /// Wonde has it and will pass it on.
    Accepted,
    /// The MIS has it.
    Confirmed,
    /// Wonde or the MIS would not have it.
    Rejected,
    /// Nobody could tell in time whether the MIS has it.
    Unconfirmed,
    /// A newer mark for the same pupil, date and session took its place before it was sent.
    Superseded,
    /// It could not be decided or sent, and waits for a person.
    Failed,
    /// A person gave it up.
    Discarded,
}

impl EventState {
    /// All states.
    pub const ALL: [Self; 11] = [
        Self::Received,
        Self::Skipped,
        Self::Planned,
        Self::Sent,
        Self::Accepted,
        Self::Confirmed,
        Self::Rejected,
        Self::Unconfirmed,
        Self::Superseded,
        Self::Failed,
        Self::Discarded,
    ];

    /// The states that these words name. `problem` stands for all that wait for a person.
    ///
    /// # Errors
    /// For the first word that is none.
    pub fn read_list<'w>(
        words: impl IntoIterator<Item = &'w str>,
    ) -> Result<Vec<Self>, UnknownState> {
        let mut states = Vec::new();
        for word in words {
            if word == PROBLEM {
                states.extend(Self::ALL.into_iter().filter(|state| state.may_be_retried()));
            } else {
                states.push(Self::of(word).ok_or_else(|| UnknownState {
                    word: word.to_owned(),
                })?);
            }
        }
        Ok(states)
    }

    /// What a person may do about an event in this state; `None` where nothing is to be done.
    pub fn advice(self) -> Option<&'static str> {
        Some(match self {
            Self::Failed => {
                "put right what the outcome names, then retry it; or enter the mark in the MIS by hand and discard it"
            }
            Self::Rejected => {
                "put right what the outcome names, at the school or in the settings, then retry it; or enter the mark in \
                 the MIS by hand and discard it"
            }
            Self::Unconfirmed => {
                "look into the MIS: where the mark is missing, retry it or enter it by hand; where it is there, discard it"
            }
            Self::Sent => "wait: it is looked up in the register before it is sent again",
            Self::Received
            | Self::Planned
            | Self::Accepted
            | Self::Skipped
            | Self::Confirmed
            | Self::Superseded
            | Self::Discarded => return None,
        })
    }

    /// Whether a person may have it tried again from the start.
    pub fn may_be_retried(self) -> bool {
        matches!(self, Self::Failed | Self::Rejected | Self::Unconfirmed)
    }

    /// Whether nothing more happens by itself.
    pub fn is_final(self) -> bool {
        !matches!(
            self,
            Self::Received | Self::Planned | Self::Sent | Self::Accepted
        )
    }

    /// The word for records, metrics and JSON.
    pub fn word(self) -> &'static str {
        match self {
            Self::Received => "received",
            Self::Skipped => "skipped",
            Self::Planned => "planned",
            Self::Sent => "sent",
            Self::Accepted => "accepted",
            Self::Confirmed => "confirmed",
            Self::Rejected => "rejected",
            Self::Unconfirmed => "unconfirmed",
            Self::Superseded => "superseded",
            Self::Failed => "failed",
            Self::Discarded => "discarded",
        }
    }

    /// The state that [`EventState::word`] names.
    pub fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.word() == word)
    }
}
