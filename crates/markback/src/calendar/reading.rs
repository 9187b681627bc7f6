//! Reads the schools' iCalendars daily, and when the settings change.

use std::{
    collections::HashMap,
    sync::{Arc, OnceLock},
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use futures::{StreamExt as _, stream};
use mis_core::SchoolId;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::{
    Ical, IcalPlace, IcalUrl, MisCalendar, ReadClosures, Validators,
    fetch::{Fetched, Fetcher},
    mis,
};
use crate::{
    service::Markback,
    settings::{School, Settings, TargetSettings},
    store::{Feed, FeedKind, Store},
};

/// The time between two looks for iCalendars that are due.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// How often an iCalendar is read.
const READ_EVERY: TimeDelta = TimeDelta::hours(24);
/// How soon it is tried again after a failure.
const RETRY_AFTER: TimeDelta = TimeDelta::minutes(10);

/// The most addresses that are fetched, and calendars in MISs that are read, at the same time.
const FETCHES: usize = 8;
/// How soon the calendar in an MIS is tried again after a failure. Each try takes a request, and a school that does not grant
/// it seldom changes its mind.
const MIS_RETRY_AFTER: TimeDelta = TimeDelta::hours(6);
/// The most calendars in MISs that are read before there is a look for other calendars that are due: after a start with
/// thousands of them all are due.
const MIS_AT_ONCE: usize = 100;

/// Fetching iCalendars from their addresses, which never keeps settings from ruling: it happens beside.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fetching {
    /// Set up when it is first needed.
    fetcher: Arc<OnceLock<Option<Fetcher>>>,
    /// Tells that there may be new addresses.
    new: Arc<Notify>,
}

impl Fetching {
    /// `None` if no client can be set up, which is logged.
    fn fetcher(&self, targets: &TargetSettings) -> Option<&Fetcher> {
        let set_up = || match Fetcher::new(targets) {
            Ok(fetcher) => Some(fetcher),
            Err(error) => {
                tracing::error!(%error, "no iCalendar can be fetched: the HTTP client cannot be set up");
                None
            }
        };
        self.fetcher.get_or_init(set_up).as_ref()
    }
}

/// Which iCalendar files are read. Addresses are fetched when they are due.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Reread<'a> {
    /// All, at the start and when the settings file was read again.
    All,
    /// Those that are due.
    Due,
    /// Those of schools whose settings changed.
    Of(&'a [SchoolId]),
}

/// The closures that were last read for a school from elsewhere.
pub(crate) async fn kept_closures(store: &Store, school: &School) -> outbox::Result<ReadClosures> {
    let mut kept = ReadClosures::default();
    if let Some(ical) = ical_of(school) {
        let source = ical.source();
        kept.ical = store
            .calendar_closures(FeedKind::Ical, &school.id, &source)
            .await?;
    }
    if let Some(mis) = mis_of(school) {
        let source = mis.source();
        kept.mis = store
            .calendar_closures(FeedKind::Mis, &school.id, &source)
            .await?;
    }
    Ok(kept)
}

fn mis_of(school: &School) -> Option<&MisCalendar> {
    school.calendar.as_ref()?.mis.as_ref()
}

fn ical_of(school: &School) -> Option<&Ical> {
    school.calendar.as_ref()?.ical.as_ref()
}

