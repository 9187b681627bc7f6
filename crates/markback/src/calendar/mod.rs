//! A school's calendar: on which days it is open, by its settings, its iCalendar and its MIS.

mod fetch;
mod ical;
mod mis;
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
    /// Closures from the calendar in the school's MIS.
    pub mis: Option<MisCalendar>,
}

/// Which entries of the calendar in a school's MIS are closures.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MisCalendar {
    /// An entry of whole days is a closure if its name, description or type has one of these words, which are in lower case.
    pub closure_words: Vec<String>,
}

/// The closures that were read from elsewhere; `None` if there is nothing to read, or it was never read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReadClosures {
    /// From the iCalendar.
    pub ical: Option<Vec<Closure>>,
    /// From the calendar in the MIS.
    pub mis: Option<Vec<Closure>>,
}

impl ReadClosures {
    /// Those of an iCalendar.
    pub fn of_ical(closures: Vec<Closure>) -> Self {
        Self {
            ical: Some(closures),
            mis: None,
        }
    }
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
    /// What the calendar says about a day, with what was read from elsewhere.
    ///
    /// The terms speak only of the time from the first day of the first
    /// term to the last day of the last one: nobody knows yet what comes after.
    pub fn day(&self, date: NaiveDate, read: &ReadClosures) -> SchoolDay {
        let sources = [
            (self.closures.as_slice(), CalendarSource::Settings),
            (
                read.ical.as_deref().unwrap_or_default(),
                CalendarSource::Ical,
            ),
            (read.mis.as_deref().unwrap_or_default(), CalendarSource::Mis),
        ];
        for (closures, source) in sources {
            if let Some(closure) = closures.iter().find(|one| one.contains(date)) {
                let why = closure.why.clone();
                return SchoolDay::Closed { why, source };
            }
        }
        match self.day_by_terms(date) {
            SchoolDay::Open | SchoolDay::Unknown { .. }
                if self.ical.is_some() && read.ical.is_none() =>
            {
                SchoolDay::Unknown {
                    why: "the school's iCalendar has not been read yet".to_owned(),
                }
            }
            SchoolDay::Open | SchoolDay::Unknown { .. }
                if self.mis.is_some() && read.mis.is_none() =>
            {
                SchoolDay::Unknown {
                    why: "the calendar in the school's MIS has not been read yet".to_owned(),
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
