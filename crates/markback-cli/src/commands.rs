//! The commands, one module each.

pub mod adapters;
pub mod audit;
pub mod check;
pub mod doctor;
pub mod events;
pub mod explain;
pub mod groups;
pub mod keys;
pub mod migrate;
mod named;
mod open_store;
pub mod person;
pub mod problems;
mod recorded;
pub mod replay;
pub mod resume;
pub mod schema;
pub mod schools;
pub mod serve;
pub mod settings;
pub mod status;
mod stored;
pub mod sync;
pub mod token;
pub mod users;
pub mod webhooks;

use std::path::{Path, PathBuf};

use markback::{configuration::Configuration, settings::Loaded};
use markback_console::{BadInput, block_on, output};
use mis_core::Registry;

use self::open_store::{Access, open_store};

/// The option that names the settings file.
#[derive(Clone, Debug, clap::Args)]
pub struct ConfigArg {
    /// The settings file
    #[arg(long = "config", value_name = "FILE", env = "MARKBACK_CONFIG")]
    path: Option<PathBuf>,
}

impl ConfigArg {
    /// The settings of the file that is named, with the schools that the database keeps, if it can be read. For commands
    /// that open the database themselves and so say why it cannot be. Not for use within asynchronous work.
    ///
    /// # Errors
    /// When none is named, or its settings do not hold.
    pub fn load(&self) -> anyhow::Result<Loaded> {
        self.load_with(|_| {})
    }

    /// The same for commands that need no database: it is told if one cannot be read.
    ///
    /// # Errors
    /// When none is named, or its settings do not hold.
    pub fn load_and_tell(&self) -> anyhow::Result<Loaded> {
        self.load_with(|error| {
            output::error_line(format!(
                "only the schools of the settings file are known, because the database cannot be read: {error:#}"
            ));
        })
    }

    fn load_with(&self, unread: impl FnOnce(anyhow::Error)) -> anyhow::Result<Loaded> {
        let mut loaded = self.load_file()?;
        if matches!(loaded.settings.service.store_file(), Ok(Some(file)) if !file.exists()) {
            return Ok(loaded);
        }
        let whole = block_on(async {
            let store = open_store(&loaded.settings, Access::Read).await?;
            Ok(Configuration::open(store, loaded.settings.clone()).await?)
        });
        match whole {
            Ok(whole) => {
                loaded.hints.extend(whole.hints());
                loaded.settings = whole.settings();
            }
            Err(error) => unread(error),
        }
        Ok(loaded)
    }

    /// The settings of the file that is named, without those of the database.
    ///
    /// # Errors
    /// When none is named, or its settings do not hold.
    pub fn load_file(&self) -> anyhow::Result<Loaded> {
        Ok(markback::settings::load(self.named()?)?)
    }

    /// The file that is named.
    ///
    /// # Errors
    /// When none is.
    pub fn named(&self) -> Result<&Path, BadInput> {
        let named = self
            .path
            .as_deref()
            .filter(|path| !path.as_os_str().is_empty());
        named.ok_or_else(|| {
            BadInput(
                "no settings file is named; name one with --config FILE, or in the environment variable MARKBACK_CONFIG"
                    .to_owned(),
            )
        })
    }
}

/// All adapters that this program has.
pub(crate) fn registry() -> anyhow::Result<Registry> {
    // Named, so that the linker keeps the crate that brings the adapters.
    use mis_adapters as _;
    Ok(Registry::discover()?)
}
