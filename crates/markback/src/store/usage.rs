//! Requests to MISs by token and purpose, added up by the hour over all nodes.

use outbox::{MigrationStep, Migrations, Sql, on_pool, on_tx};
use serde::Serialize;

use super::Store;

const REQUESTS: &str = include_str!("../../migrations/usage/0001_requests.sql");

/// The tables of the usage, in SQL that both databases accept.
pub(super) const MIGRATIONS: Migrations = Migrations {
    prefix: "markback_usage",
    steps: &[MigrationStep {
        version: 1,
        name: "requests",
        sqlite: REQUESTS,
        postgres: REQUESTS,
    }],
};

const HOUR_MS: i64 = 60 * 60 * 1_000;
/// How long the counts are kept.
const KEPT_MS: i64 = 8 * 24 * HOUR_MS;
const DAY_MS: i64 = 24 * HOUR_MS;

/// Rows are written in the order of their keys, so that two nodes do not wait for each other.
static ADD: Sql = Sql::new(
    "INSERT INTO markback_usage_requests (token, hour_ms, purpose, requests) \
     SELECT token, hour_ms, purpose, requests FROM {rows $1: token text, hour_ms int, purpose text, requests int} r \
     WHERE $2 > 0 ORDER BY token, hour_ms, purpose \
     ON CONFLICT (token, hour_ms, purpose) DO UPDATE SET \
         requests = markback_usage_requests.requests + excluded.requests",
);
const PRUNE: &str = "DELETE FROM markback_usage_requests WHERE hour_ms < $1";
const READ: &str = "SELECT token, purpose, \
         CAST(sum(CASE WHEN hour_ms >= $2 THEN requests ELSE 0 END) AS BIGINT), CAST(sum(requests) AS BIGINT) \
     FROM markback_usage_requests WHERE hour_ms > $1 GROUP BY token, purpose ORDER BY token, purpose";

/// The requests with one token for one purpose.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Usage {
    /// The token's throttle key: the place where the settings say that it is kept, or the school that it is for.
    pub token: String,
    /// What the requests were for; see [`RequestPurpose::as_str`](mis_core::RequestPurpose::as_str).
    pub purpose: String,
    /// Since the beginning of this hour.
    pub this_hour: u64,
    /// In the last 24 hours, to the full hour.
    pub last_day: u64,
}

impl Store {
    /// Adds requests of this hour, by the token's throttle key and the purpose, and forgets those of more than a week ago.
    pub(crate) async fn add_requests(
        &self,
        requests: &[(String, &'static str, u64)],
    ) -> outbox::Result<()> {
        let hour = hour_of(self.now_ms());
        let rows: Vec<_> = requests
            .iter()
            .map(|(token, purpose, count)| (token, hour, purpose, count))
            .collect();
        let mut tx = self.db.begin().await?;
        self.write_rows(&mut tx, &ADD, &rows).await?;
        on_tx!(tx, conn => {
            sqlx::query(PRUNE).bind(hour - KEPT_MS).execute(conn).await.map(|_| ())
        })?;
        tx.commit().await
    }

    /// The requests of the last day by token and purpose, as far as the nodes have reported them: each does once a minute.
    ///
    /// # Errors
    /// Returns an error if the database query fails.
    pub async fn usage(&self) -> outbox::Result<Vec<Usage>> {
        let hour = hour_of(self.now_ms());
        let rows: Vec<(String, String, i64, i64)> = on_pool!(self.db, pool => {
            sqlx::query_as(READ).bind(hour - DAY_MS).bind(hour).fetch_all(pool).await
        })?;
        let count = |n: i64| u64::try_from(n).unwrap_or(0);
        let usage = rows
            .into_iter()
            .map(|(token, purpose, this_hour, day)| Usage {
                token,
                purpose,
                this_hour: count(this_hour),
                last_day: count(day),
            });
        Ok(usage.collect())
    }
}

fn hour_of(ms: i64) -> i64 {
    ms - ms.rem_euclid(HOUR_MS)
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use outbox::TestClock;

    use super::*;

    async fn check(url: &str) {
        let clock = Arc::new(TestClock::at("2026-11-23T08:40:00Z".parse().unwrap()));
        let open = async || {
            let settings = outbox::Settings::default();
            Store::open(url, settings, clock.clone()).await.unwrap()
        };
        let store = open().await;
        assert!(store.usage().await.unwrap().is_empty());
        let (hill, dale) = ("token:env:HILL".to_owned(), "token:env:DALE".to_owned());
        let add = async |requests: &[(String, &'static str, u64)]| {
            store.add_requests(requests).await.unwrap();
        };
        add(&[(hill.clone(), "outcome", 2), (dale.clone(), "people", 3)]).await;
        add(&[(hill.clone(), "outcome", 5)]).await;
        clock.advance(Duration::from_secs(60 * 60));
        add(&[(hill.clone(), "outcome", 1), (hill.clone(), "grants", 1)]).await;
        let told = async || {
            let usage = store.usage().await.unwrap().into_iter();
            let told = usage.map(|one| (one.token, one.purpose, one.this_hour, one.last_day));
            told.collect::<Vec<_>>()
        };
        let row = |token: &String, purpose: &str, hour, day| {
            (token.clone(), purpose.to_owned(), hour, day)
        };
        assert_eq!(
            told().await,
            [
                row(&dale, "people", 0, 3),
                row(&hill, "grants", 1, 1),
                row(&hill, "outcome", 1, 8)
            ]
        );
        clock.advance(Duration::from_secs(22 * 60 * 60 + 30 * 60));
        add(&[]).await;
        assert_eq!(
            told().await,
            [row(&hill, "grants", 0, 1), row(&hill, "outcome", 0, 1)]
        );
        clock.advance(Duration::from_secs(9 * 24 * 60 * 60));
        add(&[]).await;
        let left: i64 = on_pool!(store.db, pool => {
            sqlx::query_scalar("SELECT count(*) FROM markback_usage_requests").fetch_one(pool).await
        })
        .unwrap();
        assert_eq!(left, 0);
    }

    #[tokio::test]
    async fn requests_are_added_up_by_token_and_purpose_for_a_day() {
        check("sqlite::memory:").await;
        if let Some(server) = throwaway_postgres::shared().unwrap() {
            check(&server.create_database().unwrap()).await;
        }
    }
}
