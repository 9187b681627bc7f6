//! The closures that were last read from the schools' iCalendars, and from the calendars in their MISs.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use mis_core::SchoolId;
use outbox::{MigrationStep, Migrations, on_pool, on_tx};

use super::Store;
use crate::calendar::{Closure, IcalReading, Validators};

const FEEDS: &str = include_str!("../../migrations/calendar/0001_feeds.sql");
const VALIDATORS: &str = include_str!("../../migrations/calendar/0002_validators.sql");
const IN_MIS: &str = include_str!("../../migrations/calendar/0003_mis.sql");

/// The table of the iCalendars, in SQL that both databases accept.
pub(super) const MIGRATIONS: Migrations = Migrations {
    prefix: "markback_calendar",
    steps: &[
        MigrationStep {
            version: 1,
            name: "feeds",
            sqlite: FEEDS,
            postgres: FEEDS,
        },
        MigrationStep {
            version: 2,
            name: "versions of feeds at addresses",
            sqlite: VALIDATORS,
            postgres: VALIDATORS,
        },
        MigrationStep {
            version: 3,
            name: "calendars in MISs",
            sqlite: IN_MIS,
            postgres: IN_MIS,
        },
    ],
};

/// Which of a school's calendars was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FeedKind {
    /// Its iCalendar.
    Ical,
    /// The calendar in its MIS.
    Mis,
}

impl FeedKind {
    /// Both.
    pub(crate) const ALL: [Self; 2] = [Self::Ical, Self::Mis];

    fn sql(self) -> &'static Statements {
        match self {
            Self::Ical => &ICAL,
            Self::Mis => &MIS,
        }
    }
}

/// The statements of a table.
struct Statements {
    take: &'static str,
    unchanged: &'static str,
    /// What was read of another source says nothing about this one.
    fail: &'static str,
    closures: &'static str,
    read: &'static str,
    forget: &'static str,
    failed: &'static str,
}

macro_rules! statements {
    ($table:literal) => {
        Statements {
            take: concat!(
                "INSERT INTO ", $table, " (school, source, closures, read_ms, tried_ms, left_out, etag, modified) \
                 VALUES ($1, $2, $3, $4, $4, $5, $6, $7) \
                 ON CONFLICT (school) DO UPDATE SET source = excluded.source, closures = excluded.closures, \
                     read_ms = excluded.read_ms, tried_ms = excluded.tried_ms, problem = NULL, \
                     left_out = excluded.left_out, etag = excluded.etag, modified = excluded.modified"
            ),
            unchanged: concat!(
                "UPDATE ", $table, " SET read_ms = $3, tried_ms = $3, problem = NULL WHERE school = $1 AND source = $2"
            ),
            fail: concat!(
                "INSERT INTO ", $table, " AS f (school, source, tried_ms, problem) \
                 VALUES ($1, $2, $3, $4) \
                 ON CONFLICT (school) DO UPDATE SET source = excluded.source, \
                     closures = CASE WHEN f.source = excluded.source THEN f.closures END, \
                     read_ms = CASE WHEN f.source = excluded.source THEN f.read_ms END, \
                     left_out = CASE WHEN f.source = excluded.source THEN f.left_out END, \
                     etag = CASE WHEN f.source = excluded.source THEN f.etag END, \
                     modified = CASE WHEN f.source = excluded.source THEN f.modified END, \
                     tried_ms = excluded.tried_ms, problem = excluded.problem"
            ),
            closures: concat!("SELECT closures FROM ", $table, " WHERE school = $1 AND source = $2"),
            read: concat!("SELECT school, source, read_ms, tried_ms, problem, left_out, etag, modified FROM ", $table),
            forget: concat!("DELETE FROM ", $table, " WHERE school = $1"),
            failed: concat!("SELECT count(*) FROM ", $table, " WHERE problem IS NOT NULL"),
        }
    };
}

const ICAL: Statements = statements!("markback_calendar_feeds");
const MIS: Statements = statements!("markback_calendar_mis");

/// How the reading of a school's iCalendar went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Feed {
    /// The file, or the address without what may be secret.
    pub(crate) source: String,
    /// When the closures that count were read; `None` if never.
    pub(crate) read_at: Option<DateTime<Utc>>,
    /// When it was last tried.
    pub(crate) tried_at: DateTime<Utc>,
    /// Why the last try failed.
    pub(crate) problem: Option<String>,
    /// Which events the last reading did not take.
    pub(crate) left_out: Option<String>,
    /// What the server said about the version that was read.
    pub(crate) validators: Validators,
}

