//! An operator's overview of a school: its MIS, its obstacle, and how many events wait for it.

use std::collections::BTreeMap;

use mis_core::SchoolId;
use outbox::on_pool;
use serde_json::Value;

use super::{FeedKind, Store, SyncState};
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

/// The last relevant sync of each school; of one school, or of all for NULL.
const LAST_SYNCS: &str = "SELECT s.school, s.state, s.error, s.report FROM markback_roster_syncs s \
     JOIN (SELECT school, max(asked_ms) AS asked_ms FROM markback_roster_syncs \
           WHERE error IS NOT NULL OR report IS NOT NULL GROUP BY school) l \
       ON l.school = s.school AND l.asked_ms = s.asked_ms \
     WHERE (s.error IS NOT NULL OR s.report IS NOT NULL) AND (CAST($1 AS TEXT) IS NULL OR s.school = $1)";
/// The last report of each school.
const LAST_REPORTS: &str = "SELECT s.school, s.report FROM markback_roster_syncs s \
     JOIN (SELECT school, max(asked_ms) AS asked_ms FROM markback_roster_syncs WHERE report IS NOT NULL GROUP BY school) l \
       ON l.school = s.school AND l.asked_ms = s.asked_ms \
     WHERE s.report IS NOT NULL";
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
        for (school, error) in self.sync_errors(None).await? {
            schools.entry(school.into()).or_default().sync_error = Some(error);
        }
        let reports: Vec<(String, String)> =
            on_pool!(self.db, pool => sqlx::query_as(LAST_REPORTS).fetch_all(pool).await)?;
        for (school, report) in reports {
            let report: Value = serde_json::from_str(&report).unwrap_or_default();
            if let Some(mis) = report["mis"]["name"].as_str() {
                schools.entry(school.into()).or_default().mis_found = Some(mis.to_owned());
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
        let mut errors = self.sync_errors(Some(school)).await?;
        Ok(errors.pop().map(|(_, error)| error))
    }

    async fn sync_errors(
        &self,
        school: Option<&SchoolId>,
    ) -> outbox::Result<Vec<(String, String)>> {
        let school = school.map(SchoolId::as_str);
        let found: Vec<LastSync> = on_pool!(self.db, pool => sqlx::query_as(LAST_SYNCS).bind(school).fetch_all(pool).await)?;
        let errors = found.into_iter().filter_map(|sync| {
            let error = sync.in_the_way()?;
            Some((sync.school, error))
        });
        Ok(errors.collect())
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
    /// Its error, or why it holds changes back.
    fn in_the_way(&self) -> Option<String> {
        if self.state == SyncState::Done.as_str() {
            return None;
        }
        let report = self.report.as_deref().unwrap_or_default();
        let report: Value = serde_json::from_str(report).unwrap_or_default();
        let held = report["held"][0]["words"].as_str();
        self.error.clone().or_else(|| held.map(str::to_owned))
    }
}
