//! The register mirror: each school's marks of the last few days and of all future days, kept in the database.
//!
//! Wonde filters registers only by time of change, and offices enter absences a term ahead. Everything changed since
//! `register_lookback` is read once in the background, slice by slice. From then on, changes since the last reading are
//! read before events are decided, even after a restart or by another node. Removed marks are not reported: they are
//! missing from the nightly full reading.

mod full;
mod work;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex as StdMutex, PoisonError},
    time::Duration,
};

use chrono::{DateTime, Days, NaiveDate, TimeDelta, Utc};
use futures::stream::TryStreamExt as _;
use mis_core::{Mis, Register, RegisterQuery, SchoolId};
use tokio::sync::Mutex;

use crate::{
    pipeline::WorkerConfig,
    schools::Schools,
    settings::{LiveSettings, School},
    store::{Progress, RegisterReading, Store},
};

/// How far before the last reading changes are queried. Wonde renews its copy every hour or two, and it is not known
/// whether a change has the time of the copy or its own, which appears only in the next copy.
const OVERLAP: TimeDelta = TimeDelta::hours(3);
/// The longest span of changes read at once. What was read of it is kept, so an interrupted reading continues from
/// there.
const SLICE: TimeDelta = TimeDelta::days(7);
/// How far back changes are queried if rows have no time of change, because such a query may miss some.
const UNTIMED_BACK: TimeDelta = TimeDelta::days(7);
/// A last reading that is further ahead of the clock than this was timed by a wrong clock, so changes may be missing.
const CLOCKS_DIFFER: TimeDelta = TimeDelta::hours(1);
/// The most rows written in one transaction.
const BATCH: usize = 1_000;
/// Days of which the register is kept in memory: today, and one or two for late events.
const IN_MEMORY: usize = 3;
/// How many times as old as usual a copy may be where the decision does not depend on it.
const RELAXED: i32 = 6;
/// What an event waits for until everything has been read once.
const FIRST: &str = "the register is being read for the first time";

/// How old a copy of the register may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MaxAge {
    /// `register_window`.
    Window,
    /// `register_window`, and read no earlier than this.
    Since(DateTime<Utc>),
    /// Six times `register_window`: the decision does not depend on the copy, which only its explanation shows.
    Relaxed,
}

/// The register mirrors of all schools. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Mirror {
    settings: LiveSettings,
    store: Store,
    schools: Arc<Schools>,
    config: WorkerConfig,
    recent: Arc<StdMutex<HashMap<SchoolId, Arc<Mutex<Recent>>>>>,
}

/// A school's registers as last built. The lock is held while Wonde is asked, so concurrent readers ask once.
#[derive(Debug, Default)]
struct Recent {
    source: &'static str,
    registers: HashMap<NaiveDate, Arc<Register>>,
}

