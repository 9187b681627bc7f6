//! `try-new-adapter`: follows the steps of CONTRIBUTING.md in a copy of the tree. A new adapter starts red, is
//! completed from its to-do list, and turns green; outside its folder only generated files change. The steps are done
//! twice: for an adapter that names a strategy, and for one that implements the trait itself and has a quirk.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail, ensure};

use crate::{
    codegen,
    tree::{Tree, read, run as run_command, write},
    verdict::Line,
};

const ID: &str = "throwaway";
/// The adapter with different behaviour.
const OWN: &str = "throwawayown";
/// The MIS whose fixtures replace those that a contributor would write; it stores session marks.
const LIKE: &str = "sims";

/// Follows the steps and prints the progress.
pub(crate) fn run(tree: &Tree) -> Result<()> {
    let folder = tree.target()?.join("try-new-adapter");
    let walk = Walk {
        copy: copy(tree, &folder.join("tree"))?,
        target: folder.join("target"),
    };
    let before = contents(&walk.copy)?;

    walk.xtask(&["codegen", "--adapters", "--check"])
        .context("the generated files were not up to date to begin with")?;
    walk.scaffold_until_green(ID, &["--comment-max", "60", "--early-leaver"])?;
    walk.scaffold_until_green(OWN, &["--early-leaver", "--own-ways"])?;
    walk.add_a_quirk()?;
    walk.xtask(&["tidy"])?;
    for id in [ID, OWN] {
        let package = format!("mis-{id}");
        run_command(walk.cargo().args(["fmt", "--check", "--package", &package]))?;
    }
    let mut test = walk.cargo();
    run_command(test.args(["test", "--quiet", "--package", "mis-adapters"]))?;
    nothing_else_changed(&before, &contents(&walk.copy)?)?;
    println!(
        "two adapters turned from red to green, and no file outside adapters/{ID} and adapters/{OWN} was edited by hand"
    );
    Ok(())
}

/// A code that cannot be written. No mark of the suite has it.
const QUIRK: &str = r#".with_quirks(
    mis_wonde::Quirks::NONE
        .refusing(|mark| (mark.code.as_str() == "Z").then(|| "Z is for the office alone".into())),
)
.with_notes("#;

/// A test of the adapter in addition to the suite: it needs no other crates.
const QUIRK_TEST: &str = r#"//! The code that this MIS does not accept.

use mis_wonde::{EventKind, Mark, Session, chrono::NaiveDate};
use mis_throwawayown::DESCRIPTOR;

fn mark(code: &str) -> Mark {
    Mark {
        student: "A1".into(),
        date: NaiveDate::default(),
        session: Session::Am,
        code: code.into(),
        cause: EventKind::SignIn,
        comment: None,
        minutes_late: None,
        employee: None,
    }
}

#[test]
fn a_code_of_the_office_is_rejected() {
    assert!(DESCRIPTOR.as_kept(&mark("Z")).is_err());
    assert!(DESCRIPTOR.as_kept(&mark("L")).is_ok());
}
"#;

struct Walk {
    copy: Tree,
    /// A separate folder: cargo identifies a workspace's crates by their path below its root, so builds of the copy and
    /// the tree would be confused.
    target: PathBuf,
}

impl Walk {
    fn cargo(&self) -> Command {
        let mut cargo = self.copy.cargo();
        cargo.env("CARGO_TARGET_DIR", &self.target);
        cargo
    }

    fn xtask(&self, words: &[&str]) -> Result<()> {
        run_command(self.cargo().arg("xtask").args(words))
    }

    /// Scaffolds an adapter and completes its to-do list.
    fn scaffold_until_green(&self, id: &str, more: &[&str]) -> Result<()> {
        let name = format!("Throwaway {id}");
        let wonde_name = format!("{name} MIS");
        let words = [
            "new-adapter",
            id,
            "--name",
            &name,
            "--session",
            "session",
            "--comment",
            "--alias",
            &wonde_name,
            "--source",
            "none: a temporary adapter",
        ];
        self.xtask(&[&words[..], more].concat())?;
        self.xtask(&["codegen", "--adapters", "--check"])
            .context("`new-adapter` left generated files out of date")?;
        let red = self.conformance(id)?;
        ensure!(
            !red.wrong.is_empty(),
            "an adapter without fixtures passes: the suite does not check them"
        );
        println!("red, as expected: {} tasks", red.wrong.len());
        self.fill_in(id, &red)?;
        // The adapter's own page is part of its generated one.
        self.xtask(&["codegen", "--adapters"])?;
        self.is_green(id)
    }

    fn is_green(&self, id: &str) -> Result<()> {
        let green = self.conformance(id)?;
        ensure!(
            green.wrong.is_empty(),
            "it is still red after its list was completed:\n{}",
            green.wrong.join("\n")
        );
        Ok(())
    }

    /// Adds a quirk and its test to the adapter with different behaviour, and checks that both pass.
    fn add_a_quirk(&self) -> Result<()> {
        let own = self.copy.join("adapters").join(OWN);
        let source = own.join("src/lib.rs");
        let text = read(&source)?;
        let with_quirk = text.replacen(".with_notes(", QUIRK, 1);
        ensure!(with_quirk != text, "the scaffold has no place for a quirk");
        write(&source, &with_quirk)?;
        write(&own.join("tests/quirk.rs"), QUIRK_TEST)?;
        // An edit by hand, formatted as a contributor would.
        run_command(
            self.cargo()
                .args(["fmt", "--package", &format!("mis-{OWN}")]),
        )?;
        self.is_green(OWN)?;
        let package = format!("mis-{OWN}");
        run_command(
            self.cargo()
                .args(["test", "--quiet", "--package", &package]),
        )
    }

    /// The report of the suite on the new adapter.
    fn conformance(&self, id: &str) -> Result<Line> {
        let mut cargo = self.cargo();
        cargo.args(["xtask", "conformance", "--adapter", id, "--format", "json"]);
        let output = cargo.stderr(std::process::Stdio::inherit()).output()?;
        let lines: Vec<Line> =
            serde_json::from_slice(&output.stdout).context("`conformance` printed no report")?;
        let line = lines
            .into_iter()
            .next()
            .context("`conformance` tested no adapter")?;
        ensure!(
            output.status.success() == line.wrong.is_empty(),
            "`conformance` ended with {} and {} failures",
            output.status,
            line.wrong.len()
        );
        Ok(line)
    }

    /// Completes the list: writes the named fixtures and the missing texts.
    fn fill_in(&self, id: &str, red: &Line) -> Result<()> {
        let own = self.copy.join("adapters").join(id);
        let named: BTreeSet<_> = red
            .wrong
            .iter()
            .flat_map(|todo| fixtures_in(todo))
            .collect();
        ensure!(
            !named.is_empty(),
            "the list names no missing fixture:\n{}",
            red.wrong.join("\n")
        );
        for name in named {
            let like = read(
                &self
                    .copy
                    .join("adapters")
                    .join(LIKE)
                    .join("fixtures")
                    .join(&name),
            )?;
            write(&own.join("fixtures").join(&name), &like)?;
        }
        for file in ["src/lib.rs", "README.md"] {
            let text = read(&own.join(file))?;
            write(&own.join(file), &text.replace("TO DO: ", "Nothing about "))?;
        }
        Ok(())
    }
}

/// The names of the missing JSON files in a to-do.
fn fixtures_in(todo: &str) -> impl Iterator<Item = String> {
    todo.lines().filter_map(|line| {
        let (_, rest) = line.split_once("the fixture ")?;
        let (path, _) = rest.split_once(" cannot be read")?;
        Path::new(path)
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
    })
}

/// Copies the files of the project, so that the steps can change them.
fn copy(tree: &Tree, folder: &Path) -> Result<Tree> {
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| format!("cannot clear {}", folder.display()))?;
    }
    for path in tree.files()? {
        let to = folder.join(&path);
        if let Some(parent) = to.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::copy(tree.join(&path), &to)
            .with_context(|| format!("cannot copy {}", path.display()))?;
    }
    // So that git lists the files of the copy.
    run_command(Command::new("git").args(["init", "--quiet"]).arg(folder))?;
    Ok(Tree::at(folder))
}

