//! Writing changes: numbers, checks and activation in one transaction.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use mis_core::SchoolId;

use super::{ChangeError, Configuration, Conflict, Written};
use crate::{
    audit_log::{AuditAction, NewAuditEntry},
    operator::Actor,
    settings::{Layers, Owner},
    store::{
        ActiveRow, ActiveVersion, BesideFile, NewActivation, NewVersion, Scope, SealedRow,
        SettingsKey, StoredSchedule, StoredVersion,
    },
};

/// Changes from this number on look up all newest numbers at once.
const MANY: usize = 50;
/// The most rows of one statement.
const ROWS_AT_ONCE: usize = 2_000;

/// One change.
#[derive(Clone, Debug)]
pub(super) struct Change {
    pub(super) key: SettingsKey,
    /// The text: of a new version, or of the existing one that is to rule.
    pub(super) body: String,
    /// The number of an existing version; `None` writes a new one.
    pub(super) number: Option<u32>,
    /// The number that the author has seen; `None` goes by the newest.
    pub(super) base: Option<u32>,
    /// Whether it rules from now on.
    pub(super) activate: bool,
    /// Whether it is taken out of the settings instead.
    pub(super) remove: bool,
    /// Whether neither the file nor the database may have it.
    pub(super) is_new: bool,
    /// Whether it comes from the file, which has it.
    pub(super) from_file: bool,
    /// Who rules if the file has it as well; `None` leaves that as it is.
    pub(super) beside_file: Option<BesideFile>,
    /// Whether its day has begun, so that it must still wait for that.
    pub(super) is_due: bool,
}

impl Change {
    /// A new version.
    pub(super) fn text(key: &SettingsKey, text: &str, base: Option<u32>) -> Self {
        Self {
            key: key.clone(),
            body: text.to_owned(),
            number: None,
            base,
            activate: false,
            remove: false,
            is_new: false,
            from_file: false,
            beside_file: None,
            is_due: false,
        }
    }

    /// An existing version that is to rule.
    pub(super) fn rule(key: &SettingsKey, number: u32, body: String) -> Self {
        Self {
            number: Some(number),
            activate: true,
            ..Self::text(key, &body, None)
        }
    }
}

/// A change with its number.
struct Numbered<'c> {
    change: &'c Change,
    number: u32,
    base: u32,
    row: ActiveRow,
}

impl Numbered<'_> {
    fn entry(&self, actor: &Actor) -> NewAuditEntry {
        let action = match (self.change.remove, self.change.activate) {
            (true, _) => AuditAction::SettingsRemoved,
            (false, true) => AuditAction::SettingsActivated,
            (false, false) => AuditAction::SettingsDrafted,
        };
        let (key, number) = (&self.change.key, self.number);
        match key.scope {
            Scope::School => actor
                .entry(action)
                .school(&key.name.as_str().into())
                .subject(format!("version {number}")),
            Scope::Template => actor
                .entry(action)
                .subject(format!("{key}, version {number}")),
        }
    }
}