impl Store {
    /// Keeps what was read of a school's iCalendar.
    pub(crate) async fn take_calendar(
        &self,
        kind: FeedKind,
        school: &SchoolId,
        source: &str,
        reading: &IcalReading,
        validators: &Validators,
    ) -> outbox::Result<()> {
        let closures = serde_json::to_string(&reading.closures)
            .map_err(|_| outbox::Error::invalid("a closure is no JSON"))?;
        let left_out = Some(reading.left_out.to_string()).filter(|left| !left.is_empty());
        let now = self.now_ms();
        let mut tx = self.db.begin().await?;
        on_tx!(tx, conn => {
            sqlx::query(kind.sql().take).bind(school.as_str()).bind(source).bind(&closures).bind(now).bind(&left_out)
                .bind(&validators.etag).bind(&validators.modified)
                .execute(conn).await.map(|_| ())
        })?;
        tx.commit().await
    }

    /// Notes that what was read of a school's iCalendar is still what it says.
    pub(crate) async fn calendar_unchanged(
        &self,
        kind: FeedKind,
        school: &SchoolId,
        source: &str,
    ) -> outbox::Result<()> {
        let now = self.now_ms();
        let mut tx = self.db.begin().await?;
        on_tx!(tx, conn => {
            sqlx::query(kind.sql().unchanged).bind(school.as_str()).bind(source).bind(now).execute(conn).await.map(|_| ())
        })?;
        tx.commit().await
    }

    /// Notes why a school's iCalendar could not be read. What was read of the same source before stays.
    pub(crate) async fn fail_calendar(
        &self,
        kind: FeedKind,
        school: &SchoolId,
        source: &str,
        problem: &str,
    ) -> outbox::Result<()> {
        let now = self.now_ms();
        let mut tx = self.db.begin().await?;
        on_tx!(tx, conn => {
            sqlx::query(kind.sql().fail).bind(school.as_str()).bind(source).bind(now).bind(problem)
                .execute(conn).await.map(|_| ())
        })?;
        tx.commit().await
    }

    /// The closures that were last read from this source for a school; `None` if it was never read.
    pub(crate) async fn calendar_closures(
        &self,
        kind: FeedKind,
        school: &SchoolId,
        source: &str,
    ) -> outbox::Result<Option<Vec<Closure>>> {
        let found: Option<Option<String>> = on_pool!(self.db, pool => {
            sqlx::query_scalar(kind.sql().closures).bind(school.as_str()).bind(source).fetch_optional(pool).await
        })?;
        let parsed = found.flatten().map(|json| serde_json::from_str(&json));
        parsed
            .transpose()
            .map_err(|_| outbox::Error::invalid("the stored closures of a school are no JSON"))
    }

    /// How the readings went, by school.
    pub(crate) async fn calendar_feeds(
        &self,
        kind: FeedKind,
    ) -> outbox::Result<BTreeMap<SchoolId, Feed>> {
        type Row = (
            String,
            String,
            Option<i64>,
            i64,
            Option<String>,
            Option<String>,
            Option<String>,
            Option<String>,
        );
        let rows: Vec<Row> =
            on_pool!(self.db, pool => sqlx::query_as(kind.sql().read).fetch_all(pool).await)?;
        let time = |ms| DateTime::from_timestamp_millis(ms).unwrap_or_default();
        let feeds = rows.into_iter().map(
            |(school, source, read, tried, problem, left_out, etag, modified)| {
                let feed = Feed {
                    source,
                    read_at: read.map(time),
                    tried_at: time(tried),
                    problem,
                    left_out,
                    validators: Validators { etag, modified },
                };
                (school.into(), feed)
            },
        );
        Ok(feeds.collect())
    }

    /// Forgets what was read for a school, which has no iCalendar any more.
    pub(crate) async fn forget_calendar(
        &self,
        kind: FeedKind,
        school: &SchoolId,
    ) -> outbox::Result<()> {
        let mut tx = self.db.begin().await?;
        on_tx!(tx, conn => {
            sqlx::query(kind.sql().forget).bind(school.as_str()).execute(conn).await.map(|_| ())
        })?;
        tx.commit().await
    }

