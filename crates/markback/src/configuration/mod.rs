//! Changing the settings that the database keeps: drafts, activation, undo, and moving schools between the database and
//! the settings file.
//!
//! Everything here is a library call; the command line and the API are thin above it. Nothing rules that was not checked
//! under the lock under which it is activated, so two people who activate at once cannot break each other's schools.

mod error;
mod four_eyes;
mod history;
mod import;
mod moving;
mod places;
mod scheduled;
mod tokens;
mod write;

use std::sync::Arc;

use chrono::NaiveDate;
use mis_core::SchoolId;
use schemars::JsonSchema;
use serde::Serialize;
use similar::TextDiff;

use crate::{
    operator::Actor,
    settings::{Hint, Layers, LoadError, Owner, Problem, Settings},
    store::{Scope, SettingsKey, Store, StoredVersion},
};

pub(crate) use self::scheduled::scheduled;
use self::write::Change;
pub use self::{
    error::{ChangeError, Conflict},
    history::{HistoryEntry, PresentSettings, Ruled},
    scheduled::Scheduled,
    tokens::{Resealed, TokenError, TokenSet},
};

/// The settings of the file and of the database, to look at and to change.
///
/// It works on what it read when it was opened, and catches up within each change.
#[derive(Clone, Debug)]
pub struct Configuration {
    store: Store,
    layers: Layers,
}

/// A version that was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[non_exhaustive]
#[schemars(rename = "WrittenSettings")]
pub struct Written {
    /// Of what.
    #[serde(flatten)]
    pub key: SettingsKey,
    /// Its number.
    pub number: u32,
    /// Whether it rules.
    pub active: bool,
    /// The day from which it is to rule, at the school; absent if it rules, or if nobody has decided that.
    pub from: Option<NaiveDate>,
    /// What keeps a draft from being activated.
    pub problems: Vec<Problem>,
    /// Possible mistakes.
    pub hints: Vec<Hint>,
}

impl Configuration {
    /// The settings of a file and of a database. What else of the database is in the settings already does not count.
    ///
    /// # Errors
    /// Returns an error if the database cannot be read.
    pub async fn open(store: Store, file: Settings) -> outbox::Result<Self> {
        let rows = store.settings_since(0).await?;
        let layers = Layers::of(Arc::new(file.of_file()), &rows, None);
        Ok(Self { store, layers })
    }

    pub(crate) fn with(store: Store, layers: Layers) -> Self {
        Self { store, layers }
    }

    /// The settings that rule.
    pub fn settings(&self) -> Settings {
        self.layers.settings()
    }

    /// Who keeps a school or a template that rules.
    pub fn owner(&self, key: &SettingsKey) -> Option<Owner> {
        self.layers.owner(key)
    }

    /// The templates that rule, each with its version.
    pub fn template_versions(&self) -> Vec<(String, String)> {
        let templates = self.layers.template_revisions();
        templates
            .map(|(name, revision)| (name.clone(), revision.to_string()))
            .collect()
    }

    /// What keeps these settings from being used: schools that the file and the database both have.
    pub fn conflicts(&self) -> Vec<Problem> {
        self.layers.conflicts()
    }

    /// What a person should tidy up: schools that were moved between file and database and are still in both.
    pub fn hints(&self) -> Vec<Hint> {
        self.layers.hints()
    }

    /// What is activated in the database and does not hold with this settings file or this version of the program.
    pub fn troubles(&self) -> impl Iterator<Item = (&SettingsKey, &Problem)> {
        let troubles = self.layers.troubles().iter();
        troubles
            .flat_map(|(key, trouble)| trouble.problems.iter().map(move |problem| (key, problem)))
    }

    /// Checks a text as the settings of a school or a template, with all schools that name the template. `name` is its
    /// name in problems.
    ///
    /// # Errors
    /// Returns an error with all problems.
    pub async fn check(
        &self,
        key: &SettingsKey,
        name: &str,
        text: &str,
    ) -> Result<Vec<Hint>, ChangeError> {
        let hints = self.layers.check_text(key, name, text)?;
        if self.layers.users_of(&key.name).next().is_none() {
            return Ok(hints);
        }
        let rows = self.store.settings_since(0).await?;
        let problems = self.layers.broken_by(rows, &[write::row_of(key, 0, text)]);
        if problems.is_empty() {
            Ok(hints)
        } else {
            Err(LoadError::Problems { problems, hints }.into())
        }
    }

