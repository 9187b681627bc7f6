//! What an MIS is: the one place that its name, its abilities and their source are written down.

use std::{fmt, sync::Arc};

use crate::{Capabilities, Connection, MisAdapter, Quirks};

/// An MIS, described once: tables, documentation and the registry are made from this.
#[derive(Clone, Copy)]
pub struct Descriptor {
    /// The adapter's id: lower-case letters and digits, the name of its folder.
    pub id: &'static str,
    /// The name people know it by.
    pub name: &'static str,
    /// Further names that Wonde may use for it. Compared without regard to case, blanks and punctuation; the id and
    /// the name need not be repeated.
    pub wonde_names: &'static [&'static str],
    /// What this MIS can keep, at a school that grants everything.
    pub capabilities: Capabilities,
    /// What it does with single marks that its capabilities do not say.
    pub quirks: Quirks,
    /// What a person should know before relying on it.
    pub notes: &'static str,
    /// Where the claims come from.
    pub source: Source,
    /// Makes the adapter for one school.
    pub connect: fn(Connection) -> Arc<dyn MisAdapter>,
}

/// The origin of what a descriptor claims.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source {
    /// Who says so.
    pub what: &'static str,
    /// When it was looked up, as `YYYY-MM-DD`.
    pub date: &'static str,
}

impl Descriptor {
    /// All names it answers to.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        [self.id, self.name]
            .into_iter()
            .chain(self.wonde_names.iter().copied())
    }

    /// Whether a name that Wonde gave means this MIS.
    pub fn answers_to(&self, name: &str) -> bool {
        let plain = plain_name(name);
        !plain.is_empty() && self.names().any(|own| plain_name(own) == plain)
    }
}

impl fmt::Debug for Descriptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Descriptor")
            .field("id", &self.id)
            .field("name", &self.name)
            .field("capabilities", &self.capabilities)
            .finish_non_exhaustive()
    }
}

/// A name without case, blanks and punctuation, for `mis` is an open string at Wonde.
pub(crate) fn plain_name(name: &str) -> String {
    name.chars()
        .filter(|c| c.is_alphanumeric())
        .flat_map(char::to_lowercase)
        .collect()
}
