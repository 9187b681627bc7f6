//! Limits of a school's MIS beyond its adapter's capabilities, learned from refusals.

use chrono::{DateTime, TimeDelta, Utc};
use mis_core::{Ability, Capabilities, Mis, SchoolId};
use outbox::{Sql, Tx, on_pool};
use serde::{Deserialize, Serialize};

use super::Store;
use crate::store::row::row;

/// Something that is left out of a school's marks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Limit {
    /// No comment.
    NoComment,
    /// No comment longer than this many characters.
    CommentMax(u16),
    /// No minutes late.
    NoMinutesLate,
}

impl Limit {
    /// The capabilities within this limit.
    pub fn narrow(self, capabilities: Capabilities) -> Capabilities {
        match self {
            Self::NoComment => capabilities.without(Ability::Comment),
            Self::NoMinutesLate => capabilities.without(Ability::MinutesLate),
            Self::CommentMax(max) => capabilities
                .with_comment_max(capabilities.comment_max.map_or(max, |known| known.min(max))),
        }
    }

    /// The limited ability.
    pub fn ability(self) -> Ability {
        match self {
            Self::NoComment | Self::CommentMax(_) => Ability::Comment,
            Self::NoMinutesLate => Ability::MinutesLate,
        }
    }
}

/// A sentence for the operator.
impl std::fmt::Display for Limit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NoComment => f.write_str("marks go without comments"),
            Self::CommentMax(max) => {
                write!(f, "comments longer than {max} characters are left out")
            }
            Self::NoMinutesLate => f.write_str("marks go without minutes late"),
        }
    }
}

/// A limit that was learned from refusals.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LearnedLimit {
    /// The school.
    pub school: String,
    /// The adapter's id of its MIS: another MIS has other limits.
    pub mis: String,
    /// What is left out.
    pub limit: Limit,
    /// When it was last learned.
    pub learned_at: DateTime<Utc>,
    /// When it is tried again.
    pub until: DateTime<Utc>,
}

row! {
    #[derive(Clone, Debug)]
    pub(super) struct Row {
        school: String,
        mis: String,
        ability: String,
        comment_max: Option<i64>,
        learned_ms: i64,
        until_ms: i64,
    }
}

pub(super) static OF_SCHOOLS: Sql = Sql::new(
    "SELECT l.* FROM {rows $1: school text, mis text} r JOIN markback_limits l \
     ON l.school = r.school AND l.mis = r.mis",
);
const ALL: &str = "SELECT * FROM markback_limits WHERE until_ms > $1 ORDER BY school, mis, ability";

/// The narrower of two valid limits stays; an expired one is replaced.
static LEARN: Sql = Sql::new(
    "INSERT INTO markback_limits (school, mis, ability, comment_max, learned_ms, until_ms) \
     SELECT r.school, r.mis, r.ability, r.comment_max, $2, r.until_ms \
     FROM {rows $1: school text, mis text, ability text, comment_max int, until_ms int} r WHERE true \
     ON CONFLICT (school, mis, ability) DO UPDATE SET \
         comment_max = CASE WHEN markback_limits.until_ms > excluded.learned_ms \
                             AND (markback_limits.comment_max IS NULL OR markback_limits.comment_max < excluded.comment_max) \
                            THEN markback_limits.comment_max ELSE excluded.comment_max END, \
         until_ms = CASE WHEN markback_limits.until_ms > excluded.until_ms THEN markback_limits.until_ms ELSE excluded.until_ms END, \
         learned_ms = excluded.learned_ms",
);

impl Store {
    /// The limits of a school's MIS now.
    async fn limits(&self, school: &str, mis: &str) -> outbox::Result<Vec<Limit>> {
        let (keys, now) = ([(school, mis)], self.now_ms());
        let found = self
            .ask_together(&self.asked.limits, &OF_SCHOOLS, &keys)
            .await?;
        Ok(found
            .iter()
            .filter(|row| row.school == school && row.mis == mis && row.until_ms > now)
            .cloned()
            .filter_map(read)
            .map(|row| row.limit)
            .collect())
    }

    /// The capabilities of a school's MIS within the limits learned of it.
    pub(crate) async fn limited_capabilities(
        &self,
        school: &SchoolId,
        mis: &Mis,
    ) -> outbox::Result<Capabilities> {
        let limits = self.limits(school.as_str(), mis.descriptor().id).await?;
        let all = mis.capabilities();
        Ok(limits
            .into_iter()
            .fold(all, |left, limit| limit.narrow(left)))
    }

