//! A school's calendar: on which days it is open, by its settings and its iCalendar.

mod fetch;
mod ical;
pub(crate) mod reading;

use chrono::NaiveDate;
use writeback::{CalendarSource, SchoolDay, settings::DateRange};

pub(crate) use fetch::Validators;
pub use ical::{Ical, IcalError, IcalPlace, IcalReading, IcalUrl, LeftOut};

/// How long before its end a calendar is said to run out.
const RUNS_OUT_DAYS: i64 = 30;

/// A school's calendar as its settings describe it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Calendar {
    /// The terms, earliest first, without overlaps.
    pub terms: Vec<DateRange>,
    /// The days on which the school is closed.
    pub closures: Vec<Closure>,
    /// An iCalendar with further closures.
    pub ical: Option<Ical>,
}

/// Days on which a school is closed.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Closure {
    /// The first day.
    pub first: NaiveDate,
    /// The last day.
    pub last: NaiveDate,
    /// Why, in a few words.
    pub why: String,
}

impl Closure {
    fn contains(&self, date: NaiveDate) -> bool {
        (self.first..=self.last).contains(&date)
    }
}

impl Calendar {
    /// What the calendar says about a day. `ical` has the closures of the iCalendar, `None` if there is none or it was never
    /// read.
    ///
    /// The terms speak only of the time from the first day of the first
    /// term to the last day of the last one: nobody knows yet what comes after.
    pub fn day(&self, date: NaiveDate, ical: Option<&[Closure]>) -> SchoolDay {
        let sources = [
            (self.closures.as_slice(), CalendarSource::Settings),
            (ical.unwrap_or_default(), CalendarSource::Ical),
        ];
        for (closures, source) in sources {
            if let Some(closure) = closures.iter().find(|one| one.contains(date)) {
                let why = closure.why.clone();
                return SchoolDay::Closed { why, source };
            }
        }
        match self.day_by_terms(date) {
            SchoolDay::Open | SchoolDay::Unknown { .. }
                if self.ical.is_some() && ical.is_none() =>
            {
                SchoolDay::Unknown {
                    why: "the school's iCalendar has not been read yet".to_owned(),
                }
            }
            day => day,
        }
    }

    fn day_by_terms(&self, date: NaiveDate) -> SchoolDay {
        if self.terms.iter().any(|term| term.contains(date)) {
            return SchoolDay::Open;
        }
        match self.covered() {
            Some(covered) if date > *covered.end() => SchoolDay::Unknown {
                why: format!("the last term in the settings ended on {}", covered.end()),
            },
            Some(covered) if date < *covered.start() => SchoolDay::Unknown {
                why: format!(
                    "the first term in the settings begins on {}",
                    covered.start()
                ),
            },
            Some(_) => SchoolDay::Closed {
                why: "not in term".to_owned(),
                source: CalendarSource::Settings,
            },
            None => SchoolDay::Open,
        }
    }

    /// The dates of which the terms speak.
    fn covered(&self) -> Option<std::ops::RangeInclusive<NaiveDate>> {
        Some(self.terms.first()?.first()..=self.terms.last()?.last())
    }

    /// The end of the last term, if it is over or less than a month away; then days count as school days.
    pub fn runs_out(&self, today: NaiveDate) -> Option<NaiveDate> {
        let end = *self.covered()?.end();
        (end.signed_duration_since(today).num_days() < RUNS_OUT_DAYS).then_some(end)
    }
}

#[cfg(test)]
mod tests;
