//! Runs the program as a user would.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use markback_lab::harness::{self, CommandOutput, TestBed};

fn command<S: AsRef<str>>(args: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_markback"));
    command
        .args(args.into_iter().map(|arg| arg.as_ref().to_owned()))
        .env_remove("MARKBACK_CONFIG")
        .current_dir(examples());
    command
}

/// Runs `markback` with these arguments and nothing on standard input.
pub(crate) fn markback<S: AsRef<str>>(args: impl IntoIterator<Item = S>) -> CommandOutput {
    markback_with_input(args, "")
}

/// Runs `markback` with this on standard input.
pub(crate) fn markback_with_input<S: AsRef<str>>(
    args: impl IntoIterator<Item = S>,
    input: &str,
) -> CommandOutput {
    harness::run_blocking(command(args), input)
}

/// Runs `markback` as the user `operator`, with the settings of a test bed.
pub(crate) async fn markback_on(bed: &TestBed, args: &[&str]) -> CommandOutput {
    let mut command = command(args);
    command
        .env("MARKBACK_CONFIG", bed.settings_path())
        .env("USER", "operator")
        .env_remove("SUDO_USER");
    harness::run(command, "").await
}

/// The folder of the examples that are shipped.
pub(crate) fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples")
}

/// Writes a settings file into a new folder, which is removed when the guard is dropped.
pub(crate) fn settings_file(text: &str) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("markback.toml");
    std::fs::write(&path, text).unwrap();
    let path = path.to_str().unwrap().to_owned();
    (folder, path)
}
