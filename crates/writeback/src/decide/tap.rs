//! Double taps: an event too soon after the one before it is no visit, and no leaving.

use chrono::{DateTime, FixedOffset};
use mis_core::EventKind;

use super::{Deciding, Stop, skip};
use crate::{decision::SkipReason, rules::Rules, text::span};

impl Deciding<'_> {
    /// Of two events closer together than the shortest stay the second is a double tap, whichever it is. The same kind
    /// twice is no stay at all: the second is a double tap where it answers nothing, and a correction where it does.
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

    /// Whether a later event that has had its say was a double tap of this one, which was delivered after it.
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