impl Configuration {
    /// Writes all changes or none.
    pub(super) async fn write(
        &mut self,
        changes: Vec<Change>,
        actor: &Actor,
    ) -> Result<Vec<Written>, ChangeError> {
        let mut tx = self.store.database().begin().await?;
        let rules = changes.iter().any(|change| change.activate);
        // First of all, because it holds the lock under which everything else is read.
        let generation = match rules {
            true => Some(self.store.raise_settings_generation(&mut tx).await?),
            false => None,
        };
        let (layers, all) = self
            .caught_up(&mut tx, changes.iter().any(is_template))
            .await?;
        let waiting = match rules {
            true => self.store.settings_schedules_in(&mut tx).await?,
            false => Vec::new(),
        };
        let newest = self.newest_of(&mut tx, &changes).await?;
        let tokens = self.tokens_of(&mut tx, &changes).await?;
        let mut numbered = Vec::with_capacity(changes.len());
        let mut ended = Vec::new();
        for change in &changes {
            self.may_be(&layers, change)?;
            let newest = newest.get(&change.key);
            let seen = newest.map_or(0, |newest| newest.number);
            if let (Some(base), Some(newest)) = (change.base, newest)
                && base != newest.number
            {
                let yours = change.number.is_none().then(|| change.body.clone());
                return Err(Conflict::new(yours, base, newest.clone()).into());
            }
            let number = change.number.unwrap_or(seen + 1);
            let waits = waiting.iter().find(|one| one.key == change.key);
            let waits = waits.filter(|_| change.activate);
            may_rule_beside(waits, change, number)?;
            ended.extend(waits.map(|one| &one.key));
            if change.activate
                && !change.remove
                && layers.rules(&change.key) == Some(number)
                && change.beside_file.is_none()
            {
                return Err(ChangeError::RulesAlready {
                    key: change.key.clone(),
                    number,
                });
            }
            let mut row = row_of(&change.key, number, &change.body);
            row.generation = generation.unwrap_or_default();
            row.since = layers.since(&change.key).or(Some(self.store.now()));
            row.beside_file = change
                .beside_file
                .or_else(|| layers.beside_file(&change.key))
                .unwrap_or(BesideFile::Refuse);
            row.token = tokens
                .get(&SchoolId::from(change.key.name.as_str()))
                .cloned();
            if change.remove {
                row.version = None;
            }
            numbered.push(Numbered {
                change,
                number,
                base: seen,
                row,
            });
        }
        let ruling: Vec<_> = numbered
            .iter()
            .filter(|one| one.change.activate)
            .map(|one| one.row.clone())
            .collect();
        let mut checked = layers.check(&ruling);
        if let Some(all) = all
            && checked.problems.is_empty()
        {
            checked.problems = layers.broken_by(all, &ruling);
        }
        if !checked.problems.is_empty() {
            tx.rollback().await?;
            return Err(ChangeError::Problems {
                problems: checked.problems,
                hints: checked.hints,
            });
        }
        let new: Vec<_> = numbered
            .iter()
            .filter(|one| one.change.number.is_none())
            .map(|one| NewVersion {
                key: &one.change.key,
                number: one.number,
                body: &one.change.body,
                base: one.base,
            })
            .collect();
        for part in new.chunks(ROWS_AT_ONCE) {
            if !self.store.add_settings(&mut tx, part, actor).await? {
                tx.rollback().await?;
                return Err(self.was_faster(&changes).await);
            }
        }
        if let Some(generation) = generation {
            let activations: Vec<_> = numbered
                .iter()
                .filter(|one| one.change.activate)
                .map(|one| NewActivation {
                    key: &one.change.key,
                    number: if one.change.remove { 0 } else { one.number },
                    beside_file: one.row.beside_file,
                })
                .collect();
            for part in activations.chunks(ROWS_AT_ONCE) {
                self.store
                    .activate_settings(&mut tx, generation, part, actor)
                    .await?;
            }
        }
        for key in ended {
            self.store.end_settings_schedule(&mut tx, key).await?;
        }
        let entries: Vec<_> = numbered.iter().map(|one| one.entry(actor)).collect();
        self.store.record_in(&mut tx, &entries).await?;
        tx.commit().await?;
        let written = numbered
            .iter()
            .map(|one| Written {
                key: one.change.key.clone(),
                number: one.number,
                active: one.change.activate && !one.change.remove,
                from: None,
                problems: Vec::new(),
                hints: checked
                    .hints
                    .iter()
                    .filter(|hint| *hint.file == *one.row.name_in_problems())
                    .cloned()
                    .collect(),
            })
            .collect();
        self.layers = layers.followed_by(&ruling, &self.store).await?;
        Ok(written)
    }

