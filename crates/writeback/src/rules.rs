//! The rules of one group, compiled from valid settings: times are parsed and options are read.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use chrono::{
    DateTime, Datelike, FixedOffset, NaiveDate, NaiveDateTime, NaiveTime, Offset, TimeDelta,
    TimeZone, Timelike, Weekday,
};
use chrono_tz::Tz;
use mis_core::{Code, CodeBook, EmployeeId, EventKind, HeldCode, Session};

use crate::reading::{Reading, same_code};

/// The rules of one group of students, created by [`Rules::check`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    pub(crate) am_opens: Option<NaiveTime>,
    pub(crate) usual: DayTimes,
    pub(crate) other: OtherTimes,
    pub(crate) days: Vec<Weekday>,
    pub(crate) closed: BTreeSet<NaiveDate>,
    pub(crate) ignores_calendar: bool,
    pub(crate) hold: Option<HoldRules>,
    pub(crate) late: Code,
    pub(crate) unauthorised: Code,
    pub(crate) present_am: Code,
    pub(crate) present_pm: Code,
    pub(crate) present: bool,
    pub(crate) leaver: Option<Code>,
    pub(crate) custom_codes: PerKind<Option<String>>,
    pub(crate) comment: PerKind<Option<String>>,
    pub(crate) minutes_late: bool,
    pub(crate) protected: Vec<Code>,
    pub(crate) protect_on: PerKind<bool>,
    pub(crate) first_arrival_stands: bool,
    pub(crate) shortest_stay: TimeDelta,
    pub(crate) employee: Option<EmployeeId>,
    pub(crate) fields: PerKind<BTreeMap<String, Options>>,
}

/// The options of one field by their text.
pub(crate) type Options = BTreeMap<String, OptionRule>;

/// An option as the rules use it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OptionRule {
    pub(crate) reading: Reading,
    pub(crate) write: bool,
}

/// Marks that wait for a person's release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HoldRules {
    pub(crate) all: bool,
    pub(crate) codes: Vec<Code>,
    pub(crate) over_teacher: bool,
    pub(crate) lapse_after: Option<TimeDelta>,
}

/// The times of one school day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DayTimes {
    pub(crate) am: Clock,
    pub(crate) pm: Clock,
    pub(crate) pm_opens: NaiveTime,
    pub(crate) closes: NaiveTime,
}

/// The times of the days on which they are not the usual ones.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct OtherTimes {
    pub(crate) dates: BTreeMap<NaiveDate, Arc<OtherDayRules>>,
    /// From Monday on.
    pub(crate) weekdays: [Option<Arc<OtherDayRules>>; 7],
}

/// The times of some days.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OtherDayRules {
    pub(crate) times: DayTimes,
    /// Those that differ, as text: `AM late 08:45, the day closes at 13:30`.
    pub(crate) differing: String,
    pub(crate) why: Option<String>,
}

impl OtherTimes {
    /// The times of a date, and whether they are those of its day of the week.
    pub(crate) fn on(&self, date: NaiveDate) -> Option<(&OtherDayRules, bool)> {
        if let Some(found) = self.dates.get(&date) {
            return Some((found, false));
        }
        let place = usize::try_from(date.weekday().num_days_from_monday()).ok()?;
        let found = self.weekdays.get(place)?.as_deref()?;
        Some((found, true))
    }
}

/// The times of one session; a missing time disables its step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Clock {
    pub(crate) starts: Option<NaiveTime>,
    pub(crate) late: Option<NaiveTime>,
    pub(crate) unauthorised: Option<NaiveTime>,
}

impl Clock {
    /// The time from which minutes late are counted.
    pub(crate) fn counted_from(&self) -> Option<NaiveTime> {
        self.starts.or(self.late)
    }

    /// Whether a sign-in at this time is in time.
    pub(crate) fn in_time(&self, time: NaiveTime) -> bool {
        let later = |limit: Option<NaiveTime>| limit.is_some_and(|limit| time > limit);
        !later(self.late) && !later(self.unauthorised)
    }
}

/// The times of a school day, by the school's clock, for people to see.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TimesOfDay {
    /// When the morning session starts, if it is set.
    pub am_opens: Option<NaiveTime>,
    /// The morning.
    pub am: SessionTimes,
    /// When the afternoon session starts.
    pub pm_opens: NaiveTime,
    /// The afternoon.
    pub pm: SessionTimes,
    /// When the day ends. Nothing is written from then on.
    pub closes: NaiveTime,
    /// How they differ from the usual ones, and why, as text; `None` on a usual day.
    pub differing: Option<String>,
}

/// The times of one session; a missing time disables its step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionTimes {
    /// Who comes after this is late.
    pub late: Option<NaiveTime>,
    /// Who comes after this is absent without authorisation, unless a reason is known.
    pub unauthorised: Option<NaiveTime>,
}

impl From<Clock> for SessionTimes {
    fn from(clock: Clock) -> Self {
        Self {
            late: clock.late,
            unauthorised: clock.unauthorised,
        }
    }
}

/// A value for sign-ins and one for sign-outs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct PerKind<T> {
    pub(crate) sign_in: T,
    pub(crate) sign_out: T,
}

impl<T> PerKind<T> {
    pub(crate) fn on(&self, kind: EventKind) -> &T {
        match kind {
            EventKind::SignIn => &self.sign_in,
            EventKind::SignOut => &self.sign_out,
        }
    }

