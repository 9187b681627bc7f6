//! Files made from the adapters: the umbrella crate from their folders, tables and pages from their descriptors.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Result, bail};

use crate::{
    catalogue,
    docs::{self, COMMAND},
    tree::{Files, Tree, read, write as write_file},
};

/// Writes all generated files: first the umbrella, then what is made from the descriptors that it then links.
pub(crate) fn write(tree: &Tree) -> Result<()> {
    put(tree, &umbrella(&tree.adapters()?))?;
    let adapters = catalogue::load(tree)?;
    let pages = docs::files(tree, &adapters)?;
    put(tree, &pages)?;
    for stale in docs::stale(tree, &pages)? {
        fs::remove_file(tree.join(&stale))?;
        println!("removed {}", stale.display());
    }
    Ok(())
}

/// Fails when a generated file is not as [`write()`] would leave it.
pub(crate) fn check(tree: &Tree) -> Result<()> {
    let mut wrong = differing(tree, &umbrella(&tree.adapters()?));
    // With another umbrella the descriptors are not the right ones to compare the pages with.
    if wrong.is_empty() {
        let pages = docs::files(tree, &catalogue::load(tree)?)?;
        wrong = differing(tree, &pages);
        wrong.extend(docs::stale(tree, &pages)?);
    }
    if wrong.is_empty() {
        println!("the generated files are up to date");
        return Ok(());
    }
    let list: Vec<_> = wrong
        .iter()
        .map(|path| format!("  {}", path.display()))
        .collect();
    bail!(
        "out of date:\n{}\nrun `{COMMAND}` and commit what it writes",
        list.join("\n")
    );
}

/// Whether a file is generated, in whole or in part, or is cargo's own.
pub(crate) fn is_generated(path: &Path) -> bool {
    let files = [
        "crates/mis-adapters/Cargo.toml",
        "crates/mis-adapters/src/lib.rs",
        "README.md",
        "Cargo.lock",
    ];
    files.iter().any(|file| path == Path::new(file)) || path.starts_with("docs/adapters")
}

fn put(tree: &Tree, files: &Files) -> Result<()> {
    for path in differing(tree, files) {
        if let Some(text) = files.get(&path) {
            write_file(&tree.join(&path), text)?;
            println!("wrote {}", path.display());
        }
    }
    Ok(())
}

fn differing(tree: &Tree, files: &Files) -> Vec<PathBuf> {
    files
        .iter()
        .filter(|(path, text)| !read(&tree.join(path)).is_ok_and(|there| there == **text))
        .map(|(path, _)| path.clone())
        .collect()
}

/// The umbrella crate: one feature and one `use` for each adapter.
pub(crate) fn umbrella(ids: &[String]) -> Files {
    let folder = PathBuf::from("crates/mis-adapters");
    Files::from([
        (folder.join("Cargo.toml"), manifest(ids)),
        (folder.join("src/lib.rs"), source(ids)),
    ])
}

fn manifest(ids: &[String]) -> String {
    let all: String = ids.iter().map(|id| format!("    \"{id}\",\n")).collect();
    let features: String = ids
        .iter()
        .map(|id| format!("{id} = [\"dep:mis-{id}\"]\n"))
        .collect();
    let crates: String = ids
        .iter()
        .map(|id| format!("mis-{id} = {{ path = \"../../adapters/{id}\", optional = true }}\n"))
        .collect();
    format!(
        r#"# Made by `{COMMAND}` from the folders below adapters/; not to be edited by hand.
[package]
name = "mis-adapters"
description = "Every MIS adapter, registered."
version.workspace = true
edition.workspace = true
rust-version.workspace = true
license.workspace = true
publish.workspace = true

[lints]
workspace = true

[features]
default = ["all"]
all = [
{all}]
{features}
[dependencies]
mis-core.workspace = true
{crates}
[dev-dependencies]
rstest.workspace = true
serde_json.workspace = true
"#
    )
}

fn source(ids: &[String]) -> String {
    let uses: String = ids
        .iter()
        .map(|id| format!("#[cfg(feature = \"{id}\")]\nuse mis_{id} as _;\n"))
        .collect();
    format!(
        r#"//! Every MIS adapter, registered: link this crate and [`Registry::discover`](mis_core::Registry::discover) finds them.
//!
//! Each adapter is a cargo feature; all are on by default. The compiler leaves out a crate that nothing names, so this
//! one names them all.
//!
//! Made by `{COMMAND}` from the folders below `adapters/`; not to be edited by hand.

{uses}
pub use mis_core;
"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_umbrella_has_a_feature_and_a_use_for_each_folder() {
        let files = umbrella(&["a1".to_owned(), "b2".to_owned()]);
        let manifest: toml::Table = files[&PathBuf::from("crates/mis-adapters/Cargo.toml")]
            .parse()
            .unwrap();
        assert_eq!(manifest["features"]["a1"][0].as_str(), Some("dep:mis-a1"));
        assert_eq!(
            manifest["features"]["all"].as_array().map(Vec::len),
            Some(2)
        );
        assert_eq!(
            manifest["dependencies"]["mis-b2"]["optional"].as_bool(),
            Some(true)
        );
        let source = &files[&PathBuf::from("crates/mis-adapters/src/lib.rs")];
        assert!(
            source.contains("#[cfg(feature = \"b2\")]\nuse mis_b2 as _;"),
            "{source}"
        );
    }

    #[test]
    fn a_check_names_what_differs_and_the_command() {
        let folder = tempfile::tempdir().unwrap();
        let tree = Tree::at(folder.path());
        write_file(&tree.join("adapters/a1/Cargo.toml"), "").unwrap();
        let ids = tree.adapters().unwrap();
        assert_eq!(ids, ["a1"]);
        let error = check(&tree).unwrap_err().to_string();
        assert!(
            error.contains("crates/mis-adapters/Cargo.toml") && error.contains(COMMAND),
            "{error}"
        );
        put(&tree, &umbrella(&ids)).unwrap();
        assert!(differing(&tree, &umbrella(&ids)).is_empty());
    }
}
