//! Step 4: the code of a sign-in or a sign-out.

use chrono::{DateTime, FixedOffset, NaiveTime, TimeDelta};
use mis_core::{Code, EventKind};

use super::{Deciding, Stop, skip};
use crate::{
    decision::SkipReason,
    reading::Reading,
    rule::Rule,
    rules::{Place, Rules},
    text::{clip, clock, plain, span},
};

/// A code and the rule that chose it.
pub(super) struct Chosen {
    pub(super) code: Code,
    pub(super) rule: Rule,
}

impl Deciding<'_> {
    pub(super) fn choose(&mut self, rules: &Rules, place: Place) -> Result<Chosen, Stop> {
        if let Some(code) = self.custom_code(rules) {
            return Ok(Chosen {
                code,
                rule: Rule::CustomCode,
            });
        }
        match self.event.kind {
            EventKind::SignIn => self.by_the_clock(rules, place),
            EventKind::SignOut => self.leaver(rules),
        }
    }

    /// 4a: the answer's code applies at any time.
    fn custom_code(&mut self, rules: &Rules) -> Option<Code> {
        let kind = self.event.kind;
        let field = rules.custom_codes.on(kind).as_deref()?;
        let answer = self.event.answer(field)?;
        let option = rules
            .fields
            .on(kind)
            .get(field)
            .and_then(|options| options.get(&*plain(answer)));
        let code = match option {
            Some(option) => option.reading.code(self.view.codes),
            None => Reading::of_text(answer).code(self.view.codes),
        };
        let field = clip(field, 80);
        self.step(match &code {
            Some(code) => format!("the answer to {field:?} has the code {code}"),
            None => format!("the answer to {field:?} has no code"),
        });
        code
    }

    /// 4b to 4d: later than `unauthorised`, later than `late`, or in time.
    fn by_the_clock(&mut self, rules: &Rules, place: Place) -> Result<Chosen, Stop> {
        self.judged_by_the_clock = true;
        let clock_of = rules.clock(place);
        let session = place.session.as_str();
        let at = place.time.format("%H:%M:%S").to_string();
        let later = |limit: &NaiveTime| place.time > *limit;

        if let Some(limit) = clock_of.unauthorised.filter(later) {
            let code = rules.unauthorised.clone();
            let after = span(place.time - limit);
            self.step(format!(
                "signed in {at}, {after} after {session} unauthorised {} → {code}",
                clock(limit)
            ));
            return Ok(Chosen {
                code,
                rule: Rule::Unauthorised,
            });
        }
        if let Some(limit) = clock_of.late.filter(later) {
            let code = rules.late.clone();
            let after = span(place.time - limit);
            let before = clock_of
                .unauthorised
                .map(|limit| format!(", {} {}", before_or_at(place.time, limit), clock(limit)));
            let before = before.unwrap_or_default();
            self.step(format!(
                "signed in {at}, {after} after {session} late {}{before} → {code}",
                clock(limit)
            ));
            return Ok(Chosen {
                code,
                rule: Rule::Late,
            });
        }
        let in_time = match clock_of.late.or(clock_of.unauthorised) {
            Some(limit) => format!(
                "signed in {at}, not later than {session} {}: in time",
                clock(limit)
            ),
            None => format!("signed in {at}, and no time counts as late in {session}: in time"),
        };
        let code = rules.present_code(place.session).clone();
        if let Some(left) = self.returns(rules) {
            self.step(format!(
                "{in_time}; the pupil left {} ({}) without having arrived before, so this return is the arrival → {code}",
                self.apart(left.at),
                left.code
            ));
            return Ok(Chosen {
                code,
                rule: Rule::Present,
            });
        }
        if !rules.present {
            self.not_unseen_after_leaving(rules)?;
            self.step(in_time);
            return Err(skip(
                SkipReason::PresentWritebackOff,
                "in time, and nobody who is in time gets a mark",
            ));
        }
        self.step(format!("{in_time} → {code}"));
        Ok(Chosen {
            code,
            rule: Rule::Present,
        })
    }

    /// The distance of another event of the session from this one, as text.
    pub(super) fn apart(&self, other: DateTime<FixedOffset>) -> String {
        let by = self.event.at.signed_duration_since(other);
        if by < TimeDelta::zero() {
            format!("{} later", span(-by))
        } else {
            format!("{} earlier", span(by))
        }
    }

    /// A sign-out without a code of its own.
    fn leaver(&mut self, rules: &Rules) -> Result<Chosen, Stop> {
        let Some(code) = &rules.leaver else {
            return Err(skip(
                SkipReason::LeaverWritebackOff,
                "a sign-out without a code, and no leaver code is set",
            ));
        };
        self.step(format!("a sign-out gets the leaver code → {code}"));
        Ok(Chosen {
            code: code.clone(),
            rule: Rule::LeaverCode,
        })
    }
}

fn before_or_at(time: NaiveTime, limit: NaiveTime) -> &'static str {
    if limit - time > TimeDelta::zero() {
        "before"
    } else {
        "not after"
    }
}