    pub(crate) fn on_mut(&mut self, kind: EventKind) -> &mut T {
        match kind {
            EventKind::SignIn => &mut self.sign_in,
            EventKind::SignOut => &mut self.sign_out,
        }
    }
}

/// The school day, time and session of an instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) date: NaiveDate,
    /// To the second.
    pub(crate) time: NaiveTime,
    pub(crate) session: Session,
}

/// Why an instant is in no session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoSession {
    /// The calendar has no such local day.
    Beyond,
    NoSchoolOn(NaiveDateTime),
    Closed(NaiveDateTime),
    /// The school day is over.
    Over(NaiveDateTime),
}

impl Rules {
    /// Whether the register's code is protected from events of this kind. An unreadable code could be any code.
    pub fn protects(&self, held: &HeldCode, kind: EventKind, codes: &CodeBook) -> bool {
        let protected = match held {
            HeldCode::Known(held) => self.protected.iter().any(|p| same_code(p, held, codes)),
            HeldCode::Unreadable(_) => true,
        };
        protected && self.protects_any(kind)
    }

    /// Whether any code is protected from an event of this kind.
    pub fn protects_any(&self, kind: EventKind) -> bool {
        !self.protected.is_empty() && *self.protect_on.on(kind)
    }

    /// Whether a mark may depend on what somebody else has entered in the register, so that nothing is written before it
    /// can be read.
    pub fn must_see_register(&self, kind: EventKind) -> bool {
        self.protects_any(kind) || self.hold.as_ref().is_some_and(|hold| hold.over_teacher)
    }

    /// The school day and session of an instant, by the school's clock; `None` if nothing is written then. It
    /// determines the register to read before calling [`decide`](crate::decide).
    pub fn session_of(
        &self,
        at: DateTime<FixedOffset>,
        timezone: Tz,
    ) -> Option<(NaiveDate, Session)> {
        self.place(at, timezone)
            .ok()
            .map(|place| (place.date, place.session))
    }

    /// The time after an event in which the next one of the same person is a double tap; `None` if the step is off.
    pub fn shortest_stay(&self) -> Option<TimeDelta> {
        Some(self.shortest_stay).filter(|stay| !stay.is_zero())
    }

    /// The start of the morning session, if it is set.
    pub fn am_opens(&self) -> Option<NaiveTime> {
        self.am_opens
    }

    /// The usual start of the afternoon session.
    pub fn pm_opens(&self) -> NaiveTime {
        self.usual.pm_opens
    }

    /// The times of a date; `None` if the group has no school then by its own settings. The school's calendar may still say
    /// that it is closed.
    pub fn times_of(&self, date: NaiveDate) -> Option<TimesOfDay> {
        if !self.days.contains(&date.weekday()) || self.closed.contains(&date) {
            return None;
        }
        let times = self.times_on(date);
        let differing = self.other.on(date).map(|(other, _)| match &other.why {
            Some(why) => format!("{} ({why})", other.differing),
            None => other.differing.clone(),
        });
        Some(TimesOfDay {
            am_opens: self.am_opens,
            am: times.am.into(),
            pm_opens: times.pm_opens,
            pm: times.pm.into(),
            closes: times.closes,
            differing,
        })
    }

    /// The times of a date.
    pub(crate) fn times_on(&self, date: NaiveDate) -> &DayTimes {
        self.other
            .on(date)
            .map_or(&self.usual, |(other, _)| &other.times)
    }

    pub(crate) fn place(
        &self,
        at: DateTime<FixedOffset>,
        timezone: Tz,
    ) -> Result<Place, NoSession> {
        let local = local(at, timezone).ok_or(NoSession::Beyond)?;
        let (date, time) = (local.date(), local.time());
        if !self.days.contains(&date.weekday()) {
            return Err(NoSession::NoSchoolOn(local));
        }
        if self.closed.contains(&date) {
            return Err(NoSession::Closed(local));
        }
        let times = self.times_on(date);
        if time >= times.closes {
            return Err(NoSession::Over(local));
        }
        let session = if time < times.pm_opens {
            Session::Am
        } else {
            Session::Pm
        };
        Ok(Place {
            date,
            time,
            session,
        })
    }

    pub(crate) fn clock(&self, place: Place) -> &Clock {
        let times = self.times_on(place.date);
        match place.session {
            Session::Am => &times.am,
            Session::Pm => &times.pm,
        }
    }

    pub(crate) fn present_code(&self, session: Session) -> &Code {
        match session {
            Session::Am => &self.present_am,
            Session::Pm => &self.present_pm,
        }
    }
}

/// An instant in the school's time zone, to the second. An instant always has exactly one local time, also on the days
/// when the clocks change, except at the ends of the calendar.
pub(crate) fn local(at: DateTime<FixedOffset>, timezone: Tz) -> Option<NaiveDateTime> {
    let utc = at.naive_utc();
    let offset = timezone.offset_from_utc_datetime(&utc).fix();
    utc.checked_add_offset(offset)?.with_nanosecond(0)
}

/// The school's date of an instant, for which [`View::school_day`](crate::View::school_day) is asked; `None` at the ends of
/// the calendar.
pub fn local_date(at: DateTime<FixedOffset>, timezone: Tz) -> Option<NaiveDate> {
    local(at, timezone).map(|local| local.date())
}
