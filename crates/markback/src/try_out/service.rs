//! Trials of settings on a running service: of a text, or of a school's draft in the database.

use mis_core::SchoolId;

use super::{Report, try_out};
use crate::{
    configuration::ChangeError,
    service::Markback,
    settings::{Revision, School, SettingsVersion, school_from_text},
    store::SettingsKey,
};

/// The most trials of a node at once.
pub(crate) const TRIALS: usize = 2;

/// Why settings cannot be tried.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrialError {
    /// No version of the school's settings rules, so there is nothing to compare with.
    #[error("no version of the school's settings rules, so there is nothing to compare with")]
    NothingRules,
    /// As many trials run as this node allows.
    #[error("{TRIALS} trials run on this node already; try again when one has ended")]
    Busy,
    /// The draft has problems, or there is none.
    #[error(transparent)]
    Draft(#[from] ChangeError),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] outbox::Error),
}

impl Markback {
    /// Tries a text as a school's settings on the events of its last `days` school days, or its draft in the database if no
    /// text is given. See [`try_out`]. A node runs two trials at once; one ends when its future is dropped.
    ///
    /// # Errors
    /// Returns an error if the draft has problems, there is nothing to compare it with, or too many trials run.
    pub async fn try_settings(
        &self,
        school: &SchoolId,
        text: Option<&str>,
        days: u32,
    ) -> Result<Report, TrialError> {
        let settings = self.settings();
        let active = settings.school(school).ok_or(TrialError::NothingRules)?;
        let key = SettingsKey::from(school);
        let (text, number) = match text {
            Some(text) => (text.to_owned(), None),
            None => {
                let configuration = self.configuration().await;
                let draft = configuration.draft_of(&key).await?;
                let draft = draft.ok_or(ChangeError::NoDraft { key: key.clone() })?;
                (draft.body, Some(draft.number))
            }
        };
        let name = format!("{key}, draft");
        let read = school_from_text(&settings, school, &name, &text);
        let (mut draft, _) = read.map_err(ChangeError::from)?;
        if let Some(number) = number {
            draft.version.own = Revision::Store(number);
        }
        self.compare(active, &draft, days).await
    }

    /// Tries the draft of a school's template on the events of the school's last `days` school days, as
    /// [`try_settings`](Self::try_settings) tries a school's own.
    ///
    /// # Errors
    /// Returns an error if the school names no template or that has no draft, if the school's settings have problems with
    /// it, or if too many trials run.
    pub async fn try_template(&self, school: &SchoolId, days: u32) -> Result<Report, TrialError> {
        let settings = self.settings();
        let active = settings.school(school).ok_or(TrialError::NothingRules)?;
        let template = active.template.as_deref().ok_or(TrialError::NothingRules)?;
        let configuration = self.configuration().await;
        let key = SettingsKey::template(template);
        let draft = configuration.draft_of(&key).await?;
        let draft = draft.ok_or(ChangeError::NoDraft { key })?;
        let mut then = configuration
            .school_with(&settings, active, (template, &draft.body))
            .await?;
        then.version =
            SettingsVersion::new(active.version.own, Some(Revision::Store(draft.number)));
        self.compare(active, &then, days).await
    }

    async fn compare(
        &self,
        active: &School,
        draft: &School,
        days: u32,
    ) -> Result<Report, TrialError> {
        let _trial = self.trials.try_acquire().map_err(|_| TrialError::Busy)?;
        let (registry, now) = (self.schools().registry(), self.store().now());
        Ok(try_out(self.store(), registry, active, draft, days, now).await?)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::{service::Options, settings};

    #[tokio::test]
    async fn a_node_runs_two_trials_at_once_and_one_ends_when_nobody_waits_for_it() {
        let folder = tempfile::tempdir().unwrap();
        let text = format!(
            "store = 'sqlite:{}'\n[[school]]\nid = 'A1'\ntimezone = 'Europe/London'\ntoken_env = 'T'\n",
            folder.path().join("markback.db").display()
        );
        let loaded = settings::from_text(Path::new("markback.toml"), &text).unwrap();
        let markback = Markback::open(loaded.settings, Options::default())
            .await
            .unwrap();
        let school = SchoolId::from("A1");
        let body = "timezone = 'Europe/Paris'\ntoken_env = 'T'\n";
        let trial = || markback.try_settings(&school, Some(body), 5);
        assert_eq!(trial().await.unwrap().events, 0);

        let mut dropped = Box::pin(trial());
        assert!(futures::poll!(&mut dropped).is_pending());
        assert_eq!(markback.trials.available_permits(), TRIALS - 1);
        drop(dropped);
        assert_eq!(markback.trials.available_permits(), TRIALS);

        let _others = markback.trials.acquire_many(2).await.unwrap();
        assert!(matches!(trial().await, Err(TrialError::Busy)));
    }
}
