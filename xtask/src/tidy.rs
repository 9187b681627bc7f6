//! The project's rules that clippy cannot check.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use crate::{
    catalogue::{self, Adapter},
    tree::{Tree, output, read},
};

/// The dependencies that an adapter and its tests can have.
const ADAPTERS_USE: [(&str, &[&str]); 3] = [
    ("dependencies", &["mis-core", "mis-wonde"]),
    ("dev-dependencies", &["mis-conformance"]),
    ("build-dependencies", &[]),
];

/// Where MISs can be named: their own crates, the files generated from them, and the simulator of Wonde.
const NAMES_BELONG: [&str; 4] = [
    "adapters/",
    "crates/mis-adapters/",
    "crates/wonde-sandbox/",
    "xtask/",
];

/// Checks all rules and lists every violation.
pub(crate) fn run(tree: &Tree) -> Result<()> {
    let adapters = catalogue::load(tree)?;
    let mut breaches = Vec::new();
    for id in tree.adapters()? {
        let path = PathBuf::from("adapters").join(&id).join("Cargo.toml");
        breaches.extend(dependencies(&path, &read(&tree.join(&path))?)?);
        breaches.extend(open_ends(tree, &id)?);
    }
    breaches.extend(without_network(tree)?);
    for path in tree.files()? {
        // Pictures and the like have no words to check.
        let Ok(text) = read(&tree.join(&path)) else {
            continue;
        };
        breaches.extend(outside_paths(&path, &text));
        if path.extension().is_some_and(|extension| extension == "rs") {
            breaches.extend(opening(&path, &text));
            breaches.extend(names(&path, &text, &adapters));
        }
    }
    if breaches.is_empty() {
        println!("tidy");
        return Ok(());
    }
    bail!("not tidy:\n{}", breaches.join("\n"));
}

/// The remaining `TO DO`s of the scaffold in one adapter.
pub(crate) fn open_ends(tree: &Tree, id: &str) -> Result<Vec<String>> {
    let mut open = Vec::new();
    for file in ["src/lib.rs", "README.md"] {
        let path = Path::new("adapters").join(id).join(file);
        open.extend(unfinished(&path, &read(&tree.join(&path))?));
    }
    Ok(open)
}

/// An adapter depends on `mis-wonde` alone, or on `mis-core` if its MIS is not reached through Wonde; never on another
/// adapter.
fn dependencies(path: &Path, manifest: &str) -> Result<Vec<String>> {
    let manifest: toml::Table = manifest.parse()?;
    let mut breaches = Vec::new();
    for (section, allowed) in ADAPTERS_USE {
        let there = manifest.get(section).and_then(|section| section.as_table());
        for name in there.into_iter().flat_map(|section| section.keys()) {
            if !allowed.contains(&name.as_str()) {
                breaches.push(format!(
                    "{}: {section} has `{name}`; an adapter may use {}",
                    path.display(),
                    if allowed.is_empty() {
                        "none".to_owned()
                    } else {
                        allowed.join(", ")
                    },
                ));
            }
        }
    }
    Ok(breaches)
}

/// Crates that must not reach a network, and so must not depend on these.
const WITHOUT_NETWORK: [&str; 3] = ["mis-core", "writeback", "roster"];
const NETWORK: [&str; 4] = ["wonde", "mis-wonde", "reqwest", "hyper"];

/// The domain and the rules depend on no network, not even through another crate.
fn without_network(tree: &Tree) -> Result<Vec<String>> {
    let mut breaches = Vec::new();
    for name in WITHOUT_NETWORK {
        let mut cargo = tree.cargo();
        cargo.args([
            "tree",
            "--package",
            name,
            "--edges",
            "normal",
            "--prefix",
            "none",
        ]);
        let found = output(&mut cargo)?;
        breaches.extend(networked(name, &found));
    }
    Ok(breaches)
}

fn networked(name: &str, packages: &str) -> Vec<String> {
    let names = packages.lines().filter_map(|line| line.split(' ').next());
    let breaches = NETWORK
        .iter()
        .filter(|network| names.clone().any(|one| one == **network));
    breaches
        .map(|network| format!("{name} depends on `{network}`; it must not reach a network"))
        .collect()
}

/// The project must not refer to files outside its tree, which others cannot read.
fn outside_paths(path: &Path, text: &str) -> Vec<String> {
    // In two parts, so that this file does not say it.
    let beside = concat!("shared", "/");
    let lines = text.lines().enumerate();
    lines
        .filter(|(_, line)| line.contains(beside))
        .map(|(at, _)| {
            format!(
                "{}:{}: `{beside}` is not in this tree; include the content here",
                path.display(),
                at + 1
            )
        })
        .collect()
}

/// The remaining `TO DO`s of the scaffold.
fn unfinished(path: &Path, text: &str) -> Vec<String> {
    let lines = text.lines().enumerate();
    lines
        .filter_map(|(at, line)| {
            let (_, what) = line.split_once("TO DO: ")?;
            let what = what.trim_end_matches([',', '"', '.']);
            Some(format!(
                "{}:{}: still to be written: {what}",
                path.display(),
                at + 1
            ))
        })
        .collect()
}

