//! Why settings were not changed.

use chrono::NaiveDate;

use crate::{
    settings::{Hint, LoadError, Problem},
    store::{SettingsKey, StoredVersion},
};

/// Why settings were not changed. Nothing was written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChangeError {
    /// Neither the file nor the database has it.
    #[error("there is no {key} in the store; `markback schools ls` lists what there is")]
    Unknown {
        /// What was named.
        key: SettingsKey,
    },
    /// The file has it.
    #[error(
        "the settings file has the {key}; change it there, or move a school into the store with `markback schools adopt`"
    )]
    OfFile {
        /// What was named.
        key: SettingsKey,
    },
    /// There is one already.
    #[error("there is a {key} already; change it with `markback settings draft`")]
    Exists {
        /// What was named.
        key: SettingsKey,
    },
    /// It has no such version.
    #[error("the {key} has no version {number}; its newest is {newest}")]
    UnknownVersion {
        /// Whose.
        key: SettingsKey,
        /// The number that was named.
        number: u32,
        /// The newest number.
        newest: u32,
    },
    /// The newest version rules already.
    #[error("version {number} of the {key} rules already; write a draft first")]
    RulesAlready {
        /// Whose.
        key: SettingsKey,
        /// The newest number.
        number: u32,
    },
    /// Nothing ruled before.
    #[error("the {key} had no other version before; name one with --to")]
    NothingBefore {
        /// Whose.
        key: SettingsKey,
    },
    /// Another version is to rule from a day on.
    #[error(
        "version {number} of the {key} is to rule from {from} on; cancel that first, with `markback settings cancel`, and \
         schedule it again afterwards if it is still right"
    )]
    Scheduled {
        /// Whose.
        key: SettingsKey,
        /// That version.
        number: u32,
        /// Its first day.
        from: NaiveDate,
    },
    /// No version waits for its day.
    #[error("no version of the {key} waits for a day")]
    NotScheduled {
        /// Whose.
        key: SettingsKey,
    },
    /// The day from which a version is to rule has begun already.
    #[error(
        "the {key} cannot go by a version from {from} on, because it is {today} there; name a later day, or activate it now"
    )]
    PastDay {
        /// Whose.
        key: SettingsKey,
        /// The day that was named.
        from: NaiveDate,
        /// The present day there.
        today: NaiveDate,
    },
    /// A template is activated at once, because its schools may be in several time zones.
    #[error(
        "the {key} can only be activated at once, because a day begins at another time in each time zone; name a new template \
         in the schools' own settings, and have these rule from a day on"
    )]
    TemplateFromDay {
        /// The template.
        key: SettingsKey,
    },
    /// There is no draft.
    #[error("the {key} has no draft; its newest version has ruled")]
    NoDraft {
        /// Whose.
        key: SettingsKey,
    },
    /// There is only a draft, so there is nothing to go back to.
    #[error(
        "the {key} has no version that rules, so its draft is all there is; remove it as a whole"
    )]
    OnlyDraft {
        /// Whose.
        key: SettingsKey,
    },
    /// The text names a place on the server, and who wrote it may not.
    #[error(
        "`{place}` names a place on the server, which only an administrator of all schools may choose; leave it as it is in \
         the version that rules"
    )]
    Place {
        /// The setting, such as `token_file`.
        place: String,
    },
    /// Whoever wrote a version does not let it rule: see `four_eyes` in the settings.
    #[error(
        "version {number} of the {key} needs a second pair of eyes: somebody else than its author ({}) activates it",
        author.as_deref().unwrap_or("not known")
    )]
    FourEyes {
        /// Whose.
        key: SettingsKey,
        /// Its number.
        number: u32,
        /// Who wrote it, if known.
        author: Option<String>,
    },
    /// A new school or template would rule at once.
    #[error(
        "the {key} needs a second pair of eyes: add it as a draft, which somebody else activates"
    )]
    FourEyesForNew {
        /// What was to be added.
        key: SettingsKey,
    },
    /// The version to go back to has never ruled.
    #[error(
        "version {number} of the {key} has never ruled, so going back to it needs a second pair of eyes: write it as a draft, \
         which somebody else activates"
    )]
    NeverRuled {
        /// Whose.
        key: SettingsKey,
        /// Its number.
        number: u32,
    },
    /// The text has problems.
    #[error("{}", LoadError::listed(problems))]
    Problems {
        /// All of them.
        problems: Vec<Problem>,
        /// Possible mistakes.
        hints: Vec<Hint>,
    },
    /// Somebody else wrote a version meanwhile.
    #[error(transparent)]
    Conflict(#[from] Box<Conflict>),
    /// The settings file cannot be read.
    #[error(transparent)]
    File(LoadError),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] outbox::Error),
}

impl From<LoadError> for ChangeError {
    fn from(error: LoadError) -> Self {
        match error {
            LoadError::Problems { problems, hints } => Self::Problems { problems, hints },
            read @ LoadError::Read { .. } => Self::File(read),
        }
    }
}

impl From<Conflict> for ChangeError {
    fn from(conflict: Conflict) -> Self {
        Self::Conflict(Box::new(conflict))
    }
}

/// Two people changed the same settings at once; the first one's change stands.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, schemars::JsonSchema, thiserror::Error)]
#[schemars(rename = "SettingsConflict")]
#[error(
    "somebody else wrote version {} of the {} meanwhile, and yours is based on version {base}; look at theirs with \
     `markback settings diff`, and write yours again based on it",
    theirs.number,
    theirs.key
)]
#[non_exhaustive]
pub struct Conflict {
    /// The text that was not written, if there was one.
    pub yours: Option<String>,
    /// The number it is based on.
    pub base: u32,
    /// The newest version.
    pub theirs: StoredVersion,
}

impl Conflict {
    pub(super) fn new(yours: Option<String>, base: u32, theirs: StoredVersion) -> Self {
        Self {
            yours,
            base,
            theirs,
        }
    }
}
