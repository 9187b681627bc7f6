//! Replays every decision of the demo from the input that was kept with it.

use anyhow::Context as _;
use mis_core::{Registry, SchoolId};
use serde::Serialize;

use super::{record::Record, stage::Stage};
use markback::replay_decision::replay_decision;

/// The replayed decisions.
#[derive(Debug, Default, Serialize)]
pub(super) struct Replays {
    /// The number of decided events.
    events: usize,
    /// The number of replayed decisions; events that were decided again before sending have two.
    decisions: usize,
    /// The events whose replay differs from what was decided.
    differ: Vec<String>,
}

impl Replays {
    /// Replays the decisions about these events.
    pub(super) async fn of(stage: &Stage, records: &[Record]) -> anyhow::Result<Self> {
        let registry = Registry::discover()?;
        let mut all = Self::default();
        for record in records.iter().filter(|record| record.decision.is_some()) {
            let school = SchoolId::from(record.school.as_str());
            let store = stage.markback.store();
            let replay = replay_decision(store, &registry, &school, &record.id).await?;
            let replay = replay.context("an event is gone")?;
            all.events += 1;
            all.decisions += replay.decisions.len();
            if !replay.same {
                all.differ.push(record.id.clone());
            }
        }
        Ok(all)
    }

    /// Whether every replay is the same.
    pub(super) fn hold(&self) -> bool {
        self.differ.is_empty()
    }

    /// One line.
    pub(super) fn text(&self) -> String {
        let differ = match self.differ.as_slice() {
            [] => "all are the same".to_owned(),
            events => format!("{} DIFFER: {}", events.len(), events.join(", ")),
        };
        format!(
            "Decisions replayed from the input kept with them: {} about {} events, {differ}.",
            self.decisions, self.events
        )
    }
}
