//! Settings that change while the service runs: what another node or a command wrote, and a settings file that is read
//! again.

use std::{
    collections::HashMap,
    path::Path,
    sync::{Arc, PoisonError, atomic::Ordering},
    time::Duration,
};

use chrono::{DateTime, Utc};
use mis_core::SchoolId;
use tokio_util::sync::CancellationToken;

use crate::{
    audit_log::{AuditAction, Caller, NewAuditEntry},
    calendar::reading::Reread,
    configuration::Configuration,
    metrics,
    schools::{token_generation, token_key},
    service::Markback,
    settings::{self, Group, Layers, LoadError, Loaded, School, Settings},
    store::Store,
};

/// The time between two looks for changed settings. Every node goes by a change within five seconds.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// What reading the settings file again has done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reloaded {
    /// The schools whose settings are other than before, new or gone.
    pub changed: Vec<SchoolId>,
    /// The settings of the service itself that differ and need a restart.
    pub needs_restart: Vec<&'static str>,
}

impl Markback {
    /// The settings of the file and of the database, to look at and to change. After a change, every node goes by it
    /// within seconds, and this one at once after [`refresh_settings`](Self::refresh_settings).
    pub async fn configuration(&self) -> Configuration {
        Configuration::with(self.store().clone(), self.layers.lock().await.clone())
    }

    /// Goes by what was activated in the database since the last look, and by versions whose day has begun. Returns the
    /// schools whose settings changed.
    ///
    /// # Errors
    /// Returns an error if the database cannot be read; the present settings go on ruling.
    pub async fn refresh_settings(&self) -> outbox::Result<Vec<SchoolId>> {
        let mut layers = self.layers.lock().await;
        let store = self.store();
        let mut generation = store.settings_generation().await?;
        let due = store.settings_due(generation).await?;
        if !due.is_empty() {
            Configuration::with(store.clone(), layers.clone())
                .begin_due(due, generation)
                .await?;
            generation = store.settings_generation().await?;
        }
        if generation == layers.generation() {
            return Ok(Vec::new());
        }
        let rows = store.settings_since(layers.generation()).await?;
        let next = layers.followed_by(&rows, store).await?;
        next.tell(Some(&layers));
        *layers = next;
        Ok(self.rule(&layers).await)
    }

    /// Lets another state of the settings file rule: all of it, or nothing. The service's own settings, such as its
    /// address, stay as they were at the start.
    ///
    /// # Errors
    /// Returns an error with all problems if the file and the database exclude each other, or if schools of the database
    /// name a template that the file does not have any more. The present settings go on ruling.
    pub async fn reload(&self, file: Settings) -> Result<Reloaded, ReloadError> {
        let mut layers = self.layers.lock().await;
        let rows = self.store().settings_since(0).await?;
        let present = &layers.file().service;
        let needs_restart = present.differences(&file.service);
        let mut file = file.of_file();
        let lost = layers.lost_with(&file);
        file.service = present.followed_by(&file.service);
        let next = Layers::of(Arc::new(file), &rows, Some(&layers));
        let mut problems = next.conflicts();
        problems.extend(lost);
        problems.extend(next.tokens_lost_since(&layers, &[]));
        let new = next
            .troubles()
            .iter()
            .filter(|(key, _)| !layers.troubles().contains_key(key));
        problems.extend(new.flat_map(|(_, trouble)| trouble.problems.clone()));
        if !problems.is_empty() {
            return Err(LoadError::Problems {
                problems,
                hints: Vec::new(),
            }
            .into());
        }
        next.tell(Some(&layers));
        *layers = next;
        self.store().try_schedules_again().await?;
        self.workers.follow(&layers.file().service);
        // A token may have been replaced in its file.
        self.schools().forget_all();
        let changed = self.rule(&layers).await;
        drop(layers);
        if !changed.is_empty() {
            let action = AuditAction::SettingsFileTaken;
            let entry = NewAuditEntry::new(action, &Caller::default(), "settings file");
            // The file rules already, so this may wait like a look until it can be written.
            if let Err(error) = self.audit_log().look(entry.amount(changed.len())).await {
                tracing::warn!(%error, "the change of the settings file could not be recorded in the audit log");
            }
        }
        self.read_calendars(&self.settings(), Reread::All).await;
        Ok(Reloaded {
            changed,
            needs_restart,
        })
    }

