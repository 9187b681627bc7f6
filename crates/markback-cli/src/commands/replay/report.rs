//! The results of a log, as text or JSON.

use std::{
    collections::{BTreeMap, VecDeque},
    process::ExitCode,
};

use mis_core::SchoolId;
use serde::Serialize;

use super::lines::Bad;
use markback::service::{EventRecord, EventState, Markback};
use markback_console::output::{self, TextOrJson};

/// The tally of a log.
#[derive(Debug, Default, Serialize)]
pub(super) struct Report {
    /// Lines that were not blank.
    pub(super) lines: usize,
    /// Received events, each once.
    pub(super) events: usize,
    /// Whether the replay was stopped before all events were settled.
    pub(super) interrupted: bool,
    /// Events by state.
    states: BTreeMap<EventState, usize>,
    /// Skipped events by reason.
    skipped: BTreeMap<String, usize>,
    /// The problems of lines.
    pub(super) bad: Vec<Bad>,
}

impl Report {
    /// Counts one event; `None` for one that is no longer stored.
    pub(super) fn count(&mut self, record: Option<&EventRecord>) {
        let Some(record) = record else { return };
        *self.states.entry(record.state).or_default() += 1;
        let reason = record
            .decision
            .as_ref()
            .and_then(|decision| decision.get("reason"))
            .and_then(|reason| reason.as_str());
        if let (EventState::Skipped, Some(reason)) = (record.state, reason) {
            *self.skipped.entry(reason.to_owned()).or_default() += 1;
        }
    }

    /// Counts all events by their current state.
    pub(super) async fn look_once(
        &mut self,
        markback: &Markback,
        events: VecDeque<(SchoolId, String)>,
    ) -> anyhow::Result<()> {
        for (school, id) in events {
            self.count(markback.event(&school, &id).await?.as_ref());
        }
        Ok(())
    }

    /// Prints the schema.
    pub(super) fn print(&self, format: TextOrJson, no_wait: bool) -> std::io::Result<()> {
        if format == TextOrJson::Json {
            return output::json(self);
        }
        for Bad {
            line,
            key,
            message,
            help,
        } in &self.bad
        {
            let key = if key.is_empty() {
                String::new()
            } else {
                format!(" `{key}`:")
            };
            output::error_line(format!("line {line}:{key} {message}; {help}"));
        }
        let rows = self.states.iter().map(|(state, count)| {
            let why = match state {
                EventState::Skipped => self.reasons(),
                state => meaning(*state).to_owned(),
            };
            [state.as_str().to_owned(), count.to_string(), why]
        });
        let table = output::table(["state", "events", ""], rows);
        if !table.is_empty() {
            output::line(table.to_string())?;
        }
        output::line(self.summary(no_wait))
    }

    fn reasons(&self) -> String {
        let reasons: Vec<_> = self
            .skipped
            .iter()
            .map(|(reason, count)| format!("{reason} {count}"))
            .collect();
        format!("nothing to write: {}", reasons.join(", "))
    }

    fn summary(&self, no_wait: bool) -> String {
        let bad: std::collections::BTreeSet<_> = self.bad.iter().map(|bad| bad.line).collect();
        let end = match (self.interrupted, no_wait) {
            (true, _) => {
                "; stopped before all events were settled: a running service or the same replay continues"
            }
            (false, true) => "; a running service processes them",
            (false, false) => ", all settled",
        };
        format!(
            "{} lines: {} events received{end}; {} invalid lines skipped",
            self.lines,
            self.events,
            bad.len()
        )
    }

    /// 2 if a line was invalid, 1 if a mark did not reach the MIS or the replay did not wait for it, otherwise 0.
    pub(super) fn exit_code(&self, no_wait: bool) -> ExitCode {
        let went_well = |state: &EventState| {
            use EventState::{Confirmed, Skipped, Superseded};
            matches!(state, Confirmed | Skipped | Superseded) || (no_wait && !state.is_final())
        };
        if !self.bad.is_empty() {
            ExitCode::from(2)
        } else if self.interrupted || !self.states.keys().all(went_well) {
            ExitCode::FAILURE
        } else {
            ExitCode::SUCCESS
        }
    }
}

/// A state as text.
fn meaning(state: EventState) -> &'static str {
    match state {
        EventState::Received => "received, not decided yet",
        EventState::Skipped => "nothing to write",
        EventState::Held => "a mark waits for a person to release or drop it",
        EventState::Planned => "a mark will be written",
        EventState::Sent => "sent, not known yet whether it was accepted",
        EventState::Accepted => "Wonde has accepted it",
        EventState::Confirmed => "the MIS has it",
        EventState::Rejected => "Wonde or the MIS refused it",
        EventState::Unconfirmed => "it could not be determined in time whether the MIS has it",
        EventState::Superseded => "a newer mark replaced it before it was sent",
        EventState::Failed => "it could not be decided or sent, and needs an operator",
        EventState::Discarded => "an operator discarded it",
        EventState::Withdrawn => "it was withdrawn because it was wrong",
    }
}
