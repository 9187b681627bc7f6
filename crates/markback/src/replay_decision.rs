//! Replays the decisions about an event from their snapshots, and compares them with what was decided.

use std::fmt;

use chrono::{DateTime, Utc};
use mis_core::{Registry, SchoolId};
use serde::Serialize;
use serde_json::Value;
use writeback::{Decision, Event};

pub use crate::snapshot::{Look, Unreadable};
use crate::{
    snapshot::Reader,
    store::{EventRecord, Store},
};

/// The replayed decisions about one event.
///
/// `Serialize` contains the marks' comments: for authorised readers, never for a log.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct EventReplay {
    /// The school.
    pub school: SchoolId,
    /// The event.
    pub event: String,
    /// Whether every decision of which the input was kept is the same again; false if there is none.
    pub same: bool,
    /// The decisions, in order. Empty if the event was not decided yet, or by a version that kept no input.
    pub decisions: Vec<DecisionReplay>,
}

/// One replayed decision.
#[derive(Clone, Serialize)]
#[non_exhaustive]
pub struct DecisionReplay {
    /// Which one.
    pub look: Look,
    /// When it was made.
    pub decided_at: DateTime<Utc>,
    /// The version of the settings that it went by, if known.
    pub settings: Option<String>,
    /// Whether the replayed decision is the same in all its parts.
    pub same: bool,
    /// Why it cannot be replayed, if it cannot.
    pub problem: Option<String>,
    /// How the adapter differs from the one of the decision, if it does.
    pub adapter: Option<String>,
    /// The decision that was stored, as JSON; `None` if a later one took its place.
    pub stored: Option<Value>,
    /// The replayed decision.
    pub replayed: Option<Decision>,
}

impl fmt::Debug for DecisionReplay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DecisionReplay")
            .field("look", &self.look)
            .field("same", &self.same)
            .field("problem", &self.problem)
            .field("adapter", &self.adapter)
            .field("replayed", &self.replayed)
            .finish_non_exhaustive()
    }
}

/// Decides an event again from the inputs that were kept with it: those of its first decision, and of the last one before
/// its mark was sent. `registry` has the adapters, whose quirks are part of the decision. `None` if there is no such event.
///
/// # Errors
/// Returns an error if a database query fails.
pub async fn replay_decision(
    store: &Store,
    registry: &Registry,
    school: &SchoolId,
    event: &str,
) -> outbox::Result<Option<EventReplay>> {
    let Some(record) = store.event(school, event).await? else {
        return Ok(None);
    };
    let snapshots = store.snapshots(school, event).await?;
    let parts = store.snapshot_parts(Reader::hashes(&snapshots)).await?;
    let mut reader = Reader::new(parts);
    let sign_in: Option<Event> = serde_json::from_value(record.event.clone()).ok();
    let last = snapshots.last().map(|stored| stored.look);
    let mut decisions = Vec::with_capacity(snapshots.len());
    for stored in &snapshots {
        // A decision of a sort that only a newer version knows.
        let Some(look) = Look::read(stored.look) else {
            continue;
        };
        let read = reader.read(stored).map_err(|why| why.to_string());
        let mut replay = DecisionReplay {
            look,
            decided_at: DateTime::from_timestamp_millis(stored.decided_ms).unwrap_or_default(),
            settings: None,
            same: false,
            problem: None,
            adapter: None,
            stored: (last == Some(stored.look)).then(|| stored_decision(&record)),
            replayed: None,
        };
        match read {
            Ok(snapshot) => {
                replay.settings.clone_from(&snapshot.own.settings);
                let linked = snapshot.mis.quirks(registry);
                replay.adapter = linked.differs;
                match sign_in
                    .as_ref()
                    .and_then(|event| snapshot.replay(event, linked.quirks))
                {
                    Some(decision) => {
                        let shown = serde_json::to_value(&decision).unwrap_or_default();
                        replay.same = snapshot.is_decision(&decision)
                            && replay.stored.as_ref().is_none_or(|stored| *stored == shown);
                        replay.replayed = Some(decision);
                    }
                    None => replay.problem = Some(Unreadable::Version.to_string()),
                }
            }
            Err(why) => replay.problem = Some(why),
        }
        decisions.push(replay);
    }
    Ok(Some(EventReplay {
        school: school.clone(),
        event: record.id,
        same: !decisions.is_empty() && decisions.iter().all(|decision| decision.same),
        decisions,
    }))
}

/// The decision in the event's row, whose steps the record holds apart.
fn stored_decision(record: &EventRecord) -> Value {
    let mut decision = record.decision.clone().unwrap_or_default();
    if let Some(decision) = decision.as_object_mut() {
        decision.insert("steps".to_owned(), record.steps.clone().into());
    }
    decision
}
