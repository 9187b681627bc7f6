//! Step 7, the order of a pupil's events in a session: one that is delivered late does not stand above a later one.

use chrono::{DateTime, FixedOffset};
use mis_core::Mark;

use super::{Deciding, Stop, code::Chosen, skip};
use crate::{
    decision::{Planned, SkipReason},
    rules::Rules,
    text::span,
    view::{Arrival, ChosenMark, Standing},
};

impl Deciding<'_> {
    /// What is to be written after all, whatever order the events came in. Of two at the same instant the one that is
    /// decided last counts as the later.
    pub(super) fn in_turn(&mut self, rules: &Rules, planned: Planned) -> Result<Planned, Stop> {
        if planned.rule.is_time_based() {
            self.clock_in_turn(rules, planned)
        } else {
            self.chosen_in_turn(planned)
        }
    }

    /// A code that an answer or the leaver code chose: it stands until a later event says otherwise.
    fn chosen_in_turn(&mut self, planned: Planned) -> Result<Planned, Stop> {
        let Standing { clock, chosen } = &self.view.standing;
        self.not_before(chosen.as_ref().map(|chosen| chosen.at))?;
        self.standing = Some(Standing {
            clock: clock.clone(),
            chosen: Some(ChosenMark {
                event: self.event.id.clone(),
                at: self.event.at,
                kind: self.event.kind,
                rule: planned.rule,
                code: planned.mark.code.clone(),
                comment: planned.mark.comment.clone(),
            }),
        });
        self.not_before(clock.as_ref().map(|clock| clock.at))?;
        Ok(planned)
    }

    /// A code that the clock chose. Where the first arrival stands this is one, so a later sign-in that was taken for it is
    /// none any more, and what that had been written above counts again.
    fn clock_in_turn(&mut self, rules: &Rules, planned: Planned) -> Result<Planned, Stop> {
        let Standing { clock, chosen } = &self.view.standing;
        let other = clock.as_ref().filter(|clock| clock.event != self.event.id);
        if !rules.first_arrival_stands {
            self.not_before(other.map(|other| other.at))?;
        }
        self.standing = Some(Standing {
            clock: Some(Arrival {
                event: self.event.id.clone(),
                at: self.event.at,
            }),
            chosen: chosen.clone(),
        });
        match chosen {
            Some(chosen)
                if rules.first_arrival_stands
                    && chosen.at > self.event.at
                    && other.is_some_and(|other| other.at >= chosen.at) =>
            {
                self.again(chosen, planned)
            }
            _ => {
                self.not_before(chosen.as_ref().map(|chosen| chosen.at))?;
                Ok(planned)
            }
        }
    }

    fn not_before(&self, other: Option<DateTime<FixedOffset>>) -> Result<(), Stop> {
        match other {
            Some(other) if other > self.event.at => {
                let detail = format!(
                    "an event {} later has had its say in this session, and the later one stands",
                    span(other.signed_duration_since(self.event.at))
                );
                Err(skip(SkipReason::LaterEventStands, detail))
            }
            _ => Ok(()),
        }
    }

    /// The mark of an answer or a sign-out that a later sign-in had taken the place of by mistake.
    fn again(&mut self, chosen: &ChosenMark, planned: Planned) -> Result<Planned, Stop> {
        self.step(format!(
            "this is the first arrival; {} later came {}, which a sign-in after it replaced that was not the first: {} \
             counts again",
            span(chosen.at.signed_duration_since(self.event.at)),
            chosen.code,
            chosen.code
        ));
        let code = self.known(&Chosen {
            code: chosen.code.clone(),
            rule: chosen.rule,
        })?;
        // What was left out was this event's own.
        self.dropped.clear();
        Ok(Planned {
            mark: Mark {
                code,
                cause: chosen.kind,
                comment: chosen.comment.clone(),
                minutes_late: None,
                ..planned.mark
            },
            code_id: None,
            rule: chosen.rule,
        })
    }

    /// A pupil who was in time, of whom a later sign-in was taken for the first, at a school that writes no present marks:
    /// that mark is wrong, and nothing can be written in its place.
    pub(super) fn in_time_after_all(&mut self, rules: &Rules, stop: &Stop) {
        let Standing { clock, chosen } = &self.view.standing;
        let Some(other) = clock.as_ref().filter(|other| {
            rules.first_arrival_stands
                && other.at > self.event.at
                && matches!(stop, Stop::Skip(SkipReason::PresentWritebackOff, _))
        }) else {
            return;
        };
        self.standing = Some(Standing {
            clock: None,
            chosen: chosen.clone(),
        });
        if chosen.as_ref().is_none_or(|chosen| chosen.at < other.at) {
            self.step(format!(
                "a sign-in {} later was taken for the first and marked; no mark can be taken back: correct it in the MIS",
                span(other.at.signed_duration_since(self.event.at))
            ));
        }
    }
}
