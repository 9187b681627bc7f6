//! A person's previous event, to detect a double tap.

use std::collections::HashMap;

use chrono::TimeDelta;
use mis_core::EventKind;
use outbox::Sql;
use serde_json::Value;
use writeback::{Event, Previous, SkipReason};

use super::{EventState, Store};
use crate::store::row::row;

pub(super) static BEFORE: Sql = Sql::new(
    "SELECT r.school, r.id AS later, e.at_ms, e.body, e.state, e.decision \
     FROM {rows $1: school text, id text, person text, since int, until int} r \
     JOIN markback_events e ON e.school = r.school AND e.person = r.person AND e.at_ms >= r.since AND e.at_ms <= r.until \
      AND e.id <> r.id AND e.correction IS NULL",
);

row! {
    #[derive(Debug)]
    pub(super) struct Row {
        school: String,
        later: String,
        at_ms: i64,
        body: String,
        state: String,
        decision: Option<String>,
    }
}

impl Store {
    /// For each of a school's events, by id: the latest event before it of the same person, within the given time and
    /// no double tap itself. Of two events at the same instant, the one decided first is the previous one.
    pub(crate) async fn events_before(
        &self,
        school: &str,
        events: &[(&Event, TimeDelta)],
    ) -> outbox::Result<HashMap<String, Previous>> {
        if events.is_empty() {
            return Ok(HashMap::new());
        }
        let table: Vec<_> = events
            .iter()
            .map(|(event, within)| {
                let until = event.at.timestamp_millis();
                let since = until.saturating_sub(within.num_milliseconds());
                (school, &event.id, &event.person, since, until)
            })
            .collect();
        let found = self
            .ask_together(&self.asked.before, &BEFORE, &table)
            .await?;
        let asked: HashMap<_, _> = events
            .iter()
            .zip(&table)
            .map(|((event, _), (.., since, _))| (event.id.as_str(), (event.at, *since)))
            .collect();
        let mut before: HashMap<String, Previous> = HashMap::new();
        for row in found.iter().filter(|row| row.school == school) {
            // Somebody else may have asked about the same event for a longer time.
            let of_asked = asked.get(row.later.as_str());
            let of_asked = of_asked.filter(|(_, since)| row.at_ms >= *since);
            let Some((previous, (at, _))) = previous(row).zip(of_asked) else {
                continue;
            };
            let is_before = previous.at < *at
                || (previous.at == *at && row.state != EventState::Received.as_str());
            let latest = before.get(&row.later);
            if is_before && latest.is_none_or(|latest| latest.at < previous.at) {
                before.insert(row.later.clone(), previous);
            }
        }
        Ok(before)
    }
}

/// The row's event if it is a tap: not a double tap itself, not automatic, and not remote.
fn previous(row: &Row) -> Option<Previous> {
    let event: Event = serde_json::from_str(&row.body).ok()?;
    let tapped = match event.kind {
        EventKind::SignOut => !event.automatic,
        EventKind::SignIn => !event.remote,
    };
    let skipped = row.state == EventState::Skipped.as_str() && was_double_tap(row).unwrap_or(false);
    (tapped && !skipped).then_some(Previous {
        event: event.id,
        kind: event.kind,
        at: event.at,
    })
}

fn was_double_tap(row: &Row) -> Option<bool> {
    let decision: Value = serde_json::from_str(row.decision.as_deref()?).ok()?;
    Some(decision.get("reason")?.as_str()? == SkipReason::DoubleTap.as_str())
}
