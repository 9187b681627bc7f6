//! Reads the schools' iCalendars daily, and when the settings change.

use std::{collections::HashMap, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use mis_core::SchoolId;
use tokio_util::sync::CancellationToken;

use super::{Closure, IcalFile, IcalReading};
use crate::{
    service::Markback,
    settings::{School, Settings},
    store::{Feed, Store},
};

/// The time between two looks for iCalendars that are due.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// How often an iCalendar is read.
const READ_EVERY: TimeDelta = TimeDelta::hours(24);
/// How soon it is tried again after a failure.
const RETRY_AFTER: TimeDelta = TimeDelta::minutes(10);

/// Which iCalendars are read.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Reread<'a> {
    /// All, at the start and when the settings file was read again.
    All,
    /// Those that are due.
    Due,
    /// Those of schools whose settings changed.
    Of(&'a [SchoolId]),
}

/// The closures that were last read from a school's iCalendar; `None` if it has none, or if it was never read.
pub(crate) async fn kept_closures(
    store: &Store,
    school: &School,
) -> outbox::Result<Option<Vec<Closure>>> {
    match file_of(school) {
        None => Ok(None),
        Some(file) => store.calendar_closures(&school.id, &file.source()).await,
    }
}

fn file_of(school: &School) -> Option<&IcalFile> {
    school.calendar.as_ref()?.ical.as_ref()
}

impl Markback {
    /// Reads the iCalendars that are due, until told to stop.
    pub(crate) async fn run_calendars(&self, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
            self.read_calendars_that_are_due().await;
        }
    }

    /// Reads the iCalendars whose last reading is a day ago, or ten minutes if it failed. The service does so by itself.
    pub async fn read_calendars_that_are_due(&self) {
        self.read_calendars(&self.settings(), Reread::Due).await;
    }

    /// Reads the iCalendars of these settings and keeps their closures in the database. What fails is logged and tried again.
    pub(crate) async fn read_calendars(&self, settings: &Settings, which: Reread<'_>) {
        if let Err(error) = try_read_calendars(self.store(), settings, which).await {
            tracing::warn!(%error, "the schools' iCalendars could not be kept; the last ones go on counting");
        }
    }
}

async fn try_read_calendars(
    store: &Store,
    settings: &Settings,
    which: Reread<'_>,
) -> outbox::Result<()> {
    let with_file = |school: &SchoolId| settings.school(school).and_then(file_of).is_some();
    let kept = store.calendar_feeds().await?;
    for school in kept.keys().filter(|school| !with_file(school)) {
        store.forget_calendar(school).await?;
    }
    let now = store.now();
    // Schools of a template share a file.
    let mut readings: HashMap<&IcalFile, Result<IcalReading, String>> = HashMap::new();
    for school in &settings.schools {
        let Some(file) = file_of(school) else {
            continue;
        };
        let before = kept
            .get(&school.id)
            .filter(|feed| feed.source == file.source());
        let wanted = match which {
            Reread::All => true,
            Reread::Due => before.is_none_or(|feed| is_due(feed, now)),
            Reread::Of(ids) => ids.contains(&school.id),
        };
        if !wanted {
            continue;
        }
        if !readings.contains_key(file) {
            readings.insert(file, read(file).await);
        }
        if let Some(reading) = readings.get(file) {
            keep(store, &school.id, file, reading, before).await?;
        }
    }
    Ok(())
}

fn is_due(feed: &Feed, now: DateTime<Utc>) -> bool {
    let after = match feed.problem {
        None => READ_EVERY,
        Some(_) => RETRY_AFTER,
    };
    (now - feed.tried_at).abs() >= after
}

async fn read(file: &IcalFile) -> Result<IcalReading, String> {
    let file = file.clone();
    match tokio::task::spawn_blocking(move || file.read()).await {
        Ok(reading) => reading.map_err(|error| error.to_string()),
        Err(error) => Err(format!("the iCalendar file could not be read: {error}")),
    }
}

/// Keeps a reading and tells what is new about it.
async fn keep(
    store: &Store,
    school: &SchoolId,
    file: &IcalFile,
    reading: &Result<IcalReading, String>,
    before: Option<&Feed>,
) -> outbox::Result<()> {
    let told_problem = before.and_then(|feed| feed.problem.as_deref());
    match reading {
        Ok(reading) => {
            store.take_calendar(school, &file.source(), reading).await?;
            if told_problem.is_some() {
                tracing::info!(%school, "the school's iCalendar can be read again");
            }
            let left_out = reading.left_out.to_string();
            let told = before.and_then(|feed| feed.left_out.as_deref());
            if !left_out.is_empty() && told != Some(left_out.as_str()) {
                tracing::warn!(
                    %school,
                    left_out,
                    "events of the school's iCalendar are not taken as closures; add those days to `closures`"
                );
            }
        }
        Err(problem) => {
            store.fail_calendar(school, &file.source(), problem).await?;
            if told_problem != Some(problem.as_str()) {
                tracing::warn!(
                    %school,
                    problem,
                    "the school's iCalendar could not be read; what was last read of it goes on counting"
                );
            }
        }
    }
    Ok(())
}
