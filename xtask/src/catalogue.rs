//! The descriptors of all adapters in the umbrella crate.
//!
//! An example of the umbrella prints them, so that this program does not link them: `cargo xtask` builds in seconds,
//! even if an adapter does not compile, and includes an adapter that was just added.

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use crate::tree::{Tree, output};

/// The descriptor of one adapter.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(crate) struct Adapter {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) aliases: Vec<String>,
    pub(crate) capabilities: Capabilities,
    pub(crate) notes: String,
    pub(crate) source: Source,
}

/// The capabilities of the MIS.
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

/// The place at which the MIS stores the mark of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Place {
    /// As the AM or PM mark itself.
    Session,
    /// On the pupil's first lesson of the session.
    FirstLesson,
    /// Nowhere: it does not accept marks.
    None,
}

/// The source of the capabilities, and its date.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(crate) struct Source {
    pub(crate) what: String,
    pub(crate) date: String,
}

impl Adapter {
    /// All names of the MIS.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        [&self.id, &self.name]
            .into_iter()
            .chain(&self.aliases)
            .map(String::as_str)
    }
}

impl Capabilities {
    /// The number of capabilities.
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

/// Builds the umbrella and lists its adapters, sorted by id.
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
        .context("the adapters could not be listed; fix the errors above and run again")?;
    serde_json::from_str(&text).context("the list of adapters could not be read")
}
