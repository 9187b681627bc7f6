//! What an action would do to each event of a cause.

use std::collections::{BTreeMap, HashMap};

use mis_core::{SchoolId, Session};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ACTION_MAX, Action, ActionError, Cause, ProblemEvent, cause, find};
use crate::{
    pipeline::{
        PlannedMark,
        preview::{Asked, Expected},
    },
    service::Markback,
    store::EventState,
};

/// What an action will do, before it is done.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct Preview {
    /// The cause's id.
    pub cause: String,
    /// What would be done.
    pub action: Action,
    /// What it would do, in sentences.
    pub summary: Vec<String>,
    /// The events, in the order in which they are taken: at most [`ACTION_MAX`].
    pub events: Vec<Previewed>,
    /// The number of further events of the cause, which are left for another time.
    pub left: usize,
}

impl Preview {
    /// The events as an action takes them.
    pub fn named(&self) -> Vec<Named> {
        self.events
            .iter()
            .map(|one| Named {
                id: one.event.id.clone(),
                state: one.event.state,
                round: one.event.round,
            })
            .collect()
    }
}

/// An event that a preview named, as it was then.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Named {
    /// Its id.
    pub id: String,
    /// Its state.
    pub state: EventState,
    /// How often it had been retried or released.
    pub round: u32,
}

/// An event with what would become of it.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct Previewed {
    /// The event.
    pub event: ProblemEvent,
    /// What would become of it.
    pub expected: Expectation,
    /// The same in words.
    pub words: String,
}

/// What would become of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Expectation {
    /// Its mark is written.
    Written,
    /// Its mark waits for a person's release.
    Held,
    /// Nothing is written, because of what the register or the rules say now.
    LeftAlone,
    /// It depends on an earlier event of the same pupil's session.
    Behind,
    /// It waits, or fails again; or it cannot be told now.
    Unknown,
    /// Nothing more happens to it.
    Ended,
}

impl Markback {
    /// What an action would do to the events of a cause. Nothing is changed.
    ///
    /// # Errors
    /// Returns an error if there is no such cause now, if the action does not fit it, or if a database query fails.
    pub async fn preview_problem(
        &self,
        school: &SchoolId,
        cause: &str,
        action: Action,
    ) -> Result<Preview, ActionError> {
        let settings = self.settings();
        let known = settings.school(school).ok_or(ActionError::UnknownSchool)?;
        let problems = find(self.store(), &settings, school, None, None).await?;
        let found = problems.cause(cause).ok_or(ActionError::UnknownCause)?;
        if !found.actions.contains(&action) {
            return Err(ActionError::DoesNotFit);
        }
        let left = found.events.len().saturating_sub(ACTION_MAX);
        let taken: Vec<_> = found.events.iter().take(ACTION_MAX).collect();
        let events: Vec<_> = match action {
            Action::Discard | Action::Drop => taken.into_iter().map(ended).collect(),
            Action::Retry | Action::Release => {
                let asked = self.asked(school, &taken, action).await?;
                let expected = self.workers.preview(known, &asked).await?;
                let mut by_id: HashMap<&str, Expected> = asked
                    .iter()
                    .map(|asked| asked.event.id.as_str())
                    .zip(expected)
                    .collect();
                let unread = || Expected::Unknown("the stored event cannot be read".to_owned());
                taken
                    .into_iter()
                    .map(|event| {
                        let expected = by_id.remove(event.id.as_str());
                        previewed(event, expected.unwrap_or_else(unread))
                    })
                    .collect()
            }
        };
        Ok(Preview {
            cause: cause.to_owned(),
            action,
            summary: summary(&events, action, found, left),
            events,
            left,
        })
    }

