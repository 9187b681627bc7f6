//! The descriptors of all adapters, as the umbrella crate knows them.
//!
//! They are asked of an example of the umbrella and not linked into this program: so `cargo xtask` builds in seconds,
//! also while an adapter does not compile, and sees an adapter that was added a moment ago.

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use crate::tree::{Tree, output};

/// What one adapter says of its MIS.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(crate) struct Adapter {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) aliases: Vec<String>,
    pub(crate) capabilities: Capabilities,
    pub(crate) notes: String,
    pub(crate) source: Source,
}

/// What the MIS can keep.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize)]
pub(crate) struct Capabilities {
    pub(crate) session: Place,
    pub(crate) comment: bool,
    pub(crate) minutes_late: bool,
    pub(crate) early_leaver: bool,
    #[serde(default)]
    pub(crate) comment_max: Option<u16>,
    pub(crate) roster: bool,
}

/// Where the MIS keeps the mark of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Place {
    /// As the AM or PM mark itself.
    Session,
    /// On the pupil's first lesson of the session.
    FirstLesson,
    /// Nowhere: it takes no marks.
    None,
}

/// Who says so, and when it was looked up.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(crate) struct Source {
    pub(crate) what: String,
    pub(crate) date: String,
}

impl Adapter {
    /// All names that the MIS goes by.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        [&self.id, &self.name]
            .into_iter()
            .chain(&self.aliases)
            .map(String::as_str)
    }
}

impl Capabilities {
    /// How many of the columns of the capability table say yes.
    pub(crate) fn count(&self) -> usize {
        [
            self.session != Place::None,
            self.comment,
            self.minutes_late,
            self.early_leaver,
        ]
        .into_iter()
        .filter(|yes| *yes)
        .count()
    }
}

/// Builds the umbrella and asks it for its adapters, sorted by id.
pub(crate) fn load(tree: &Tree) -> Result<Vec<Adapter>> {
    let mut cargo = tree.cargo();
    cargo.args([
        "run",
        "--quiet",
        "--package",
        "mis-adapters",
        "--example",
        "catalogue",
    ]);
    let text = output(&mut cargo)
        .context("the adapters could not be listed; mend what is said above and run again")?;
    serde_json::from_str(&text).context("the list of adapters could not be read")
}
