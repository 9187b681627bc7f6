//! The pages for people, and how long they stay signed in.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{findings::Place, problem::Problem, span};
use crate::users::sessions::Limits;

/// The pages for people, and how long they stay signed in.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct Pages {
    /// Whether the service has pages. Without users, which `markback users add` makes, nobody can sign in.
    pub enabled: bool,
    /// How long somebody stays signed in without opening or sending a page. A page that freshens itself does not count as
    /// use. By default two hours, so that a computer that was left alone at noon is signed out in the afternoon.
    #[serde(with = "span")]
    #[schemars(schema_with = "span::schema")]
    pub idle: Duration,
    /// How long somebody stays signed in at most. By default twelve hours, so that an office signs in once a day.
    #[serde(with = "span")]
    #[schemars(schema_with = "span::schema")]
    pub absolute: Duration,
}

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);

impl Default for Pages {
    fn default() -> Self {
        Self {
            enabled: true,
            idle: 2 * HOUR,
            absolute: 12 * HOUR,
        }
    }
}

impl Pages {
    /// How long sessions last.
    pub fn limits(&self) -> Limits {
        Limits {
            idle: self.idle,
            absolute: self.absolute,
        }
    }

    pub(super) fn check(self, place: &dyn Place) -> Vec<Problem> {
        let flaws = [
            (
                self.idle < 5 * MINUTE,
                "pages.idle",
                "this is so short that people are signed out while they read",
                "write five minutes or more, such as \"2h\"",
            ),
            (
                self.absolute < self.idle,
                "pages.absolute",
                "it is shorter than `pages.idle`, which would have no effect",
                "write as long as `pages.idle` or longer, such as \"12h\"",
            ),
            (
                self.absolute > 30 * 24 * HOUR,
                "pages.absolute",
                "this is so long that a computer that was given away would still be signed in",
                "write 30 days or less, such as \"12h\"",
            ),
        ];
        flaws
            .into_iter()
            .filter(|(flawed, ..)| *flawed)
            .map(|(_, key, message, help)| place.problem(key, message, help))
            .collect()
    }
}
