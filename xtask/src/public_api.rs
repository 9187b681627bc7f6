//! The public API of the library crates as text files, so that a review shows each change to it.

use std::{ffi::OsString, path::PathBuf};

use anyhow::{Context as _, Result, bail};
use public_api::Builder;

use crate::tree::{Tree, output, read, run, write as write_file};

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
    for name in CRATES {
        let path = path(name);
        write_file(&tree.join(&path), &listing(tree, name)?)?;
        println!("wrote {}", path.display());
    }
    Ok(())
}

/// Fails if a listing differs from the code. Skips the comparison with a message under another version of Rust, because
/// rustdoc's JSON changes between versions.
pub(crate) fn check(tree: &Tree) -> Result<()> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| OsString::from("rustc"));
    let version = output(std::process::Command::new(rustc).arg("--version"))?;
    if !version.starts_with(&format!("rustc {RUSTC}.")) {
        println!(
            "skipped: the public API is compared under Rust {RUSTC} only, and this is {}",
            version.trim()
        );
        return Ok(());
    }
    let mut stale = Vec::new();
    for name in CRATES {
        let path = path(name);
        if read(&tree.join(&path)).ok() != Some(listing(tree, name)?) {
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

/// One line per public item, without derives, blanket implementations and auto traits.
fn listing(tree: &Tree, name: &str) -> Result<String> {
    // A folder of its own: the environment variable below would make cargo build everything anew in the usual one.
    let target = tree.target()?.join("public-api");
    let mut cargo = tree.cargo();
    cargo
        .env("RUSTC_BOOTSTRAP", "1")
        .args(["rustdoc", "--quiet", "--lib", "--package", name])
        .arg("--target-dir")
        .arg(&target)
        .args(["--", "-Zunstable-options", "--output-format", "json"]);
    run(&mut cargo)?;
    let json = target
        .join("doc")
        .join(format!("{}.json", name.replace('-', "_")));
    let api = Builder::from_rustdoc_json(&json)
        .omit_blanket_impls(true)
        .omit_auto_trait_impls(true)
        .omit_auto_derived_impls(true)
        .build()
        .with_context(|| format!("cannot read rustdoc's output {}", json.display()))?;
    Ok(api.items().map(|item| format!("{item}\n")).collect())
}
