//! A school's day for people to look at: its times, its events, and what the register says about a pupil now.

use std::time::Duration;

use chrono::{DateTime, Days, NaiveDate, NaiveTime, TimeZone as _, Utc};
use chrono_tz::Tz;
use mis_core::{Ability, Code, HeldCode, Session, StudentId};
use writeback::{SchoolDay, TimesOfDay};

use crate::{
    calendar::{ReadClosures, reading::kept_closures},
    mirror::{MaxAge, Unread},
    service::Markback,
    settings::School,
    store::{LedgerKey, Stage},
};

pub use crate::store::DayEvent;

/// How long a look at the register may take. Somebody waits for the page.
const LOOK_WITHIN: Duration = Duration::from_secs(3);

/// A school's day.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Day {
    /// The date at the school.
    pub date: NaiveDate,
    /// What the school's calendar says about it.
    pub school_day: SchoolDay,
    /// The times of the groups that write back and have school on this day, in the order of the settings.
    pub times: Vec<GroupTimes>,
    /// The events that happened on this day, in order of time.
    pub events: Vec<DayEvent>,
    /// Whether there are more events than are listed.
    pub more: bool,
    /// Up to when changes of the register are known; `None` if it has not been read as a whole.
    pub register_read_at: Option<DateTime<Utc>>,
}

/// The times of a group on one day.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct GroupTimes {
    /// The name of the group.
    pub group: String,
    /// Its times, by the school's clock.
    pub times: TimesOfDay,
}

/// What the register says about a pupil, and what we know of our own marks.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RegisterNow {
    /// When the copy of the register was read; the reason if it cannot be read.
    pub read_at: Result<DateTime<Utc>, String>,
    /// The morning.
    pub am: SessionNow,
    /// The afternoon.
    pub pm: SessionNow,
}

/// What the register says about a pupil's session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionNow {
    /// The code in the copy of the register; `None` if there is none, or if it cannot be read.
    pub held: Option<HeldCode>,
    /// When the MIS changed it last, if known.
    pub changed_at: Option<DateTime<Utc>>,
    /// The last mark of ours.
    pub own: Option<OwnMark>,
}

/// A mark of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct OwnMark {
    /// The event that wrote it.
    pub event: String,
    /// Its code.
    pub code: Code,
    /// How far it has come.
    pub stage: Stage,
    /// When it came so far.
    pub since: DateTime<Utc>,
    /// Whether it waits for a person's release.
    pub held: bool,
}

impl Markback {
    /// A school's day.
    ///
    /// # Errors
    /// Returns an error if the database query fails.
    pub async fn day(&self, school: &School, date: NaiveDate) -> outbox::Result<Day> {
        let (from, until) = bounds(date, school.timezone);
        let store = self.store();
        let (events, more) = store.events_between(&school.id, from, until).await?;
        let closures = kept_closures(store, school).await?;
        let reading = store.register_reading(&school.id).await?;
        Ok(Day {
            date,
            school_day: school_day(school, date, &closures),
            times: times(school, date),
            events,
            more,
            register_read_at: reading.and_then(|reading| reading.read_at),
        })
    }

    /// What the register says about a pupil now. Wonde is asked for changes if the last reading is older than
    /// `register_window`.
    ///
    /// # Errors
    /// Returns an error if the database query fails. That the register cannot be read is no error.
    pub async fn register_now(
        &self,
        school: &School,
        student: &StudentId,
        date: NaiveDate,
    ) -> outbox::Result<RegisterNow> {
        // In a task of its own: what is read counts for others too, although this look may not wait for it.
        let (mirror, schools, of) = (
            self.mirror().clone(),
            self.schools().clone(),
            school.clone(),
        );
        let reading = tokio::spawn(async move {
            let mis = schools.mis(&of).await?;
            if !mis.capabilities().has(Ability::Session) {
                return Ok(None);
            }
            mirror
                .register(&of, &mis, date, MaxAge::Window)
                .await
                .map(Some)
        });
        let read = tokio::time::timeout(LOOK_WITHIN, reading).await;
        let register = match read {
            Ok(Ok(Ok(Some(register)))) => Ok(register),
            Ok(Ok(Ok(None))) => Err("the MIS does not accept marks at this school".to_owned()),
            Ok(Ok(Err(Unread::Store(error)))) => return Err(error),
            Ok(Ok(Err(Unread::Mis(error)))) => Err(error.to_string()),
            Ok(Ok(Err(Unread::First(why)))) => Err(why),
            Ok(Err(_)) => Err("the look at it ended badly; the log names the place".to_owned()),
            Err(_) => Err("it is being read; look again in a moment".to_owned()),
        };
        let key = |session| LedgerKey {
            school: school.id.to_string(),
            student: student.clone(),
            date,
            session,
        };
        let keys = [key(Session::Am), key(Session::Pm)];
        let ledger = self.store().ledger(&keys).await?;
        let now = |key: &LedgerKey| {
            let held = register.as_ref().ok();
            let held = held.and_then(|register| register.held(student, key.session));
            let own = ledger.get(key).and_then(|row| row.newest());
            SessionNow {
                held: held.map(|held| held.code.clone()),
                changed_at: held.and_then(|held| held.changed_at),
                own: own.map(|mark| OwnMark {
                    event: mark.event.clone(),
                    code: mark.code.clone(),
                    stage: mark.stage(),
                    since: mark.since(),
                    held: mark.held,
                }),
            }
        };
        let [am, pm] = keys.each_ref().map(now);
        Ok(RegisterNow {
            read_at: register
                .as_ref()
                .map(|register| register.read_at())
                .map_err(Clone::clone),
            am,
            pm,
        })
    }
}

/// When a day begins and ends at a place, as instants. On the days when the clocks change, it is an hour shorter or longer.
pub fn bounds(date: NaiveDate, timezone: Tz) -> (DateTime<Utc>, DateTime<Utc>) {
    let begins = |date: NaiveDate| {
        let midnight = date.and_time(NaiveTime::MIN);
        let local = timezone.from_local_datetime(&midnight).earliest();
        // A place whose clocks skip midnight.
        local.map_or_else(|| midnight.and_utc(), |local| local.to_utc())
    };
    let next = date.checked_add_days(Days::new(1)).unwrap_or(date);
    (begins(date), begins(next))
}

fn school_day(school: &School, date: NaiveDate, closures: &ReadClosures) -> SchoolDay {
    match &school.calendar {
        Some(calendar) => calendar.day(date, closures),
        None => SchoolDay::NoCalendar,
    }
}

fn times(school: &School, date: NaiveDate) -> Vec<GroupTimes> {
    let of = |group: &crate::settings::Group| {
        Some(GroupTimes {
            group: group.name.clone(),
            times: group.rules.as_ref()?.times_of(date)?,
        })
    };
    school.groups.iter().filter_map(of).collect()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("2026-11-23", "2026-11-23T00:00:00Z", 24)]
    #[case::summer("2026-06-01", "2026-05-31T23:00:00Z", 24)]
    #[case::clocks_go_forward("2026-03-29", "2026-03-29T00:00:00Z", 23)]
    #[case::clocks_go_back("2026-10-25", "2026-10-24T23:00:00Z", 25)]
    fn a_day_is_as_long_as_the_schools_clock_says(
        #[case] date: NaiveDate,
        #[case] begins: DateTime<Utc>,
        #[case] hours: i64,
    ) {
        let (from, until) = bounds(date, chrono_tz::Europe::London);
        assert_eq!((from, (until - from).num_hours()), (begins, hours));
    }
}
