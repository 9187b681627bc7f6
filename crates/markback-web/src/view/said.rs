//! Small words of pages.

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use markback::people::KnownPerson;
use mis_core::PersonKind;

use super::time::clock;

/// A number with its noun: `1 mark`, `14 marks`.
pub(crate) fn counted(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

/// A day and a time of the school's clock: `Mon 23 Nov, 09:05`.
pub(crate) fn day_and_time(at: DateTime<Utc>, timezone: Tz) -> String {
    let local = at.with_timezone(&timezone);
    local.format("%a %-d %b, %H:%M").to_string()
}

/// A time of the school's clock, with the day unless that is today.
pub(crate) fn when(at: DateTime<Utc>, timezone: Tz, now: DateTime<Utc>) -> String {
    let local = at.with_timezone(&timezone);
    if local.date_naive() == now.with_timezone(&timezone).date_naive() {
        clock(at, timezone)
    } else {
        day_and_time(at, timezone)
    }
}

/// What tells people of one name apart: `10B`, `Year 10`, `staff`, `parent`.
pub(crate) fn form(person: &KnownPerson) -> String {
    match person.kind {
        PersonKind::Student => {
            let form = person.registration.clone().or_else(|| person.year.clone());
            form.unwrap_or_default()
        }
        PersonKind::Staff => "staff".to_owned(),
        PersonKind::Parent => "parent".to_owned(),
    }
}

/// What a form has in a field; empty if it has no such field.
pub(crate) fn field<'f>(fields: &'f [(String, String)], name: &str) -> &'f str {
    let found = fields.iter().find(|(field, _)| field == name);
    found.map_or("", |(_, value)| value.as_str())
}
