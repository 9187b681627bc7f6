//! The ledger of one pupil's session as a state machine without I/O: our own marks that the register may hold, oldest
//! first, and the events that stand in the session.
//!
//! The store loads a [`LedgerRow`], applies [`Change`]s and writes it back; `pipeline::decide::view` derives the
//! register's content from it. A refused or discarded mark leaves the list from any place; the others keep their stage
//! and times.

use chrono::{DateTime, TimeDelta, Utc};
use mis_core::{Code, EventKind, HeldCode, HeldMark};
use serde::{Deserialize, Serialize};
use writeback::{Arrival, RegisterMark, Standing};

/// How many marks of a session are kept. Older ones are dropped once a later one is confirmed, because the register no
/// longer holds them.
const MARKS_KEPT: usize = 16;

/// How far Wonde's clock may differ from ours, including times truncated to seconds.
pub(crate) const CLOCK_SLACK: TimeDelta = TimeDelta::seconds(5);

/// The stage of one of our marks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// To be sent, or sent without an answer.
    Planned,
    /// Wonde has accepted it.
    Accepted,
    /// The MIS has it.
    Confirmed,
}

/// What identifies a version of a row in Wonde's copy of the register.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeenMark {
    /// Its code.
    pub code: HeldCode,
    /// When it last changed, by Wonde's clock.
    pub changed_at: DateTime<Utc>,
}

impl SeenMark {
    /// `None` if the copy has no time of change: two versions of the row would look the same.
    pub(crate) fn of(held: &HeldMark) -> Option<Self> {
        Some(Self {
            code: held.code.clone(),
            changed_at: held.changed_at?,
        })
    }
}

/// A mark of ours.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerMark {
    /// The event that wrote it.
    pub event: String,
    /// Its code.
    pub code: Code,
    /// Its comment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// Whole minutes late.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minutes_late: Option<u32>,
    /// When it was first decided.
    #[serde(rename = "planned_ms", with = "chrono::serde::ts_milliseconds")]
    pub planned_at: DateTime<Utc>,
    /// When the accepted request was sent: the mark cannot have been in the MIS before.
    #[serde(
        rename = "sent_ms",
        default,
        skip_serializing_if = "Option::is_none",
        with = "chrono::serde::ts_milliseconds_option"
    )]
    pub sent_at: Option<DateTime<Utc>>,
    /// Whether Wonde accepted the mark. One that was only found in the register may be somebody else's.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub answered: bool,
    /// When it was known to be in the MIS.
    #[serde(
        rename = "confirmed_ms",
        default,
        skip_serializing_if = "Option::is_none",
        with = "chrono::serde::ts_milliseconds_option"
    )]
    pub confirmed_at: Option<DateTime<Utc>>,
    /// The events that stood before it, and stand again if the mark comes to nothing.
    #[serde(default)]
    pub against: Standing,
    /// What Wonde's copy showed at the decision: the row that was overwritten knowingly.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub over: Option<SeenMark>,
    /// Somebody else's mark in whose place it was written; `None` if there was none, or one of ours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub found: Option<RegisterMark>,
    /// Whether it waits for a person's release. Until then it is not on its way to the register.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub held: bool,
    /// Whether its event was withdrawn. It may be in the register all the same, until it is repaired.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub withdrawn: bool,
    /// The withdrawn mark that this one repairs. It may be in the register again if this one comes to nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repairs: Option<Box<LedgerMark>>,
}

/// A mark in whose place another was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MarkBefore {
    pub(crate) mark: RegisterMark,
    /// Whether it is a mark of ours.
    pub(crate) is_ours: bool,
}

impl LedgerMark {
    /// Its stage.
    pub fn stage(&self) -> Stage {
        match (self.confirmed_at, self.sent_at) {
            (Some(_), _) => Stage::Confirmed,
            (None, Some(_)) => Stage::Accepted,
            (None, None) => Stage::Planned,
        }
    }

    /// The mark as the register shows it.
    pub(crate) fn shown(&self) -> RegisterMark {
        RegisterMark {
            code: HeldCode::Known(self.code.clone()),
            comment: self.comment.clone(),
            minutes_late: self.minutes_late,
        }
    }