    /// Writes a version that does not rule yet, even if it has problems. `base` is the number that its author saw; `None`
    /// goes by the newest.
    ///
    /// # Errors
    /// Returns a conflict if somebody else wrote a version since `base`, or another error if nothing was written.
    pub async fn draft(
        &mut self,
        key: &SettingsKey,
        text: &str,
        base: Option<u32>,
        actor: &Actor,
    ) -> Result<Written, ChangeError> {
        self.not_in_file(key)?;
        if key.scope == Scope::School {
            // A slip in the id must not make another school.
            self.newest(key).await?;
        }
        let checked = self.check(key, &format!("{key}, draft"), text).await;
        let (problems, hints) = match checked {
            Ok(hints) => (Vec::new(), hints),
            Err(ChangeError::Problems { problems, hints }) => (problems, hints),
            Err(error) => return Err(error),
        };
        let change = Change::text(key, text, base);
        let mut written = self.write_one(change, actor).await?;
        written.problems = problems;
        written.hints = hints;
        Ok(written)
    }

    /// Lets the newest version rule. `number` must be it, if given: somebody may have written a newer one meanwhile.
    ///
    /// # Errors
    /// Returns an error with all problems if it has any; then nothing changes.
    pub async fn activate(
        &mut self,
        key: &SettingsKey,
        number: Option<u32>,
        actor: &Actor,
    ) -> Result<Written, ChangeError> {
        self.not_in_file(key)?;
        let newest = self.newest_if(key, number).await?;
        self.may_activate(&newest, actor)?;
        let change = Change {
            base: Some(newest.number),
            ..Change::rule(key, newest.number, newest.body)
        };
        self.write_one(change, actor).await
    }

    /// Goes back: writes the body of an earlier version as a new one, and lets that rule. `None` goes back to what ruled
    /// before the present one, or, if the school was removed, to what ruled last.
    ///
    /// # Errors
    /// Returns an error if there is no such version, or with all problems if it does not hold any more.
    pub async fn undo(
        &mut self,
        key: &SettingsKey,
        to: Option<u32>,
        actor: &Actor,
    ) -> Result<Written, ChangeError> {
        self.undo_from(key, to, None, actor).await
    }

    /// The same, if `base` is still the newest version: somebody may have written another one meanwhile.
    ///
    /// # Errors
    /// Returns an error like [`undo`](Self::undo), or a conflict.
    pub async fn undo_from(
        &mut self,
        key: &SettingsKey,
        to: Option<u32>,
        base: Option<u32>,
        actor: &Actor,
    ) -> Result<Written, ChangeError> {
        self.not_in_file(key)?;
        let newest = self.newest(key).await?;
        if let Some(base) = base.filter(|base| *base != newest.number) {
            return Err(Conflict::new(None, base, newest).into());
        }
        let to = match to {
            Some(to) => to,
            None => self.ruled_before(key).await?,
        };
        let Some(old) = self.store.settings_version(key, to).await? else {
            return Err(ChangeError::UnknownVersion {
                key: key.clone(),
                number: to,
                newest: newest.number,
            });
        };
        self.may_return(key, to).await?;
        let change = Change {
            activate: true,
            ..Change::text(key, &old.body, Some(newest.number))
        };
        let actor = noted(actor, &format!("as version {to}"));
        self.write_one(change, &actor).await
    }

    /// Adds a school or a template, which rules at once, or only as a draft, which may have problems.
    ///
    /// # Errors
    /// Returns an error with all problems, or if there is one already.
    pub async fn add(
        &mut self,
        key: &SettingsKey,
        text: &str,
        as_draft: bool,
        actor: &Actor,
    ) -> Result<Written, ChangeError> {
        self.may_add(key, as_draft)?;
        let change = Change {
            activate: !as_draft,
            is_new: true,
            ..Change::text(key, text, None)
        };
        self.write_one(change, actor).await
    }

    /// Adds a school as a draft, which may have problems, unless the file or the database has it or had it. Returns whether
    /// it was added.
    ///
    /// # Errors
    /// Returns an error if the database fails.
    pub(crate) async fn bring_in(
        &mut self,
        school: &SchoolId,
        text: &str,
        actor: &Actor,
    ) -> outbox::Result<bool> {
        let change = Change {
            is_new: true,
            ..Change::text(&school.into(), text, Some(0))
        };
        match self.write_one(change, actor).await {
            Ok(_) => Ok(true),
            Err(ChangeError::Store(error)) => Err(error),
            // Somebody was faster.
            Err(_) => Ok(false),
        }
    }

