//! What goes wrong on demand.

use std::time::Duration;

use wiremock::ResponseTemplate;

use super::{Seen, World};
use crate::answer::Answer;

/// An answer that comes long after everybody has gone.
pub(super) fn never() -> ResponseTemplate {
    ResponseTemplate::new(200).set_delay(Duration::from_secs(600))
}

/// What happens to a request instead of its usual answer.
#[derive(Clone, Debug)]
pub(crate) enum Trouble {
    /// Another answer; `applied` if the request takes hold nevertheless.
    Answer { answer: Answer, applied: bool },
    /// No answer ever.
    Stall { applied: bool },
    /// The connection ends without an answer.
    Cut { applied: bool },
    /// The usual answer, later.
    Slow(Duration),
}

/// To which requests something happens.
#[derive(Clone, Debug)]
pub(crate) enum On {
    Any,
    Write,
    Read,
    /// Reads whose path ends so.
    Path(&'static str),
}

impl On {
    fn holds(&self, seen: &Seen) -> bool {
        match self {
            Self::Any => true,
            Self::Write => seen.is_write(),
            Self::Read => !seen.is_write(),
            Self::Path(end) => !seen.is_write() && seen.path.ends_with(end),
        }
    }
}

/// Something that is to go wrong.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    on: On,
    skip: usize,
    times: usize,
    trouble: Trouble,
}

impl Plan {
    /// Every time, until it is forgotten.
    pub(crate) fn always(on: On, trouble: Trouble) -> Self {
        Self {
            on,
            skip: 0,
            times: usize::MAX,
            trouble,
        }
    }

    /// Only once, after so many requests of the sort have passed.
    pub(crate) fn once_after(skip: usize, on: On, trouble: Trouble) -> Self {
        Self {
            on,
            skip,
            times: 1,
            trouble,
        }
    }
}

impl World {
    /// Whether the next trouble for this request is a cut. Changes nothing.
    pub(super) fn cuts(&self, seen: &Seen) -> bool {
        let due = self
            .plans
            .iter()
            .find(|plan| plan.times > 0 && plan.on.holds(seen));
        matches!(
            due,
            Some(Plan {
                skip: 0,
                trouble: Trouble::Cut { .. },
                ..
            })
        )
    }

    /// What goes wrong with this request, if anything.
    pub(super) fn next_trouble(&mut self, seen: &Seen) -> Option<Trouble> {
        let plan = self
            .plans
            .iter_mut()
            .find(|plan| plan.times > 0 && plan.on.holds(seen))?;
        if plan.skip > 0 {
            plan.skip -= 1;
            return None;
        }
        plan.times = plan
            .times
            .saturating_sub(usize::from(plan.times != usize::MAX));
        Some(plan.trouble.clone())
    }
}