    /// Reads the settings file again and lets it rule: all of it, or nothing. What is wrong with it is logged, and shown by
    /// `/readyz` and the metrics, until a later reading succeeds.
    ///
    /// # Errors
    /// Returns an error with all problems; the present settings go on ruling.
    pub async fn reload_file(&self, path: &Path) -> Result<Reloaded, ReloadError> {
        let reloaded = match settings::load(path) {
            Ok(loaded) => {
                for hint in &loaded.hints {
                    tracing::warn!(%hint, "the settings have a possible mistake");
                }
                let reloaded = self.reload(loaded.settings.clone()).await;
                if reloaded.is_ok() {
                    self.keep_file(&loaded).await;
                }
                reloaded
            }
            Err(error) => Err(error.into()),
        };
        match &reloaded {
            Ok(done) => {
                self.file_refused.store(false, Ordering::Relaxed);
                tracing::info!(
                    schools = done.changed.len(),
                    "the settings file was read again"
                );
                for key in &done.needs_restart {
                    tracing::warn!(
                        key,
                        "this setting has changed in the file and counts from the next start on"
                    );
                }
            }
            Err(error) => {
                self.file_refused.store(true, Ordering::Relaxed);
                tell_problems(error);
                tracing::error!(
                    "the settings file was not taken; the settings before it go on ruling"
                );
            }
        }
        metrics::reloaded(reloaded.is_ok());
        reloaded
    }

    /// Whether the settings file had problems when it was last read, so that earlier settings rule.
    pub fn file_is_refused(&self) -> bool {
        self.file_refused.load(Ordering::Relaxed)
    }

    /// Says that the service was opened by an earlier text of its settings file, because the present one has problems.
    pub fn goes_by_last_good_file(&self) {
        self.file_refused.store(true, Ordering::Relaxed);
        metrics::reloaded(false);
    }

    /// The number of schools of the database without a token that can be used, as of the last change of settings.
    pub fn tokens_unread(&self) -> usize {
        let unread = self.tokens_unread.lock();
        let unread = unread.unwrap_or_else(PoisonError::into_inner);
        unread.values().sum()
    }

    /// Finds out which sealed tokens cannot be used, and logs what is new about that.
    pub(crate) fn look_at_sealed_tokens(&self) {
        let now = self.settings().sealed_tokens_unread();
        let mut told = self
            .tokens_unread
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        for (words, unread) in &now {
            if told.get(words) != Some(&unread.schools) {
                tracing::error!(
                    error = %unread.error,
                    schools = unread.schools,
                    for_example = %unread.first,
                    "schools have no token for Wonde that can be used: nothing is read or written for them"
                );
            }
        }
        if now.is_empty() && !told.is_empty() {
            tracing::info!("all tokens in the database can be used again");
        }
        *told = now
            .into_iter()
            .map(|(words, unread)| (words, unread.schools))
            .collect();
    }

    /// The number of activated versions that do not hold on this node.
    pub async fn settings_troubles(&self) -> usize {
        self.layers.lock().await.troubles().len()
    }

    /// Keeps the text of a valid settings file, for a start when the file has a mistake. It is the text that was checked:
    /// the file may have changed since.
    pub async fn keep_file(&self, loaded: &Loaded) {
        let path = loaded.settings.service.path();
        let kept = self
            .store()
            .keep_settings_file(path, &loaded.text, loaded.list_text.as_deref());
        if let Err(error) = kept.await {
            tracing::warn!(%error, "the valid settings file could not be kept for a start with a broken one");
        }
    }

    /// Activates versions whose day has begun while no node ran. The settings file may have changed meanwhile, so those that
    /// had problems are tried again.
    pub(crate) async fn begin_what_is_due(&self) {
        let begun = async {
            self.store().try_schedules_again().await?;
            self.refresh_settings().await
        };
        if let Err(error) = begun.await {
            tracing::warn!(%error, "versions whose day has begun could not be read; they are tried again in seconds");
        }
    }

