//! Lets the public libraries of the Standard Webhooks scheme judge what the service signs.

use std::{fs, process::Command};

use anyhow::{Context as _, Result, bail};

use crate::tree::{Tree, run};

/// The library for Python, from PyPI.
const PYTHON: &str = "standardwebhooks==1.1.0";
/// The library for JavaScript, from npm.
const JAVASCRIPT: &str = "standardwebhooks@1.1.1";
/// The test that writes the messages, and the variable that says where to.
const TEST: &str = "endpoints::signature::tests::signed_messages_are_written_for_other_verifiers";
const VARIABLE: &str = "MARKBACK_SIGNED_MESSAGES";

/// Signs messages with the service's code and verifies them in Python and JavaScript. The libraries are installed below
/// the target folder, which needs both registries at the first run.
pub(crate) fn check(tree: &Tree) -> Result<()> {
    let folder = tree.target()?.join("webhook-verifiers");
    fs::create_dir_all(&folder)?;
    let messages = folder.join("messages.json");
    if messages.exists() {
        fs::remove_file(&messages)?;
    }
    let mut cargo = tree.cargo();
    cargo
        .args(["test", "--quiet", "--package", "markback", "--lib", "--"])
        .args(["--ignored", "--exact", TEST])
        .env(VARIABLE, &messages);
    run(&mut cargo)?;
    if !messages.exists() {
        bail!("the test {TEST} wrote no messages; was it renamed?");
    }
    let scripts = tree.join("xtask/webhook-verifiers");

    let venv = folder.join("venv");
    let python = venv.join("bin/python");
    if !python.exists() {
        run(Command::new("python3").args(["-m", "venv"]).arg(&venv))
            .context("python3 with its module venv is needed")?;
    }
    run(Command::new(&python).args(["-m", "pip", "install", "--quiet", PYTHON]))?;
    run(Command::new(&python)
        .arg(scripts.join("verify.py"))
        .arg(&messages))?;

    let mut npm = Command::new("npm");
    npm.args(["install", "--silent", "--no-audit", "--no-fund", "--prefix"]);
    run(npm.arg(&folder).arg(JAVASCRIPT)).context("npm is needed")?;
    run(Command::new("node")
        .arg(scripts.join("verify.mjs"))
        .arg(&messages)
        .arg(&folder))
}
