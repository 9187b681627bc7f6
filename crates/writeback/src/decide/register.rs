//! The register in the steps, and step 8: whether a mark differs from the register.

use mis_core::{Ability, Code, HeldCode, Mark};

use super::{Deciding, Stop, skip};
use crate::{
    decision::SkipReason,
    reading::same_code,
    text::{plain, span},
    view::{RegisterMark, RegisterSource, RegisterView},
};

impl Deciding<'_> {
    /// Adds one step with the content of the register and the age of that view.
    pub(super) fn tell_register(&mut self) {
        if self.register_told {
            return;
        }
        self.register_told = true;
        let words = match &self.view.register {
            RegisterView::CannotLook { why } => format!("the register was not read: {why}"),
            RegisterView::Looked { held, source, age } => {
                let holds = match held.as_ref().map(|held| &held.code) {
                    Some(HeldCode::Known(code)) => format!("the register holds {code}"),
                    Some(HeldCode::Unreadable(id)) => {
                        format!("the register holds a code with the unknown id {id}")
                    }
                    None => "the register holds nothing".to_owned(),
                };
                let seen = match source {
                    RegisterSource::OurLedger => "according to what we have written",
                    RegisterSource::Wonde => "according to Wonde's copy",
                    RegisterSource::Given => "as given",
                };
                let age = match (age, source) {
                    (Some(age), _) => format!(", {} old", span(*age)),
                    (None, RegisterSource::Given) => String::new(),
                    (None, _) => ", of unknown age".to_owned(),
                };
                format!("{holds} {seen}{age}")
            }
        };
        self.step(words);
    }

    /// Step 8, on the mark without the parts that the MIS cannot store.
    ///
    /// Unknown minutes late count as different: writing them again is harmless, omitting them might not be.
    pub(super) fn something_new(&mut self, mark: &Mark) -> Result<(), Stop> {
        let RegisterView::Looked {
            held: Some(held), ..
        } = &self.view.register
        else {
            return Ok(());
        };
        if self.says_the_same(held, mark) {
            return Err(skip(
                SkipReason::AlreadyRecorded,
                format!(
                    "the register already has {}, including the comment and minutes late",
                    mark.code
                ),
            ));
        }
        Ok(())
    }

    /// Whether the register holds this code.
    pub(super) fn holds(&self, code: &Code) -> bool {
        match &self.view.register {
            RegisterView::Looked {
                held: Some(held), ..
            } => match &held.code {
                HeldCode::Known(known) => same_code(known, code, self.view.codes),
                HeldCode::Unreadable(_) => false,
            },
            _ => false,
        }
    }

    /// Whether the register was read and has no mark.
    pub(super) fn holds_nothing(&self) -> bool {
        matches!(self.view.register, RegisterView::Looked { held: None, .. })
    }

    /// Whether a mark of the register equals one to write, in all parts that the MIS keeps.
    pub(super) fn says_the_same(&self, held: &RegisterMark, mark: &Mark) -> bool {
        let HeldCode::Known(code) = &held.code else {
            return false;
        };
        let keeps = |ability| self.view.capabilities.has(ability);
        let held_comment = held
            .comment
            .as_deref()
            .map(plain)
            .filter(|comment| !comment.is_empty());
        same_code(code, &mark.code, self.view.codes)
            && (!keeps(Ability::Comment) || held_comment.as_deref() == mark.comment.as_deref())
            && (!keeps(Ability::MinutesLate) || held.minutes_late == mark.minutes_late)
    }
}
