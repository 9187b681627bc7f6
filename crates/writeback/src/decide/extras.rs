//! Step 9: minutes late and the comment, if the MIS supports them.

use mis_core::Ability;

use super::{Deciding, code::Chosen};
use crate::{
    rule::Rule,
    rules::{Place, Rules},
    text::{clock, count, plain},
};

impl Deciding<'_> {
    /// Whole minutes from `starts` (else `late`), rounded down, at least 1; only for a code that lateness chose.
    ///
    /// With neither `starts` nor `late` there is nothing to count from, and none are sent.
    pub(super) fn minutes_late(
        &mut self,
        rules: &Rules,
        place: Place,
        chosen: &Chosen,
    ) -> Option<u32> {
        if !matches!(chosen.rule, Rule::Late | Rule::Unauthorised) || !rules.minutes_late {
            return None;
        }
        let Some(from) = rules.clock(place).counted_from() else {
            self.step("no minutes late: the settings have no time to count them from");
            return None;
        };
        if self.view.refused_with.contains(&Ability::MinutesLate) {
            self.drop(
                Ability::MinutesLate,
                "minutes late dropped: the MIS refused the mark with them",
            );
            return None;
        }
        if !self.view.capabilities.minutes_late {
            self.drop(
                Ability::MinutesLate,
                "minutes late dropped: the MIS does not keep them at this school",
            );
            return None;
        }
        let minutes = u32::try_from((place.time - from).num_minutes())
            .unwrap_or(0)
            .max(1);
        self.step(format!(
            "{} late, counted from {}",
            count(i64::from(minutes), "minute"),
            clock(from)
        ));
        Some(minutes)
    }

    /// The whole answer of the comment field, in NFC. It is omitted if it is longer than the MIS supports, because a
    /// truncated sentence can have another meaning.
    pub(super) fn comment(&mut self, rules: &Rules) -> Option<String> {
        let field = rules.comment.on(self.event.kind).as_deref()?;
        let comment = plain(self.event.answer(field)?);
        let length = comment.chars().count();
        if self.view.refused_with.contains(&Ability::Comment) {
            self.drop(
                Ability::Comment,
                "comment dropped: the MIS refused the mark with it",
            );
            return None;
        }
        if !self.view.capabilities.comment {
            self.drop(
                Ability::Comment,
                "comment dropped: the MIS does not keep one at this school",
            );
            return None;
        }
        if let Some(max) = self
            .view
            .capabilities
            .comment_max
            .filter(|max| length > usize::from(*max))
        {
            let words = format!(
                "comment dropped: it has {length} characters, the MIS keeps at most {max}, and a shortened comment could have another meaning"
            );
            self.drop(Ability::Comment, words);
            return None;
        }
        self.step(format!(
            "comment kept ({length} character{})",
            if length == 1 { "" } else { "s" }
        ));
        Some(comment.into_owned())
    }

    fn drop(&mut self, ability: Ability, words: impl Into<String>) {
        self.dropped.push(ability);
        // In the order of the capability table, whichever was checked first.
        self.dropped.sort_unstable();
        self.step(words);
    }
}
