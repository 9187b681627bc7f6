//! The rules: turn one event into one decision.
//!
//! The order of the steps is part of the rules; [`Deciding::go`] lists them.

use mis_core::{Ability, AttendanceCodeId, Code, EventKind, HeldCode, Mark, NoCode, StudentId};

use crate::{
    decision::{Decision, DecisionOutcome, Hold, PlannedMark, RegisterBefore, SkipReason},
    event::Event,
    reading::same_code,
    rules::{NoSession, Place, Rules},
    settings::GroupKind,
    text::{clip, clock, listed, plain, span},
    view::{GroupContext, RegisterView, Standing, View},
};

mod calendar;
mod code;
mod extras;
mod hold;
mod register;
mod repair;
mod tap;
mod turn;

use code::Chosen;

/// Decides the effect of an event on the register.
///
/// A pure function: everything it needs is an argument. `group` is the first group that takes the person, or `None`;
/// `student` is the pupil's current id at Wonde. `view` must be of the pupil, date and session that
/// [`Rules::session_of`] returns; if that returns none, the register is not needed ([`RegisterView::CannotLook`]).
///
/// An event that was withdrawn after its mark was sent ([`View::withdrawn`]) is decided by what the register has of that
/// mark: the mark before is written again, or a person is told what to do.
pub fn decide(
    event: &Event,
    student: &StudentId,
    group: Option<GroupContext<'_>>,
    view: &View<'_>,
) -> Decision {
    let mut deciding = Deciding {
        event,
        student,
        view,
        steps: Vec::new(),
        dropped: Vec::new(),
        session: None,
        standing: None,
        judged_by_the_clock: false,
        register_told: false,
        hold: None,
    };
    let decided = match &view.withdrawn {
        Some(withdrawn) => deciding.repair(withdrawn, group),
        None => deciding.go(group),
    };
    let outcome = match decided {
        Ok(planned) => DecisionOutcome::Write(planned),
        Err(Stop::Skip(reason, detail)) => DecisionOutcome::Skip { reason, detail },
        Err(Stop::Wait(why)) => DecisionOutcome::Wait { why },
        Err(Stop::Fail(why)) => DecisionOutcome::Fail { why },
    };
    deciding.finish(outcome)
}

/// Why an event has no mark.
enum Stop {
    Skip(SkipReason, String),
    Wait(String),
    Fail(String),
}

fn skip(reason: SkipReason, detail: impl Into<String>) -> Stop {
    Stop::Skip(reason, detail.into())
}

/// A decision in progress.
struct Deciding<'a> {
    event: &'a Event,
    student: &'a StudentId,
    view: &'a View<'a>,
    steps: Vec<String>,
    dropped: Vec<Ability>,
    session: Option<Place>,
    standing: Option<Standing>,
    judged_by_the_clock: bool,
    register_told: bool,
    hold: Option<Hold>,
}