    /// The layers with what has begun to rule since, under the lock of the transaction; and all rows, if they were read
    /// because a template is among them or if `with_all`.
    pub(super) async fn caught_up(
        &self,
        tx: &mut outbox::Tx,
        with_all: bool,
    ) -> outbox::Result<(Layers, Option<Vec<ActiveRow>>)> {
        let mut layers = self.layers.clone();
        let news = self
            .store
            .settings_since_in(tx, layers.generation())
            .await?;
        if with_all || Layers::needs_all(&news) {
            let rows = self.store.settings_since_in(tx, 0).await?;
            let layers = Layers::of(layers.file().clone(), &rows, Some(&layers));
            return Ok((layers, Some(rows)));
        }
        layers.take(&news);
        Ok((layers, None))
    }

    fn may_be(&self, layers: &Layers, change: &Change) -> Result<(), ChangeError> {
        let key = change.key.clone();
        match layers.owner(&change.key) {
            Some(Owner::File) if !change.from_file && !change.remove => {
                Err(ChangeError::OfFile { key })
            }
            Some(Owner::Store) if change.is_new || change.from_file => {
                Err(ChangeError::Exists { key })
            }
            _ => Ok(()),
        }
    }

    /// The newest version of each.
    async fn newest_of(
        &self,
        tx: &mut outbox::Tx,
        changes: &[Change],
    ) -> outbox::Result<HashMap<SettingsKey, StoredVersion>> {
        if changes.len() >= MANY {
            let all = self.store.all_newest_settings(tx).await?;
            return Ok(all.into_iter().map(|one| (one.key.clone(), one)).collect());
        }
        let mut newest = HashMap::new();
        for change in changes {
            let found = self.store.newest_settings(tx, &change.key).await?;
            newest.extend(found.map(|found| (change.key.clone(), found)));
        }
        Ok(newest)
    }

    /// The sealed tokens of the schools.
    async fn tokens_of(
        &self,
        tx: &mut outbox::Tx,
        changes: &[Change],
    ) -> outbox::Result<BTreeMap<SchoolId, Arc<SealedRow>>> {
        if changes.len() >= MANY {
            return self.store.sealed_tokens_in(tx, None).await;
        }
        let mut tokens = BTreeMap::new();
        let schools = changes.iter().map(|change| &change.key);
        for key in schools.filter(|key| key.scope == Scope::School) {
            tokens.extend(self.store.sealed_tokens_in(tx, Some(&key.name)).await?);
        }
        Ok(tokens)
    }

    /// What to say when a number was taken between reading the newest and writing.
    async fn was_faster(&self, changes: &[Change]) -> ChangeError {
        for change in changes {
            match self.newest(&change.key).await {
                Ok(theirs) => {
                    let base = theirs.number.saturating_sub(1);
                    return Conflict::new(Some(change.body.clone()), base, theirs).into();
                }
                Err(ChangeError::Unknown { .. }) => {}
                Err(error) => return error,
            }
        }
        outbox::Error::invalid("a version with this number exists already").into()
    }
}

/// Whether a change may rule although a version of the same school waits for its day: only that version may, so nobody has to
/// remember that other rules are to come.
fn may_rule_beside(
    waits: Option<&StoredSchedule>,
    change: &Change,
    number: u32,
) -> Result<(), ChangeError> {
    match waits {
        Some(waits) if change.remove || waits.number != number => Err(ChangeError::Scheduled {
            key: change.key.clone(),
            number: waits.number,
            from: waits.day,
        }),
        None if change.is_due => Err(ChangeError::NotScheduled {
            key: change.key.clone(),
        }),
        _ => Ok(()),
    }
}

fn is_template(change: &Change) -> bool {
    change.activate && change.key.scope == Scope::Template
}

/// A row as if this version ruled.
pub(super) fn row_of(key: &SettingsKey, number: u32, body: &str) -> ActiveRow {
    ActiveRow {
        key: key.clone(),
        version: Some(ActiveVersion {
            number,
            body: body.to_owned(),
        }),
        beside_file: BesideFile::Refuse,
        since: None,
        generation: 0,
        token: None,
    }
}
