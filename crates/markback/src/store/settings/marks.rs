//! The marks that a version of a school's settings wrote.

use chrono::{DateTime, Utc};
use futures::TryStreamExt as _;
use mis_core::SchoolId;
use outbox::on_pool;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    settings::Revision,
    store::{EventState, Store, row::row},
};

/// A mark that a version of a school's settings wrote, by the event that it comes from.
///
/// Holds a pupil's data: for authorised readers, never for a log.
#[derive(Clone, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct WrittenMark {
    /// The event's id in the sign-in system.
    pub event: String,
    /// The person, by the sign-in system's id.
    pub person: String,
    /// The school day.
    pub date: Option<String>,
    /// `AM` or `PM`.
    pub session: Option<String>,
    /// The attendance code.
    pub code: Option<String>,
    /// Accepted, confirmed or unconfirmed.
    pub state: EventState,
    /// The whole version, with that of the template if it is one of its own: `store 7 with template store 2`.
    pub settings: String,
    /// When it was last decided.
    pub decided_at: Option<DateTime<Utc>>,
}

impl std::fmt::Debug for WrittenMark {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WrittenMark")
            .field("event", &self.event)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

row! {
    struct Row {
        id: String,
        person: String,
        day: Option<String>,
        session: Option<String>,
        decision: Option<String>,
        state: String,
        settings: String,
        decided_ms: Option<i64>,
    }
}

/// Reads all events of the school, by an index. A bound by time would leave marks out: an event can be
/// received long before it is decided, and a node that cannot read a newer version goes on with this one.
const WRITTEN: &str = "SELECT id, person, day, session, decision, state, settings, decided_ms FROM markback_events \
     WHERE school = $1 AND (settings = $2 OR settings LIKE $3) \
       AND state IN ('accepted', 'confirmed', 'unconfirmed') \
     ORDER BY decided_ms DESC, id";

impl Store {
    /// The marks that a version of a school's settings wrote, with any version of its template, latest decision first. An
    /// event counts for the version of its last decision. Marks that are not accepted yet, or were rejected, are left out.
    ///
    /// # Errors
    /// Returns an error if the database query fails.
    pub async fn marks_written_by(
        &self,
        school: &SchoolId,
        version: u32,
    ) -> outbox::Result<Vec<WrittenMark>> {
        let own = Revision::Store(version);
        let found: Vec<WrittenMark> = on_pool!(self.db, pool => {
            // One by one: a decision's steps are long, and only its code is kept.
            sqlx::query_as::<_, Row>(WRITTEN)
                .bind(school.as_str())
                .bind(own.to_string())
                .bind(own.like_with_template())
                .fetch(pool)
                .try_filter_map(|row| std::future::ready(Ok(written(row))))
                .try_collect()
                .await
        })?;
        Ok(found)
    }
}

/// The part of a stored decision that is needed here. Read here and not in SQL: PostgreSQL reads no JSON that has a zero
/// byte in a text, as a comment may.
#[derive(Deserialize)]
struct Decided {
    mark: DecidedMark,
}

#[derive(Deserialize)]
struct DecidedMark {
    code: String,
}

fn written(row: Row) -> Option<WrittenMark> {
    let decided = row.decision.as_deref().map(serde_json::from_str::<Decided>);
    Some(WrittenMark {
        event: row.id,
        person: row.person,
        date: row.day,
        session: row.session,
        code: decided
            .and_then(Result::ok)
            .map(|decided| decided.mark.code),
        state: row.state.parse().ok()?,
        settings: row.settings,
        decided_at: row.decided_ms.and_then(DateTime::from_timestamp_millis),
    })
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use outbox::{Clock as _, TestClock};
    use rstest::rstest;
    use serde_json::json;

    use super::*;
    use crate::store::{EventUpdate, NewEvent};

    /// School, event, version, state.
    const EVENTS: &[(&str, &str, &str, EventState)] = &[
        ("A1", "alone", "store 7", EventState::Confirmed),
        (
            "A1",
            "with-template",
            "store 7 with template store 2",
            EventState::Accepted,
        ),
        (
            "A1",
            "with-template-of-file",
            "store 7 with template file 3f2a9c1b",
            EventState::Unconfirmed,
        ),
        ("A1", "version-70", "store 70", EventState::Confirmed),
        (
            "A1",
            "version-70-with-template",
            "store 70 with template store 7",
            EventState::Confirmed,
        ),
        (
            "A1",
            "only-the-template",
            "store 6 with template store 7",
            EventState::Confirmed,
        ),
        ("A1", "of-the-file", "file 00000007", EventState::Confirmed),
        ("A2", "other-school", "store 7", EventState::Confirmed),
        ("A1", "planned", "store 7", EventState::Planned),
        ("A1", "rejected", "store 7", EventState::Rejected),
        ("A1", "skipped", "store 7", EventState::Skipped),
        ("A1", "superseded", "store 7", EventState::Superseded),
    ];

    async fn decide(
        store: &Store,
        (school, id, settings, state): (&str, &str, &str, EventState),
        at: DateTime<Utc>,
    ) {
        let event =
            json!({"id": id, "person": format!("person of {id}"), "kind": "sign_in", "at": at});
        let event = serde_json::from_value(event).unwrap();
        let new = NewEvent {
            school: &school.into(),
            event: &event,
        };
        let decision = json!({"outcome": "write", "mark": {"code": "L", "comment": "a\u{0}b"}});
        let update = EventUpdate {
            decision: Some(decision.to_string()),
            day: Some("2026-11-23".to_owned()),
            session: Some("AM".to_owned()),
            settings: Some(settings.to_owned()),
            ..EventUpdate::of(school, id).state(state)
        };
        let mut tx = store.database().begin().await.unwrap();
        store.insert_events(&mut tx, &[new]).await.unwrap();
        store.update_events(&mut tx, &[update]).await.unwrap();
        tx.commit().await.unwrap();
    }

    /// The URL of a new database; `None` without PostgreSQL.
    fn url(folder: &tempfile::TempDir, on_postgres: bool) -> Option<String> {
        if on_postgres {
            let server = throwaway_postgres::shared().unwrap()?;
            return Some(server.create_database().unwrap());
        }
        let file = folder.path().join("markback.db");
        Some(format!("sqlite:{}?mode=rwc", file.display()))
    }

    #[rstest]
    #[case::sqlite(false)]
    #[case::postgres(true)]
    #[tokio::test]
    async fn the_marks_of_one_version_are_found_with_any_template(#[case] on_postgres: bool) {
        let folder = tempfile::tempdir().unwrap();
        let Some(url) = url(&folder, on_postgres) else {
            return;
        };
        let clock = Arc::new(TestClock::at(Utc::now()));
        let store = Store::open(&url, outbox::Settings::default(), clock.clone());
        let store = store.await.unwrap();
        for event in EVENTS {
            clock.advance(Duration::from_secs(60));
            decide(&store, *event, clock.now()).await;
        }
        let marks = store.marks_written_by(&"A1".into(), 7).await.unwrap();
        let events: Vec<_> = marks
            .iter()
            .map(|mark| (&*mark.event, mark.state))
            .collect();
        assert_eq!(
            events,
            [
                ("with-template-of-file", EventState::Unconfirmed),
                ("with-template", EventState::Accepted),
                ("alone", EventState::Confirmed),
            ]
        );
        let last = serde_json::to_value(marks.last().unwrap()).unwrap();
        let mut wanted = json!({
            "event": "alone", "person": "person of alone", "date": "2026-11-23", "session": "AM", "code": "L",
            "state": "confirmed", "settings": "store 7",
        });
        wanted["decided_at"] = last["decided_at"].clone();
        assert_eq!(last, wanted);
        assert!(last["decided_at"].is_string());
        assert!(
            store
                .marks_written_by(&"A1".into(), 8)
                .await
                .unwrap()
                .is_empty()
        );
    }

    #[tokio::test]
    async fn the_marks_are_found_by_an_index() {
        let folder = tempfile::tempdir().unwrap();
        let url = url(&folder, false).unwrap();
        let store = Store::open(
            &url,
            outbox::Settings::default(),
            Arc::new(outbox::SystemClock),
        );
        let store = store.await.unwrap();
        let explain = format!("EXPLAIN QUERY PLAN {WRITTEN}");
        let plan: Vec<(i64, i64, i64, String)> = on_pool!(store.database(), pool => {
            sqlx::query_as(sqlx::AssertSqlSafe(explain.clone()))
                .bind("A1")
                .bind("store 7")
                .bind("store 7 with template %")
                .fetch_all(pool)
                .await
        })
        .unwrap();
        let read = &plan.first().unwrap().3;
        assert!(
            read.contains("USING INDEX") && read.contains("(school=?"),
            "{read}"
        );
    }
}
