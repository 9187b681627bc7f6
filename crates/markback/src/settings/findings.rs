//! Problems found while the settings are checked, and their places.

use super::{
    document::Document,
    key::Key,
    problem::{Hint, Problem},
};

/// What was found so far.
#[derive(Default)]
pub(super) struct Findings {
    pub(super) problems: Vec<Problem>,
    pub(super) hints: Vec<Hint>,
}

impl Findings {
    /// Adds a problem about a missing setting, unless the setting was there and was reported as invalid.
    pub(super) fn missing(&mut self, problem: Problem) {
        if !self.problems.iter().any(|told| told.is_at(&problem)) {
            self.problems.push(problem);
        }
    }
}

/// The place of a school's settings.
pub(super) trait Place {
    /// A problem with one of the school's settings, or the school itself for an empty name.
    fn problem(&self, name: &str, message: &str, help: &str) -> Problem;
}

/// Somewhere in the settings file.
pub(super) struct InDocument<'d, 't> {
    pub(super) document: &'d Document<'t>,
    /// The school or template, or the top of the file.
    pub(super) key: Key,
}

impl Place for InDocument<'_, '_> {
    fn problem(&self, name: &str, message: &str, help: &str) -> Problem {
        self.document.problem(&self.key.below(name), message, help)
    }
}

/// A name that must be present and not empty.
pub(super) fn named(
    place: &dyn Place,
    key: &str,
    name: Option<String>,
    findings: &mut Findings,
) -> Option<String> {
    match name {
        None => findings.missing(place.problem(
            key,
            "this is missing",
            &format!("add `{} = \"…\"`", last(key)),
        )),
        Some(name) if name.trim().is_empty() => {
            findings.problems.push(place.problem(
                key,
                "this is empty",
                "write a text between the quotes",
            ));
        }
        Some(name) => return Some(name),
    }
    None
}

fn last(key: &str) -> &str {
    key.rsplit('.').next().unwrap_or(key)
}
