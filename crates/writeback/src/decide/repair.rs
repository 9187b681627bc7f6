//! The repair of a mark whose event was withdrawn: the mark before is written again, or a person is told.
//!
//! An MIS on Wonde cannot clear a mark, so a mark in an empty place stays until somebody clears it in the MIS.

use chrono::NaiveDate;
use mis_core::{Ability, HeldCode, Mark, Session};

use super::{Deciding, Stop, code::Chosen, skip};
use crate::{
    decision::{PlannedMark, SkipReason},
    rule::Rule,
    view::{GroupContext, RegisterMark, Withdrawn, WithdrawnTrace},
};

impl Deciding<'_> {
    /// The mark to write in place of the withdrawn event's. Nothing is written above another's mark, or unseen.
    pub(super) fn repair(
        &mut self,
        withdrawn: &Withdrawn,
        group: Option<GroupContext<'_>>,
    ) -> Result<PlannedMark, Stop> {
        let wrong = Shown(&withdrawn.mark.code);
        self.step(format!(
            "the event was withdrawn; {wrong} was sent for {}",
            session_of(withdrawn)
        ));
        self.tell_register();
        let before = match &withdrawn.trace {
            WithdrawnTrace::Unread { why } => {
                return Err(Stop::Wait(format!(
                    "the event was withdrawn, and whether {wrong} still stands cannot be seen: {why}"
                )));
            }
            WithdrawnTrace::Replaced => {
                let detail = format!("a newer mark of ours takes the place of {wrong}");
                return Err(skip(SkipReason::Withdrawn, detail));
            }
            WithdrawnTrace::Changed => {
                let detail = format!("somebody else has changed {wrong} since, and that stands");
                return Err(skip(SkipReason::Withdrawn, detail));
            }
            WithdrawnTrace::Unclear { why } => {
                return Err(Stop::Fail(format!(
                    "an event was withdrawn, and the MIS may show its {wrong} for {}: {why}. Look into the MIS and put \
                     the mark right there, then discard the event",
                    session_of(withdrawn)
                )));
            }
            WithdrawnTrace::Stands { before: None } => {
                return Err(Stop::Fail(format!(
                    "the MIS shows {wrong} for {}, from an event that was withdrawn, and there was no mark before it; \
                     Wonde cannot clear a mark: clear it in the MIS, then discard the event",
                    session_of(withdrawn)
                )));
            }
            WithdrawnTrace::Stands {
                before: Some(before),
            } => before,
        };
        let told = |why: &str| {
            Stop::Fail(format!(
                "the MIS shows {wrong} for {}, from an event that was withdrawn, and the mark before it cannot be \
                 written again: {why}. Put it right in the MIS, then discard the event",
                session_of(withdrawn)
            ))
        };
        self.mark_before(withdrawn, before, group)
            .map_err(|stop| match stop {
                Stop::Skip(SkipReason::Withdrawn, detail) => skip(SkipReason::Withdrawn, detail),
                Stop::Skip(_, why) | Stop::Fail(why) => told(&why),
                Stop::Wait(why) => Stop::Wait(why),
            })
    }

    fn mark_before(
        &mut self,
        withdrawn: &Withdrawn,
        before: &RegisterMark,
        group: Option<GroupContext<'_>>,
    ) -> Result<PlannedMark, Stop> {
        let code = match &before.code {
            HeldCode::Known(code) => code.clone(),
            HeldCode::Unreadable(id) => {
                return Err(Stop::Fail(format!(
                    "its code has the id {id}, which the school's code book does not have"
                )));
            }
        };
        self.step(format!("{code} stood there before it → {code} again"));
        if !self.view.capabilities.has(Ability::Session) {
            return Err(Stop::Fail(
                "the MIS does not accept marks at this school".to_owned(),
            ));
        }
        let rule = Rule::MarkBefore;
        let code = self.known(&Chosen { code, rule })?;
        let rules = group.and_then(|group| group.rules);
        let mark = Mark {
            student: self.student.clone(),
            date: withdrawn.date,
            session: withdrawn.session,
            code,
            cause: self.event.kind,
            comment: self.kept(Ability::Comment, self.short_enough(before.comment.clone())),
            minutes_late: self.kept(Ability::MinutesLate, before.minutes_late),
            employee: rules.and_then(|rules| rules.employee.clone()),
        };
        let mark = self.as_the_mis_keeps_it(mark)?;
        if self.says_the_same(&withdrawn.mark, &mark) {
            let detail = format!("the mark before it was the same {}", mark.code);
            return Err(skip(SkipReason::Withdrawn, detail));
        }
        let code_id = self.id_to_write(&mark.code)?;
        Ok(PlannedMark {
            mark,
            code_id,
            rule,
        })
    }

    fn short_enough(&self, comment: Option<String>) -> Option<String> {
        let max = self.view.capabilities.comment_max.map(usize::from);
        comment.filter(|comment| max.is_none_or(|max| comment.chars().count() <= max))
    }

    /// A part of the mark before, unless the MIS does not keep such parts or has rejected this one.
    fn kept<T>(&mut self, ability: Ability, part: Option<T>) -> Option<T> {
        let view = self.view;
        let keeps = view.capabilities.has(ability) && !view.refused_with.contains(&ability);
        if part.is_some() && !keeps {
            self.dropped.push(ability);
        }
        part.filter(|_| keeps)
    }
}

/// "the morning of Monday 23 November 2026".
fn session_of(withdrawn: &Withdrawn) -> String {
    let session = match withdrawn.session {
        Session::Am => "the morning",
        Session::Pm => "the afternoon",
    };
    format!("{session} of {}", long(withdrawn.date))
}

fn long(date: NaiveDate) -> impl std::fmt::Display {
    date.format("%A %-d %B %Y")
}

/// A code of the register, or the id of one that cannot be read.
struct Shown<'a>(&'a HeldCode);

impl std::fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            HeldCode::Known(code) => write!(f, "{code}"),
            HeldCode::Unreadable(id) => write!(f, "a mark with the code's id {id}"),
        }
    }
}
