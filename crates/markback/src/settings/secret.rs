//! Where a secret is kept: in an environment variable or a file, never in the settings.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

use secrecy::SecretString;

use super::{findings::Place, problem::Problem};
use crate::{seal::SealedToken, store::SealedRow, text::without_bom};

/// The source of a secret. Holds none itself, unless a host passes one.
#[derive(Clone)]
pub enum SecretSource {
    /// The environment variable with this name.
    Env(Arc<str>),
    /// The file at this path; surrounding white space does not count.
    File(Arc<Path>),
    /// A given secret, for hosts that keep their secrets elsewhere. Not available in a settings file.
    Given(SecretString),
    /// A school's token in the database, sealed with the key that the settings name. Not available in a settings file.
    Sealed(SealedToken),
}

/// A missing secret. The error names the place, never the secret.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SecretError {
    /// No such variable.
    #[error("the environment variable {0} is not set; set it to the secret")]
    NotSet(Arc<str>),
    /// The variable is not valid text.
    #[error("the environment variable {0} is not valid text; set it again")]
    NoText(Arc<str>),
    /// The file cannot be read.
    #[error("the secret file {path} cannot be read: {why}; check that it exists and is readable")]
    Unreadable {
        /// The file.
        path: Arc<str>,
        /// Why.
        why: std::io::Error,
    },
    /// The settings do not say where the key of the service's own API is.
    #[error(
        "the settings name no bearer key for the service's own API, and its database has none; set `api_key_env` or \
         `api_key_file`, at least until `markback keys add` has made one"
    )]
    NotNamed,
    /// The school has another link.
    #[error("the school is not linked through Wonde and has no token")]
    NotThroughWonde,
    /// The secret is so short that it can be guessed.
    #[error(
        "{place} has fewer than {min} characters, which can be guessed; put a longer secret there"
    )]
    Short {
        /// Where it is.
        place: String,
        /// The minimum length.
        min: usize,
    },
    /// The secret is empty.
    #[error("{0} is empty; put the secret there")]
    Empty(String),
    /// Neither the settings nor the database have a token for the school.
    #[error(
        "the school has no token; set it with `markback token set --school ID`, or name its place with `token_env` or \
         `token_file`"
    )]
    NoToken,
    /// The settings name no key for sealed tokens.
    #[error(
        "the settings name no key for the secrets in the database; set `seal_key_env` or `seal_key_file`"
    )]
    NoSealKey,
    /// A key for sealed tokens cannot be read.
    #[error("a key for the secrets in the database cannot be used: {0}")]
    SealKey(String),
    /// The secret is not a key.
    #[error("{0} is not 32 bytes in Base64; make a key with `openssl rand -base64 32`")]
    NoKey(String),
    /// The token is sealed with a key that the settings do not name.
    #[error(
        "the school's token is sealed with the key {sealed_with}, and the settings name the key {present}; name the other \
         as `seal_key_before_env` or `seal_key_before_file`, or set the token again"
    )]
    OtherSealKey {
        /// The id of the key that it is sealed with.
        sealed_with: String,
        /// The id of the key in the settings.
        present: String,
    },
    /// The sealed token cannot be opened with its own key.
    #[error("the school's sealed token is damaged, or is that of another school; set it again")]
    SealBroken,
    /// The token cannot be sealed.
    #[error("the token cannot be sealed, because the system has no random numbers")]
    NotSealed,
}

impl SecretSource {
    /// Fetches the secret. Each call reads it again, so a changed secret is found.
    ///
    /// # Errors
    /// Returns an error if it is not there.
    pub fn read(&self) -> Result<SecretString, SecretError> {
        let text = match self {
            Self::Given(secret) => return Ok(secret.clone()),
            Self::Sealed(token) => return token.read(),
            Self::Env(name) => std::env::var(&**name).map_err(|error| match error {
                std::env::VarError::NotPresent => SecretError::NotSet(name.clone()),
                std::env::VarError::NotUnicode(_) => SecretError::NoText(name.clone()),
            })?,
            Self::File(path) => {
                std::fs::read_to_string(path).map_err(|why| SecretError::Unreadable {
                    path: path.display().to_string().into(),
                    why,
                })?
            }
        };
        match without_bom(&text).trim() {
            "" => Err(SecretError::Empty(self.to_string())),
            secret => Ok(secret.to_owned().into()),
        }
    }

