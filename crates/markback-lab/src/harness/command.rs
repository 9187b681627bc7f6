//! Runs a program to its end, as a user would.

use std::{
    io::Write as _,
    process::{Command, Stdio},
};

use serde_json::Value;

/// The result of a command.
#[derive(Debug)]
pub struct CommandOutput {
    /// The exit code.
    pub code: i32,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl CommandOutput {
    /// Standard output as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// Runs a command to its end with `input` on standard input, on a thread of its own.
pub async fn run(command: Command, input: &str) -> CommandOutput {
    let input = input.to_owned();
    let task = tokio::task::spawn_blocking(move || run_blocking(command, &input));
    task.await.unwrap()
}

/// Runs a command to its end with `input` on standard input.
pub fn run_blocking(mut command: Command, input: &str) -> CommandOutput {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A program may end before it has read everything.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    CommandOutput {
        code: output.status.code().unwrap(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}
