//! Four eyes: with `four_eyes` in the settings file, whoever wrote a version does not let it rule.
//!
//! Going back to a version that has ruled needs nobody else, because it must be possible at once. Whoever may change the
//! settings file or import one on the server is not bound.

use super::{ChangeError, Configuration};
use crate::{
    operator::Actor,
    store::{SettingsKey, StoredVersion},
};

impl Configuration {
    /// Checks that this caller may let a version rule, as far as its author matters.
    ///
    /// Callers are compared by their API key or their user name, not by the name that they give. A caller who is not known is
    /// taken for the author.
    ///
    /// # Errors
    /// Returns [`ChangeError::FourEyes`] if somebody else must do it.
    pub fn may_activate(&self, version: &StoredVersion, actor: &Actor) -> Result<(), ChangeError> {
        if !self.needs_four_eyes() {
            return Ok(());
        }
        // Builds before this one have kept only what authors said of themselves.
        let author = version.caller.as_deref().or(version.by.as_deref());
        let is_other = author
            .zip(actor.identity())
            .is_some_and(|(author, caller)| author != caller);
        if is_other {
            return Ok(());
        }
        Err(ChangeError::FourEyes {
            key: version.key.clone(),
            number: version.number,
            author: version.by.clone(),
        })
    }

    /// Checks that a school or a template may be added so that it rules at once.
    pub(super) fn may_add(&self, key: &SettingsKey, as_draft: bool) -> Result<(), ChangeError> {
        if as_draft || !self.needs_four_eyes() {
            return Ok(());
        }
        Err(ChangeError::FourEyesForNew { key: key.clone() })
    }

    /// Checks that a version to go back to has ruled before.
    pub(super) async fn may_return(
        &self,
        key: &SettingsKey,
        number: u32,
    ) -> Result<(), ChangeError> {
        if !self.needs_four_eyes() {
            return Ok(());
        }
        let activations = self.store.settings_activations(key).await?;
        if activations.iter().any(|one| one.number == Some(number)) {
            return Ok(());
        }
        Err(ChangeError::NeverRuled {
            key: key.clone(),
            number,
        })
    }

    fn needs_four_eyes(&self) -> bool {
        self.layers.file().service.four_eyes
    }
}