    /// The same place. If that is the database, with what the database has.
    pub(crate) fn sealed_as(self, row: &Option<Arc<SealedRow>>) -> Self {
        match self {
            Self::Sealed(token) => Self::Sealed(token.with(row.clone())),
            other => other,
        }
    }

    /// The generation in which a sealed token was set, which tells it from another; `None` for other sources.
    pub(crate) fn generation(&self) -> Option<i64> {
        match self {
            Self::Sealed(token) => token.generation(),
            Self::Env(_) | Self::File(_) | Self::Given(_) => None,
        }
    }
}

/// The source named by the settings `<name>_env` and `<name>_file`, of which at most one may be present. Paths are
/// relative to the folder.
pub(super) fn source(
    place: &dyn Place,
    folder: &Path,
    name: &str,
    env: Option<String>,
    file: Option<PathBuf>,
) -> (Option<SecretSource>, Option<Problem>) {
    let (env_key, file_key) = (format!("{name}_env"), format!("{name}_file"));
    let wrong =
        |key: &str, message: &str, help: &str| (None, Some(place.problem(key, message, help)));
    match (env, file) {
        (None, None) => (None, None),
        (Some(_), Some(_)) => wrong(
            &file_key,
            &format!("the secret has two places, `{env_key}` and `{file_key}`"),
            "keep one of the two",
        ),
        (Some(variable), None) if !is_variable_name(&variable) => wrong(
            &env_key,
            "this is not the name of an environment variable",
            "write its name in capital letters, digits and `_`; never the secret itself",
        ),
        (Some(variable), None) => (Some(SecretSource::Env(variable.into())), None),
        (None, Some(path)) if path.as_os_str().is_empty() => wrong(
            &file_key,
            "this is empty",
            "write the path of the file with the secret",
        ),
        (None, Some(path)) => (Some(SecretSource::File(folder.join(path).into())), None),
    }
}

/// Stricter than the system: a token put here by mistake usually fails this check, and is not quoted.
pub(super) fn is_variable_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_uppercase() || c == '_')
        && name
            .chars()
            .all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
}

impl fmt::Display for SecretSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env(name) => write!(f, "the environment variable {name}"),
            Self::File(path) => write!(f, "the file {}", path.display()),
            Self::Given(_) => f.write_str("a given secret"),
            Self::Sealed(_) => f.write_str("the database, with `markback token set`"),
        }
    }
}

impl fmt::Debug for SecretSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    #[test]
    fn a_file_is_read_without_its_line_end_and_an_empty_one_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        std::fs::write(&path, "hush\n").unwrap();
        let source = SecretSource::File(path.clone().into());
        assert_eq!(source.read().unwrap().expose_secret(), "hush");
        std::fs::write(&path, "\u{feff}hush\r\n").unwrap();
        assert_eq!(source.read().unwrap().expose_secret(), "hush");
        std::fs::write(&path, " \n").unwrap();
        assert!(source.read().unwrap_err().to_string().contains("is empty"));
        std::fs::remove_file(&path).unwrap();
        assert!(
            source
                .read()
                .unwrap_err()
                .to_string()
                .contains("cannot be read")
        );
    }

    #[test]
    fn a_missing_variable_is_named() {
        let source = SecretSource::Env("MARKBACK_TEST_NO_SUCH_VARIABLE".into());
        let text = source.read().unwrap_err().to_string();
        assert!(text.contains("MARKBACK_TEST_NO_SUCH_VARIABLE"), "{text}");
    }

    #[test]
    fn what_is_shown_is_no_secret() {
        let source = SecretSource::Given("hush".to_owned().into());
        assert!(!format!("{source} {source:?}").contains("hush"));
    }
}