    /// The number of calendars, iCalendars and those in MISs, that could not be read at the last try.
    ///
    /// # Errors
    /// Returns an error if the database query fails.
    pub async fn calendars_unread(&self) -> outbox::Result<usize> {
        let mut all = 0;
        for kind in FeedKind::ALL {
            let failed = kind.sql().failed;
            let count: i64 =
                on_pool!(self.db, pool => sqlx::query_scalar(failed).fetch_one(pool).await)?;
            all += usize::try_from(count).unwrap_or_default();
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use outbox::{Clock as _, TestClock};

    use super::*;

    fn reading(why: &str) -> IcalReading {
        let day = "2026-11-27".parse().unwrap();
        let mut reading = IcalReading::default();
        reading.closures.push(Closure {
            first: day,
            last: day,
            why: why.to_owned(),
        });
        reading.left_out.recurring = 1;
        reading
    }

    async fn check(url: &str, kind: FeedKind) {
        let clock = Arc::new(TestClock::at("2026-11-23T08:40:00Z".parse().unwrap()));
        let settings = outbox::Settings::default();
        let store = Store::open(url, settings, clock.clone()).await.unwrap();
        let (hill, dale) = (SchoolId::from("hill"), SchoolId::from("dale"));
        let whys = async |school: &SchoolId, source: &str| {
            let closures = store.calendar_closures(kind, school, source).await.unwrap();
            closures.map(|all| all.into_iter().map(|one| one.why).collect::<Vec<_>>())
        };
        assert_eq!(whys(&hill, "a.ics").await, None);
        store
            .fail_calendar(kind, &hill, "a.ics", "gone")
            .await
            .unwrap();
        assert_eq!(whys(&hill, "a.ics").await, None);
        let validators = Validators {
            etag: Some("\"7\"".to_owned()),
            modified: None,
        };
        store
            .take_calendar(kind, &hill, "a.ics", &reading("snow"), &validators)
            .await
            .unwrap();
        let read_at = clock.now();
        assert_eq!(store.calendars_unread().await.unwrap(), 0);
        clock.advance(Duration::from_secs(60));
        // A failure keeps the last good one.
        store
            .fail_calendar(kind, &hill, "a.ics", "gone")
            .await
            .unwrap();
        assert_eq!(whys(&hill, "a.ics").await, Some(vec!["snow".to_owned()]));
        assert_eq!(whys(&dale, "a.ics").await, None);
        let feed = Feed {
            source: "a.ics".to_owned(),
            read_at: Some(read_at),
            tried_at: clock.now(),
            problem: Some("gone".to_owned()),
            left_out: Some("recurring closures: 1".to_owned()),
            validators,
        };
        assert_eq!(
            store.calendar_feeds(kind).await.unwrap(),
            BTreeMap::from([(hill.clone(), feed)])
        );
        assert_eq!(store.calendars_unread().await.unwrap(), 1);
        store
            .calendar_unchanged(kind, &hill, "b.ics")
            .await
            .unwrap();
        assert_eq!(store.calendars_unread().await.unwrap(), 1);
        store
            .calendar_unchanged(kind, &hill, "a.ics")
            .await
            .unwrap();
        let feed = store
            .calendar_feeds(kind)
            .await
            .unwrap()
            .remove(&hill)
            .unwrap();
        assert_eq!((feed.read_at, feed.problem), (Some(clock.now()), None));
        // But not of another file.
        store
            .fail_calendar(kind, &hill, "b.ics", "gone")
            .await
            .unwrap();
        assert_eq!(whys(&hill, "a.ics").await, None);
        assert_eq!(whys(&hill, "b.ics").await, None);
        store
            .take_calendar(
                kind,
                &hill,
                "b.ics",
                &IcalReading::default(),
                &Validators::default(),
            )
            .await
            .unwrap();
        assert_eq!(whys(&hill, "b.ics").await, Some(Vec::new()));
        store.forget_calendar(kind, &hill).await.unwrap();
        assert!(store.calendar_feeds(kind).await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn the_last_closures_stay_after_a_failure() {
        for kind in FeedKind::ALL {
            check("sqlite::memory:", kind).await;
            if let Some(server) = throwaway_postgres::shared().unwrap() {
                check(&server.create_database().unwrap(), kind).await;
            }
        }
    }
}
