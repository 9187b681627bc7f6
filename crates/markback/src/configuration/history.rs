//! What the database has of a school's settings or of a template: its versions, its draft, and which version ruled when.

use chrono::{DateTime, NaiveDate, Utc};
use schemars::JsonSchema;
use serde::Serialize;

use super::{ChangeError, Configuration, Conflict, Scheduled, Written, noted, write::Change};
use crate::{
    operator::Actor,
    settings::Owner,
    store::{Scope, SettingsKey, StoredVersion},
};

/// A version in a history, without its text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct HistoryEntry {
    /// Its number, from 1 without gaps.
    pub version: u32,
    /// The number that its author had seen; 0 for the first.
    pub base: u32,
    /// When it was written.
    pub written_at: Option<DateTime<Utc>>,
    /// Who wrote it, if known.
    pub by: Option<String>,
    /// Through which interface.
    pub via: String,
    /// Why, in the author's words.
    pub note: Option<String>,
    /// The times in which it ruled, latest first. Empty for a draft.
    pub ruled: Vec<Ruled>,
    /// Whether it rules now.
    pub rules: bool,
    /// The day from which it is to rule, at the school; absent if it waits for none.
    pub from: Option<NaiveDate>,
}

/// A time in which a version ruled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct Ruled {
    /// From when.
    pub from: Option<DateTime<Utc>>,
    /// Until when; absent if it rules now.
    pub until: Option<DateTime<Utc>>,
    /// Who activated it, if known.
    pub by: Option<String>,
    /// Why, in their words.
    pub note: Option<String>,
}

/// A school's settings, or a template, as its owner has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct PresentSettings {
    /// Who keeps it; absent if it does not rule, because it is only a draft or was removed.
    pub owner: Option<Owner>,
    /// The version that rules, with that of the school's template: `store 7`, `file 3f2a9c1b`, or `store 7 with template
    /// store 2`.
    pub version: Option<String>,
    /// The number of the version that rules, if the database keeps it.
    pub number: Option<u32>,
    /// The text that rules, in TOML; absent if none does.
    pub body: Option<String>,
    /// The number of the newest version in the database. A write is based on it.
    pub newest: Option<u32>,
    /// The number of the draft: a version that is newer than the one that rules.
    pub draft: Option<u32>,
    /// The version that is to rule from a day on, if there is one.
    pub scheduled: Option<Scheduled>,
}

/// What the database has.
struct Kept {
    newest: StoredVersion,
    /// The version that was activated last; `None` if none was, or if it was removed since.
    active: Option<u32>,
    /// The newest version that was ever activated.
    activated: Option<u32>,
}

impl Configuration {
    /// All versions of a school's settings or of a template, newest first, with the times in which each ruled.
    ///
    /// # Errors
    /// Returns an error if the database has none, or cannot be read.
    pub async fn history(&self, key: &SettingsKey) -> Result<Vec<HistoryEntry>, ChangeError> {
        let versions = self.store.settings_versions(key).await?;
        if versions.is_empty() {
            return Err(self.unknown(key));
        }
        let activations = self.store.settings_activations(key).await?;
        let active = activations.first().and_then(|last| last.number);
        let waits = self.store.settings_schedule(key).await?;
        let mut until = None;
        let mut spans = Vec::with_capacity(activations.len());
        for activation in activations {
            let ruled = Ruled {
                from: activation.at,
                until,
                by: activation.by,
                note: activation.note,
            };
            spans.push((activation.number, ruled));
            until = activation.at;
        }
        let entry = |version: StoredVersion| HistoryEntry {
            ruled: spans
                .iter()
                .filter(|(number, _)| *number == Some(version.number))
                .map(|(_, ruled)| ruled.clone())
                .collect(),
            rules: active == Some(version.number),
            from: waits
                .as_ref()
                .filter(|waits| waits.number == version.number)
                .map(|waits| waits.day),
            version: version.number,
            base: version.base,
            written_at: version.at,
            by: version.by,
            via: version.via,
            note: version.note,
        };
        Ok(versions.into_iter().map(entry).collect())
    }

    /// The version with this number; without one, what [`present`](Self::present) has.
    ///
    /// # Errors
    /// Returns an error if there is no such version, or the database cannot be read.
    pub async fn version(
        &self,
        key: &SettingsKey,
        number: Option<u32>,
    ) -> Result<StoredVersion, ChangeError> {
        let Some(number) = number else {
            let present = self.present(key).await?;
            return present.ok_or_else(|| self.unknown(key));
        };
        if let Some(found) = self.store.settings_version(key, number).await? {
            return Ok(found);
        }
        let newest = self.newest(key).await?.number;
        Err(ChangeError::UnknownVersion {
            key: key.clone(),
            number,
            newest,
        })
    }