impl Markback {
    /// Reads the iCalendars that are due, until told to stop.
    pub(crate) async fn run_calendars(&self, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(LOOK_EVERY) => {}
                () = self.fetching.new.notified() => {}
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.read_calendars_that_are_due() => {}
            }
        }
    }

    /// Reads the iCalendars whose last reading is a day ago, or ten minutes if it failed. The service does so by itself.
    pub async fn read_calendars_that_are_due(&self) {
        let settings = self.settings();
        self.read_calendars(&settings, Reread::Due).await;
        let (fetched, read) = tokio::join!(
            self.fetch_calendars(&settings),
            self.read_mis_calendars(&settings)
        );
        if let Err(error) = fetched.and(read) {
            tracing::warn!(%error, "{NOT_KEPT}");
        }
    }

    /// Says that there may be new addresses to fetch.
    pub(crate) fn wake_calendars(&self) {
        self.fetching.new.notify_one();
    }

    /// Fetches the iCalendars that are due from their addresses, and keeps their closures in the database.
    async fn fetch_calendars(&self, settings: &Settings) -> outbox::Result<()> {
        let store = self.store();
        let kept = store.calendar_feeds(FeedKind::Ical).await?;
        let mut due: HashMap<Ical, Readers> = HashMap::new();
        for (school, ical) in with_ical(settings) {
            let before = same_source(kept.get(school), &ical.source());
            let is_due = before.is_none_or(|feed| is_due(feed, RETRY_AFTER, store.now()));
            if url_of(ical).is_some() && is_due {
                let schools = due.entry(ical.clone()).or_default();
                schools.push((school.clone(), before.cloned()));
            }
        }
        if due.is_empty() {
            return Ok(());
        }
        let Some(fetcher) = self.fetching.fetcher(&settings.service.targets) else {
            return Ok(());
        };
        let mut answers = stream::iter(due)
            .map(|(ical, schools)| fetch(fetcher.clone(), ical, schools))
            .buffer_unordered(FETCHES);
        while let Some((ical, schools, fetched)) = answers.next().await {
            for (school, before) in schools {
                let source = ical.source();
                let kept = Keeping {
                    store,
                    kind: FeedKind::Ical,
                    school: &school,
                    source: &source,
                    before: before.as_ref(),
                };
                kept.keep(&fetched).await?;
            }
        }
        Ok(())
    }

    /// Reads the calendars in MISs that are due, and keeps their closures in the database.
    async fn read_mis_calendars(&self, settings: &Settings) -> outbox::Result<()> {
        let (store, kind) = (self.store(), FeedKind::Mis);
        let kept = store.calendar_feeds(kind).await?;
        let uses = |school: &SchoolId| settings.school(school).and_then(mis_of).is_some();
        for school in kept.keys().filter(|school| !uses(school)) {
            store.forget_calendar(kind, school).await?;
        }
        let due: Vec<_> = settings
            .schools
            .iter()
            .filter_map(|school| {
                let before = same_source(kept.get(&school.id), &mis_of(school)?.source());
                let is_due = before.is_none_or(|feed| is_due(feed, MIS_RETRY_AFTER, store.now()));
                is_due.then(|| (school.clone(), before.cloned()))
            })
            .take(MIS_AT_ONCE)
            .collect();
        let are_more_due = due.len() == MIS_AT_ONCE;
        let mut read = stream::iter(due)
            .map(|(school, before)| self.clone().read_mis_calendar(school, before))
            .buffer_unordered(FETCHES);
        while let Some((school, source, before, reading)) = read.next().await {
            let kept = Keeping {
                store,
                kind,
                school: &school,
                source: &source,
                before: before.as_ref(),
            };
            kept.keep(&reading).await?;
        }
        // Only once these are kept, or they would be read again at once.
        if are_more_due {
            self.wake_calendars();
        }
        Ok(())
    }

    async fn read_mis_calendar(
        self,
        school: School,
        before: Option<Feed>,
    ) -> (SchoolId, String, Option<Feed>, Result<Fetched, String>) {
        let (source, reading) = match mis_of(&school) {
            Some(calendar) => {
                let today = self.clock().now().with_timezone(&school.timezone);
                let schools = self.schools().clone();
                let read = mis::read(schools, &school, calendar, today.date_naive()).await;
                let fetched = read.map(|reading| Fetched::Read(reading, Validators::default()));
                (calendar.source(), fetched)
            }
            None => (String::new(), Ok(Fetched::Unchanged)),
        };
        (school.id, source, before, reading)
    }

    /// Reads the iCalendar files of these settings and keeps their closures in the database. What fails is logged and tried
    /// again.
    pub(crate) async fn read_calendars(&self, settings: &Settings, which: Reread<'_>) {
        if let Err(error) = try_read_calendars(self.store(), settings, which).await {
            tracing::warn!(%error, "{NOT_KEPT}");
        }
    }
}

const NOT_KEPT: &str = "the schools' iCalendars could not be kept; the last ones go on counting";

async fn try_read_calendars(
    store: &Store,
    settings: &Settings,
    which: Reread<'_>,
) -> outbox::Result<()> {
    let has_ical = |school: &SchoolId| settings.school(school).and_then(ical_of).is_some();
    let kind = FeedKind::Ical;
    let kept = store.calendar_feeds(kind).await?;
    for school in kept.keys().filter(|school| !has_ical(school)) {
        store.forget_calendar(kind, school).await?;
    }
    let now = store.now();
    // Schools of a template share a file.
    let mut readings: HashMap<&Ical, Result<Fetched, String>> = HashMap::new();
    for (school, ical) in with_ical(settings) {
        let source = ical.source();
        let before = same_source(kept.get(school), &source);
        let wanted = match which {
            Reread::All => true,
            Reread::Due => before.is_none_or(|feed| is_due(feed, RETRY_AFTER, now)),
            Reread::Of(ids) => ids.contains(school),
        };
        if !wanted || url_of(ical).is_some() {
            continue;
        }
        if !readings.contains_key(ical) {
            readings.insert(ical, read(ical).await);
        }
        if let Some(reading) = readings.get(ical) {
            let kept = Keeping {
                store,
                kind,
                school,
                source: &source,
                before,
            };
            kept.keep(reading).await?;
        }
    }
    Ok(())
}

