//! The settings for marks that wait for a person's release.

use mis_core::Code;

use crate::{
    findings::Findings,
    rules::HoldRules,
    settings::{HoldSettings, WritebackSettings},
    text::quoted,
};

/// The codes themselves are checked with all others.
pub(super) fn compile(settings: &WritebackSettings, found: &mut Findings) -> Option<HoldRules> {
    let hold = settings.hold.as_ref()?;
    if !hold.all && hold.codes.is_empty() && !hold.over_teacher {
        found.problem(
            "writeback.hold",
            "",
            "it does not say which marks wait",
            "write codes = [\"U\"], over_teacher = true or all = true, or remove the table",
        );
    }
    if hold.all && (!hold.codes.is_empty() || hold.over_teacher) {
        found.hint(
            "writeback.hold.all",
            "true",
            "all marks wait, so codes and over_teacher change nothing",
            "remove all = true to hold only some marks, or remove the others",
        );
    }
    let lapse_after = hold.lapse_after.as_deref().and_then(|text| {
        let after = HoldSettings::parse_lapse_after(text);
        if after.is_none() {
            found.problem(
                "writeback.hold.lapse_after",
                quoted([text]),
                "is not a duration from five minutes to seven days",
                "write one such as \"2h\", or leave it out: then marks lapse at the end of the day",
            );
        }
        after
    });
    Some(HoldRules {
        all: hold.all,
        codes: hold.codes.iter().map(Code::new).collect(),
        over_teacher: hold.over_teacher,
        lapse_after,
    })
}
