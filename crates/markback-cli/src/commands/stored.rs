//! What the commands `schools` and `settings` have in common.

use std::{fmt::Write as _, io::Read as _, path::Path};

use anyhow::Context as _;
use markback::{
    configuration::{ChangeError, Configuration, Conflict, Written, diff},
    operator::Actor,
};
use markback_console::output::{self, TextOrJson};
use serde_json::json;

use super::{
    ConfigArg,
    open_store::{Access, open_store},
    recorded,
};

/// Who changes the settings, and why.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct By {
    /// Reason, kept with the version
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
    /// Name, kept with the version; defaults to the system user
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
}

impl By {
    /// Who acts.
    pub(super) fn actor(&self) -> Actor {
        recorded::actor(self.by.as_ref(), self.note.as_ref())
    }
}

/// The settings of the file and of the database.
pub(super) async fn open(
    config: &ConfigArg,
    access: Access,
) -> anyhow::Result<(Configuration, markback::store::Store)> {
    let file = config.load_file()?.settings;
    let store = open_store(&file, access).await?;
    Ok((Configuration::open(store.clone(), file).await?, store))
}

/// The text of a file, or of standard input if it is named `-`.
pub(super) fn text_of(path: &Path) -> anyhow::Result<String> {
    if path.as_os_str() == "-" {
        let mut text = String::new();
        std::io::stdin()
            .read_to_string(&mut text)
            .context("standard input cannot be read as text")?;
        return Ok(text);
    }
    markback::text::read_file(path).with_context(|| format!("{} cannot be read", path.display()))
}

/// Prints what was written, with its problems and hints.
pub(super) fn tell(written: &[Written], done: &str, format: TextOrJson) -> anyhow::Result<()> {
    if format == TextOrJson::Json {
        output::json(&json!({ "written": written }))?;
        return Ok(());
    }
    /// More lines would hide the summary.
    const SHOWN: usize = 20;
    for one in written.iter().take(SHOWN) {
        for problem in &one.problems {
            output::error_line(format!("error: {problem}"));
        }
        for hint in &one.hints {
            output::error_line(format!("hint: {hint}"));
        }
        output::line(format!("{}: {done} as version {}", one.key, one.number))?;
    }
    if written.len() > SHOWN {
        output::line(format!("and {} more", written.len() - SHOWN))?;
    }
    Ok(())
}

/// The error, with both texts if two people changed the same settings.
pub(super) fn told(error: ChangeError) -> anyhow::Error {
    match error {
        ChangeError::Conflict(conflict) => {
            output::error_line(both(&conflict));
            ChangeError::Conflict(conflict).into()
        }
        error => error.into(),
    }
}

fn both(conflict: &Conflict) -> String {
    let theirs = &conflict.theirs;
    let mut text = format!(
        "version {} was written by {}",
        theirs.number,
        theirs.by.as_deref().unwrap_or("somebody")
    );
    if let Some(at) = theirs.at {
        let _ = write!(text, " at {}", at.format("%Y-%m-%d %H:%M:%S UTC"));
    }
    if let Some(note) = &theirs.note {
        let _ = write!(text, ": {note}");
    }
    if let Some(yours) = &conflict.yours {
        let name = format!("version {}", theirs.number);
        let _ = write!(text, "\n{}", diff(&theirs.body, yours, &name, "yours"));
    }
    text
}
