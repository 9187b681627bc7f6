//! CI checks that need several cargo commands.

use anyhow::{Context as _, Result};

use crate::tree::{Tree, run};

/// Checks the umbrella crate with each adapter's feature alone, without features and with all; and the queue with each
/// database alone.
pub(crate) fn each_feature(tree: &Tree) -> Result<()> {
    let ids = tree.adapters()?;
    let single = ids
        .iter()
        .map(|id| vec!["--no-default-features", "--features", id]);
    let sets = [vec!["--no-default-features"], vec!["--all-features"]];
    for set in sets.into_iter().chain(single) {
        println!("mis-adapters {}", set.join(" "));
        let mut cargo = tree.cargo();
        cargo
            .args([
                "check",
                "--quiet",
                "--package",
                "mis-adapters",
                "--all-targets",
            ])
            .args(set);
        run(&mut cargo)?;
    }
    for engine in ["sqlite", "postgres"] {
        println!("outbox with {engine} alone");
        let mut cargo = tree.cargo();
        cargo.args(["check", "--quiet", "--package", "outbox"]);
        run(cargo.args(["--no-default-features", "--features", engine]))?;
    }
    println!(
        "mis-adapters builds with each of {} features alone",
        ids.len()
    );
    Ok(())
}

/// Tests the adapters outside the workspace, which use only the public API.
pub(crate) fn outside(tree: &Tree) -> Result<()> {
    for name in ["outside-adapter", "csv-folder-adapter"] {
        let manifest = tree.join("examples").join(name).join("Cargo.toml");
        let mut cargo = tree.cargo();
        cargo
            .arg("test")
            .arg("--manifest-path")
            .arg(&manifest)
            .arg("--target-dir")
            .arg(tree.target()?);
        run(&mut cargo).with_context(|| format!("the tests of examples/{name} fail"))?;
    }
    Ok(())
}
