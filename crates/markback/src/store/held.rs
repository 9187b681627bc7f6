//! Events whose marks wait for a person's release.

use mis_core::{Session, StudentId};
use outbox::{Sql, Tx, on_tx};

use super::{EventRecord, LedgerKey, Store, rows};
use crate::pipeline::PlannedMark;

/// Replaces held marks of these sessions. A held mark was never sent, so nothing of it is left in the register.
static SUPERSEDE: Sql = Sql::new(
    "UPDATE markback_events SET state = 'superseded', waiting = NULL, outcome = $2, settled_ms = $3 \
     FROM {rows $1: school text, student text, day text, session text, event text} r \
     WHERE markback_events.state = 'held' AND {1 = 1|markback_events.needs_person = 1} AND markback_events.school = r.school \
       AND markback_events.student = r.student AND markback_events.day = r.day AND markback_events.session = r.session \
       AND markback_events.id <> r.event \
     RETURNING markback_events.school, markback_events.id, markback_events.student, markback_events.day, \
               markback_events.session",
);

const RELEASE: &str = "UPDATE markback_events SET state = 'planned', round = round + 1, waiting = NULL, plan = $4 \
     WHERE school = $1 AND id = $2 AND state = 'held' AND round = $3";

/// The school, id, pupil, day and session of an event.
type Superseded = (String, String, String, String, String);

impl Store {
    /// Supersedes the held marks of these sessions, except those of the named events. Returns the superseded events.
    pub(crate) async fn supersede_held(
        &self,
        tx: &mut Tx,
        by: &[(&LedgerKey, &str)],
        outcome: &str,
    ) -> outbox::Result<Vec<(LedgerKey, String)>> {
        if by.is_empty() {
            return Ok(Vec::new());
        }
        let table: Vec<_> = by
            .iter()
            .map(|(key, event)| {
                (
                    key.school.as_str(),
                    key.student.as_str(),
                    key.date,
                    key.session.as_str(),
                    *event,
                )
            })
            .collect();
        let (text, table, now) = (SUPERSEDE.on(tx.engine()), rows(&table)?, self.now_ms());
        let found: Vec<Superseded> = on_tx!(tx, conn => {
            sqlx::query_as(text).bind(&table).bind(outcome).bind(now).fetch_all(conn).await
        })?;
        Ok(found.into_iter().filter_map(of_session).collect())
    }

    /// Makes a held mark a planned one of the event's next round. Returns false if the event has changed.
    pub(crate) async fn release_held(
        &self,
        tx: &mut Tx,
        found: &EventRecord,
        plan: &PlannedMark,
    ) -> outbox::Result<bool> {
        let plan = serde_json::to_string(plan)
            .map_err(|_| outbox::Error::invalid("the released mark cannot be stored"))?;
        let changed: u64 = on_tx!(tx, conn => {
            sqlx::query(RELEASE)
                .bind(&found.school)
                .bind(&found.id)
                .bind(i64::from(found.round))
                .bind(&plan)
                .execute(conn)
                .await
                .map(|done| done.rows_affected())
        })?;
        Ok(changed == 1)
    }
}

fn of_session((school, event, student, day, session): Superseded) -> Option<(LedgerKey, String)> {
    let key = LedgerKey {
        school,
        student: StudentId::from(student),
        date: day.parse().ok()?,
        session: match session.as_str() {
            "AM" => Session::Am,
            _ => Session::Pm,
        },
    };
    Some((key, event))
}