    async fn asked(
        &self,
        school: &SchoolId,
        events: &[&ProblemEvent],
        action: Action,
    ) -> outbox::Result<Vec<Asked>> {
        let keys: Vec<_> = events
            .iter()
            .map(|event| (school.to_string(), event.id.clone()))
            .collect();
        let stored = self.store().events_with_plans(&keys).await?;
        let asked = keys.iter().filter_map(|key| {
            let stored = stored.get(key)?;
            let planned = match action {
                Action::Release => {
                    let mut planned = PlannedMark::read(stored)?;
                    (planned.held, planned.released) = (false, true);
                    Some(planned)
                }
                _ => None,
            };
            let event = serde_json::from_str(&stored.body).ok()?;
            Some(Asked { event, planned })
        });
        Ok(asked.collect())
    }
}

fn ended(event: &ProblemEvent) -> Previewed {
    Previewed {
        event: event.clone(),
        expected: Expectation::Ended,
        words: "nothing more happens to it".to_owned(),
    }
}

fn previewed(event: &ProblemEvent, expected: Expected) -> Previewed {
    let (expected, words) = match expected {
        Expected::Behind => (
            Expectation::Behind,
            "it is decided after the pupil’s earlier one".to_owned(),
        ),
        Expected::Unknown(why) => (Expectation::Unknown, why),
        Expected::Decided(decision) => match (&decision.outcome, &decision.hold) {
            (writeback::DecisionOutcome::Write(_), Some(hold)) => (
                Expectation::Held,
                format!("it waits for a release: {}", hold.why),
            ),
            (writeback::DecisionOutcome::Write(planned), None) => {
                let mark = &planned.mark;
                let session = match mark.session {
                    Session::Am => "morning",
                    Session::Pm => "afternoon",
                };
                let day = mark.date.format("%-d %B");
                (
                    Expectation::Written,
                    format!("{} is written for the {session} of {day}", mark.code),
                )
            }
            (writeback::DecisionOutcome::Skip { .. }, _) => {
                let decision = serde_json::to_value(&*decision).unwrap_or_default();
                (Expectation::LeftAlone, cause::left_alone(&decision))
            }
            (
                writeback::DecisionOutcome::Wait { why } | writeback::DecisionOutcome::Fail { why },
                _,
            ) => (Expectation::Unknown, why.clone()),
        },
    };
    Previewed {
        event: event.clone(),
        expected,
        words,
    }
}

/// What an action does, a sentence for each thing that becomes of events.
fn summary(events: &[Previewed], action: Action, cause: &Cause, left: usize) -> Vec<String> {
    let mut counted: BTreeMap<(Expectation, &str), usize> = BTreeMap::new();
    for one in events {
        let words = match one.expected {
            Expectation::LeftAlone | Expectation::Unknown => one.words.as_str(),
            _ => "",
        };
        *counted.entry((one.expected, words)).or_default() += 1;
    }
    let mut said: Vec<_> = counted
        .into_iter()
        .map(|((expected, why), count)| {
            let are = if count == 1 { "is" } else { "are" };
            let marks = if count == 1 { "mark" } else { "marks" };
            match (expected, action) {
                (Expectation::Written, Action::Release) => format!("Writes {count} {marks}."),
                (Expectation::Written, _) => format!("Writes {count} {marks} again."),
                (Expectation::Held, _) => {
                    format!("{count} {marks} {are} held until somebody releases them.")
                }
                (Expectation::LeftAlone, _) => format!("{count} {are} left alone: {why}."),
                (Expectation::Behind, _) => format!(
                    "{count} {are} decided after an earlier one of the same pupil, and may come to nothing because of it."
                ),
                (Expectation::Unknown, _) => format!("{count} may not be written: {why}."),
                (Expectation::Ended, Action::Drop) => {
                    format!("Drops {count} {marks}: the register stays as it is.")
                }
                (Expectation::Ended, _) if cause.state == EventState::Unconfirmed => format!(
                    "Ends {count} here. Nothing is written, and a mark that has reached the MIS stays there."
                ),
                (Expectation::Ended, _) => {
                    format!("Ends {count} here: nothing is written for them.")
                }
            }
        })
        .collect();
    if left > 0 {
        said.push(format!(
            "These are the {} oldest; {left} more are left for another time.",
            events.len()
        ));
    }
    said
}
