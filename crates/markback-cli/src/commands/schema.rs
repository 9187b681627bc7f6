//! `markback schema`: the JSON Schema of the settings.

use std::process::ExitCode;

use markback::settings;
use markback_console::output;

/// Prints the schema.
///
/// # Errors
/// Returns an error if standard output cannot be written.
pub fn run() -> anyhow::Result<ExitCode> {
    output::json(&settings::schema())?;
    Ok(ExitCode::SUCCESS)
}