    /// Follows what is activated in the database, until told to stop.
    pub(crate) async fn follow_settings(&self, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
            if let Err(error) = self.refresh_settings().await {
                tracing::warn!(%error, "changed settings could not be read; the present ones go on ruling");
            }
        }
    }

    /// Lets these layers rule, and does what follows from the change.
    async fn rule(&self, layers: &Layers) -> Vec<SchoolId> {
        let before = self.settings();
        let now = Arc::new(layers.settings());
        let changes = changes(&before, &now);
        let ids: Vec<_> = changes.iter().map(|change| change.id.clone()).collect();
        // Before these settings decide anything.
        self.read_calendars(&now, Reread::Of(&ids)).await;
        self.live_settings().replace(now.clone());
        self.look_at_sealed_tokens();
        if !ids.is_empty()
            && let Err(error) = self.store().retry_calendars(&ids).await
        {
            tracing::warn!(%error, "calendars that could not be read are tried again later");
        }
        self.wake_calendars();
        for change in &changes {
            if let Err(error) = self.follow(change, layers.generation()).await {
                let school = change.id;
                tracing::warn!(%school, %error, "the school's people are not read yet by its new settings; they are at the next sync");
            }
        }
        ids
    }

    async fn follow(&self, change: &Change<'_>, generation: i64) -> outbox::Result<()> {
        let id = change.id;
        let Some(now) = change.now else {
            tracing::info!(school = %id, "the school is no longer in the settings");
            return Ok(());
        };
        tracing::info!(school = %id, version = %now.version, "other settings rule");
        self.mirror().forget_before(id, self.store().now()).await;
        self.store()
            .end_operator_pauses_of(&[id.to_string(), token_key(now)])
            .await?;
        if change.regroups() {
            self.sync().ask_for_settings(now, generation).await?;
        }
        Ok(())
    }
}

/// The settings file as it was when it was last valid with this database, and when that was noted.
///
/// # Errors
/// Returns an error if the database cannot be read.
pub async fn last_good_file(
    store: &Store,
    path: &Path,
) -> outbox::Result<Option<(Loaded, Option<DateTime<Utc>>)>> {
    let Some(kept) = store.kept_settings_file(path).await? else {
        return Ok(None);
    };
    let loaded = settings::from_texts(path, &kept.text, kept.list.as_deref());
    Ok(loaded.ok().map(|loaded| (loaded, kept.at)))
}

/// Logs each problem on a line of its own.
pub(crate) fn tell_problems(error: &ReloadError) {
    match error {
        ReloadError::Settings(LoadError::Problems { problems, .. }) => {
            for problem in problems {
                tracing::error!(%problem, "the settings file has a mistake");
            }
        }
        other => tracing::error!(error = %other, "the settings file cannot be read again"),
    }
}

/// Why the settings file was not taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReloadError {
    /// It has problems.
    #[error(transparent)]
    Settings(#[from] LoadError),
    /// The database cannot be read.
    #[error(transparent)]
    Store(#[from] outbox::Error),
}

/// A school whose settings changed, came or went.
struct Change<'s> {
    before: Option<&'s School>,
    now: Option<&'s School>,
    id: &'s SchoolId,
}

impl Change<'_> {
    /// Whether people may be in other groups than before.
    fn regroups(&self) -> bool {
        let groups = |school: Option<&School>| {
            let groups = school.map(|school| school.groups.iter().map(Group::as_roster));
            groups.map(Iterator::collect::<Vec<_>>)
        };
        self.before.is_some() && groups(self.before) != groups(self.now)
    }
}

fn changes<'s>(before: &'s Settings, now: &'s Settings) -> Vec<Change<'s>> {
    let old: HashMap<_, _> = before.schools.iter().map(|one| (&one.id, one)).collect();
    let mut changes: Vec<_> = now
        .schools
        .iter()
        .filter_map(|school| {
            let before = old.get(&school.id).copied();
            let same = before.is_some_and(|before| {
                before.version == school.version
                    && token_generation(before) == token_generation(school)
            });
            (!same).then_some(Change {
                before,
                now: Some(school),
                id: &school.id,
            })
        })
        .collect();
    changes.extend(
        before
            .schools
            .iter()
            .filter(|school| now.school(&school.id).is_none())
            .map(|school| Change {
                before: Some(school),
                now: None,
                id: &school.id,
            }),
    );
    changes
}
