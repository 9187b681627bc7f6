//! When each school is synced: at once for the first time, in full every night, and changes in between.

use std::{
    collections::{HashMap, HashSet},
    time::{Duration, Instant},
};

use chrono::{DateTime, Days, NaiveTime, TimeDelta, TimeZone as _, Utc};
use chrono_tz::Tz;
use mis_core::SchoolId;
use sha2::{Digest as _, Sha256};
use tokio_util::sync::CancellationToken;

use super::{PeopleSync, SyncRequest, Wanted};
use crate::{
    queues,
    settings::{School, SyncSettings},
    store::{SyncTimes, SyncWhy},
};

/// The time over which the nightly syncs begin, to spread the load on Wonde.
const NIGHT_SPREAD: TimeDelta = TimeDelta::hours(1);

/// The most syncs enqueued in one transaction.
const ENQUEUED_AT_ONCE: usize = 500;

/// A sync that is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Due {
    pub(super) why: SyncWhy,
    /// Its id, the same on every node that finds it due.
    pub(super) id: String,
    pub(super) full: bool,
}

/// When a school's syncs become due.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rhythm {
    every: TimeDelta,
    nightly: NaiveTime,
    timezone: Tz,
    /// The school's offset within a period, from 0 to 1.
    place: f64,
}

impl Rhythm {
    /// A school's rhythm according to the settings.
    pub(crate) fn of(sync: &SyncSettings, school: &School) -> Self {
        Self {
            every: TimeDelta::from_std(sync.every).unwrap_or(TimeDelta::MAX),
            nightly: sync.nightly.parse().unwrap_or_default(),
            timezone: school.timezone,
            place: place_of(&school.id),
        }
    }

    /// The sync that is due now for a school with these last syncs.
    pub(super) fn due(&self, now: DateTime<Utc>, times: SyncTimes) -> Option<Due> {
        let (slot, slot_began) = self.slot(now);
        let Some(synced) = times.synced else {
            return Some(Due {
                why: SyncWhy::First,
                id: format!("first-{slot}"),
                full: true,
            });
        };
        let night = self.last_night(now);
        if times.full.is_none_or(|full| full < night) {
            let id = format!(
                "nightly-{}",
                night.with_timezone(&self.timezone).date_naive()
            );
            return Some(Due {
                why: SyncWhy::Nightly,
                id,
                full: true,
            });
        }
        (synced < slot_began).then(|| Due {
            why: SyncWhy::Small,
            id: format!("small-{slot}"),
            full: false,
        })
    }

    /// The current period, counted from 1970, and when it began for this school.
    fn slot(&self, now: DateTime<Utc>) -> (i64, DateTime<Utc>) {
        let every = self.every.num_milliseconds().max(1);
        let offset = share(self.every, self.place).num_milliseconds();
        let slot = (now.timestamp_millis() - offset).div_euclid(every);
        let began = slot.saturating_mul(every).saturating_add(offset);
        (slot, DateTime::from_timestamp_millis(began).unwrap_or(now))
    }

    /// When the last full sync was due.
    pub(crate) fn last_night(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        let today = now.with_timezone(&self.timezone).date_naive();
        let on = |date: chrono::NaiveDate| {
            let local = date.and_time(self.nightly);
            let begin = self.timezone.from_local_datetime(&local).earliest();
            // Where clocks skip this hour, they do not skip the next.
            let begin = begin.or_else(|| {
                self.timezone
                    .from_local_datetime(&(local + TimeDelta::hours(1)))
                    .earliest()
            });
            let begin = begin.map_or_else(|| local.and_utc(), |begin| begin.with_timezone(&Utc));
            begin + share(NIGHT_SPREAD, self.place)
        };
        let tonight = on(today);
        if tonight <= now {
            tonight
        } else {
            today.checked_sub_days(Days::new(1)).map_or(tonight, on)
        }
    }
}

fn share(of: TimeDelta, place: f64) -> TimeDelta {
    #[allow(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        reason = "a share of a day in ms"
    )]
    let ms = (of.num_milliseconds() as f64 * place.clamp(0.0, 1.0)) as i64;
    TimeDelta::milliseconds(ms)
}

/// A fixed number between 0 and 1 for each school, the same on every node and in every version.
fn place_of(school: &SchoolId) -> f64 {
    let hash = Sha256::digest(school.as_str());
    let first = hash.first_chunk().copied().unwrap_or_default();
    f64::from(u32::from_be_bytes(first)) / f64::from(u32::MAX)
}

