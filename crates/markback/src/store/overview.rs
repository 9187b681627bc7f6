//! What an operator asks first about a school: which MIS was found, what is in the way, and how many wait for it.

use std::collections::BTreeMap;

use mis_core::wonde::SchoolId;
use outbox::on_pool;
use serde_json::Value;

use super::Store;

/// One school in short.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overview {
    /// The MIS that the last sync that went through found.
    pub mis_found: Option<String>,
    /// What is in the way of the last sync; `None` when nothing is.
    pub sync_error: Option<String>,
    /// Why events wait, and how many for that reason: what most of them wait for.
    pub waiting: Option<(String, u64)>,
}

/// What the last sync that met something met, unless a later one went through; of one school, or of all for NULL.
const SYNC_ERRORS: &str = "SELECT s.school, s.error FROM markback_roster_syncs s \
     JOIN (SELECT school, max(asked_ms) AS asked_ms FROM markback_roster_syncs \
           WHERE error IS NOT NULL AND state <> 'done' GROUP BY school) l \
       ON l.school = s.school AND l.asked_ms = s.asked_ms \
     LEFT JOIN (SELECT school, max(asked_ms) AS asked_ms FROM markback_roster_syncs \
                WHERE state IN ('done', 'held') GROUP BY school) d ON d.school = s.school \
     WHERE s.error IS NOT NULL AND s.state <> 'done' AND (d.asked_ms IS NULL OR s.asked_ms > d.asked_ms) \
       AND (CAST($1 AS TEXT) IS NULL OR s.school = $1)";
const LAST_REPORTS: &str = "SELECT s.school, s.report FROM markback_roster_syncs s \
     JOIN (SELECT school, max(asked_ms) AS asked_ms FROM markback_roster_syncs WHERE report IS NOT NULL GROUP BY school) l \
       ON l.school = s.school AND l.asked_ms = s.asked_ms \
     WHERE s.report IS NOT NULL";
const WAITING: &str = "SELECT school, waiting, count(*) AS n FROM markback_events \
     WHERE settled_ms IS NULL AND waiting IS NOT NULL GROUP BY school, waiting ORDER BY n";
impl Store {
    /// The schools of which there is anything to say.
    ///
    /// # Errors
    /// As the database answers.
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
        // The reason that most wait for comes last, and stays.
        for (school, why, count) in waiting {
            schools.entry(school.into()).or_default().waiting =
                Some((why, u64::try_from(count).unwrap_or_default()));
        }
        Ok(schools)
    }

    /// What is in the way of a school's last sync; `None` when nothing is, or none was tried.
    ///
    /// # Errors
    /// As the database answers.
    pub(crate) async fn sync_error(&self, school: &SchoolId) -> outbox::Result<Option<String>> {
        let mut errors = self.sync_errors(Some(school)).await?;
        Ok(errors.pop().map(|(_, error)| error))
    }

    async fn sync_errors(
        &self,
        school: Option<&SchoolId>,
    ) -> outbox::Result<Vec<(String, String)>> {
        let school = school.map(SchoolId::as_str);
        Ok(
            on_pool!(self.db, pool => sqlx::query_as(SYNC_ERRORS).bind(school).fetch_all(pool).await)?,
        )
    }
}
