//! A sandbox, a database, and a folder with the settings of services on them.

use std::path::PathBuf;

use markback::{
    service::{Markback, Options},
    settings::{self, Settings},
};
use mis_core::SchoolId;
use tempfile::TempDir;
use wonde_sandbox::{Sandbox, SandboxOptions, SchoolInfo, StudentInfo};

use super::{KEY, SECRET};

/// A sandbox, a database, and a folder with the settings, the token and the keys.
#[derive(Debug)]
pub struct TestBed {
    /// The sandbox.
    pub sandbox: Sandbox,
    /// The folder with the files `markback.toml`, `token`, `key` and `webhook-secret`, and the SQLite database
    /// `markback.db`.
    pub folder: TempDir,
    store: String,
}

impl TestBed {
    /// Starts a sandbox. The database is `store`, or an SQLite file.
    pub async fn start(store: Option<String>, options: SandboxOptions) -> Self {
        let sandbox = Sandbox::start(options).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in [
            ("token", sandbox.token()),
            ("key", KEY.to_owned()),
            ("webhook-secret", SECRET.to_owned()),
        ] {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        let file = folder.path().join("markback.db");
        Self {
            sandbox,
            store: store.unwrap_or_else(|| format!("sqlite:{}", file.display())),
            folder,
        }
    }

    /// The address of the database.
    pub fn store_url(&self) -> &str {
        &self.store
    }

    /// The id of the school at this place: SIMS, Arbor, ScholarPack.
    pub fn school(&self, place: usize) -> SchoolId {
        SchoolId::from(self.sandbox.schools()[place].id.as_str())
    }

    /// The first school with this MIS.
    pub fn school_with(&self, mis: &str) -> SchoolInfo {
        let mut schools = self.sandbox.schools().into_iter();
        schools.find(|school| school.mis == mis).unwrap()
    }

    /// The pupils on roll at a school without a leaving date.
    pub fn pupils_of(&self, school: &str) -> Vec<StudentInfo> {
        let mut pupils = self.sandbox.students(school).unwrap();
        pupils.retain(|pupil| pupil.on_roll && pupil.leaving.is_none());
        pupils
    }

    /// The path of a file in the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The path of the settings file.
    pub fn settings_path(&self) -> PathBuf {
        self.path("markback.toml")
    }

    /// Writes the settings file for the first `schools` schools of the sandbox; see [`TestBed::write_settings_of`].
    pub fn write_settings(&self, service: &str, tables: &str, schools: usize, school: &str) {
        let mut all = self.sandbox.schools();
        all.truncate(schools);
        self.write_settings_of(service, tables, &all, school);
    }

    /// Writes the settings file: first the top-level keys in `service`, then `tables`, then the schools, each with the keys
    /// and tables in `school`. Unless `service` names a rate, requests are not limited.
    pub fn write_settings_of(
        &self,
        service: &str,
        tables: &str,
        schools: &[SchoolInfo],
        school: &str,
    ) {
        let rate = if service.contains("rate_per_minute") {
            ""
        } else {
            "rate_per_minute = 1000000"
        };
        let mut text = format!(
            "listen = '127.0.0.1:0'\napi_key_file = 'key'\nstore = '{}'\nwonde_url = '{}'\n{rate}\n{service}\n{tables}\n",
            self.store,
            self.sandbox.base_url(),
        );
        for info in schools {
            text += &format!("\n[[school]]\nid = '{}'\n{school}\n", info.id);
        }
        std::fs::write(self.settings_path(), text).unwrap();
    }

    /// Loads the settings file.
    pub fn settings(&self) -> Settings {
        let loaded = settings::load(&self.settings_path());
        loaded.unwrap_or_else(|error| panic!("{error}")).settings
    }

    /// Opens a service with the settings file.
    pub async fn open(&self, options: Options) -> Markback {
        Markback::open(self.settings(), options).await.unwrap()
    }
}
