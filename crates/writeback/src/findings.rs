//! The findings of a settings check: problems, which must be fixed, and hints.

use std::fmt;

use serde::Serialize;

/// A problem that makes the settings invalid.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The key below the group's table, such as `writeback.am.late`.
    pub key: String,
    /// The value as written; empty if there is none.
    pub value: String,
    /// The problem.
    pub message: String,
    /// What to do.
    pub help: String,
}

/// A setting that works, but probably not as intended.
pub type Hint = Problem;

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.key)?;
        if !self.value.is_empty() {
            write!(f, " = {}", self.value)?;
        }
        write!(f, ": {}; {}", self.message, self.help)
    }
}

/// The findings so far.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    pub(crate) problems: Vec<Problem>,
    pub(crate) hints: Vec<Hint>,
}

impl Findings {
    pub(crate) fn problem(
        &mut self,
        key: impl Into<String>,
        value: impl Into<String>,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.problems.push(finding(key, value, message, help));
    }

    pub(crate) fn hint(
        &mut self,
        key: impl Into<String>,
        value: impl Into<String>,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.hints.push(finding(key, value, message, help));
    }
}

fn finding(
    key: impl Into<String>,
    value: impl Into<String>,
    message: impl Into<String>,
    help: impl Into<String>,
) -> Problem {
    Problem {
        key: key.into(),
        value: value.into(),
        message: message.into(),
        help: help.into(),
    }
}