    /// When it reached its present stage.
    pub(crate) fn since(&self) -> DateTime<Utc> {
        self.confirmed_at
            .or(self.sent_at)
            .unwrap_or(self.planned_at)
    }
}

/// The ledger of one pupil's session.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct LedgerRow {
    /// Our marks that the register may hold, in the order of planning. The register holds the last one, or will.
    pub marks: Vec<LedgerMark>,
    /// The recorded arrival, if any.
    pub arrival: Option<Arrival>,
    /// The events that stand in the session.
    pub standing: Standing,
}

/// A change to the ledger of a session.
#[derive(Clone)]
pub(crate) enum Change {
    /// A mark is planned. It goes above all others.
    Plan {
        mark: LedgerMark,
        standing: Option<Standing>,
    },
    /// A planned mark was decided otherwise before it was sent. It keeps its place among the others.
    Replan(LedgerMark),
    /// Wonde accepted a mark, with what was sent in the end.
    Accept(LedgerMark),
    /// The MIS has this event's mark.
    Confirm(String),
    /// This event's mark was refused after Wonde had accepted it, and is sent again.
    SendAgain(String),
    /// This event's mark is not in the register and will not be: refused, given up, or superseded before it was sent.
    Forget(String),
    /// An operator discarded the event. A mark that Wonde accepted may be in the register all the same, unless its event was
    /// withdrawn: then the operator has put it right.
    Discard(String),
    /// The event was withdrawn: it counts no longer. Its mark stays in the list if it may be in the register.
    Withdraw { event: String, may_stand: bool },
    /// This event's mark waits for a person's release after all.
    Hold(String),
    /// A person released this mark. It goes above all others, because it is sent after them.
    Release(LedgerMark),
    /// The pupil arrived.
    Arrive(Arrival),
    /// The events that stand after a decision without a mark.
    Stand(Standing),
}

/// What became of a row of Wonde's copy that we decided to overwrite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Overwritten {
    /// Nothing is known.
    No,
    /// A mark of ours, planned or sent at this time, will take its place once it is confirmed.
    OnItsWay(DateTime<Utc>),
    /// The MIS has a mark of ours in its place.
    Yes,
}

impl LedgerRow {
    /// Applies a change. Returns whether it applied: a change to a mark that is not in the list does not, and neither
    /// does sending a mark again below a newer one.
    pub(crate) fn apply(&mut self, change: &Change, now: DateTime<Utc>) -> bool {
        match change {
            Change::Plan { mark, standing } => {
                self.take_out(&mark.event);
                self.marks.push(mark.clone());
                if let Some(standing) = standing {
                    self.standing = standing.clone();
                }
                self.drop_oldest();
                true
            }
            Change::Replan(mark) => self.mark_mut(&mark.event).is_some_and(|kept| {
                kept.code = mark.code.clone();
                kept.comment.clone_from(&mark.comment);
                kept.minutes_late = mark.minutes_late;
                kept.over.clone_from(&mark.over);
                kept.found.clone_from(&mark.found);
                true
            }),
            Change::Accept(mark) => {
                self.accept(mark);
                true
            }
            Change::Confirm(event) => self.mark_mut(event).is_some_and(|mark| {
                mark.sent_at.get_or_insert(mark.planned_at);
                mark.confirmed_at = Some(now);
                mark.held = false;
                true
            }),
            Change::SendAgain(event) => {
                let newest = self.newest().is_some_and(|mark| mark.event == *event);
                if let (true, Some(mark)) = (newest, self.mark_mut(event)) {
                    (mark.sent_at, mark.confirmed_at) = (None, None);
                    mark.answered = false;
                } else {
                    self.remove(event);
                }
                newest
            }
            Change::Forget(event) => self.remove(event),
            Change::Discard(event) => match self.mark(event) {
                Some(mark) if mark.withdrawn || mark.repairs.is_some() => {
                    self.take_out(event).is_some()
                }
                Some(mark) if mark.stage() == Stage::Planned => self.remove(event),
                _ => false,
            },
            Change::Withdraw { event, may_stand } => {
                self.withdraw(event, *may_stand);
                true
            }
            Change::Hold(event) => self.mark_mut(event).is_some_and(|mark| {
                mark.held = true;
                true
            }),
            Change::Release(mark) => {
                let known = self.marks.iter().position(|one| one.event == mark.event);
                let mut mark = known.map_or_else(|| mark.clone(), |place| self.marks.remove(place));
                mark.held = false;
                self.marks.push(mark);
                true
            }
            Change::Arrive(arrival) => {
                self.arrival = Some(arrival.clone());
                true
            }
            Change::Stand(standing) => {
                self.standing = standing.clone();
                true
            }
        }
    }

