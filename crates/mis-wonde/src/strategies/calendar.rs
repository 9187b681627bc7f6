//! Reading the school's own calendar, which Wonde calls events.
//!
//! The properties of an event are not documented \[?\], so several names are accepted, and what has no name or no first
//! day is left out.

use chrono::{Days, NaiveDate, NaiveTime, Timelike as _};
use futures::TryStreamExt as _;
use mis_core::{CalendarEntry, SchoolClock};
use serde_json::Value;
use wonde::{ListQuery, OpenRecord, WrittenTime, resources};

use crate::{Connection, Result, convert::error};

/// What an event may be called.
const NAMES: [&str; 4] = ["name", "title", "summary", "subject"];
/// What else may say what it is.
const MORE: [&str; 4] = ["description", "type", "category", "event_type"];
/// When it may begin and end.
const STARTS: [&str; 4] = ["start_at", "start_date", "start", "date"];
const ENDS: [&str; 3] = ["end_at", "end_date", "end"];

/// The entries of the school's calendar with a day from `from` to `until`. No filter by date is known \[?\], so all events
/// are read.
///
/// # Errors
/// Returns an error if a request fails, or the school does not grant reading its events.
pub async fn calendar(
    connection: &Connection,
    from: NaiveDate,
    until: NaiveDate,
) -> Result<Option<Vec<CalendarEntry>>> {
    let school = connection.school();
    let mut rows = school.list(resources::EVENTS, ListQuery::new());
    let mut entries = Vec::new();
    while let Some(row) = rows.try_next().await.map_err(error)? {
        if let Some(entry) = entry(&row, connection.clock())
            && entry.first <= until
            && entry.last >= from
        {
            entries.push(entry);
        }
    }
    entries.sort_by(|a, b| (a.first, a.last, &a.name).cmp(&(b.first, b.last, &b.name)));
    Ok(Some(entries))
}

fn entry(row: &OpenRecord, clock: &SchoolClock) -> Option<CalendarEntry> {
    let text = |name: &&str| {
        let value = row.get(name)?;
        let value = value.get("name").unwrap_or(value);
        let text = value.as_str()?.trim();
        (!text.is_empty()).then(|| text.to_owned())
    };
    let time = |names: &[&str]| names.iter().find_map(|name| row.time(name));
    let start = time(&STARTS)?;
    let first = day(start, clock);
    let end = time(&ENDS);
    let last = end.map_or(first, |end| last_day(first, end, clock));
    let mut entry = CalendarEntry::new(first, last, NAMES.iter().find_map(text)?);
    entry.more = MORE.iter().filter_map(text).collect();
    entry.all_day = match row.get("all_day").and_then(flag) {
        Some(all_day) => all_day,
        None => is_midnight(start, clock) && end.is_none_or(|end| ends_a_day(end, clock)),
    };
    Some(entry)
}

/// The local day of a time. A date that is written as midnight of any zone is that date.
fn day(time: WrittenTime, clock: &SchoolClock) -> NaiveDate {
    match time.instant {
        Some(instant) if time.local.time() != NaiveTime::MIN => clock.session_at(instant).0,
        _ => time.local.date(),
    }
}

/// An end at midnight is the day after the last one, as in other calendars, unless it is the first day. Whether Wonde means
/// it so is not known \[?\]; a day that is taken for a school day by mistake does less harm than one without marks.
fn last_day(first: NaiveDate, end: WrittenTime, clock: &SchoolClock) -> NaiveDate {
    let day = day(end, clock);
    if is_midnight(end, clock) && day > first {
        return day.checked_sub_days(Days::new(1)).unwrap_or(day);
    }
    day.max(first)
}

/// Whether a time is midnight as written or by the school's clock.
fn is_midnight(time: WrittenTime, clock: &SchoolClock) -> bool {
    let of_school = |instant| clock.start_of_day(clock.session_at(instant).0) == instant;
    time.local.time() == NaiveTime::MIN || time.instant.is_some_and(of_school)
}

