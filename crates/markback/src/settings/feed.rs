//! How long the feed is kept, and how many may follow it.

use std::{num::NonZeroUsize, time::Duration};

use schemars::JsonSchema;
use serde::Deserialize;

use super::{findings::Place, problem::Problem, span};

/// How long the feed is kept, and how many may follow it.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
#[schemars(rename = "Feed")]
pub struct FeedSettings {
    /// How long entries are kept. A host that was away for longer reads everything again.
    #[serde(with = "span")]
    #[schemars(schema_with = "span::schema")]
    pub keep: Duration,
    /// The most streams (server-sent events) of a node, and requests that wait for entries, at the same time. Further ones are
    /// asked to come back later.
    pub streams: NonZeroUsize,
}

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

impl Default for FeedSettings {
    fn default() -> Self {
        Self {
            keep: 14 * DAY,
            streams: NonZeroUsize::MIN.saturating_add(1_999),
        }
    }
}

impl FeedSettings {
    pub(super) fn check(self, place: &dyn Place) -> Option<Problem> {
        (self.keep < DAY).then(|| {
            place.problem(
                "feed.keep",
                "this is too short: a webhook is tried for almost a day, and needs its entry until then",
                "write a day or more, such as \"14d\"",
            )
        })
    }
}
