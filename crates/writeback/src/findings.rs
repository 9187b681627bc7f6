//! What a check of the settings has to say: problems, which must be cured, and hints, which may be.

use std::fmt;

use serde::Serialize;

/// Something in the settings that makes them unusable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Where: the key below the group's table, such as `writeback.am.late`.
    pub key: String,
    /// What stands there, as written; empty where nothing does.
    pub value: String,
    /// What is wrong or odd about it.
    pub message: String,
    /// What to do.
    pub help: String,
}

/// Something in the settings that works, but probably not as meant.
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

/// Everything found so far.
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