/// Why there is no register.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unread {
    /// The MIS cannot be asked.
    #[error(transparent)]
    Mis(#[from] mis_core::Error),
    /// The database cannot be read.
    #[error(transparent)]
    Store(#[from] outbox::Error),
    /// Not everything has been read yet.
    #[error("{0}")]
    First(String),
}

impl Unread {
    fn first(reading: Option<&RegisterReading>) -> Self {
        let trouble = reading.and_then(|reading| reading.trouble.as_deref());
        Self::First(match trouble {
            Some(trouble) => format!("{FIRST}; the last attempt failed: {trouble}"),
            None => FIRST.to_owned(),
        })
    }
}

impl Mirror {
    pub(crate) fn new(
        settings: LiveSettings,
        store: Store,
        schools: Arc<Schools>,
        config: WorkerConfig,
    ) -> Self {
        Self {
            settings,
            store,
            schools,
            config,
            recent: Arc::default(),
        }
    }

    /// The register of a day. Changes since the last reading are read if that is older than `max_age`.
    pub(crate) async fn register(
        &self,
        school: &School,
        mis: &Mis,
        date: NaiveDate,
        max_age: MaxAge,
    ) -> Result<Arc<Register>, Unread> {
        let recent = self.recent(&school.id);
        let mut recent = recent.lock().await;
        let source = mis.descriptor().id;
        if recent.source != source {
            *recent = Recent {
                source,
                registers: HashMap::new(),
            };
        }
        if let Some(register) = recent.registers.get(&date)
            && self.is_fresh(register.read_at(), max_age)
        {
            return Ok(register.clone());
        }
        let register = Arc::new(if date < self.oldest_day(school) {
            // For an event that waited longer than the mirror reaches back.
            mis.register(date).await?
        } else {
            let read_at = self.update(school, mis, max_age).await?;
            let slots = mis.register_slots(date).await?;
            let rows = self.store.register_rows(&school.id, &slots).await?;
            // Another node may have found meanwhile that the school has another MIS.
            let reading = self.store.register_reading(&school.id).await?;
            if !reading
                .as_ref()
                .is_some_and(|reading| self.is_known(reading, source))
            {
                return Err(Unread::first(reading.as_ref()));
            }
            mis.register_of(date, read_at, rows).await?
        });
        let registers = &mut recent.registers;
        registers.insert(date, register.clone());
        while registers.len() > IN_MEMORY {
            let Some(oldest) = registers.keys().min().copied() else {
                break;
            };
            registers.remove(&oldest);
        }
        Ok(register)
    }

    /// Drops a school's registers that were read before this, so that they are built again.
    pub(crate) async fn forget_before(&self, school: &SchoolId, at: DateTime<Utc>) {
        let recent = self.recent(school);
        let mut recent = recent.lock().await;
        recent
            .registers
            .retain(|_, register| register.read_at() >= at);
    }

    /// Reads changes since the last reading unless that is fresh. Returns when the last reading began.
    async fn update(
        &self,
        school: &School,
        mis: &Mis,
        max_age: MaxAge,
    ) -> Result<DateTime<Utc>, Unread> {
        let source = mis.descriptor().id;
        let reading = self.store.register_reading(&school.id).await?;
        let known = reading
            .as_ref()
            .filter(|reading| self.is_known(reading, source));
        let Some(mut read_at) = known.and_then(|reading| reading.read_at) else {
            self.ask(&[school]).await?;
            return Err(Unread::first(reading.as_ref()));
        };
        while !self.is_fresh(read_at, max_age) {
            let now = self.store.now();
            let mut from = read_at.min(now) - OVERLAP;
            if self.store.register_is_untimed(&school.id).await? {
                from = from.min(now - UNTIMED_BACK);
            }
            let until =
                Some(from.max(read_at - OVERLAP) + SLICE).filter(|until| *until < now - OVERLAP);
            let query = RegisterQuery {
                updated_after: Some(from),
                updated_before: until,
            };
            read_at = until.unwrap_or(now);
            let progress = Progress {
                read_at: Some(read_at),
                ..Progress::default()
            };
            if !self.read(school, mis, query, progress).await? {
                return Err(Unread::first(None));
            }
            if until.is_none() {
                break;
            }
        }
        Ok(read_at)
    }

    /// Reads rows and stores those of relevant days. Returns false if they are no longer wanted, because the school's
    /// MIS has changed or another full reading has begun.
    async fn read(
        &self,
        school: &School,
        mis: &Mis,
        query: RegisterQuery,
        progress: Progress,
    ) -> Result<bool, Unread> {
        let (source, oldest) = (mis.descriptor().id, self.oldest_day(school));
        let part = Progress {
            generation: progress.generation,
            ..Progress::default()
        };
        let (mut batch, mut seen) = (Vec::new(), 0);
        let mut rows = mis.register_rows(query);
        while let Some(row) = rows.try_next().await? {
            seen += 1;
            if row.date.is_some_and(|date| date < oldest) {
                continue;
            }
            batch.push(row);
            if batch.len() == BATCH {
                let kept = self.store.keep_register(&school.id, source, &batch, part);
                if !kept.await? {
                    return Ok(false);
                }
                batch.clear();
            }
        }
        let progress = Progress { seen, ..progress };
        let kept = self
            .store
            .keep_register(&school.id, source, &batch, progress);
        Ok(kept.await?)
    }

    /// Removes marks of past days that are no longer needed, and all marks of schools that have long left the settings.
    /// Returns the number of the former.
    pub(crate) async fn prune(&self) -> outbox::Result<u64> {
        let now = self.store.now();
        let settings = self.settings.current();
        let keep = TimeDelta::from_std(settings.service.sync.keep_former).unwrap_or(TimeDelta::MAX);
        if let Some(before) = now.checked_sub_signed(keep) {
            let known = |school: &SchoolId| settings.school(school).is_some();
            self.store.drop_registers(known, before).await?;
        }
        // One day more, because of time zones.
        let oldest = now - self.past() - TimeDelta::days(1);
        self.store
            .prune_register(oldest, now - self.lookback())
            .await
    }

    /// Whether everything is known except the changes since.
    fn is_known(&self, reading: &RegisterReading, source: &str) -> bool {
        let now = self.store.now();
        let sound = |read_at| read_at <= now + CLOCKS_DIFFER && read_at >= now - self.lookback();
        reading.source == source && reading.read_at.is_some_and(sound)
    }

    fn is_fresh(&self, read_at: DateTime<Utc>, max_age: MaxAge) -> bool {
        let window = delta(self.settings.current().service.register_window);
        let age = (self.store.now() - read_at).abs();
        match max_age {
            MaxAge::Window => age < window,
            MaxAge::Since(earliest) => age < window && read_at >= earliest,
            MaxAge::Relaxed => age < window * RELAXED,
        }
    }

    /// Whether a copy read then is no older than [`MaxAge::Window`].
    pub(crate) fn is_recent(&self, register: &Register) -> bool {
        self.is_fresh(register.read_at(), MaxAge::Window)
    }

    fn lookback(&self) -> TimeDelta {
        delta(self.settings.current().service.register_lookback)
    }

    /// How long marks of past days are kept: as long as an event may be old and then be retried.
    fn past(&self) -> TimeDelta {
        delta(self.settings.current().service.accept_age) + delta(self.config.give_up_after)
    }

    /// The first day whose marks are kept.
    fn oldest_day(&self, school: &School) -> NaiveDate {
        let first = self.store.now() - self.past();
        first.with_timezone(&school.timezone).date_naive() - Days::new(1)
    }

    fn recent(&self, school: &SchoolId) -> Arc<Mutex<Recent>> {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent.entry(school.clone()).or_default().clone()
    }
}

/// A duration as a calendar length, limited to the longest span that is ever queried.
fn delta(length: Duration) -> TimeDelta {
    const LONGEST: TimeDelta = TimeDelta::days(3_660);
    TimeDelta::from_std(length).map_or(LONGEST, |length| length.min(LONGEST))
}

#[cfg(test)]
mod tests;
