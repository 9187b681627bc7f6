//! Taking in what is good of a request, for whoever sends a batch and would rather not lose the good for one that is bad.

use std::collections::BTreeMap;

use mis_core::SchoolId;
use serde_json::Value;

use super::intake::{InputProblem, Intake, IntakeError, Taken};

/// What became of one event of a batch: taken in, or what is wrong with it.
pub type TakenOrNot = Result<Taken, Vec<InputProblem>>;

impl InputProblem {
    /// The place of the event in its request that this is about, from zero.
    pub fn place(&self) -> Option<usize> {
        let (place, _) = self.key.strip_prefix('[')?.split_once(']')?;
        place.parse().ok()
    }

    /// The same with the event's present place in its key.
    fn moved_to(mut self, place: usize) -> Self {
        if let Some((_, field)) = self.key.split_once(']') {
            self.key = format!("[{place}]{field}");
        }
        self
    }
}

impl Intake {
    /// Checks events of one school and keeps those that are good. Tells for each what became of it, in their order.
    ///
    /// # Errors
    /// As [`Intake::take`], but for what is wrong with single events.
    pub async fn take_good(
        &self,
        school: &SchoolId,
        events: Vec<Value>,
    ) -> Result<Vec<TakenOrNot>, IntakeError> {
        let mut left: Vec<(usize, Value)> = events.into_iter().enumerate().collect();
        let mut told: BTreeMap<usize, TakenOrNot> = BTreeMap::new();
        while !left.is_empty() {
            let batch = left.iter().map(|(_, event)| event.clone()).collect();
            let problems = match self.take(school, batch).await {
                Ok(taken) => {
                    let places = left.iter().map(|(place, _)| *place);
                    told.extend(places.zip(taken.into_iter().map(Ok)));
                    break;
                }
                Err(IntakeError::Problems(problems) | IntakeError::Conflict(problems)) => problems,
                Err(error) => return Err(error),
            };
            let before = left.len();
            let mut bad: BTreeMap<usize, Vec<InputProblem>> = BTreeMap::new();
            for problem in problems {
                let found = problem.place().and_then(|at| Some((at, left.get(at)?.0)));
                if let Some((at, place)) = found {
                    bad.entry(at).or_default().push(problem.moved_to(place));
                }
            }
            let mut at = 0;
            left.retain(|(place, _)| {
                let problems = bad.remove(&at);
                at += 1;
                match problems {
                    None => true,
                    Some(problems) => {
                        told.insert(*place, Err(problems));
                        false
                    }
                }
            });
            if left.len() == before {
                return Err(IntakeError::Unavailable {
                    why: "events were refused, and nothing says which".to_owned(),
                });
            }
        }
        Ok(told.into_values().collect())
    }
}