type Contents = BTreeMap<PathBuf, Vec<u8>>;

fn contents(tree: &Tree) -> Result<Contents> {
    tree.files()?
        .into_iter()
        .map(|path| Ok((path.clone(), fs::read(tree.join(&path))?)))
        .collect()
}

/// Returns an error if a file was changed, added or removed that is neither the adapter's nor generated.
fn nothing_else_changed(before: &Contents, after: &Contents) -> Result<()> {
    let all: BTreeSet<_> = before.keys().chain(after.keys()).collect();
    let changed = all
        .into_iter()
        .filter(|path| before.get(*path) != after.get(*path));
    let wrong: Vec<_> = changed
        .filter(|path| {
            let new = [ID, OWN].map(|id| Path::new("adapters").join(id));
            !new.iter().any(|new| path.starts_with(new)) && !codegen::is_generated(path)
        })
        .map(|path| path.display().to_string())
        .collect();
    if !wrong.is_empty() {
        bail!(
            "a new adapter must not change these files: {}",
            wrong.join(", ")
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_to_do_list_names_its_fixtures() {
        let todo = "fixtures::are_complete: the fixture /x/fixtures/a.json cannot be read (no such file); it should hold {}\n \
                    the fixture /x/fixtures/b.json cannot be read (no such file); it should hold {}";
        assert_eq!(fixtures_in(todo).collect::<Vec<_>>(), ["a.json", "b.json"]);
    }

    #[test]
    fn a_file_changed_by_hand_is_found() {
        let of = |files: &[(&str, &str)]| -> Contents {
            files
                .iter()
                .map(|(path, text)| (PathBuf::from(path), text.as_bytes().to_vec()))
                .collect()
        };
        let before = of(&[("README.md", "1"), ("crates/markback/src/lib.rs", "1")]);
        let good = of(&[
            ("README.md", "2"),
            ("crates/markback/src/lib.rs", "1"),
            ("adapters/throwaway/src/lib.rs", "1"),
        ]);
        nothing_else_changed(&before, &good).unwrap();
        let bad = of(&[("README.md", "2"), ("crates/markback/src/lib.rs", "2")]);
        let error = nothing_else_changed(&before, &bad).unwrap_err().to_string();
        assert!(
            error.contains("crates/markback/src/lib.rs") && !error.contains("README.md"),
            "{error}"
        );
    }
}
