//! Problems of a settings file, each with its place, value and help.

use std::{fmt, path::PathBuf, sync::Arc};

use serde::Serialize;

/// A problem in a settings file, or a hint about a possible mistake.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[schemars(rename = "SettingsProblem")]
pub struct Problem {
    /// The file, as it was named.
    pub file: Arc<str>,
    /// The line, from 1, if known.
    pub line: Option<usize>,
    /// The full path of the setting: `school[0].group[1].writeback.am.late`. Empty for the whole file.
    pub key: String,
    /// The value, shortened. Omitted if it may be a secret.
    pub value: Option<String>,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub help: String,
}

impl Problem {
    /// The setting as a JSON pointer: `/group/1/writeback/am/late`. Empty for the whole text.
    pub fn pointer(&self) -> String {
        let parts = self.key.split(['.', '[', ']']);
        let parts = parts.filter(|part| !part.is_empty());
        parts.fold(String::new(), |pointer, part| {
            format!("{pointer}/{}", part.replace('~', "~0").replace('/', "~1"))
        })
    }

    /// Whether both are about the same setting.
    pub(super) fn is_at(&self, other: &Self) -> bool {
        (self.line, &self.key, &self.file) == (other.line, &other.key, &other.file)
    }
}

/// A hint: the settings are valid but may not say what was meant.
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

/// Why there are no settings.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file cannot be read.
    #[error("the settings file {} cannot be read: {why}; name another with --config", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        why: std::io::Error,
    },
    /// The file is invalid.
    #[error("{}", Self::listed(problems))]
    Problems {
        /// All problems, in the order of the file.
        problems: Vec<Problem>,
        /// Hints about possible mistakes.
        hints: Vec<Hint>,
    },
}

impl LoadError {
    pub(crate) fn listed(problems: &[Problem]) -> String {
        let lines: Vec<_> = problems.iter().map(|p| format!("\n  {p}")).collect();
        let count = match problems.len() {
            1 => "one thing is".to_owned(),
            n => format!("{n} things are"),
        };
        format!("{count} wrong with the settings:{}", lines.concat())
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("", "")]
    #[case("timezone", "/timezone")]
    #[case("group[1].writeback.am.late", "/group/1/writeback/am/late")]
    #[case("group[0].writeback.codes.a/b", "/group/0/writeback/codes/a~1b")]
    fn a_key_is_a_pointer_too(#[case] key: &str, #[case] pointer: &str) {
        let problem = Problem {
            file: "draft".into(),
            line: None,
            key: key.to_owned(),
            value: None,
            message: String::new(),
            help: String::new(),
        };
        assert_eq!(problem.pointer(), pointer);
    }
}
