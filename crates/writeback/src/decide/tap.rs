//! Double taps: an event too soon after the previous one is ignored.

use chrono::{DateTime, FixedOffset};
use mis_core::EventKind;

use super::{Deciding, Stop, skip};
use crate::{decision::SkipReason, rules::Rules, text::span};

impl Deciding<'_> {
    /// Of two events closer together than the shortest stay, the second is a double tap. If both are of the same kind,
    /// the second is a double tap without an answer, and a correction with one.
    pub(super) fn not_a_double_tap(&self, rules: &Rules) -> Result<(), Stop> {
        let Some((stay, previous)) = rules.shortest_stay().zip(self.view.previous.as_ref()) else {
            return Ok(());
        };
        let since = self.event.at.signed_duration_since(previous.at);
        if previous.event == self.event.id
            || since < chrono::TimeDelta::zero()
            || since >= stay
            || (previous.kind == self.event.kind && self.event.answers_something())
        {
            return Ok(());
        }
        let before = match previous.kind {
            EventKind::SignIn => "sign-in",
            EventKind::SignOut => "sign-out",
        };
        let detail = format!(
            "{} {} after a {before}, sooner than the shortest stay of {}",
            self.signed(),
            span(since),
            span(stay)
        );
        Err(skip(SkipReason::DoubleTap, detail))
    }

    /// Whether a later event that was already decided was a double tap of this one, which was delivered after it.
    pub(super) fn was_tapped_twice(
        &self,
        rules: &Rules,
        kind: EventKind,
        at: DateTime<FixedOffset>,
    ) -> bool {
        let after = at.signed_duration_since(self.event.at);
        kind != self.event.kind
            && after > chrono::TimeDelta::zero()
            && rules.shortest_stay().is_some_and(|stay| after < stay)
    }
}
