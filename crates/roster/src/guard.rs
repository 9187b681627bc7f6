//! The guard: limits for removals without approval.
//!
//! A wrong region returns nothing, a withdrawn permission `null`, and an MIS that is offline half of the data; none of
//! this may empty a group. People who left on their leaving date, moved to another group or were excluded by the
//! settings are accounted for; all others count towards the limits.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How many people can leave at once without being accounted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Guard {
    /// The percentage of a list that can leave; more is held back.
    #[schemars(range(max = 100))]
    pub max_shrink: u8,
    /// Fewer people than this can leave a list of any size, as long as somebody remains.
    pub at_least: u32,
}

impl Default for Guard {
    fn default() -> Self {
        Self {
            max_shrink: 20,
            at_least: 5,
        }
    }
}

impl Guard {
    /// Allows everything.
    pub const OFF: Self = Self {
        max_shrink: 100,
        at_least: u32::MAX,
    };

    /// Whether a list of `before` people can become one of `after` when `unaccounted` of them leave without a cause.
    pub fn allows(&self, before: usize, after: usize, unaccounted: usize) -> bool {
        if *self == Self::OFF || unaccounted == 0 {
            return true;
        }
        if after == 0 {
            return false;
        }
        let few = u32::try_from(unaccounted).is_ok_and(|gone| gone < self.at_least);
        few || unaccounted.saturating_mul(100)
            <= before.saturating_mul(usize::from(self.max_shrink))
    }

    /// Whether a list of `received` may be whole when `expected` were counted.
    pub fn believes(&self, received: usize, expected: Option<u64>) -> bool {
        let Some(expected) = expected.and_then(|count| usize::try_from(count).ok()) else {
            return true;
        };
        self.allows(expected, received, expected.saturating_sub(received))
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::nobody_goes(100, 100, 0, true)]
    #[case::all_accounted_for(100, 0, 0, true)]
    #[case::a_fifth(100, 80, 20, true)]
    #[case::more_than_a_fifth(100, 79, 21, false)]
    #[case::few_of_few(8, 4, 4, true)]
    #[case::not_so_few_of_few(8, 3, 5, false)]
    #[case::the_last_one(1, 0, 1, false)]
    #[case::emptied(4, 0, 4, false)]
    #[case::many_replaced(100, 130, 30, false)]
    fn removals_are_limited(
        #[case] before: usize,
        #[case] after: usize,
        #[case] gone: usize,
        #[case] allowed: bool,
    ) {
        assert_eq!(Guard::default().allows(before, after, gone), allowed);
        assert!(Guard::OFF.allows(before, after, gone));
    }

    #[rstest]
    #[case(0, None, true)]
    #[case(0, Some(0), true)]
    #[case(0, Some(3), false)]
    #[case(1000, Some(1000), true)]
    #[case(900, Some(1000), true)]
    #[case(700, Some(1000), false)]
    #[case(1200, Some(1000), true)]
    fn counts_are_compared_with_a_tolerance(
        #[case] received: usize,
        #[case] expected: Option<u64>,
        #[case] believed: bool,
    ) {
        assert_eq!(Guard::default().believes(received, expected), believed);
    }
}