/// Every module begins with a description, its own or a README.
fn opening(path: &Path, text: &str) -> Option<String> {
    let first = text.lines().next().unwrap_or_default();
    let opens = first.starts_with("//! ") || first.starts_with("#![doc = include_str!");
    (!opens).then(|| {
        format!(
            "{}:1: begins without `//!`; describe its purpose in a sentence",
            path.display()
        )
    })
}

/// No code outside an adapter names its MIS: hosts use capabilities. Tests and documentation can name it.
fn names(path: &Path, text: &str, adapters: &[Adapter]) -> Vec<String> {
    let exempt = NAMES_BELONG.iter().any(|folder| path.starts_with(folder))
        || path.components().any(|part| {
            ["tests", "benches", "examples"]
                .iter()
                .any(|folder| part.as_os_str() == *folder)
        });
    if exempt {
        return Vec::new();
    }
    let mut breaches = Vec::new();
    // Tests stand at the end of a module.
    let code = text
        .lines()
        .enumerate()
        .take_while(|(_, line)| line.trim() != "#[cfg(test)]");
    for (at, line) in code.filter(|(_, line)| !line.trim_start().starts_with("//")) {
        for literal in literals(line) {
            let found = adapters
                .iter()
                .find(|adapter| adapter.names().any(|name| plain(name) == plain(literal)));
            if let Some(adapter) = found {
                breaches.push(format!(
                    "{}:{}: names {}; use its capabilities instead",
                    path.display(),
                    at + 1,
                    adapter.name
                ));
            }
        }
    }
    breaches
}

/// The string literals on a line of code.
fn literals(line: &str) -> impl Iterator<Item = &str> {
    line.split('"')
        .skip(1)
        .step_by(2)
        .filter(|text| !text.is_empty())
}

/// A name as the registry compares it: without case, blanks and punctuation.
fn plain(name: &str) -> String {
    name.chars()
        .filter(|c| c.is_alphanumeric())
        .flat_map(char::to_lowercase)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::{Capabilities, Place, Source};

    fn alpha() -> Vec<Adapter> {
        vec![Adapter {
            id: "alpha".to_owned(),
            name: "Alpha".to_owned(),
            aliases: vec!["Alpha One".to_owned()],
            capabilities: Capabilities {
                session: Place::None,
                comment: false,
                minutes_late: false,
                early_leaver: false,
                comment_max: None,
                roster: true,
            },
            notes: String::new(),
            source: Source {
                what: String::new(),
                date: String::new(),
            },
        }]
    }

    #[test]
    fn an_adapter_that_depends_on_another_is_found() {
        let path = Path::new("adapters/alpha/Cargo.toml");
        let good = "[dependencies]\nmis-wonde.workspace = true\n[dev-dependencies]\nmis-conformance.workspace = true\n";
        assert!(dependencies(path, good).unwrap().is_empty());
        let found =
            dependencies(path, "[dependencies]\nmis-beta = { path = \"../beta\" }\n").unwrap();
        assert!(found[0].contains("mis-beta"), "{found:?}");
    }

    #[test]
    fn a_network_dependency_of_the_domain_is_found() {
        let packages = "mis-core v0.1.0 (crates/mis-core)\nserde v1.0.0\n";
        assert!(networked("mis-core", packages).is_empty());
        let found = networked("mis-core", &format!("{packages}reqwest v0.13.0\n"));
        assert!(found[0].contains("`reqwest`"), "{found:?}");
    }

    #[test]
    fn an_mis_name_is_found_in_code_but_not_in_prose_tests_or_its_own_crate() {
        let found = |path: &str, text: &str| names(Path::new(path), text, &alpha()).len();
        let code = "//! Alpha.\n// \"alpha\"\nif mis == \"ALPHA-one\" {}\n";
        assert_eq!(found("crates/markback/src/x.rs", code), 1);
        assert_eq!(
            found(
                "crates/markback/src/x.rs",
                "let a = \"alphabet\";\n#[cfg(test)]\nlet b = \"alpha\";\n"
            ),
            0
        );
        for elsewhere in [
            "adapters/alpha/src/lib.rs",
            "crates/markback/tests/x.rs",
            "crates/wonde-sandbox/src/x.rs",
        ] {
            assert_eq!(found(elsewhere, code), 0, "{elsewhere}");
        }
    }

    #[test]
    fn a_module_without_a_description_is_found() {
        for text in [
            "//! What it is for.\n",
            "#![doc = include_str!(\"../README.md\")]\n",
        ] {
            assert!(opening(Path::new("x.rs"), text).is_none(), "{text}");
        }
        assert!(opening(Path::new("x.rs"), "use std::fs;\n").is_some());
    }

    #[test]
    fn scaffold_texts_and_stray_files_are_found() {
        let left = unfinished(
            Path::new("adapters/alpha/README.md"),
            "# Alpha\n\nTO DO: all of it.\n",
        );
        assert_eq!(
            left,
            ["adapters/alpha/README.md:3: still to be written: all of it"]
        );
        let beside = format!("see ../{}{}notes.md", "shared", "/");
        assert_eq!(outside_paths(Path::new("x.md"), &beside).len(), 1);
    }
}
