//! The two sessions of a school day, and the clock that they follow.

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, Offset as _, TimeZone as _, Utc};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

/// Morning or afternoon.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    strum::Display,
    strum::EnumString,
    strum::IntoStaticStr,
)]
#[strum(
    serialize_all = "UPPERCASE",
    ascii_case_insensitive,
    parse_err_ty = UnknownSession,
    parse_err_fn = UnknownSession::new
)]
pub enum Session {
    /// The morning.
    #[serde(rename = "AM", alias = "am")]
    Am,
    /// The afternoon.
    #[serde(rename = "PM", alias = "pm")]
    Pm,
}

impl Session {
    /// `AM` or `PM`.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// The error for a text that is neither `AM` nor `PM`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a session; write AM or PM")]
pub struct UnknownSession;

impl UnknownSession {
    fn new(_: &str) -> Self {
        Self
    }
}

/// A school's own clock: its time zone and the times at which its sessions begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SchoolClock {
    /// The school's time zone.
    pub timezone: Tz,
    /// The local time at which the morning session begins. Lessons that are over by then, such as a breakfast club,
    /// belong to no session. `None` if every lesson before `afternoon_from` belongs to the morning.
    pub morning_from: Option<NaiveTime>,
    /// The local time at which the afternoon session begins.
    pub afternoon_from: NaiveTime,
}

impl SchoolClock {
    /// The clock of a school in this time zone, with an afternoon that begins at noon.
    pub fn new(timezone: Tz) -> Self {
        Self {
            timezone,
            morning_from: None,
            afternoon_from: NOON,
        }
    }

    /// The local date and session in which an instant falls.
    pub fn session_at(&self, at: DateTime<Utc>) -> (NaiveDate, Session) {
        let local = self.local(at);
        let session = if local.time() < self.afternoon_from {
            Session::Am
        } else {
            Session::Pm
        };
        (local.date(), session)
    }

    /// The local date of a lesson, and the session whose register is taken in it.
    ///
    /// A register is taken when a lesson begins, so a lesson belongs to the session in which it begins, however far it
    /// reaches into the next: one from 11:20 to 12:05 is in the morning where the afternoon begins at 12:00. A lesson
    /// that begins before the morning session is in the morning if it goes on after the session's beginning, such as
    /// registration a few minutes early; a lesson that is over by then belongs to no session. A lesson without an end,
    /// or with an end that is not after its start, is judged by its start.
    pub fn session_of_lesson(
        &self,
        starts: DateTime<Utc>,
        ends: Option<DateTime<Utc>>,
    ) -> (NaiveDate, Option<Session>) {
        let (date, session) = self.session_at(starts);
        let over_by = |opens: NaiveTime| {
            let opens = date.and_time(opens);
            match ends.filter(|ends| *ends > starts) {
                Some(ends) => self.local(ends) <= opens,
                None => self.local(starts) < opens,
            }
        };
        let too_early = self.morning_from.is_some_and(over_by);
        (date, Some(session).filter(|_| !too_early))
    }

    /// The first instant of a local day. Where the clocks change at midnight, the first that exists.
    pub fn start_of_day(&self, date: NaiveDate) -> DateTime<Utc> {
        let midnight = date.and_time(NaiveTime::MIN);
        self.timezone
            .from_local_datetime(&midnight)
            .earliest()
            .map_or_else(|| midnight.and_utc(), |local| local.with_timezone(&Utc))
    }

    /// The local time. At the ends of the calendar, where there is none, the time in UTC.
    fn local(&self, at: DateTime<Utc>) -> NaiveDateTime {
        let utc = at.naive_utc();
        let offset = self.timezone.offset_from_utc_datetime(&utc).fix();
        utc.checked_add_offset(offset).unwrap_or(utc)
    }
}

pub(crate) const NOON: NaiveTime = match NaiveTime::from_hms_opt(12, 0, 0) {
    Some(noon) => noon,
    None => NaiveTime::MIN,
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_parsed_from_its_text() {
        for (text, session) in [("AM", Session::Am), ("pm", Session::Pm)] {
            assert_eq!(text.parse(), Ok(session));
            assert_eq!(session.to_string(), text.to_uppercase());
        }
        assert_eq!("XM".parse::<Session>(), Err(UnknownSession));
    }

    #[test]
    fn sessions_follow_the_local_clock() {
        let clock = SchoolClock::new(Tz::Europe__London);
        let at = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
        assert_eq!(clock.session_at(at("2026-06-15T10:59:59Z")).1, Session::Am);
        assert_eq!(clock.session_at(at("2026-06-15T11:00:00Z")).1, Session::Pm);
        assert_eq!(clock.session_at(at("2026-11-23T11:59:59Z")).1, Session::Am);
    }
}
