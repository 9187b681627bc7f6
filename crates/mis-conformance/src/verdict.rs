//! What an error must be, and what no text may hold.

use std::{error::Error as _, fmt::Debug};

use anyhow::{bail, ensure};
use mis_wonde::{Error, ErrorKind, Recovery};

use crate::standard;

/// An error must be of this kind and say to go on in this way.
pub(crate) fn is_error(
    error: &Error,
    kind: ErrorKind,
    recoveries: &[Recovery],
) -> anyhow::Result<()> {
    ensure!(
        error.kind() == kind,
        "the kind should be {kind:?}: {error:?}"
    );
    ensure!(
        recoveries.contains(&error.recovery()),
        "how to go on should be one of {recoveries:?}: {error:?}"
    );
    Ok(())
}

/// No secret may stand in a `Debug` text.
pub(crate) fn is_discreet(what: &str, value: &impl Debug) -> anyhow::Result<()> {
    for text in [format!("{value:?}"), format!("{value:#?}")] {
        keeps_secrets(what, &text)?;
    }
    Ok(())
}

/// No secret may stand in an error, nor in what it names as its causes.
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
        // The text itself goes no further than it has to.
        Some(secret) => {
            bail!("the text of {what} holds `{secret}`, which nobody should read there")
        }
        None => Ok(()),
    }
}
