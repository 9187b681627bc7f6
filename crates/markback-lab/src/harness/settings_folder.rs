//! A settings file beside a database, for tests that need no service.

use std::{path::PathBuf, sync::Arc};

use markback::{
    configuration::Configuration,
    settings::{self, Settings},
    store::Store,
};
use outbox::SystemClock;
use tempfile::TempDir;

use super::stores;

/// A folder for a settings file, and the database that the file names.
#[derive(Debug)]
pub struct SettingsFolder {
    /// The database.
    pub store: Store,
    /// The address of the database.
    pub url: String,
    folder: TempDir,
}

impl SettingsFolder {
    /// One for each kind of database.
    pub async fn each() -> Vec<Self> {
        let mut all = Vec::new();
        for url in stores() {
            let folder = tempfile::tempdir().unwrap();
            let url = url.unwrap_or_else(|| {
                format!("sqlite:{}", folder.path().join("markback.db").display())
            });
            let store = Store::open(&url, outbox::Settings::default(), Arc::new(SystemClock));
            all.push(Self {
                store: store.await.unwrap(),
                url,
                folder,
            });
        }
        all
    }

    /// A file in the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes the settings file: the address of the database, and then this text.
    pub fn write(&self, text: &str) {
        let text = format!("store = '{}'\n{text}", self.url);
        std::fs::write(self.path("markback.toml"), text).unwrap();
    }

    /// The settings of the file.
    pub fn settings(&self) -> Settings {
        let loaded = settings::load(&self.path("markback.toml"));
        loaded.unwrap().settings
    }

    /// The settings of the file and of the database.
    pub async fn configuration(&self) -> Configuration {
        let configuration = Configuration::open(self.store.clone(), self.settings());
        configuration.await.unwrap()
    }
}
