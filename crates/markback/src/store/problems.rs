//! The events of a school that need a person, or wait for one to put something right.

use mis_core::SchoolId;
use outbox::{Sql, on_pool};

use super::{
    EventFilter, EventRecord, Store,
    events::{EventRow, record},
    needs_person, rows,
};

/// Each part has an index of its own: those that wait for a person, those that are open, and skipped ones of the last days.
pub(super) static PROBLEMS: Sql = Sql::new(concat!(
    "SELECT * FROM markback_events e WHERE e.school = $1 AND e.received_ms >= $2 AND e.received_ms < $3 AND (",
    needs_person!("e."),
    " OR (e.settled_ms IS NULL AND e.state IN ('received', 'planned')) \
        OR (e.state = 'skipped' AND e.decision LIKE '%\"reason\":\"unknown_code\"%')) \
     ORDER BY e.received_ms, e.id LIMIT $4",
));

static BY_ID: Sql = Sql::new(
    "SELECT e.* FROM {rows $1: id text} r JOIN markback_events e ON e.school = $2 AND e.id = r.id",
);

impl Store {
    /// Those of a school's events with these ids, without their histories, in no order.
    pub(crate) async fn events_of(
        &self,
        school: &SchoolId,
        ids: &[&str],
    ) -> outbox::Result<Vec<EventRecord>> {
        let ids: Vec<_> = ids.iter().map(|id| (id,)).collect();
        let (text, ids) = (BY_ID.on(self.db.engine()), rows(&ids)?);
        let found: Vec<EventRow> = on_pool!(self.db, pool => {
            sqlx::query_as(text).bind(&ids).bind(school.as_str()).fetch_all(pool).await
        })?;
        let found = found.into_iter().map(|row| record(row, Vec::new()));
        Ok(found.collect())
    }

    /// The events of the filter's school and days that need a person, wait, or came to nothing because the school does not
    /// have their code: oldest first, without their histories.
    pub(crate) async fn problem_events(
        &self,
        filter: &EventFilter,
    ) -> outbox::Result<Vec<EventRecord>> {
        let (from, until) = filter.came_in();
        let school = filter.school.as_ref().map(SchoolId::as_str);
        let text = PROBLEMS.on(self.db.engine());
        let found: Vec<EventRow> = on_pool!(self.db, pool => {
            sqlx::query_as(text)
                .bind(school)
                .bind(from)
                .bind(until)
                .bind(i64::from(filter.limit))
                .fetch_all(pool)
                .await
        })?;
        let found = found.into_iter().map(|row| record(row, Vec::new()));
        Ok(found.collect())
    }
}
