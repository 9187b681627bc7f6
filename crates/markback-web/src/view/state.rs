//! The states of an event as pages show them: a word and a shape, beside a colour.

use markback::service::EventState;

/// What a state means to the office.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    /// Somebody has to act.
    Needs,
    /// A mark waits for a release.
    Held,
    /// A mark is on its way.
    OnItsWay,
    /// A mark is in the MIS.
    Done,
    /// Nothing is written.
    Nothing,
}

impl Outcome {
    /// All, those that matter most first.
    pub const ALL: [Self; 5] = [
        Self::Needs,
        Self::Held,
        Self::OnItsWay,
        Self::Done,
        Self::Nothing,
    ];

    /// What a state means.
    pub fn of(state: EventState) -> Self {
        match state {
            EventState::Failed | EventState::Rejected | EventState::Unconfirmed => Self::Needs,
            EventState::Held => Self::Held,
            EventState::Received
            | EventState::Planned
            | EventState::Sent
            | EventState::Accepted => Self::OnItsWay,
            EventState::Confirmed => Self::Done,
            EventState::Skipped
            | EventState::Superseded
            | EventState::Discarded
            | EventState::Withdrawn => Self::Nothing,
        }
    }

    /// Its words.
    pub fn words(self) -> &'static str {
        match self {
            Self::Needs => "needs somebody",
            Self::Held => "waits for a release",
            Self::OnItsWay => "on its way",
            Self::Done => "in the register",
            Self::Nothing => "nothing to write",
        }
    }

    /// Its words after a number: `2 need somebody`.
    pub fn after(self, number: usize) -> &'static str {
        match self {
            _ if number == 1 => self.words(),
            Self::Needs => "need somebody",
            Self::Held => "wait for a release",
            Self::OnItsWay => "on their way",
            Self::Done | Self::Nothing => self.words(),
        }
    }

    /// Its class in the style, and the end of the id of its shape in a picture.
    pub fn class(self) -> &'static str {
        match self {
            Self::Needs => "needs",
            Self::Held => "held",
            Self::OnItsWay => "way",
            Self::Done => "done",
            Self::Nothing => "nothing",
        }
    }

    /// The path of its shape: about 6 units wide, around 0, 0.
    pub fn shape(self) -> &'static str {
        match self {
            // A triangle, a square, a ring, a disc, a small ring.
            Self::Needs => "M0-3.6 3.6 2.9H-3.6z",
            Self::Held => "M-2.8-2.8H2.8V2.8H-2.8z",
            Self::OnItsWay => "M-2.5 0a2.5 2.5 0 1 0 5 0a2.5 2.5 0 1 0-5 0z",
            Self::Done => "M-3 0a3 3 0 1 0 6 0a3 3 0 1 0-6 0z",
            Self::Nothing => "M-2 0a2 2 0 1 0 4 0a2 2 0 1 0-4 0z",
        }
    }
}

/// What the office calls a state.
pub fn word(state: EventState) -> &'static str {
    match state {
        EventState::Received => "not decided yet",
        EventState::Skipped => "nothing to write",
        EventState::Held => "waits for a release",
        EventState::Planned => "about to be sent",
        EventState::Sent => "sent, no answer yet",
        EventState::Accepted => "on its way",
        EventState::Confirmed => "in the register",
        EventState::Rejected => "rejected by the MIS",
        EventState::Unconfirmed => "not seen in the register",
        EventState::Superseded => "replaced by a newer mark",
        EventState::Failed => "could not be sent",
        EventState::Discarded => "set aside",
        EventState::Withdrawn => "withdrawn",
    }
}
