//! Times as the school's clock shows them.

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use chrono_tz::Tz;

/// The time of day: `09:07`.
pub fn clock(at: DateTime<Utc>, timezone: Tz) -> String {
    at.with_timezone(&timezone).format("%H:%M").to_string()
}

/// The time of day to the second: `09:07:12`.
pub fn clock_to_the_second(at: DateTime<Utc>, timezone: Tz) -> String {
    at.with_timezone(&timezone).format("%H:%M:%S").to_string()
}

/// A date in words: `Monday 23 November 2026`, without the year if it is that of `now`.
pub fn day(date: NaiveDate, today: NaiveDate) -> String {
    use chrono::Datelike as _;
    let form = if date.year() == today.year() {
        "%A %-d %B"
    } else {
        "%A %-d %B %Y"
    };
    date.format(form).to_string()
}

/// How long ago something was, in the words that people use; with the day once that is not enough.
pub fn ago(at: DateTime<Utc>, now: DateTime<Utc>, timezone: Tz) -> String {
    let passed = now - at;
    let of = |number: i64, word: &str| {
        let plural = if number == 1 { "" } else { "s" };
        format!("{number} {word}{plural} ago")
    };
    if passed < TimeDelta::seconds(45) {
        "just now".to_owned()
    } else if passed < TimeDelta::minutes(90) {
        of(
            (passed + TimeDelta::seconds(30)).num_minutes().max(1),
            "minute",
        )
    } else if passed < TimeDelta::hours(20) {
        of((passed + TimeDelta::minutes(30)).num_hours(), "hour")
    } else {
        let local = at.with_timezone(&timezone);
        format!("on {}", local.format("%A %-d %B at %H:%M"))
    }
}

/// What a page asks for: the day in the address, or today.
///
/// A text that is no date counts as today: somebody who edits an address by hand sees the day that they are on.
pub fn day_asked(asked: Option<&str>, today: NaiveDate) -> NaiveDate {
    asked
        .and_then(|text| text.trim().parse().ok())
        .unwrap_or(today)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(0, "just now")]
    #[case(-30, "just now")]
    #[case(60, "1 minute ago")]
    #[case(180, "3 minutes ago")]
    #[case(89 * 60, "89 minutes ago")]
    #[case(2 * 3600, "2 hours ago")]
    #[case(26 * 3600, "on Sunday 22 November at 08:15")]
    fn how_long_ago_is_told_in_words(#[case] seconds: i64, #[case] words: &str) {
        let now: DateTime<Utc> = "2026-11-23T10:15:00Z".parse().unwrap();
        let at = now - TimeDelta::seconds(seconds);
        assert_eq!(ago(at, now, chrono_tz::Europe::London), words);
    }

    #[rstest]
    #[case(Some("2026-11-20"), "2026-11-20")]
    #[case(Some(" 2026-11-20 "), "2026-11-20")]
    #[case(Some("yesterday"), "2026-11-23")]
    #[case(None, "2026-11-23")]
    fn a_day_is_asked_for(#[case] asked: Option<&str>, #[case] day: NaiveDate) {
        assert_eq!(day_asked(asked, "2026-11-23".parse().unwrap()), day);
    }
}
