//! What is wrong with a settings file: each finding with its place, its value and its help.

use std::{fmt, path::PathBuf, sync::Arc};

use serde::Serialize;

/// One thing in a settings file that is wrong, or that deserves a second look.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The file, as it was named.
    pub file: Arc<str>,
    /// The line in it, counted from 1, where it can be told.
    pub line: Option<usize>,
    /// The setting, with its whole path: `school[0].group[1].writeback.am.late`. Empty for the file as a whole.
    pub key: String,
    /// What the file says there, in short. Never told where a secret may have got into the file.
    pub value: Option<String>,
    /// What is wrong with it.
    pub message: String,
    /// What to do about it.
    pub help: String,
}

impl Problem {
    /// Whether both are about the same setting.
    pub(super) fn is_at(&self, other: &Self) -> bool {
        (self.line, &self.key, &self.file) == (other.line, &other.key, &other.file)
    }
}

/// A finding that stops nothing: the settings hold, but may not say what was meant.
pub type Hint = Problem;

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        f.write_str(": ")?;
        match (self.key.as_str(), &self.value) {
            ("", _) => {}
            (key, Some(value)) => write!(f, "{key} = {value}: ")?,
            (key, None) => write!(f, "{key}: ")?,
        }
        write!(f, "{}; {}", self.message, self.help)
    }
}

/// Why there are no settings to go by.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file cannot be read at all.
    #[error("the settings file {} cannot be read: {why}; name another with --config", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        why: std::io::Error,
    },
    /// The file says what cannot be.
    #[error("{}", listed(problems))]
    Problems {
        /// All that is wrong, in the order of the file.
        problems: Vec<Problem>,
        /// What else deserves a look.
        hints: Vec<Hint>,
    },
}

fn listed(problems: &[Problem]) -> String {
    let lines: Vec<_> = problems.iter().map(|p| format!("\n  {p}")).collect();
    let count = match problems.len() {
        1 => "one thing is".to_owned(),
        n => format!("{n} things are"),
    };
    format!("{count} wrong with the settings:{}", lines.concat())
}
