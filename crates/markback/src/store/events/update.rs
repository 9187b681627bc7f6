//! Updates of events.

use std::collections::{HashMap, hash_map::Entry};

use super::EventState;
use crate::pipeline::PlannedMark;

/// An update of an event. `None` leaves a column unchanged, except `waiting`, which is always replaced.
#[derive(Clone, Debug, Default)]
pub struct EventUpdate {
    /// The school.
    pub school: String,
    /// The event.
    pub id: String,
    /// The new state.
    pub state: Option<EventState>,
    /// The pupil's id at Wonde.
    pub student: Option<String>,
    /// The school day.
    pub day: Option<String>,
    /// `AM` or `PM`.
    pub session: Option<String>,
    /// The decision as JSON.
    pub decision: Option<String>,
    /// What it waits for.
    pub waiting: Option<String>,
    /// The writeback that contains the mark.
    pub writeback: Option<String>,
    /// The lesson that holds the mark.
    pub lesson: Option<String>,
    /// Its outcome, as text.
    pub outcome: Option<String>,
    /// When it was sent.
    pub sent_ms: Option<i64>,
    /// The planned mark as JSON.
    pub(crate) plan: Option<String>,
    /// The version of the settings that the decision went by; it is replaced with the decision.
    pub settings: Option<String>,
}

impl EventUpdate {
    /// An update that changes nothing but `waiting`.
    pub fn of(school: &str, id: &str) -> Self {
        Self {
            school: school.to_owned(),
            id: id.to_owned(),
            ..Self::default()
        }
    }

    /// Merges a later update of the same event.
    fn add(&mut self, later: &Self) {
        let Self {
            school: _,
            id: _,
            state,
            student,
            day,
            session,
            decision,
            waiting,
            writeback,
            lesson,
            outcome,
            sent_ms,
            plan,
            settings,
        } = later.clone();
        self.state = state.or(self.state);
        self.student = student.or(self.student.take());
        self.day = day.or(self.day.take());
        self.session = session.or(self.session.take());
        if decision.is_some() {
            self.settings = settings;
        }
        self.decision = decision.or(self.decision.take());
        self.waiting = waiting;
        self.writeback = writeback.or(self.writeback.take());
        self.lesson = lesson.or(self.lesson.take());
        self.outcome = outcome.or(self.outcome.take());
        self.sent_ms = sent_ms.or(self.sent_ms);
        self.plan = plan.or(self.plan.take());
    }

    /// Sets the state.
    #[must_use]
    pub fn state(mut self, state: EventState) -> Self {
        self.state = Some(state);
        self
    }

    /// Sets the planned mark.
    #[must_use]
    pub(crate) fn plan(mut self, plan: &PlannedMark) -> Self {
        self.plan = serde_json::to_string(plan).ok();
        self
    }

    /// Sets the outcome.
    #[must_use]
    pub fn outcome(mut self, outcome: impl Into<String>) -> Self {
        self.outcome = Some(outcome.into());
        self
    }

    /// Sets what it waits for.
    #[must_use]
    pub fn waiting(mut self, why: impl Into<String>) -> Self {
        self.waiting = Some(why.into());
        self
    }
}

/// Merges updates of the same event, because one statement must not update a row twice. Later values win.
pub(super) fn one_each(updates: &[EventUpdate]) -> Vec<EventUpdate> {
    let mut places: HashMap<(&str, &str), usize> = HashMap::with_capacity(updates.len());
    let mut merged: Vec<EventUpdate> = Vec::with_capacity(updates.len());
    for update in updates {
        match places.entry((&update.school, &update.id)) {
            Entry::Vacant(place) => {
                place.insert(merged.len());
                merged.push(update.clone());
            }
            Entry::Occupied(place) => {
                if let Some(earlier) = merged.get_mut(*place.get()) {
                    earlier.add(update);
                }
            }
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_news_of_one_event_the_later_stands_and_the_earlier_fills_its_gaps() {
        let decided = EventUpdate {
            decision: Some("{}".to_owned()),
            ..EventUpdate::of("A1", "e1")
                .state(EventState::Planned)
                .waiting("the register")
        };
        let other = EventUpdate::of("A2", "e1").state(EventState::Skipped);
        let accepted = EventUpdate {
            sent_ms: Some(7),
            ..EventUpdate::of("A1", "e1").state(EventState::Accepted)
        };
        let merged = one_each(&[decided, other, accepted]);
        let states: Vec<_> = merged.iter().map(|update| update.state).collect();
        assert_eq!(
            states,
            [Some(EventState::Accepted), Some(EventState::Skipped)]
        );
        assert_eq!(merged[0].decision.as_deref(), Some("{}"));
        assert_eq!((merged[0].sent_ms, &merged[0].waiting), (Some(7), &None));
    }
}
