//! Step 7, the order of a pupil's events in a session: an event delivered late does not override a later one.

use chrono::{DateTime, FixedOffset};
use mis_core::{Code, EventKind, Mark};

use super::{Deciding, Stop, code::Chosen, skip};
use crate::{
    decision::{PlannedMark, SkipReason},
    rule::Rule,
    rules::{Place, Rules},
    text::span,
    view::{Arrival, ChosenMark, RegisterSource, RegisterView, Standing},
};

impl Deciding<'_> {
    /// The mark to write independent of the order of delivery. Of two events at the same instant, the one that is
    /// decided last counts as the later one.
    pub(super) fn in_turn(
        &mut self,
        rules: &Rules,
        place: Place,
        planned: PlannedMark,
    ) -> Result<PlannedMark, Stop> {
        if planned.rule.is_time_based() {
            self.clock_in_turn(rules, place, planned)
        } else {
            self.chosen_in_turn(rules, place, planned)
        }
    }

    /// The standing events, without a double tap of this event.
    pub(super) fn standing_before(&self, rules: &Rules) -> Standing {
        let Standing { clock, chosen } = self.view.standing.clone();
        Standing {
            clock: clock.filter(|clock| !self.was_tapped_twice(rules, EventKind::SignIn, clock.at)),
            chosen: chosen.filter(|chosen| !self.was_tapped_twice(rules, chosen.kind, chosen.at)),
        }
    }

    /// A code from an answer or the leaver code: it applies until a later event replaces it.
    fn chosen_in_turn(
        &mut self,
        rules: &Rules,
        place: Place,
        planned: PlannedMark,
    ) -> Result<PlannedMark, Stop> {
        let Standing { mut clock, chosen } = self.standing_before(rules);
        self.not_before(chosen.as_ref().map(|chosen| chosen.at))?;
        let this = ChosenMark {
            event: self.event.id.clone(),
            at: self.event.at,
            kind: self.event.kind,
            rule: planned.rule,
            code: planned.mark.code.clone(),
            comment: planned.mark.comment.clone(),
        };
        let later = clock.as_ref().filter(|clock| clock.at > self.event.at);
        if later.is_none()
            && let Some(back) = self.back_since(rules, place)
        {
            return self.returned_already(rules, place, this, back);
        }
        // Its mark was written only because of an earlier sign-out, which is no longer the last event before it.
        let only_a_return = |clock: &Arrival| {
            !rules.present
                && self.event.kind == EventKind::SignIn
                && self.is_in_time(rules, place, clock.at)
        };
        if later.is_some_and(only_a_return) {
            clock = None;
        }
        let at = clock.as_ref().map(|clock| clock.at);
        self.standing = Some(Standing {
            clock,
            chosen: Some(this),
        });
        self.not_before(at)?;
        Ok(planned)
    }

    /// A code chosen by time. If the first arrival stands, this sign-in is the first one, so a later sign-in that was
    /// taken for the first no longer counts, and a mark that it had replaced applies again.
    fn clock_in_turn(
        &mut self,
        rules: &Rules,
        place: Place,
        planned: PlannedMark,
    ) -> Result<PlannedMark, Stop> {
        let Standing { clock, chosen } = self.standing_before(rules);
        let other = clock.filter(|clock| clock.event != self.event.id);
        if !rules.first_arrival_stands {
            self.not_before(other.as_ref().map(|other| other.at))?;
        }
        self.standing = Some(Standing {
            clock: Some(self.as_arrival()),
            chosen: chosen.clone(),
        });
        match &chosen {
            Some(chosen)
                if rules.first_arrival_stands
                    && chosen.at > self.event.at
                    && other.is_some_and(|other| other.at >= chosen.at) =>
            {
                self.again(rules, place, chosen)
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
                    "an event {} later was already decided in this session, and the later one stands",
                    span(other.signed_duration_since(self.event.at))
                );
                Err(skip(SkipReason::LaterEventStands, detail))
            }
            _ => Ok(()),
        }
    }

    /// The mark of an answer or a sign-out that a later sign-in had replaced wrongly.
    fn again(
        &mut self,
        rules: &Rules,
        place: Place,
        chosen: &ChosenMark,
    ) -> Result<PlannedMark, Stop> {
        self.step(format!(
            "this is the first arrival; {} came {} and was replaced by a sign-in that was not the first: {} applies \
             again",
            chosen.code,
            self.apart(chosen.at),
            chosen.code
        ));
        self.mark_of(
            rules,
            place,
            chosen.kind,
            chosen.rule,
            &chosen.code,
            chosen.comment.clone(),
        )
    }

    /// The mark of another event of this session.
    fn mark_of(
        &mut self,
        rules: &Rules,
        place: Place,
        cause: EventKind,
        rule: Rule,
        code: &Code,
        comment: Option<String>,
    ) -> Result<PlannedMark, Stop> {
        let code = code.clone();
        let code = self.known(&Chosen { code, rule })?;
        // The dropped parts belong to this event's own mark.
        self.dropped.clear();
        Ok(PlannedMark {
            mark: Mark {
                student: self.student.clone(),
                date: place.date,
                session: place.session,
                code,
                cause,
                comment,
                minutes_late: None,
                employee: rules.employee.clone(),
            },
            code_id: None,
            rule,
        })
    }

    /// A pupil who was in time, at a school that writes no present marks. If a later sign-in was taken for the first, its
    /// mark is wrong: the code of an answer or a sign-out applies again, and without one nothing can be written in its
    /// place.
    pub(super) fn in_time_after_all(
        &mut self,
        rules: &Rules,
        place: Place,
        stop: Stop,
    ) -> Result<PlannedMark, Stop> {
        let Standing { clock, chosen } = self.standing_before(rules);
        let Some(other) = clock.filter(|other| {
            rules.first_arrival_stands
                && other.at > self.event.at
                && matches!(stop, Stop::Skip(SkipReason::PresentWritebackOff, _))
        }) else {
            return Err(stop);
        };
        self.standing = Some(Standing {
            clock: None,
            chosen: chosen.clone(),
        });
        match chosen {
            Some(chosen) if chosen.at > other.at => Err(stop),
            Some(chosen) if self.sees_own_mark() || self.view.planned_before => {
                let planned = self.again(rules, place, &chosen)?;
                self.not_protected(rules, &planned.mark.code)?;
                Ok(planned)
            }
            _ => {
                self.step(format!(
                    "a sign-in {} later was taken for the first and marked; a mark cannot be removed, so correct it in the MIS",
                    span(other.at.signed_duration_since(self.event.at))
                ));
                Err(stop)
            }
        }
    }

    /// Our sign-out's mark in this session, if this sign-in is the first arrival after it: the pupil has returned.
    pub(super) fn left_before(&self, rules: &Rules) -> Option<ChosenMark> {
        let chosen = self.view.standing.chosen.clone()?;
        let before =
            chosen.at <= self.event.at || self.was_tapped_twice(rules, chosen.kind, chosen.at);
        let arrived =
            self.view.arrival.as_ref().is_some_and(|arrival| {
                arrival.event != self.event.id && arrival.at <= self.event.at
            });
        let left = self.event.kind == EventKind::SignIn
            && chosen.kind == EventKind::SignOut
            && chosen.event != self.event.id
            && before
            && !arrived;
        left.then_some(chosen)
    }

    /// Whether the register holds our own mark of that sign-out, or of a later sign-in that was taken for the arrival, and
    /// nobody else has changed it since.
    pub(super) fn is_untouched(&self, left: &ChosenMark) -> bool {
        let replaced = |clock: &Arrival| clock.at > self.event.at;
        self.sees_own_mark()
            && (self.holds(&left.code) || self.view.standing.clock.as_ref().is_some_and(replaced))
    }

    /// Whether a sign-in in time is a return with a present mark although present marks are off.
    pub(super) fn returns(&self, rules: &Rules) -> Option<ChosenMark> {
        self.left_before(rules).filter(|left| {
            self.is_untouched(left)
                || self.view.planned_before && (self.holds_nothing() || self.holds(&left.code))
        })
    }

    /// Whether a sign-in after our sign-out's mark is a return depends on what the register holds: without seeing it, skipping
    /// would leave a pupil who is back marked as gone.
    pub(super) fn not_unseen_after_leaving(&self, rules: &Rules) -> Result<(), Stop> {
        match (self.left_before(rules), &self.view.register) {
            (Some(left), RegisterView::CannotLook { why }) => Err(Stop::Wait(format!(
                "the pupil left {} ({}), and whether that mark still stands cannot be seen: {why}",
                self.apart(left.at),
                left.code
            ))),
            _ => Ok(()),
        }
    }

    /// The arrival in time that was delivered before this sign-out and happened after it.
    fn back_since(&self, rules: &Rules, place: Place) -> Option<Arrival> {
        let arrival = self.view.arrival.clone()?;
        let back = self.event.kind == EventKind::SignOut
            && arrival.event != self.event.id
            && arrival.at > self.event.at
            && !self.was_tapped_twice(rules, EventKind::SignIn, arrival.at)
            && self.is_in_time(rules, place, arrival.at);
        back.then_some(arrival)
    }

    /// A sign-out delivered after the return in time: the session is present, as if it had come first.
    fn returned_already(
        &mut self,
        rules: &Rules,
        place: Place,
        this: ChosenMark,
        back: Arrival,
    ) -> Result<PlannedMark, Stop> {
        let code = rules.present_code(place.session);
        self.step(format!(
            "the pupil came back {} later, in time, and had not arrived before: the arrival replaces {} → {code}",
            span(back.at.signed_duration_since(self.event.at)),
            this.code
        ));
        self.standing = Some(Standing {
            clock: Some(back),
            chosen: Some(this),
        });
        self.mark_of(rules, place, EventKind::SignIn, Rule::Present, code, None)
    }

    fn is_in_time(&self, rules: &Rules, place: Place, at: DateTime<FixedOffset>) -> bool {
        rules.place(at, self.view.timezone).is_ok_and(|other| {
            (other.date, other.session) == (place.date, place.session)
                && rules.clock(other).in_time(other.time)
        })
    }

    fn as_arrival(&self) -> Arrival {
        Arrival {
            event: self.event.id.clone(),
            at: self.event.at,
        }
    }

    fn sees_own_mark(&self) -> bool {
        matches!(
            self.view.register,
            RegisterView::Looked {
                held: Some(_),
                source: RegisterSource::OurLedger,
                ..
            }
        )
    }
}
