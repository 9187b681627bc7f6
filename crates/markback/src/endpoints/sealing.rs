//! Endpoints' secrets in the database: sealed if the settings name a key for that, otherwise as they are.

use std::{collections::BTreeMap, fmt, sync::Arc};

use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;

use super::Secret;
use crate::{
    seal::{SealKey, SealKeyPlaces, SealKeys, SecretOf},
    settings::SecretError,
};

/// The beginning of a sealed secret. The id of its key and what it is sealed as follow, with a colon between them. One
/// that is not sealed begins with `whsec_`.
pub(crate) const SEALED: &str = "sealed:";

/// A secret as the database has it. `Debug` shows nothing of it.
#[derive(Clone)]
pub(crate) struct StoredSecret(SecretString);

impl From<String> for StoredSecret {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl fmt::Debug for StoredSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StoredSecret")
    }
}

impl StoredSecret {
    /// The text for the database.
    pub(crate) fn as_text(&self) -> &str {
        self.0.expose_secret()
    }

    /// The id of the key that it is sealed with, and what it is sealed as; `None` if it is not sealed.
    fn sealed(&self) -> Option<(&str, &str)> {
        self.as_text().strip_prefix(SEALED)?.split_once(':')
    }

    fn seal(key: &SealKey, endpoint: &str, secret: &Secret) -> Result<Self, SecretError> {
        let sealed = key.seal(SecretOf::Endpoint(endpoint), secret.text())?;
        Ok(Self::from(format!("{SEALED}{}:{sealed}", key.id)))
    }

    fn open(&self, keys: &SealKeys, endpoint: &str) -> Result<Secret, SecretError> {
        let Some((key, sealed)) = self.sealed() else {
            return Ok(Secret::from(self.as_text().to_owned()));
        };
        let opened = keys.key(key)?.open(SecretOf::Endpoint(endpoint), sealed);
        opened.map(Secret::from).ok_or(SecretError::SealBroken)
    }

    /// The same secret, sealed with the present key; `None` if it is already.
    pub(super) fn sealed_again(
        &self,
        keys: &SealKeys,
        endpoint: &str,
    ) -> Result<Option<Self>, SecretError> {
        let (present, opened) = (keys.present()?, self.open(keys, endpoint)?);
        match self.sealed() {
            Some((key, _)) if key == present.id => Ok(None),
            _ => Self::seal(present, endpoint, &opened).map(Some),
        }
    }
}

/// How endpoints' secrets are kept.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sealing(Arc<SealKeyPlaces>);

impl Sealing {
    pub(crate) fn new(keys: &Arc<SealKeyPlaces>) -> Self {
        Self(keys.clone())
    }

    /// The keys, read now.
    pub(super) fn keys(&self) -> SealKeys {
        self.0.read()
    }

    /// A secret for the database: sealed if the settings name a key.
    ///
    /// # Errors
    /// Returns an error if the key cannot be read.
    pub(super) fn store(
        &self,
        endpoint: &str,
        secret: &Secret,
    ) -> Result<StoredSecret, SecretError> {
        match self.0.present {
            Some(_) => StoredSecret::seal(self.keys().present()?, endpoint, secret),
            None => Ok(StoredSecret::from(secret.expose().to_owned())),
        }
    }

    /// The secrets of an endpoint, opened with keys that are read now.
    ///
    /// # Errors
    /// Returns the reason if one of them cannot be opened.
    pub(super) fn open(
        &self,
        endpoint: &str,
        stored: &[StoredSecret],
    ) -> Result<Vec<Secret>, String> {
        let keys = self.keys();
        let opened = stored.iter().map(|secret| secret.open(&keys, endpoint));
        opened
            .collect::<Result<_, _>>()
            .map_err(|error| why(&error))
    }
}

/// Why a secret cannot be opened, and what to do.
pub(super) fn why(error: &SecretError) -> String {
    match error {
        SecretError::OtherSealKey {
            sealed_with,
            present,
        } => format!(
            "the endpoint's secret is sealed with the key {sealed_with}, and the settings name the key {present}; name the \
             other as `seal_key_before_env` or `seal_key_before_file`, or rotate the endpoint's secret"
        ),
        SecretError::SealBroken => "the endpoint's secret is damaged; rotate it".to_owned(),
        error => format!("the endpoint's secret cannot be opened: {error}"),
    }
}

/// What sealing endpoints' secrets with the present key has done.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct SecretsSealed {
    /// The id of the present key.
    pub key_id: String,
    /// How many secrets were sealed with it now.
    pub sealed: usize,
    /// How many were sealed with it before.
    pub already: usize,
    /// The endpoints with a secret that cannot be opened, with the reason. It was left as it is.
    pub failed: BTreeMap<String, String>,
}
