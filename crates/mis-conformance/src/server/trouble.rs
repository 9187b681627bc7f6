//! Planned faults.

use std::time::Duration;

use wiremock::ResponseTemplate;

use super::{Seen, World};
use crate::answer::Answer;

/// The delay of a response that is later than any timeout.
pub(super) fn never() -> ResponseTemplate {
    ResponseTemplate::new(200).set_delay(Duration::from_secs(600))
}

/// What happens to a request instead of its usual response.
#[derive(Clone, Debug)]
pub(crate) enum Trouble {
    /// Another response; `applied` if the request is carried out nevertheless.
    Answer { answer: Answer, applied: bool },
    /// No response.
    Stall { applied: bool },
    /// The connection ends without a response.
    Cut { applied: bool },
    /// The usual response, delayed.
    Slow(Duration),
}

/// The requests that a fault applies to.
#[derive(Clone, Debug)]
pub(crate) enum On {
    Any,
    Write,
    Read,
    /// Reads whose path ends with this.
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

/// A planned fault.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    on: On,
    skip: usize,
    times: usize,
    trouble: Trouble,
}

impl Plan {
    /// The fault occurs every time, until it is forgotten.
    pub(crate) fn always(on: On, trouble: Trouble) -> Self {
        Self {
            on,
            skip: 0,
            times: usize::MAX,
            trouble,
        }
    }

    /// The fault occurs once, after this many matching requests.
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
    /// Whether the next fault for this request is a cut. Does not use the fault up.
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

    /// The fault for this request, if any.
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