    /// The mark that the register holds or will hold, according to the ledger. One that is held for release is not among
    /// them.
    pub(crate) fn newest(&self) -> Option<&LedgerMark> {
        self.marks.iter().rev().find(|mark| !mark.held)
    }

    /// The same without one event's own mark.
    pub(crate) fn newest_but(&self, event: &str) -> Option<&LedgerMark> {
        self.marks_but(event).next_back()
    }

    /// The marks that the register may hold, without one event's own, oldest first.
    pub(crate) fn marks_but(&self, event: &str) -> impl DoubleEndedIterator<Item = &LedgerMark> {
        let may_hold = move |mark: &&LedgerMark| !mark.held && mark.event != event;
        self.marks.iter().filter(may_hold)
    }

    /// The mark of an event.
    pub(crate) fn mark(&self, event: &str) -> Option<&LedgerMark> {
        self.marks.iter().find(|mark| mark.event == event)
    }

    /// The ledger as it was before the mark of a withdrawn event was repaired.
    pub(crate) fn unrepaired(&self, event: &str) -> Self {
        let mut row = self.clone();
        if let Some(mark) = row.mark_mut(event)
            && let Some(first) = mark.repairs.take()
        {
            *mark = *first;
        }
        row
    }

    /// Adds a mark that is no longer in the list, below those that were planned later. One of the same moment is later, since
    /// this one left the list for it.
    pub(crate) fn enter(&mut self, mark: &LedgerMark) {
        let later = |other: &LedgerMark| other.planned_at >= mark.planned_at;
        let place = self.marks.iter().position(later);
        let place = place.unwrap_or(self.marks.len());
        self.marks.insert(place, mark.clone());
    }

    /// Whether a mark above this event's takes its place, or will.
    pub(crate) fn is_covered(&self, event: &str) -> bool {
        let place = self.marks.iter().position(|mark| mark.event == event);
        let above = place.and_then(|place| self.marks.get(place + 1..));
        above.unwrap_or_default().iter().any(|mark| !mark.held)
    }

    /// The mark in whose place this event's was written: somebody else's, or the newest of ours below it that was not
    /// withdrawn.
    pub(crate) fn before(&self, event: &str) -> Option<MarkBefore> {
        let place = self.marks.iter().position(|mark| mark.event == event)?;
        let mut wrong = self.marks.get(place)?;
        let mut below = self.marks.get(..place)?.iter().rev();
        loop {
            if let Some(found) = &wrong.found {
                let mark = found.clone();
                return Some(MarkBefore {
                    mark,
                    is_ours: false,
                });
            }
            match below.find(|mark| !mark.held) {
                Some(mark) if mark.withdrawn => wrong = mark,
                Some(mark) => {
                    return Some(MarkBefore {
                        mark: mark.shown(),
                        is_ours: true,
                    });
                }
                // A mark of a version that did not keep what it found.
                None => {
                    let seen = wrong.over.as_ref()?;
                    let mark = RegisterMark {
                        code: seen.code.clone(),
                        comment: None,
                        minutes_late: None,
                    };
                    return Some(MarkBefore {
                        mark,
                        is_ours: false,
                    });
                }
            }
        }
    }

