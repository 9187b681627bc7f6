//! Runs the program as a user would.

#![allow(dead_code, reason = "each test file uses a part of it")]

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// What the program said.
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Said {
    /// Standard output as JSON.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out)
            .unwrap_or_else(|e| panic!("{e}: {}\n{}", self.out, self.err))
    }
}

/// Runs `markback` with these arguments and nothing on standard input.
pub(crate) fn markback<S: AsRef<str>>(args: impl IntoIterator<Item = S>) -> Said {
    markback_with_input(args, "")
}

/// Runs `markback` with this on standard input.
pub(crate) fn markback_with_input<S: AsRef<str>>(
    args: impl IntoIterator<Item = S>,
    input: &str,
) -> Said {
    let mut child = Command::new(env!("CARGO_BIN_EXE_markback"))
        .args(args.into_iter().map(|arg| arg.as_ref().to_owned()))
        .env_remove("MARKBACK_CONFIG")
        .current_dir(examples())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A program that has seen enough may have gone before it reads all of it.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    Said {
        code: output.status.code().unwrap(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// The folder of the examples that are shipped.
pub(crate) fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples")
}

/// A settings file in a folder of its own, which goes with the guard.
pub(crate) fn settings_file(text: &str) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("markback.toml");
    std::fs::write(&path, text).unwrap();
    let path = path.to_str().unwrap().to_owned();
    (folder, path)
}
