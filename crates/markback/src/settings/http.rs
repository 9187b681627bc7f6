//! How the service's API treats slow clients.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{findings::Place, problem::Problem, span};

/// How the service's API treats slow clients.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct Http {
    /// How long a request head may take, counted from the start of the connection or the last response. Idle
    /// connections are closed then as well.
    #[serde(with = "span")]
    #[schemars(schema_with = "span::schema")]
    pub head_within: Duration,
    /// How long a response may take, including reading the request body; at most 25 seconds.
    #[serde(with = "span")]
    #[schemars(schema_with = "span::schema")]
    pub answer_within: Duration,
}

/// The longest response time, so that the service stops within the stated time.
pub const ANSWER_AT_MOST: Duration = Duration::from_secs(25);

impl Default for Http {
    fn default() -> Self {
        Self {
            // Proxies commonly close an idle connection after 60 seconds. They should close first, or a request could
            // meet a connection that is just being closed.
            head_within: Duration::from_secs(75),
            answer_within: Duration::from_secs(20),
        }
    }
}

impl Http {
    pub(super) fn check(self, place: &dyn Place) -> Vec<Problem> {
        let flaws = [
            (
                self.head_within.is_zero(),
                "http.head_within",
                "a request needs more than no time",
                "write a second or more, such as \"75s\"",
            ),
            (
                self.answer_within.is_zero(),
                "http.answer_within",
                "a response needs more than no time",
                "write from a second to 25 seconds, such as \"20s\"",
            ),
            (
                self.answer_within > ANSWER_AT_MOST,
                "http.answer_within",
                "this is too long: when stopped, the service completes open requests and exits within 30 seconds",
                "write 25 seconds or less, such as \"20s\"",
            ),
        ];
        flaws
            .into_iter()
            .filter(|(flawed, ..)| *flawed)
            .map(|(_, key, message, help)| place.problem(key, message, help))
            .collect()
    }
}