    /// The limits of all schools now.
    ///
    /// # Errors
    /// Returns an error if the database query fails.
    pub async fn all_limits(&self) -> outbox::Result<Vec<LearnedLimit>> {
        let now = self.now_ms();
        let found: Vec<Row> =
            on_pool!(self.db, pool => sqlx::query_as(ALL).bind(now).fetch_all(pool).await)?;
        Ok(found.into_iter().filter_map(read).collect())
    }

    /// Stores learned limits: the school, its MIS, the limit, and how long it is trusted.
    pub(crate) async fn learn(
        &self,
        tx: &mut Tx,
        limits: &[(String, String, Limit, TimeDelta)],
    ) -> outbox::Result<()> {
        let now = self.now_ms();
        // One row for each, because one statement must not write a row twice.
        let mut table: Vec<(&str, &str, &str, Option<u16>, i64)> = Vec::new();
        for (school, mis, limit, believed) in limits {
            let max = match limit {
                Limit::CommentMax(max) => Some(*max),
                Limit::NoComment | Limit::NoMinutesLate => None,
            };
            let until = now.saturating_add(believed.num_milliseconds());
            let ability = limit.ability().as_str();
            let known = table
                .iter_mut()
                .find(|row| (row.0, row.1, row.2) == (school.as_str(), mis.as_str(), ability));
            match known {
                Some(row) => {
                    row.3 = row.3.zip(max).map(|(one, other)| one.min(other));
                    row.4 = row.4.max(until);
                }
                None => table.push((school, mis, ability, max, until)),
            }
        }
        self.write_rows(tx, &LEARN, &table).await
    }
}

fn read(row: Row) -> Option<LearnedLimit> {
    let limit = match (row.ability.parse().ok()?, row.comment_max) {
        (Ability::Comment, None) => Limit::NoComment,
        (Ability::Comment, Some(max)) => Limit::CommentMax(u16::try_from(max).ok()?),
        (Ability::MinutesLate, _) => Limit::NoMinutesLate,
        _ => return None,
    };
    Some(LearnedLimit {
        school: row.school,
        mis: row.mis,
        limit,
        learned_at: DateTime::from_timestamp_millis(row.learned_ms)?,
        until: DateTime::from_timestamp_millis(row.until_ms)?,
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use outbox::SystemClock;

    use super::*;

    async fn the_narrower_limit_stays(url: &str) {
        let store = Store::open(url, outbox::Settings::default(), Arc::new(SystemClock))
            .await
            .unwrap();
        let learn = async |limits: &[Limit], believed: TimeDelta| {
            let limits: Vec<_> = limits
                .iter()
                .map(|limit| ("A1".to_owned(), "sims".to_owned(), *limit, believed))
                .collect();
            let mut tx = store.database().begin().await.unwrap();
            store.learn(&mut tx, &limits).await.unwrap();
            tx.commit().await.unwrap();
            store.limits("A1", "sims").await.unwrap()
        };
        let day = TimeDelta::days(1);
        assert_eq!(learn(&[], day).await, []);
        assert_eq!(
            learn(&[Limit::CommentMax(30), Limit::CommentMax(20)], day).await,
            [Limit::CommentMax(20)]
        );
        assert_eq!(
            learn(&[Limit::CommentMax(25)], day).await,
            [Limit::CommentMax(20)]
        );
        assert_eq!(
            learn(&[Limit::NoMinutesLate, Limit::NoComment], day)
                .await
                .len(),
            2
        );
        assert!(
            learn(&[Limit::CommentMax(10)], day)
                .await
                .contains(&Limit::NoComment)
        );
        assert_eq!(store.limits("A1", "arbor").await.unwrap(), []);
        assert_eq!(store.all_limits().await.unwrap().len(), 2);
    }

    #[tokio::test]
    async fn on_sqlite_the_narrower_limit_stays() {
        the_narrower_limit_stays("sqlite::memory:").await;
    }

    #[tokio::test]
    async fn on_postgres_the_narrower_limit_stays() {
        let Some(server) = throwaway_postgres::shared().unwrap() else {
            return;
        };
        the_narrower_limit_stays(&server.create_database().unwrap()).await;
    }
}