    /// The draft: the newest version, if it was not activated yet. `None` if there is none, or if the settings file has the
    /// school or the template.
    ///
    /// # Errors
    /// Returns an error if the database cannot be read.
    pub async fn draft_of(&self, key: &SettingsKey) -> outbox::Result<Option<StoredVersion>> {
        if self.owner(key) == Some(Owner::File) {
            return Ok(None);
        }
        Ok(self.kept(key).await?.and_then(Kept::into_draft))
    }

    /// What rules for a school or a template, as its owner has it, and what the database has beside it. `None` if neither
    /// the file nor the database has it or had it.
    ///
    /// # Errors
    /// Returns an error if the settings file or the database cannot be read.
    pub async fn look_at(&self, key: &SettingsKey) -> Result<Option<PresentSettings>, ChangeError> {
        let owner = self.owner(key);
        let kept = self.kept(key).await?;
        if owner.is_none() && kept.is_none() {
            return Ok(None);
        }
        let body = match owner {
            Some(_) => self.text(key).await?,
            None => None,
        };
        let newest = kept.as_ref().map(|kept| kept.newest.number);
        let draft = kept
            .filter(|_| owner != Some(Owner::File))
            .and_then(Kept::into_draft);
        Ok(Some(PresentSettings {
            owner,
            version: self.version_of(key),
            number: self.layers.rules(key),
            body,
            newest: newest.filter(|_| owner != Some(Owner::File)),
            draft: draft.map(|draft| draft.number),
            scheduled: self.scheduled(key).await?,
        }))
    }

    /// Whether the database has a version of it, whatever rules.
    ///
    /// # Errors
    /// Returns an error if the database cannot be read.
    pub async fn is_kept(&self, key: &SettingsKey) -> outbox::Result<bool> {
        Ok(self.store.settings_version(key, 1).await?.is_some())
    }

    /// Drops the draft, by going back to the text that rules: that is written as a new version, which rules at once.
    /// `base` is the number of the draft that its reader saw.
    ///
    /// # Errors
    /// Returns an error if there is no draft, or no version that rules; a school that is only a draft is removed instead.
    pub async fn drop_draft(
        &mut self,
        key: &SettingsKey,
        base: Option<u32>,
        actor: &Actor,
    ) -> Result<Written, ChangeError> {
        self.not_in_file(key)?;
        let Some(kept) = self.kept(key).await? else {
            return Err(self.unknown(key));
        };
        let newest = kept.newest.clone();
        let active = kept.active;
        let Some(draft) = kept.into_draft() else {
            return Err(ChangeError::NoDraft { key: key.clone() });
        };
        let Some(ruling) = active else {
            return Err(ChangeError::OnlyDraft { key: key.clone() });
        };
        if let Some(base) = base.filter(|base| *base != newest.number) {
            return Err(Conflict::new(None, base, newest).into());
        }
        let ruling = self.version(key, Some(ruling)).await?;
        let change = Change {
            activate: true,
            ..Change::text(key, &ruling.body, Some(draft.number))
        };
        let what = format!(
            "draft {} dropped, as version {}",
            draft.number, ruling.number
        );
        self.write_one(change, &noted(actor, &what)).await
    }

    /// The version that rules, with that of the template.
    fn version_of(&self, key: &SettingsKey) -> Option<String> {
        match key.scope {
            Scope::School => {
                let settings = self.layers.settings();
                let school = settings.school(&key.name.as_str().into())?;
                Some(school.version.to_string())
            }
            Scope::Template => {
                let mut templates = self.layers.template_revisions();
                let found = templates.find(|(name, _)| **name == key.name);
                found.map(|(_, revision)| revision.to_string())
            }
        }
    }

    async fn kept(&self, key: &SettingsKey) -> outbox::Result<Option<Kept>> {
        let Some(newest) = self.store.settings_versions(key).await?.into_iter().next() else {
            return Ok(None);
        };
        let activations = self.store.settings_activations(key).await?;
        Ok(Some(Kept {
            newest,
            active: activations.first().and_then(|last| last.number),
            activated: activations.iter().filter_map(|one| one.number).max(),
        }))
    }
}

impl Kept {
    fn into_draft(self) -> Option<StoredVersion> {
        (self.activated.unwrap_or_default() < self.newest.number).then_some(self.newest)
    }
}
