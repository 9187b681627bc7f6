//! Where a secret is kept: in an environment variable or a file, never in the settings.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

use secrecy::SecretString;

use super::{findings::Place, problem::Problem};
use crate::text::without_bom;

/// The source of a secret. Holds none itself, unless a host passes one.
#[derive(Clone)]
pub enum SecretSource {
    /// The environment variable with this name.
    Env(Arc<str>),
    /// The file at this path; surrounding white space does not count.
    File(Arc<Path>),
    /// A given secret, for hosts that keep their secrets elsewhere. Not available in a settings file.
    Given(SecretString),
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
        "the settings name no bearer key for the service's own API; set `api_key_env` or `api_key_file`"
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
}

impl SecretSource {
    /// Fetches the secret. Each call reads it again, so a changed secret is found.
    ///
    /// # Errors
    /// Returns an error if it is not there.
    pub fn read(&self) -> Result<SecretString, SecretError> {
        let text = match self {
            Self::Given(secret) => return Ok(secret.clone()),
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