impl Deciding<'_> {
    fn go(&mut self, group: Option<GroupContext<'_>>) -> Result<PlannedMark, Stop> {
        self.counts_for_a_register()?;
        let rules = self.rules_of(group)?;
        self.answers_may_be_written(rules)?;
        let place = self.place(rules)?;
        self.not_a_double_tap(rules)?;
        self.mis_can()?;
        let planned = match self.choose(rules, place) {
            Ok(chosen) => self.plan(rules, place, chosen)?,
            Err(stop) => self.in_time_after_all(rules, place, stop)?,
        };
        self.something_new(&planned.mark)?;
        let code_id = self.id_to_write(&planned.mark.code)?;
        self.hold = self.held_for_release(rules, &planned.mark.code)?;
        Ok(PlannedMark { code_id, ..planned })
    }

    /// Steps 5 to 7 and 9 for a code that was chosen.
    fn plan(&mut self, rules: &Rules, place: Place, chosen: Chosen) -> Result<PlannedMark, Stop> {
        let code = self.known(&chosen)?;
        self.not_protected(rules, &code)?;
        self.first_arrival(rules, &chosen)?;
        let minutes_late = self.minutes_late(rules, place, &chosen);
        let comment = self.comment(rules);
        let mark = Mark {
            student: self.student.clone(),
            date: place.date,
            session: place.session,
            code,
            cause: self.event.kind,
            comment,
            minutes_late,
            employee: rules.employee.clone(),
        };
        let planned = PlannedMark {
            mark: self.as_the_mis_keeps_it(mark)?,
            code_id: None,
            rule: chosen.rule,
        };
        self.in_turn(rules, place, planned)
    }

    fn finish(mut self, outcome: DecisionOutcome) -> Decision {
        self.tell_register();
        self.step(outcome.to_string());
        if let Some(hold) = &self.hold {
            let words = format!("waits for release: {}", hold.why);
            self.step(words);
        }
        let waits = matches!(outcome, DecisionOutcome::Wait { .. });
        let is_open = waits || matches!(outcome, DecisionOutcome::Fail { .. });
        let found = match &self.view.register {
            RegisterView::Looked { held, source, age } => Some(RegisterBefore {
                code: held.as_ref().map(|held| held.code.clone()),
                source: *source,
                age: *age,
            }),
            RegisterView::CannotLook { .. } => None,
        };
        let first = self
            .view
            .arrival
            .as_ref()
            .is_none_or(|arrival| arrival.at > self.event.at);
        Decision {
            arrival: self.judged_by_the_clock && !waits && first,
            standing: self
                .standing
                .filter(|now| *now != self.view.standing && !is_open),
            outcome,
            steps: self.steps,
            dropped: self.dropped,
            found,
            session: match &self.view.withdrawn {
                Some(withdrawn) => Some((withdrawn.date, withdrawn.session)),
                None => self.session.map(|place| (place.date, place.session)),
            },
            hold: self.hold,
        }
    }

    fn step(&mut self, words: impl Into<String>) {
        self.steps.push(words.into());
    }

    /// "signed in" or "signed out".
    fn signed(&self) -> &'static str {
        match self.event.kind {
            EventKind::SignIn => "signed in",
            EventKind::SignOut => "signed out",
        }
    }

    /// Before the steps: events that do not indicate presence in school.
    fn counts_for_a_register(&self) -> Result<(), Stop> {
        let what = match self.event.kind {
            EventKind::SignOut if self.event.automatic => {
                "an automatic sign-out does not count as leaving early"
            }
            EventKind::SignIn if self.event.remote => {
                "a remote sign-in does not count as presence in school"
            }
            EventKind::SignIn | EventKind::SignOut => return Ok(()),
        };
        Err(skip(SkipReason::NotWrittenBack, what))
    }

    /// Step 1: only groups of students write back.
    fn rules_of<'r>(&mut self, group: Option<GroupContext<'r>>) -> Result<&'r Rules, Stop> {
        let Some(GroupContext { name, kind, rules }) = group else {
            return Err(skip(
                SkipReason::NotWrittenBack,
                "the person is in no group",
            ));
        };
        if kind != GroupKind::Students {
            let detail =
                format!("the group {name:?} contains {kind}; only groups of students write back");
            return Err(skip(SkipReason::NotWrittenBack, detail));
        }
        let Some(rules) = rules else {
            let detail = format!("the group {name:?} has no writeback settings");
            return Err(skip(SkipReason::NotWrittenBack, detail));
        };
        self.step(format!("marks are written for the group {name:?}"));
        Ok(rules)
    }

    /// An option with `write = false` does not change the register.
    fn answers_may_be_written(&self, rules: &Rules) -> Result<(), Stop> {
        for (field, options) in rules.fields.on(self.event.kind) {
            let option = self
                .event
                .answer(field)
                .and_then(|answer| options.get(&*plain(answer)));
            if option.is_some_and(|option| !option.write) {
                let detail = format!(
                    "the option chosen for {:?} has write = false",
                    clip(field, 80)
                );
                return Err(skip(SkipReason::AnswerNotWritten, detail));
            }
        }
        Ok(())
    }

    /// Step 2: the session.
    fn place(&mut self, rules: &Rules) -> Result<Place, Stop> {
        let place = rules.place(self.event.at, self.view.timezone);
        if let Some(date) = match &place {
            Ok(place) => Some(place.date),
            Err(NoSession::Over(at)) => Some(at.date()),
            Err(_) => None,
        } {
            self.school_is_open(rules, date)?;
            self.tell_other_times(rules, date);
        }
        let place = place.map_err(|none| self.outside(none, rules))?;
        let opens = clock(rules.times_on(place.date).pm_opens);
        let before_or_from = match place.session {
            mis_core::Session::Am => "before",
            mis_core::Session::Pm => "from",
        };
        self.step(format!(
            "{} {} in {}, {before_or_from} {opens}: {} of {}",
            self.signed(),
            place.time.format("%H:%M:%S"),
            self.view.timezone,
            place.session.as_str(),
            place.date.format("%A %-d %B %Y"),
        ));
        self.session = Some(place);
        Ok(place)
    }

    fn outside(&self, none: NoSession, rules: &Rules) -> Stop {
        let zone = self.view.timezone;
        match none {
            NoSession::Beyond => skip(
                SkipReason::NotASchoolDay,
                "the time is outside the supported calendar",
            ),
            NoSession::NoSchoolOn(at) => skip(
                SkipReason::NotASchoolDay,
                format!(
                    "{} in {zone}: no school on that day of the week",
                    at.format("%A %-d %B %Y")
                ),
            ),
            NoSession::Closed(at) => skip(
                SkipReason::NotASchoolDay,
                format!(
                    "{} in {zone}: the school is closed",
                    at.format("%A %-d %B %Y")
                ),
            ),
            NoSession::Over(at) => {
                let closes = clock(rules.times_on(at.date()).closes);
                let detail = format!(
                    "{} {} in {zone}, and the day closes at {closes}",
                    self.signed(),
                    at.format("%H:%M:%S")
                );
                skip(SkipReason::OutsideSchoolDay, detail)
            }
        }
    }

    /// Step 3: the capabilities at this school.
    fn mis_can(&mut self) -> Result<(), Stop> {
        let needed = [Ability::Session, Ability::EarlyLeaver];
        let needed = match self.event.kind {
            EventKind::SignIn => &needed[..1],
            EventKind::SignOut => &needed[..],
        };
        for ability in needed {
            if !self.view.capabilities.has(*ability) {
                self.step(match ability {
                    Ability::EarlyLeaver => {
                        "the MIS does not accept marks for sign-outs at this school"
                    }
                    _ => "the MIS does not accept marks at this school",
                });
                return Err(skip(SkipReason::Unsupported, ability.as_str()));
            }
        }
        Ok(())
    }

    /// The mark as this MIS stores it; a mark that it rejects is not written.
    fn as_the_mis_keeps_it(&mut self, mark: Mark) -> Result<Mark, Stop> {
        let (kept, changed) = self
            .view
            .quirks
            .apply(mark)
            .map_err(|why| skip(SkipReason::Unsupported, why))?;
        if let Some(changed) = changed {
            self.step(changed);
        }
        Ok(kept)
    }

    /// Step 5: codes that the school does not have are not written.
    fn known(&self, chosen: &Chosen) -> Result<Code, Stop> {
        match self.view.codes.find(chosen.code.as_str()) {
            Some(line) => Ok(line.code.clone()),
            None => Err(skip(
                SkipReason::UnknownCode,
                NoCode::Unknown(chosen.code.clone()).to_string(),
            )),
        }
    }

    /// The code's id. If the code book has the code more than once, it is the active entry; if there is no such entry,
    /// an operator must decide.
    fn id_to_write(&mut self, code: &Code) -> Result<Option<AttendanceCodeId>, Stop> {
        let line = self.view.codes.to_write(code.as_str()).map_err(|why| {
            Stop::Fail(format!(
                "{why}, so {code} is not written; ask the school to withdraw the entries that it does not use, then retry the event"
            ))
        })?;
        let repeated = self.view.codes.repeated().find(|one| one.code == code);
        if let Some((chosen, why)) = repeated.and_then(|one| one.to_write) {
            let id = chosen.id.as_ref().map_or("", AttendanceCodeId::as_str);
            self.step(format!(
                "the school's code book has {code} more than once: {why} is written, with the id {id}"
            ));
        }
        Ok(line.id.clone())
    }

    /// Step 6: a protected code is never overwritten, and nothing is overwritten without reading the register.
    fn not_protected(&mut self, rules: &Rules, code: &Code) -> Result<(), Stop> {
        self.tell_register();
        if rules.protected.is_empty() || !rules.protect_on.on(self.event.kind) {
            return Ok(());
        }
        let protected = listed(&rules.protected);
        let held = match &self.view.register {
            RegisterView::CannotLook { why } => {
                return Err(Stop::Wait(format!(
                    "the codes {protected} are protected and the register cannot be read, so {code} is not written yet: \
                     {why}"
                )));
            }
            RegisterView::Looked { held, .. } => held.as_ref().map(|held| held.code.clone()),
        };
        match held {
            Some(HeldCode::Unreadable(id)) => Err(Stop::Fail(format!(
                "the codes {protected} are protected, and the register holds a code with the id {id}, which the school's \
                 code book does not have, so {code} is not written; check in the MIS which code it is. To write the mark, \
                enter it there, or have the code added to the codes that Wonde shows and retry the event"
            ))),
            Some(HeldCode::Known(held))
                if rules
                    .protected
                    .iter()
                    .any(|p| same_code(p, &held, self.view.codes)) =>
            {
                let own = self.left_before(rules);
                if let Some(own) = own.filter(|own| self.is_untouched(own)) {
                    self.step(format!(
                        "{held} is protected, but it is our own: the pupil left with {}, and nobody else has changed it, so it \
                         does not prevent the return",
                        own.code
                    ));
                    return Ok(());
                }
                Err(skip(
                    SkipReason::Protected,
                    format!("the register holds {held}, which is protected"),
                ))
            }
            Some(HeldCode::Known(held)) => {
                self.step(format!(
                    "{held} is not one of the protected codes {protected}"
                ));
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Step 7: of the sign-ins whose code depends on the time, the earliest applies.
    fn first_arrival(&mut self, rules: &Rules, chosen: &Chosen) -> Result<(), Stop> {
        let Some(arrival) = &self.view.arrival else {
            return Ok(());
        };
        if !chosen.rule.is_time_based() || arrival.event == self.event.id {
            return Ok(());
        }
        let earlier_by = arrival.at.signed_duration_since(self.event.at);
        if !rules.first_arrival_stands {
            self.step(
                "an arrival is already recorded, but the first one does not take precedence at this school",
            );
        } else if arrival.at > self.event.at {
            self.step(format!(
                "this arrival is {} earlier than the recorded one and replaces it",
                span(earlier_by)
            ));
        } else {
            let detail = format!(
                "an arrival {} earlier is recorded, and the first one stands",
                span(-earlier_by)
            );
            return Err(skip(SkipReason::AlreadyArrived, detail));
        }
        Ok(())
    }
}
