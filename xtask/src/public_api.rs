//! The public API of the library crates as text files, so that a review shows each change to it.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use anyhow::{Context as _, Result, bail};
use public_api::Builder;

use crate::tree::{Tree, output, read, run, write as write_file};

/// The variable with the real rustdoc, set where cargo runs this program in its place: see [`as_rustdoc`].
const REAL_RUSTDOC: &str = "XTASK_REAL_RUSTDOC";

/// The crates to publish.
const CRATES: [&str; 8] = [
    "markback",
    "mis-conformance",
    "mis-core",
    "mis-wonde",
    "outbox",
    "roster",
    "wonde",
    "writeback",
];
/// The version of Rust whose rustdoc writes the JSON that the `public-api` crate of `Cargo.lock` reads.
const RUSTC: &str = "1.95";

/// Writes `docs/public-api/<crate>.txt` for each library crate.
pub(crate) fn write(tree: &Tree) -> Result<()> {
    let json = document(tree)?;
    for name in CRATES {
        let path = path(name);
        write_file(&tree.join(&path), &listing(&json, name)?)?;
        println!("wrote {}", path.display());
    }
    Ok(())
}

/// Fails if a listing differs from the code. Skips the comparison with a message under another version of Rust, because
/// rustdoc's JSON changes between versions.
pub(crate) fn check(tree: &Tree) -> Result<()> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| OsString::from("rustc"));
    let version = output(Command::new(rustc).arg("--version"))?;
    if !version.starts_with(&format!("rustc {RUSTC}.")) {
        println!(
            "skipped: the public API is compared under Rust {RUSTC} only, and this is {}",
            version.trim()
        );
        return Ok(());
    }
    let json = document(tree)?;
    let mut stale = Vec::new();
    for name in CRATES {
        let path = path(name);
        if read(&tree.join(&path)).ok() != Some(listing(&json, name)?) {
            stale.push(format!("  {}", path.display()));
        }
    }
    if stale.is_empty() {
        println!("the public API listings are up to date");
        return Ok(());
    }
    bail!(
        "the public API differs from its listing:\n{}\nrun `cargo xtask public-api`, look at the difference, and say in \
         CHANGELOG.md what breaks callers",
        stale.join("\n")
    );
}

fn path(name: &str) -> PathBuf {
    PathBuf::from("docs/public-api").join(format!("{name}.txt"))
}

/// Has rustdoc write its JSON for all crates, and returns the folder.
fn document(tree: &Tree) -> Result<PathBuf> {
    let mut cargo = tree.cargo();
    cargo
        .env("RUSTDOC", std::env::current_exe()?)
        .env(
            REAL_RUSTDOC,
            std::env::var_os("RUSTDOC").unwrap_or_else(|| OsString::from("rustdoc")),
        )
        .env("RUSTDOCFLAGS", "-Zunstable-options --output-format json")
        .args(["doc", "--quiet", "--workspace", "--no-deps", "--lib"]);
    run(&mut cargo)?;
    Ok(tree.target()?.join("doc"))
}

/// If cargo runs this program as rustdoc: runs the real one, with the unstable option for JSON allowed, and returns how it
/// ended. With the variable that allows it in its own environment, cargo would build all dependencies anew.
pub(crate) fn as_rustdoc() -> Option<Result<ExitCode>> {
    let mut rustdoc = Command::new(std::env::var_os(REAL_RUSTDOC)?);
    rustdoc
        .env("RUSTC_BOOTSTRAP", "1")
        .args(std::env::args_os().skip(1));
    let ended = rustdoc.status().context("cannot run rustdoc");
    Some(ended.map(|status| ExitCode::from(u8::from(!status.success()))))
}

/// One line per public item, without derives, blanket implementations and auto traits.
fn listing(json: &Path, name: &str) -> Result<String> {
    let json = json.join(format!("{}.json", name.replace('-', "_")));
    let api = Builder::from_rustdoc_json(&json)
        .omit_blanket_impls(true)
        .omit_auto_trait_impls(true)
        .omit_auto_derived_impls(true)
        .build()
        .with_context(|| format!("cannot read rustdoc's output {}", json.display()))?;
    Ok(api.items().map(|item| format!("{item}\n")).collect())
}
