//! How the service's API treats slow clients, and its limits.

use std::{num::NonZeroU32, time::Duration};

use schemars::JsonSchema;
use serde::Deserialize;

use super::{findings::Place, problem::Problem, span};

/// How the service's API treats slow clients, and its limits.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
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
    /// How long a client may take nothing of its answer, or of its stream, before its connection is closed.
    #[serde(with = "span")]
    #[schemars(schema_with = "span::schema")]
    pub write_within: Duration,
    /// The longest body of a request in bytes, from 1 KiB to 16 MiB. A longer one is answered with 413.
    pub body_max: usize,
    /// The most connections at once. One more is answered with 503.
    pub connections: usize,
    /// The most requests with a key that are handled at once. One more is answered with 503.
    pub requests: usize,
    /// How many requests a second one key may send to a node in the long run. Further ones are answered with 429.
    pub key_rate: NonZeroU32,
    /// How many requests one key may send at once, after it has sent fewer than `key_rate` for a while.
    pub key_burst: NonZeroU32,
    /// Origins whose pages may call the API from a browser, such as `https://sign-in.example.org`. None, unless given.
    pub allow_origins: Vec<String>,
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
            write_within: Duration::from_secs(30),
            body_max: 1024 * 1024,
            connections: 2_000,
            requests: 500,
            // More than a node can store in single events, so that only a host that has run wild meets it.
            key_rate: NonZeroU32::MIN.saturating_add(1_999),
            key_burst: NonZeroU32::MIN.saturating_add(9_999),
            allow_origins: Vec::new(),
        }
    }
}

impl Http {
    pub(super) fn check(&self, place: &dyn Place) -> Vec<Problem> {
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
                self.write_within.is_zero(),
                "http.write_within",
                "a client needs more than no time to take an answer",
                "write a second or more, such as \"30s\"",
            ),
            (
                self.answer_within > ANSWER_AT_MOST,
                "http.answer_within",
                "this is too long: when stopped, the service completes open requests and exits within 30 seconds",
                "write 25 seconds or less, such as \"20s\"",
            ),
            (
                !(1024..=16 * 1024 * 1024).contains(&self.body_max),
                "http.body_max",
                "the bytes of a body are limited to less than a list of events needs, or to more than the service can hold",
                "write from 1024 to 16777216, such as 1048576",
            ),
            (
                self.connections == 0,
                "http.connections",
                "no connection could be made",
                "write 1 or more, such as 2000",
            ),
            (
                self.requests == 0,
                "http.requests",
                "no request could be handled",
                "write 1 or more, such as 500",
            ),
            (
                !self.allow_origins.iter().all(|origin| is_origin(origin)),
                "http.allow_origins",
                "one of these is no origin",
                "write scheme, host and port only, such as \"https://sign-in.example.org\"",
            ),
        ];
        flaws
            .into_iter()
            .filter(|(flawed, ..)| *flawed)
            .map(|(_, key, message, help)| place.problem(key, message, help))
            .collect()
    }
}

/// Whether this is how a browser names an origin. `*` is none: a page that everybody may open must not hold a key.
fn is_origin(text: &str) -> bool {
    url::Url::parse(text).is_ok_and(|url| {
        matches!(url.scheme(), "http" | "https") && url.origin().ascii_serialization() == text
    })
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("https://sign-in.example.org", true)]
    #[case("http://127.0.0.1:3000", true)]
    #[case("https://sign-in.example.org/", false)]
    #[case("https://sign-in.example.org/page", false)]
    #[case("sign-in.example.org", false)]
    #[case("https://SIGN-IN.example.org", false)]
    #[case("file:///", false)]
    #[case("*", false)]
    fn an_origin_is_written_as_browsers_do(#[case] text: &str, #[case] is: bool) {
        assert_eq!(is_origin(text), is);
    }
}
