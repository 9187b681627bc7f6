//! The path of one setting in a file: `school[0].group[1].writeback.am.late`.

use std::fmt;

/// The path of a setting.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Key(Vec<Step>);

/// One step down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// A table's key.
    Name(String),
    /// A list's index.
    Index(usize),
}

impl Key {
    /// The child with this name.
    pub(super) fn name(&self, name: &str) -> Self {
        self.with([Step::Name(name.to_owned())])
    }

    /// The child with this index, from 0.
    pub(super) fn index(&self, index: usize) -> Self {
        self.with([Step::Index(index)])
    }

    /// The descendant with this textual path, such as `am.late` or `field[0].options[2]`.
    pub(super) fn below(&self, path: &str) -> Self {
        let mut steps = Vec::new();
        for part in path.split('.').filter(|part| !part.is_empty()) {
            let mut pieces = part.split('[');
            let name = pieces.next().unwrap_or_default();
            if !name.is_empty() {
                steps.push(Step::Name(name.to_owned()));
            }
            for piece in pieces {
                match piece.trim_end_matches(']').parse() {
                    Ok(index) => steps.push(Step::Index(index)),
                    Err(_) => steps.push(Step::Name(format!("[{piece}"))),
                }
            }
        }
        self.with(steps)
    }

    /// The path with further steps.
    pub(super) fn with(&self, steps: impl IntoIterator<Item = Step>) -> Self {
        let mut key = self.clone();
        key.0.extend(steps);
        key
    }

    /// From the top down.
    pub(super) fn steps(&self) -> &[Step] {
        &self.0
    }

    /// The last name in it.
    pub(super) fn last_name(&self) -> Option<&str> {
        self.0.iter().rev().find_map(|step| match step {
            Step::Name(name) => Some(name.as_str()),
            Step::Index(_) => None,
        })
    }

    /// Whether the value may be a secret, intended or by mistake, so that it must not be quoted.
    pub(super) fn may_hold_a_secret(&self) -> bool {
        const WORDS: [&str; 7] = [
            "token", "api_key", "secret", "password", "store", "key", "ical_url",
        ];
        self.0.iter().any(|step| match step {
            Step::Name(name) => {
                let name = name.to_lowercase();
                WORDS.iter().any(|word| name.contains(word))
            }
            Step::Index(_) => false,
        })
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, step) in self.0.iter().enumerate() {
            match step {
                Step::Name(name) if at == 0 => f.write_str(name)?,
                Step::Name(name) => write!(f, ".{name}")?,
                Step::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_in_words_is_read_and_written_the_same() {
        for path in [
            "school[0].group[1].writeback.am.late",
            "listen",
            "a[0][1].b",
        ] {
            assert_eq!(Key::default().below(path).to_string(), path);
        }
        assert_eq!(
            Key::default()
                .name("school")
                .index(2)
                .below("field[0].options[3]")
                .to_string(),
            "school[2].field[0].options[3]"
        );
    }
}