    /// Takes a school or a template out of the settings, also one that is only a draft. Its versions stay, and
    /// [`undo`](Self::undo) brings it back.
    ///
    /// # Errors
    /// Returns an error if it is not in the database, was removed before, or if schools still name the template.
    pub async fn remove(
        &mut self,
        key: &SettingsKey,
        base: Option<u32>,
        actor: &Actor,
    ) -> Result<Written, ChangeError> {
        let newest = self.newest(key).await?;
        if self.layers.rules(key).is_none() && self.draft_of(key).await?.is_none() {
            return Err(self.unknown(key));
        }
        let change = Change {
            base,
            remove: true,
            ..Change::rule(key, newest.number, String::new())
        };
        self.write_one(change, actor).await
    }

    /// The text of the version that rules, or of the newest if none does. `None` if the database has none.
    ///
    /// # Errors
    /// Returns an error if the database cannot be read.
    pub async fn present(&self, key: &SettingsKey) -> outbox::Result<Option<StoredVersion>> {
        let versions = self.store.settings_versions(key).await?;
        let activations = self.store.settings_activations(key).await?;
        let active = activations.first().and_then(|last| last.number);
        let ruling = versions
            .iter()
            .find(|version| Some(version.number) == active)
            .cloned();
        Ok(ruling.or_else(|| versions.into_iter().next()))
    }

    /// What ruled before the present version.
    async fn ruled_before(&self, key: &SettingsKey) -> Result<u32, ChangeError> {
        let activations = self.store.settings_activations(key).await?;
        let present = activations.first().and_then(|last| last.number);
        activations
            .iter()
            .filter_map(|one| one.number)
            .find(|number| Some(*number) != present)
            .ok_or_else(|| ChangeError::NothingBefore { key: key.clone() })
    }

    async fn newest(&self, key: &SettingsKey) -> Result<StoredVersion, ChangeError> {
        let versions = self.store.settings_versions(key).await?;
        versions.into_iter().next().ok_or_else(|| self.unknown(key))
    }

    /// The newest version, which must have this number, if one is given.
    async fn newest_if(
        &self,
        key: &SettingsKey,
        number: Option<u32>,
    ) -> Result<StoredVersion, ChangeError> {
        let newest = self.newest(key).await?;
        match number {
            Some(number) if number > newest.number => Err(ChangeError::UnknownVersion {
                key: key.clone(),
                number,
                newest: newest.number,
            }),
            Some(number) if number < newest.number => {
                Err(Conflict::new(None, number, newest).into())
            }
            _ => Ok(newest),
        }
    }

    fn unknown(&self, key: &SettingsKey) -> ChangeError {
        match self.layers.owner(key) {
            Some(Owner::File) => ChangeError::OfFile { key: key.clone() },
            _ => ChangeError::Unknown { key: key.clone() },
        }
    }

    fn not_in_file(&self, key: &SettingsKey) -> Result<(), ChangeError> {
        match self.layers.owner(key) {
            Some(Owner::File) => Err(ChangeError::OfFile { key: key.clone() }),
            _ => Ok(()),
        }
    }

    async fn write_one(&mut self, change: Change, actor: &Actor) -> Result<Written, ChangeError> {
        let key = change.key.clone();
        let written = self.write(vec![change], actor).await?;
        written
            .into_iter()
            .next()
            .ok_or(ChangeError::Unknown { key })
    }
}

/// The lines in which two texts differ, in the unified form. Empty if they are equal.
pub fn diff(from: &str, to: &str, from_name: &str, to_name: &str) -> String {
    if from == to {
        return String::new();
    }
    TextDiff::from_lines(from, to)
        .unified_diff()
        .context_radius(2)
        .header(from_name, to_name)
        .to_string()
}

/// The key of a school.
impl From<&SchoolId> for SettingsKey {
    fn from(id: &SchoolId) -> Self {
        Self::school(id)
    }
}

/// The same person, with what is done before their note.
fn noted(actor: &Actor, what: &str) -> Actor {
    Actor {
        note: Some(match &actor.note {
            Some(note) => format!("{what}: {note}"),
            None => what.to_owned(),
        }),
        ..actor.clone()
    }
}