    /// The events that stand without one event's own mark.
    pub(crate) fn standing_but(&self, event: &str) -> Standing {
        let mut standing = self.standing.clone();
        if let Some(own) = self.mark(event) {
            take_back(&mut standing, own);
        }
        standing
    }

    /// Whether the MIS has a mark of ours that is later than this event's.
    pub(crate) fn is_replaced(&self, event: &str) -> bool {
        let place = self.marks.iter().position(|mark| mark.event == event);
        let later = match place {
            Some(place) => self.marks.get(place + 1..).unwrap_or_default(),
            None => self
                .marks
                .last()
                .map(std::slice::from_ref)
                .unwrap_or_default(),
        };
        later.iter().any(|mark| mark.stage() == Stage::Confirmed)
    }

    /// Whether a row equal to this event's mark may be an earlier mark of ours that another of ours replaces: the copy
    /// may be old, and its times may be those of the copy.
    pub(crate) fn may_be_earlier(&self, held: &HeldMark, event: &str) -> bool {
        let says_it = |mark: &LedgerMark| held.code == HeldCode::Known(mark.code.clone());
        let Some(below) = self.newest_but(event).filter(|below| !says_it(below)) else {
            return false;
        };
        let newer_for_certain = below
            .confirmed_at
            .zip(held.changed_at)
            .is_some_and(|(confirmed, changed)| changed > confirmed);
        !newer_for_certain && self.marks_but(event).any(says_it)
    }

    /// Whether a sign-out wrote this mark, so that the pupil's return may replace it.
    pub(crate) fn is_of_a_sign_out(&self, mark: &LedgerMark) -> bool {
        self.standing
            .chosen
            .as_ref()
            .is_some_and(|chosen| chosen.kind == EventKind::SignOut && chosen.event == mark.event)
    }

    /// Whether a row of Wonde's copy with the code of our mark is that mark: Wonde accepted it, and the row changed
    /// between the sending and the confirmation. A later change is somebody else's. `None` until the mark is confirmed.
    pub(crate) fn is_own_mark(&self, held: &HeldMark) -> Option<bool> {
        let own =
            |mark: &&LedgerMark| !mark.held && held.code == HeldCode::Known(mark.code.clone());
        let mark = self.marks.iter().rev().find(own)?;
        let since_sent = |sent| held.changed_at.is_none_or(|at| at >= sent - CLOCK_SLACK);
        if !mark.answered || !mark.sent_at.is_some_and(since_sent) {
            return Some(false);
        }
        let confirmed = mark.confirmed_at?;
        Some(held.changed_at.is_none_or(|at| at <= confirmed))
    }

    /// Whether we have overwritten a row of Wonde's copy knowingly and later: the MIS has a mark of ours that was
    /// decided in sight of this very row, or above an earlier mark of ours that the row shows, and was sent after the
    /// row had changed. The own mark of an event that is decided again does not count.
    pub(crate) fn overwritten(&self, held: &HeldMark, event: &str) -> Overwritten {
        let Some(seen) = SeenMark::of(held) else {
            return Overwritten::No;
        };
        let marks: Vec<_> = self.marks_but(event).collect();
        let in_sight = marks
            .iter()
            .position(|mark| mark.over.as_ref() == Some(&seen));
        let our_own = marks
            .iter()
            .position(|mark| seen.code == HeldCode::Known(mark.code.clone()));
        let repaired = marks.iter().position(|mark| {
            let first = mark.repairs.as_ref();
            first.is_some_and(|first| seen.code == HeldCode::Known(first.code.clone()))
        });
        let decided_in_sight = |place| in_sight.is_some_and(|first| place >= first);
        let above_our_own = |place| {
            our_own.is_some_and(|first| place > first)
                || repaired.is_some_and(|first| place >= first)
        };
        let knowing = |place| decided_in_sight(place) || above_our_own(place);
        // A row that changed about then may be a newer version that looks the same.
        let later = |sent: DateTime<Utc>| seen.changed_at < sent - CLOCK_SLACK;
        let in_its_place = |(place, mark): &(usize, &&LedgerMark)| {
            knowing(*place) && mark.sent_at.is_some_and(later)
        };
        let confirmed = |(_, mark): (usize, &&LedgerMark)| mark.stage() == Stage::Confirmed;
        if marks.iter().enumerate().filter(in_its_place).any(confirmed) {
            return Overwritten::Yes;
        }
        match marks.iter().enumerate().next_back() {
            Some((place, mark))
                if mark.stage() != Stage::Confirmed && knowing(place) && later(mark.since()) =>
            {
                Overwritten::OnItsWay(mark.since())
            }
            _ => Overwritten::No,
        }
    }

