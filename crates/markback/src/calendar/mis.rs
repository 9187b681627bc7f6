//! Closures from the calendar in a school's MIS.

use std::sync::Arc;

use chrono::{Days, NaiveDate};
use mis_core::CalendarEntry;

use super::{
    Closure, IcalReading, MisCalendar,
    ical::{DAYS_MAX, has_word, in_short},
};
use crate::{schools::Schools, settings::School};

/// How far back the calendar is read: events may be a week old.
const BACK: Days = Days::new(31);
/// How far ahead it is read.
const AHEAD: Days = Days::new(400);

impl MisCalendar {
    /// What was read by this name need not be read again.
    pub(crate) fn source(&self) -> String {
        self.closure_words.join(", ")
    }

    /// The closures among the entries.
    pub(super) fn closures(&self, entries: &[CalendarEntry]) -> IcalReading {
        let mut reading = IcalReading::default();
        for entry in entries {
            let mut texts = entry.more.iter().chain([&entry.name]);
            let is_closure = texts.any(|text| {
                let text = text.to_lowercase();
                self.closure_words.iter().any(|word| has_word(&text, word))
            });
            if !is_closure {
                continue;
            }
            if !entry.all_day {
                reading.left_out.timed += 1;
            } else if (entry.last - entry.first).num_days() >= DAYS_MAX {
                reading.left_out.unreadable += 1;
            } else {
                reading.closures.push(Closure {
                    first: entry.first,
                    last: entry.last,
                    why: in_short(&entry.name),
                });
            }
        }
        reading
    }
}

/// Reads the calendar in a school's MIS.
///
/// # Errors
/// Returns the reason in words if it cannot be read.
pub(super) async fn read(
    schools: Arc<Schools>,
    school: &School,
    calendar: &MisCalendar,
    today: NaiveDate,
) -> Result<IcalReading, String> {
    let told = |error: mis_core::Error| {
        format!("the calendar in the school's MIS cannot be read: {error}")
    };
    let mis = schools.reader(school, false).await.map_err(told)?;
    let entries = mis
        .calendar(today - BACK, today + AHEAD)
        .await
        .map_err(told)?;
    let entries = entries.ok_or_else(|| {
        format!(
            "{} has no calendar that can be read; remove `from_mis`",
            mis.descriptor().name
        )
    })?;
    Ok(calendar.closures(&entries))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(first: &str, last: &str, name: &str) -> CalendarEntry {
        CalendarEntry::new(first.parse().unwrap(), last.parse().unwrap(), name)
    }

    #[test]
    fn whole_days_with_one_of_the_words_are_closures() {
        let calendar = MisCalendar {
            closure_words: vec!["inset".to_owned(), "half term".to_owned()],
        };
        let mut typed = entry("2026-12-01", "2026-12-01", "Staff  only");
        typed.more.push("INSET day".to_owned());
        let mut timed = entry("2026-12-02", "2026-12-02", "Inset evening");
        timed.all_day = false;
        let reading = calendar.closures(&[
            entry("2026-10-26", "2026-10-30", "Half Term"),
            entry("2026-11-02", "2026-11-02", "Insets"),
            entry("2026-11-03", "2026-11-03", "Sports day"),
            typed,
            timed,
            entry("2027-01-01", "2027-12-31", "Inset"),
        ]);
        let told: Vec<_> = reading
            .closures
            .iter()
            .map(|one| format!("{}..{} {}", one.first, one.last, one.why))
            .collect();
        assert_eq!(
            told,
            [
                "2026-10-26..2026-10-30 Half Term",
                "2026-12-01..2026-12-01 Staff only"
            ]
        );
        assert_eq!(
            (reading.left_out.timed, reading.left_out.unreadable),
            (1, 1)
        );
    }
}