/// The same, or the last minute of a day as written.
fn ends_a_day(time: WrittenTime, clock: &SchoolClock) -> bool {
    let last_minute = time.local.hour() == 23 && time.local.minute() == 59;
    last_minute || is_midnight(time, clock)
}

fn flag(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(flag) => Some(*flag),
        Value::Number(number) => Some(number.as_i64() != Some(0)),
        Value::String(text) => match text.trim().to_lowercase().as_str() {
            "true" | "1" | "yes" => Some(true),
            "false" | "0" | "no" => Some(false),
            _ => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use chrono_tz::{Australia::Sydney, Europe::London, Tz};
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    fn told(zone: Tz, event: Value) -> String {
        let row: OpenRecord = serde_json::from_value(event).unwrap();
        match entry(&row, &SchoolClock::new(zone)) {
            None => "left out".to_owned(),
            Some(entry) => format!(
                "{} to {}{} {} {}",
                entry.first,
                entry.last,
                if entry.all_day { "" } else { " timed" },
                entry.name,
                entry.more.join("; ")
            ),
        }
    }

    fn php(date: &str, zone: &str) -> Value {
        json!({"date": format!("{date}.000000"), "timezone_type": 3, "timezone": zone})
    }

    #[rstest]
    #[case::dates(
        json!({"name": "INSET day", "start_at": "2026-11-27", "end_at": "2026-11-27", "all_day": true}),
        "2026-11-27 to 2026-11-27 INSET day "
    )]
    #[case::end_is_the_day_after(
        json!({"name": "Half term", "start_at": "2026-10-26", "end_at": "2026-10-31", "all_day": true}),
        "2026-10-26 to 2026-10-30 Half term "
    )]
    #[case::as_wonde_writes_times(
        json!({"name": "Half term", "start_at": php("2026-10-26 00:00:00", "UTC"),
               "end_at": php("2026-10-30 23:59:59", "UTC")}),
        "2026-10-26 to 2026-10-30 Half term "
    )]
    #[case::in_utc_while_the_clock_is_ahead(
        json!({"name": "Closed", "start_at": php("2026-06-30 23:00:00", "UTC"),
               "end_at": php("2026-07-01 23:00:00", "UTC")}),
        "2026-07-01 to 2026-07-01 Closed "
    )]
    #[case::midnight_of_another_zone_is_a_date(
        json!({"name": "Closed", "start_at": php("2026-07-01 00:00:00", "UTC"), "end_at": null}),
        "2026-07-01 to 2026-07-01 Closed "
    )]
    #[case::hours(
        json!({"name": "Open evening", "start_at": php("2026-11-27 17:00:00", "Europe/London"),
               "end_at": php("2026-11-27 19:00:00", "Europe/London"), "all_day": false}),
        "2026-11-27 to 2026-11-27 timed Open evening "
    )]
    #[case::other_names(
        json!({"title": " Staff only ", "type": {"name": "INSET"}, "description": "No pupils", "start_date": "2026-11-27",
               "all_day": "1"}),
        "2026-11-27 to 2026-11-27 Staff only No pupils; INSET"
    )]
    #[case::end_before_start(
        json!({"name": "Closed", "start_at": "2026-11-27", "end_at": "2026-11-20"}),
        "2026-11-27 to 2026-11-27 Closed "
    )]
    #[case::nameless(json!({"start_at": "2026-11-27"}), "left out")]
    #[case::without_a_start(json!({"name": "Closed"}), "left out")]
    #[case::malformed(json!({"name": 3, "start_at": [], "all_day": {}}), "left out")]
    fn an_event_is_read(#[case] event: Value, #[case] read: &str) {
        assert_eq!(told(London, event), read);
    }

    #[test]
    fn days_are_the_schools_own() {
        let event = json!({"name": "Closed", "start_at": php("2026-11-26 13:00:00", "UTC"),
                           "end_at": php("2026-11-27 13:00:00", "UTC")});
        assert_eq!(told(Sydney, event), "2026-11-27 to 2026-11-27 Closed ");
    }
}
