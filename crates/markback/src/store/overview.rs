//! An operator's overview of a school: its MIS, its obstacle, and how many events wait for it.

use std::collections::BTreeMap;

use mis_core::SchoolId;
use outbox::on_pool;
use serde_json::Value;

use super::{FeedKind, Store, SyncState, schools_of};
use crate::store::row::row;

/// The overview of one school.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overview {
    /// The MIS found by the last successful sync.
    pub mis_found: Option<String>,
    /// The error of the last sync, or why it holds changes back; `None` if neither.
    pub sync_error: Option<String>,
    /// The most common reason why events wait, and the number of waiting events.
    pub waiting: Option<(String, u64)>,
    /// Why the school's iCalendar could not be read at the last try, and what counts meanwhile.
    pub calendar_error: Option<String>,
}

/// The last sync with something to say, of each of these schools: `k(school)`.
macro_rules! last_sync {
    ($schools:expr) => {
        last_sync!($schools, "(l.error IS NOT NULL OR l.report IS NOT NULL)")
    };
    ($schools:expr, $has:literal) => {
        concat!(
            $schools,
            " SELECT s.school, s.state, s.error, s.report FROM k JOIN markback_roster_syncs s \
             ON s.school = k.school AND s.id = (SELECT l.id FROM markback_roster_syncs l WHERE l.school = k.school AND ",
            $has,
            " ORDER BY l.asked_ms DESC, l.id DESC LIMIT 1)"
        )
    };
}
pub(super) const LAST_SYNCS: &str = last_sync!(schools_of!("markback_roster_syncs"));
pub(super) const LAST_SYNC: &str = last_sync!("WITH k(school) AS (SELECT CAST($1 AS TEXT))");
pub(super) const LAST_REPORTS: &str =
    last_sync!(schools_of!("markback_roster_syncs"), "l.report IS NOT NULL");
/// A held mark is no obstacle.
pub(super) const WAITING: &str = "SELECT school, waiting, count(*) AS n FROM markback_events \
     WHERE settled_ms IS NULL AND waiting IS NOT NULL AND state <> 'held' GROUP BY school, waiting ORDER BY n";

impl Store {
    /// The schools with anything to report.
    ///
    /// # Errors
    /// Returns an error if the database query fails.
    pub async fn overview(&self) -> outbox::Result<BTreeMap<SchoolId, Overview>> {
        let mut schools: BTreeMap<SchoolId, Overview> = BTreeMap::new();
        let last: Vec<LastSync> =
            on_pool!(self.db, pool => sqlx::query_as(LAST_SYNCS).fetch_all(pool).await)?;
        for sync in last {
            if let Some(error) = sync.in_the_way() {
                schools.entry(sync.school.into()).or_default().sync_error = Some(error);
            }
        }
        let reports: Vec<LastSync> =
            on_pool!(self.db, pool => sqlx::query_as(LAST_REPORTS).fetch_all(pool).await)?;
        for sync in reports {
            if let Some(mis) = sync.report()["mis"]["name"].as_str() {
                schools.entry(sync.school.into()).or_default().mis_found = Some(mis.to_owned());
            }
        }
        let waiting: Vec<(String, String, i64)> =
            on_pool!(self.db, pool => sqlx::query_as(WAITING).fetch_all(pool).await)?;
        // The most common reason comes last, and stays.
        for (school, why, count) in waiting {
            schools.entry(school.into()).or_default().waiting =
                Some((why, u64::try_from(count).unwrap_or_default()));
        }
        let mut feeds = Vec::new();
        for kind in FeedKind::ALL {
            feeds.extend(self.calendar_feeds(kind).await?);
        }
        for (school, feed) in feeds {
            if let Some(problem) = feed.problem {
                let meanwhile = match feed.read_at {
                    Some(at) => format!("its closures as read on {} count", at.date_naive()),
                    None => "no day is closed by it".to_owned(),
                };
                schools.entry(school).or_default().calendar_error =
                    Some(format!("{problem}; meanwhile {meanwhile}"));
            }
        }
        Ok(schools)
    }

    /// The error of a school's last sync; `None` if there is none.
    ///
    /// # Errors
    /// Returns an error if the database query fails.
    pub(crate) async fn sync_error(&self, school: &SchoolId) -> outbox::Result<Option<String>> {
        let last: Option<LastSync> = on_pool!(self.db, pool => {
            sqlx::query_as(LAST_SYNC).bind(school.as_str()).fetch_optional(pool).await
        })?;
        Ok(last.and_then(|sync| sync.in_the_way()))
    }
}

row! {
    struct LastSync {
        school: String,
        state: String,
        error: Option<String>,
        report: Option<String>,
    }
}

impl LastSync {
    fn report(&self) -> Value {
        let report = self.report.as_deref().unwrap_or_default();
        serde_json::from_str(report).unwrap_or_default()
    }

    /// Its error, or why it holds changes back.
    fn in_the_way(&self) -> Option<String> {
        if self.state == SyncState::Done.as_str() {
            return None;
        }
        let report = self.report();
        let held = report["held"][0]["words"].as_str();
        self.error.clone().or_else(|| held.map(str::to_owned))
    }
}
