//! Writebacks: registers that were accepted and wait to be applied to the MIS.

use std::collections::VecDeque;

use chrono::{DateTime, Utc};

use crate::mis::{Register, Words};
use crate::register::{Entry, Key};

/// The number of settled writebacks that a school remembers; older ones are not found.
const REMEMBERED: usize = 20_000;

/// The effect of a fault on a writeback.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Usual,
    /// Fails, with this message.
    Rejected(String),
    /// Is never applied and never settles.
    Stuck,
    /// Is applied, but has an unknown status.
    Worded(String),
    /// Is applied except for the first mark; the errors name it or not.
    Lossy {
        named: bool,
    },
}

/// The state of a writeback.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Open,
    Done,
    Failed,
}

/// One accepted register.
#[derive(Debug)]
pub(crate) struct Writeback {
    pub(crate) sort: Register,
    pub(crate) accepted: DateTime<Utc>,
    /// When it is written into the MIS, if that is online.
    pub(crate) due: DateTime<Utc>,
    pub(crate) fate: Fate,
    pub(crate) state: State,
    pub(crate) settled: Option<DateTime<Utc>>,
    pub(crate) message: Option<String>,
    /// Marks that were not stored: the position in the register and the reason.
    pub(crate) errors: Vec<(usize, String)>,
    /// The marks to apply, with their positions in the register; emptied when settled.
    pub(crate) marks: Vec<(usize, Key, Entry)>,
    pub(crate) count: usize,
}

impl Writeback {
    /// The status word of this MIS.
    pub(crate) fn status<'a>(&'a self, words: &'a Words, now: DateTime<Utc>) -> &'a str {
        match (&self.fate, self.state) {
            (Fate::Worded(word), State::Done) => word,
            (_, State::Done) => words.done,
            (_, State::Failed) => words.failed,
            (_, State::Open) if now - self.accepted < (self.due - self.accepted) / 2 => {
                words.queued
            }
            (_, State::Open) => words.processing,
        }
    }
}

/// A school's writebacks in the order in which they were accepted.
#[derive(Debug, Default)]
pub(crate) struct Writebacks {
    all: VecDeque<Writeback>,
    forgotten: u32,
    /// Numbers still to be applied, oldest first.
    waiting: VecDeque<u32>,
}

impl Writebacks {
    /// Accepts a writeback and returns its number.
    pub(crate) fn accept(&mut self, writeback: Writeback) -> u32 {
        let number = self.forgotten + u32::try_from(self.all.len()).unwrap_or(u32::MAX);
        if writeback.fate != Fate::Stuck {
            self.waiting.push_back(number);
        }
        self.all.push_back(writeback);
        while self.all.len() > REMEMBERED
            && self
                .all
                .front()
                .is_some_and(|w| w.state != State::Open || w.fate == Fate::Stuck)
        {
            self.all.pop_front();
            self.forgotten += 1;
        }
        number
    }

    pub(crate) fn get(&self, number: u32) -> Option<&Writeback> {
        self.all.get(number.checked_sub(self.forgotten)? as usize)
    }

    pub(crate) fn get_mut(&mut self, number: u32) -> Option<&mut Writeback> {
        self.all
            .get_mut(number.checked_sub(self.forgotten)? as usize)
    }

    /// The oldest writeback that is due, with its time. Writebacks are applied in order.
    pub(crate) fn next_due(&self, now: DateTime<Utc>) -> Option<(u32, DateTime<Utc>)> {
        let number = *self.waiting.front()?;
        let due = self.get(number).map_or(now, |w| w.due);
        (due <= now).then_some((number, due))
    }

    /// Removes the oldest writeback from the queue.
    pub(crate) fn shift(&mut self) {
        self.waiting.pop_front();
    }

    /// Delays waiting writebacks until `t`.
    pub(crate) fn hold_until(&mut self, t: DateTime<Utc>) {
        for number in self.waiting.clone() {
            if let Some(writeback) = self.get_mut(number) {
                writeback.due = writeback.due.max(t);
            }
        }
    }

    /// Applies waiting writebacks from `t` on, because the MIS is back earlier than planned.
    pub(crate) fn release(&mut self, t: DateTime<Utc>) {
        for number in self.waiting.clone() {
            if let Some(writeback) = self.get_mut(number) {
                writeback.due = writeback.due.min(t.max(writeback.accepted));
            }
        }
    }

    /// Whether the school has writebacks.
    pub(crate) fn any(&self) -> bool {
        !self.all.is_empty()
    }

    /// All remembered writebacks, with their numbers.
    pub(crate) fn newest_first(&self) -> impl Iterator<Item = (u32, &Writeback)> {
        (self.forgotten..)
            .zip(&self.all)
            .collect::<Vec<_>>()
            .into_iter()
            .rev()
    }

    /// The number that wait, and the number that are settled or never settle.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.len()
    }
}