/// The schools that have an iCalendar.
fn with_ical(settings: &Settings) -> impl Iterator<Item = (&SchoolId, &Ical)> {
    let schools = settings.schools.iter();
    schools.filter_map(|school| Some((&school.id, ical_of(school)?)))
}

fn url_of(ical: &Ical) -> Option<&IcalUrl> {
    match &ical.place {
        IcalPlace::Url(url) => Some(url),
        IcalPlace::File(_) => None,
    }
}

/// What was read of the same source.
fn same_source<'f>(feed: Option<&'f Feed>, source: &str) -> Option<&'f Feed> {
    feed.filter(|feed| feed.source == source)
}

/// Schools with how the last reading of their iCalendar went.
type Readers = Vec<(SchoolId, Option<Feed>)>;

async fn fetch(
    fetcher: Fetcher,
    ical: Ical,
    schools: Readers,
) -> (Ical, Readers, Result<Fetched, String>) {
    let fetched = match url_of(&ical) {
        Some(url) => fetcher.fetch(&ical, url, &known_by_all(&schools)).await,
        None => Ok(Fetched::Unchanged),
    };
    (ical, schools, fetched.map_err(|error| error.to_string()))
}

/// What all of these schools know of an iCalendar's version. If one of them knows less, all of it is fetched.
fn known_by_all(schools: &[(SchoolId, Option<Feed>)]) -> Validators {
    let known = |feed: &Option<Feed>| {
        let read = feed.as_ref().filter(|feed| feed.read_at.is_some());
        read.map(|feed| feed.validators.clone()).unwrap_or_default()
    };
    let mut all = schools.iter().map(|(_, feed)| known(feed));
    let first = all.next().unwrap_or_default();
    if all.all(|other| other == first) {
        first
    } else {
        Validators::default()
    }
}

fn is_due(feed: &Feed, retry_after: TimeDelta, now: DateTime<Utc>) -> bool {
    let after = match feed.problem {
        None => READ_EVERY,
        Some(_) => retry_after,
    };
    (now - feed.tried_at).abs() >= after
}

async fn read(ical: &Ical) -> Result<Fetched, String> {
    let ical = ical.clone();
    match tokio::task::spawn_blocking(move || ical.read_file()).await {
        Ok(Some(Ok(reading))) => Ok(Fetched::Read(reading, Validators::default())),
        Ok(Some(Err(error))) => Err(error.to_string()),
        Ok(None) => Err("the iCalendar is not a file".to_owned()),
        Err(error) => Err(format!("the iCalendar file could not be read: {error}")),
    }
}

/// A calendar whose reading is kept.
struct Keeping<'a> {
    store: &'a Store,
    kind: FeedKind,
    school: &'a SchoolId,
    source: &'a str,
    /// How the last reading of the same source went.
    before: Option<&'a Feed>,
}

impl Keeping<'_> {
    /// Keeps a reading and tells what is new about it.
    async fn keep(&self, reading: &Result<Fetched, String>) -> outbox::Result<()> {
        let (kind, school, source) = (self.kind, self.school, self.source);
        let calendar = match kind {
            FeedKind::Ical => "iCalendar",
            FeedKind::Mis => "calendar in the MIS",
        };
        let told_problem = self.before.and_then(|feed| feed.problem.as_deref());
        let fetched = match reading {
            Ok(fetched) => fetched,
            Err(problem) => {
                let store = self.store;
                store.fail_calendar(kind, school, source, problem).await?;
                if told_problem != Some(problem.as_str()) {
                    tracing::warn!(
                        %school,
                        calendar,
                        problem,
                        "a calendar of the school could not be read; what was last read of it goes on counting"
                    );
                }
                return Ok(());
            }
        };
        if told_problem.is_some() {
            tracing::info!(%school, calendar, "the school's calendar can be read again");
        }
        let (reading, validators) = match fetched {
            Fetched::Read(reading, validators) => (reading, validators),
            Fetched::Unchanged => {
                return self.store.calendar_unchanged(kind, school, source).await;
            }
        };
        self.store
            .take_calendar(kind, school, source, reading, validators)
            .await?;
        let left_out = reading.left_out.to_string();
        let told = self.before.and_then(|feed| feed.left_out.as_deref());
        if !left_out.is_empty() && told != Some(left_out.as_str()) {
            tracing::warn!(
                %school,
                calendar,
                left_out,
                "events of the school's calendar are not taken as closures; add those days to `closures`"
            );
        }
        Ok(())
    }
}
