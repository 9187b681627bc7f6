//! After the steps: whether the mark waits until a person releases it.

use mis_core::{Code, HeldCode};

use super::{Deciding, Stop};
use crate::{
    decision::Hold,
    reading::same_code,
    rules::{HoldRules, Rules},
    view::{RegisterSource, RegisterView},
};

impl Deciding<'_> {
    /// The reason to hold a mark with this code. A mark that a person has released is not held again.
    pub(super) fn held_for_release(
        &mut self,
        rules: &Rules,
        code: &Code,
    ) -> Result<Option<Hold>, Stop> {
        let Some(hold) = &rules.hold else {
            return Ok(None);
        };
        if self.view.released {
            self.step("a person has released the mark, so it does not wait");
            return Ok(None);
        }
        let why = match self.by_settings(hold, code) {
            Some(why) => Some(why),
            None => self.over_a_teachers_mark(hold, code)?,
        };
        Ok(why.map(|why| Hold {
            why,
            lapse_after: hold.lapse_after,
        }))
    }

    fn by_settings(&self, hold: &HoldRules, code: &Code) -> Option<String> {
        if hold.all {
            return Some("all marks of the group are held by its settings".to_owned());
        }
        let mut codes = hold.codes.iter();
        codes
            .any(|held| same_code(held, code, self.view.codes))
            .then(|| format!("{code} is held by the group's settings"))
    }

    /// A register that cannot be read may hold a teacher's mark, so the event waits until it can.
    fn over_a_teachers_mark(&self, hold: &HoldRules, code: &Code) -> Result<Option<String>, Stop> {
        if !hold.over_teacher {
            return Ok(None);
        }
        match &self.view.register {
            RegisterView::CannotLook { why } => Err(Stop::Wait(format!(
                "a mark that is not ours is not overwritten without a person's release, and the register cannot be read, so \
                 {code} is not written yet: {why}"
            ))),
            RegisterView::Looked {
                held: Some(held),
                source: RegisterSource::Wonde | RegisterSource::Given,
                ..
            } => Ok(Some(match &held.code {
                HeldCode::Known(held) => {
                    format!("{code} would overwrite {held}, which is not ours")
                }
                HeldCode::Unreadable(_) => {
                    format!("{code} would overwrite a code that cannot be read, which is not ours")
                }
            })),
            RegisterView::Looked { .. } => Ok(None),
        }
    }
}