    /// A mark that Wonde accepted although it is not in the list was in hand when it was superseded or discarded. Marks
    /// planned later go after it.
    fn accept(&mut self, mark: &LedgerMark) {
        match self.mark_mut(&mark.event) {
            Some(planned) => {
                let withdrawn = planned.withdrawn;
                *planned = mark.clone();
                planned.withdrawn |= withdrawn;
            }
            None => {
                let later = |other: &LedgerMark| {
                    other.stage() == Stage::Planned && other.planned_at > mark.planned_at
                };
                let place = self.marks.iter().position(later);
                let place = place.unwrap_or(self.marks.len());
                self.marks.insert(place, mark.clone());
            }
        }
    }

    fn mark_mut(&mut self, event: &str) -> Option<&mut LedgerMark> {
        self.marks.iter_mut().find(|mark| mark.event == event)
    }

    /// Removes an event's mark and its effect on what stands. The mark that it was to repair is in its place again.
    fn remove(&mut self, event: &str) -> bool {
        let Some((place, gone)) = self.take_out(event) else {
            return false;
        };
        if let Some(first) = gone.repairs {
            self.marks.insert(place, *first);
        }
        true
    }

    fn take_out(&mut self, event: &str) -> Option<(usize, LedgerMark)> {
        let place = self.marks.iter().position(|mark| mark.event == event)?;
        let gone = self.marks.remove(place);
        self.take_back_all(place, &gone);
        Some((place, gone))
    }

    /// Removes a mark's effect on what stood for the marks from `place` on, and on what stands.
    fn take_back_all(&mut self, place: usize, gone: &LedgerMark) {
        for later in self.marks.iter_mut().skip(place) {
            take_back(&mut later.against, gone);
        }
        take_back(&mut self.standing, gone);
    }

    /// Removes an event's effect on what stands and who arrived, and its mark unless that may be in the register.
    fn withdraw(&mut self, event: &str, may_stand: bool) {
        if !may_stand {
            self.take_out(event);
        } else if let Some(place) = self.marks.iter().position(|mark| mark.event == event)
            && let Some(mark) = self.marks.get_mut(place)
        {
            mark.withdrawn = true;
            let gone = mark.clone();
            self.take_back_all(place + 1, &gone);
        }
        let others = self.marks.iter_mut().filter(|mark| mark.event != event);
        let all = others.map(|mark| &mut mark.against);
        for standing in all.chain([&mut self.standing]) {
            let Standing { clock, chosen } = standing;
            clock.take_if(|clock| clock.event == event);
            chosen.take_if(|chosen| chosen.event == event);
        }
        if self
            .arrival
            .as_ref()
            .is_some_and(|arrival| arrival.event == event)
        {
            self.arrival.clone_from(&self.standing.clock);
        }
    }

    fn drop_oldest(&mut self) {
        let confirmed = |mark: &LedgerMark| mark.stage() == Stage::Confirmed;
        while self.marks.len() > MARKS_KEPT && self.marks.iter().skip(1).any(confirmed) {
            self.marks.remove(0);
        }
    }
}

/// Restores what stood before the event of `mark`.
fn take_back(standing: &mut Standing, mark: &LedgerMark) {
    let Standing { clock, chosen } = standing;
    if clock
        .as_ref()
        .is_some_and(|clock| clock.event == mark.event)
    {
        clock.clone_from(&mark.against.clock);
    }
    if chosen
        .as_ref()
        .is_some_and(|chosen| chosen.event == mark.event)
    {
        chosen.clone_from(&mark.against.chosen);
    }
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
