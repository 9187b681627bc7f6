//! Step 2, the day: whether the school is open, and which times apply.

use chrono::NaiveDate;

use super::{Deciding, Stop, skip};
use crate::{decision::SkipReason, rules::Rules, school_day::SchoolDay, text::clip};

/// The longest reason from a calendar that is quoted, in characters.
const WHY_MAX: usize = 80;

impl Deciding<'_> {
    /// On a day on which the school's calendar has no school nothing is written.
    pub(super) fn school_is_open(&mut self, rules: &Rules, date: NaiveDate) -> Result<(), Stop> {
        let on = date.format("%A %-d %B %Y");
        match &self.view.school_day {
            SchoolDay::NoCalendar | SchoolDay::Open => Ok(()),
            SchoolDay::Closed { why, source } => {
                let why = clip(why, WHY_MAX);
                let closed = format!("the school is closed on {on}: {why}, according to {source}");
                if rules.ignores_calendar {
                    self.step(format!("{closed}; this group ignores the calendar"));
                    return Ok(());
                }
                Err(skip(SkipReason::SchoolClosed, closed))
            }
            SchoolDay::Unknown { why } => {
                if !rules.ignores_calendar {
                    let why = clip(why, WHY_MAX * 2);
                    self.step(format!("{on} counts as a school day: {why}"));
                }
                Ok(())
            }
        }
    }

    /// Adds a step if the times of the day are not the usual ones.
    pub(super) fn tell_other_times(&mut self, rules: &Rules, date: NaiveDate) {
        let Some((other, weekly)) = rules.other.on(date) else {
            return;
        };
        let on = if weekly {
            date.format("on %As")
        } else {
            date.format("on %-d %B %Y")
        };
        let why = other
            .why
            .as_deref()
            .map(|why| format!(" ({})", clip(why, WHY_MAX)))
            .unwrap_or_default();
        self.step(format!("{on}{why} other times apply: {}", other.differing));
    }
}
