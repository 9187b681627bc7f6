//! A person's first and last day at the school, including contradictory dates.

use std::fmt;

use chrono::{Datelike as _, Days, NaiveDate};
use mis_core::{Person, PersonKind};
use serde::{Deserialize, Serialize};

use crate::identity::PersonKey;

/// Days after which a contradicted last day is ignored. Until then it applies, because Wonde's copy may be
/// outdated.
const STALE_AFTER: Days = Days::new(14);

/// First and last day, as far as they apply on a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stay {
    pub(crate) joins: Option<NaiveDate>,
    pub(crate) leaves: Option<NaiveDate>,
    /// A decision to ignore one of the dates.
    pub(crate) decided: Option<DateDecision>,
}

/// Why one of a person's dates is ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum DateDecision {
    /// It is 1900-01-01 or another placeholder.
    NoDate,
    /// The last day is before the first: it belongs to an earlier stay.
    EarlierStay,
    /// The last day is before the first, and both are in the future: the first belongs to a later stay.
    LaterStay,
    /// The last day has long passed, but Wonde lists the student as current.
    StillListed,
    /// The last day has long passed, but the MIS lists the member of staff as employed.
    StillEmployed,
}

impl fmt::Display for DateDecision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoDate => "a placeholder date is ignored",
            Self::EarlierStay => {
                "the leaving date is before the admission date and belongs to an earlier stay"
            }
            Self::LaterStay => {
                "the admission date is after the leaving date and belongs to a later stay"
            }
            Self::StillListed => {
                "the leaving date is old and Wonde still lists the student, who counts as present"
            }
            Self::StillEmployed => {
                "the end date is old and the MIS says that the person is employed, who counts as present"
            }
        })
    }
}

/// A person with contradictory dates, and the decisions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct DecidedDates {
    /// Student, staff or parent.
    pub kind: PersonKind,
    /// Who.
    pub person: PersonKey,
    /// The decisions.
    pub decision: DateDecision,
}

/// The dates that apply on a day.
pub(crate) fn stay(record: &Person, today: NaiveDate) -> Stay {
    let real = |date: Option<NaiveDate>| date.filter(|date| !stands_for_none(*date));
    let (mut joins, mut leaves) = (real(record.joins), real(record.leaves));
    let mut decided =
        (joins != record.joins || leaves != record.leaves).then_some(DateDecision::NoDate);
    if let (Some(first), Some(last)) = (joins, leaves)
        && last < first
    {
        if first > today && last >= today {
            joins = None;
            decided = Some(DateDecision::LaterStay);
        } else {
            leaves = None;
            decided = Some(DateDecision::EarlierStay);
        }
    }
    if record.current == Some(true)
        && let Some(last) = leaves.filter(|last| *last < today)
    {
        match record.kind {
            PersonKind::Staff if is_stale(last, today) => {
                leaves = None;
                decided = Some(DateDecision::StillEmployed);
            }
            PersonKind::Student => {
                leaves = None;
                decided = Some(DateDecision::StillListed);
            }
            PersonKind::Staff | PersonKind::Parent => {}
        }
    }
    Stay {
        joins,
        leaves,
        decided,
    }
}

/// Whether a last day is too long ago to have merely been read late.
pub(crate) fn is_stale(last: NaiveDate, today: NaiveDate) -> bool {
    today
        .checked_sub_days(STALE_AFTER)
        .is_some_and(|recent| last < recent)
}

/// Placeholder dates of databases and programs: years before anybody at a school was born, years after
/// everybody has left, and the Unix epoch.
fn stands_for_none(date: NaiveDate) -> bool {
    !(1930..2099).contains(&date.year()) || (date.year(), date.ordinal()) == (1970, 1)
}

/// At the school on that day: from the first day to the last, inclusive.
pub(crate) fn on_roll(record: &Person, today: NaiveDate) -> bool {
    let stay = stay(record, today);
    let begun = match stay.joins {
        Some(first) => first <= today,
        None => !record.pre_admission,
    };
    begun && stay.leaves.is_none_or(|last| last >= today)
}

/// The last day has passed.
pub(crate) fn has_left(record: &Person, today: NaiveDate) -> bool {
    stay(record, today).leaves.is_some_and(|last| last < today)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn record(kind: PersonKind, joins: &str, leaves: &str, current: Option<bool>) -> Person {
        let date = |text: &str| (!text.is_empty()).then(|| text.parse().unwrap());
        Person {
            joins: date(joins),
            leaves: date(leaves),
            current,
            ..Person::new(kind, "A1")
        }
    }

    #[rstest]
    #[case::nothing("", "", None, true, None)]
    #[case::here("2023-09-01", "", None, true, None)]
    #[case::last_day("2023-09-01", "2026-11-27", None, true, None)]
    #[case::left("2023-09-01", "2026-11-26", None, false, None)]
    #[case::left_long_ago("2023-09-01", "2024-07-20", None, false, None)]
    #[case::came_back(
        "2026-09-03",
        "2025-07-18",
        None,
        true,
        Some(DateDecision::EarlierStay)
    )]
    #[case::will_come_back(
        "2027-01-05",
        "2025-07-18",
        None,
        false,
        Some(DateDecision::EarlierStay)
    )]
    #[case::leaves_and_comes_back(
        "2027-01-05",
        "2026-12-18",
        None,
        true,
        Some(DateDecision::LaterStay)
    )]
    #[case::no_last_day("2023-09-01", "1900-01-01", None, true, Some(DateDecision::NoDate))]
    #[case::never_leaves("2023-09-01", "9999-12-31", None, true, Some(DateDecision::NoDate))]
    #[case::no_first_day("1899-12-30", "", None, true, Some(DateDecision::NoDate))]
    #[case::unix_began("2023-09-01", "1970-01-01", None, true, Some(DateDecision::NoDate))]
    #[case::listed(
        "2023-09-01",
        "2024-07-20",
        Some(true),
        true,
        Some(DateDecision::StillListed)
    )]
    fn students_are_present_by_their_dates(
        #[case] joins: &str,
        #[case] leaves: &str,
        #[case] current: Option<bool>,
        #[case] here: bool,
        #[case] decided: Option<DateDecision>,
    ) {
        let today = "2026-11-27".parse().unwrap();
        let record = record(PersonKind::Student, joins, leaves, current);
        assert_eq!(on_roll(&record, today), here);
        assert_eq!(stay(&record, today).decided, decided);
    }

    #[rstest]
    #[case::employed_all_the_same("2024-08-31", Some(true), true)]
    #[case::not_told("2024-08-31", None, false)]
    #[case::by_no_word("2024-08-31", Some(false), false)]
    #[case::left_last_week("2026-11-20", Some(true), false)]
    fn staff_are_present_by_employment_and_dates(
        #[case] leaves: &str,
        #[case] current: Option<bool>,
        #[case] here: bool,
    ) {
        let today = "2026-11-27".parse().unwrap();
        let record = record(PersonKind::Staff, "2015-09-01", leaves, current);
        assert_eq!(on_roll(&record, today), here);
    }

    #[test]
    fn a_future_pupil_is_present_from_the_first_day() {
        let coming = |joins: &str| Person {
            pre_admission: true,
            ..record(PersonKind::Student, joins, "", None)
        };
        let today = "2026-11-27".parse().unwrap();
        assert!(!on_roll(&coming(""), today));
        assert!(!on_roll(&coming("2026-11-28"), today));
        assert!(on_roll(&coming("2026-11-27"), today));
    }
}
