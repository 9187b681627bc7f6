//! The table `[school.calendar]`: as read, and its checks.

use std::path::Path;

use chrono::NaiveDate;
use schemars::JsonSchema;
use serde::Deserialize;
use writeback::settings::{DateRange, DayList, Days, LocalDays};

use super::{
    Problem,
    findings::{Findings, Place},
};
use crate::calendar::{Calendar, Closure};

/// The reason of a closure without one.
const CLOSED: &str = "closed";

/// On which days the school is open.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Calendar")]
pub(super) struct CalendarFile {
    /// The terms or half terms, each with its first and its last date: `["2026-09-02..2026-10-23"]`. The school is closed
    /// between them. Before the first and after the last one days count as school days.
    #[serde(default)]
    terms: Vec<LocalDays>,
    /// Days on which the school is closed: `[{ on = "2026-11-27", why = "inset day" }]`.
    #[serde(default)]
    closures: Vec<ClosureFile>,
}

/// Days on which the school is closed.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Closure")]
struct ClosureFile {
    /// A date, or the first and the last date (`"2026-12-21..2027-01-01"`); one of them or a list.
    #[schemars(required)]
    #[serde(default)]
    on: DayList,
    /// Why, for the explanation of a decision.
    why: Option<String>,
}

/// Checks a calendar. Invalid parts are reported, and the rest is kept.
pub(super) fn calendar(place: &dyn Place, file: CalendarFile, findings: &mut Findings) -> Calendar {
    let mut check = Check { place, findings };
    if file.terms.is_empty() && file.closures.is_empty() {
        check.problem(
            "calendar",
            "the calendar says nothing",
            "add terms or closures, or remove the table",
        );
    }
    let terms = check.terms(&file.terms);
    let closures = check.closures(&file.closures);
    Calendar {
        terms,
        closures,
        ..Calendar::default()
    }
}

struct Check<'a> {
    place: &'a dyn Place,
    findings: &'a mut Findings,
}

impl Check<'_> {
    fn problem(&mut self, key: &str, message: &str, help: &str) {
        let problem = self.place.problem(key, message, help);
        self.findings.problems.push(problem);
    }

    fn terms(&mut self, written: &[LocalDays]) -> Vec<DateRange> {
        let mut terms: Vec<(usize, DateRange)> = Vec::new();
        for (at, text) in written.iter().enumerate() {
            let key = format!("calendar.terms[{at}]");
            match text.parse() {
                Some(Days::Dates(term)) => terms.push((at, term)),
                _ => self.problem(
                    &key,
                    "this is not a term",
                    "write its first and its last date with two dots between: \"2026-09-02..2026-10-23\"",
                ),
            }
        }
        terms.sort_by_key(|(_, term)| *term);
        for pair in terms.windows(2) {
            if let [(one, earlier), (other, later)] = pair
                && later.first() <= earlier.last()
            {
                for (this, that) in [(one, other), (other, one)] {
                    self.problem(
                        &format!("calendar.terms[{this}]"),
                        &format!("this term overlaps terms[{that}]"),
                        "correct the dates; a day belongs to one term",
                    );
                }
            }
        }
        terms.into_iter().map(|(_, term)| term).collect()
    }

    fn closures(&mut self, written: &[ClosureFile]) -> Vec<Closure> {
        let mut closures = Vec::new();
        for (at, closure) in written.iter().enumerate() {
            let key = format!("calendar.closures[{at}].on");
            if closure.on.0.is_empty() {
                self.problem(&key, "there is no day", "write a date: on = \"2026-11-27\"");
            }
            let why = closure.why.as_deref().map(str::trim);
            let why = why.filter(|why| !why.is_empty()).unwrap_or(CLOSED);
            for day in &closure.on.0 {
                match day.parse() {
                    Some(Days::Dates(days)) => closures.push(Closure {
                        first: days.first(),
                        last: days.last(),
                        why: why.to_owned(),
                    }),
                    Some(Days::Weekly(_)) => self.problem(
                        &key,
                        "a day of every week is not a closure",
                        "leave it out of `days` in the groups' writeback settings",
                    ),
                    None => self.problem(
                        &key,
                        "this is not a date",
                        "write \"2026-11-27\", or the first and the last date: \"2026-12-21..2027-01-01\"",
                    ),
                }
            }
        }
        closures
    }
}

/// A hint for each calendar whose terms are over, or nearly so, on this day.
pub(super) fn that_run_out<'a>(
    calendars: impl Iterator<Item = &'a Calendar>,
    today: NaiveDate,
    file: &Path,
) -> Vec<Problem> {
    let mut ends = std::collections::BTreeMap::<NaiveDate, usize>::new();
    for end in calendars.filter_map(|calendar| calendar.runs_out(today)) {
        *ends.entry(end).or_default() += 1;
    }
    let hint = |(end, schools): (NaiveDate, usize)| Problem {
        file: file.display().to_string().into(),
        line: None,
        key: "calendar.terms".to_owned(),
        value: None,
        message: match schools {
            1 => format!(
                "the last term of a school ends on {end}; days after it count as school days"
            ),
            many => format!(
                "the last term of {many} schools ends on {end}; days after it count as school days"
            ),
        },
        help: "add the terms that follow".to_owned(),
    };
    ends.into_iter().map(hint).collect()
}

#[cfg(test)]
mod tests;