impl PeopleSync {
    /// Enqueues syncs when they are due.
    pub(super) async fn run_schedule(&self, stop: CancellationToken) {
        let mut asked: HashMap<SchoolId, String> = HashMap::new();
        let mut rest = Duration::ZERO;
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(rest) => {}
            }
            let since = Instant::now();
            if let Err(error) = self.put_due(&mut asked).await {
                tracing::warn!(%error, "syncs that are due could not be read from the database; retrying");
            }
            rest = queues::pause_between_looks(self.config.poll, since.elapsed());
        }
    }

    /// Enqueues the syncs that are due now and not queued yet.
    pub(super) async fn put_due(
        &self,
        asked: &mut HashMap<SchoolId, String>,
    ) -> outbox::Result<()> {
        let now = self.store.now();
        let times: HashMap<SchoolId, SyncTimes> =
            self.store.sync_times().await?.into_iter().collect();
        let paused: HashSet<SchoolId> = self
            .store
            .paused_syncs()
            .await?
            .into_iter()
            .map(|(school, _)| school)
            .collect();
        let mut wanted = Vec::new();
        let never = SyncTimes {
            synced: None,
            full: None,
        };
        let settings = self.settings.current();
        for school in settings
            .schools
            .iter()
            .filter(|school| !school.groups.is_empty() && !paused.contains(&school.id))
        {
            let rhythm = Rhythm::of(&settings.service.sync, school);
            let times = times.get(&school.id).copied().unwrap_or(never);
            let Some(due) = rhythm.due(now, times) else {
                continue;
            };
            if asked.get(&school.id) == Some(&due.id) {
                continue;
            }
            let ask = SyncRequest {
                full: due.full,
                accept: false,
            };
            wanted.push(Wanted {
                school,
                why: due.why,
                id: due.id,
                ask,
            });
        }
        for part in wanted.chunks(ENQUEUED_AT_ONCE) {
            self.enqueue(part).await?;
            asked.extend(
                part.iter()
                    .map(|wanted| (wanted.school.id.clone(), wanted.id.clone())),
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn at(time: &str) -> DateTime<Utc> {
        time.parse().unwrap()
    }

    fn rhythm(place: f64) -> Rhythm {
        Rhythm {
            every: TimeDelta::minutes(30),
            nightly: NaiveTime::from_hms_opt(2, 30, 0).unwrap(),
            timezone: Tz::Europe__London,
            place,
        }
    }

    fn due(now: &str, synced: &str, full: &str) -> Option<String> {
        let time = |text: &str| (!text.is_empty()).then(|| at(text));
        let times = SyncTimes {
            synced: time(synced),
            full: time(full),
        };
        rhythm(0.0).due(at(now), times).map(|due| due.id)
    }

    #[rstest]
    #[case::never_synced("2026-11-23T08:01:00Z", "", "", Some("first-997456"))]
    #[case::just_synced(
        "2026-11-23T08:01:00Z",
        "2026-11-23T08:00:30Z",
        "2026-11-23T02:31:00Z",
        None
    )]
    #[case::half_an_hour_later(
        "2026-11-23T08:30:00Z",
        "2026-11-23T08:00:30Z",
        "2026-11-23T02:31:00Z",
        Some("small-997457")
    )]
    #[case::at_night(
        "2026-11-24T02:30:00Z",
        "2026-11-24T02:29:00Z",
        "2026-11-23T02:31:00Z",
        Some("nightly-2026-11-24")
    )]
    #[case::before_night(
        "2026-11-24T02:29:59Z",
        "2026-11-24T02:15:00Z",
        "2026-11-23T02:31:00Z",
        None
    )]
    #[case::never_in_full(
        "2026-11-23T08:01:00Z",
        "2026-11-23T08:00:30Z",
        "",
        Some("nightly-2026-11-23")
    )]
    #[case::was_down_for_days(
        "2026-11-27T09:00:00Z",
        "2026-11-23T08:00:30Z",
        "2026-11-23T02:31:00Z",
        Some("nightly-2026-11-27")
    )]
    #[case::in_summer(
        "2026-07-01T01:30:00Z",
        "2026-07-01T01:29:00Z",
        "2026-06-30T01:31:00Z",
        Some("nightly-2026-07-01")
    )]
    fn what_is_due(
        #[case] now: &str,
        #[case] synced: &str,
        #[case] full: &str,
        #[case] id: Option<&str>,
    ) {
        assert_eq!(due(now, synced, full).as_deref(), id);
    }

    #[test]
    fn schools_are_spread_over_the_hour_and_the_period() {
        let full = at("2026-11-23T03:30:00Z");
        let times = |synced| SyncTimes {
            synced: Some(at(synced)),
            full: Some(full),
        };
        let night = at("2026-11-24T03:00:00Z");
        let early = rhythm(0.2).due(night, times("2026-11-24T02:59:00Z"));
        assert_eq!(early.map(|due| due.why), Some(SyncWhy::Nightly));
        assert_eq!(rhythm(0.9).due(night, times("2026-11-24T02:59:00Z")), None);
        let small = at("2026-11-23T08:10:00Z");
        assert!(
            rhythm(0.3)
                .due(small, times("2026-11-23T08:00:00Z"))
                .is_some()
        );
        assert!(
            rhythm(0.4)
                .due(small, times("2026-11-23T08:00:00Z"))
                .is_none()
        );
    }

    #[test]
    fn a_school_keeps_its_place() {
        let place = place_of(&"A1930499544".into());
        assert!((0.0..=1.0).contains(&place));
        // Fixed, because nodes of different versions must agree.
        assert!((place - 0.375_969).abs() < 1e-6, "{place}");
    }

    #[test]
    fn a_night_that_the_clocks_jump_over_has_its_sync() {
        let spring = Rhythm {
            nightly: NaiveTime::from_hms_opt(1, 30, 0).unwrap(),
            ..rhythm(0.0)
        };
        let times = SyncTimes {
            synced: Some(at("2026-03-29T01:20:00Z")),
            full: Some(at("2026-03-28T01:31:00Z")),
        };
        let due = spring.due(at("2026-03-29T01:30:00Z"), times);
        assert_eq!(due.map(|due| due.id).as_deref(), Some("nightly-2026-03-29"));
    }
}
