//! Schools' settings and templates in the database: versions, which of them rule, and what ruled when.
//!
//! Every activation raises one number, the generation, and notes it in the rows it changes. A node looks at that number
//! and reads only the rows that have changed since.

mod files;
mod marks;
mod read;
mod scheduled;
mod tokens;
mod write;

use std::{fmt, sync::Arc};

use chrono::{DateTime, Utc};
use outbox::{MigrationStep, Migrations};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strum::{EnumString, IntoStaticStr};

pub use self::{
    marks::WrittenMark,
    scheduled::StoredSchedule,
    tokens::{StoredToken, TokenChange, TokenEntry},
};
pub(crate) use self::{
    tokens::TokensChanged,
    write::{NewActivation, NewVersion},
};

const TABLES: &str = include_str!("../../../migrations/settings/0001_settings.sql");
const TOKENS: &str = include_str!("../../../migrations/settings/0002_tokens.sql");
const SCHEDULED: &str = include_str!("../../../migrations/settings/0003_scheduled.sql");
const CALLERS: &str = include_str!("../../../migrations/settings/0004_callers.sql");

/// The tables of the settings, in SQL that both databases accept.
pub(super) const MIGRATIONS: Migrations = Migrations {
    prefix: "markback_settings",
    steps: &[
        MigrationStep {
            version: 1,
            name: "versions, what rules, sealed tokens, last valid files",
            sqlite: TABLES,
            postgres: TABLES,
        },
        MigrationStep {
            version: 2,
            name: "what became of sealed tokens",
            sqlite: TOKENS,
            postgres: TOKENS,
        },
        MigrationStep {
            version: 3,
            name: "versions that are to rule from a day on",
            sqlite: SCHEDULED,
            postgres: SCHEDULED,
        },
        MigrationStep {
            version: 4,
            name: "who wrote a version",
            sqlite: CALLERS,
            postgres: CALLERS,
        },
    ],
};

/// What a text of settings is for.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    EnumString,
    IntoStaticStr,
    JsonSchema,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
#[schemars(rename = "SettingsScope")]
pub enum Scope {
    /// A template. Templates come before the schools that name them.
    Template,
    /// A school.
    School,
}

/// A school or a template by name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
pub struct SettingsKey {
    /// What it is.
    pub scope: Scope,
    /// The school's id, or the template's name.
    pub name: String,
}

impl SettingsKey {
    /// A school's settings.
    pub fn school(id: impl fmt::Display) -> Self {
        Self {
            scope: Scope::School,
            name: id.to_string(),
        }
    }

    /// A template.
    pub fn template(name: impl Into<String>) -> Self {
        Self {
            scope: Scope::Template,
            name: name.into(),
        }
    }
}

impl fmt::Display for SettingsKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", <&str>::from(self.scope), self.name)
    }
}

/// One version of a school's settings or of a template. It never changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[non_exhaustive]
#[schemars(rename = "SettingsVersion")]
pub struct StoredVersion {
    /// Of what.
    #[serde(flatten)]
    pub key: SettingsKey,
    /// Its number, from 1 without gaps.
    pub number: u32,
    /// The text in TOML.
    pub body: String,
    /// The number that its author had seen; 0 for the first.
    pub base: u32,
    /// Who wrote it, if known.
    pub by: Option<String>,
    /// Through which interface.
    pub via: String,
    /// Why, in the author's words.
    pub note: Option<String>,
    /// When.
    pub at: Option<DateTime<Utc>>,
    /// The authenticated caller who wrote it; `None` for versions of earlier builds.
    #[serde(skip)]
    pub(crate) caller: Option<String>,
}

/// Who rules if the settings file has the same school.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, EnumString, IntoStaticStr)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum BesideFile {
    /// Nobody: the file is not taken.
    Refuse,
    /// The database: the school was adopted from the file, which need not be edited at the same moment.
    Store,
    /// The file: the school was released to it, and is kept here until the file has it.
    File,
}

/// What rules for a school or a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ActiveRow {
    pub(crate) key: SettingsKey,
    /// `None` if it was removed.
    pub(crate) version: Option<ActiveVersion>,
    pub(crate) beside_file: BesideFile,
    pub(crate) since: Option<DateTime<Utc>>,
    pub(crate) generation: i64,
    pub(crate) token: Option<Arc<SealedRow>>,
}

/// The version that rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ActiveVersion {
    pub(crate) number: u32,
    pub(crate) body: String,
}

/// A sealed token.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct SealedRow {
    /// The id of the key that it is sealed with.
    pub(crate) key_id: String,
    pub(crate) sealed: String,
    /// The generation in which it was set.
    pub(crate) generation: i64,
}

impl fmt::Debug for SealedRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SealedRow")
            .field("key_id", &self.key_id)
            .field("generation", &self.generation)
            .finish_non_exhaustive()
    }
}

/// When a version began to rule, and by whom.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Activation {
    /// The version; `None` for a removal.
    pub number: Option<u32>,
    /// Who, if known.
    pub by: Option<String>,
    /// Through which interface.
    pub via: String,
    /// Why, in their words.
    pub note: Option<String>,
    /// When.
    pub at: Option<DateTime<Utc>>,
}

/// A school or a template in the database, without its texts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct StoredSummary {
    /// What it is.
    #[serde(flatten)]
    pub key: SettingsKey,
    /// The version that rules; `None` if none does, because it is only a draft or was removed.
    pub active: Option<u32>,
    /// The newest version. It is a draft if it is newer than the one that rules.
    pub newest: u32,
    /// Who rules if the file has it as well.
    pub beside_file: BesideFile,
    /// Since when the database has it, if a version was ever activated.
    pub since: Option<DateTime<Utc>>,
    /// Whether it was removed.
    pub removed: bool,
}

fn number(number: i64) -> u32 {
    u32::try_from(number).unwrap_or_default()
}
