//! The states of an event, and what an operator can do in each.

use serde::{Deserialize, Serialize};
use strum::{EnumString, IntoStaticStr, VariantArray};

use crate::settings::nearest;

/// The name for all states that wait for a person.
const PROBLEM: &str = "problem";

/// An unknown state name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no state `{word}`; {}", self.help())]
pub struct UnknownState {
    /// The name.
    pub word: String,
}

impl UnknownState {
    /// What to write instead.
    pub fn help(&self) -> String {
        let words: Vec<_> = EventState::ALL.iter().map(|state| state.as_str()).collect();
        match nearest(&self.word, words.iter().copied().chain([PROBLEM])) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => format!(
                "there are: {}, and `{PROBLEM}` for all that wait for a person",
                words.join(", ")
            ),
        }
    }
}

/// The state of an event.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    schemars::JsonSchema,
    EnumString,
    IntoStaticStr,
    VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum EventState {
    /// Received, not decided yet; `waiting` tells why, if there is a reason.
    Received,
    /// Decided: nothing to write.
    Skipped,
    /// Decided: a mark that waits until a person releases or drops it.
    Held,
    /// Decided: a mark to write.
    Planned,
    /// Sent with an unknown outcome; the register is read before it is sent again.
    Sent,
    /// Accepted by Wonde, which passes it on.
    Accepted,
    /// In the MIS.
    Confirmed,
    /// Refused by Wonde or the MIS.
    Rejected,
    /// Not known in time to be in the MIS.
    Unconfirmed,
    /// Replaced by a newer mark for the same pupil, date and session before it was sent.
    Superseded,
    /// Could not be decided or sent; waits for a person.
    Failed,
    /// Discarded by an operator.
    Discarded,
    /// Withdrawn, because it was wrong; its mark is not in the MIS, or was repaired.
    Withdrawn,
}

impl EventState {
    /// All states.
    pub const ALL: &'static [Self] = Self::VARIANTS;

    /// The states with these names. `problem` stands for all that wait for a person.
    ///
    /// # Errors
    /// Returns an error for the first unknown name.
    pub fn read_list<'w>(
        words: impl IntoIterator<Item = &'w str>,
    ) -> Result<Vec<Self>, UnknownState> {
        let mut states = Vec::new();
        for word in words {
            if word == PROBLEM {
                states.extend(Self::ALL.iter().filter(|state| state.needs_person()));
            } else {
                states.push(word.parse().map_err(|_| UnknownState {
                    word: word.to_owned(),
                })?);
            }
        }
        Ok(states)
    }

    /// What an operator can do in this state; `None` if nothing is needed.
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
            Self::Held => {
                "release it to have the mark written, or drop it; if nobody does, it lapses"
            }
            Self::Sent => "wait: the register is read before it is sent again",
            Self::Received
            | Self::Planned
            | Self::Accepted
            | Self::Skipped
            | Self::Confirmed
            | Self::Superseded
            | Self::Discarded
            | Self::Withdrawn => return None,
        })
    }

    /// Whether an operator may retry the event.
    pub fn may_be_retried(self) -> bool {
        matches!(self, Self::Failed | Self::Rejected | Self::Unconfirmed)
    }

    /// Whether it waits for a person.
    pub fn needs_person(self) -> bool {
        self == Self::Held || self.may_be_retried()
    }

    /// Whether nothing more happens by itself.
    pub fn is_final(self) -> bool {
        !matches!(
            self,
            Self::Received | Self::Held | Self::Planned | Self::Sent | Self::Accepted
        )
    }

    /// Whether the feed tells of an event that reaches this state.
    pub fn is_published(self) -> bool {
        !matches!(self, Self::Received | Self::Planned | Self::Sent)
    }

    /// The name in records, metrics and JSON.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}
