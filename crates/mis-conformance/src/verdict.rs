//! Checks of errors, and of texts that must contain no secret.

use std::{error::Error as _, fmt::Debug};

use anyhow::{bail, ensure};
use mis_wonde::{Error, ErrorKind, Recovery};

use crate::standard;

/// Checks an error's kind and recovery.
pub(crate) fn is_error(
    error: &Error,
    kind: ErrorKind,
    recoveries: &[Recovery],
) -> anyhow::Result<()> {
    ensure!(
        error.kind() == kind,
        "the kind should be {kind:?}, but the error is {error:?}"
    );
    ensure!(
        recoveries.contains(&error.recovery()),
        "the recovery should be one of {recoveries:?}, but the error is {error:?}"
    );
    Ok(())
}

/// Checks that a `Debug` text contains no secret.
pub(crate) fn is_discreet(what: &str, value: &impl Debug) -> anyhow::Result<()> {
    for text in [format!("{value:?}"), format!("{value:#?}")] {
        keeps_secrets(what, &text)?;
    }
    Ok(())
}

/// Checks that an error and its sources contain no secret.
pub(crate) fn is_discreet_error(what: &str, error: &Error) -> anyhow::Result<()> {
    is_discreet(what, error)?;
    keeps_secrets(what, &error.to_string())?;
    let mut cause = error.source();
    while let Some(error) = cause {
        keeps_secrets(what, &format!("{error} {error:?}"))?;
        cause = error.source();
    }
    Ok(())
}

fn keeps_secrets(what: &str, text: &str) -> anyhow::Result<()> {
    match standard::SECRETS
        .iter()
        .find(|secret| text.contains(*secret))
    {
        // The text itself is not repeated.
        Some(secret) => {
            bail!("the text of {what} contains the secret `{secret}`")
        }
        None => Ok(()),
    }
}
